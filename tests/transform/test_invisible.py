"""`trim` removes invisible characters, and an identifier that holds one is rejected."""

from __future__ import annotations

import sys
import unicodedata
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_etl.model import Column, Constant
from cio_etl.transform import invisible
from tests.functions import mapped
from tests.mapped_rows import attributes, mapping, outcomes, rows

UNSEEN = ["\u200b", "\ufeff", "\u00ad", "\u200e", "\x7f", "\x00", "\x85", "\u202e", "\u2060", "\U000e0001"]
FILLERS = ["\u034f", "\u115f", "\u1160", "\u2028", "\u2029", "\u2800", "\u3164", "\uffa0", "\U000e0000"]
AT_ENDS = ["\ufe00", "\ufe0e", "\U000e0041", "\U000e007f"]  # `trim` leaves them, since emoji end in such
UNSEEN += FILLERS
C, ONE = Column("c"), Constant("1")
NAMED: dict[str, Any] = {
    "identifiers.id": mapping(identifiers={"id": C}),
    "identifiers.anonymous_id": mapping("track", identifiers={"anonymous_id": C}),
    "object.id": mapping("identify_object", identifiers={}, object={"type": ONE, "id": C}),
    "device.token": mapping("add_device", device={"token": C, "platform": Constant("ios")}),
    "event": mapping("track", event=C),
    "secondary.id": mapping("merge", identifiers={}, primary={"id": Column("id")}, secondary={"id": C}),
    "relationships[0].object.id": mapping(relationships=[{"object": {"type": ONE, "id": C}}]),
}
MISSING = {
    "identifiers.id": "identifier_missing",
    "identifiers.anonymous_id": "identifier_missing",
    "object.id": "object_missing",
    "device.token": "device_missing",
    "event": "event_name_missing",
    "secondary.id": "identifier_missing",
    "relationships[0].object.id": "relationship_missing",
}


@pytest.mark.fault("S7", "S8")
@pytest.mark.parametrize("target", NAMED)
def test_a_name_with_a_character_that_nobody_sees_is_a_reject(target: str) -> None:
    signs = [*UNSEEN, *AT_ENDS, *(["\ufe0f"] if target != "event" else [])]
    values = [text for sign in signs for text in (f"{sign}a", f"a{sign}a", f"a{sign}")]
    assert outcomes(NAMED[target], rows({"c": values})) == [("characters_unseen", target)] * len(values)
    blank = [*signs, " \u200b\ufeff "]
    assert outcomes(NAMED[target], rows({"c": blank})) == [(MISSING[target], target)] * len(blank)
    assert all(isinstance(made, dict) for made in outcomes(NAMED[target], rows({"c": ["a b", "é", "漢字", "😀"]})))


@pytest.mark.parametrize("sign", UNSEEN)
def test_an_address_or_number_with_such_a_character_is_malformed(sign: str) -> None:
    texts = [f"{sign}ana@example.org", f"an{sign}a@example.org", f"ana@exam{sign}ple.org", f"ana@example.org{sign}"]
    for how, field in (
        (mapping(identifiers={"email": C}), "identifiers.email"),
        (mapping(attributes=attributes(email="c")), "attributes.email"),
    ):
        assert outcomes(how, rows({"c": texts})) == [("email_malformed", field)] * 4
    phone = mapping(identifiers={"phone": C})
    assert outcomes(phone, rows({"c": [f"+3361234{sign}5678"]})) == [("phone_malformed", "identifiers.phone")]
    phone = mapping(attributes=attributes(phone="c"))
    assert outcomes(phone, rows({"c": [f"06 12{sign} 34"]})) == [("characters_unseen", "attributes.phone")]
    assert isinstance(outcomes(phone, rows({"c": ["06 12 34"]}))[0], dict)
    assert mapped([texts[0], texts[3]], "email") == ["ana@example.org"] * 2
    assert mapped([texts[1]], "email") == [None]  # a domain's are dropped, as UTS 46 has it


def test_emoji_and_words_keep_their_joiners_in_the_name_of_an_event() -> None:
    names = ["👩‍💻 signed up", "loved ❤\ufe0f", "می\u200cخواهم"]
    made = outcomes(mapping("track", event=C), rows({"c": names}))
    assert [one["name"] for one in made if isinstance(one, dict)] == names
    texts = [*names, "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "☎\ufe0e"]
    assert mapped(texts, "trim") == texts


@given(st.text(st.sampled_from([*UNSEEN, " ", "\t", "\u3000", "a", "é"]), max_size=8))
@settings(max_examples=200, deadline=None)
def test_trim_removes_what_nobody_sees_at_both_ends_and_nothing_else(text: str) -> None:
    (made,) = mapped([text], "trim")
    assert made in text and not any(map(_unseen, (made[:1], made[-1:])))
    before, _, after = text.partition(made) if made else (text, "", "")
    assert all(map(_unseen, before + after))


def test_trim_knows_what_nobody_sees_in_all_of_unicode() -> None:
    signs = pl.Series("c", list(map(chr, [*range(0xD800), *range(0xE000, sys.maxunicode + 1)])))
    removed = signs.to_frame().select(invisible.stripped(pl.col("c")) == "").to_series()
    unseen = signs.str.contains(rf"[\s{invisible.UNSEEN}]")
    unseen &= ~signs.str.contains(r"[\x{FE00}-\x{FE0F}\x{E0020}-\x{E007F}]")
    assert signs.filter(removed).to_list() == signs.filter(unseen).to_list()
    assert {"\u3000", "\U000110bd", "\U000e0001"} <= {*signs.filter(removed)}  # of the planes 0, 1 and 14


def _unseen(sign: str) -> bool:
    return sign != "" and (sign.isspace() or sign in FILLERS or unicodedata.category(sign) in ("Cc", "Cf"))
