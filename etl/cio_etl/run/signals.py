"""What does a signal do? The first one drains, the second one stops: what is acknowledged is kept either way."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType

from cio_etl.errors import Interrupted
from cio_etl.report.streams import say


class Signals:
    """Listens to SIGINT and SIGTERM while its block lasts; `received` names the first that came."""

    def __init__(self) -> None:
        self.received: str | None = None
        self._drain: Callable[[], None] | None = None
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Signals:
        here = threading.current_thread() is threading.main_thread()  # elsewhere none can be heard, only `ask`
        for number in (signal.SIGINT, signal.SIGTERM) if here else ():
            self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]

    def ask(self, name: str) -> None:
        """As if this signal had come first, where something else hears it and tells; it never stops what drains."""
        self.received = self.received or name
        if self._drain is not None:
            self._drain()

    @contextlib.contextmanager
    def draining(self, drain: Callable[[], None]) -> Iterator[None]:
        """While the block lasts the first signal calls `drain` instead of raising; one that has come, at once."""
        before, self._drain = self._drain, drain
        try:
            if self.received is not None:
                drain()
            yield
        finally:
            self._drain = before

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        first, self.received = self.received is None, self.received or name
        if first and self._drain is not None:
            self._drain()
            say(f"{name}: finishing what is under way; once more to stop now", err=True)
            return
        raise Interrupted(name)
