"""Texts are cut, padded and cleaned without breaking a character."""

from __future__ import annotations

import html
import unicodedata
import uuid
from typing import Literal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_etl.transform.functions import parse_call
from tests.functions import made_of, mapped
from tests.mapped_rows import column, mapping, outcomes, rows


@given(st.lists(st.text(), min_size=1), st.integers(1, 12), st.sampled_from(["", "…", "é"]))
@settings(max_examples=300, deadline=None)
def test_a_cut_text_is_the_longest_start_that_fits(texts: list[str], room: int, ending: str) -> None:
    limit = room + len(ending.encode())
    made = mapped(texts, {"truncate": {"bytes": limit, "ending": ending}})
    whole = [len(text.encode()) <= limit for text in texts]
    cut = [text.encode()[:room].decode(errors="ignore") + ending for text in texts]
    assert made == [text if fits else short for text, fits, short in zip(texts, whole, cut, strict=True)]
    assert all(len(text.encode()) <= limit for text in made)


def test_a_text_is_cut_to_what_customerio_takes() -> None:
    assert mapped(["é" * 501, "é" * 500], "truncate") == ["é" * 500, "é" * 500]


@given(st.text(), st.integers(-15, 15), st.none() | st.integers(0, 15))
@settings(max_examples=200, deadline=None)
def test_a_substring_is_that_of_python_as_long_as_it_begins_inside(text: str, start: int, length: int | None) -> None:
    start = max(start, -len(text))
    expected = text[start:] if length is None else text[start:][:length]
    assert mapped([text], {"substring": {"start": start, "length": length}}) == [expected]


@given(st.text(), st.integers(1, 20))
@settings(max_examples=100, deadline=None)
def test_a_text_is_filled_as_python_fills_it(text: str, length: int) -> None:
    assert mapped([text], {"pad": length}) == [text.rjust(length, "0")]
    assert mapped([text], {"pad": {"length": length, "fill": "é", "side": "end"}}) == [text.ljust(length, "é")]


@given(st.text(), st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
@settings(max_examples=100, deadline=None)
def test_normal_forms_are_those_of_unicode(text: str, form: Literal["NFC", "NFD", "NFKC", "NFKD"]) -> None:
    known = "".join(sign for sign in text if unicodedata.category(sign) != "Cn")  # Python's tables may be older
    assert unicodedata.normalize("NFKD", mapped([known], {"normalize": form})[0]) == unicodedata.normalize(
        "NFKD", known
    )
    assert mapped(["é e\u0301 ﬁ"], {"normalize": form}) == [unicodedata.normalize(form, "é e\u0301 ﬁ")]


@given(st.text(alphabet=" \t\n\r\u00a0\u2003ab", max_size=20))
@settings(max_examples=100, deadline=None)
def test_runs_of_white_space_are_one_blank(text: str) -> None:
    assert mapped([text], "collapse") == [" ".join(text.split())]


@given(st.lists(st.none() | st.text(alphabet="&amp;lt#39xé<> ", max_size=12)))
@settings(max_examples=100, deadline=None)
def test_entities_are_those_of_python(texts: list[str | None]) -> None:
    expected = [None if text is None else html.unescape(text) for text in texts]
    assert mapped(texts, "unescape_html", pl.String) == expected


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"truncate": 0}, "truncate: 'bytes' must be from 1 to 32,000, and more than 'ending' has"),
        (
            {"truncate": {"bytes": 3, "ending": "…"}},
            "truncate: 'bytes' must be from 1 to 32,000, and more than 'ending'",
        ),
        ({"limit": 0}, "limit: 'count' must be 1 or more"),
        ({"pad": 0}, "pad: 'length' must be from 1 to 32,000"),
        ({"pad": {"length": 2, "fill": "ab"}}, "pad: 'fill' must be one character"),
        ({"substring": {"length": -1}}, "substring: 'length' must be 0 or more"),
        ({"normalize": "nfc"}, "normalize: 'form' must be one of NFC, NFD, NFKC, NFKD"),
        ({"mask": {"sign": ""}}, "mask: 'sign' must be one character"),
        ({"mask": -1}, "mask: 'keep' must be from 0 to 1,000"),
    ],
)
def test_a_wrong_argument_is_told(raw: object, told: str) -> None:
    with pytest.raises(ValueError, match="^" + told.replace("(", r"\(")):
        parse_call(raw)


def test_bytes_become_text_each_by_itself() -> None:
    values = ["é".encode(), b"\xff", None, b"", b"\xf0\x9f\x98\x80"]
    assert made_of(values, "decode", pl.Binary) == (["é", None, None, "", "😀"], [False, True, False, False, False])
    assert mapped(values, {"decode": "base64"}, pl.Binary) == ["w6k=", "/w==", None, "", "8J+YgA=="]
    ids = [uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), None]
    stored = [one and one.bytes for one in ids]
    how = mapping(identifiers={"id": column("u", {"decode": "uuid"})})
    assert outcomes(how, rows({"u": [*stored, b"short"]}))[1:] == [
        ("identifier_missing", "identifiers.id"),
        ("bytes_unreadable", "identifiers.id"),
    ]
    assert mapped(stored, {"decode": "uuid"}, pl.Binary) == [str(ids[0]), None]
