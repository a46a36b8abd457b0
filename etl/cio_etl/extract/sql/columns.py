"""Turns the Arrow columns of a database's rows into frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from cio_etl.errors import ColumnOfBytes, SourceError
from cio_etl.extract.frames import check_names


def check_columns(names: Sequence[str], place: str) -> None:
    """Raises SourceError when two columns have the same name, or a column has a reserved one."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise SourceError(
            "give them names with `as`",
            place=place,
            what=f"two columns are named {', '.join(map(repr, twice))}",
        )
    check_names(place, names)


def unquoted_frames(
    schema: pa.Schema, batches: Iterable[pa.RecordBatch], place: str, required: Mapping[str, str]
) -> Iterator[pl.DataFrame]:
    """Arrow batches as frames: JSON and exact decimals as texts of their own types, UUIDs as text, no columns of bytes.

    The first frame is empty. Raises SourceError when a required column holds bytes.
    """
    fields = [field for field in schema if not _is_bytes(field.type)]
    for field in schema:
        if field not in fields and field.name in required:
            raise ColumnOfBytes(required[field.name], place=place, column=field.name)
    if not fields:
        raise SourceError("ask for some", place=place, what="no column that has a JSON form")
    yield _frame(fields, pa.RecordBatch.from_pylist([], schema=schema))
    for batch in batches:
        yield _frame(fields, batch)


def has_one_of(values: pa.Array, days: pa.Array, microseconds: pa.Array) -> bool:
    """Whether dates or times contain one of these numbers: a database's infinities, which are not moments."""
    if pa.types.is_date32(values.type):
        return bool(pc.any(pc.is_in(values.cast(pa.int32()), days)).as_py())
    if pa.types.is_timestamp(values.type):
        return bool(pc.any(pc.is_in(values.cast(pa.int64()), microseconds)).as_py())
    return False


def _is_bytes(dtype: pa.DataType) -> bool:
    if isinstance(dtype, pa.UuidType):
        return False
    storage = dtype.storage_type if isinstance(dtype, pa.BaseExtensionType) else dtype
    return any(is_(storage) for is_ in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary))


def _frame(fields: Sequence[pa.Field], batch: pa.RecordBatch) -> pl.DataFrame:
    return pl.DataFrame([_series(field, batch.column(field.name)) for field in fields])


def _series(field: pa.Field, values: pa.Array) -> pl.Series:
    if not isinstance(field.type, pa.BaseExtensionType):
        return pl.Series(field.name, values)
    series = pl.Series(field.name, values.storage)
    if isinstance(field.type, pa.UuidType):
        digits = series.bin.encode("hex")
        return digits.str.replace(r"^(.{8})(.{4})(.{4})(.{4})(.{12})$", "$1-$2-$3-$4-$5")
    if isinstance(field.type, pa.JsonType):
        is_null = pl.first().str.strip_chars(" \t\r\n") == "null"  # JSON's own
        text = series.to_frame().select(pl.when(is_null.not_()).then(pl.first())).to_series()
        return text.to_frame("json_text").to_struct(field.name)
    if isinstance(field.type, pa.OpaqueType) and field.type.type_name == "numeric":
        return series.to_frame("decimal_text").to_struct(field.name)
    return series
