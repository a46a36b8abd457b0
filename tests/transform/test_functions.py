"""The functions of `apply` give exactly what their documentation says, or null."""

from __future__ import annotations

import ast
import hashlib
import json
import math
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from cio_etl.model import Call
from cio_etl.transform.functions import FUNCTIONS, RAW_JSON, Function, apply, parse_call
from tests.functions import made_of, mapped, of_json

# ---------------------------------------------------------------- the documentation

COUNTRIES = "code,dial,name\nFR,33,France\nDE,49,Germany\n"


def examples() -> Iterator[Any]:
    for function in FUNCTIONS.values():
        for row, raw, made in re.findall(r"^>>> (.+?) \| (.+) -> (.+)$", function.doc, re.MULTILINE):
            yield pytest.param(row, raw, made, id=f"{row} | {raw}")


@pytest.mark.parametrize(("row", "raw", "made"), list(examples()))
def test_every_example_is_true(row: str, raw: str, made: str) -> None:
    Path("countries.csv").write_text(COUNTRIES, encoding="utf-8")
    (value,), (rejected,) = made_of(
        [ast.literal_eval(row) if row.startswith("b") else json.loads(row)], YAML(typ="safe").load(raw)
    )
    value = of_json(value)
    expected = None if made == "rejected" else json.loads(made)
    assert value == expected
    assert type(value) is type(expected)
    assert rejected == (made == "rejected")


@pytest.mark.parametrize("function", list(FUNCTIONS.values()), ids=lambda function: function.name)
def test_every_function_is_documented_with_an_example_and_its_arguments_have_words(function: Any) -> None:
    assert re.match(r"[A-Z].*\.", function.doc)
    assert ">>> " in function.doc
    assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+", function.reason)
    assert function.shorthand is None or function.shorthand in function.parameters
    for parameter in function.parameters.values():
        assert parameter.kind


NO_DEFAULT = "which the default is not; put a `cast` before it"


def shortest_call(function: Function) -> object:
    """The function's name where it needs no argument, else the call of an example that is of one column."""
    if not any(parameter.required for parameter in function.parameters.values()):
        return function.name
    calls = re.findall(r"^>>> [^{].*? \| (.+) -> ", function.doc, re.MULTILINE)
    return YAML(typ="safe").load(calls[0])


OF_SEVERAL = {name for name, function in FUNCTIONS.items() if function.takes == ("several columns",)}


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - {"default"} - OF_SEVERAL))
def test_null_stays_null(name: str) -> None:
    Path("countries.csv").write_text(COUNTRIES, encoding="utf-8")
    raw, takes = shortest_call(FUNCTIONS[name]), FUNCTIONS[name].takes or ("text",)
    dtype = pl.String if "text" in takes else pl.Binary if takes == ("bytes",) else pl.List(pl.String)
    assert made_of([None, None], raw, pl.Null) == ([None, None], [False, False])
    assert made_of([None, None], raw, dtype) == ([None, None], [False, False])


@pytest.mark.parametrize("raw", ["coalesce", "concat", {"template": "{a}-{b}"}, {"expr": "a || b"}])
def test_nulls_in_all_columns_make_a_null_that_rejects_nothing(raw: object) -> None:
    assert made_of([{"a": None, "b": None}] * 2, raw) == ([None, None], [False, False])


# ---------------------------------------------------------------- calls


@pytest.mark.parametrize(
    ("raw", "call"),
    [
        ("trim", Call("trim", {})),
        ({"trim": None}, Call("trim", {})),
        ({"divide": 100}, Call("divide", {"by": 100})),
        ({"divide": {"by": 0.5}}, Call("divide", {"by": 0.5})),
        ({"default": "x"}, Call("default", {"to": "x"})),
        ({"default": []}, Call("default", {"to": []})),
        ({"cast": "integer"}, Call("cast", {"to": "integer"})),
        ({"split": ";"}, Call("split", {"separator": ";"})),
        ({"round": 2}, Call("round", {"digits": 2})),
        ({"map": {"p": "pro"}}, Call("map", {"values": {"p": "pro"}})),
        ({"map": {"values": "v"}}, Call("map", {"values": {"values": "v"}})),
        ({"map": {"values": {"default": "d"}}}, Call("map", {"values": {"default": "d"}})),
        ({"map": {"values": {"p": 1}, "default": 0}}, Call("map", {"values": {"p": 1}, "default": 0})),
        ({"timestamp": {"unit": "ms"}}, Call("timestamp", {"unit": "ms"})),
    ],
)
def test_yaml_becomes_a_call(raw: object, call: Call) -> None:
    assert parse_call(raw) == call


SHAPE = "a function is its name, or {name: argument}, or {name: {argument: value, …}}; one for each '-'"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("lowr", "no function 'lowr'; did you mean 'lower'?"),
        (None, SHAPE),
        (3, SHAPE),
        ({}, SHAPE),
        ({"trim": None, "lower": None}, SHAPE),
        ({"trim": 3}, "trim: it takes no argument"),
        ({"divide": {"of": 3}}, "divide: unknown argument 'of'; it takes 'by'"),
        ("divide", "divide: 'by' is missing, a number"),
        ({"divide": 0}, "divide: 'by' must not be 0"),
        ({"divide": "100"}, "divide: 'by' must be a number"),
        ({"divide": math.inf}, "divide: 'by' must be a number"),
        ({"multiply": True}, "multiply: 'by' must be a number"),
        ({"multiply": 2**63}, "multiply: 'by' must be a number"),
        ({"round": 1.5}, "round: 'digits' must be a whole number"),
        ({"round": 16}, "round: 'digits' must be from 0 to 15"),
        ({"replace": "x"}, "replace: it takes 'old', 'new'"),
        ({"replace": {"old": "x"}}, "replace: 'new' is missing, text"),
        ({"replace": {"old": "", "new": "x"}}, "replace: 'old' must not be empty"),
        ({"split": ""}, "split: 'separator' must not be empty"),
        ({"cast": "int"}, "cast: 'to' must be one of text, integer, number, boolean"),
        ({"timestamp": {"timezon": "UTC"}}, "timestamp: unknown argument 'timezon'; did you mean 'timezone'?"),
        (
            {"timestamp": {"zone": "UTC", "unit": "h", "ambiguous": 1}},
            "timestamp: unknown argument 'zone'; did you mean 'timezone'?\n"
            "timestamp: 'unit' must be one of auto, s, ms, us, ns, excel, excel1904\n"
            "timestamp: 'ambiguous' must be one of earliest, latest, reject",
        ),
        ({"replace": {}}, "replace: 'old' is missing, text\nreplace: 'new' is missing, text"),
        ({"default": {"a": 1}}, "default: unknown argument 'a'; it takes 'to'"),
        ({"map": ["a"]}, "map: 'values' must be a mapping"),
        ({"map": {}}, "map: 'values' must not be empty"),
        ({"map": {"p": None}}, "map: every result must be text, a number or true/false"),
        ({"map": {"p": "x", "q": 1}}, "map: the results must be of one kind: all text, all numbers, or all true/false"),
        ({"map": {"p": "x", "default": "y"}}, "map: with other arguments, put the mapping under `values:`"),
    ],
)
def test_a_wrong_call_says_what_would_be_right(raw: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_call(raw)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("dtype", "raw", "message"),
    [
        (pl.Int64(), "trim", "trim needs text; the column holds whole numbers: put `cast: text` before it"),
        (pl.Binary(), "trim", "trim needs text; the column holds bytes: put `decode` before it"),
        (pl.String(), "join", "join needs a list of text; the column holds text: put `split` before it"),
        (
            pl.Boolean(),
            {"divide": 2},
            "divide needs text or a number; the column holds true or false: put `cast: text` before it",
        ),
        (RAW_JSON, "first", "first needs a list; the column holds JSON"),
        (pl.Time(), "timestamp", "timestamp needs text or a number or a date; the column holds times of day"),
        (pl.Date(), {"cast": "integer"}, "cast: a date is no integer; `timestamp` makes Unix seconds of it"),
        (
            pl.String(),
            {"default": 0},
            f"default: the column holds text, {NO_DEFAULT}",
        ),
        (
            pl.Int64(),
            {"default": 0.5},
            f"default: the column holds whole numbers, {NO_DEFAULT}",
        ),
        (
            pl.Int64(),
            {"default": True},
            f"default: the column holds whole numbers, {NO_DEFAULT}",
        ),
        (
            pl.Int8(),
            {"default": 999},
            f"default: the column holds whole numbers, {NO_DEFAULT}",
        ),
        (pl.Int64(), {"map": {"a": 1}}, "map: the column holds whole numbers, which a value to look up is not"),
        (pl.Boolean(), {"map": {"a": 1}}, "map: the column holds true or false, which a value to look up is not"),
        (pl.Int64(), {"map": {1: 1, "1": 2}}, "map: two of the values to look up are the same for this column"),
    ],
)
def test_a_column_that_a_function_cannot_read_is_refused_with_advice(
    dtype: pl.DataType, raw: object, message: str
) -> None:
    with pytest.raises(ValueError) as caught:
        apply(pl.col("v"), dtype, parse_call(raw))
    assert str(caught.value) == message


# ---------------------------------------------------------------- text


def test_categories_and_enums_are_text() -> None:
    assert mapped(["a", None], "upper", pl.Categorical) == ["A", None]
    assert mapped(["a", None], "upper", pl.Enum(["a"])) == ["A", None]


@given(st.text(), st.text(min_size=1), st.text())
@settings(max_examples=50, deadline=None)
def test_replace_is_literal(text: str, old: str, new: str) -> None:
    assert mapped([text], {"replace": {"old": old, "new": new}}) == [text.replace(old, new)]


@given(st.lists(st.text(), min_size=1))
@settings(max_examples=50, deadline=None)
def test_split_takes_apart_what_join_put_together(pieces: list[str]) -> None:
    pieces = [piece.replace(";", "") for piece in pieces]
    joined = mapped([pieces], {"join": ";"}, pl.List(pl.String))
    assert joined == [";".join(pieces)]
    assert mapped(joined, {"split": ";"}) == [pieces]


@given(st.text())
@settings(max_examples=50, deadline=None)
def test_sha256_is_that_of_the_utf_8_bytes(text: str) -> None:
    assert mapped([text], "sha256") == [hashlib.sha256(text.encode()).hexdigest()]


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_a_slug_is_words_of_small_ascii_letters_and_digits_or_nothing(text: str) -> None:
    (slug,) = mapped([text], "slug")
    assert slug is None or re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug)
    assert slug is not None or not re.search("[A-Za-z0-9]", text)


# ---------------------------------------------------------------- numbers


@pytest.mark.fault("S13")
@pytest.mark.parametrize(
    ("to", "values", "made"),
    [
        ("integer", ["7", "-7", "+7", "007", "-0"], [7, -7, 7, 7, 0]),
        (
            "integer",
            ["1.0", "1e3", " 7", "7 ", "1_000", "1,000", "0x1", "٧", "", "-", "9223372036854775808"],
            [None] * 11,
        ),
        ("integer", [2.0, 2.5, math.nan, math.inf, 1e30], [2, None, None, None, None]),
        ("integer", [Decimal("2.00"), Decimal("2.50")], [2, None]),
        ("integer", [True, False], [1, 0]),
        ("number", ["1", "-1.5", ".5", "5.", "1e3", "1E-3"], [1.0, -1.5, 0.5, 5.0, 1000.0, 0.001]),
        ("number", ["nan", "inf", "-Infinity", "1e999", " 7", "1_0", "1,5", "", "."], [None] * 9),
        ("number", ["9007199254740991", "9007199254740992", "9007199254740993"], [2.0**53 - 1, None, None]),
        ("number", [math.nan, math.inf, 0.1], [None, None, 0.1]),
        ("number", [2**63 - 1, None], [2**63 - 1, None]),
        ("number", [Decimal("1.10")], [1.1]),
        ("number", [True], [1]),
        ("boolean", ["true", "T", "YES", "y", "1", "True", "tRuE"], [True] * 7),
        ("boolean", ["false", "F", "No", "n", "0"], [False] * 5),
        ("boolean", ["on", "2", "", " true", "truthy"], [None] * 5),
        ("boolean", [1, 0, 2, -1], [True, False, None, None]),
        ("boolean", [1.0, math.nan], [True, None]),
        ("text", [7, -1], ["7", "-1"]),
        ("text", [0.1, math.nan], ["0.1", None]),
        ("text", [Decimal("1.10")], ["1.10"]),
        ("text", [True, False], ["true", "false"]),
        ("text", [date(2024, 3, 10)], ["2024-03-10"]),
        ("text", [datetime(2024, 3, 10, 9)], ["2024-03-10T09:00:00.000000"]),
        ("text", [datetime(2024, 3, 10, 9, tzinfo=UTC)], ["2024-03-10T09:00:00.000000+00:00"]),
    ],
)
def test_cast_is_exact_or_nothing(to: str, values: list[object], made: list[object]) -> None:
    result = mapped(values, {"cast": to})
    assert result == made
    assert [type(value) for value in result] == [type(value) for value in made]


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["{!r}", "{:.3f}", "{:e}", "{:.17g}"]))
@settings(max_examples=200, deadline=None)
def test_a_number_in_text_is_the_nearest_double(number: float, written: str) -> None:
    text = written.format(number)
    expected = float(text) if abs(float(text)) < 2**53 else None
    assert mapped([text], {"cast": "number"}) == [expected]


@given(st.text(alphabet="0123456789+-.eEinfa_ ٧", max_size=8))
@settings(max_examples=300, deadline=None)
def test_what_is_no_number_to_python_is_none_here(text: str) -> None:
    (number,) = mapped([text], {"cast": "number"})
    (integer,) = mapped([text], {"cast": "integer"})
    assert number is None or number == float(text)
    assert integer is None or integer == int(text)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
@settings(max_examples=200, deadline=None)
def test_integers_times_an_integer_are_exact(number: int, by: int) -> None:
    product = number * by
    assert mapped([number], {"multiply": by}, pl.Int64) == [product]


@given(st.integers(0, 2**64 - 1), st.integers(-(2**63), 2**63 - 1))
@settings(max_examples=100, deadline=None)
def test_unsigned_integers_times_an_integer_are_exact_up_to_38_digits(number: int, by: int) -> None:
    product = number * by
    assert mapped([number], {"multiply": by}, pl.UInt64) == [product if abs(product) < 10**38 else None]


@given(st.integers(-(2**53) + 1, 2**53 - 1), st.integers(1, 10**6))
@settings(max_examples=100, deadline=None)
def test_division_is_that_of_python(number: int, by: int) -> None:
    assert [float(one) for one in mapped([number], {"divide": by}, pl.Int64)] == [number / by]
    assert [float(one) for one in mapped([str(number)], {"divide": by})] == [number / by]


@pytest.mark.parametrize(
    ("raw", "value", "made"),
    [
        ({"divide": 3}, 2**53 + 1, 3002399751580331),  # no double holds 2^53 + 1
        ({"divide": 1e-300}, 1e10, None),  # infinite
        ({"multiply": 1e300}, 1e10, None),
        ({"multiply": 1.5}, 3, 4.5),
        ({"round": 2}, 2.675, 2.68),
        ({"round": 0}, 2.5, 3.0),
        ({"round": 0}, -0.5, -1.0),
        ("round", math.nan, None),
        ("round", "x", None),
    ],
)
def test_arithmetic_at_its_edges(raw: object, value: object, made: object) -> None:
    assert mapped([value], raw) == [made]


# ---------------------------------------------------------------- default, map, json


@pytest.mark.parametrize(
    ("dtype", "to", "filled"),
    [
        (pl.String, "x", "x"),
        (pl.Int8, 5, 5),
        (pl.UInt64, 5, 5),
        (pl.Float64, 1, 1.0),
        (pl.Boolean, False, False),
        (pl.List(pl.String), ["a", "b"], ["a", "b"]),
        (pl.List(pl.String), [], []),
        (pl.Decimal(10, 2), 3, Decimal("3.00")),
        (pl.Null, 0, 0),
        (RAW_JSON, "x", {"raw_json": '"x"'}),
    ],
)
def test_a_default_takes_the_place_of_null(dtype: pl.DataType, to: object, filled: object) -> None:
    assert mapped([None], {"default": to}, dtype) == [filled]


def test_a_default_leaves_values_alone() -> None:
    assert mapped(["", "x", None], {"default": "d"}) == ["", "x", "d"]


@pytest.mark.parametrize(
    ("values", "raw", "made"),
    [
        (["p", "x", None], {"p": "pro"}, ["pro", None, None]),
        (["p", "x", None], {"values": {"p": "pro"}, "default": "none"}, ["pro", "none", None]),
        (["1", "2.5", "x"], {1: "one", 2.5: "more"}, ["one", "more", None]),
        (["true", "false"], {True: 1, False: 0}, [1, 0]),
        ([1, 2, None], {1: "one", "2": "two"}, ["one", "two", None]),
        ([1.0, 2.5], {1: 10, 2.5: 0.5}, [10.0, 0.5]),
        ([True, False], {True: 1, "false": 0}, [1, 0]),
        ([Decimal("1.50")], {1.5: True}, [True]),
    ],
)
def test_map_looks_up(values: list[object], raw: dict[Any, Any], made: list[object]) -> None:
    assert mapped(values, {"map": raw}) == made


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON, st.booleans())
@settings(max_examples=100, deadline=None)
def test_json_text_is_passed_on_as_it_is(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert mapped([text], "json") == [None if value is None else {"raw_json": text}]


@given(st.text(alphabet='{}[]",:0123456789.eE+-truefalsn \\u\n\x00\ufeff', max_size=12))
@settings(max_examples=300, deadline=None)
def test_what_is_no_json_is_rejected(text: str) -> None:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    if mapped([text], "json") != [None]:
        json.loads(text, parse_constant=refuse)


@pytest.mark.fault("S13")
@pytest.mark.parametrize(
    "text",
    ["", "null", "NaN", "[Infinity]", "{'a':1}", "[1,]", '"\\ud800"', "[" * 200 + "]" * 200, "[" * 100_000, "{}{}"],
)
def test_json_that_could_not_be_sent_is_rejected(text: str) -> None:
    assert mapped([text], "json") == [None]


def test_a_json_column_is_marked_by_its_type() -> None:
    frame = pl.DataFrame({"v": ["{}", "x"]})
    made = frame.select(apply(pl.col("v"), pl.String(), parse_call("json")))
    assert made.dtypes == [RAW_JSON]
    assert made.to_series().is_null().to_list() == [False, True]


def test_no_time_of_day_has_a_default() -> None:
    with pytest.raises(ValueError, match="the column holds times of day"):
        mapped([time(1)], {"default": "x"})


# ---------------------------------------------------------------- null_if of dates


@pytest.mark.parametrize(
    ("values", "dtype", "nothing", "made"),
    [
        ([date(9999, 12, 31), date(2024, 3, 10)], pl.Date, "9999-12-31", [None, date(2024, 3, 10)]),
        (
            [datetime(9999, 12, 31, 23, 59), datetime(1970, 1, 1), datetime(1970, 1, 1, 1)],
            pl.Datetime,
            ["9999-12-31", "1970-01-01T00:00:00"],
            [None, None, datetime(1970, 1, 1, 1)],
        ),
        (
            [datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, 1, tzinfo=UTC)],
            pl.Datetime("us", "UTC"),
            "1970-01-01T01:00:00+01:00",
            [None, datetime(1970, 1, 1, 1, tzinfo=UTC)],
        ),
    ],
)
def test_dates_that_stand_for_nothing_become_null(
    values: list[object], dtype: pl.DataType, nothing: object, made: list[object]
) -> None:
    assert mapped(values, {"null_if": nothing}, dtype) == made


def test_a_date_that_is_not_written_as_one_is_refused() -> None:
    with pytest.raises(ValueError) as caught:
        apply(pl.col("v"), pl.Date(), parse_call({"null_if": "31/12/9999"}))
    assert str(caught.value) == "null_if: the column holds dates, and '31/12/9999' is no date as 2024-03-10"


@pytest.mark.parametrize(
    ("dtype", "value", "fits"),
    [
        (pl.UInt64, 2**63 - 1, True),
        (pl.UInt64, 2**63, False),
        (pl.Int128, -(2**63), True),
        (pl.Int128, -(2**63) - 1, False),
        (pl.UInt128, 2**127, False),
        (pl.Decimal(38, 0), Decimal(2**63 - 1), True),
        (pl.Decimal(38, 0), Decimal(2**63), False),
        (pl.Decimal(38, 2), Decimal("7.00"), True),
        (pl.Decimal(38, 2), Decimal("7.01"), False),
        (pl.Float64, 2.0**62, True),
        (pl.Float64, 2.0**63, False),
        (pl.String, str(2**63), False),
    ],
)
def test_a_whole_number_past_64_bits_is_rejected_and_never_wraps(dtype: Any, value: Any, fits: bool) -> None:
    made, rejected = made_of([value], {"cast": "integer"}, dtype)
    assert (made, rejected) == (([int(value)], [False]) if fits else ([None], [True]))
