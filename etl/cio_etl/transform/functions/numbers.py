"""Functions for numbers: from text, and arithmetic."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Literal

import polars as pl

from cio_etl.model.reasons import NOT_A_NUMBER
from cio_etl.transform import decimals
from cio_etl.transform.decimals import NUMBER
from cio_etl.transform.functions.define import function
from cio_etl.transform.timestamps import let

GROUP = "Numbers"


# A decimal number as people and databases write it. Not "nan", "inf", "1_000" or " 7 ", which libraries accept.
_NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"

# From 2^53 on a double cannot hold every whole number, so a JSON reader would change the last digits.
_EXACT = 2**53


def to_number(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The value as a number: Float64, null when not a number or from ±2^53 on. Results of arithmetic stay exact."""
    return value if dtype.is_integer() or dtype == NUMBER else to_double(value, dtype)


def to_double(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The value as Float64; null for a text that is no number, for NaN and infinities, and from ±2^53 on."""
    if isinstance(dtype, pl.String):
        return let(_double_of_text, double=value.cast(pl.Float64, strict=False), text=value)
    return let(lambda double: pl.when(_is_exact(double)).then(double), double=value.cast(pl.Float64, strict=False))


def _double_of_text(double: pl.Expr, text: pl.Expr) -> pl.Expr:
    is_rounded = pl.when(double == 0).then(text).str.contains(decimals.NOT_ZERO).fill_null(False)  # 1e-400 is not 0
    return pl.when(text.str.contains(_NUMBER) & _is_exact(double) & ~is_rounded).then(double)


def _is_exact(double: pl.Expr) -> pl.Expr:
    return double.is_between(-_EXACT, _EXACT, closed="none")


def _number_text(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The number as it is written, for exact arithmetic; null for a text that is no number, for NaN and infinities."""
    if dtype == NUMBER:
        return decimals.text_of(value)
    if isinstance(dtype, pl.String):
        return pl.when(value.str.contains(_NUMBER)).then(value)
    return (pl.when(value.is_finite()).then(value) if dtype.is_float() else value).cast(pl.String)


def _decimal(number: float) -> Decimal:
    return Decimal(repr(number))


def _not_zero(*, by: float) -> None:
    if by == 0:
        raise ValueError("'by' must not be 0")


@function(takes=("text", "a number"), reason=NOT_A_NUMBER, shorthand="by", check=_not_zero, exact=True)
def divide(value: pl.Expr, dtype: pl.DataType, *, by: float) -> pl.Expr:
    """The number divided by `by`; a text must be a number. An endless quotient is the nearest double, of 17 digits.

    It is calculated in decimals, as on paper, and so are `multiply` and `round`: a float is the number that it shows.
    A result of up to 38 digits is sent with all of them; one that needs more digits is the nearest double. From 10^38
    on it is rejected.

    >>> 1050 | {divide: 100} -> 10.5
    >>> "1000" | {divide: 100} -> 10
    >>> 187484 | {divide: 100} -> 1874.84
    >>> "9007199254740993" | {divide: 3} -> 3002399751580331
    >>> 10 | {divide: 3} -> 3.3333333333333335
    >>> "12 EUR" | {divide: 100} -> rejected
    """
    return decimals.number(decimals.quotient(_number_text(value, dtype), _decimal(by)))


@function(takes=("text", "a number"), reason=NOT_A_NUMBER, shorthand="by", exact=True)
def multiply(value: pl.Expr, dtype: pl.DataType, *, by: float) -> pl.Expr:
    """The number times `by`, exact up to 38 digits; integers by an integer stay integers, null from 10^38 on.

    >>> 19 | {multiply: 100} -> 1900
    >>> "10.5" | {multiply: 100} -> 1050
    >>> "4.35" | {multiply: 100} -> 435
    >>> 9223372036854775807 | {multiply: 2} -> 18446744073709551614
    >>> "1e37" | {multiply: 10} -> rejected
    """
    if dtype.is_integer() and isinstance(by, int):
        return decimals.whole_product(value, by)
    return decimals.number(decimals.product(_number_text(value, dtype), _decimal(by)))


def _at_most_15(*, digits: int = 0) -> None:
    if not 0 <= digits <= 15:  # a double has 15 to 17 significant digits
        raise ValueError("'digits' must be from 0 to 15")


@function(takes=("text", "a number"), reason=NOT_A_NUMBER, shorthand="digits", check=_at_most_15, exact=True)
def round_(value: pl.Expr, dtype: pl.DataType, *, digits: int = 0) -> pl.Expr:
    """The number with at most `digits` digits after the point, halves away from zero; integers stay as they are.

    >>> 2.345 | {round: 1} -> 2.3
    >>> "-2.5" | round -> -3
    >>> "1.005" | {round: 2} -> 1.01
    >>> 2.675 | {round: 2} -> 2.68
    >>> 7 | round -> 7
    """
    if dtype.is_integer():
        return value
    return decimals.number(decimals.rounded(_number_text(value, dtype), digits))


# Signs between groups of three digits, as people and programs write them; spaces that do not break among them.
_THOUSANDS = {
    "none": "",
    "comma": ",",
    "point": r"\.",
    "space": r"[ \u00a0\u2009\u202f]",
    "apostrophe": "['\u2019]",
}


def _listed(units: str | list[str] | None) -> list[str]:
    return [units] if isinstance(units, str) else units or []


def _check_number(
    *,
    decimal: str = "point",
    thousands: str = "none",
    units: str | list[str] | None = None,
    **_: object,
) -> None:
    if decimal == thousands:
        raise ValueError(f"'decimal' and 'thousands' are both the {decimal}")
    for unit in _listed(units):
        if not unit.strip() or re.search(r"[0-9+\-.,]", unit):
            raise ValueError("a unit of 'units' is a sign or a word without digits, as €, EUR or %")


@function(takes=("text", "a number"), reason=NOT_A_NUMBER, shorthand="decimal", check=_check_number)
def number(
    value: pl.Expr,
    dtype: pl.DataType,
    *,
    decimal: Literal["point", "comma"] = "point",
    thousands: Literal["none", "comma", "point", "space", "apostrophe"] = "none",
    units: str | list[str] | None = None,
    accounting: bool = False,
) -> pl.Expr:
    """The number in a text that people wrote, a Float64, with this `decimal` sign and this sign between `thousands`.

    Nothing is guessed: another sign rejects the row, and so do groups that do not have three digits. `units` may stand
    before or after the number, and are dropped: `[€, EUR]`, `"%"`; 12 % is 12: put `divide: 100` after it for a share.
    With `accounting`, `(5)` and `5-` are -5. Numbers from ±2^53 on are rejected.

    >>> "1234,56" | {number: comma} -> 1234.56
    >>> "1.234,56 €" | {number: {decimal: comma, thousands: point, units: "€"}} -> 1234.56
    >>> "-$1,234" | {number: {thousands: comma, units: [$, USD]}} -> -1234.0
    >>> "12 345" | {number: {decimal: comma, thousands: space}} -> 12345.0
    >>> "(1,250.00)" | {number: {thousands: comma, accounting: true}} -> -1250.0
    >>> "1.234" | {number: comma} -> rejected
    >>> "1.23,4" | {number: {decimal: comma, thousands: point}} -> rejected
    >>> "12 EUR" | {number: {units: "€"}} -> rejected
    """
    if not isinstance(dtype, pl.String):
        return to_double(value, dtype)
    between, sign_of_decimals = _THOUSANDS[thousands], _THOUSANDS[decimal]
    grouped = f"[0-9]{{1,3}}(?:{between}[0-9]{{3}})+|" if between else ""
    listed = sorted(_listed(units), key=len, reverse=True)
    unit = f"(?:(?i:{'|'.join(re.escape(one.strip()) for one in listed)})\\s*)?" if listed else ""
    sign, digits = r"(?P<sign>[+\-\u2212]?)\s*", f"(?P<whole>{grouped}[0-9]+)(?:{sign_of_decimals}(?P<part>[0-9]+))?"
    body = rf"{unit}{sign}{unit}{digits}\s*{unit}"
    if accounting:
        body = rf"(?P<open>\(?)\s*{body}(?P<close>[\-\u2212)]?)\s*{unit}"
    read = value.str.extract_groups(rf"^\s*{body}\s*$")

    def group(name: str) -> pl.Expr:
        return read.struct.field(name)

    whole = group("whole").str.replace_all("[^0-9]", "")
    made = pl.concat_str([whole, pl.lit("."), group("part").fill_null("0")]).cast(pl.Float64, strict=False)
    negative = group("sign").is_in(["-", "\u2212"])
    if accounting:
        opened, closed = group("open") == "(", group("close")
        signed = (
            (group("sign") != "").cast(pl.Int8) + opened.cast(pl.Int8) + closed.is_in(["-", "\u2212"]).cast(pl.Int8)
        )
        made = pl.when((opened == (closed == ")")) & (signed <= 1)).then(made)
        negative = negative | (closed != "")
    return pl.when(made < _EXACT).then(pl.when(negative).then(-made).otherwise(made))
