"""Reads the container of an Avro file: its header, and its blocks, unpacked within bounds.

An Avro file is a header and blocks, each with its length: a header with some of the blocks is a valid file.
https://avro.apache.org/docs/1.12.0/specification/#object-container-files
"""

from __future__ import annotations

import bz2
import json
import lzma
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pyarrow as pa

from cio_etl.errors import SourceError, is_limit
from cio_etl.extract.file_kinds import refuse_other_kind
from cio_etl.extract.files import RegularFile
from cio_etl.model.records import dataclass

_MAGIC = b"Obj\x01"
_SYNC = bytes(16)  # of the files that are made here
_SYNC_BYTES = 16
_HEAD_BYTES = 1 << 20
_LONG_BYTES = 10
_CHECKSUM_BYTES = 4  # after a block of snappy
MAX_BLOCK_BYTES = 256 << 20  # packed or not: a few kilobytes may unfold to gigabytes


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself: the fields of its rows, how blocks are packed, and the sync marker that ends them."""

    fields: list[Any]
    codec: str
    sync: bytes
    bytes: int


@dataclass(frozen=True, slots=True)
class Block:
    """The next rows of a file, unpacked."""

    rows: int
    data: bytes


def read_header(opened: RegularFile) -> Header:
    """Raises SourceError for a file that is not Avro, whose rows are no records, or whose codec is not known."""
    head = _Longs(opened.path, opened.read_at(0, _HEAD_BYTES))
    if not head.data:
        raise SourceError("export it again", place=opened.path, what="the file is empty")
    if head.take(len(_MAGIC)) != _MAGIC:
        refuse_other_kind(opened.path, head.data, "Avro")
        raise SourceError("copy or export it again", place=opened.path, what="does not begin as an Avro file does")
    facts: dict[bytes, bytes] = {}
    while entries := head.long():
        if entries < 0:
            entries = -entries
            head.long()  # the size of the entries
        for _ in range(entries):
            name = head.take(head.long())
            facts[name] = head.take(head.long())
    sync = head.take(_SYNC_BYTES)
    codec = facts.get(b"avro.codec", b"null").decode("utf-8", "replace")
    if codec not in _UNPACK:
        raise SourceError(
            f"write it with one of the codecs {', '.join(_UNPACK)}",
            place=opened.path,
            what="is packed in a way that is not read here",
        )
    try:
        schema = json.loads(facts[b"avro.schema"])
    except (KeyError, ValueError, RecursionError):
        raise damaged(opened.path) from None
    if not isinstance(schema, dict) or schema.get("type") != "record" or not isinstance(schema.get("fields"), list):
        raise SourceError("export it again, as records", place=opened.path, what="its rows are no records")
    return Header(schema["fields"], codec, sync, head.at)


def blocks(opened: RegularFile, header: Header) -> Iterator[Block]:
    """The blocks of a file. Raises SourceError when it is cut short or damaged, or unfolds without bound."""
    at, number = header.bytes, 0
    while at < opened.identity.bytes:
        number += 1
        lengths = _Longs(opened.path, opened.read_at(at, 2 * _LONG_BYTES), number)
        rows, size = lengths.long(), lengths.long()
        begin = at + lengths.at
        at = begin + size + _SYNC_BYTES
        if not 0 <= size <= MAX_BLOCK_BYTES or at > opened.identity.bytes:
            raise damaged(opened.path, number)
        read = opened.read_at(begin, size + _SYNC_BYTES)
        if read[size:] != header.sync:
            raise damaged(opened.path, number)
        try:
            data = _UNPACK[header.codec](read[:size])
        except _TooLarge:
            raise SourceError(
                "write it with smaller blocks",
                place=opened.path,
                what=f"block {number} unfolds to more than {MAX_BLOCK_BYTES >> 20} MB",
            ) from None
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, pa.ArrowException) as error:
            if is_limit(error):
                raise
            raise damaged(opened.path, number) from None
        if not 0 <= rows <= len(data):  # a row has a byte or more
            raise damaged(opened.path, number)
        yield Block(rows, data)


def without_rows(fields: list[Any]) -> BytesIO:
    """A file of these fields, for polars."""
    return BytesIO(_head(fields))


def with_rows(fields: list[Any], content: list[Block]) -> BytesIO:
    """A file of these blocks, for polars."""
    pieces = [_head(fields)]
    for block in content:
        pieces += [_long(block.rows), _long(len(block.data)), block.data, _SYNC]
    return BytesIO(b"".join(pieces))


def damaged(path: str, block: int = 0) -> SourceError:
    """The error of a file that cannot be decoded; `block` counts from 1, 0: it is the header."""
    place = f" in block {block}" if block else ""
    return SourceError(
        "copy or export it again", place=path, what=f"is damaged or cut short{place}, or not an Avro file"
    )


def _head(fields: list[Any]) -> bytes:
    schema = json.dumps({"type": "record", "name": "row", "fields": fields}).encode()
    facts = _long(1) + b"".join(_long(len(fact)) + fact for fact in (b"avro.schema", schema))
    return _MAGIC + facts + _long(0) + _SYNC


def _long(number: int) -> bytes:
    """A length in Avro's binary form."""
    number <<= 1
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*octets, number])


class _Longs:
    """Reads numbers and bytes of Avro's binary form, one after the other."""

    def __init__(self, path: str, data: bytes, block: int = 0) -> None:
        self.data = data
        self.at = 0
        self._path, self._block = path, block

    def take(self, size: int) -> bytes:
        piece = self.data[self.at : self.at + size] if size >= 0 else b""
        if size < 0 or len(piece) < size:
            raise damaged(self._path, self._block)
        self.at += size
        return piece

    def long(self) -> int:
        """A zigzag number of variable length."""
        number = shift = 0
        for octet in self.data[self.at : self.at + _LONG_BYTES]:
            self.at += 1
            number |= (octet & 0x7F) << shift
            shift += 7
            if octet < 0x80:
                return (number >> 1) ^ -(number & 1)
        raise damaged(self._path, self._block)


# ---------------------------------------------------------------- codecs


class _TooLarge(Exception):
    """A block that unfolds to more than MAX_BLOCK_BYTES."""


def _bounded(data: bytes) -> bytes:
    if len(data) > MAX_BLOCK_BYTES:
        raise _TooLarge
    return data


def _deflate(data: bytes) -> bytes:
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    unpacked = _bounded(unpacker.decompress(data, MAX_BLOCK_BYTES + 1))
    if not unpacker.eof:
        raise EOFError
    return unpacked


def _snappy(data: bytes) -> bytes:
    packed, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    size = shift = 0
    for octet in packed[:5]:  # its length comes first
        size |= (octet & 0x7F) << shift
        shift += 7
        if octet < 0x80:
            break
    if size > MAX_BLOCK_BYTES:
        raise _TooLarge
    unpacked: bytes = pa.Codec("snappy").decompress(packed, size).to_pybytes()
    if zlib.crc32(unpacked).to_bytes(_CHECKSUM_BYTES, "big") != checksum:
        raise ValueError
    return unpacked


def _zstandard(data: bytes) -> bytes:
    with pa.input_stream(pa.py_buffer(data), compression="zstd") as stream:
        unpacked: bytes = stream.read(MAX_BLOCK_BYTES + 1)
    return _bounded(unpacked)


def _unpacked(unpacker: bz2.BZ2Decompressor | lzma.LZMADecompressor, data: bytes) -> bytes:
    unpacked = _bounded(unpacker.decompress(data, MAX_BLOCK_BYTES + 1))
    if not unpacker.eof:
        raise EOFError
    return unpacked


_UNPACK: dict[str, Callable[[bytes], bytes]] = {
    "null": bytes,
    "deflate": _deflate,
    "snappy": _snappy,
    "zstandard": _zstandard,
    "bzip2": lambda data: _unpacked(bz2.BZ2Decompressor(), data),
    "xz": lambda data: _unpacked(lzma.LZMADecompressor(), data),
}
