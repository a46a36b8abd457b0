"""Numbers in text are read by the declared notation, and rejected otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_etl.transform.functions import parse_call
from tests.functions import mapped
from tests.mapped_rows import column, mapping, rows, sent

SIGNS = {"none": "", "comma": ",", "point": ".", "space": " ", "apostrophe": "'"}
STYLES = [(d, t) for d in ("point", "comma") for t in SIGNS if d != t]


def written(number: float, digits: int, decimal: str, thousands: str) -> str:
    plain = f"{number:,.{digits}f}"
    return plain.translate({ord(","): SIGNS[thousands], ord("."): SIGNS[decimal]})


@given(st.floats(-1e12, 1e12), st.integers(0, 4), st.sampled_from(STYLES))
@settings(max_examples=300, deadline=None)
def test_what_is_written_in_a_style_is_read_in_it(number: float, digits: int, style: tuple[str, str]) -> None:
    decimal, thousands = style
    text = written(number, digits, decimal, thousands)
    assert mapped([text], {"number": {"decimal": decimal, "thousands": thousands}}) == [float(f"{number:.{digits}f}")]


@given(st.integers(1_000, 10**12), st.sampled_from(STYLES), st.sampled_from(STYLES))
@settings(max_examples=200, deadline=None)
def test_a_style_reads_no_other_number_out_of_a_text_of_another_style(
    number: int, mine: tuple[str, str], theirs: tuple[str, str]
) -> None:
    """With two digits after the point no text is a number in two styles, so it is the same one or none."""
    text = written(number / 100, 2, *theirs)
    (made,) = mapped([text], {"number": {"decimal": mine[0], "thousands": mine[1]}})
    assert made in (None, round(number / 100, 2))


FRENCH = {"decimal": "comma", "thousands": "space", "units": ["€", "EUR"]}
BOOKS = {"thousands": "comma", "units": "$", "accounting": True}


@pytest.mark.parametrize(
    ("arguments", "text", "made"),
    [
        (FRENCH, "1 234,50 €", 1234.5),
        (FRENCH, "1\u202f234\u00a0567,5\u00a0€", 1234567.5),
        (FRENCH, "€-5", -5.0),
        (FRENCH, "-€5", -5.0),
        (FRENCH, "- 5 eur", -5.0),
        (FRENCH, "\u22125", -5.0),
        (FRENCH, "+5", 5.0),
        (FRENCH, "12 34", None),
        (FRENCH, "1 2345", None),
        (FRENCH, "5 $", None),
        (FRENCH, "€", None),
        (FRENCH, "", None),
        (FRENCH, "5,", None),
        (FRENCH, ",5", None),
        (FRENCH, "5,5,5", None),
        (FRENCH, "٥", None),
        (FRENCH, "--5", None),
        (BOOKS, "(1,234.50)", -1234.5),
        (BOOKS, "($5)", -5.0),
        (BOOKS, "$(5)", None),
        (BOOKS, "5-", -5.0),
        (BOOKS, "(-5)", None),
        (BOOKS, "-5-", None),
        (BOOKS, "(5", None),
        (BOOKS, "5)", None),
        (BOOKS, "(5-", None),
        ({}, "(5)", None),
        ({}, "5-", None),
        ({}, "1e3", None),
        ({}, "nan", None),
        ({}, "1,234", None),
        ({}, "9007199254740991", 9007199254740991.0),
        ({}, "9007199254740992", None),
        ({"units": "%"}, "12.5 %", 12.5),
        ({"thousands": "apostrophe"}, "1’234’567.5", 1234567.5),
        ({"units": ["a", "ab"]}, "5 ab", 5.0),
        ({"units": ["(x)", "^"]}, "5 (x)", 5.0),
    ],
)
def test_numbers_at_their_edges(arguments: dict[str, object], text: str, made: float | None) -> None:
    assert mapped([text], {"number": arguments}) == [made]


def test_a_column_of_numbers_is_taken_as_it_is() -> None:
    assert mapped([7, None], "number") == [7.0, None]
    assert mapped([0.5, float("nan")], "number") == [0.5, None]


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (
            {"number": {"decimal": "comma", "thousands": "comma"}},
            "number: 'decimal' and 'thousands' are both the comma",
        ),
        ({"number": {"units": ["€", "2"]}}, "number: a unit of 'units' is a sign or a word without digits"),
        ({"number": {"units": " "}}, "number: a unit of 'units' is a sign or a word without digits"),
        ({"number": ","}, "number: 'decimal' must be one of point, comma"),
    ],
)
def test_a_wrong_argument_is_told(raw: object, told: str) -> None:
    with pytest.raises(ValueError, match="^" + told):
        parse_call(raw)


# ---------------------------------------------------------------- exact, as Python's decimal


def _exactly(calculate: Callable[[Decimal], Decimal], text: str) -> float | None:
    """What Python's decimal makes of a text, as the nearest double; null from ±2^53 on."""
    number = Decimal(text)
    if not -(2**53) < float(number) < 2**53:
        return None
    made = float(calculate(number))
    return made if math.isfinite(made) else None


EXACT = Context(prec=200, rounding=ROUND_HALF_UP)
NUMBERS = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**7), max_value=10**7).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**16), max_value=10**16).map(str),
    st.from_regex(r"[+-]?[0-9]{1,16}\.[0-9]{0,20}5", fullmatch=True),
    st.from_regex(r"[+-]?[0-9]{1,5}(\.[0-9]{1,3})?[eE][+-]?[0-9]{1,2}", fullmatch=True),
    st.floats(-(2.0**53), 2.0**53, exclude_min=True, exclude_max=True).map(repr),
)
FACTORS = st.sampled_from([100, 0.01, 1000, -1, 0.1, 1.19, 3, 60, 86_400, 1e-15, 2.5, 0.07, 123_456_789, -0.3, 1e30])


@given(st.lists(NUMBERS, min_size=1, max_size=5), FACTORS, st.integers(0, 15))
@settings(max_examples=250, deadline=None)
def test_texts_are_multiplied_divided_and_rounded_as_python_s_decimal_does(
    texts: list[str], by: float, digits: int
) -> None:
    of = Decimal(repr(by))
    assert mapped(texts, {"multiply": by}) == [_exactly(lambda x: EXACT.multiply(x, of), text) for text in texts]
    assert mapped(texts, {"divide": by}) == [_exactly(lambda x: EXACT.divide(x, of), text) for text in texts]
    step = Decimal(1).scaleb(-digits)
    assert mapped(texts, {"round": digits}) == [_exactly(lambda x: x.quantize(step, context=EXACT), t) for t in texts]


@given(st.floats(-(2.0**53), 2.0**53, exclude_min=True, exclude_max=True), FACTORS)
@settings(max_examples=100, deadline=None)
def test_a_float_is_the_number_that_it_shows_however_the_source_stores_it(number: float, by: float) -> None:
    for raw in ({"multiply": by}, {"divide": by}, {"round": 2}):
        assert mapped([number], raw) == mapped([repr(number)], raw)


@pytest.mark.parametrize(
    ("text", "raw", "made"),
    [
        ("1.005", {"round": 2}, 1.01),
        ("-0.285", {"round": 2}, -0.29),
        ("8.345", {"round": 2}, 8.35),
        ("4.35", {"multiply": 100}, 435.0),
        ("0.1", {"multiply": 3}, 0.3),
        ("4.35", {"divide": 3}, 1.45),
        ("0.00000000000000000000000005", {"round": 2}, 0.0),
    ],
)
@pytest.mark.parametrize("dtype", [pl.String, pl.Float64, pl.Decimal(38, 26)])
def test_the_arithmetic_is_that_of_paper(text: str, raw: object, made: float, dtype: Any) -> None:
    value = {pl.String: str, pl.Float64: float}.get(dtype, Decimal)(text)
    assert mapped([value], raw, dtype) == [made]


def test_a_price_in_cents_is_a_whole_number() -> None:
    how = mapping(attributes={"cents": column("a", {"multiply": 100}, {"cast": "integer"})})
    assert sent(how, rows({"a": ["4.35", "19.99", "0.285"]})) == [
        {"cents": 435},
        {"cents": 1999},
        ("cast_failed", "attributes.cents"),
    ]
