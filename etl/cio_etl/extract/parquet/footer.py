"""Reads what a Parquet file says of itself: its row groups, its columns, and why a column is not read.

pyarrow reads the footer: it knows all types. A column that cannot be read is no fault of the file until a mapping
reads it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from cio_etl.errors import SourceError
from cio_etl.extract.arrow_types import NotRead, Reading, plain, reading_of
from cio_etl.extract.decoding import decoding
from cio_etl.extract.file_kinds import HEAD_BYTES, refuse_other_kind
from cio_etl.extract.files import RegularFile
from cio_etl.extract.parquet.thrift import Malformed, read_struct
from cio_etl.model.records import dataclass

_TAIL_BYTES = 8  # the footer's length and the magic number
_SIGNATURE_BYTES = 28  # after the footer of a file with encrypted columns
_ROW_GROUPS, _CHUNKS, _CRYPTO = 4, 1, 8  # numbers of fields of the footer's structures
_VARIANT = re.compile(r" \(Variant\(\d*\)\) \{$")

_AS_TEXT = "export it as text"
_ODD_TYPES = {
    "INTERVAL": NotRead("an INTERVAL", "export it as a number or as text"),
    "BSON": NotRead("BSON", "export it as JSON text"),
    "GEOMETRY": NotRead("a GEOMETRY", f"{_AS_TEXT}, such as with ST_AsText"),
    "GEOGRAPHY": NotRead("a GEOGRAPHY", f"{_AS_TEXT}, such as with ST_AsText"),
}
_IS_VARIANT = NotRead("a VARIANT", "export it as JSON text")
_IS_ENCRYPTED = NotRead("encrypted", "export it without encryption")
# What polars 2.1 does not decode of values of fixed length.
_FOR_PYARROW = {"BYTE_STREAM_SPLIT", "DELTA_BYTE_ARRAY"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a file. Its leaves are its parts in the file: one, or more if it is nested."""

    name: str
    leaves: range
    reading: Reading | None
    refusal: SourceError | None  # why it has no reading
    is_nested: bool
    by_polars: bool


@dataclass(frozen=True, slots=True)
class Footer:
    """What a file says of itself."""

    metadata: pq.FileMetaData
    columns: Mapping[str, Column]
    group_rows: tuple[int, ...]

    @property
    def is_part(self) -> bool:
        """Whether the file has more row groups."""
        return bool(len(self.group_rows) < self.metadata.num_row_groups)

    def of_first_groups(self, rows: int) -> Footer:
        """The footer without the row groups after those that have at least so many rows."""
        before = accumulate(self.group_rows, initial=0)  # the rows before each group
        wanted = (group for group, begin in zip(self.group_rows, before, strict=False) if begin < rows)
        return replace(self, group_rows=tuple(wanted))


def read_footer(opened: RegularFile) -> Footer:
    """The footer of a file. Raises SourceError for one that is damaged, is encrypted, or has no columns."""
    path = opened.path
    last = opened.read_at(max(0, opened.identity.bytes - 4), 4)
    if last == b"PARE":
        raise SourceError("export it without encryption", place=path, what="is encrypted")
    if last != b"PAR1":
        refuse_other_kind(path, opened.read_at(0, HEAD_BYTES), "Parquet")
    with decoding(lambda: damaged(path)), pa.OSFile(path) as stream:
        parquet = pq.ParquetFile(stream, coerce_int96_timestamp_unit="us", arrow_extensions_enabled=True)
        metadata, schema, lines = parquet.metadata, parquet.schema_arrow, str(parquet.schema).splitlines()
        group_rows = tuple(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups))
    if sum(group_rows) != metadata.num_rows or min(group_rows, default=0) < 0:
        raise damaged(path)
    if not len(schema):
        raise SourceError("export it again, with its columns", place=path, what="the file has no columns")
    columns = list(_columns(path, metadata, schema, _encrypted_leaves(opened, metadata), _variants(lines)))
    return Footer(metadata, _as_polars_sees_them(path, columns), group_rows)


def damaged(path: str, what: str = "is damaged, or not a Parquet file") -> SourceError:
    """The error of a file that cannot be decoded, or whose bytes are not those that were written."""
    return SourceError("copy or export it again", place=path, what=what)


def scan(path: str) -> pl.LazyFrame:
    """The file itself: nothing in its path is a pattern or a value."""
    return pl.scan_parquet(path, glob=False, hive_partitioning=False)


def _columns(
    path: str, metadata: pq.FileMetaData, schema: pa.Schema, encrypted: frozenset[int], variants: frozenset[int]
) -> Iterator[Column]:
    places = defaultdict(list)
    for number, name in enumerate(schema.names, 1):
        places[name].append(number)
    first = 0
    for number, field in enumerate(schema):
        leaves = range(first, first + _leaf_count(field.type))
        first = leaves.stop
        if leaves.stop > len(metadata.schema):
            raise damaged(path)
        is_nested = pa.types.is_nested(field.type)
        twice = places[field.name]
        if len(twice) > 1:
            what = f"columns {', '.join(map(str, twice[:-1]))} and {twice[-1]} are all named {field.name!r}"
            refusal = SourceError("give each a name of its own", place=path, what=what)
            yield Column(field.name, leaves, None, refusal, is_nested, False)
            continue
        try:
            if encrypted.intersection(leaves):
                raise _IS_ENCRYPTED
            if number in variants:
                raise _IS_VARIANT
            for leaf in leaves:
                _check_leaf(metadata.schema.column(leaf))
            reading = reading_of(field.type)
        except NotRead as odd:
            refusal = SourceError(
                f"{odd.remedy}, or leave it out of the mapping",
                place=path,
                what=f"column {field.name!r} is {odd.what}, which is not read here",
            )
            yield Column(field.name, leaves, None, refusal, is_nested, False)
        else:
            by_polars = not _has(_CHANGED_BY_POLARS, field.type) and _polars_decodes(metadata, leaves)
            yield Column(field.name, leaves, reading, None, is_nested, by_polars)


def _as_polars_sees_them(path: str, columns: list[Column]) -> dict[str, Column]:
    """The columns by name. polars reads those whose type it sees as pyarrow does.

    It is not asked where it would refuse the whole file, often by a panic, for one column that nobody reads.
    """
    polars_schema: Mapping[str, pl.DataType] = {}
    if all(column.reading is not None and not column.reading.changed for column in columns):
        try:
            polars_schema = scan(path).collect_schema()
        except (Exception, pl.exceptions.PanicException):
            polars_schema = {}
    return {
        column.name: replace(column, by_polars=column.by_polars and _same(column, polars_schema)) for column in columns
    }


def _same(column: Column, polars_schema: Mapping[str, pl.DataType]) -> bool:
    return (
        column.reading is not None
        and column.name in polars_schema
        and plain(polars_schema[column.name]) == column.reading.imported
    )


def _leaf_count(kind: pa.DataType) -> int:
    if isinstance(kind, pa.BaseExtensionType):
        return _leaf_count(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return 1
    return sum(_leaf_count(kind.field(index).type) for index in range(kind.num_fields)) if kind.num_fields else 1


def _check_leaf(leaf: pq.ColumnSchema) -> None:
    """Raises NotRead for types that pyarrow gives as the bytes that they are stored in."""
    for kind in (leaf.logical_type.type, leaf.converted_type):
        if kind in _ODD_TYPES:
            raise _ODD_TYPES[kind]


# Of a key that a map has twice, polars drops the first value: only what is read can be rejected.
_CHANGED_BY_POLARS = (pa.types.is_fixed_size_list, pa.types.is_map)


def _has(sorts: Sequence[Callable[[pa.DataType], bool]], kind: pa.DataType) -> bool:
    inner = (kind.field(index).type for index in range(kind.num_fields))
    return any(is_sort(kind) for is_sort in sorts) or any(_has(sorts, each) for each in inner)


def _polars_decodes(metadata: pq.FileMetaData, leaves: range) -> bool:
    groups = range(metadata.num_row_groups)
    for leaf in leaves:
        if groups and metadata.row_group(0).column(leaf).dictionary_page_offset == 0:  # where there is no dictionary
            return False
        if metadata.schema.column(leaf).physical_type == "FIXED_LEN_BYTE_ARRAY" and any(
            _FOR_PYARROW.intersection(metadata.row_group(group).column(leaf).encodings) for group in groups
        ):
            return False
    return True


def _variants(lines: list[str]) -> frozenset[int]:
    """The numbers of the columns that hold a VARIANT, from the schema as pyarrow prints it: it names no such type."""
    numbers, number = set(), -1
    for line in lines:
        if re.match("  [a-z]", line):
            number += 1
        if _VARIANT.search(line):
            numbers.add(number)
    return frozenset(numbers)


def _encrypted_leaves(opened: RegularFile, metadata: pq.FileMetaData) -> frozenset[int]:
    """The leaves that are encrypted, in a file whose footer is not. pyarrow would end the process when asked for one.

    The footer of such a file is signed, and so is longer than what is in it.
    """
    end = opened.identity.bytes - _TAIL_BYTES
    size = int.from_bytes(opened.read_at(end, 4), "little")
    if size != metadata.serialized_size + _SIGNATURE_BYTES:
        return frozenset()
    try:
        footer, _ = read_struct(opened.read_at(end - size, size))
        groups = [group[_CHUNKS] for group in footer[_ROW_GROUPS]]
        return frozenset(leaf for chunks in groups for leaf, chunk in enumerate(chunks) if _CRYPTO in chunk)
    except (Malformed, KeyError, TypeError):
        raise damaged(opened.path) from None
