"""The pace finds the rate that a server takes, and probes an outage seldom. Scenarios, all in virtual time."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_etl.load.rate import LocalRateLimiter, Pace
from cio_etl.model import Accepted, Retry
from tests.pace_simulation import (
    NO_ANSWER,
    TOO_MANY,
    UNAVAILABLE,
    Answer,
    Clock,
    Server,
    bucket,
    failing,
    outage,
    queue,
    simulate,
    sliding,
    steady,
    window,
)

PAUSE = Retry("HTTP 429", after_s=7.0, throttled=True)
DOWN = (0.02, UNAVAILABLE)


# ---------------------------------------------------------------- the rate limit


@pytest.mark.parametrize(("per_second", "lanes"), [(1, 16), (7, 16), (100, 16), (100, 256), (1_000, 256)])
def test_the_rate_reaches_the_limit_and_exceeds_it_in_no_second(per_second: int, lanes: int) -> None:
    seconds = 10 if per_second < 1_000 else 4
    result = simulate(steady(), per_second=per_second, seconds=seconds + 1, lanes=lanes)
    assert result.busiest_second() <= per_second
    assert len(result.between(0, seconds)) >= 0.95 * per_second * seconds


def test_a_limit_below_one_a_second_is_not_exceeded() -> None:
    starts = sorted(each.started for each in simulate(steady(), per_second=0.5, seconds=30, lanes=3).exchanges)
    assert len(starts) == 15
    assert all(later - earlier >= 1.98 for earlier, later in pairwise(starts))


@settings(max_examples=25)
@given(idle=st.lists(st.floats(0, 2), min_size=1, max_size=20), per_second=st.integers(1, 60))
def test_the_limit_is_not_exceeded_after_idle_times(idle: list[float], per_second: int) -> None:
    def works(lane: int, at: float) -> float:
        return idle[int(at * 10 + lane) % len(idle)]

    assert simulate(steady(), per_second=per_second, seconds=6, lanes=8, works=works).busiest_second() <= per_second


@pytest.mark.fault("P15")
def test_after_a_suspend_no_saved_slots_are_used() -> None:
    clock = Clock()
    pace = Pace(10, clock)
    for _ in range(10):
        pace.wait_for_turn(clock.sleep)
    clock.now += 8 * 3600
    starts = [pace.wait_for_turn(clock.sleep) for _ in range(30)]
    assert all(later - earlier >= 0.099 for earlier, later in pairwise(starts))


def test_without_a_limit_no_lane_waits() -> None:
    clock = Clock()
    pace = Pace(None, clock)
    for _ in range(1_000):
        pace.wait_for_turn(clock.sleep)
    assert clock.now == 1_000.0


def test_slots_may_come_from_a_shared_limiter() -> None:
    class Shared:
        """Another process takes every second slot."""

        per_second = 10.0

        def __init__(self) -> None:
            self._all = LocalRateLimiter(10)

        def reserve(self, at: float) -> float:
            return self._all.reserve(self._all.reserve(at))

    clock = Clock()
    pace = Pace(Shared(), clock)
    starts = [pace.wait_for_turn(clock.sleep) for _ in range(5)]
    assert [round(at - 1_000, 1) for at in starts] == [0.1, 0.3, 0.5, 0.7, 0.9]


# ---------------------------------------------------------------- a lower rate


@pytest.mark.fault("N1")
@pytest.mark.parametrize(
    ("per_second", "lanes", "limit", "server"),
    [
        pytest.param(100, 16, 60, bucket(60, 10, steady()), id="a bucket"),
        pytest.param(100, 16, 60, bucket(60, 60, steady()), id="a bucket of a second"),
        pytest.param(100, 256, 60, bucket(60, 10, steady(1.0)), id="answers after a second"),
        pytest.param(100, 16, 60, window(60, 1.0, steady()), id="so many in each second of the clock"),
        pytest.param(100, 16, 60, sliding(60, 1.0, steady(0.05)), id="so many in any second"),
        pytest.param(100, 16, 60, sliding(60, 1.0, steady(0.05), counts=True), id="... counting what it refuses"),
        pytest.param(
            100, 16, 60, sliding(60, 1.0, steady(0.05), counts=True, refuses_s=0.05), id="... as slowly as it takes"
        ),
        pytest.param(100, 64, 60, sliding(60, 1.0, steady(0.2), counts=True, refuses_s=0.2), id="... and far away"),
        pytest.param(100, 16, 60, window(3_600, 60.0, steady()), id="so many each minute"),
        pytest.param(100, 16, 60, bucket(60, 60, steady(), Retry("", 1.0, throttled=True)), id="it has a Retry-After"),
        pytest.param(100, 16, 30, bucket(30, 10, steady()), id="a third"),
        pytest.param(100, 16, 95, bucket(95, 10, steady()), id="just below"),
        pytest.param(1, 16, 0.6, bucket(0.6, 2, steady()), id="one a second"),
        pytest.param(1_000, 256, 600, bucket(600, 60, steady()), id="a thousand a second"),
    ],
)
def test_a_lower_limit_of_the_server_is_detected_and_used(
    per_second: int, lanes: int, limit: float, server: Server
) -> None:
    until = {1: 900, 100: 150, 1_000: 60}[per_second]
    result = simulate(server, per_second=per_second, seconds=until, lanes=lanes)
    assert result.accepted_per_second(30, until) >= 0.9 * min(limit, per_second)
    assert result.refused(30, until) <= 0.05


def test_without_a_configured_limit_the_server_s_is_detected() -> None:
    result = simulate(bucket(60, 60, steady()), per_second=None, seconds=150)
    assert result.accepted_per_second(30, 150) >= 0.9 * 60
    assert result.refused(30, 150) <= 0.1


@pytest.mark.fault("N4")
@pytest.mark.parametrize(
    ("server", "per_second", "lanes", "least", "refused"),
    [
        pytest.param(bucket(60, 10, steady(), UNAVAILABLE), 100, 16, 0.95 * 60, 0.25, id="too much is 503"),
        pytest.param(queue(60, 20), 100, 64, 0.95 * 60, 0.03, id="too much is never answered"),
        pytest.param(queue(60, 20), 100, 256, 0.7 * 60, 0.12, id="... and many lanes"),
        pytest.param(queue(10, 1e9), 100, 256, 0.9 * 10, 0.0, id="too much waits"),
    ],
)
def test_a_server_that_does_not_answer_429_is_not_overrun(
    server: Server, per_second: int, lanes: int, least: float, refused: float
) -> None:
    result = simulate(server, per_second=per_second, seconds=400, lanes=lanes)
    assert result.accepted_per_second(60, 400) >= least
    assert result.refused(60, 400) <= refused


def test_a_queue_that_comes_near_the_deadline_gets_shorter() -> None:
    result = simulate(queue(10, 1e9), per_second=100, seconds=700, lanes=256)
    assert max(each.ended - each.started for each in result.between(0, 100)) > 25
    assert max(each.ended - each.started for each in result.between(500, 650)) < 20


@pytest.mark.fault("N4")
@pytest.mark.parametrize(
    ("share", "answer"), [(0.02, DOWN), (0.1, DOWN), (0.18, DOWN), (0.02, (0.02, TOO_MANY)), (0.003, NO_ANSWER)]
)
def test_occasional_failures_do_not_lower_the_rate(share: float, answer: Answer) -> None:
    result = simulate(failing(share, steady(), answer), per_second=50, seconds=120)
    assert result.accepted_per_second(10, 85) >= 0.93 * 50 * (1 - share)


@pytest.mark.parametrize("wait_s", [5.0, 12.0, 31.0])
def test_a_lane_with_a_slow_connection_slows_only_itself(wait_s: float) -> None:
    result = simulate(steady(), per_second=100, seconds=120, slower={3: wait_s})
    assert result.accepted_per_second(10, 80) >= 97
    others = [taken for lane, taken in result.by_lane().items() if lane != 3]
    assert min(others) >= 0.9 * max(others)


def test_lanes_get_equal_shares_of_the_rate() -> None:
    taken = simulate(bucket(60, 10, steady()), per_second=100, seconds=120, lanes=64).by_lane()
    assert len(taken) == 64
    assert min(taken.values()) >= 0.8 * max(taken.values())


def test_the_limit_is_detected_with_work_in_bursts_too() -> None:
    def works(lane: int, at: float) -> float:
        return 5.0 if int(at) % 10 >= 5 else 0.0

    result = simulate(bucket(60, 10, steady()), per_second=100, seconds=200, works=works)
    assert result.refused(30, 200) <= 0.07
    assert result.accepted_per_second(30, 200) >= 0.4 * 60


@pytest.mark.parametrize("lanes", [16, 256])
def test_a_raised_limit_is_detected(lanes: int) -> None:
    low, high = bucket(20, 10, steady()), bucket(95, 10, steady())
    result = simulate(
        lambda at, chance: (low if at < 60 else high)(at, chance), per_second=100, seconds=150, lanes=lanes
    )
    assert result.back_after(60, 85) <= 45


# ---------------------------------------------------------------- pauses and outages


@pytest.mark.fault("N2")
@pytest.mark.parametrize("per_second", [None, 100])
def test_a_pause_holds_for_all_lanes(per_second: float | None) -> None:
    clock = Clock()
    pace = Pace(per_second, clock)
    pace.record(pace.wait_for_turn(clock.sleep), PAUSE)
    assert pace.waited_s == 0.0
    assert pace.wait_for_turn(clock.sleep) >= 1_007.0
    assert pace.waited_s is None


@pytest.mark.fault("N2")
def test_a_pause_holds_for_a_lane_that_waits_for_its_slot_already() -> None:
    clock = Clock()
    pace = Pace(1, clock)
    pace.wait_for_turn(clock.sleep)

    def sleep(seconds: float) -> None:
        if clock.now < 1_001:
            pace.record(clock.now, PAUSE)
        clock.sleep(seconds)

    assert pace.wait_for_turn(sleep) >= 1_007.0


@pytest.mark.fault("N5")
def test_a_lane_that_has_a_slot_waits_when_an_outage_begins() -> None:
    clock = Clock()
    pace = Pace(20, clock, lambda: 0.0)
    pace.wait_for_turn(clock.sleep)

    def sleep(seconds: float) -> None:
        for _ in range(50 if clock.now < 1_000.05 else 0):
            pace.record(0.0, UNAVAILABLE)
        clock.sleep(seconds)

    assert pace.wait_for_turn(sleep) == pytest.approx(1_001.0)


@pytest.mark.fault("N5")
@pytest.mark.parametrize(("minutes", "lanes"), [(10, 16), (10, 256), (120, 16)])
@pytest.mark.parametrize("answer", [DOWN, NO_ANSWER, (0.02, TOO_MANY)], ids=["503", "no answer", "429"])
def test_an_outage_is_probed_seldom_and_its_end_detected_quickly(minutes: int, answer: Answer, lanes: int) -> None:
    end = 60 + 60 * minutes
    result = simulate(outage(60, end, steady(), answer), per_second=100, seconds=end + 100, lanes=lanes)
    probes = sorted(each.started for each in result.between(60, end))
    assert len([at for at in probes if at < 180]) <= 100 + 1.5 * lanes  # until it is recognised, and the first probes
    later = [at for at in probes if at >= 180]
    assert all(9.9 <= after - before <= 20 for before, after in pairwise(later))
    assert result.back_after(end, 90) <= 20


@pytest.mark.fault("N5")
def test_a_single_lane_probes_an_outage_as_often_as_its_own_waits_allow() -> None:
    result = simulate(outage(60, 7_260, steady(), DOWN), per_second=100, seconds=7_400, lanes=1)
    assert len(result.between(180, 7_260)) <= 7_080 / 10
    assert result.back_after(7_260, 5) <= 75


@pytest.mark.fault("N5")
def test_an_outage_at_a_low_rate_is_recognised_too() -> None:
    result = simulate(outage(60, 3_660, steady(), DOWN), per_second=1, seconds=3_760, lanes=16)
    assert len(result.between(660, 3_660)) <= 300
    assert result.back_after(3_660, 0.9, during_s=20) <= 60


def test_after_an_outage_of_a_second_the_rate_recovers_within_two_seconds() -> None:
    result = simulate(outage(60, 61, steady(), DOWN), per_second=100, seconds=120)
    assert result.back_after(61, 90) <= 2


def test_the_beginning_and_the_end_of_an_outage_are_reported_once() -> None:
    clock = Clock()
    pace = Pace(None, clock, lambda: 0.0)
    changes = [pace.record(clock.now, UNAVAILABLE) for _ in range(60)]
    assert [each for each in changes if each] == ["waiting"]
    start = clock.now
    assert pace.wait_for_turn(clock.sleep) == start + 1.0
    assert pace.waited_s == 1.0
    assert pace.record(clock.now, UNAVAILABLE) is None
    assert pace.wait_for_turn(clock.sleep) == start + 3.0
    assert pace.record(start - 1.0, Accepted()) is None  # it was sent before the outage
    assert pace.record(clock.now, Accepted()) == "resumed"
    assert pace.waited_s is None


def test_the_rate_falls_by_a_fifth_or_by_half_and_comes_back() -> None:
    clock = Clock()
    pace = Pace(100, clock)
    for _ in range(500):
        pace.record(pace.wait_for_turn(clock.sleep), Accepted())
    pace.record(clock.now, PAUSE)
    assert pace.per_second == pytest.approx(80, rel=0.03)
    clock.now += 7.0
    pace.record(clock.now, PAUSE)  # it has a Retry-After: once is enough
    assert pace.per_second == pytest.approx(64, rel=0.03)
    clock.now += 8.0
    for _ in range(5):
        pace.record(clock.now, TOO_MANY)
    assert pace.per_second < 45
    clock.now += 60
    assert pace.per_second == 100
