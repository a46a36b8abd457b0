"""Where do log lines go? To stderr as they come, back to it only when something is wrong, or to a file of their own."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from pathlib import Path

from cio_etl.report.streams import say

MOST_LINES = 10_000  # that are kept back: a run of a night has some thousand


class _Lines:
    """What structlog calls; `_write` says where a line goes."""

    def msg(self, line: str) -> None:
        self._write(line)

    log = debug = info = warning = error = critical = exception = msg

    def _write(self, line: str) -> None:
        say(line, err=True)


class LogLines(_Lines):
    """Lines to stderr, whatever has become of it."""


class KeptLines(_Lines):
    """Lines that nobody needs to see unless something goes wrong."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=MOST_LINES)

    def _write(self, line: str) -> None:
        self._lines.append(line)

    def tell(self) -> None:
        """Prints them to stderr, the newest of them if there are very many."""
        while self._lines:
            say(self._lines.popleft(), err=True)


class FileLines(_Lines):
    """Lines to a file for its owner only, made anew when it was moved away, as logrotate does.

    A link in its place is refused with OSError when it is opened, and so is a pipe that nobody reads. What goes wrong
    later costs lines and never the run: of a full disk those that have no room, and where no new file can be made they
    go on into the old one.
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
        """Opens the file that has the path now, under the number of the old one.

        The number stays ours whatever fails and whichever thread comes first: a freed one is soon another file's.
        """
        if self._was_moved():
            anew = self._opened()
            try:
                os.dup2(anew, self._file, inheritable=False)
            finally:
                os.close(anew)

    def _was_moved(self) -> bool:
        try:
            there = os.stat(self._path, follow_symlinks=False)
        except FileNotFoundError:
            return True
        return not os.path.samestat(there, os.fstat(self._file))
