"""Numbers in text are read by the declared notation, and rejected otherwise."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cio_etl.transform.functions import parse_call
from tests.functions import exact, mapped
from tests.mapped_rows import column, mapping, rows, sent, texts

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


def _exactly(calculate: Callable[[Decimal], Decimal], text: str) -> Decimal | None:
    """What Python's decimal makes of a text: exact up to 38 digits, else the nearest double; null from 10^38 on."""
    number = Decimal(text)
    if not math.isfinite(float(number)) or (number and not float(number)):
        return None
    made = calculate(number)
    if made.copy_abs() >= 10**38 or (made and not float(made)):
        return None
    if len(made.normalize(EXACT).as_tuple().digits) <= 38:
        return made
    return None if abs(float(made)) >= 1e38 else Decimal(repr(float(made)))  # rounded up to 10^38, it is too large too


EXACT = Context(prec=900, rounding=ROUND_HALF_UP)
NUMBERS = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**7), max_value=10**7).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**40), max_value=10**40).map(str),
    st.from_regex(r"[+-]?[0-9]{1,38}", fullmatch=True),
    st.from_regex(r"[+-]?[0-9]{1,25}\.[0-9]{0,20}5", fullmatch=True),
    st.from_regex(r"[+-]?[0-9]{1,5}(\.[0-9]{1,3})?[eE][+-]?[0-9]{1,3}", fullmatch=True),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["-0", "-0.0", "1e400", "1e-400", "0e400", "9" * 38, "9" * 39, "0." + "9" * 39]),
)
SMALL = [100, 0.01, 1000, -1, 0.1, 1.19, 3, 60, 86_400, 2.5, 0.07, 123_456_789, -0.3]
FACTORS = st.sampled_from([*SMALL, 1e-15, 1e30, 1e300, 5e-324, 2**62, 6e-12])


@given(st.lists(NUMBERS, min_size=1, max_size=5), FACTORS, st.integers(0, 15))
@example(["9" * 39], 0.1, 0)
@settings(max_examples=400, deadline=None)
def test_texts_are_multiplied_divided_and_rounded_as_python_s_decimal_does(
    texts: list[str], by: float, digits: int
) -> None:
    of = Decimal(repr(by))
    step = Decimal(1).scaleb(-digits)
    calls: list[tuple[object, Callable[[Decimal], Decimal]]] = [
        ({"multiply": by}, lambda x: EXACT.multiply(x, of)),
        ({"divide": by}, lambda x: EXACT.divide(x, of)),
        ({"round": digits}, lambda x: x.quantize(step, context=EXACT)),
    ]
    for raw, calculate in calls:
        expected = [_exactly(calculate, text) for text in texts]
        assert [None if one is None else Decimal(str(one)) for one in mapped(texts, raw)] == expected, raw


@pytest.mark.parametrize(
    ("text", "raw", "made"),
    [
        ("9007199254740993", {"multiply": 100}, 900719925474099300),
        ("9007199254740993", {"divide": 3}, 3002399751580331),
        ("1e22", {"multiply": 100}, 10**24),
        ("0.1234567890123456789", {"multiply": 10}, Decimal("1.234567890123456789")),
        ("12345678901234567890.125", {"round": 2}, Decimal("12345678901234567890.13")),
        ("10", {"divide": 3}, 10 / 3),
        ("-0", {"multiply": 100}, 0),
        ("9" * 38, {"multiply": 1}, 10**38 - 1),
        ("9" * 38, {"multiply": 10}, None),
        ("1e-400", {"multiply": 10}, None),
        ("1e-99999999999999999999", {"multiply": 10}, None),
        ("1e99999999999999999999", {"round": 2}, None),
        ("0e99999999999999999999", {"round": 2}, 0),
        ("1e400", {"divide": 10}, None),
    ],
)
def test_results_of_38_digits_are_exact(text: str, raw: object, made: object) -> None:
    assert mapped([text], raw) == [made]
    assert mapped([text, "1.5", None], raw)[0] == made


@pytest.mark.parametrize(
    ("dtype", "value", "raw", "made"),
    [
        (pl.UInt64, 2**64 - 1, {"multiply": 10}, (2**64 - 1) * 10),
        (pl.UInt64, 2**64 - 1, {"divide": 3}, (2**64 - 1) // 3),
        (pl.Int64, -(2**63), {"multiply": -1}, 2**63),
        (pl.Int64, -(2**63), {"divide": 1}, -(2**63)),
        (pl.Int64, 2**53 + 1, {"multiply": 0.5}, Decimal("4503599627370496.5")),
        (pl.Decimal(38, 38), Decimal("0." + "1" * 38), {"multiply": 9}, Decimal("0." + "9" * 38)),
        (pl.Decimal(38, 38), Decimal("0." + "5" * 38), {"round": 15}, Decimal("0.555555555555556")),
        (pl.Float64, float("nan"), {"round": 2}, None),
        (pl.Float64, float("-inf"), {"multiply": 0}, None),
        (pl.Float64, -0.0, {"multiply": 1.5}, 0),
        (pl.Float32, 0.1, {"multiply": 3}, Decimal("0.3")),
    ],
)
def test_the_largest_numbers_of_typed_columns_are_calculated_exactly(
    dtype: Any, value: object, raw: object, made: Any
) -> None:
    (result,) = mapped([value], raw, dtype)
    assert result == made or Decimal(str(result)) == made


@pytest.mark.parametrize("scale", [38, 37, 18, 0])
@given(st.integers(-(10**38) + 1, 10**38 - 1))
@settings(max_examples=60, deadline=None)
def test_decimals_of_any_scale_are_whole_numbers_and_times(scale: int, digits: int) -> None:
    number = Decimal(digits).scaleb(-scale, context=EXACT)
    whole = number.to_integral_value(ROUND_FLOOR)
    is_long = not -(2**63) <= whole < 2**63
    expected = None if is_long or whole != number else int(whole)
    assert mapped([number], {"cast": "integer"}, pl.Decimal(38, scale)) == [expected]
    seconds = int(whole) if -62135596800 <= whole < 253402300800 else None
    assert mapped([number], {"timestamp": {"unit": "s"}}, pl.Decimal(38, scale)) == [seconds]


def test_a_text_that_is_too_small_for_a_double_is_not_zero() -> None:
    assert mapped(["1e-400", "-0.0e-1", "0e-400"], {"cast": "number"}) == [None, 0.0, 0.0]


def test_every_digit_of_a_result_is_sent() -> None:
    how = mapping(
        attributes={
            "big": column("a", {"multiply": 100}),
            "part": column("a", {"divide": 8}),
            "twice": column("a", {"multiply": 100}, {"divide": 1000}, {"round": 2}),
            "text": column("a", {"multiply": 10}, {"cast": "text"}),
            "whole": column("a", {"multiply": 1}, {"cast": "integer"}),
            "label": column("a", {"divide": 2}, {"template": "n {}"}),
            "known": column("a", {"multiply": 1}, {"null_if": 0}, {"default": 7}),
            "named": column("a", {"multiply": 1}, {"map": {"values": {1: "one"}, "default": "many"}}),
        }
    )
    items = texts(how, rows({"a": ["9007199254740993", "1.0", "0", None]}))
    assert [json.loads(item or "", parse_float=exact)["attributes"] for item in items] == [
        {
            "big": 900719925474099300,
            "part": Decimal("1125899906842624.125"),
            "twice": Decimal("900719925474099.3"),
            "text": "90071992547409930",
            "whole": 9007199254740993,
            "label": "n 4503599627370496.5",
            "known": 9007199254740993,
            "named": "many",
        },
        {
            "big": 100,
            "part": 0.125,
            "twice": 0.1,
            "text": "10",
            "whole": 1,
            "label": "n 0.5",
            "known": 1,
            "named": "one",
        },
        {"big": 0, "part": 0, "twice": 0, "text": "0", "whole": 0, "label": "n 0", "known": 7, "named": "many"},
        {"known": 7},
    ]


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
