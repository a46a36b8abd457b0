"""How does a column become JSON text, exactly? Types are settled here, before polars' encoder sees them.

polars writes null for NaN and for a missing value, text for decimals, and panics on binary; so each type is brought
to one that it writes as JSON should be, or refused when the mapping is compiled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

EXACT_DIGITS = 15  # a decimal of up to 15 digits survives the way through a 64-bit float


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Marks a text column that is JSON already, to be written as it stands."""


def settle(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """`value` in a type that can be written as JSON: dates become Unix seconds, categories text, and so inwards.

    Raises ValueError, saying what to do, for a type that has no JSON form.
    """
    if isinstance(dtype, pl.Struct):
        fields = [settle(value.struct.field(part.name), as_dtype(part.dtype)).alias(part.name) for part in dtype.fields]
        return pl.when(value.is_not_null()).then(pl.struct(fields))
    if isinstance(dtype, pl.Array):
        return settle(value.arr.to_list(), pl.List(dtype.inner))
    if isinstance(dtype, pl.List):
        return value.list.eval(settle(pl.element(), as_dtype(dtype.inner)))
    if isinstance(dtype, pl.Datetime):
        per_second = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[dtype.time_unit]
        return value.to_physical().floordiv(per_second)  # floor: before 1970 too
    if dtype == pl.Date:
        return value.to_physical().cast(pl.Int64) * 86_400
    if isinstance(dtype, (pl.Categorical, pl.Enum)):
        return value.cast(pl.String)
    if isinstance(dtype, pl.Decimal):
        if (dtype.precision or 38) > EXACT_DIGITS:
            raise ValueError(f"a decimal of {dtype.precision} digits inside a list or struct would lose some; cast it")
        return value.cast(pl.Float64)
    if dtype in (pl.Binary, pl.Object, pl.Duration, pl.Time):
        raise ValueError(f"{dtype} has no JSON form; leave the column out or cast it in the source")
    return value


def as_dtype(dtype: object) -> pl.DataType:
    """An instance of a type that polars may hand out as a class."""
    return dtype() if isinstance(dtype, type) and issubclass(dtype, pl.DataType) else dtype  # type: ignore[return-value]


def not_finite(value: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    """True where a NaN or an infinity is anywhere in `value`, which JSON cannot say; None when its type has none."""
    if dtype.is_float():
        return value.is_finite().not_().fill_null(False)
    if isinstance(dtype, pl.Struct):
        parts = [not_finite(value.struct.field(part.name), as_dtype(part.dtype)) for part in dtype.fields]
        found = [part for part in parts if part is not None]
        return pl.any_horizontal(found) if found else None
    if isinstance(dtype, pl.Array):
        return not_finite(value.arr.to_list(), pl.List(dtype.inner))
    if isinstance(dtype, pl.List):
        inner = not_finite(pl.element(), as_dtype(dtype.inner))
        return None if inner is None else value.list.eval(inner).list.any().fill_null(False)
    return None


def literal(value: object) -> str:
    """Compact JSON text of a constant; raises ValueError for NaN and infinities."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def member(name: str, column: pl.Series, verbatim: bool = False) -> pl.Expr:
    """`,"name":value` for each row of a settled column; null where the column is."""
    key = pl.lit(f",{literal(name)}:")
    if verbatim or isinstance(column.dtype, pl.Decimal) or column.dtype.is_integer() or column.dtype == pl.Boolean:
        return key + pl.col(column.name).cast(pl.String)
    encoded = pl.struct(pl.col(column.name).alias(name)).struct.json_encode()
    text = pl.concat_str([pl.lit(","), encoded.str.strip_prefix("{").str.strip_suffix("}")])
    return pl.when(pl.col(column.name).is_not_null()).then(text)


@dataclass(frozen=True, slots=True)
class Parts:
    """What an item is made of, as names of settled columns: the head's members, and the attributes.

    `head` keeps its order and is never null in a row that is sent; `attributes` may be.
    """

    start: str  # '{"type":…,"action":…,'
    identifiers: Mapping[str, str]
    head: Mapping[str, str]
    attributes: Mapping[str, str]
    constants: Mapping[str, object]
    verbatim: frozenset[str]  # columns that are JSON text already
    keep_nulls: bool  # nulls: clear


def items(values: pl.DataFrame, parts: Parts) -> pl.Series:
    """The item text of every row, with a trailing comma: `{"type":…,"attributes":{…}},`.

    Columns without a null in this frame go through one json_encode of one struct, which is the quick way; each
    nullable one is written by itself and left out, name and all, of the rows in which it is null.
    """
    whole, single = {}, {}
    for name, column in parts.attributes.items():
        plain = column not in parts.verbatim and not isinstance(values.schema[column], pl.Decimal)
        quick = plain and (parts.keep_nulls or values[column].null_count() == 0)
        (whole if quick else single)[name] = column
    encoded = pl.struct(
        pl.struct(pl.col(column).alias(name) for name, column in parts.identifiers.items()).alias("identifiers"),
        *(pl.col(column).alias(name) for name, column in parts.head.items()),
        *([pl.struct(pl.col(column).alias(name) for name, column in whole.items()).alias("attributes")] if whole else []),
    ).struct.json_encode()
    rest = [
        *(pl.lit(f",{literal(name)}:{literal(value)}") for name, value in parts.constants.items()),
        *(member(name, values[column], column in parts.verbatim).fill_null(null_text(name, parts)) for name, column in single.items()),
    ]
    text = [pl.lit(parts.start), encoded.str.strip_prefix("{").str.strip_suffix("}}" if whole else "}")]
    if not whole:
        text.append(pl.lit(',"attributes":{'))
        if rest:
            rest = [pl.concat_str(rest).str.strip_prefix(",")]
    return values.select(pl.concat_str([*text, *rest, pl.lit("}},")]).alias("item")).to_series()


def null_text(name: str, parts: Parts) -> str:
    """What a null attribute is written as: nothing, or a null that removes it."""
    return f",{literal(name)}:null" if parts.keep_nulls else ""
