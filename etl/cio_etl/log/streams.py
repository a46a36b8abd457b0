"""Prints lines such that a reader that closes its end of the pipe, like `… | head`, never stops the run."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from cio_etl.log.visible import visible

STDOUT = "<stdout>"  # Python's own name of it


def say(line: str, *, err: bool = False) -> None:
    """Prints a line to stdout or stderr, and flushes it. It is lost where nobody reads, and on stderr's full disk.

    Invisible characters become escapes; line feeds stay.
    """
    stream: TextIO | None = sys.stderr if err else sys.stdout
    if stream is None:  # closed before the program started
        return
    try:
        with contextlib.nullcontext() if err else writing_results():
            stream.write(f"{visible(line)}\n")
            stream.flush()
    except OSError as error:
        if error.filename == STDOUT:
            raise
        drop_output(stream)


@contextlib.contextmanager
def writing_results() -> Iterator[None]:
    """Raises OSError with STDOUT as its file where that cannot be written, as on a full disk; errors/ knows it by that.

    A reader that has gone is a BrokenPipeError, as ever.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_output(sys.stdout)
        raise OSError(error.errno or 0, error.strerror or type(error).__name__, STDOUT) from None


def stderr_descriptor() -> int:
    """The descriptor of sys.stderr: 2, unless a command has given it one of its own."""
    try:
        return 2 if sys.stderr is None else sys.stderr.fileno()
    except (OSError, ValueError):  # it is no file, as in tests
        return 2


def accept_any_text() -> None:
    """Makes stdout print an escape for a character that its encoding lacks, as stderr does: file names may hold any."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def drop_output(stream: TextIO) -> None:
    """Drops what is still buffered; else the interpreter would fail on it at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
