"""Stops a run on request: the first signal lets requests in flight finish, the second stops at once.

Rows that Customer.io has acknowledged are recorded either way. Only a door installs the handlers, by entering the
block; the Python API does not.

A handler interrupts the main thread anywhere, also where it holds a lock. So handlers set plain values, and raise; all
else is done by a thread that reads the signals from a pipe. The pipe gets them even while the main thread is inside a
library that does not return. Then handlers never run, and the thread ends the process when the grace is over. The pipe
has each signal, while Python calls a handler once for two that come before it runs: then the thread sends the second
one again.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType

from cio_etl.errors import Interrupted
from cio_etl.log import Thread
from cio_etl.log.streams import stderr_descriptor

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_S = 20.0
REPORT_S = 15.0  # after the grace: what the report takes at most
SECOND_S = 5.0  # after a second signal
HANDLED_S = 0.3  # in which the main thread handles a signal, unless it is inside a library
ASKED = 0x40  # added to the number in the pipe: a caller asks, and no person waits for a line

REMEDY = "the state is intact; run the same command again to go on"


class Signals:
    """Requests to stop. While its block lasts it handles SIGINT, SIGTERM and SIGHUP; `received` names the first one.

    `note` takes a sentence for the person who sent the first signal. A process that still works in the block
    `report_s` after the end of `grace_s` is ended: `remedy` is then the second line on stderr.
    """

    def __init__(
        self,
        note: Callable[[str], None] = lambda line: None,
        grace_s: float = GRACE_S,
        remedy: str = REMEDY,
        report_s: float = REPORT_S,
    ) -> None:
        self._note = note
        self._limit_s = grace_s + report_s
        self._remedy = remedy
        self.received: str | None = None
        self._is_second = False  # the next signal that is handled stops at once
        self._at_once = False  # the thread has read a second signal
        self._has_raised = self._is_repeated = False  # a handler; and the thread, which sends one again, has sent it
        self._drain: Callable[[], None] | None = None
        self._before: dict[signal.Signals, object] = {}
        self._pipe: tuple[int, int] | None = None
        self._wakeup_before = -1
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Signals:
        self._pipe = reading, writing = os.pipe()
        os.set_blocking(writing, False)
        self._thread = Thread(target=self._watch, args=(reading,), name="signals", daemon=True)
        self._thread.start()
        if threading.current_thread() is threading.main_thread():  # Python allows handlers nowhere else
            self._wakeup_before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
            for number in HANDLED:
                if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:  # as nohup sets it
                    continue
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        installed, self._before = self._before, {}
        for number, before in installed.items():
            signal.signal(number, before)  # type: ignore[arg-type]
        if installed:
            signal.set_wakeup_fd(self._wakeup_before)
        assert self._pipe is not None and self._thread is not None
        (reading, writing), self._pipe = self._pipe, None
        os.close(writing)  # the thread reads the end
        self._thread.join(1.0)
        if not self._thread.is_alive():  # else it still drains
            os.close(reading)

    def ask(self, name: str) -> None:
        """Requests a stop as the first signal does, for a caller that gets the signal itself; may be called again."""
        self.received = self.received or name
        self._is_second = True
        if self._pipe is not None:
            with contextlib.suppress(BlockingIOError):  # full of requests that are still to be read
                os.write(self._pipe[1], bytes([signal.Signals[name] | ASKED]))
        elif self._drain is not None:
            self._drain()

    @contextlib.contextmanager
    def draining(self, drain: Callable[[], None]) -> Iterator[None]:
        """While the block lasts, the first signal calls `drain`, in another thread, and does not raise.

        After an earlier signal, `drain` is called at once.
        """
        before, self._drain = self._drain, drain
        try:
            if self.received is not None:
                drain()
            yield
        finally:
            self._drain = before

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        """Runs in the main thread, between any two of its instructions: it takes no lock, and prints nothing."""
        name = signal.Signals(number).name
        self.received = self.received or name
        is_first, self._is_second = not self._is_second, True
        if self._is_repeated and self._has_raised:  # it was handled before the thread sent it again
            self._is_repeated = False
        elif self._at_once or not is_first or self._drain is None:
            self._has_raised = True
            raise Interrupted(name)

    # ---- the thread

    def _watch(self, pipe: int) -> None:
        ends_at: float | None = None
        limit_s = self._limit_s
        while True:
            timeout_s = None if ends_at is None else max(ends_at - time.monotonic(), 0.0)
            if not select.select([pipe], [], [], timeout_s)[0]:
                self._end_process(limit_s)
            if not (numbers := os.read(pipe, 512)):
                return
            for number in numbers:
                if number & ~ASKED not in HANDLED:  # the pipe gets every signal that has a handler
                    continue
                is_first, now = ends_at is None, time.monotonic()
                self._stop(signal.Signals(number & ~ASKED).name, is_announced=is_first and number < ASKED)
                if ends_at is None:
                    ends_at = now + self._limit_s
                elif ends_at > now + SECOND_S:
                    ends_at, limit_s = now + SECOND_S, SECOND_S
                if not is_first and number < ASKED and not self._at_once:
                    self._repeat(signal.Signals(number))

    def _repeat(self, number: signal.Signals) -> None:
        """Sends a second signal again, unless the main thread handles it."""
        self._at_once = True
        time.sleep(HANDLED_S)
        if self._before and not self._has_raised:
            self._is_repeated = True
            signal.pthread_kill(threading.main_thread().ident or 0, number)

    def _stop(self, name: str, *, is_announced: bool) -> None:
        self.received = self.received or name
        if self._drain is None:
            return
        self._drain()
        if is_announced:
            line = f"{name}: finishing what is under way; once more to stop now"
            with contextlib.suppress(RuntimeError):  # no thread can be started; this one must not wait for a reader
                Thread(target=self._note, args=(line,), daemon=True).start()

    def _end_process(self, limit_s: float) -> None:
        """Ends the process as a kill would, with two lines on stderr, which the main thread may have locked."""
        error = Interrupted(self.received or "SIGTERM")
        lines = f"{error}, and ended {limit_s:g} s later because it was still at work\n{self._remedy}\n"
        with contextlib.suppress(OSError):
            os.write(stderr_descriptor(), lines.encode(errors="backslashreplace"))
        os._exit(error.exit_code)
