"""Digests equal those of Python, a mask shows nothing that it hides, and a key is never shown."""

from __future__ import annotations

import hmac

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from cio_etl.model import Call
from cio_etl.transform.functions import apply, parse_call
from tests.functions import mapped

KEYS = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=100)


@given(st.text(), KEYS)
@settings(max_examples=100, deadline=None)
def test_hmac_is_that_of_python(text: str, key: str) -> None:
    call = Call("hmac", {"key": "${KEY}", "secret": SecretStr(key)})
    frame = pl.DataFrame({"v": [text, None]})
    made = frame.select(apply(pl.col("v"), pl.String(), call)).to_series().to_list()
    assert made == [hmac.digest(key.encode(), text.encode(), "sha256").hex(), None]


def test_the_reference_stands_for_a_key_that_was_not_looked_up() -> None:
    expected = hmac.digest(b"${KEY}", b"ada", "sha256").hex()
    assert mapped(["ada"], {"hmac": "${KEY}"}) == [expected]


def test_the_key_is_in_no_text_of_the_expression() -> None:
    call = Call("hmac", {"key": "${KEY}", "secret": SecretStr("canary")})
    made = apply(pl.col("v"), pl.String(), call)
    assert "canary" not in f"{made!r}{made}{call}{pl.LazyFrame({'v': ['x']}).select(made).explain()}"


@given(st.text(), st.integers(0, 8), st.sampled_from(["end", "start"]), st.sampled_from(["*", "$", "•"]))
@settings(max_examples=200, deadline=None)
def test_a_mask_leaves_what_it_keeps_and_no_more(text: str, keep: int, side: str, sign: str) -> None:
    (made,) = mapped([text], {"mask": {"keep": keep, "side": side, "sign": sign}})
    hidden = sign * (len(text) - keep)
    if len(text) <= keep or keep == 0:
        assert made == sign * len(text)
    else:
        assert made == (hidden + text[-keep:] if side == "end" else text[:keep] + hidden)


@given(st.text(alphabet="ab@.$\n", max_size=12))
@settings(max_examples=100, deadline=None)
def test_a_masked_address_shows_its_first_letter_and_its_domain(text: str) -> None:
    (made,) = mapped([text], {"mask": {"email": True}})
    local, at, domain = text.rpartition("@")
    assert made == (f"{local[:1]}***@{domain}" if at else "*" * len(text))


def test_a_mask_is_asked_for_in_yaml() -> None:
    assert parse_call({"mask": 2}) == Call("mask", {"keep": 2})
