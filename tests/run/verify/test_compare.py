"""What counts as the same value, and how many people may differ: pure."""

from __future__ import annotations

import json
from math import comb
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_etl.apis.app import Profile, people_of, person_of, person_path
from cio_etl.model import AttributeDifference, Verification
from cio_etl.model.words import upper_percent, verification_words
from cio_etl.run.verify.bound import most_that_differ
from cio_etl.run.verify.compare import differences, parsed, shown


def profile(unsubscribed: bool = False, **attributes: str) -> Profile:
    return Profile({"cio_id": "0a", "id": "1"}, attributes, unsubscribed)


def differs(sent: dict[str, Any], there: Profile) -> list[str]:
    return differences(parsed(json.dumps(sent)), there)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("pro", "pro"),
        (1, "1"),
        (1, "1.0"),
        (1.0, "1"),
        (12.5, "12.50"),
        (0.1, "0.1000000000000000055511151231257827"),
        (1e21, "1e+21"),
        (-0.0, "0"),
        (9_007_199_254_740_993, "9007199254740993"),
        (True, "true"),
        (False, "False"),
        (1_710_057_600, "1710057600"),
        (None, ""),
        ("", ""),
        (["é", 1, 2.0], '["é",1.0,2]'),
        ({"a": {"b": True}, "c": None}, '{"a":{"b":true}}'),
        ("0042", "0042"),
    ],
)
def test_a_value_is_the_same_in_every_form_that_customer_io_gives_it(value: Any, shown: str) -> None:
    assert differs({"a": value}, profile(a=shown)) == []


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("pro", "Pro"),
        ("pro ", "pro"),
        ("0042", "42"),
        (1, "2"),
        (1, "one"),
        (1, ""),
        (1, "NaN"),
        (9_007_199_254_740_993, "9007199254740992"),
        (True, "1"),
        (None, "old"),
        ("", "old"),
        ([1, 2], "[2,1]"),
        ([1, 2], "[1"),
        ({"a": 1}, '{"a":true}'),
        ({"a": 1}, '{"a":1,"b":2}'),
    ],
)
def test_another_value_differs(value: Any, shown: str) -> None:
    assert differs({"a": value}, profile(a=shown)) == ["a"]


def test_an_attribute_that_is_not_there_differs_unless_it_was_removed() -> None:
    assert differs({"a": "x", "b": None, "c": "", "d": False}, profile()) == ["a", "d"]


def test_what_tells_customer_io_what_to_do_is_not_compared() -> None:
    assert differs({"_update": True, "cio_id": "0b", "anonymous_id": "v"}, profile()) == []


def test_reserved_attributes_are_compared_by_their_meaning() -> None:
    sent = {"email": "A@B.co", "created_at": "2024-03-10T08:00:00Z", "id": 7, "phone": "+33612345678"}
    there = profile(email="a@b.co", created_at="1710057600", id="7", phone="+33612345678")
    assert differs(sent, there) == []
    assert differs(sent | {"created_at": "2024-03-10T08:00:01Z"}, there) == ["created_at"]
    for value, is_unsubscribed in ((True, True), ("TRUE", True), (1, True), ("1", True), (False, False), (None, False)):
        assert differs({"unsubscribed": value}, profile(is_unsubscribed)) == []
        assert differs({"unsubscribed": value}, profile(not is_unsubscribed)) == ["unsubscribed"]
    topic = "cio_subscription_preferences.topics.topic_1"
    there = profile(cio_subscription_preferences='{"topics":{"topic_1":false}}')
    assert differs({topic: False}, there) == [] and differs({topic: True}, there) == [topic]
    assert differs({topic: None}, profile()) == [] and differs({topic: None}, there) == [topic]


def test_what_is_there_is_shown_for_every_attribute_that_is_compared() -> None:
    there = profile(True, id="7", cio_subscription_preferences='{"topics":{"topic_1":false}}')
    assert shown("cio_subscription_preferences.topics.topic_1", there) is False
    assert shown("cio_subscription_preferences.topics.topic_2", there) is None
    assert (shown("unsubscribed", there), shown("id", there), shown("plan", there)) == (True, "7", None)


@pytest.mark.parametrize(
    "identifier", ["a/b", "a?b=c", "a#b", "50%", "a b", "ann+x@example.com", ".", "..", "é", "a%2Fb", "\\", "a;b&c"]
)
def test_an_identifier_is_one_segment_of_the_path(identifier: str) -> None:
    path = person_path("id", identifier)
    segment = path.removeprefix("/v1/customers/").removesuffix("/attributes?id_type=id")
    assert segment.isascii() and not {*segment} & {*"/?# ;&\\"} and segment.strip(".")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"customers": {}}', b'{"customers": [1]}', b'{"customers": [{"customer": {}}]}']
)
def test_an_answer_of_another_form_is_unreadable(body: bytes) -> None:
    assert people_of(body) is None and person_of(body) is None


@given(st.integers(1, 60), st.data())
def test_the_bound_is_where_so_few_differences_have_a_probability_of_5_percent(
    checked: int, data: st.DataObject
) -> None:
    different = data.draw(st.integers(0, checked - 1))
    share = most_that_differ(different, checked)
    tail = sum(comb(checked, k) * share**k * (1 - share) ** (checked - k) for k in range(different + 1))
    assert different / checked < share <= 1 and tail == pytest.approx(0.05, abs=1e-9)


def test_the_bound_of_large_samples_is_about_three_by_n() -> None:
    assert most_that_differ(0, 3_000) == pytest.approx(1 - 0.05 ** (1 / 3_000))
    assert most_that_differ(100_000, 100_000) == 1.0
    assert most_that_differ(30, 100_000) == pytest.approx(0.000404, abs=1e-5)
    assert upper_percent(most_that_differ(0, 3_000)) == "0.10\u00a0%"
    assert upper_percent(0.10001) == "11\u00a0%" and upper_percent(1.0) == "100\u00a0%"


def test_the_words_say_how_many_what_and_at_most_how_many() -> None:
    differing = (AttributeDifference("plan", 2), AttributeDifference("city", 1))
    result = Verification(
        80_000, False, 1_000, 990, 3, 2, differing, {"rejected by Customer.io": 10}, most_differ=0.0106
    )
    assert verification_words(result) == [
        "990 people of about 80,000 read back",
        "3 people not there, though Customer.io accepted them",
        "2 people with other values: plan of 2, city of 1",
        "at most 1.1\u00a0% of the people differ, with 95% confidence",
        "10 people not compared: rejected by Customer.io",
    ]
    assert verification_words(Verification(1, True, 1, 1, most_differ=0.0)) == [
        "1 person of 1 read back",
        "all are as they were sent",
        "all people were compared",
    ]
