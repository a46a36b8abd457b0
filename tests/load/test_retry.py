"""A lane waits longer from attempt to attempt, and stops when its time budget is used up. All in virtual time."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import pytest

from cio_etl.load.retry import FIRST_S, LONGEST_S, Backoff
from cio_etl.model import Retry
from tests.pace_simulation import Clock

BUSY = Retry("HTTP 503")


def waits(verdict: Retry, budget_s: float) -> Iterator[float]:
    """Each wait, of a lane that gets the same answer again and again until its time is over."""
    clock = Clock()
    backoff = Backoff(budget_s, clock)
    while (seconds := backoff.wait_s(verdict)) is not None:
        yield seconds
        clock.sleep(seconds)


@pytest.mark.fault("N5", "N27")
def test_an_outage_ends_by_the_time_budget_with_waits_of_at_most_a_minute() -> None:
    waited = list(waits(BUSY, budget_s=7_200.0))
    assert max(waited) <= LONGEST_S
    assert 7_200.0 - LONGEST_S <= sum(waited) <= 7_200.0


@pytest.mark.fault("N27")
def test_thousands_of_attempts_cause_no_overflow() -> None:
    waited = waits(BUSY, inf)
    assert all(0.0 <= next(waited) <= LONGEST_S for _ in range(2_000))


def test_waits_grow_with_each_attempt() -> None:
    longest = [max(waits_of_each) for waits_of_each in zip(*(first_waits(8) for _ in range(200)), strict=True)]
    assert longest == sorted(longest)
    assert longest[0] <= FIRST_S and 30.0 < longest[-1] <= LONGEST_S


def first_waits(count: int) -> list[float]:
    waited = waits(BUSY, inf)
    return [next(waited) for _ in range(count)]


@pytest.mark.fault("N2")
def test_no_attempt_comes_before_retry_after_is_over() -> None:
    first = next(waits(Retry("HTTP 429", after_s=40.0), inf))
    assert 40.0 <= first <= 40.0 + FIRST_S


def test_waits_differ_so_that_lanes_do_not_come_back_together() -> None:
    assert len({first_waits(6)[-1] for _ in range(20)}) > 10


@pytest.mark.fault("N2")
def test_a_retry_after_beyond_the_budget_is_not_waited_for() -> None:
    assert list(waits(Retry("HTTP 429", after_s=300.0), budget_s=200.0)) == []
