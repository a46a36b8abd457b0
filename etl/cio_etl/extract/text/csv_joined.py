"""Finds traces of files that were put together: header lines and byte-order marks among the rows.

`cat a.csv b.csv` and gzip files of several members leave them. A header line would be a person whose id is "id".
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from cio_etl.extract.text.csv_header import fields_of
from cio_etl.extract.text.csv_records import Malformed, Mask, Records
from cio_etl.model import CsvSource

_MARK = b"\xef\xbb\xbf"
_PREFIX = 8  # bytes that are compared at once


class JoinedFiles:
    """Knows the header of a file, and looks for it among its records."""

    def __init__(self, names: tuple[str, ...], source: CsvSource) -> None:
        self._names, self._source = names, source
        separator, quote = source.separator.encode(), (source.quote or "").encode()
        firsts = {name.encode() + (separator if len(names) > 1 else b"") for name in names}
        firsts |= {quote + name.encode() + quote for name in names}
        firsts |= {_MARK, _MARK + quote}
        self._masks: dict[int, npt.NDArray[np.uint64]] = {}  # by length: the beginnings of header lines
        for length in {min(len(first), _PREFIX) for first in firsts}:
            words = [first[:length].ljust(_PREFIX, b"\0") for first in firsts if min(len(first), _PREFIX) == length]
            self._masks[length] = np.frombuffer(b"".join(words), np.uint64)

    def with_traces(self, data: bytes, records: Records) -> Records | Malformed:
        """The records, with `header` and `marked`; Malformed for a header line whose columns are in another order."""
        if not records.ends.size:
            return records
        headers, marks = np.zeros(len(records.ends), np.bool_), np.zeros(len(records.ends), np.bool_)
        starts = records.starts
        for number in np.flatnonzero(self._like_headers(data, starts)):
            start, end = int(starts[number]), int(records.ends[number])
            marks[number] = data.startswith((_MARK, b'"' + _MARK), start)
            if end - start > 2 * sum(map(len, self._names)) + 99 * len(self._names):
                continue
            record = data[start:end].removeprefix(_MARK)
            fields = tuple(fields_of(record, self._source.separator, self._source.quote, self._source.escape))
            headers[number] = fields == self._names
            if not headers[number] and len(fields) > 1 and sorted(fields) == sorted(self._names):
                return Malformed(
                    start,
                    "is a second header line with its columns in another order than the first",
                    "name the files one by one, or with a pattern; put together, their rows are in the wrong columns",
                )
        return replace(records, header=headers, marked=marks & ~headers)

    def _like_headers(self, data: bytes, starts: npt.NDArray[np.int64]) -> Mask:
        """Whether a record begins as a header line, or with a byte-order mark."""
        padded = np.frombuffer(data + bytes(_PREFIX), np.uint8)
        words = np.lib.stride_tricks.sliding_window_view(padded, _PREFIX)[starts]
        like = np.zeros(len(starts), np.bool_)
        for length, beginnings in self._masks.items():
            cut = words.copy()
            cut[:, length:] = 0
            like |= np.isin(np.ascontiguousarray(cut).view(np.uint64).ravel(), beginnings)
        return like
