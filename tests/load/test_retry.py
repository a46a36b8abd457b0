"""How long between two attempts, and when it is enough. All in virtual time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cio_etl.load import retry
from cio_etl.model import Accepted, Retry, Verdict


class Time:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)


def persist(time: Time, answers: Iterator[Verdict], budget_s: float = 900.0) -> tuple[Verdict, list[Retry]]:
    told: list[Retry] = []
    verdict = retry.persist(
        lambda: next(answers),
        budget_s=budget_s,
        now=lambda: time.now,
        sleep=time.sleep,
        before_sleep=lambda verdict, wait_s: told.append(verdict),
    )
    return verdict, told


def repeated(verdict: Verdict) -> Iterator[Verdict]:
    while True:
        yield verdict


def test_a_verdict_that_is_not_retry_comes_back_at_once() -> None:
    time = Time()
    assert persist(time, iter([Accepted()])) == (Accepted(), [])
    assert time.slept == []


def test_each_attempt_that_is_made_again_is_told() -> None:
    first, second = Retry("HTTP 503"), Retry("cut", ambiguous=True)
    assert persist(Time(), iter([first, second, Accepted()])) == (Accepted(), [first, second])


@pytest.mark.fault("N5", "N27")
def test_an_outage_ends_by_the_time_budget_with_waits_of_at_most_a_minute() -> None:
    time = Time()
    verdict, _ = persist(time, repeated(Retry("HTTP 503")), budget_s=7_200.0)
    assert verdict == Retry("HTTP 503")
    assert max(time.slept) <= retry.LONGEST_S
    assert 7_200.0 - retry.LONGEST_S <= time.now <= 7_200.0


@pytest.mark.fault("N27")
def test_a_thousand_attempts_overflow_nothing() -> None:
    time = Time()
    answers: Iterator[Verdict] = iter([*(Retry("HTTP 503") for _ in range(2_000)), Accepted()])
    assert persist(time, answers, budget_s=1e9)[0] == Accepted()


@pytest.mark.fault("N2")
def test_no_attempt_comes_before_retry_after_is_over() -> None:
    time = Time()
    persist(time, iter([Retry("HTTP 429", after_s=40.0), Accepted()]))
    assert 40.0 <= time.slept[0] <= 40.0 + retry.FIRST_S


def test_waits_differ_so_that_lanes_do_not_come_back_together() -> None:
    def first_wait() -> float:
        time = Time()
        persist(time, iter([*(Retry("HTTP 503") for _ in range(6)), Accepted()]))
        return time.slept[-1]

    assert len({first_wait() for _ in range(20)}) > 10


@pytest.mark.fault("N2")
def test_a_retry_after_beyond_the_budget_is_not_waited_for() -> None:
    time = Time()
    assert persist(time, repeated(Retry("HTTP 429", after_s=300.0)), budget_s=200.0)[0] == Retry(
        "HTTP 429", after_s=300.0
    )
    assert time.slept == []


def test_a_sleep_that_raises_leaves_the_loop() -> None:
    class Bookmark(Exception):
        pass

    def leave(seconds: float) -> None:
        raise Bookmark

    with pytest.raises(Bookmark):
        retry.persist(
            lambda: Retry("HTTP 503"),
            budget_s=60,
            now=lambda: 0.0,
            sleep=leave,
            before_sleep=lambda verdict, wait_s: None,
        )
