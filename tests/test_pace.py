"""The ceiling holds in every second, pauses hold for everybody, and the rate comes back. All in virtual time."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.load.pace import RECOVERY_S, Pace


class Clock:
    """A clock that stands still until somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def starts(per_second: float, seconds: float, latencies: Callable[[int], float], lanes: int = 16) -> list[float]:
    """When requests start that so many lanes make, one after the other, for so many seconds."""
    clock = Clock()
    pace = Pace(per_second, clock)
    began, busy, made = clock.now, [(clock.now, lane) for lane in range(lanes)], []
    while busy:
        clock.now, lane = heapq.heappop(busy)
        if clock.now - began > seconds:
            continue
        pace.turn(clock.sleep)
        made.append(clock.now)
        heapq.heappush(busy, (clock.now + latencies(len(made)), lane))
    return made


def busiest_second(made: list[float]) -> int:
    made = sorted(made)
    return max(sum(1 for other in made if at <= other < at + 1.0) for at in made)


@pytest.mark.parametrize("per_second", [1, 7, 100, 1_000])
def test_the_ceiling_holds_in_every_sliding_second_and_is_used(per_second: int) -> None:
    made = starts(per_second, 5, lambda n: 0.001)
    assert busiest_second(made) <= per_second
    assert len(made) >= 0.95 * per_second * (made[-1] - made[0])


def test_less_than_one_a_second_is_kept_too() -> None:
    made = starts(0.5, 20, lambda n: 0.001, lanes=3)
    assert all(later - earlier >= 2.0 for earlier, later in pairwise(made))


@given(latencies=st.lists(st.floats(0, 2), min_size=1, max_size=20), per_second=st.integers(1, 60))
def test_the_ceiling_holds_after_idle_times(latencies: list[float], per_second: int) -> None:
    made = starts(per_second, 6, lambda n: latencies[n % len(latencies)], lanes=4)
    assert busiest_second(made) <= per_second


@pytest.mark.fault("P15")
def test_a_machine_that_slept_makes_up_for_nothing() -> None:
    clock = Clock()
    pace = Pace(10, clock)
    for _ in range(10):
        pace.turn(clock.sleep)
    clock.now += 8 * 3600
    made = []
    for _ in range(30):
        pace.turn(clock.sleep)
        made.append(clock.now)
    assert busiest_second(made) <= 10


@pytest.mark.fault("N1")
def test_a_slow_down_halves_the_rate_and_time_brings_it_back() -> None:
    clock = Clock()
    pace = Pace(100, clock)
    clock.now += 5
    pace.slow_down(None)
    pace.slow_down(None)  # the same second, the same trouble: counted once

    def made_in_a_second() -> int:
        until, count = clock.now + 1.0, 0
        while clock.now < until:
            pace.turn(clock.sleep)
            count += 1
        return count

    assert 45 <= made_in_a_second() <= 56
    clock.now += RECOVERY_S
    assert made_in_a_second() >= 95


@pytest.mark.fault("N2")
@pytest.mark.parametrize("per_second", [None, 100])
def test_a_pause_holds_for_everybody(per_second: float | None) -> None:
    clock = Clock()
    pace = Pace(per_second, clock)
    pace.slow_down(7.0)
    pace.turn(clock.sleep)
    assert clock.now >= 1_007.0


def test_a_pause_holds_for_who_already_waits_for_a_slot() -> None:
    clock = Clock()
    pace = Pace(1, clock)
    pace.turn(clock.sleep)

    def sleep(seconds: float) -> None:
        if clock.now < 1_001:
            pace.slow_down(30.0)
        clock.sleep(seconds)

    pace.turn(sleep)
    assert clock.now >= 1_030.0


def test_without_a_ceiling_nobody_waits() -> None:
    clock = Clock()
    pace = Pace(None, clock)
    for _ in range(1_000):
        pace.turn(clock.sleep)
    assert clock.now == 1_000.0
