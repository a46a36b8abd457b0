"""The progress that a run shows while it runs."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from cio_etl.model import Counts, LaneProgress
from cio_etl.report.progress import Progress, Speed, duration, fitting


def drawn(waited_s: float | None = None, steps: tuple[str, ...] = (), width: int = 160) -> str:
    """The last state of the bar of a step with 5,000 accepted and 2 rejected rows of 12,000."""
    console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    marks = [LaneProgress(0, counts=Counts(accepted=5_000, rejected=2))]
    progress = Progress(console, live=True)
    progress.begin(steps)
    with progress.step("people", 12_000, lambda: marks, lambda: waited_s):
        pass
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().split("\r")[-1]


@pytest.mark.fault("N5")
@pytest.mark.parametrize(
    ("waited_s", "shows"),
    [(None, "2 rejected"), (0.2, "2 rejected"), (65.0, r"waiting since \d\d:\d\d:\d\dZ")],
)
def test_the_bar_says_since_when_all_lanes_wait(waited_s: float | None, shows: str) -> None:
    last = drawn(waited_s)
    assert re.search(shows, last)
    assert ("waiting" in last) == ("waiting" in shows)


def test_the_bar_fits_a_terminal_of_80_columns_and_separates_thousands() -> None:
    last = drawn(steps=("people", "orders"), width=80)
    assert "people (1 of 2)" in last and "5,002 of 12,000" in last
    assert all(len(line) <= 80 for line in re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", last).splitlines())


def test_a_narrow_bar_leaves_out_whole_words_and_cuts_no_number() -> None:
    parts = ["5,002 of 12,000", "0:07 left", "", "2 rejected", "1,234 rows/s"]
    assert fitting(parts, 60) == "5,002 of 12,000 · 0:07 left · 2 rejected · 1,234 rows/s"
    assert fitting(parts, 45) == "5,002 of 12,000 · 0:07 left · 2 rejected"
    assert fitting(parts, 27) == "5,002 of 12,000 · 0:07 left"
    assert fitting(parts, 5) == "5,002 of 12,000"


def test_a_single_step_is_not_numbered() -> None:
    assert "(1 of" not in drawn(steps=("people",))


def test_the_speed_is_that_of_the_last_seconds_and_ends_when_nothing_is_settled() -> None:
    speed = Speed()
    assert speed.after(0.0, 0) is None
    assert [speed.after(float(second), 100 * second) for second in (1, 2, 3)] == [100.0, 100.0, 100.0]
    assert speed.after(5.0, 300) == 60.0  # two seconds without a row may be one slow answer
    assert speed.after(6.5, 300) is None  # an outage
    assert {speed.after(float(second), 300) for second in range(7, 20)} == {None}
    assert speed.after(20.0, 310) == 1.0


@pytest.mark.parametrize(("seconds", "words"), [(7.4, "0:07"), (750.0, "12:30"), (3_723.0, "1:02:03")])
def test_a_duration_is_written_in_minutes(seconds: float, words: str) -> None:
    assert duration(seconds) == words
