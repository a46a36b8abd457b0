"""The rate as a function of time: down at once, back along a cubic."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_etl.load.rate.rate import HALVED, SLOWED, Speed


@pytest.mark.parametrize(
    ("after_s", "rate"),
    [(0, 48.0), (5, 58.5), (8, 59.9), (10, 60.0), (15, 61.5), (20, 72.0), (30, 100.0), (3_600, 100.0)],
)
def test_after_a_slow_down_it_is_back_in_ten_seconds_and_feels_its_way_above(after_s: float, rate: float) -> None:
    speed = Speed(100.0).slowed(0.0, 60.0, SLOWED, 0.1)
    assert speed.rate(after_s) == pytest.approx(rate, abs=0.06)


@pytest.mark.parametrize(
    ("speed", "at", "rate"),
    [
        pytest.param(Speed(100.0), 0, 100, id="the ceiling, while nothing was too much"),
        pytest.param(Speed(inf), 0, inf, id="none"),
        pytest.param(Speed(inf).slowed(0, 300, HALVED, 0), 0, 150, id="what was really used, without a ceiling"),
        pytest.param(Speed(100).slowed(0, 60, SLOWED, 0).slowed(5, 90, HALVED, 0), 5, 29.25, id="of the rate of now"),
        pytest.param(Speed(100).slowed(0, 60, SLOWED, 0).paused(30), 30, 48, id="the way back begins after a pause"),
        pytest.param(Speed(100).slowed(0, 60, SLOWED, 30), 15, 58.5, id="news of half a minute: three times as long"),
        pytest.param(Speed(100).resumed(0, 80), 0, 8, id="an outage ends: a tenth"),
        pytest.param(Speed(100).resumed(0, 80), 10, 80, id="... and ten seconds"),
        pytest.param(Speed(100).slowed(0, 0.1, HALVED, 0), 0, 1, id="never below one a second"),
        pytest.param(Speed(1).slowed(0, 0.01, HALVED, 0), 0, 0.1, id="nor a tenth of a lower ceiling"),
    ],
)
def test_the_rate(speed: Speed, at: float, rate: float) -> None:
    assert speed.rate(at) == pytest.approx(rate)


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(0, 2_000), st.sampled_from([SLOWED, HALVED])), max_size=20))
def test_it_stays_between_its_bounds_and_only_rises_by_itself(changes: list[tuple[float, float, float]]) -> None:
    speed, now = Speed(100.0), 0.0
    for wait_s, used, share in changes:
        rates = [speed.rate(now + wait_s * part / 4) for part in range(5)]
        assert all(1.0 <= rate <= 100.0 for rate in rates)
        assert all(later >= earlier - 1e-9 for earlier, later in pairwise(rates))
        now += wait_s
        speed = speed.slowed(now, used, share, 0.0)
