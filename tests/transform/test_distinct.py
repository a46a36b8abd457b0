"""A Python function runs once for each distinct value, with the result that it has for each row."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_etl.transform.distinct import by_distinct


@given(st.lists(st.none() | st.sampled_from(["a", "b", "", "日"])))
@settings(max_examples=50, deadline=None)
def test_each_row_has_its_value(values: list[str | None]) -> None:
    frame = pl.DataFrame({"v": pl.Series(values, dtype=pl.String)})

    def made(text: str) -> list[str] | None:
        return [text, text] if text != "b" else None

    expected = [None if value is None else made(value) for value in values]
    assert frame.select(by_distinct(pl.col("v"), made, pl.List(pl.String()))).to_series().to_list() == expected


def test_a_value_that_comes_again_costs_nothing() -> None:
    seen: list[int] = []

    def note(number: int) -> int:
        seen.append(number)
        return -number

    frame = pl.DataFrame({"v": [7, 8, None, 7] * 100})
    assert frame.select(by_distinct(pl.col("v"), note, pl.Int64())).to_series().to_list() == [-7, -8, None, -7] * 100
    assert sorted(seen) == [7, 8]
