"""The fields of a struct, whatever their names are."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl


def fields(value: pl.Expr, dtype: pl.Struct) -> Iterator[tuple[str, pl.Expr, pl.DataType]]:
    """Name, value and type of a struct's fields, by number: polars treats names such as `*` as patterns."""
    numbered = value.struct.rename_fields([str(place) for place in range(len(dtype.fields))])
    for place, field in enumerate(dtype.fields):
        yield field.name, numbered.struct.field(str(place)), as_dtype(field.dtype)


def as_dtype(dtype: object) -> pl.DataType:
    """The type as an instance; polars may give it as a class."""
    return dtype() if isinstance(dtype, type) and issubclass(dtype, pl.DataType) else dtype  # type: ignore[return-value]
