"""Finds where each record of a block of CSV ends, and what is malformed in it.

Pure and vectorised: a block costs a few passes of numpy over its bytes, and no Python code per row. A quote toggles
between inside and outside a quoted field; a doubled quote toggles twice, so it needs no care. Separators and line
ends count outside only, and nothing counts that an escape stands before.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_LF, _CR, _NUL = 10, 13, 0

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
    line_ends = octets == _LF
    separators = octets == dialect.separator
    quotes = within = np.zeros(0, np.bool_)
    if dialect.quote is not None and dialect.quote in block:
        quotes = octets == dialect.quote
        within = np.bitwise_xor.accumulate(quotes.view(np.uint8)).view(np.bool_)
        misplaced = _misplaced_quote(octets, quotes, within, line_ends | separators)
        if misplaced is not None:
            return misplaced
        line_ends &= ~within
        separators &= ~within
    ends = np.flatnonzero(line_ends) + 1
    complete = int(ends[-1]) if ends.size else 0
    unclosed = None
    if within.size and within[-1]:
        unclosed = complete + _opening_of_last_field(quotes[complete:], within[complete:])
    elif final and complete < len(block):
        ends = np.append(ends, len(block))
    lone = _lone_carriage_return(block, octets, within, final=final)
    if lone is not None:
        return lone
    return Records(
        ends=ends,
        fields=np.diff(np.searchsorted(np.flatnonzero(separators), ends), prepend=0) + 1,
        blank=_blank(octets, ends),
        nul=_with_nul(octets, ends),
        unclosed=unclosed,
    )


def _first_invalid_utf8(block: bytes, *, final: bool) -> Malformed | None:
    if block.isascii():
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


def _misplaced_quote(octets: npt.NDArray[np.uint8], quotes: Mask, within: Mask, borders: Mask) -> Malformed | None:
    """A field begins with its opening quote and ends with its closing one; between, quotes are doubled."""
    may_precede = borders | quotes
    stray = (quotes & within)[1:] & ~may_precede[:-1]
    may_follow = may_precede | (octets == _CR)
    early = (quotes & ~within)[:-1] & ~may_follow[1:]
    first_stray = int(np.argmax(stray)) + 1 if stray.any() else len(octets)
    first_early = int(np.argmax(early)) if early.any() else len(octets)
    if first_stray < first_early:
        return Malformed(
            first_stray,
            "a quote stands in the middle of a field that does not begin with one",
            "quote the whole field and double the quotes in it, or write `quote: null` if quotes mean nothing here",
        )
    if first_early < len(octets):
        return Malformed(
            _opening_of_last_field(quotes[: first_early + 1], within[: first_early + 1]),
            "the quote that opens here is closed in the middle of a field, or never",
            "close it before the separator or the line end, and double the quotes inside",
        )
    return None


def _opening_of_last_field(quotes: Mask, within: Mask) -> int:
    """The quote with which the last quoted field begins."""
    opening = quotes & within
    opening[1:] &= ~quotes[:-1]  # an opening quote after a quote is the second of a doubled one
    return len(opening) - 1 - int(np.argmax(opening[::-1]))


def _lone_carriage_return(
    block: bytes, octets: npt.NDArray[np.uint8], within: Mask, *, final: bool
) -> Malformed | None:
    if b"\r" not in block:
        return None
    lone = octets == _CR
    lone[:-1] &= octets[1:] != _LF
    if not final:
        lone[-1] = False  # its line feed may come with the next block
    if within.size:
        lone &= ~within
    if not lone.any():
        return None
    return Malformed(
        int(np.argmax(lone)),
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
