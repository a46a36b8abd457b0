"""Leaves out what is not part of a CSV table: lines above the header, Excel's `sep=;`, and comments."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Protocol

import numpy as np

from cio_etl.errors import SourceError
from cio_etl.extract.text.csv_records import Mask, Records
from cio_etl.extract.text.plain_text import Text
from cio_etl.model import CsvSource

_SEP_LINE = re.compile(rb'"?sep=(.)"?\r?\n', re.IGNORECASE | re.DOTALL)  # Excel reads and writes it
_MAX_LINE_BYTES = 1 << 20


class Readable(Protocol):
    """A file, or the copy of its text."""

    def read_at(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on."""


def after_prologue(path: str, readable: Readable, text: Text, source: CsvSource) -> tuple[Text, int]:
    """The text without `skip_lines` lines and without the line `sep=`, and the number of lines that are left out.

    Raises SourceError when the file has fewer lines, or its `sep=` is not the job's separator.
    """
    start = text.start
    for number in range(source.skip_lines):
        line = readable.read_at(start, min(_MAX_LINE_BYTES, text.end - start))
        end = line.find(b"\n")
        if end < 0:
            what = f"has no {source.skip_lines} lines that `skip_lines:` could leave out"
            raise SourceError("write the number of lines above the header", place=f"{path}:{number + 1}", what=what)
        start += end + 1
    lines = source.skip_lines
    sep_line = _SEP_LINE.match(readable.read_at(start, min(16, text.end - start)))
    if sep_line:
        separator = sep_line[1].decode(errors="replace")
        if separator != source.separator:
            written = {"\t": '"\\t"'}.get(separator, f'"{separator}"')
            raise SourceError(
                f"write `separator: {written}` into the job",
                place=f"{path}:{lines + 1}",
                what=f"the line sep= says that the separator is {written}",
            )
        start += sep_line.end()
        lines += 1
    return replace(text, start=start), lines


def comment_lines(data: bytes, comment: str, quote: str | None, *, final: bool) -> tuple[bytes, list[int]]:
    """The data with its comment lines made harmless, of the same length, and the offsets where they begin.

    A comment is a line that begins with the sign outside of quotes; a quote in it opens nothing.
    """
    comment_bytes, quote_bytes = comment.encode(), (quote or "").encode()
    changed, begins, quotes, counted = bytearray(data), [], 0, 0
    at = 0 if data.startswith(comment_bytes) else data.find(b"\n" + comment_bytes) + 1
    while data.startswith(comment_bytes, at):
        quotes += data.count(quote_bytes, counted, at) if quote_bytes else 0
        end = data.find(b"\n", at)
        if end < 0:
            if not final:
                break
            end = len(data)
        counted = at
        if quotes % 2 == 0:
            begins.append(at)
            changed[at:end] = b"x" * (end - at)
            counted = end
        at = data.find(b"\n" + comment_bytes, end) + 1
        if not at:
            break
    return bytes(changed), begins


def without_comments(records: Records, begins: list[int]) -> Records:
    """The records, of which those that begin at a comment count as blank."""
    blank: Mask = records.blank.copy()
    blank |= np.isin(records.starts, begins)
    return replace(records, blank=blank)
