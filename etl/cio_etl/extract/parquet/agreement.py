"""Finds the types that the columns of several files have together, and names the columns whose files differ.

What makes no difference to the values is no difference: whole numbers or decimals of another size, times of another
unit or zone, the order of the columns. Which of the others matter is for the mapping to say: those that it reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import polars.selectors as cs

from cio_etl.errors import SourceError

_DIGITS = 38
_BEYOND = {("ms", "us"): 1_000, ("ms", "ns"): 1_000_000, ("us", "ns"): 1_000}
_LIMIT = 6 * 10**18  # of the finer unit: some 190,000 years in microseconds

Types = Mapping[str, pl.DataType | SourceError]


def agree(files: Sequence[tuple[str, Types]]) -> dict[str, pl.DataType | SourceError]:
    """The type of each column in all files, or why it cannot be read, in the first file's order."""
    first_path, first = files[0]
    agreed: dict[str, pl.DataType | SourceError] = {**first}
    for path, types in files[1:]:
        for name in {**agreed, **types}:
            here, there = types.get(name), agreed.get(name)
            if isinstance(there, SourceError):
                continue
            if isinstance(here, SourceError):
                agreed[name] = here
                continue
            common = None if here is None or there is None else _common(there, here)
            agreed[name] = common or SourceError(
                "export both with the same columns, or make them two steps",
                place=path,
                what=f"column {name!r} is {here or 'absent'} here and {there or 'absent'} in {first_path}",
            )
    return agreed


def converted(name: str, dtype: pl.DataType, agreed: pl.DataType) -> pl.Expr:
    """The column of a file, of type `dtype`, as the type that it has in all files."""
    column = cs.by_name(name).as_expr()
    if dtype == agreed:
        return column
    if isinstance(dtype, pl.Datetime) and isinstance(agreed, pl.Datetime):
        if (factor := _BEYOND.get((dtype.time_unit, agreed.time_unit))) is not None:
            # A time that the finer unit cannot hold becomes its last one: no date that Customer.io takes, either.
            number = column.to_physical().clip(-(_LIMIT // factor), _LIMIT // factor)
            column = number.cast(pl.Datetime(dtype.time_unit, dtype.time_zone))
        if dtype.time_zone != agreed.time_zone and agreed.time_zone is not None:
            column = column.dt.convert_time_zone(agreed.time_zone)
    return column.cast(agreed)


def _common(one: Any, other: Any) -> pl.DataType | None:
    """The type that holds the values of both; None: their values differ in kind, or would lose digits."""
    if one == other or isinstance(other, pl.Null):
        return one  # type: ignore[no-any-return]
    if isinstance(one, pl.Null):
        return other  # type: ignore[no-any-return]
    if one.is_float() and other.is_float():
        return pl.Float64()
    if one.is_integer() and other.is_integer():
        return _whole(one, other)
    if one.is_float() or other.is_float():
        floating, whole = (one, other) if one.is_float() else (other, one)
        return pl.Float64() if whole.is_integer() and _digits(whole) <= 10 and floating == pl.Float64() else None
    if _is_exact(one) and _is_exact(other):
        scale = max(_scale(one), _scale(other))
        digits = max(_digits(one) - _scale(one), _digits(other) - _scale(other)) + scale
        return pl.Decimal(digits, scale) if digits <= _DIGITS else None
    if isinstance(one, pl.Datetime) and isinstance(other, pl.Datetime):
        return _times(one, other)
    if isinstance(one, pl.List) and isinstance(other, pl.List):
        inner = _common(one.inner, other.inner)
        return None if inner is None else pl.List(inner)
    if isinstance(one, pl.Struct) and isinstance(other, pl.Struct):
        return _structs(one, other)
    return None


def _is_exact(dtype: pl.DataType) -> bool:
    return dtype.is_integer() or isinstance(dtype, pl.Decimal)


def _digits(dtype: Any) -> int:
    """The digits that a value may have, of whole numbers or decimals."""
    return dtype.precision or _DIGITS if isinstance(dtype, pl.Decimal) else len(str(_bounds(dtype)[1]))


def _scale(dtype: Any) -> int:
    return dtype.scale if isinstance(dtype, pl.Decimal) else 0


def _bounds(dtype: Any) -> tuple[int, int]:
    lowest, highest = pl.select(dtype.min().alias("lowest"), dtype.max().alias("highest")).row(0)
    return lowest, highest


def _whole(one: Any, other: Any) -> pl.DataType | None:
    lows, highs = zip(_bounds(one), _bounds(other), strict=True)
    for dtype in (pl.Int8, pl.UInt8, pl.Int16, pl.UInt16, pl.Int32, pl.UInt32, pl.Int64, pl.UInt64):
        lowest, highest = _bounds(dtype)
        if lowest <= min(lows) and max(highs) <= highest:
            return dtype()
    return None


def _times(one: pl.Datetime, other: pl.Datetime) -> pl.DataType | None:
    if (one.time_zone is None) != (other.time_zone is None):
        return None
    units = {one.time_unit, other.time_unit}
    # Nanoseconds end in 2262; what is beyond it in the other file must not be lost.
    unit = units.pop() if len(units) == 1 else "us"
    return pl.Datetime(unit, one.time_zone if one.time_zone == other.time_zone else "UTC")


def _structs(one: pl.Struct, other: pl.Struct) -> pl.DataType | None:
    parts = {field.name: field.dtype for field in other.fields}
    if {field.name for field in one.fields} != {*parts}:
        return None
    common = {field.name: _common(field.dtype, parts[field.name]) for field in one.fields}
    return None if None in common.values() else pl.Struct(common)  # type: ignore[arg-type]
