"""Reads Avro files in bounded memory, although polars decodes only whole files.

An Avro file is a header and blocks, each with its length: the header with some of the blocks is a valid file. So polars
decodes a few blocks at a time. fastavro takes 22 times as long (1 M rows of 9 columns: 16 s in place of 0.7 s), since
it makes a Python object of every value. https://avro.apache.org/docs/1.12.0/specification/#object-container-files
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import polars as pl

from cio_etl.errors import SourceError
from cio_etl.extract.files import RegularFile, named_files
from cio_etl.extract.stage import staged
from cio_etl.extract.staged_files import agreed, check_own_names, placed, with_places
from cio_etl.model import AvroSource, Snapshot, Staging

RULES = "avro 1"  # part of the copy's name: raise it when the same bytes would give other rows

_MAGIC = b"Obj\x01"
_SYNC_BYTES = 16
_HEAD_BYTES = 1 << 20
_LONG_BYTES = 10
_READ_BYTES = 4 << 20  # of blocks that are decoded together
_MAX_BLOCK_BYTES = 256 << 20
_ROWS_A_BYTE = 1_100  # a row has a byte or more, and deflate makes one byte of 1,032 at best
_PRIMITIVE = ("boolean", "int", "long", "float", "double", "bytes", "string")
_CODECS = ("null", "deflate", "snappy")  # what polars unpacks


def open_avro(source: AvroSource, staging: Staging, chunk_rows: int = 25_000) -> Snapshot:
    """The snapshot of a copy of all files that the source names, in sorted order. Raises SourceError, StateError."""
    return with_places(staged(_AvroFiles(source, staging), staging, chunk_rows))


@dataclass(frozen=True, slots=True)
class _Header:
    text: bytes  # the header as it is
    sync: bytes
    schema: bytes

    @property
    def without_rows(self) -> bytes:
        """A file without blocks; its codec is left out, since polars reads such a file only without one."""
        facts = _long(1) + b"".join(_long(len(fact)) + fact for fact in (b"avro.schema", self.schema))
        return _MAGIC + facts + _long(0) + self.sync


def _long(number: int) -> bytes:
    """A length in Avro's binary form."""
    number <<= 1
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*octets, number])


class _AvroFiles:
    """See stage.Reader."""

    def __init__(self, source: AvroSource, staging: Staging) -> None:
        self.place = ", ".join(source.paths)
        self._paths = source.paths
        self._wanted = staging.columns or ()

    @property
    def settings(self) -> object:
        return [RULES, self._paths]

    def cancel(self) -> None:
        """Frames are small: the thread stops after the present one."""

    def frames(self) -> Iterator[pl.DataFrame]:
        paths = named_files(self._paths)
        schema = agreed([(path, self._schema(path)) for path in paths])
        yield placed(pl.DataFrame(schema=schema), "", pl.Series([], dtype=pl.Int64))
        for path in paths:
            with RegularFile(path) as opened:
                row = 1
                for data, rows in _pieces(opened, _header(opened)):
                    frame = _decoded(path, data, rows).select(
                        pl.col(name).cast(dtype) for name, dtype in schema.items()
                    )
                    yield placed(frame, path, pl.int_range(row, row + frame.height, eager=True))
                    row += frame.height
                opened.check_unchanged()

    def _schema(self, path: str) -> pl.Schema:
        """The columns that have a JSON form."""
        with RegularFile(path) as opened:
            schema = _decoded(path, _header(opened).without_rows, 0).schema
        check_own_names(path, list(schema))
        columns = {name: _plain(dtype) for name, dtype in schema.items() if dtype != pl.Binary()}
        for name in schema:
            if name not in columns and name in self._wanted:
                raise SourceError(
                    "leave it out of the mapping",
                    place=path,
                    what=f"column {name!r} holds bytes, which have no JSON form",
                )
        if not columns:
            raise SourceError("export it again", place=path, what="no column has a JSON form")
        return pl.Schema(columns)


def _plain(dtype: pl.DataType) -> pl.DataType:
    return pl.String() if isinstance(dtype, pl.Categorical | pl.Enum) else dtype


def _header(opened: RegularFile) -> _Header:
    """Raises SourceError for a file that is not Avro, or has types or a codec that polars cannot decode."""
    head = _Longs(opened, opened.read_at(0, _HEAD_BYTES))
    if not head.data:
        raise SourceError("export it again", place=opened.path, what="the file is empty")
    if head.take(len(_MAGIC)) != _MAGIC:
        raise SourceError("is this an Avro file?", place=opened.path, what="does not begin as an Avro file does")
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
    if codec not in _CODECS:
        raise SourceError(
            f"write it with one of the codecs {', '.join(_CODECS)}",
            place=opened.path,
            what="is packed in a way that is not read here",
        )
    try:
        schema = json.loads(facts[b"avro.schema"])
    except (KeyError, ValueError, RecursionError):
        raise _damaged(opened.path) from None
    _check_schema(opened.path, schema)
    return _Header(head.data[: head.at], sync, facts[b"avro.schema"])


class _Longs:
    """Reads numbers and bytes of Avro's binary form, one after the other."""

    def __init__(self, opened: RegularFile, data: bytes) -> None:
        self.data = data
        self.at = 0
        self._path = opened.path

    def take(self, size: int) -> bytes:
        piece = self.data[self.at : self.at + size] if size >= 0 else b""
        if size < 0 or len(piece) < size:
            raise _damaged(self._path)
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
        raise _damaged(self._path)


def _check_schema(path: str, schema: Any) -> None:
    """Raises SourceError for types that make polars panic, or that have no place in a column."""
    if not isinstance(schema, dict) or schema.get("type") != "record" or not isinstance(schema.get("fields"), list):
        raise SourceError("export it again, as records", place=path, what="its rows are no records")
    for number, column in enumerate(schema["fields"], 1):
        try:
            name, wrong = column["name"], _unread(column["type"])
        except (KeyError, TypeError, AttributeError, RecursionError):
            raise _damaged(path) from None
        if wrong is not None:
            raise SourceError(
                "export it as JSON text, or leave it out of the file",
                place=path,
                what=f"column {number}, {name!r}, holds {wrong}, which is not read here",
            )


def _unread(kind: Any) -> str | None:
    """The part of an Avro type that polars cannot read, in words; None: it reads all of it."""
    match kind:
        case "null":
            return "only nulls"
        case [*kinds] if len(kinds) == 2 and "null" in kinds:
            return next((wrong for each in kinds if each != "null" and (wrong := _unread(each))), None)
        case [*_]:
            return "values of several types"
        case {"type": "map"}:
            return "maps"
        case {"type": "array", "items": items}:
            return _unread(items)
        case {"type": "record", "fields": [*fields]}:
            return next((wrong for each in fields if (wrong := _unread(each["type"]))), None)
        case {"type": dict() | list() as inner}:
            return _unread(inner)
        case str() if kind not in _PRIMITIVE:
            return "a type that stands elsewhere in the schema"
    return None


def _pieces(opened: RegularFile, header: _Header) -> Iterator[tuple[bytes, int]]:
    """Pieces of the file: the header with the next blocks, and their number of rows.

    Raises SourceError when the file is cut short or damaged.
    """
    at = begin = len(header.text)
    rows = 0
    while at < opened.identity.bytes:
        lengths = _Longs(opened, opened.read_at(at, 2 * _LONG_BYTES))
        block_rows, size = lengths.long(), lengths.long()
        end = at + lengths.at + size + _SYNC_BYTES
        if (
            not 0 <= size <= _MAX_BLOCK_BYTES
            or not 0 <= block_rows <= size * _ROWS_A_BYTE
            or end > opened.identity.bytes
        ):
            raise _damaged(opened.path)
        if rows and end - begin > _READ_BYTES:
            yield header.text + opened.read_at(begin, at - begin), rows
            begin, rows = at, 0
        at, rows = end, rows + block_rows
    if at > begin:
        yield header.text + opened.read_at(begin, at - begin), rows


def _decoded(path: str, data: bytes, rows: int) -> pl.DataFrame:
    """The rows of a piece. The words of polars' errors and panics would show data, so they are replaced."""
    try:
        frame = pl.read_avro(BytesIO(data))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError):
        raise _damaged(path) from None
    if frame.height != rows:
        raise _damaged(path)
    return frame


def _damaged(path: str) -> SourceError:
    return SourceError("copy or export it again", place=path, what="is damaged or cut short, or not an Avro file")
