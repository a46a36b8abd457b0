"""How are numbers changed? divide, multiply, round; and how a text or a number becomes a number."""

from __future__ import annotations

import polars as pl

from etl.transform.func_define import function

# A decimal number as people and databases write it. Not "nan", "inf", "1_000" or " 7 ", whatever a library would take.
_NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"

# From 2^53 on a double cannot hold every whole number, so a JSON reader would change the last digits.
_EXACT = 2**53


def to_number(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The value as a number: Float64, null when not a number or from ±2^53 on. Integers stay integers, exact."""
    return value if dtype.is_integer() else to_double(value, dtype)


def to_double(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The value as Float64; null for a text that is no number, for NaN and infinities, and from ±2^53 on."""
    if isinstance(dtype, pl.String):
        value = pl.when(value.str.contains(_NUMBER)).then(value)
    double = value.cast(pl.Float64, strict=False)
    return pl.when(double.is_between(-_EXACT, _EXACT, closed="none")).then(double)


def _finite(number: pl.Expr) -> pl.Expr:
    return pl.when(number.is_finite()).then(number)


def _not_zero(*, by: float) -> None:
    if by == 0:
        raise ValueError("'by' must not be 0")


@function(takes=("text", "a number"), reason="not_a_number", shorthand="by", check=_not_zero)
def divide(value: pl.Expr, dtype: pl.DataType, *, by: float) -> pl.Expr:
    """The number divided by `by`, a Float64; a text must be a number. JSON's 10.0 and 10 are the same number.

    >>> 1050 | {divide: 100} -> 10.5
    >>> "1000" | {divide: 100} -> 10.0
    >>> 187484 | {divide: 100} -> 1874.84
    >>> "12 EUR" | {divide: 100} -> rejected
    """
    double = to_double(value, dtype)
    return _finite(double / (double * 0.0 + float(by)))  # polars multiplies by 1/by where `by` is one number for all


@function(takes=("text", "a number"), reason="not_a_number", shorthand="by")
def multiply(value: pl.Expr, dtype: pl.DataType, *, by: float) -> pl.Expr:
    """The number times `by`: integers by an integer stay integers, null past 64 bits; anything else is a Float64.

    >>> 19 | {multiply: 100} -> 1900
    >>> "10.5" | {multiply: 100} -> 1050.0
    >>> 9223372036854775807 | {multiply: 2} -> rejected
    """
    if dtype.is_integer() and isinstance(by, int):
        return (value.cast(pl.Int128) * pl.lit(by, pl.Int128)).cast(pl.Int64, strict=False)
    return _finite(to_double(value, dtype) * float(by))


def _at_most_15(*, digits: int = 0) -> None:
    if not 0 <= digits <= 15:  # a double has 15 to 17 significant digits
        raise ValueError("'digits' must be from 0 to 15")


@function(takes=("text", "a number"), reason="not_a_number", shorthand="digits", check=_at_most_15)
def round_(value: pl.Expr, dtype: pl.DataType, *, digits: int = 0) -> pl.Expr:
    """The number with at most `digits` digits after the point, halves away from zero; integers stay as they are.

    >>> 2.345 | {round: 1} -> 2.3
    >>> "-2.5" | round -> -3.0
    >>> 7 | round -> 7
    """
    if dtype.is_integer():
        return value
    return to_double(value, dtype).round(digits, mode="half_away_from_zero")
