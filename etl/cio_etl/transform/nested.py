"""Types inside types: one way to walk records, lists, arrays and maps, and to name a type in plain words.

Every rule that applies to a value applies to what is nested in it. A rule gives its answer for a single value; the
walk applies it at every depth. A type without nested values costs nothing: the walk ends where it starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl

from cio_etl.model.records import dataclass
from cio_etl.transform.decimals import NUMBER

Test = Callable[[pl.Expr, pl.DataType], pl.Expr | None]


def fields(value: pl.Expr, dtype: pl.Struct) -> Iterator[tuple[str, pl.Expr, pl.DataType]]:
    """Name, value and type of a struct's fields, by number: polars treats names such as `*` as patterns."""
    numbered = value.struct.rename_fields([str(place) for place in range(len(dtype.fields))])
    for place, field in enumerate(dtype.fields):
        yield field.name, numbered.struct.field(str(place)), as_dtype(field.dtype)


def as_dtype(dtype: object) -> pl.DataType:
    """The type as an instance; polars may give it as a class."""
    return dtype() if isinstance(dtype, type) and issubclass(dtype, pl.DataType) else dtype  # type: ignore[return-value]


def listed(value: pl.Expr, dtype: pl.DataType) -> tuple[pl.Expr, pl.DataType] | None:
    """A list, array or map as a list, and the type of its elements; those of a map are records of key and value.

    None for any other type.
    """
    if isinstance(dtype, pl.List):
        return value, as_dtype(dtype.inner)
    if isinstance(dtype, pl.Array):
        return value.arr.to_list(), as_dtype(dtype.inner)
    if isinstance(dtype, pl.Map):
        return value.map.entries(), pl.Struct({"key": as_dtype(dtype.key), "value": as_dtype(dtype.value)})
    return None


def anywhere(value: pl.Expr, dtype: pl.DataType, test: Test) -> pl.Expr | None:
    """True where the value, or a part of it at any depth, passes the test; None when no part of its type can.

    The test returns None for a type that it does not concern.
    """
    found = [test(value, dtype)]
    if isinstance(dtype, pl.Struct):
        found += [anywhere(part, inner, test) for _, part, inner in fields(value, dtype)]
    elif (elements := listed(value, dtype)) is not None and (
        part := anywhere(pl.element(), elements[1], test)
    ) is not None:
        found.append(elements[0].list.eval(part).list.any())
    conditions = [one.fill_null(False) for one in found if one is not None]
    return pl.any_horizontal(conditions) if len(conditions) > 1 else conditions[0] if conditions else None


def holds_value(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """True where the value is there; a list or map that is empty, or has nulls only, holds none."""
    if (elements := listed(value, dtype)) is None:
        return value.is_not_null()
    return elements[0].list.eval(holds_value(pl.element(), elements[1])).list.any().fill_null(False)


@dataclass(frozen=True, slots=True)
class Part:
    """A type inside a type, and the way to it: `.last[*]`, empty for the type itself."""

    path: str
    dtype: pl.DataType


def parts(dtype: pl.DataType, path: str = "") -> Iterator[Part]:
    """The type and all types inside it, outermost first."""
    yield Part(path, dtype)
    if isinstance(dtype, pl.Struct):
        for field in dtype.fields:
            yield from parts(as_dtype(field.dtype), f"{path}.{field.name}")
    elif isinstance(dtype, pl.List | pl.Array):
        yield from parts(as_dtype(dtype.inner), f"{path}[*]")
    elif isinstance(dtype, pl.Map):
        yield from parts(as_dtype(dtype.key), f"{path}.keys()")
        yield from parts(as_dtype(dtype.value), f"{path}.values()")


_WORDS: tuple[tuple[tuple[type[pl.DataType], ...], str], ...] = (
    ((pl.String, pl.Categorical, pl.Enum), "text"),
    ((pl.Boolean,), "true or false"),
    ((pl.Decimal,), "decimal numbers"),
    ((pl.Date,), "dates"),
    ((pl.Datetime,), "times"),
    ((pl.Time,), "times of day"),
    ((pl.Duration,), "durations"),
    ((pl.Binary,), "bytes"),
    ((pl.Null,), "no value in any row"),
    ((pl.Map,), "maps"),
    ((pl.Object,), "Python objects"),
)


def in_words(dtype: pl.DataType) -> str:
    """What a column of this type holds, in plain words: "whole numbers", "lists of text", "records (a, b)"."""
    if isinstance(dtype, pl.List | pl.Array):
        inner = as_dtype(dtype.inner)
        return "lists" if isinstance(inner, pl.Null) else f"lists of {in_words(inner)}"
    if dtype == NUMBER:
        return "numbers"
    if isinstance(dtype, pl.Struct):
        names = [field.name for field in dtype.fields]
        if names == ["raw_json"]:
            return "JSON"
        return f"records ({', '.join(names[:_NAMED])}{', …' if len(names) > _NAMED else ''})" if names else "records"
    for types, words in _WORDS:
        if isinstance(dtype, types):
            return words
    return "whole numbers" if dtype.is_integer() else "numbers" if dtype.is_float() else "values of an unknown type"


_NAMED = 3  # fields of a record
