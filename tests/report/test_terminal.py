"""What the terminal shows of a report, on a wide and on a narrow one."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from cio_etl.cli.shared import resumed_by
from cio_etl.errors import StateError
from cio_etl.model import Counts, Report
from cio_etl.report.page import page
from cio_etl.report.terminal import show
from tests.reports import RUN, VALIDATION


def shown(report: Report, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    show(report, console, {}, {})
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def heads(report: Report, width: int) -> list[str]:
    (line,) = [each for each in shown(report, width) if each.startswith("step")]
    return line.split("  ")


def test_a_narrow_terminal_has_fewer_columns_and_no_number_is_cut() -> None:
    assert "retries" in heads(VALIDATION, 140) and "rows/s" in " ".join(heads(VALIDATION, 140))
    narrow = " ".join(heads(VALIDATION, 80))
    assert "rows read" in narrow and "skipped" in narrow
    assert "retries" not in narrow and "sent twice?" not in narrow  # both are 0
    assert not any("…" in line for line in shown(VALIDATION, 80)[:4])
    twice = replace(VALIDATION.steps[0], counts=Counts(accepted=12_345, possibly_sent_twice=3))
    assert "sent twice?" in " ".join(heads(replace(VALIDATION, steps=(twice,)), 70))


def test_large_differences_from_the_last_run_are_a_line_for_each_step() -> None:
    lines = [line.replace("\u00a0", " ") for line in shown(VALIDATION, 400)]
    assert [line for line in lines if "compared with" in line] == [
        "people, compared with shop-20240309T090000Z: rows read 24,690 → 12,345 (−50 %), newly rejected: 299 rows with "
        "email_malformed in attributes.email, events order_placed 1,200 → 0, 1 more difference"
    ]
    assert not any("compared with" in line for line in shown(RUN, 400))


def test_only_commands_are_in_boxes_that_a_click_selects() -> None:
    made = page(RUN, {"once fixed": "cio-etl replay rejects.csv", "rejects": "fix the rows at the source"}, {})
    assert "<dd><code>cio-etl replay rejects.csv</code></dd>" in made
    assert "<dd>fix the rows at the source</dd>" in made


@pytest.mark.parametrize(
    ("remedy", "with_command"),
    [
        ("free some space", "free some space; then: cio-etl run a.yaml"),
        ("did you mean b.csv?", "did you mean b.csv? Then: cio-etl run a.yaml"),
        ("make room and run the same command again", "make room and run `cio-etl run a.yaml` again"),
    ],
)
def test_a_remedy_names_the_command_once(remedy: str, with_command: str) -> None:
    with pytest.raises(StateError) as error, resumed_by("cio-etl run a.yaml", with_option=str):
        raise StateError(remedy, place="state.db", what="the disk is full")
    assert error.value.remedy == with_command
