"""A finished run is compared with what is usual, and a single odd night does not move that."""

from __future__ import annotations

import pytest

from cio_etl.model import Counts, Report, StepReport
from cio_etl.notify import PastRun, compare

USUAL = [1_000, 1_010, 990, 1_005, 995, 1_000, 1_002]


def finished(rows: int, rejected: int = 0, seconds: float = 60.0) -> Report:
    counts = Counts(accepted=rows - rejected, rejected=rejected)
    step = StepReport("people", "finished", rows, counts, seconds)
    return Report("job-9", "job", "finished", "2026-11-20T03:00:00+00:00", None, (step,))


def past(rows: list[int], seconds: float = 60.0) -> list[PastRun]:
    return [PastRun({"people": each}, seconds) for each in rows]


@pytest.mark.parametrize(
    ("rows", "before", "words"),
    [
        (1_400, USUAL, None),  # within the share
        (400, USUAL, "step people: 400 rows read, fewer than usual: 1,000 is the median of the last 7 runs"),
        (1_600, USUAL, "step people: 1,600 rows read, more than usual: 1,000 is the median of the last 7 runs"),
        (0, USUAL, "step people: 0 rows read, fewer than usual: 1,000 is the median of the last 7 runs"),
        (400, [*USUAL, 0, 100_000], "step people: 400 rows read, fewer than usual: 1,000 is the median of the last 9 "
         "runs"),
        (400, [100, 2_000, 900, 1_000, 1_900, 300, 1_500], None),  # rows that always vary so
        (400, USUAL[:4], None),  # too few runs
        (5, [0, 0, 0, 0, 9, 0], None),  # most nights are empty
    ],
)  # fmt: skip
def test_rows_deviate_from_the_median_by_the_share_or_by_what_is_usual(
    rows: int, before: list[int], words: str | None
) -> None:
    assert compare(finished(rows), {"deviates": 0.5}, past(before)) == {"deviates": words}


def test_only_the_last_fourteen_runs_count() -> None:
    assert compare(finished(2_000), {"deviates": 0.5}, past([2_000] * 14 + [10] * 30)) == {"deviates": None}


def test_a_run_is_slow_against_runs_of_the_same_steps_and_by_ten_seconds() -> None:
    on = {"slower": 3.0}
    slow = "it took 190 s; 60 s is the median of the last 7 runs"
    assert compare(finished(1, seconds=190), on, past(USUAL)) == {"slower": slow}
    assert compare(finished(1, seconds=170), on, past(USUAL)) == {"slower": None}
    assert compare(finished(1, seconds=5), on, past(USUAL, seconds=0.2)) == {"slower": None}
    assert compare(finished(1, seconds=190), on, [PastRun({"others": 1}, 1.0)] * 9) == {"slower": None}


def test_rejects_above_a_share_of_a_step() -> None:
    words = "step people: 11 rows of 1,000 rejected, 1.1\u00a0%"
    assert compare(finished(1_000, 11), {"rejects": 0.01}, []) == {"rejects": words}
    assert compare(finished(1_000, 10), {"rejects": 0.01}, []) == {"rejects": None}
    assert compare(finished(0), {"rejects": 0.01, "failed": None}, []) == {"rejects": None}
