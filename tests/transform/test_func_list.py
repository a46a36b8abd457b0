"""Functions that sort, count and search lists give what Python gives."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_etl.transform.functions import apply, parse_call
from tests.functions import made_of, mapped

LISTS = st.lists(st.none() | st.text(alphabet="aBé ", max_size=2), max_size=6)
DTYPE = pl.List(pl.String)


@given(LISTS)
@settings(max_examples=100, deadline=None)
def test_what_is_made_of_a_list(texts: list[str | None]) -> None:
    there = [text for text in texts if text is not None]
    assert mapped([texts], "unique", DTYPE) == [list(dict.fromkeys(texts))]
    assert mapped([texts], "compact", DTYPE) == [[text for text in there if text.strip()]]
    assert mapped([texts], "length", DTYPE) == [len(texts)]
    assert mapped([texts], "sort", DTYPE) == [sorted(there) + [None] * (len(texts) - len(there))]
    assert mapped([texts], {"contains": "a"}, DTYPE) == ["a" in texts]
    assert mapped([texts], {"limit": 2}, DTYPE) == [texts[:2]]
    for name, place in (("first", 0), ("last", -1)):
        assert made_of([texts], name, DTYPE) == ([texts[place] if texts else None], [False])


@given(LISTS, st.integers(-7, 7))
@settings(max_examples=100, deadline=None)
def test_an_element_has_a_place(texts: list[str | None], place: int) -> None:
    expected = texts[place] if -len(texts) <= place < len(texts) else None
    assert made_of([texts], {"element": place}, DTYPE) == ([expected], [False])


def test_arrays_are_lists_and_lists_of_numbers_too() -> None:
    assert mapped([[3, 1]], "sort", pl.Array(pl.Int64, 2)) == [[1, 3]]
    assert mapped([[3, None, 1]], {"sort": "descending"}) == [[3, 1, None]]
    assert mapped([[1, None]], "compact") == [[1]]
    assert mapped([[1.5]], {"contains": 1.5}) == [True]


@given(st.text(), st.text(min_size=1, max_size=2))
@settings(max_examples=50, deadline=None)
def test_a_text_contains_what_python_finds_in_it(text: str, what: str) -> None:
    assert mapped([text], {"contains": what}) == [what in text]


@pytest.mark.parametrize(
    ("dtype", "raw", "told"),
    [
        (pl.String(), "first", "first needs a list; the column holds text: put `split` before it"),
        (pl.String(), {"contains": 1}, "contains: 'what' is of another kind than text"),
        (pl.List(pl.Int64), {"contains": "1"}, "contains: 'what' is of another kind than whole numbers"),
        (pl.List(pl.Struct({"a": pl.Int64})), "sort", "sort: the elements are lists or structs, which have no order"),
        (pl.List(pl.Int64), "join", "join needs a list of text; the column holds lists of whole numbers"),
    ],
)
def test_a_column_that_is_no_such_list_is_refused(dtype: pl.DataType, raw: object, told: str) -> None:
    with pytest.raises(ValueError) as caught:
        apply(pl.col("v"), dtype, parse_call(raw))
    assert str(caught.value) == told
