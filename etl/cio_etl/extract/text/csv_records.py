"""Finds where each record of a block of CSV ends, and what is malformed in it.

Pure and vectorised: a block costs a few passes of numpy over its bytes, and no Python code per row. What a byte is
becomes a bit; what follows from its neighbours and from quotes is decided for 64 bytes at a time. A quote toggles
between inside and outside a quoted field; a doubled quote toggles twice, so it needs no care. Separators and line ends
count outside only, and nothing counts that an escape stands before.
"""

from __future__ import annotations

import codecs

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cio_etl.extract.text.bits import Bits, counted_before, first, following, inside, is_set, offsets, packed, previous
from cio_etl.model.records import dataclass

_LF, _CR, _NUL = 10, 13, 0
_CONTINUES, _FIRST_OF_SEVERAL, _LONGEST_CHARACTER = 0x80, 0xC0, 4  # bytes of UTF-8

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Dialect:
    """The bytes that shape a CSV file; `quote` or `escape` None: there is none."""

    separator: int
    quote: int | None
    escape: int | None = None


@dataclass(frozen=True, slots=True)
class Malformed:
    """Why the rest of a block cannot be trusted, and the byte of the block at which that begins."""

    offset: int
    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Records:
    """The complete records of a block: one element each, in order."""

    ends: npt.NDArray[np.int64]  # offset of the byte after the record and its line end
    fields: npt.NDArray[np.int64]
    blank: Mask  # nothing but a line end
    nul: Mask  # holds a NUL byte
    unclosed: int | None  # offset of a quote that is still open where the block ends
    header: Mask | None = None  # is the header line once more
    with_bom: Mask | None = None  # a field begins with a byte-order mark, or the record with DOS's end of a file

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        return np.concatenate([[0], self.ends[:-1]])

    @property
    def consumed(self) -> int:
        return int(self.ends[-1]) if self.ends.size else 0


def scan(block: bytes, dialect: Dialect, *, final: bool) -> Records | Malformed:
    """The records of a block that begins with one.

    A last record without a line end counts when the block is the `final` one of its file; else it is left for the next
    block, together with what is undecided about it.
    """
    invalid = _first_invalid_utf8(block, final=final)
    if invalid is not None:
        return invalid
    octets = np.frombuffer(block, np.uint8)
    if dialect.escape is not None and dialect.escape in block:
        octets = _without_escaped(octets, dialect.escape)
    size = len(octets)
    line_ends, separators = packed(octets == _LF), packed(octets == dialect.separator)
    quotes = within = None
    fields_end = line_ends | separators
    if dialect.quote is not None and dialect.quote in block:
        quotes = packed(octets == dialect.quote)
        within = inside(quotes)
        misplaced = _misplaced_quote(octets, quotes, within, fields_end)
        if misplaced is not None:
            return misplaced
    lone = _lone_carriage_return(octets, line_ends, within, final=final) if b"\r" in block else None
    if lone is not None:
        return lone
    if within is not None:
        line_ends, separators = line_ends & ~within, separators & ~within
    ends = offsets(line_ends, size) + 1
    complete = int(ends[-1]) if ends.size else 0
    unclosed = None
    if quotes is not None and within is not None and is_set(within, size - 1):
        unclosed = _opening_of_last_field(quotes, within, size)
    elif final and complete < size:
        ends = np.append(ends, size)
    return Records(
        ends=ends,
        fields=np.diff(counted_before(separators, ends), prepend=0) + 1,
        blank=_blank(octets, ends),
        nul=_with_nul(octets, ends),
        unclosed=unclosed,
    )


def _first_invalid_utf8(block: bytes, *, final: bool) -> Malformed | None:
    if block.isascii() or _is_utf8(block if final else block[: _end_of_last_character(block)]):
        return None
    try:
        codecs.utf_8_decode(block, "strict", final)
    except UnicodeDecodeError as error:
        return Malformed(
            error.start,
            "is not valid UTF-8",
            "write the file's encoding into the job, like `encoding: cp1252`, or export it as UTF-8",
        )
    return None


def _is_utf8(text: bytes) -> bool:
    """Whether a text is valid UTF-8. Arrow looks at it in place, in a sixth of the time of Python's codec."""
    bounds = pa.py_buffer(np.array([0, len(text)], np.int64))
    try:
        pa.Array.from_buffers(pa.large_string(), 1, [None, bounds, pa.py_buffer(text)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _end_of_last_character(block: bytes) -> int:
    """The offset at which the last character begins if it is not of one byte, else the length of the block."""
    for offset in range(len(block) - 1, max(len(block) - _LONGEST_CHARACTER, 0) - 1, -1):
        if block[offset] >= _FIRST_OF_SEVERAL:
            return offset
        if block[offset] < _CONTINUES:
            break
    return len(block)


def _misplaced_quote(octets: npt.NDArray[np.uint8], quotes: Bits, within: Bits, borders: Bits) -> Malformed | None:
    """A field begins with its opening quote and ends with its closing one; between, quotes are doubled."""
    size = len(octets)
    may_precede = borders | quotes
    first_stray = first(quotes & within & ~previous(may_precede, begins_with=True), size)
    closing = offsets(quotes & ~within & ~following(may_precede), size - 1)
    early = closing[octets[closing + 1] != _CR]
    first_early = int(early[0]) if early.size else size
    if first_stray < first_early:
        return Malformed(
            first_stray,
            "a quote stands in the middle of a field that does not begin with one",
            "quote the whole field and double the quotes in it, or write `quote: null` if quotes mean nothing here",
        )
    if first_early < size:
        return Malformed(
            _opening_of_last_field(quotes, within, first_early + 1),
            "the quote that opens here is closed in the middle of a field, or never",
            "close it before the separator or the line end, and double the quotes inside",
        )
    return None


def _opening_of_last_field(quotes: Bits, within: Bits, size: int) -> int:
    """The quote with which the last quoted field of the first `size` bytes begins."""
    # an opening quote after a quote is the second of a doubled one
    return int(offsets(quotes & within & ~previous(quotes), size)[-1])


def _lone_carriage_return(
    octets: npt.NDArray[np.uint8], line_ends: Bits, within: Bits | None, *, final: bool
) -> Malformed | None:
    size = len(octets)
    lone = packed(octets == _CR) & ~following(line_ends)
    if within is not None:
        lone &= ~within
    at = first(lone, size if final else size - 1)  # the line feed of the last one may come with the next block
    if at >= size - (not final):
        return None
    return Malformed(
        at,
        "the line ends with CR only",
        "end lines with LF or CRLF, and quote fields that hold a CR",
    )


def _blank(octets: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64]) -> Mask:
    lengths = np.diff(ends, prepend=0)
    blank: Mask = (lengths == 1) & (octets[ends - 1] == _LF)
    pairs = np.flatnonzero(lengths == 2)
    blank[pairs] = (octets[ends[pairs] - 2] == _CR) & (octets[ends[pairs] - 1] == _LF)
    return blank


def _with_nul(octets: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64]) -> Mask:
    holds = np.zeros(len(ends), np.bool_)
    nuls = octets == _NUL
    if nuls.any():
        records = np.searchsorted(ends, np.flatnonzero(nuls), side="right")
        holds[records[records < len(ends)]] = True
    return holds


def _without_escaped(octets: npt.NDArray[np.uint8], escape: int) -> npt.NDArray[np.uint8]:
    """The block with "x" for every byte that an escape stands before, but NUL for \\0, which means it."""
    escapes = np.flatnonzero(octets == escape)
    run_begins = np.diff(escapes, prepend=-2) != 1
    in_run = np.arange(escapes.size) - np.maximum.accumulate(np.where(run_begins, np.arange(escapes.size), 0))
    escaped = escapes[in_run % 2 == 0] + 1  # in a run, the first escapes the second, the third the fourth
    escaped = escaped[escaped < octets.size]
    plain = octets.copy()
    plain[escaped] = np.where((octets[escaped] == ord("0")) | (octets[escaped] == _NUL), _NUL, ord("x"))
    return plain
