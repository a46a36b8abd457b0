"""What a person sees of a run while it runs."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from cio_etl.model import Counts, LaneProgress
from cio_etl.report.progress import Progress


@pytest.mark.fault("N5")
@pytest.mark.parametrize(
    ("waited_s", "said"),
    [(None, r"\d rows/s · 2 rejected"), (0.2, r"\d rows/s · 2 rejected"), (65.0, r"waiting since \d\d:\d\d:\d\dZ")],
)
def test_the_bar_says_since_when_all_lanes_wait(waited_s: float | None, said: str) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=160, color_system=None)
    marks = [LaneProgress(0, counts=Counts(accepted=5, rejected=2))]
    with Progress(console, live=True).step("people", 10, lambda: marks, lambda: waited_s):
        pass
    assert isinstance(console.file, io.StringIO)
    last = console.file.getvalue().split("\r")[-1]
    assert re.search(said, last)
    assert ("waiting" in last) == ("waiting" in said)
