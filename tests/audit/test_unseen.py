"""Texts of attributes with characters that nobody sees are reported."""

from __future__ import annotations

import pytest

from cio_etl.audit.unseen import Unseen
from tests.mapped_rows import column, mapping, rows
from tests.snapshots import compiled, held


def found(*values: str | None) -> list[tuple[str | None, int, tuple[int, ...], str]]:
    how = mapping(attributes={"a": column("a")})
    frame = rows({"id": [f"p{number}" for number in range(len(values))], "a": list(values)})
    audit = Unseen(how)
    audit.observe(compiled(how, held(frame)).mapped(frame))
    return [(one.field, one.rows, one.first, one.words) for one in audit.findings()]


@pytest.mark.parametrize("text", ["\ufeffgold", "gold\u200b", "go\u00adld", "\u2060gold", "gold\x07", "\u202egold"])
def test_a_text_with_a_character_that_nobody_sees_is_reported(text: str) -> None:
    words = "1 value contains characters that nobody sees: a segment that names the text does not find them"
    assert found("gold", text, None) == [("attributes.a", 1, (1,), words)]


@pytest.mark.parametrize("text", ["gold", "two\r\nlines\tand a tab", "👩‍👩‍👧", "❤️", "می‌خواهم", "日本 語", "Zoë", ""])
def test_signs_of_scripts_lines_and_emoji_are_not_reported(text: str) -> None:
    assert found(text) == []
