"""Walks the pages of a column: compares their checksums, and finds how large they become in memory.

Only headers are decoded, and only bytes that have a checksum are read. Spark, Hive and polars write checksums, pyarrow
does on request. No library but pyarrow compares them, and decoding a file a second time for that costs five times what
polars takes. https://parquet.apache.org/docs/file-format/data-pages/
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from cio_etl.extract.files import RegularFile
from cio_etl.extract.parquet.thrift import Malformed, read_struct
from cio_etl.model.records import dataclass

_HEADER_BYTES = (256, 4 << 10, 1 << 20)  # read at first, and when that was not enough: headers may hold statistics
_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3


@dataclass(frozen=True, slots=True)
class Page:
    """One page by its header. `sound`: its bytes agree with its checksum, or it has none."""

    is_dictionary: bool
    values: int
    unpacked: int
    sound: bool
    start: int  # of its bytes in the file
    packed: int
    encoding: object
    level_bytes: int | None  # that come first and are never compressed; None: a page of version 1
    is_compressed: bool


def pages(opened: RegularFile, start: int, values: int) -> Iterator[Page]:
    """The pages of a column in a row group, from the byte `start` on, until they have as many values.

    Ends early at a header that cannot be read: whether the file is damaged is then for its decoder to say.
    """
    while values > 0:
        header_and_size = _header(opened, start)
        if header_and_size is None:
            return
        header, size = header_and_size
        kind, unpacked, packed = header.get(1), header.get(2), header.get(3)
        parts = {_DATA: 5, _DICTIONARY: 7, _DATA_V2: 8}
        about = header.get(parts.get(kind, -1), {}) if isinstance(kind, int) else {}
        counted = about.get(1, 0) if isinstance(about, dict) else 0
        if not (isinstance(unpacked, int) and isinstance(packed, int) and isinstance(counted, int)):
            return
        if packed < 0 or unpacked < 0 or counted < 0:
            return
        sound = 4 not in header or _agrees(opened, start + size, packed, header[4])
        yield _page(kind, about, counted, unpacked, sound, start + size, packed)
        start += size + packed
        values -= 0 if kind == _DICTIONARY else counted


def _page(kind: object, about: object, values: int, unpacked: int, sound: bool, start: int, packed: int) -> Page:
    facts = about if isinstance(about, dict) else {}
    if kind != _DATA_V2:
        return Page(kind == _DICTIONARY, values, unpacked, sound, start, packed, facts.get(2), None, True)
    levels = facts.get(5, 0) + facts.get(6, 0)
    return Page(False, values, unpacked, sound, start, packed, facts.get(4), levels, facts.get(7, True))


def _header(opened: RegularFile, start: int) -> tuple[dict[int, object], int] | None:
    for size in _HEADER_BYTES:
        data = opened.read_at(start, size)
        try:
            return read_struct(data)
        except Malformed:
            if len(data) < size:
                return None
    return None


def _agrees(opened: RegularFile, start: int, size: int, checksum: object) -> bool:
    data = opened.read_at(start, size)
    return len(data) == size and isinstance(checksum, int) and zlib.crc32(data) == checksum & 0xFFFFFFFF
