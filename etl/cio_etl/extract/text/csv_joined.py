"""Finds traces of files that were put together: header lines, byte-order marks and DOS's ends of files among the rows.

`cat a.csv b.csv` and gzip files of several members leave them. A header line would be a person whose id is "id".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from cio_etl.extract.text.csv_header import fields_of
from cio_etl.extract.text.csv_records import Malformed, Mask, Records
from cio_etl.model import CsvSource

_BOM = b"\xef\xbb\xbf"
_DOS_END = b"\x1a"  # Ctrl-Z, with which DOS ends a file
_PREFIX = 8  # bytes that are compared at once
_BLANKS = b" \t"
_LOWER = np.frombuffer(bytes(range(256)).lower(), np.uint8)  # each byte, a capital ASCII letter as the small one


class JoinedFiles:
    """Knows the header of a file, and looks for it among its records."""

    def __init__(self, names: tuple[str, ...], source: CsvSource) -> None:
        self._names, self._source = names, source
        self._folded = _folded(names)
        self._skipped = np.frombuffer(_BLANKS + (source.quote or "").encode(), np.uint8)
        firsts = {first + end for first in _spellings(names) for end in _ends(len(names), source)}
        self._firsts = _by_length(firsts)
        self._may_begin = _that_begin(firsts, self._skipped)
        quote, separator = (re.escape((sign or "").encode()) for sign in (source.quote, source.separator))
        self._begins = re.compile(rb"(?:(?:^|%b)(?:%b)?\xef\xbb\xbf|^\x1a)" % (separator, quote), re.MULTILINE)

    def with_traces(self, data: bytes, records: Records) -> Records | Malformed:
        """The records, with `header` and `with_bom`; Malformed for a header line whose columns are in another order."""
        if not records.ends.size:
            return records
        headers, boms = np.zeros(len(records.ends), np.bool_), self._with_bom(data, records)
        starts = records.starts
        for number in np.union1d(self._like_headers(data, starts), np.flatnonzero(boms)):
            start, end = int(starts[number]), int(records.ends[number])
            boms[number] = boms[number] and self._is_marked(data[start:end])
            if end - start > 2 * sum(map(len, self._names)) + 99 * len(self._names):
                continue
            record = data[start:end].lstrip(_DOS_END).removeprefix(_BOM)
            fields = tuple(fields_of(record, self._source.separator, self._source.quote, self._source.escape))
            headers[number] = _folded(fields) == self._folded
            if not headers[number] and sorted(_folded(fields)) == sorted(self._folded):
                return Malformed(
                    start,
                    "is a second header line with its columns in another order than the first",
                    "name the files one by one, or with a pattern; put together, their rows are in the wrong columns",
                )
        return replace(records, header=headers, with_bom=boms & ~headers)

    def _is_marked(self, record: bytes) -> bool:
        """Whether a record that `_with_bom` found is marked, and has no such line within quotes."""
        fields = fields_of(record, self._source.separator, self._source.quote, self._source.escape)
        return record.startswith(_DOS_END) or not fields or any(field.startswith("\ufeff") for field in fields)

    def _with_bom(self, data: bytes, records: Records) -> Mask:
        """Whether a field of a record begins with a byte-order mark, or the record with DOS's end of a file.

        A line, or what follows a separator, within quotes counts as one.
        """
        boms = np.zeros(len(records.ends), np.bool_)
        if (_BOM[:1] in data and _BOM in data) or _DOS_END in data:  # one byte is found in a tenth of the time
            ends = np.array([begin.end() for begin in self._begins.finditer(data, 0, records.consumed)], np.int64)
            boms[np.searchsorted(records.ends, ends - 1, side="right")] = True
        return boms

    def _like_headers(self, data: bytes, starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The records that begin as a header line, in any case and behind blanks."""
        numbers = np.flatnonzero(self._may_begin[np.frombuffer(data, np.uint8)[starts]])
        if not numbers.size:
            return numbers
        padded = np.frombuffer(data + bytes(2 * _PREFIX), np.uint8)
        names = starts[numbers]
        for _ in range(_PREFIX):
            skipped = np.isin(padded[names], self._skipped)
            if not skipped.any():
                break
            names += skipped
        words = np.lib.stride_tricks.sliding_window_view(padded, _PREFIX)
        return numbers[_begin_with(_LOWER[words[names]], self._firsts)]


def _folded(names: Iterable[str]) -> tuple[str, ...]:
    """The names without the blanks around them, and without regard to case."""
    return tuple(name.strip().casefold() for name in names)


def _spellings(names: Iterable[str]) -> set[bytes]:
    """The names as a header line may write them; ASCII letters are small, since those of a record are made so."""
    stripped = {name.strip() for name in names}
    spelled = {how(name) for name in stripped for how in (str, str.lower, str.upper, str.title, str.capitalize)}
    return {name.encode().lower() for name in spelled}


def _ends(width: int, source: CsvSource) -> set[bytes]:
    """What may follow the first name in a header line; anything in a line of one column."""
    if width == 1:
        return {b""}
    ends = {source.separator.encode().lower(), *(bytes([blank]) for blank in _BLANKS)}
    return ends | ({source.quote.encode().lower()} if source.quote else set())


def _by_length(firsts: set[bytes]) -> dict[int, npt.NDArray[np.uint64]]:
    """The first bytes of each text as one number, by how many bytes they are."""
    numbers: dict[int, npt.NDArray[np.uint64]] = {}
    for length in {min(len(first), _PREFIX) for first in firsts}:
        words = [first[:length].ljust(_PREFIX, b"\0") for first in firsts if min(len(first), _PREFIX) == length]
        numbers[length] = np.frombuffer(b"".join(words), np.uint64)
    return numbers


def _that_begin(firsts: set[bytes], skipped: npt.NDArray[np.uint8]) -> Mask:
    """By each byte, whether a header line may begin with it: as one of the texts, a capital letter too, or skipped."""
    begins = np.full(256, b"" in firsts, np.bool_)
    begins[[first[0] for first in firsts if first]] = True
    begins |= begins[_LOWER]
    begins[skipped] = True
    return begins


def _begin_with(words: npt.NDArray[np.uint8], firsts: dict[int, npt.NDArray[np.uint64]]) -> Mask:
    """Whether each word begins with one of the texts."""
    like = np.zeros(len(words), np.bool_)
    for length, beginnings in firsts.items():
        cut = words.copy()
        cut[:, length:] = 0
        like |= np.isin(np.ascontiguousarray(cut).view(np.uint64).ravel(), beginnings)
    return like
