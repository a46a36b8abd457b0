"""Values are read back exactly from cells of text, and no spreadsheet runs a cell as a formula."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_series_equal

from cio_etl.reject_files.csv_cells import as_text, from_text, guarded, unguarded

SIGNS = "=+-@＝＋－＠\t\r\n"
texts = st.text(st.sampled_from("'" + SIGNS + 'ab",é'), max_size=6) | st.text(max_size=20)
numbers = st.floats(allow_nan=True, allow_infinity=True)
VALUES: dict[pl.DataType, st.SearchStrategy[Any]] = {
    pl.String(): texts,
    pl.Int64(): st.integers(-(2**63), 2**63 - 1),
    pl.UInt64(): st.integers(0, 2**64 - 1),
    pl.Int8(): st.integers(-128, 127),
    pl.Float64(): numbers,
    pl.Float32(): st.floats(width=32, allow_nan=True),
    pl.Boolean(): st.booleans(),
    pl.Decimal(38, 6): st.decimals(-(10**20), 10**20, places=6, allow_nan=False),
    pl.Date(): st.dates(),
    pl.Time(): st.times(),
    pl.Datetime("us"): st.datetimes(),
    pl.Datetime("ms", "Europe/Paris"): st.datetimes(datetime(1950, 1, 1), datetime(2090, 1, 1)).map(
        lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000, tzinfo=UTC)
    ),
    pl.Duration("us"): st.timedeltas(timedelta(days=-9_999), timedelta(days=9_999)),
    pl.Binary(): st.binary(max_size=9),
    pl.List(pl.Int64()): st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=4),
    pl.List(pl.String()): st.lists(st.none() | st.text(st.characters(codec="utf-8"), max_size=5), max_size=4),
    pl.Struct({"a": pl.Int64(), "b": pl.Boolean()}): st.fixed_dictionaries(
        {"a": st.integers(-(2**63), 2**63 - 1), "b": st.booleans()}
    ),
}


@pytest.mark.parametrize("dtype", VALUES, ids=str)
@given(data=st.data())
def test_a_value_is_read_back_from_its_text_exactly(dtype: pl.DataType, data: st.DataObject) -> None:
    drawn = data.draw(st.lists(st.none() | VALUES[dtype], max_size=5))
    column = pl.Series("v", drawn, dtype=dtype)
    assert_series_equal(from_text(as_text(column), dtype), column)


@given(st.lists(st.none() | texts, max_size=8))
def test_guarded_cells_are_read_back_and_do_not_begin_like_a_formula(cells: list[str | None]) -> None:
    column = pl.Series("v", cells, dtype=pl.String)
    safe = guarded(column)
    assert not [cell for cell in safe if cell is not None and cell[:1] in ("", *SIGNS)]
    assert unguarded(safe).to_list() == cells


@pytest.mark.parametrize("cell", ["abc", "'abc", "a=b", "O'Brien", "7", "'7"])
def test_cells_that_need_no_guard_stay_as_they_are(cell: str) -> None:
    assert guarded(pl.Series([cell])).to_list() == unguarded(pl.Series([cell])).to_list() == [cell]


@pytest.mark.parametrize(
    ("text", "dtype", "value"),
    [
        (" 42.0 ", pl.Int64(), 42),
        ("42.5", pl.Int64(), None),
        ("1 000", pl.Int64(), None),
        ("300", pl.Int8(), None),
        ("1,5", pl.Float64(), None),
        ("1.500", pl.Decimal(10, 2), Decimal("1.50")),
        ("1.505", pl.Decimal(10, 2), None),
        ("TRUE", pl.Boolean(), True),
        ("1", pl.Boolean(), None),
        ("2024-03-10 00:00:00", pl.Date(), date(2024, 3, 10)),
        ("10/03/2024", pl.Date(), None),
        ("2024-02-31", pl.Date(), None),
        ("09:30", pl.Time(), time(9, 30)),
        ("2024-03-10 09:00", pl.Datetime("us"), datetime(2024, 3, 10, 9)),
        ("2024-03-10", pl.Datetime("us"), datetime(2024, 3, 10)),
        ("2024-03-10 09:00:00.1234", pl.Datetime("ms"), None),  # a digit would be lost
        ("2024-03-10T09:00Z", pl.Datetime("us"), None),  # the column has no zone
        ("2024-03-10 09:00", pl.Datetime("us", "UTC"), None),  # and here one is missing
        ("2024-03-10T09:00Z", pl.Datetime("us", "UTC"), datetime(2024, 3, 10, 9, tzinfo=UTC)),
        ("[1,", pl.List(pl.Int64()), None),
        ('[1,"x"]', pl.List(pl.Int64()), None),
        ("free", pl.Null(), "free"),  # a column of nulls takes any text
    ],
)
def test_handwritten_values_are_read_unless_a_part_would_be_lost(text: str, dtype: pl.DataType, value: Any) -> None:
    assert from_text(pl.Series([text, None]), dtype).to_list() == [value, None]


def test_one_invalid_json_cell_leaves_the_others_readable() -> None:
    texts = pl.Series(["[1]", "no", None, "[]"])
    assert from_text(texts, pl.List(pl.Int64())).to_list() == [[1], None, None, []]


def test_cells_with_each_sign_of_a_formula_are_guarded() -> None:
    assert all(re.match("'", cell) for cell in guarded(pl.Series([f"{sign}1" for sign in SIGNS])))
    assert math.isnan(from_text(pl.Series(["NaN"]), pl.Float64()).item())


@pytest.mark.parametrize("blank", [" ", "  ", "\u00a0", "\n", "\r\n ", "\v", "\u2003"])
def test_a_formula_behind_blanks_is_guarded_and_read_back(blank: str) -> None:
    cells = pl.Series([f"{blank}{sign}1" for sign in SIGNS] + [f"'{blank}=1"])
    assert all(cell.startswith("'") for cell in guarded(cells))
    assert unguarded(guarded(cells)).to_list() == cells.to_list()


@pytest.mark.parametrize(
    ("values", "cells"),
    [
        (pl.Series([2**31 - 1, 5, None], dtype=pl.Date), ["2147483647", "1970-01-06", None]),
        (pl.Series([-(2**63), None], dtype=pl.Datetime("us")), ["-9223372036854775808", None]),
        (pl.Series([[2**31 - 1], None], dtype=pl.List(pl.Date)), ["(lists of dates)", None]),
        (pl.Series([{1: 2}, None], dtype=pl.Map(pl.Int8, pl.Int8)), ["(maps)", None]),
        (pl.Series([[b"a"], None], dtype=pl.List(pl.Binary)), ["(lists of bytes)", None]),
    ],
    ids=lambda value: str(value.dtype) if isinstance(value, pl.Series) else "",
)
def test_a_value_that_has_no_text_of_its_own_is_named_and_never_read_back_as_another(
    values: pl.Series, cells: list[str | None]
) -> None:
    made = as_text(values)
    assert made.to_list() == cells
    back = from_text(made, values.dtype)
    assert back.is_null().to_list() == [cell is None or not cell.startswith("1970") for cell in cells]
