"""How is anything printed? So that a reader who has left, as `… | head` does, costs the words and never the run."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TextIO

from rich.console import Console


class Screen(Console):
    """A console for stdout that goes quiet when its reader leaves; rich's own would end the process with 1."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        let_go(sys.stdout)


def say(line: str, *, err: bool = False) -> None:
    """Prints a line to stdout, or to stderr, at once. Nobody listens: it is lost. A log's full disk: likewise."""
    stream: TextIO | None = sys.stderr if err else sys.stdout
    if stream is None:  # closed before we began
        return
    try:
        stream.write(f"{line}\n")
        stream.flush()
    except OSError as error:
        if not err and not isinstance(error, BrokenPipeError):
            raise  # a result that could not be written
        let_go(stream)


def take_any_text() -> None:
    """Lets stdout show as an escape what its encoding has no sign for, as stderr does: a file's name may hold it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def let_go(stream: TextIO) -> None:
    """Lets what is still to be printed vanish; else the interpreter would fail over it at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
