"""The strip of a job's last nights, its throughput, and the counts behind a cache: pure, or nearly."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cio_etl.model import Counts, EarlierEnds, JobSettings
from cio_etl.run.throughput import MOST, Throughput, read_throughput
from cio_etl.state import RunRecord
from cio_etl.ui.chart import MOST_BARS, throughput_bars
from cio_etl.ui.nights import Night, nights
from cio_etl.ui.refreshed import Refreshed
from tests.state.runs import RUN

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
JOB = JobSettings("nightly.yaml", "nightly", Path(".etl"), schedule="0 3 * * *")


def night(day: int, status: Any = "finished", code: int = 0, minutes: int = 5, hour: int = 3) -> RunRecord:
    began = datetime(2026, 11, day, hour, tzinfo=UTC)
    ended = (began + timedelta(minutes=minutes)).isoformat()
    return replace(
        RUN, run_id=f"n{day}", status=status, exit_code=code, started_at=began.isoformat(), finished_at=ended
    )


def kinds(strip: list[Night]) -> str:
    return " ".join(each.kind for each in strip)


def test_each_night_has_its_kind_the_oldest_first() -> None:
    killed = replace(night(26, status="running"), finished_at=None, exit_code=None)
    runs = [night(27), killed, night(25, "stopped", 69), night(24, code=3)]
    strip = nights(JOB, runs, {"n24": Counts(accepted=9, rejected=1)}, {}, NOW, is_held=False)
    assert kinds(strip) == "rejects failed failed good"
    assert [each.words for each in strip] == [
        "finished: 9 rows accepted, 1 rejected",
        "stopped with exit code 69, Customer.io out of reach",
        "killed",
        "finished",
    ]


def test_the_newest_run_is_in_progress_while_a_process_holds_the_job() -> None:
    running = replace(night(27, status="running"), finished_at=None, exit_code=None)
    assert (
        kinds(nights(JOB, [running, replace(running, run_id="killed")], {}, {}, NOW, is_held=True)) == "running failed"
    )


@pytest.mark.parametrize(
    ("days", "now", "expected"),
    [
        ((24, 27), NOW, "good missing missing good"),  # the 25th and the 26th
        ((25, 26), NOW, "good good missing"),  # this morning
        ((26,), datetime(2026, 11, 27, 3, 10, tzinfo=UTC), "good"),  # it may begin every moment
        ((27,), NOW, "good"),  # before the first run nobody expected one
    ],
)
def test_a_night_without_a_run_is_missing_by_the_schedule(days: tuple[int, ...], now: datetime, expected: str) -> None:
    assert kinds(nights(JOB, [night(day) for day in reversed(days)], {}, {}, now, is_held=False)) == expected


def test_a_run_that_is_at_work_when_the_next_is_due_covers_it() -> None:
    assert kinds(nights(JOB, [night(25, minutes=60 * 50)], {}, {}, NOW, is_held=False)) == "good"
    assert kinds(nights(JOB, [night(25, minutes=60 * 20)], {}, {}, NOW, is_held=False)) == "good missing missing"


def test_without_a_schedule_a_gap_longer_than_expected_is_missing() -> None:
    job = replace(JOB, schedule=None, expect_every=timedelta(hours=26))
    strip = nights(job, [night(26, hour=12), night(23)], {}, {}, NOW, is_held=False)
    assert kinds(strip) == "good missing good" and "no run finished for 3 days" in strip[1].words
    assert nights(replace(JOB, schedule=None), [night(20)], {}, {}, NOW, is_held=False)[-1].kind == "good"


@pytest.mark.parametrize("line", ["* * * * *", "0 0 30 2 *", "@daily"])
def test_a_strip_is_bounded_for_any_cron_line(line: str) -> None:
    assert len(nights(replace(JOB, schedule=line), [night(2)], {}, {}, NOW, is_held=False)) <= 30


def test_a_night_that_ended_before_it_succeeded_says_so() -> None:
    running = replace(night(28, status="running"), finished_at=None, exit_code=None)
    runs = [running, night(27), night(26, code=3), night(25, "stopped", 69), night(24)]
    earlier = {"n28": EarlierEnds(killed=1), "n27": EarlierEnds(failed=1, stopped=2, killed=1)}
    earlier |= {"n26": EarlierEnds(stopped=1_000), "n25": EarlierEnds(stopped=1, killed=1)}
    strip = nights(JOB, runs, {}, earlier, datetime(2026, 11, 28, 3, 10, tzinfo=UTC), is_held=True)
    assert [(each.kind, each.has_recovered) for each in strip] == [
        ("good", False),
        ("failed", False),
        ("rejects", True),
        ("good", True),
        ("running", True),
    ]
    assert [each.words for each in strip[1:]] == [
        "stopped with exit code 69, Customer.io out of reach (before that stopped once and killed once)",
        "finished (before that stopped 1,000 times)",
        "finished (before that failed once, stopped 2 times and killed once)",
        "in progress (before that killed once)",
    ]


# ---------------------------------------------------------------- throughput


def test_a_series_is_bounded_whole_and_goes_on_in_the_next_process(tmp_path: Path) -> None:
    first = Throughput(tmp_path)
    for second in range(0, 20_000, 10):
        first.add(second, second * 10)
    Throughput(tmp_path).add(90_000.0, 250_000)
    points, second_process = read_throughput(tmp_path)
    assert MOST / 3 < len(points) <= MOST and (points[0], points[-1]) == ((0.0, 0), (19_990.0, 199_900))
    assert second_process == [(90_000.0, 250_000)]
    apart = [after[0] - before[0] for before, after in pairwise(points)]
    assert max(apart) < 4 * sorted(apart)[len(apart) // 2]


@pytest.mark.parametrize("seconds", [4, 61, 3_000, 200_000])
def test_bars_add_up_to_the_rows_that_were_settled(seconds: int) -> None:
    process = [(float(at), at * 7) for at in range(0, seconds, max(seconds // 200, 1))] + [
        (float(seconds), seconds * 7)
    ]
    bars, width = throughput_bars([process, [(seconds + 5_000.0, seconds * 7), (seconds + 5_004.0, seconds * 7 + 11)]])
    assert sum(bar.rows for bar in bars) == seconds * 7 + 11 and 1 < len(bars) <= MOST_BARS + 1
    assert width * len(bars) < 2 * seconds + 100


def test_what_is_no_series_has_no_bars(tmp_path: Path) -> None:
    for content in ("", "[]", '{"processes": [[["x", 1]]]}', '{"processes": 7}'):
        (tmp_path / "throughput.json").write_text(content)
        assert throughput_bars(read_throughput(tmp_path)) == ((), 5)


# ---------------------------------------------------------------- the cache


def test_a_page_does_not_wait_for_a_new_count_once_there_is_one() -> None:
    may_go_on, counts = threading.Event(), iter(range(10))

    def read() -> int:
        number = next(counts)
        if number:
            assert may_go_on.wait(10)
        return number

    counted = Refreshed(read)
    assert counted.get()[0] == 0
    counted._due_at = 0.0
    assert counted.get()[0] == 0  # the second count has begun and waits
    may_go_on.set()
    assert counted._done.wait(10) and counted.get()[0] == 1


def test_a_count_that_fails_is_raised_and_tried_again() -> None:
    faults = [ValueError("gone")]

    def read() -> int:
        if faults:
            raise faults[0]
        return 7

    counted = Refreshed(read)
    with pytest.raises(ValueError, match="gone"):
        counted.get()
    faults.clear()
    counted._due_at = 0.0
    assert counted.get()[0] == 7
