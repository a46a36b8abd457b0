"""Lets SIGTERM end the program where it is the first process, as in a container.

The kernel does nothing with a signal to process 1 that the process itself does not handle. So a command without
handlers of its own, such as `validate`, would run on until the container's engine kills it, ten seconds later. The
handler is a thread that reads from a pipe, because the main thread may be inside a library that does not return.
"""

from __future__ import annotations

import os
import signal
import threading

FIRST = 1


def end_on_sigterm() -> None:
    """Ends this process with 143 at SIGTERM, as the kernel ends others. `Signals` of a run takes its place."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    threading.Thread(target=_wait, args=(reading,), name="first process", daemon=True).start()


def _wait(reading: int) -> None:
    while os.read(reading, 1)[0] != signal.SIGTERM:
        pass
    os._exit(128 + signal.SIGTERM)
