"""Writes Parquet files byte by byte: what no library writes, such as pages whose checksum or size is wrong."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

INT32, INT64, INT96, BYTE_ARRAY, FIXED = 1, 2, 3, 6, 7
REQUIRED, OPTIONAL, REPEATED = 0, 1, 2
PLAIN, RLE = 0, 3
NONE, GZIP, LZ4_HADOOP = 0, 2, 5
_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12


@dataclass(frozen=True)
class Leaf:
    """A column of one part, of pages of its values."""

    name: str
    kind: int
    pages: Sequence[tuple[int, bytes]]  # values, and the page's bytes before it is compressed
    repetition: int = REQUIRED
    converted: int | None = None
    logical: bytes | None = None  # a LogicalType
    length: int = 0
    codec: int = NONE
    pack: Callable[[bytes], bytes] = bytes
    checksum: Callable[[bytes], int] | None = None
    unpacked: int | None = None  # what the page says of its size, where that is not so
    facts: dict[int, int] = field(default_factory=dict)  # further fields of the column's metadata


def thrift(*fields: tuple[int, int, object]) -> bytes:
    """A structure of (number, kind, value), in Thrift's compact protocol."""
    out, before = bytearray(), 0
    for number, kind, value in fields:
        step = number - before
        out += bytes([step << 4 | kind]) if step < 16 else bytes([kind]) + _zigzag(number)
        out += _encoded(kind, value)
        before = number
    return bytes(out) + b"\0"


def write(rows: int, *leaves: Leaf, groups: int = 1) -> bytes:
    """A file of these columns, whose row groups are all the same."""
    out = bytearray(b"PAR1")
    written = []
    for _ in range(groups):
        chunks = [_chunk(out, leaf) for leaf in leaves]
        size = sum(len(data) for leaf in leaves for _, data in leaf.pages)
        written.append(thrift((1, _LIST, (_STRUCT, chunks)), (2, _I64, size), (3, _I64, rows)))
    root = thrift((4, _BINARY, b"schema"), (5, _I32, len(leaves)))
    schema = [root, *map(_element, leaves)]
    footer = thrift(
        (1, _I32, 1),
        (2, _LIST, (_STRUCT, schema)),
        (3, _I64, rows * groups),
        (4, _LIST, (_STRUCT, written)),
    )
    return bytes(out) + footer + struct.pack("<I", len(footer)) + b"PAR1"


def integers(*values: int) -> tuple[int, bytes]:
    """A page of INT64."""
    return len(values), struct.pack(f"<{len(values)}q", *values)


def texts(*values: str) -> tuple[int, bytes]:
    """A page of BYTE_ARRAY."""
    return len(values), b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in values)


def crc(data: bytes) -> int:
    """The checksum of a page's bytes, as the format stores it: signed."""
    return int(struct.unpack("<i", struct.pack("<I", zlib.crc32(data)))[0])


def _chunk(out: bytearray, leaf: Leaf) -> bytes:
    start, unpacked = len(out), 0
    for values, data in leaf.pages:
        packed = leaf.pack(data)
        about = thrift((1, _I32, values), (2, _I32, PLAIN), (3, _I32, RLE), (4, _I32, RLE))
        checksum = [] if leaf.checksum is None else [(4, _I32, leaf.checksum(packed))]
        size = len(data) if leaf.unpacked is None else leaf.unpacked
        out += thrift((1, _I32, 0), (2, _I32, size), (3, _I32, len(packed)), *checksum, (5, _STRUCT, about))
        out += packed
        unpacked += size
    facts = thrift(
        (1, _I32, leaf.kind),
        (2, _LIST, (_I32, [_zigzag(PLAIN), _zigzag(RLE)])),
        (3, _LIST, (_BINARY, [_encoded(_BINARY, leaf.name.encode())])),
        (4, _I32, leaf.codec),
        (5, _I64, sum(values for values, _ in leaf.pages)),
        (6, _I64, unpacked),
        (7, _I64, len(out) - start),
        (9, _I64, start),
        *((number, _I64, value) for number, value in leaf.facts.items()),
    )
    return thrift((2, _I64, start), (3, _STRUCT, facts))


def _element(leaf: Leaf) -> bytes:
    return thrift(
        (1, _I32, leaf.kind),
        *([(2, _I32, leaf.length)] if leaf.length else []),
        (3, _I32, leaf.repetition),
        (4, _BINARY, leaf.name.encode()),
        *([] if leaf.converted is None else [(6, _I32, leaf.converted)]),
        *([] if leaf.logical is None else [(10, _STRUCT, leaf.logical)]),
    )


def _encoded(kind: int, value: object) -> bytes:
    if isinstance(value, int):
        return _zigzag(value)
    if isinstance(value, bytes):
        return value if kind == _STRUCT else _varint(len(value)) + value
    assert isinstance(value, tuple)
    inner, items = value
    head = bytes([len(items) << 4 | inner]) if len(items) < 15 else bytes([0xF0 | inner]) + _varint(len(items))
    return head + b"".join(items)


def _zigzag(number: int) -> bytes:
    return _varint((number << 1) ^ (number >> 63))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
