"""Stops a run on request: the first signal lets requests in flight finish, the second stops at once.

Rows that Customer.io has acknowledged are recorded either way. Only a door installs the handlers, by entering the
block; the Python API does not.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType

from cio_etl.errors import Interrupted


class Signals:
    """Requests to stop. While its block lasts it handles SIGINT and SIGTERM; `received` names the first request.

    `note` takes a sentence for the person who sent the first signal.
    """

    def __init__(self, note: Callable[[str], None] = lambda line: None) -> None:
        self._note = note
        self.received: str | None = None
        self._drain: Callable[[], None] | None = None
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Signals:
        here = threading.current_thread() is threading.main_thread()  # Python allows handlers nowhere else
        for number in (signal.SIGINT, signal.SIGTERM) if here else ():
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]

    def ask(self, name: str) -> None:
        """Requests a stop as the first signal does, for a caller that gets the signal itself; may be called again."""
        self.received = self.received or name
        if self._drain is not None:
            self._drain()

    @contextlib.contextmanager
    def draining(self, drain: Callable[[], None]) -> Iterator[None]:
        """While the block lasts, the first signal calls `drain` and does not raise; an earlier one calls it at once."""
        before, self._drain = self._drain, drain
        try:
            if self.received is not None:
                drain()
            yield
        finally:
            self._drain = before

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        first, self.received = self.received is None, self.received or name
        if first and self._drain is not None:
            self._drain()
            self._note(f"{name}: finishing what is under way; once more to stop now")
            return
        raise Interrupted(name)
