"""Writes log lines: to stderr at once, to stderr only when something fails, or to a file.

The standard library's WatchedFileHandler closes the old file before it opens the new one, so a new file that cannot be
made would lose all later lines, and it follows links. FileLines does neither.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from pathlib import Path

from cio_etl.log.streams import say

MOST_LINES = 10_000  # in the buffer: a run of a night has a few thousand


class Lines:
    """The logger that structlog calls; `_write` decides where a line goes."""

    def msg(self, line: str) -> None:
        self._write(line)

    log = debug = info = warning = error = critical = exception = msg

    def _write(self, line: str) -> None:
        say(line, err=True)


class LogLines(Lines):
    """Lines to stderr, even when nobody reads it any more."""


class BufferedLines(Lines):
    """Lines that are printed only when something fails."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=MOST_LINES)

    def _write(self, line: str) -> None:
        self._lines.append(line)

    def flush(self) -> None:
        """Prints the lines to stderr; of very many only the newest."""
        while self._lines:
            say(self._lines.popleft(), err=True)


class FileLines(Lines):
    """Lines to a file that only its owner may read, created again when it was moved away, as logrotate does.

    Opening raises OSError for a link in the file's place, and for a pipe that nobody reads. A later failure costs lines
    and never the run: lines that find no room on the disk are lost, and where no new file can be created, lines go into
    the old one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = self._opened()

    def _opened(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(self._path, flags, 0o600)

    def _write(self, line: str) -> None:
        with contextlib.suppress(OSError):
            self._follow()
        with contextlib.suppress(OSError):
            os.write(self._file, f"{line}\n".encode(errors="backslashreplace"))

    def _follow(self) -> None:
        """Opens the file that has the path now, under the descriptor of the old one.

        The descriptor stays open whatever fails and whichever thread is first: a freed one may soon be another file's.
        """
        if self._was_moved():
            new = self._opened()
            try:
                os.dup2(new, self._file, inheritable=False)
            finally:
                os.close(new)

    def _was_moved(self) -> bool:
        try:
            current = os.stat(self._path, follow_symlinks=False)
        except FileNotFoundError:
            return True
        return not os.path.samestat(current, os.fstat(self._file))
