"""Verdicts: what each answer of the Track API means, odd ones included."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_etl.apis.answers import masked, retry_after
from cio_etl.apis.track.endpoints import judge, region
from cio_etl.errors import CredentialsRefused, WrongDestination
from cio_etl.model import Accepted, ItemError, Refused, Retry, Split, Stop, Verdict

HOST = "track.example"


def answer(status: int, content: Any = None, items: int = 3, **headers: str) -> Verdict:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return judge(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, items, HOST)


def test_200_accepts_the_batch() -> None:
    assert answer(200, {}) == Accepted()


@pytest.mark.fault("N6")
@pytest.mark.parametrize("status", [200, 207])
def test_errors_name_the_items_that_were_not_taken(status: int) -> None:
    error = {"batch_index": 1, "reason": "invalid", "field": "attributes.plan", "message": "too long"}
    assert answer(status, {"errors": [error]}) == Accepted(
        (ItemError(1, "refused_invalid", "attributes.plan", "too long"),)
    )


def test_an_item_with_several_errors_is_one_reject() -> None:
    errors = [{"batch_index": 2, "reason": reason} for reason in ("required", "invalid")]
    assert answer(207, {"errors": errors}) == Accepted((ItemError(2, "refused_required", None, ""),))


def test_reason_field_and_message_may_be_missing() -> None:
    assert answer(207, {"errors": [{"batch_index": 0}]}) == Accepted((ItemError(0, "refused", None, ""),))


@pytest.mark.fault("N7")
@pytest.mark.parametrize("status", [200, 207, 400])
@pytest.mark.parametrize("index", [-1, 3, "1", 1.0, True, None, [0]])
def test_an_index_that_names_no_item_acknowledges_nothing(status: int, index: object) -> None:
    said = answer(status, {"errors": [{"batch_index": index}]})
    assert said == Split("answer_unreadable", ambiguous=status != 400)  # a 400 has taken nothing


@pytest.mark.fault("N7")
@pytest.mark.parametrize("errors", ["all wrong", {"0": "bad"}, ["bad"], [[0]], 7])
def test_errors_that_are_no_list_of_objects_acknowledge_nothing(errors: object) -> None:
    assert answer(207, {"errors": errors}) == Split("answer_unreadable", ambiguous=True)


@pytest.mark.fault("N7")
def test_a_207_without_errors_acknowledges_nothing() -> None:
    assert answer(207, {"errors": []}) == Split("answer_unreadable", ambiguous=True)


def test_an_error_without_an_index_can_only_mean_the_one_item() -> None:
    assert answer(207, {"errors": [{"reason": "invalid"}]}, items=1) == Accepted(
        (ItemError(0, "refused_invalid", None, ""),)
    )


@pytest.mark.fault("N8")
def test_400_with_indexes_refuses_those_and_takes_nothing() -> None:
    assert answer(400, {"errors": [{"batch_index": 0, "reason": "x"}]}) == Refused(
        (ItemError(0, "refused_x", None, ""),)
    )


@pytest.mark.fault("N8")
def test_400_without_an_index_is_split() -> None:
    assert answer(400, {"errors": [{"reason": "invalid", "message": "no"}]}) == Split("refused_invalid", "no")
    assert answer(400, b"Bad Request") == Split("http_400")


@pytest.mark.fault("N14")
@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"<html>", b"{} {}", b"\xef\xbb\xbf{}", b"\xff", b"[" * 100_000])
@pytest.mark.parametrize("status", [200, 207])
def test_a_success_that_cannot_be_read_is_no_acknowledgement(status: int, body: bytes) -> None:
    assert answer(status, body) == Retry(f"HTTP {status} with an unreadable body", ambiguous=True)


@pytest.mark.fault("N10")
@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_stop_the_run(status: int) -> None:
    verdict = answer(status)
    assert isinstance(verdict, Stop) and isinstance(verdict.error, CredentialsRefused)
    assert str(verdict.error) == f"{HOST} refused the credentials (HTTP {status})"


@pytest.mark.fault("N12")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_stops_the_run_and_says_where_it_leads(status: int) -> None:
    verdict = answer(status, location="https://track-eu.customer.io/api?key=secret")
    assert isinstance(verdict, Stop) and isinstance(verdict.error, WrongDestination)
    assert str(verdict.error) == (
        f"{HOST} is not this API of Customer.io: it redirects to track-eu.customer.io; the region may be the other one"
    )


@pytest.mark.fault("N11")
@pytest.mark.parametrize("status", [404, 405, 410, 415])
def test_a_wrong_address_stops_the_run(status: int) -> None:
    verdict = answer(status)
    assert isinstance(verdict, Stop) and isinstance(verdict.error, WrongDestination)


@pytest.mark.fault("N9")
def test_413_is_split_and_makes_bodies_smaller() -> None:
    verdict = answer(413)
    assert isinstance(verdict, Split) and verdict.too_large


@pytest.mark.fault("N13")
@pytest.mark.parametrize("status", [408, 425, 429, 499, 500, 502, 503, 504, 507, 520, 521, 522, 523, 524])
def test_what_may_pass_is_sent_again(status: int) -> None:
    turned_away = status in (425, 429, 503)  # after the others the batch may have been taken
    assert answer(status) == Retry(f"HTTP {status}", throttled=status == 429, ambiguous=not turned_away)


def test_a_time_to_come_back_slows_everybody_down() -> None:
    assert answer(503, retry_after="7") == Retry("HTTP 503", after_s=7.0, throttled=True)


@pytest.mark.fault("N2", "N3")
@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("0", 0.0),
        ("1", 1.0),
        ("30", 30.0),
        (" 7 ", 7.0),
        ("301", 300.0),
        ("86400", 300.0),
        ("Sat, 21 Nov 2026 00:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 09:00:00 GMT", 300.0),
        ("Fri, 20 Nov 2026 23:59:59 GMT", None),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("nan", None),
        ("inf", None),
        ("1e20", None),
        ("٢", None),
        ("9999999999", None),
        ("soon", None),
        ("1, 2", None),
    ],
)
def test_retry_after_is_read_strictly(said: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": said, "date": "Sat, 21 Nov 2026 00:00:00 GMT"}) == seconds


@pytest.mark.fault("P14")
def test_a_date_without_the_answers_own_date_is_not_guessed() -> None:
    assert retry_after({"retry-after": "Sat, 21 Nov 2026 00:00:30 GMT"}) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 5) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["errors", "batch_index", "reason"]), inner)
    ),
    max_leaves=8,
)


@pytest.mark.fault("N7")
@given(
    status=st.sampled_from([200, 207, 400]),
    content=JSON | st.fixed_dictionaries({"errors": st.lists(st.fixed_dictionaries({"batch_index": JSON}))}),
    items=st.integers(1, 4),
)
def test_no_answer_rejects_an_item_that_is_not_there_or_fails(status: int, content: object, items: int) -> None:
    verdict = answer(status, content, items)
    if isinstance(verdict, Accepted | Refused):
        indexes = [error.index for error in verdict.errors]
        assert len(set(indexes)) == len(indexes) and all(0 <= index < items for index in indexes)
        assert isinstance(content, dict)
        assert isinstance(verdict, Refused) == (status == 400)


@pytest.mark.parametrize(
    ("body", "found"),
    [(b'{"region":"eu"}', "eu"), (b'{"region":"mars"}', None), (b"<html>", None), (b'{"region":1}', None)],
)
def test_the_region_is_read_or_unknown(body: bytes, found: str | None) -> None:
    assert region(body) == found


@pytest.mark.parametrize(
    ("message", "field", "stored"),
    [
        ("attribute is too long", None, "attribute is too long"),
        ("ann@shop.example is no customer", None, "…@… is no customer"),
        ("no customer <ann+x@shop.example>, sorry", None, "no customer <…@…>, sorry"),
        ("jörg@bücher.example", None, "…@…"),
        ('"ann" is not a plan', None, '"…" is not a plan'),
        ("'ann' and 'bob' differ", None, "'…' and '…' differ"),
        ("it's John's plan", None, "it's John's plan"),
        ("not 'O'Brien' but `x` or “y” or «z»", None, "not '…' but `…` or “…” or «…»"),
        ('"plan" must not be "gold"', "plan", '"plan" must not be "…"'),
        ('cut off: "ann@shop.exa', None, 'cut off: "…'),
        ('""', None, '"…"'),
        ("", None, ""),
    ],
)
def test_a_message_that_is_stored_quotes_no_value(message: str, field: str | None, stored: str) -> None:
    assert masked(message, field) == stored


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("invalid", "refused_invalid"), ("Bad 'ann@shop.example'", "refused_bad"), ("no a@b.co here", "refused_no_here")],
)
def test_a_reason_holds_no_address_and_no_quoted_value(reason: str, expected: str) -> None:
    assert answer(207, {"errors": [{"batch_index": 0, "reason": reason}]}) == Accepted(
        (ItemError(0, expected, None, ""),)
    )
