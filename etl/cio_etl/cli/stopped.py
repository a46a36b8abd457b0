"""Ends a command at SIGTERM and SIGHUP: what it has copied of a source is deleted before the process ends.

That is done by a thread that reads the signals from a pipe, because the main thread may be inside a library that does
not return. A run has handlers of its own, `Signals`, which take the place of these.

The kernel does nothing with a signal to process 1 that the process itself does not handle. So these handlers also let
a container's engine stop a command without `Signals`, which would run on until it is killed ten seconds later.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

from cio_etl.log.temporary import delete_temporary_folders

HANDLED = (signal.SIGTERM, signal.SIGHUP)
STOPPED = 143  # as a run that one of these stops


@contextlib.contextmanager
def ending_when_stopped() -> Iterator[None]:
    """While the block lasts, these signals end the process with 143, except those that it ignores.

    In a thread other than the main one, Python allows no handlers, and nothing is done.
    """
    handled = [number for number in HANDLED if signal.getsignal(number) == signal.SIG_DFL]
    if not handled or threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    thread = threading.Thread(target=_wait, args=(reading,), name="stopped", daemon=True)
    thread.start()
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in handled:
        signal.signal(number, _note)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(before)
        os.close(writing)  # the thread reads the end
        thread.join(1.0)
        os.close(reading)


def _note(number: int, frame: object) -> None:
    """Nothing: the thread has the signal."""


def _wait(reading: int) -> None:
    while numbers := os.read(reading, 64):
        for number in numbers:
            if number in HANDLED:  # the pipe gets every signal that has a handler
                delete_temporary_folders()
                os._exit(STOPPED)
