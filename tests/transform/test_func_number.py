"""Is a number that people wrote read as it was said to be written, and not at all otherwise?"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_etl.transform.functions import parse_call
from tests.functions import mapped

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
