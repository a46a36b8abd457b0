"""Functions of several columns give one value, for any column names and any position of nulls."""

from __future__ import annotations

import math
from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_etl.transform.functions import RAW_JSON, apply, parse_call
from cio_etl.transform.nested import in_words
from tests.functions import made_of, mapped

TEXTS = st.none() | st.sampled_from(["", " ", "Ada", "L", "日"])
ROWS = st.lists(st.fixed_dictionaries({"a": TEXTS, "*": TEXTS, "^x$": TEXTS}), min_size=1, max_size=4)
DTYPE = pl.Struct({"a": pl.String, "*": pl.String, "^x$": pl.String})


def kept(row: dict[str, str | None], skip_blank: bool) -> list[str]:
    texts = [row[field.name] for field in DTYPE.fields]
    return [text for text in texts if text is not None and (text.strip() or not skip_blank)]


@given(ROWS, st.booleans())
@settings(max_examples=100, deadline=None)
def test_the_first_that_is_there_and_all_that_are_there(rows: list[dict[str, str | None]], skip_blank: bool) -> None:
    texts = [kept(row, skip_blank) for row in rows]
    nothing = [False] * len(rows)
    assert made_of(rows, {"coalesce": {"skip_blank": skip_blank}}, DTYPE) == (
        [next(iter(t), None) for t in texts],
        nothing,
    )
    joined = ["-".join(text) if text else None for text in texts]
    assert made_of(rows, {"concat": {"separator": "-", "skip_blank": skip_blank}}, DTYPE) == (joined, nothing)


@given(ROWS)
@settings(max_examples=100, deadline=None)
def test_a_template_is_filled_or_null(rows: list[dict[str, str | None]]) -> None:
    made = [None if None in (row["a"], row["*"]) else f"{{{row['*']}}}: {row['a']}!" for row in rows]
    assert made_of(rows, {"template": "{{{*}}}: {a}!"}, DTYPE) == (made, [False] * len(rows))
    said = [{name: "?" if text is None else text for name, text in row.items()} for row in rows]
    filled = [f"{row['^x$']}{row['a']}{row['^x$']}" for row in said]
    assert mapped(rows, {"template": {"template": "{^x$}{a}{^x$}", "null_text": "?"}}, DTYPE) == filled


ROW = {"text": "x", "whole": 7, "point": 1.5, "yes": True, "day": date(2024, 3, 10), "cat": "c"}
ROW_DTYPE = pl.Struct(
    {"text": pl.String, "whole": pl.Int8, "point": pl.Float64, "yes": pl.Boolean, "day": pl.Date, "cat": pl.Categorical}
)


def test_other_columns_than_text_are_written_as_cast_writes_them() -> None:
    assert mapped([ROW], {"concat": " "}, ROW_DTYPE) == ["x 7 1.5 true 2024-03-10 c"]
    assert mapped([ROW], {"template": "{day}/{whole}/{cat}"}, ROW_DTYPE) == ["2024-03-10/7/c"]


@pytest.mark.parametrize("raw", [{"concat": "-"}, {"template": "{a}-{n}"}])
def test_nan_is_no_text_and_no_null(raw: object) -> None:
    rows = [{"a": "x", "n": math.nan}, {"a": "x", "n": None}, {"a": "x", "n": 1.5}]
    made, rejected = made_of(rows, raw)
    assert (made[0], rejected) == (None, [True, False, False])
    assert made[2] == "x-1.5"


def test_one_column_has_a_template_too() -> None:
    assert made_of(["7", None], {"template": "https://example.org/{}?a={{}}"}) == (
        ["https://example.org/7?a={}", None],
        [False, False],
    )
    assert made_of([math.nan], {"template": "n{}"}) == ([None], [True])


@pytest.mark.parametrize(
    ("rows", "made"),
    [
        ([{"a": None, "b": 2}, {"a": 1, "b": None}], [2, 1]),
        ([{"a": None, "b": ["x"]}], [["x"]]),
        ([{"a": None, "b": None}], [None]),
    ],
)
def test_coalesce_keeps_the_type(rows: list[Any], made: list[Any]) -> None:
    assert mapped(rows, "coalesce") == made


@pytest.mark.parametrize(
    ("dtypes", "raw", "told"),
    [
        (
            [pl.String, pl.Int64],
            "coalesce",
            "coalesce: the columns are of several kinds, text, whole numbers; cast them in an",
        ),
        ([pl.Int64, pl.Float64], "coalesce", "coalesce: the columns are of several kinds, whole numbers, numbers; "),
        ([pl.Date, pl.Datetime("us")], "coalesce", "coalesce: the columns are of several kinds, dates, times in us"),
        ([pl.List(pl.String)], "concat", "concat: the column 'a' holds lists of text, which have no text"),
        ([pl.Binary], "concat", "concat: the column 'a' holds bytes, which have no text"),
        ([pl.String, pl.String], {"template": "{first}"}, "template: no column 'first'; there are 'a', 'b'"),
        ([pl.String, pl.String], {"template": "{}"}, "template: no column ''; there are 'a', 'b'"),
        ([pl.String, pl.String], {"expr": "a || c"}, "expr: no column 'c' among those given: 'a', 'b'"),
        (
            [pl.String, pl.String],
            {"expr": "a * b"},
            "expr: it does not fit the types of 'a' (text), 'b' (text); make a ",
        ),
        (
            [pl.String, pl.String],
            {"expr": "cast(a as date)"},
            "expr: it does not fit the types of 'a' (text); make a number",
        ),
        ([pl.String, pl.String], {"expr": "not a"}, "expr: it does not fit the types of 'a' (text); "),
        ([pl.String, pl.String], "trim", "trim needs text; the column holds records"),
    ],
)
def test_columns_that_do_not_go_together_are_refused(dtypes: list[Any], raw: object, told: str) -> None:
    with pytest.raises(ValueError) as caught:
        apply(pl.col("v"), pl.Struct(dict(zip("ab", dtypes, strict=False))), parse_call(raw))
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize("name", ["coalesce", "concat"])
@pytest.mark.parametrize("dtype", [pl.String(), RAW_JSON])
def test_one_column_is_not_several(name: str, dtype: pl.DataType) -> None:
    with pytest.raises(ValueError) as caught:
        apply(pl.col("v"), dtype, parse_call(name))
    holds = f"{name} needs several columns; the column holds {in_words(dtype)}"
    assert str(caught.value) == f"{holds}: write {{columns: [one, another], apply: […]}}"


def test_one_column_s_template_has_no_names() -> None:
    with pytest.raises(
        ValueError, match=r"^template: no column 'a'; of a single column write {}, or give it `columns:`$"
    ):
        apply(pl.col("v"), pl.String(), parse_call({"template": "{a}"}))


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"template": "x"}, "template: 'template' names no column; write {name} where its text is to stand"),
        ({"template": "{a"}, "template: 'template' has a brace alone; a column is {name}, and {{ or }} is a brace"),
        ({"template": "a}"}, "template: 'template' has a brace alone"),
        ({"expr": "1 + 1"}, "expr: names no column; a constant is written {value: …}"),
        ({"expr": "a ||"}, "expr: not an expression in SQL over the row's columns, as \"first || ' ' || last\""),
        (
            {"expr": "(select a)"},
            "expr: a query inside (SELECT); only the columns of one row can be used: prepare",
        ),
        ({"expr": "a || now()"}, "expr: no function 'now' of one row's values"),
        ({"expr": "max(a)"}, "expr: no function 'max' of one row's values"),
        ({"expr": '"^a.*$"'}, "expr: stands for several columns; name one column at a time"),
    ],
)
def test_what_is_wrong_is_told_when_the_yaml_is_read(raw: object, told: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_call(raw)
    assert str(caught.value).startswith(told)


# ---------------------------------------------------------------- SQL


def test_a_row_for_which_sql_fails_is_rejected_and_no_other() -> None:
    rows = [{"a": text} for text in ("1", "x", None, "3", "", "5")]
    made = made_of(rows, {"expr": "cast(a as bigint) + 1"})
    assert made == ([2, None, None, 4, None, 6], [False, True, False, False, True, False])
    assert made_of(rows, {"expr": "try_cast(a as bigint) + 1"}) == ([2, None, None, 4, None, 6], [False] * 6)
    assert made_of(rows[1:2], {"expr": "cast(a as bigint)"}) == ([None], [True])


def test_dates_in_sql_have_a_format_or_a_type() -> None:
    rows = [{"a": "02/03/2024", "d": date(2024, 3, 10)}, {"a": "2024-03-02", "d": None}]
    made = made_of(rows, {"expr": "date(a, '%d/%m/%Y')"})
    assert made == ([date(2024, 3, 2), None], [False, True])
    assert mapped(rows, {"expr": "cast(cast(d as timestamp) as date)"}) == [date(2024, 3, 10), None]


def test_sql_of_no_rows_is_no_rows() -> None:
    assert made_of([], {"expr": "a || 'x'"}, pl.Struct({"a": pl.String})) == ([], [])


@given(st.lists(st.tuples(st.integers(-1000, 1000), st.none() | st.sampled_from(["x", "Ada", ""])), min_size=1))
@settings(max_examples=50, deadline=None)
def test_sql_is_worked_out_for_each_row(pairs: list[tuple[int, str | None]]) -> None:
    rows = [{"n": n, "t": t} for n, t in pairs]
    dtype = pl.Struct({"n": pl.Int64, "t": pl.String})
    sql = "case when n < 0 then upper(coalesce(t, 'none')) else t || '-' || cast(n as text) end"
    expected = [
        (t or "none" if t is None else t).upper() if n < 0 else None if t is None else f"{t}-{n}" for n, t in pairs
    ]
    assert made_of(rows, {"expr": sql}, dtype) == (expected, [False] * len(rows))
