"""Finds how large a page becomes whose texts leave out what they share with the text before (DELTA_BYTE_ARRAY).

Such a page begins with the number of shared bytes of each text: a page of a megabyte may unfold to terabytes.
https://parquet.apache.org/docs/file-format/data-pages/encodings/
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cio_etl.extract.files import RegularFile
from cio_etl.extract.parquet.pages import Page
from cio_etl.extract.parquet.thrift import Malformed, varint, zigzag

_LENGTH_BYTES = 4  # before the levels of a page of version 1
_AT_ONCE = 1 << 16  # numbers
_MAX_BITS = 62  # of a difference of two lengths


def shared_bytes(opened: RegularFile, page: Page, compression: str, levels: int) -> int:
    """The bytes that the page's texts share with those before them. Raises Malformed, ValueError, an ArrowException.

    `levels`: the kinds of levels that a page of version 1 of the column begins with, of repetition and of definition.
    """
    data = opened.read_at(page.start, page.packed)
    at = page.level_bytes or 0
    if page.is_compressed and compression != "UNCOMPRESSED":
        codec, size = pa.Codec(compression.lower()), page.unpacked - at
        data, at = codec.decompress(data[at:], size).to_pybytes(), 0
    if page.level_bytes is None:
        for _ in range(levels):
            at += _LENGTH_BYTES + int.from_bytes(data[at : at + _LENGTH_BYTES], "little")
    return _sum(data, at, page.values)


def _sum(data: bytes, at: int, most: int) -> int:
    """The sum of numbers in Parquet's form of differences, at most so many. Raises Malformed."""
    try:
        block, at = varint(data, at)
        parts, at = varint(data, at)
        count, at = varint(data, at)
        last, at = zigzag(data, at)
        if not parts or block % (32 * parts) or count > most or last < 0:
            raise Malformed
        total, left, values = last, count - 1, block // parts
        while left > 0:
            least, at = zigzag(data, at)
            widths, at = data[at : at + parts], at + parts
            for width in widths[: -(-left // values)]:
                wanted = min(left, values)
                if width > _MAX_BITS or at + -(-wanted * width // 8) > len(data):
                    raise Malformed
                for begin in range(0, wanted, _AT_ONCE):
                    size = min(wanted - begin, _AT_ONCE)
                    numbers = last + np.cumsum(_differences(data, at + begin * width // 8, width, size) + least)
                    if numbers.min() < 0:
                        raise Malformed
                    total, last = total + int(numbers.sum()), int(numbers[-1])
                left -= wanted
                at += values * width // 8
    except IndexError:
        raise Malformed from None
    return total


def _differences(data: bytes, at: int, width: int, count: int) -> npt.NDArray[np.int64]:
    """So many numbers of `width` bits, the lowest bit first."""
    if not width:
        return np.zeros(count, np.int64)
    packed = np.frombuffer(data, np.uint8, -(-count * width // 8), at)
    bits = np.unpackbits(packed, count=count * width, bitorder="little").reshape(count, width)
    differences: npt.NDArray[np.int64] = bits @ (np.int64(1) << np.arange(width, dtype=np.int64))
    return differences
