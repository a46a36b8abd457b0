"""The rate as a function of time: it falls at once, and comes back along a cubic curve."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_etl.load.rate.rate import HALVED, SLOWED, Rate


@pytest.mark.parametrize(
    ("after_s", "per_second"),
    [(0, 48.0), (5, 58.5), (8, 59.9), (10, 60.0), (15, 61.5), (20, 72.0), (30, 100.0), (3_600, 100.0)],
)
def test_after_a_slow_down_the_rate_recovers_in_ten_seconds_and_then_exceeds_its_old_value(
    after_s: float, per_second: float
) -> None:
    rate = Rate(100.0).slowed(0.0, 60.0, SLOWED, 0.1)
    assert rate.at(after_s) == pytest.approx(per_second, abs=0.06)


@pytest.mark.parametrize(
    ("rate", "at", "per_second"),
    [
        pytest.param(Rate(100.0), 0, 100, id="the limit, while no rate was too high"),
        pytest.param(Rate(inf), 0, inf, id="no limit"),
        pytest.param(Rate(inf).slowed(0, 300, HALVED, 0), 0, 150, id="without a limit: a share of the rate used"),
        pytest.param(Rate(100).slowed(0, 60, SLOWED, 0).slowed(5, 90, HALVED, 0), 5, 29.25, id="of the present rate"),
        pytest.param(Rate(100).slowed(0, 60, SLOWED, 0).paused(30), 30, 48, id="it rises only after a pause"),
        pytest.param(Rate(100).slowed(0, 60, SLOWED, 30), 15, 58.5, id="an answer after 30 s: three times as slowly"),
        pytest.param(Rate(100).resumed(0, 80), 0, 8, id="an outage ends: a tenth"),
        pytest.param(Rate(100).resumed(0, 80), 10, 80, id="... and all of it after ten seconds"),
        pytest.param(Rate(100).slowed(0, 0.1, HALVED, 0), 0, 1, id="never below one a second"),
        pytest.param(Rate(1).slowed(0, 0.01, HALVED, 0), 0, 0.1, id="nor below a tenth of a lower limit"),
    ],
)
def test_the_rate_at_a_time_follows_from_its_last_change(rate: Rate, at: float, per_second: float) -> None:
    assert rate.at(at) == pytest.approx(per_second)


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(0, 2_000), st.sampled_from([SLOWED, HALVED])), max_size=20))
def test_the_rate_stays_between_its_bounds_and_never_falls_by_itself(changes: list[tuple[float, float, float]]) -> None:
    rate, now = Rate(100.0), 0.0
    for wait_s, peak, share in changes:
        values = [rate.at(now + wait_s * part / 4) for part in range(5)]
        assert all(1.0 <= value <= 100.0 for value in values)
        assert all(later >= earlier - 1e-9 for earlier, later in pairwise(values))
        now += wait_s
        rate = rate.slowed(now, peak, share, 0.0)
