"""A ledger of events that forgets those that are older than `remember`: they are neither sent nor compared."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cio_etl import state
from cio_etl.config import load_job
from cio_etl.errors import ConfigError
from cio_etl.ledger import Generation
from cio_etl.model import Report
from cio_etl.run import RunOptions
from cio_etl.validate.plan import plan_file
from tests.nightly_step import EVENTS, KEYS, PEOPLE, Nights, order, person

DAY = 86_400


def orders(*ages_days: float, first: int = 0, **values: Any) -> list[dict[str, Any]]:
    """Orders of these ages."""
    now = int(time.time())
    return [order(first + place, at=str(int(now - age * DAY)), **values) for place, age in enumerate(ages_days)]


def too_old(report: Report) -> int:
    """The events that the finding counts."""
    (step,) = report.steps
    assert step.delta is not None and step.rows_read == step.accepted + step.rejected + step.skipped
    counted = sum(finding.rows for finding in step.findings if finding.code == "event_not_remembered")
    assert counted == step.delta.too_old
    return counted


def generation(nights: Nights) -> Generation:
    """The ledger of the last night."""
    store = state.open_store(load_job(Path("job.yaml"), KEYS).state_location)
    text = store.ledger("job", "rows")
    store.close()
    assert text is not None
    return Generation.of_text(text)


@pytest.fixture
def events(nights: Nights) -> Nights:
    nights.mapping = EVENTS
    nights.step = {"sync": "changed", "remember": "100 days"}
    return nights


def sent(nights: Nights, rows: Sequence[dict[str, Any]], **options: Any) -> tuple[int, int]:
    """How many events a night sends, and how many it says are too old."""
    report = nights.run(rows, **options)
    return len(nights.items()), too_old(report)


def test_older_events_are_neither_sent_nor_compared(events: Nights) -> None:
    rows = orders(1, 99, 101, 500)
    assert sent(events, rows) == (2, 2)
    assert sent(events, rows) == (0, 2)
    assert sent(events, [*rows, *orders(2, 300, first=10)]) == (1, 3)
    assert sent(events, rows, full_refresh=True) == (2, 2)
    events.step["remember"] = "50 days"
    changed = [row | {"price": "9"} for row in rows]
    report = events.run(changed)
    assert events.items() == [] and too_old(report) == 3
    assert report.steps[0].delta is not None and report.steps[0].delta.changed_after_sent == 1
    events.step["remember"] = "400 days"
    assert sent(events, rows) == (1, 1)  # that of 101 days was never sent


def test_a_row_whose_time_cannot_be_read_is_rejected_and_not_too_old(events: Nights) -> None:
    report = events.run([*orders(1, 200), order(7, at="soon")])
    assert (too_old(report), report.steps[0].accepted, report.steps[0].rejected) == (1, 1, 1)


def test_the_ledger_forgets_them_when_it_is_written_anew(events: Nights) -> None:
    old = orders(*[99.0] * 1_200)
    assert sent(events, old) == (1_200, 0)
    events.step["remember"] = "98 days"
    young = orders(*[1.0] * 1_300, first=5_000)
    assert sent(events, [*old, *young]) == (1_300, 1_200)
    now = generation(events)
    assert (now.subjects, now.rows) == (1_300, 1_300)
    assert sent(events, [*old, *young]) == (0, 1_200)


def test_a_ledger_that_did_not_know_when_its_events_were_learns_it(events: Nights) -> None:
    rows = orders(*[1.0] * 5, *[200.0] * 5)
    events.step = {"sync": "changed"}
    events.run(rows)
    assert len(events.items()) == 10
    events.step = {"sync": "changed", "remember": "100 days"}
    assert sent(events, rows) == (0, 5) and generation(events).subjects == 10
    assert sent(events, rows) == (0, 5)


def test_a_plan_says_so_and_sends_as_many(events: Nights) -> None:
    events.write(orders(1, 200))
    plan = plan_file(Path("job.yaml"), RunOptions(), lambda line: None, KEYS.copy)
    assert [(step.items, step.skipped, step.delta and step.delta.too_old) for step in plan.steps] == [(1, 1, 1)]


@pytest.mark.parametrize(
    ("mapping", "step", "fault"),
    [
        (EVENTS, {"remember": "100 days"}, "each run sends every row already"),
        (EVENTS, {"sync": "changed", "remember": "3 days"}, "four days or more"),
        (PEOPLE, {"sync": "changed", "remember": "100 days"}, "sends no events"),
        (
            {name: value for name, value in EVENTS.items() if name != "timestamp"},
            {"sync": "changed", "remember": "100 days"},
            "does not say when an event was",
        ),
    ],
)
def test_remember_is_for_events_whose_time_is_known(
    nights: Nights, mapping: dict[str, Any], step: dict[str, Any], fault: str
) -> None:
    nights.mapping, nights.step = mapping, step
    with pytest.raises(ConfigError, match=fault):
        nights.run([person(1) | order(1)])
