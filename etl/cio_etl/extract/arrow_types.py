"""Says how a column of an Arrow type is read into polars: its type there, and what must be converted first.

For Parquet files and tables of a lake, whose types are more than polars has. What an extension adds to a type is not
read, its stored values are; but a UUID becomes its text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import polars.selectors as cs
import pyarrow as pa
import pyarrow.compute as pc

from cio_etl.model.records import dataclass

_DIGITS = 38  # that a decimal of polars has at most
_UUID = "arrow.uuid"


class NotRead(ValueError):
    """A type that no column of rows can have: `what` it is, in words, and what to do about it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


@dataclass(frozen=True, slots=True)
class Reading:
    """How a column is read: as this type of Arrow, then by polars, as which it gets a type of ours."""

    arrow: pa.DataType
    imported: pl.DataType  # what polars makes of `arrow`, but text for categories
    dtype: pl.DataType
    changed: bool  # `arrow` is another type than the column is stored in, which polars may not know

    def of(self, column: pa.Array) -> pa.Array:
        """The column as polars can import it."""
        if column.type == self.arrow:
            return column
        stored = getattr(column, "storage", column)
        if _is_list_view(stored.type):  # its cast has too short a buffer
            ends = pc.cumulative_sum(stored.value_lengths().fill_null(0))
            offsets = pa.concat_arrays([pa.array([0], ends.type), ends])
            kind = pa.LargeListArray if pa.types.is_large_list(self.arrow) else pa.ListArray
            stored = kind.from_arrays(offsets, stored.flatten(), mask=stored.is_null())
        return stored if stored.type == self.arrow else stored.cast(self.arrow)

    def typed(self, name: str, imported: pl.DataType) -> pl.Expr:
        """The column of this name, of a frame in which it has the type `imported`, with its type here."""
        column = cs.by_name(name).as_expr()
        if self.imported != self.dtype:
            column = _with_uuid_texts(column, imported, self.dtype)
        return column if imported == self.dtype else column.cast(self.dtype)


def reading_of(kind: pa.DataType) -> Reading:
    """How a column of this type is read. Raises NotRead."""
    arrow = _list_of(kind) if _is_list_view(kind) else _importable(kind)
    try:
        imported = pl.DataFrame(pa.table([pa.array([], arrow)], names=["c"])).schema["c"]
    except (Exception, pl.exceptions.PanicException):
        raise NotRead(f"of type {arrow}", "export it as text") from None
    dtype = _uuid_as_text(kind, imported) if _has_uuid(kind) else plain(imported)
    return Reading(arrow, plain(imported), dtype, arrow != _stored(kind))


def plain(dtype: Any) -> pl.DataType:
    """The type of the values, whichever way a file stores them: categories are text, half floats are floats."""
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return pl.String()
    if isinstance(dtype, pl.Float16) or dtype is pl.Float16:
        return pl.Float32()
    if isinstance(dtype, pl.List):
        return pl.List(plain(dtype.inner))
    if isinstance(dtype, pl.Array):
        return pl.Array(plain(dtype.inner), dtype.size)
    if isinstance(dtype, pl.Struct):
        return pl.Struct({field.name: plain(field.dtype) for field in dtype.fields})
    if isinstance(dtype, pl.Map):
        return pl.Map(plain(dtype.key), plain(dtype.value))
    return dtype if isinstance(dtype, pl.DataType) else dtype()


# ---------------------------------------------------------------- what polars imports


def _importable(kind: pa.DataType) -> pa.DataType:
    """The type that polars imports, in place of this one. Raises NotRead."""
    if (rebuilt := _REBUILT.get(kind.id)) is not None:
        return rebuilt(kind)
    if isinstance(kind, pa.BaseExtensionType):
        return _importable(kind.storage_type)
    if _is_list_view(kind):
        raise NotRead("a list view within another type", "export it as a list")
    if pa.types.is_union(kind):
        raise NotRead("a union of several types", "export it as JSON text")
    if pa.types.is_interval(kind):
        raise NotRead("an INTERVAL", "export it as a number or as text")
    return kind


def _timestamp(kind: pa.DataType) -> pa.DataType:
    unit = "ms" if kind.unit == "s" else kind.unit
    if kind.tz is None or _is_zone(kind.tz):
        return pa.timestamp(unit, kind.tz)
    return pa.timestamp(unit, "UTC")  # an offset such as +05:30, which is no zone: the instant is the same


def _is_zone(name: str) -> bool:
    try:
        pl.from_arrow(pa.array([], pa.timestamp("us", name)))
    except (Exception, pl.exceptions.PanicException):
        return False
    return True


def _decimal(kind: pa.DataType) -> pa.DataType:
    if kind.precision > _DIGITS:
        raise NotRead(
            f"a decimal of more than {_DIGITS} digits", f"export it with at most {_DIGITS} digits, or as text"
        )
    return pa.decimal128(kind.precision, kind.scale)


def _list_of(kind: pa.DataType) -> pa.DataType:
    is_large = pa.types.is_large_list(kind) or pa.types.is_large_list_view(kind)
    return (pa.large_list if is_large else pa.list_)(_field(kind.value_field))


def _is_list_view(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind))


def _field(field: pa.Field) -> pa.Field:
    return pa.field(field.name, _importable(field.type), field.nullable)


_REBUILT: dict[int, Callable[[Any], pa.DataType]] = {
    pa.timestamp("s").id: _timestamp,
    pa.decimal128(1).id: _decimal,
    pa.decimal256(1).id: _decimal,
    pa.decimal32(1).id: _decimal,
    pa.decimal64(1).id: _decimal,
    pa.list_(pa.null()).id: _list_of,
    pa.large_list(pa.null()).id: _list_of,
    pa.list_(pa.null(), 1).id: lambda kind: pa.list_(_field(kind.value_field), kind.list_size),
    pa.struct([]).id: lambda kind: pa.struct([_field(kind.field(index)) for index in range(kind.num_fields)]),
    pa.map_(pa.int8(), pa.null()).id: lambda kind: pa.map_(_field(kind.key_field), _field(kind.item_field)),
    pa.run_end_encoded(pa.int32(), pa.null()).id: lambda kind: _importable(kind.value_type),
    pa.dictionary(pa.int32(), pa.null()).id: lambda kind: (
        kind if _importable(kind.value_type) == kind.value_type else _importable(kind.value_type)
    ),
}


def _stored(kind: pa.DataType) -> pa.DataType:
    """The type as it is stored: without extensions."""
    if isinstance(kind, pa.BaseExtensionType):
        return _stored(kind.storage_type)
    if pa.types.is_map(kind):
        return pa.map_(_stored_field(kind.key_field), _stored_field(kind.item_field))
    if pa.types.is_struct(kind):
        return pa.struct([_stored_field(kind.field(index)) for index in range(kind.num_fields)])
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_stored_field(kind.value_field), kind.list_size)
    if pa.types.is_large_list(kind):
        return pa.large_list(_stored_field(kind.value_field))
    if pa.types.is_list(kind):
        return pa.list_(_stored_field(kind.value_field))
    return kind


def _stored_field(field: pa.Field) -> pa.Field:
    return pa.field(field.name, _stored(field.type), field.nullable)


# ---------------------------------------------------------------- UUIDs


def _has_uuid(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return bool(kind.extension_name == _UUID) or _has_uuid(kind.storage_type)
    return any(_has_uuid(kind.field(index).type) for index in range(kind.num_fields))


def _uuid_as_text(kind: pa.DataType, imported: Any) -> pl.DataType:
    """The type with text in place of UUIDs. Raises NotRead where polars cannot convert what is inside."""
    if isinstance(kind, pa.BaseExtensionType):
        return pl.String() if kind.extension_name == _UUID else _uuid_as_text(kind.storage_type, imported)
    if not _has_uuid(kind):
        return plain(imported)
    if pa.types.is_struct(kind):
        return pl.Struct(
            {
                field.name: _uuid_as_text(kind.field(index).type, field.dtype)
                for index, field in enumerate(imported.fields)
            }
        )
    if isinstance(imported, pl.List):
        return pl.List(_uuid_as_text(kind.value_type, imported.inner))
    raise NotRead("a map or a list of fixed size that holds UUIDs", "export the UUIDs as text")


def _with_uuid_texts(column: pl.Expr, imported: Any, dtype: pl.DataType) -> pl.Expr:
    if isinstance(dtype, pl.String) and isinstance(imported, pl.Binary):
        digits = column.bin.encode("hex")
        return digits.str.replace("(.{8})(.{4})(.{4})(.{4})(.{12})", "${1}-${2}-${3}-${4}-${5}")
    if isinstance(dtype, pl.List):
        return column.list.eval(_with_uuid_texts(pl.element(), imported.inner, dtype.inner))  # type: ignore[arg-type]
    if isinstance(dtype, pl.Struct):
        parts = zip(imported.fields, dtype.fields, strict=True)
        return column.struct.with_fields(
            _with_uuid_texts(pl.field(old.name), old.dtype, new.dtype).alias(new.name)  # type: ignore[arg-type]
            for old, new in parts
            if old.dtype != new.dtype
        )
    return column
