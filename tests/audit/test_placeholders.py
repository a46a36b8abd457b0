"""Words for nothing are reported where they are sent, and column names that look like a row."""

from __future__ import annotations

from typing import Any

import pytest

from cio_etl.audit import StepContext
from cio_etl.audit.placeholders import HEADER_LIKE_ROW, PLACEHOLDERS, WORDS, Header, Placeholders
from cio_etl.model import Mapping
from tests.mapped_rows import column, mapping, rows
from tests.snapshots import compiled, held


def placeholders(how: Mapping, **data: list[Any]) -> list[tuple[str | None, str, int, tuple[int, ...]]]:
    audit = Placeholders(how)
    frame = rows(data)
    audit.observe(compiled(how, held(frame)).mapped(frame))
    found = list(audit.findings())
    assert all(one.code == PLACEHOLDERS.code for one in found)
    return [(one.field, one.severity, one.rows, one.first) for one in found]


@pytest.mark.parametrize("word", [*WORDS, "N/A", "#N/A", "NULL", "None", " NaN "])
def test_a_word_for_nothing_is_reported(word: str) -> None:
    how = mapping(attributes={"a": column("a")})
    assert placeholders(how, id=["1", "2"], a=["x", word]) == [("attributes.a", "notice", 1, (1,))]


@pytest.mark.parametrize("different", [False, True], ids=["few texts", "many texts"])
@pytest.mark.parametrize("written", ["n/a", '"N/A"', ' \t" "', ' "n/a" ', '" n/a "', "ｎ/a"])
def test_words_are_found_among_few_and_many_texts_with_spaces_and_quotes_around(different: bool, written: str) -> None:
    others = [f"text {number if different else number % 2}" for number in range(2_000)]
    how = mapping(attributes={"a": column("a")})
    ids = list(map(str, range(2_003)))
    found = placeholders(how, id=ids, a=[*others, written, None, written])
    is_word = written in ("n/a", '"N/A"', ' "n/a" ')
    assert found == ([("attributes.a", "notice", 2, (2_000, 2_002))] if is_word else [])


def test_an_identifier_that_is_a_word_for_nothing_is_a_warning() -> None:
    assert placeholders(mapping(), id=["undefined", "2"]) == [("identifiers.id", "warning", 1, (0,))]


@pytest.mark.parametrize("value", ["Nancy", "nullable", "a-b", "Nan Goldin", "", None])
def test_other_texts_are_not_reported(value: str | None) -> None:
    assert placeholders(mapping(attributes={"a": column("a")}), id=["1"], a=[value]) == []


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (("id", "plan", "2024"), None),
        (("7", "ann@example.org", "2024-01-02"), "1, 2, 3"),
        (("name", "ann@example.org", "plan"), "2"),
        (("12", "34", "plan"), "1, 2"),
        (("id", "2023", "2024"), "2, 3"),
        ((), None),
    ],
)
def test_a_header_that_looks_like_a_row_is_reported_without_its_values(names: tuple[str, ...], numbers: Any) -> None:
    found = list(Header(StepContext(columns=names)).findings())
    assert [(one.code, one.words) for one in found] == (
        [(HEADER_LIKE_ROW.code, f"names of columns look like values, not names: column {numbers}")] if numbers else []
    )
