"""The snapshot of a copy of Avro files. polars decodes a few blocks at a time.

fastavro takes 22 times as long (1 M rows of 9 columns: 16 s in place of 0.7 s), since it makes a Python object of every
value.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from io import BytesIO

import polars as pl
import polars.selectors as cs

from cio_etl.errors import SourceError, is_limit
from cio_etl.extract.avro.container import Block, Header, blocks, damaged, read_header, with_rows, without_rows
from cio_etl.extract.avro.schema import Column, Undecodable, columns_of
from cio_etl.extract.files import RegularFile, named_files
from cio_etl.extract.stage import staged
from cio_etl.extract.staged_files import agreed, check_own_names, placed, with_places
from cio_etl.model import MAP_KEY_REPEATED, AvroSource, Snapshot, Staging
from cio_etl.model.records import dataclass
from cio_etl.transform.nested import as_dtype, fields, parts

RULES = "avro 2"  # part of the copy's name: raise it when the same bytes would give other rows

_READ_BYTES = 4 << 20  # of blocks that are decoded together


def open_avro(source: AvroSource, staging: Staging, chunk_rows: int = 25_000) -> Snapshot:
    """The snapshot of a copy of all files that the source names, in sorted order. Raises SourceError, StateError."""
    return with_places(staged(_AvroFiles(source, staging), staging, chunk_rows))


@dataclass(frozen=True, slots=True)
class _AvroFile:
    """One file: how polars decodes it, and the types of its columns that have a JSON form."""

    header: Header
    columns: tuple[Column, ...]
    schema: pl.Schema

    @property
    def fields(self) -> list[object]:
        return [{"name": each.name, "type": each.schema} for each in self.columns if each.schema is not None]


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
        files = []
        for path in named_files(self._paths):
            with RegularFile(path) as opened:
                files.append((path, self._file(opened)))
        schema = agreed([(path, file.schema) for path, file in files])
        has_maps = any(isinstance(part.dtype, pl.Map) for dtype in schema.values() for part in parts(dtype))
        no_faults = pl.Series([], dtype=pl.String) if has_maps else None
        yield placed(pl.DataFrame(schema=schema), "", pl.Series([], dtype=pl.Int64), no_faults)
        for path, file in files:
            with RegularFile(path) as opened:
                row = 1
                for content in _pieces(opened, file.header):
                    rows = sum(block.rows for block in content)
                    decoded = _decoded(path, with_rows(file.fields, content), rows)
                    frame = _typed(file, decoded, schema)
                    faults = decoded.select(_repeated_keys(decoded.columns, schema)).to_series() if has_maps else None
                    yield placed(frame, path, pl.int_range(row, row + frame.height, eager=True), faults)
                    row += frame.height
                opened.check_unchanged()

    def _file(self, opened: RegularFile) -> _AvroFile:
        header = read_header(opened)
        try:
            columns = tuple(columns_of(header.fields))
        except Undecodable as wrong:
            raise SourceError(
                "export it as JSON text, or leave it out of the file",
                place=opened.path,
                what=f"{wrong}, which is not read here",
            ) from None
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
            raise damaged(opened.path) from None
        check_own_names(opened.path, [column.name for column in columns])
        return _AvroFile(header, columns, self._schema(opened.path, columns))

    def _schema(self, path: str, columns: tuple[Column, ...]) -> pl.Schema:
        """The columns that have a JSON form."""
        fields = [{"name": each.name, "type": each.schema} for each in columns if each.schema is not None]
        if not fields:
            raise SourceError("export it again", place=path, what="no column has a JSON form")
        schema_read = _decoded(path, without_rows(fields), 0).schema
        schema = {}
        for column in columns:
            dtype = pl.Null() if column.schema is None else column.dtype or _plain(schema_read[column.name])
            dtype = pl.String() if column.is_uuid else dtype
            if dtype != pl.Binary():
                schema[column.name] = dtype
            elif column.name in self._wanted:
                what = f"column {column.name!r} holds {column.bytes_of}, which have no JSON form"
                raise SourceError("leave it out of the mapping", place=path, what=what)
        if not schema:
            raise SourceError("export it again", place=path, what="no column has a JSON form")
        return pl.Schema(schema)


def _plain(dtype: pl.DataType) -> pl.DataType:
    return pl.String() if isinstance(dtype, pl.Categorical | pl.Enum) else dtype


def _typed(file: _AvroFile, frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """The decoded rows with the types that the columns have in all files."""
    columns = {column.name: column for column in file.columns}
    return frame.select(
        pl.lit(None, dtype).alias(name)
        if columns[name].schema is None
        else _value(columns[name]).cast(dtype).alias(name)
        for name, dtype in schema.items()
    )


def _repeated_keys(names: Collection[str], schema: pl.Schema) -> pl.Expr:
    """The faults of the decoded columns, as text: of a key that a map has twice, the cast to maps drops one value."""
    faults = [pl.lit(None, pl.String)]
    for number, (name, dtype) in enumerate(schema.items()):
        if name in names and (test := _repeats_a_key(cs.by_name(name).as_expr(), dtype)) is not None:
            faults.append(pl.when(test).then(pl.lit(f"{number}:{MAP_KEY_REPEATED}")))
    text = pl.concat_str(faults, separator=",", ignore_nulls=True)
    return pl.when(text != "").then(pl.format(",{},", text))


def _repeats_a_key(value: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    """True where a map of a decoded value, which is a list of entries there, has a key twice; `dtype` has the maps."""
    if isinstance(dtype, pl.Struct):
        inside = [_repeats_a_key(part, inner) for _, part, inner in fields(value, dtype)]
        tests = [test.fill_null(False) for test in inside if test is not None]
        return pl.any_horizontal(tests) if tests else None
    if isinstance(dtype, pl.List):
        test = _repeats_a_key(pl.element(), as_dtype(dtype.inner))
        return None if test is None else value.list.eval(test).list.any()
    if isinstance(dtype, pl.Map):
        keys = value.list.eval(pl.element().struct.field("key"))
        twice = (keys.list.n_unique() < keys.list.len()).fill_null(False)
        test = _repeats_a_key(pl.element().struct.field("value"), as_dtype(dtype.value))
        return twice if test is None else twice | value.list.eval(test).list.any().fill_null(False)
    return None


def _value(column: Column) -> pl.Expr:
    value = cs.by_name(column.name).as_expr()
    if not column.is_uuid:
        return value
    digits = value.bin.encode("hex")
    return digits.str.replace("(.{8})(.{4})(.{4})(.{4})(.{12})", "${1}-${2}-${3}-${4}-${5}")


def _pieces(opened: RegularFile, header: Header) -> Iterator[list[Block]]:
    """The blocks of the file, some together."""
    waiting: list[Block] = []
    size = 0
    for block in blocks(opened, header):
        if waiting and size + len(block.data) > _READ_BYTES:
            yield waiting
            waiting, size = [], 0
        waiting.append(block)
        size += len(block.data)
    if waiting:
        yield waiting


def _decoded(path: str, file: BytesIO, rows: int) -> pl.DataFrame:
    """The rows of a piece. The words of polars' errors and panics would show data, so they are replaced."""
    try:
        frame = pl.read_avro(file)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        if is_limit(error):
            raise
        raise damaged(path) from None
    if frame.height != rows:
        raise damaged(path)
    return frame
