"""Exact decimal arithmetic on a column: the result is the double next to what a person would calculate.

A text and a decimal are the number that they write, and so is a float: 2.675 is 2.675, not the nearest binary fraction.
The arithmetic is on whole numbers of 10^-12 in 128 bits; a value with more digits, or an exponent, is calculated by
Python's decimal instead. Halves are rounded away from zero.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal

import polars as pl

from cio_etl.transform.distinct import by_distinct

_SCALE = 12
_ONE = 10**_SCALE
_LARGEST = 2**127 - 1
_ODD = rf"[eE]|\.[0-9]{{{_SCALE + 1}}}"
_CONTEXT = Context(prec=100, rounding=ROUND_HALF_UP)
_EXACT = 2**53


def product(text: pl.Expr, by: Decimal) -> pl.Expr:
    """Each number times `by`, Float64. The texts are numbers, as the pattern of `cast: number` has them."""
    sign, digits, exponent = by.as_tuple()
    factor = int("".join(map(str, digits))) * (-1 if sign else 1)

    def fast(units: pl.Expr) -> pl.Expr:
        fitting = pl.when(units.abs() <= _LARGEST // max(abs(factor), 1)).then(units)
        return _double(fitting * pl.lit(factor, pl.Int128), _SCALE - int(exponent))

    if abs(factor) > 2**100:  # no number fits
        fast = _none
    return _calculated(text, fast, lambda number: _CONTEXT.multiply(number, by))


def quotient(text: pl.Expr, by: Decimal) -> pl.Expr:
    """Each number divided by `by`, which is not 0, Float64."""
    sign, digits, exponent = by.normalize(_CONTEXT).as_tuple()
    divisor = float(by)

    def shifted(units: pl.Expr) -> pl.Expr:
        return _double(units * pl.lit(-1 if sign else 1, pl.Int128), _SCALE + int(exponent))

    def of_whole_numbers(units: pl.Expr) -> pl.Expr:
        whole = units // pl.lit(_ONE, pl.Int128)
        fits = (units % pl.lit(_ONE, pl.Int128) == 0) & whole.is_between(-_EXACT, _EXACT)
        double = pl.when(fits).then(whole).cast(pl.Float64)
        return double / (double * 0.0 + divisor)  # polars multiplies by 1/by where `by` is one number for all

    power_of_ten, is_double = digits == (1,), Decimal(divisor) == by
    fast = shifted if power_of_ten else of_whole_numbers if is_double else _none
    return _calculated(text, fast, lambda number: _CONTEXT.divide(number, by))


def rounded(text: pl.Expr, digits: int) -> pl.Expr:
    """Each number with at most `digits` digits after the point, halves away from zero, Float64."""
    step = 10 ** max(_SCALE - digits, 0)

    def fast(units: pl.Expr) -> pl.Expr:
        size = (units.abs() + pl.lit(step // 2, pl.Int128)) // pl.lit(step, pl.Int128)
        signed = pl.when(units < 0).then(pl.lit(0, pl.Int128) - size).otherwise(size)
        return _double(signed, min(digits, _SCALE))

    return _calculated(text, fast, lambda number: number.quantize(Decimal(1).scaleb(-digits), context=_CONTEXT))


def _none(units: pl.Expr) -> pl.Expr:
    return pl.lit(None, pl.Float64)


def _double(units: pl.Expr, scale: int) -> pl.Expr:
    """The double next to a whole number of 10^-scale."""
    return pl.concat_str([units.cast(pl.String), pl.lit(f"e{-scale}")]).cast(pl.Float64, strict=False)


def _calculated(text: pl.Expr, fast: Callable[[pl.Expr], pl.Expr], slow: Callable[[Decimal], Decimal]) -> pl.Expr:
    """The result of `fast` of the units, of `slow` where that is null; null where neither is a finite double."""

    def of_text(text: str) -> float | None:
        number = float(slow(Decimal(text)))
        return number if abs(number) != float("inf") else None

    def made(texts: pl.Series) -> pl.Series:
        rows = texts.alias("text").to_frame()
        usual = pl.when(~pl.col("text").str.contains(_ODD)).then("text")
        rows = rows.with_columns(usual.cast(pl.Decimal(38, _SCALE), strict=False).to_physical().alias("units"))
        rows = rows.with_columns(fast(pl.col("units")).alias("made"))
        rows = rows.with_columns(pl.when(pl.col("made").is_finite()).then("made"))
        if rows["made"].null_count() == texts.null_count():
            return rows["made"]
        remaining = pl.when(pl.col("made").is_null()).then("text")
        return rows.select(pl.coalesce("made", by_distinct(remaining, of_text, pl.Float64())).alias("made")).to_series()

    return text.map_batches(made, return_dtype=pl.Float64, is_elementwise=True)
