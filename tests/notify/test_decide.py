"""One notice for each change of state, whatever the nights do and whatever cannot be sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_etl.model import Condition, ConditionKind
from cio_etl.notify import after, closed, due, told

ON = ("failed", "recovered", "stale", "rejects")
GOOD: dict[ConditionKind, str | None] = {"failed": None, "stale": None}
BAD: dict[ConditionKind, str | None] = {"failed": "no keys"}


class Told:
    """A channel over several nights: what it is told, and what it was told."""

    def __init__(self, on: tuple[str, ...] = ON) -> None:
        self.on, self.known, self.heard, self.night = on, dict[ConditionKind, Condition](), list[str](), 0

    def end(self, found: Any, *, works: bool = True, seen: str | None = None) -> list[str]:
        """A run ends; the channel is told what is due, if it `works`."""
        self.night += 1
        at = f"2026-11-{self.night:02}T03:00:00+00:00"
        self.known = after(self.known, found, self.on, at, seen or at)
        sent = []
        for notice in due(self.known, self.on) if works else ():
            self.known = told(self.known, notice, at)
            sent.append(notice.kind)
        self.known = closed(self.known, self.on)
        self.heard += sent
        return [*sent]


def test_a_job_that_fails_five_nights_sends_one_failed_and_one_recovered() -> None:
    nights = Told()
    for _ in range(5):
        nights.end(BAD)
    assert nights.known["failed"].times == 5 and nights.known["failed"].since.startswith("2026-11-01")
    for _ in range(3):
        nights.end(GOOD)
    assert nights.heard == ["failed", "recovered"] and nights.known == {}


def test_what_could_not_be_sent_is_told_by_the_next_end() -> None:
    nights = Told()
    assert nights.end(BAD, works=False) == [] and nights.end(BAD) == ["failed"]
    assert nights.end(GOOD, works=False) == [] and nights.end(GOOD) == ["recovered"]
    assert nights.end(BAD, works=False) == []
    assert nights.end(GOOD) == ["recovered"]  # which says that the failure could not be told


def test_a_failure_whose_recovery_could_not_be_told_is_not_told_again() -> None:
    nights = Told()
    for found, works in ((BAD, True), (GOOD, False), (BAD, True), (GOOD, True)):
        nights.end(found, works=works)
    assert nights.heard == ["failed", "recovered"]


def test_a_job_that_is_known_to_fail_is_not_stale_too_but_one_that_was_stale_may_fail() -> None:
    nights = Told()
    for found in (BAD, {"stale": "old"}, {"stale": "old"}, GOOD):
        nights.end(found)
    assert nights.heard == ["failed", "recovered"]
    nights = Told()
    for found in ({"stale": "old"}, {"stale": "old"}, BAD, GOOD):
        nights.end(found)
    assert nights.heard == ["stale", "failed", "recovered"]


def test_an_end_that_several_workers_see_counts_once() -> None:
    nights = Told()
    for _ in range(3):
        nights.end(BAD, seen="job-1 at 03:00")
    assert nights.heard == ["failed"] and nights.known["failed"].times == 1


def test_a_channel_hears_only_what_it_asked_for() -> None:
    nights = Told(("rejects",))
    for found in (BAD, {"rejects": "10 rows"}, {"rejects": "11 rows"}, {"rejects": None}, {"rejects": "9 rows"}):
        nights.end(found)
    assert nights.heard == ["rejects", "rejects"]


def test_rejects_and_a_failure_are_over_each_by_itself() -> None:
    nights = Told()
    for found in ({**GOOD, "rejects": "10 rows"}, BAD, {**GOOD, "rejects": "12 rows"}, {**GOOD, "rejects": None}):
        nights.end(found)
    assert nights.heard == ["rejects", "failed", "recovered", "recovered"]


@pytest.mark.parametrize("first", [0, 1])
def test_a_worker_that_finds_nothing_does_not_take_back_what_another_one_has_found(first: int) -> None:
    nights = Told((*ON, "verify_differs"))
    found: list[Any] = [GOOD | {"verify_differs": "2 people"}, GOOD | {"verify_differs": None}]
    for each in (found[first], found[1 - first]):
        nights.end(each, seen="job-1 at 03:00")
    assert nights.heard == ["verify_differs"]
    assert nights.end(found[1]) == ["recovered"]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30))
def test_whatever_happens_no_failure_is_told_twice_and_the_last_word_is_true(nights: Any) -> None:
    channel = Told()
    for is_bad, works in nights:
        channel.end(BAD if is_bad else GOOD, works=works)
    last_is_bad = bool(nights) and nights[-1][0]
    channel.end(BAD if last_is_bad else GOOD)  # the channel works again
    assert ("failed", "failed") not in zip(channel.heard, channel.heard[1:], strict=False)
    assert (channel.heard[-1:] == ["failed"]) == last_is_bad


@pytest.mark.parametrize("found", [GOOD, {"stale": None}, {}])
def test_a_job_that_is_well_tells_nothing(found: Any) -> None:
    assert Told().end(found) == []
