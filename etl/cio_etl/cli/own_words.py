"""Lets nothing but this program's own words reach stderr while a command runs.

A library in Rust that panics writes its message to file descriptor 2 before it raises: with values of rows in it, and
with a backtrace if RUST_BACKTRACE is set. There is no setting against it. So sys.stderr gets a descriptor of its own,
and what is written to number 2 is dropped.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator

from cio_etl.errors import unexpected
from cio_etl.log.streams import say


@contextlib.contextmanager
def only_own_words() -> Iterator[None]:
    """While the block lasts, only what Python writes to sys.stderr gets there, and no traceback of any thread."""
    hooks = threading.excepthook, sys.unraisablehook
    threading.excepthook = _thread_ended
    sys.unraisablehook = lambda _: None  # of a destructor: nothing depends on it
    before = sys.stderr
    try:
        with _descriptor_2_dropped():
            yield
    finally:
        sys.stderr = before
        threading.excepthook, sys.unraisablehook = hooks


@contextlib.contextmanager
def _descriptor_2_dropped() -> Iterator[None]:
    try:
        own = os.dup(2)
    except OSError:  # stderr was closed before the program started
        yield
        return
    try:
        if isinstance(sys.stderr, io.TextIOWrapper) and _is_descriptor_2(sys.stderr):
            sys.stderr.flush()
            coding, errors = sys.stderr.encoding, sys.stderr.errors
            sys.stderr = os.fdopen(own, "w", 1, coding, errors, closefd=False)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os.dup2(own, 2)
        os.close(own)


def _is_descriptor_2(stream: io.TextIOWrapper) -> bool:
    try:
        return stream.fileno() == 2
    except (OSError, ValueError):  # it is no file
        return False


def _thread_ended(ended: threading.ExceptHookArgs) -> None:
    """Says that a thread has failed, without a traceback, whose last line may hold values."""
    error = ended.exc_value
    if error is not None and not isinstance(error, SystemExit):
        say(f"a thread failed: {unexpected(error)}", err=True)
