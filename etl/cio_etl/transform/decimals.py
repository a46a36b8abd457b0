"""Exact decimal arithmetic on a column: the result is what a person would calculate on paper, to the last digit.

A text and a decimal are the number that they write, and so is a float: 2.675 is 2.675, not the nearest binary fraction.
A result of up to 38 digits is exact; one of more digits, such as 1/3, is the nearest double. From 10^38 on it is null,
and so is what a double cannot hold, such as 1e-400. Halves are rounded away from zero.

The arithmetic is on whole numbers of 10^-12 in 128 bits; a value with more digits, or an exponent, is calculated by
Python's decimal instead.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal

import polars as pl

from cio_etl.transform.arrays import are_worthwhile, pa
from cio_etl.transform.distinct import by_distinct

# A number of any size, as the text that JSON has for it. A source cannot have a field of this name.
NUMBER = pl.Struct({"\0number": pl.String})

_DIGITS = 38
_SCALE = 12
_ONE = 10**_SCALE
_LARGEST = 10**_DIGITS - 1
_ODD = rf"[eE]|\.[0-9]{{{_SCALE + 1}}}"
NOT_ZERO = r"^[+-]?[0.]*[1-9]"
_CONTEXT = Context(prec=400, rounding=ROUND_HALF_UP)  # a double's digits before the point, and as many as one writes
_EXACT = 2**53


def number(text: pl.Expr) -> pl.Expr:
    """JSON texts of numbers as NUMBER."""
    return pl.when(text.is_not_null()).then(pl.struct(text.alias("\0number")))


def text_of(number: pl.Expr) -> pl.Expr:
    """The JSON text of a NUMBER."""
    return number.struct.field("\0number")


def as_double(number: pl.Expr) -> pl.Expr:
    """A NUMBER as the nearest Float64."""
    return text_of(number).cast(pl.Float64)


def floored(decimal: pl.Expr) -> pl.Expr:
    """A column of decimals as whole numbers, Int64; null past 64 bits. polars' floor fails where no digit is free."""
    text = decimal.cast(pl.String)
    down = text.str.starts_with("-") & has_fraction(decimal)
    return text.str.extract("^(-?[0-9]+)").cast(pl.Int64, strict=False) - down.cast(pl.Int64)


def has_fraction(decimal: pl.Expr) -> pl.Expr:
    """Whether a value of a column of decimals is no whole number."""
    return decimal.cast(pl.String).str.contains(r"\.0*[1-9]")


def product(text: pl.Expr, by: Decimal) -> pl.Expr:
    """The JSON text of each number times `by`. The texts are numbers, as the pattern of `cast: number` has them."""
    sign, digits, exponent = by.as_tuple()
    factor = int("".join(map(str, digits))) * (-1 if sign else 1)

    def fast(units: pl.Series) -> pl.Series | None:
        return _multiplied(units, factor, _SCALE - int(exponent))

    return _calculated(text, fast, lambda number: _CONTEXT.multiply(number, by))


def whole_product(value: pl.Expr, by: int) -> pl.Expr:
    """Whole numbers times `by`, Int128; null from ±10^38 on."""
    whole, limit = value.cast(pl.Int128, strict=False), _LARGEST // max(abs(by), 1)
    fitting = pl.when(whole.is_between(pl.lit(-limit, pl.Int128), pl.lit(limit, pl.Int128))).then(whole)
    return fitting * pl.lit(by, pl.Int128)


def quotient(text: pl.Expr, by: Decimal) -> pl.Expr:
    """The JSON text of each number divided by `by`, which is not 0."""
    sign, digits, exponent = by.normalize(_CONTEXT).as_tuple()
    divisor = int("".join(map(str, digits)))
    twos, fives, others = _factors(divisor)
    power = max(twos, fives)
    factor = 10**power * others // divisor * (-1 if sign else 1)
    double, scale = float(by), _SCALE + int(exponent) + power

    ends = pl.col("units") % pl.lit(others, pl.Int128) == 0
    whole = pl.col("units") // pl.lit(_ONE, pl.Int128)
    fits = (pl.col("units") % pl.lit(_ONE, pl.Int128) == 0) & whole.is_between(-_EXACT, _EXACT)
    endless = pl.when(fits & ~ends).then(whole).cast(pl.Float64)
    nearest = (endless / (endless * 0.0 + double)).cast(pl.String)  # polars multiplies by 1/by where `by` is a literal
    is_double = Decimal(double) == by

    def fast(units: pl.Series) -> pl.Series | None:
        exact = _multiplied(_of(units, pl.when(ends).then(pl.col("units") // pl.lit(others, pl.Int128))), factor, scale)
        if exact is None or others == 1 or not is_double:
            return exact
        return pl.DataFrame({"units": units, "exact": exact}).select(pl.coalesce("exact", nearest)).to_series()

    return _calculated(text, fast, lambda number: _CONTEXT.divide(number, by))


def _factors(number: int) -> tuple[int, int, int]:
    """How often 2 and 5 divide a number, and what remains then: 1 if no quotient by this number is endless."""
    counts = []
    for prime in (2, 5):
        count = 0
        while number % prime == 0:
            number, count = number // prime, count + 1
        counts.append(count)
    return counts[0], counts[1], number


def rounded(text: pl.Expr, digits: int) -> pl.Expr:
    """The JSON text of each number with at most `digits` digits after the point, halves away from zero."""
    step = 10 ** max(_SCALE - digits, 0)
    half = pl.lit(step // 2, pl.Int128)

    def fast(units: pl.Series) -> pl.Series | None:
        size = (pl.col("units").abs() + half) // pl.lit(step, pl.Int128)
        signed = pl.when(pl.col("units") < 0).then(pl.lit(0, pl.Int128) - size).otherwise(size)
        return _written(_of(units, signed), min(digits, _SCALE))

    def slow(number: Decimal) -> Decimal:
        return number.quantize(Decimal(1).scaleb(-digits), context=_CONTEXT)

    return _calculated(text, fast, slow)


def _multiplied(units: pl.Series, factor: int, scale: int) -> pl.Series | None:
    """The JSON texts of whole numbers of 10^-scale times `factor`; null where it does not fit."""
    if scale < 0:
        factor, scale = factor * 10**-scale, 0
    limit = _LARGEST // max(abs(factor), 1)
    if not limit:
        return None  # no number fits
    fitting = pl.when(pl.col("units").is_between(pl.lit(-limit, pl.Int128), pl.lit(limit, pl.Int128))).then("units")
    return _written(_of(units, fitting * pl.lit(factor, pl.Int128)), scale)


def _of(units: pl.Series, made: pl.Expr) -> pl.Series:
    """An expression of the column `units`."""
    return units.alias("units").to_frame().select(made.alias("made")).to_series()


def _written(units: pl.Series, scale: int) -> pl.Series | None:
    """The JSON texts of whole numbers of 10^-scale, none of more than 38 digits; None for another scale."""
    if scale > _DIGITS:
        return None
    texts = _shifted(units, scale).alias(units.name)
    return texts.str.strip_chars_end("0").str.strip_suffix(".") if scale else texts


def _shifted(units: pl.Series, scale: int) -> pl.Series:
    """Whole numbers of 10^-scale as texts of decimal numbers."""
    if not are_worthwhile(len(units)):
        texts = [None if one is None else f"{Decimal(one).scaleb(-scale, _CONTEXT):f}" for one in units.to_list()]
        return pl.Series(texts, dtype=pl.String)
    whole = units.cast(pl.Decimal(_DIGITS, 0), strict=False).rechunk().to_arrow()
    scaled = pa.Array.from_buffers(
        pa.decimal128(_DIGITS, scale), len(whole), whole.buffers(), whole.null_count, whole.offset
    )
    return pl.DataFrame(pa.record_batch([scaled], ["scaled"]))["scaled"].cast(pl.String)  # see ids.py


def _json(number: Decimal) -> str | None:
    """The JSON text of a result; None where it is too large, or too small for a double."""
    if not number.copy_abs() < 10**_DIGITS:
        return None
    if not number:
        return "0"
    exact = number.normalize(_CONTEXT)
    if not float(exact):
        return None
    if len(exact.as_tuple().digits) > _DIGITS:
        exact = Decimal(repr(float(exact)))
        if not exact.copy_abs() < 10**_DIGITS:
            return None
    return f"{exact:f}" if exact.adjusted() >= -_DIGITS else str(exact)


def _calculated(
    text: pl.Expr, fast: Callable[[pl.Series], pl.Series | None], slow: Callable[[Decimal], Decimal]
) -> pl.Expr:
    """The result of `fast` of the units, of `slow` where that is null; null where there is none."""

    def of_text(text: str) -> str | None:
        return _json(slow(Decimal(text)))

    def made(texts: pl.Series) -> pl.Series:
        rows = texts.alias("text").to_frame()
        usual = pl.when(~pl.col("text").str.contains(_ODD)).then("text")
        units = rows.select(usual.cast(pl.Decimal(38, _SCALE), strict=False)).to_series().to_physical()
        result = fast(units)
        if result is not None and result.null_count() == texts.null_count():
            return result
        rows = rows.with_columns((pl.lit(None, pl.String) if result is None else result).alias("made"))
        double = pl.col("text").cast(pl.Float64, strict=False)
        zero = pl.when(~pl.col("text").str.contains(NOT_ZERO)).then(pl.lit("0"))
        remaining = pl.when(pl.col("made").is_null() & zero.is_null() & double.is_finite() & (double != 0)).then("text")
        calculated = by_distinct(remaining, of_text, pl.String())
        return rows.select(pl.coalesce("made", zero, calculated).alias("made")).to_series()

    return text.map_batches(made, return_dtype=pl.String, is_elementwise=True)
