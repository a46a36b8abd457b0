"""Does a masked value show its form, and nothing of what it says?"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_etl.audit.mask import LONGEST, LONGEST_REVEALED, UNMASKED, mask, payload_shown, shown, value_shown


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("ada.byron+x@mail.example.co.uk", "a***.b***@m***.e***.c***.uk"),
        ("anna@@example.com", "a***@@e***.com"),
        ("a b@example.com", "a*** b***@e***.com"),
        ("@example.com", "@e***.com"),
        (" Ada@Example.COM ", " A***@E***.COM "),
        ("00042", "#####"),
        ("c_8812345678", "x_######5678"),
        ("+33612345678", "+#######5678"),
        ("550e8400-e29b-41d4-a716-446655440000", "###x####-x##x-##x#-x###-########0000"),
        ("2024-02-31 10:00", "####-##-## ##:##"),
        ("1.250,00 €", "#.###,## €"),
        ("O'Brien-Łukasz 李", "X'Xxxxx-Xxxxxx x"),
        ("internationalisation", "x" * 20),  # a long word is no identifier: it has no digit
        ("½ ٣", "# #"),
        ("", ""),
    ],
)
def test_the_form_stays(text: str, masked: str) -> None:
    assert mask(text) == masked


@given(st.text(st.characters(categories=["L", "N", "P", "Z"], exclude_characters="@xX#*")))
def test_of_a_text_at_most_four_letters_or_digits_are_left(text: str) -> None:
    left = [sign for sign in mask(text) if (sign.isalpha() or sign.isnumeric()) and sign not in "xX"]
    assert len(left) <= UNMASKED and len(mask(text)) == len(text)


@given(st.emails())
def test_of_an_email_no_word_is_left_whole_but_its_last_label(email: str) -> None:
    masked = mask(email).rpartition(".")[0]
    assert all(len(word) <= 1 for word in "".join(s if s.isalnum() else " " for s in masked).split())


@pytest.mark.parametrize(("reveal", "longest"), [(False, LONGEST), (True, LONGEST_REVEALED)])
def test_a_long_value_is_cut_and_its_length_told(reveal: bool, longest: int) -> None:
    assert shown("a" * longest, reveal) == ("a" if reveal else "x") * longest
    assert shown("a" * 1_500, reveal) == ("a" if reveal else "x") * longest + "… (1,500 characters)"


PAYLOAD: dict[str, Any] = {
    "type": "person",
    "action": "event",
    "name": "order_placed",
    "id": "01HQ2Z6Q0000000000",
    "timestamp": 1710057600,
    "attributes": {
        "total": 49.90,
        "tags": ["vip", None, True],
        "name": "Ada",
        "none": {},
        "empty": [],
        "deep": {"type": "x1"},
    },
}


def test_a_masked_payload_keeps_names_kinds_of_values_and_what_sort_of_call_it_is() -> None:
    assert payload_shown(json.dumps(PAYLOAD), reveal=False).splitlines() == [
        "{",
        '  "type": "person",',
        '  "action": "event",',
        '  "name": "order_placed",',
        '  "id": "##XX#X#X######0000",',
        '  "timestamp": ##########,',
        '  "attributes": {',
        '    "total": ##.#,',
        '    "tags": [',
        '      "xxx",',
        "      null,",
        "      true",
        "    ],",
        '    "name": "Xxx",',
        '    "none": {},',
        '    "empty": [],',
        '    "deep": {',
        '      "type": "x#"',
        "    }",
        "  }",
        "}",
    ]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda of: st.lists(of) | st.dictionaries(st.text(), of)
    )
)
def test_a_revealed_payload_is_the_json_that_is_sent(value: Any) -> None:
    assert json.loads(payload_shown(json.dumps({"a": value}), reveal=True)) == {"a": value}


def test_numbers_of_a_revealed_payload_keep_every_digit() -> None:
    assert '"n": 12345678901234567890.10' in payload_shown('{"n": 12345678901234567890.10}', reveal=True)


@pytest.mark.parametrize(
    ("text", "masked", "revealed"),
    [
        ('"Rome"', '"Xxxx"', '"Rome"'),
        ("-12.50", "-##.##", "-12.50"),
        ("true", "true", "true"),
        ("null", "null", "null"),
        ('{"a": [1, "b"], "c": {}}', '{ "a": [ #, "x" ], "c": {} }', '{ "a": [ 1, "b" ], "c": {} }'),
        ('"a\\nb"', '"x\\nx"', '"a\\nb"'),
    ],
)
def test_a_value_is_a_line(text: str, masked: str, revealed: str) -> None:
    assert (value_shown(text, reveal=False), value_shown(text, reveal=True)) == (masked, revealed)


def test_a_long_value_is_cut() -> None:
    text = json.dumps(["w" * 40] * 100)
    assert len(value_shown(text, reveal=False)) == LONGEST + 1
    assert len(value_shown(text, reveal=True)) == LONGEST_REVEALED + 1
