"""Makes lines of a file that is one JSON list: each entry on a line of its own, so that it is read as NDJSON.

No byte is added or removed: the commas between entries become ends of lines, and the ends of lines between tokens
blanks. So a line of a message is the number of the entry.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cio_etl.errors import SourceError
from cio_etl.extract.files import RegularFile
from cio_etl.extract.text.plain_text import Copy, Text

_BLOCK_BYTES = 1 << 22
_WHITE_SPACE = b" \t\r\n"


def with_lines(opened: RegularFile, text: Text, copy: Copy) -> Text:
    """The text; one that begins with `[` as lines, in the copy. Raises SourceError when the list is damaged."""
    read_at = opened.read_at if text.copy is None else text.copy.read_at
    if not _head(read_at(text.start, min(4_096, text.end - text.start))).startswith(b"["):
        return text
    start, lines, rest = copy.begin(), _Lines(opened.path), b""
    for offset in range(text.start, text.end, _BLOCK_BYTES):
        block = rest + read_at(offset, min(_BLOCK_BYTES, text.end - offset))
        whole = len(block) if offset + _BLOCK_BYTES >= text.end else len(block.rstrip(b"\\"))  # no escape is cut
        rest = block[whole:]
        copy.append(lines.of(block[:whole]))
    lines.check_end()
    return Text(start, copy.begin(), text.sha256 or opened.sha256(), copy)


def _head(text: bytes) -> bytes:
    return text.lstrip(_WHITE_SPACE)


class _Lines:
    """Turns the blocks of one list, in their order, into lines."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._depth = 0  # of lists and objects at the beginning of the next block
        self._in_string = False
        self._has_ended = False
        self._entries = 1

    def of(self, block: bytes) -> bytes:
        hidden = np.frombuffer(block.replace(rb"\\", b"xx").replace(rb"\"", b"xx"), np.uint8)
        quotes = np.cumsum(hidden == ord('"')) + self._in_string
        outside = quotes % 2 == 0
        opens = outside & ((hidden == ord("[")) | (hidden == ord("{")))
        closes = outside & ((hidden == ord("]")) | (hidden == ord("}")))
        depth = self._depth + np.cumsum(opens.astype(np.int64) - closes)
        made = np.frombuffer(block, np.uint8).copy()
        made[outside & ((made == ord("\n")) | (made == ord("\r")))] = ord(" ")
        commas = outside & (depth == 1) & (hidden == ord(","))
        made[commas] = ord("\n")
        made[opens & (depth == 1)] = ord(" ")  # the bracket of the list itself
        self._check_after_end(made, closes & (depth == 0))
        self._entries += int(commas.sum())
        if len(block):
            self._depth, self._in_string = int(depth[-1]), bool(quotes[-1] % 2)
        return made.tobytes()

    def _check_after_end(self, made: npt.NDArray[np.uint8], ends: npt.NDArray[np.bool_]) -> None:
        """Replaces the list's closing bracket. Raises SourceError when more than white space follows it."""
        after = made
        if not self._has_ended:
            if not ends.any():
                return
            end = int(np.argmax(ends))
            self._has_ended = True
            made[end], after = ord("\n"), made[end + 1 :]
        if after.tobytes().strip(_WHITE_SPACE):
            what = "its JSON list has ended, and something follows"
            raise SourceError("export it again, as one list or as one object a line", place=self._path, what=what)

    def check_end(self) -> None:
        """Raises SourceError when the list is not closed."""
        if not self._has_ended:
            place = f"{self._path}: entry {self._entries:,}"
            raise SourceError("export it again", place=place, what="its JSON list is not closed: the file is cut short")
