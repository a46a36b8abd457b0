"""A step of events stops before its first request when too many of them could start campaigns."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cio_etl.cli import main
from cio_etl.config import load_job
from cio_etl.errors import ConfigError, CredentialsRefused, TooManyChanges
from cio_etl.model import Finding
from cio_etl.sandbox import Faults, Sandbox
from tests.nightly_step import EVENTS, KEYS, Nights, change, order, person

HOUR = 3_600


def orders(*ages_h: int, first: int = 0) -> list[dict[str, Any]]:
    """Orders of these ages."""
    now = int(time.time())
    return [order(first + place, at=str(now - age * HOUR)) for place, age in enumerate(ages_h)]


def findings_of(found: Sequence[Finding]) -> dict[str, int]:
    return {finding.code: finding.rows for finding in found}


@pytest.fixture
def events(nights: Nights) -> Nights:
    nights.mapping = EVENTS
    nights.step = {"sync": "changed", "limits": {"events_of_72h": 2}}
    return nights


def test_a_first_run_may_send_any_number_of_young_events(events: Nights) -> None:
    assert len(events.sent(orders(1, 2, 3, 4))) == 4


def test_too_many_young_events_stop_before_the_first_request(events: Nights) -> None:
    before = orders(1, 2, 3, 4, 100)
    events.run(before)
    rows = [*before, *orders(1, 5, 71, 73, 200, first=10)]
    words = "3 events of the last 72 hours would be sent; limits: events_of_72h allows 2; nothing was sent"
    with pytest.raises(TooManyChanges, match=words) as stopped:
        events.run(rows)
    assert stopped.value.exit_code == 4 and events.bodies == []
    with pytest.raises(TooManyChanges, match=words):
        events.again()  # it stays so
    assert len(events.sent(rows, accept_changes=True)) == 5
    assert len(events.sent([*rows, *orders(1, 5, 200, first=20)])) == 3  # as many as are allowed


def test_events_that_are_rejected_do_not_count(events: Nights) -> None:
    events.run(before := orders(1, 2))
    bad = [row | {"id": None} for row in orders(1, 1, 1, first=10)]
    report = events.run([*before, *bad, *orders(1, first=20)])
    young = [finding for finding in report.steps[0].findings if finding.code == "event_may_start_campaigns"]
    assert (len(events.items()), report.steps[0].rejected, [finding.rows for finding in young]) == (1, 3, [1])
    report = events.run([*before, *bad])
    assert "event_may_start_campaigns" not in findings_of(report.steps[0].findings)


def test_after_a_first_run_that_was_abandoned_the_next_one_is_a_first_run(events: Nights, sandbox: Sandbox) -> None:
    rows = [each | {"id": str(number)} for number, each in enumerate(orders(*[1] * 12))]
    sandbox.set_faults(Faults(key_revoked_after=1))
    with pytest.raises(CredentialsRefused):
        events.run(rows)
    sandbox.set_faults(Faults())
    assert 2 < len(events.sent(rows, restart=True)) < 12


def test_only_events_that_are_sent_count(events: Nights) -> None:
    before = orders(1, 2, 3, 4)
    events.run(before)
    assert len(events.sent(before, full_refresh=True)) == 4  # Customer.io ignores an event that it has
    report = events.run([*before, *orders(1, 90, first=10)])
    assert findings_of(report.steps[0].findings) == {"event_may_start_campaigns": 1}
    assert findings_of(events.run(before).steps[0].findings) == {}


def test_events_without_a_time_are_young(events: Nights) -> None:
    events.mapping = {name: value for name, value in EVENTS.items() if name != "timestamp"}
    events.step["limits"] = {"events_of_72h": "50%"}
    events.run([order(1), order(2)])
    with pytest.raises(TooManyChanges, match=r"2 events .* would be sent; limits: events_of_72h allows 1 \(50 %\)"):
        events.run([order(1), order(2), order(3), order(4)])


def test_a_plan_says_that_too_many_young_events_would_stop_a_run(
    events: Nights, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    before = orders(1, 2, 3)
    events.run(before)
    with pytest.raises(TooManyChanges):
        events.run([*before, *orders(1, 2, 3, first=10)])
    assert main(["plan", "job.yaml", "--json"]) == 4
    (step,) = json.loads(capsys.readouterr().out)["steps"]
    assert step["changes_too_much"] == ["3 events of the last 72 hours would be sent; limits: events_of_72h allows 2"]
    assert main(["plan", "job.yaml", "--accept-changes"]) == 3


def test_the_limit_is_for_steps_with_events(nights: Nights) -> None:
    nights.step["limits"] = {"events_of_72h": 2}
    with pytest.raises(ConfigError, match=r"limits\.events_of_72h: mapping.yaml sends no events; leave it out"):
        nights.run([person(1)])
    Path("events.yaml").write_text(json.dumps(EVENTS))
    job = json.loads(Path("job.yaml").read_text())
    job["steps"][0]["mapping"] = ["mapping.yaml", "events.yaml"]
    Path("job.yaml").write_text(json.dumps(job))
    assert [step.sync.limits["events_of_72h"].number for step in load_job(Path("job.yaml"), KEYS).steps] == [2, 2]


def test_findings_are_about_the_parts_that_are_sent(nights: Nights) -> None:
    nights.mapping = {
        **nights.mapping,
        "attributes": {"plan": "plan", "created_at": {"column": "joined", "apply": ["timestamp"]}},
    }
    later = str(int(time.time()) + 30 * HOUR)
    rows = [person(number, joined=later) for number in range(3)]
    assert findings_of(nights.run(rows).steps[0].findings) == {"created_at_in_the_future": 3}
    report = nights.run([rows[0] | {"plan": "pro"}, *rows[1:]])
    assert findings_of(report.steps[0].findings) == {"created_at_in_the_future": 1}
    assert nights.items() == [change(0, plan="pro")]


def test_a_night_on_which_nobody_is_gone_has_no_finding_about_it(nights: Nights) -> None:
    nights.step = {"sync": "mirror", "when_gone": "delete"}
    report = nights.run([person(1)])
    assert [(step.name, step.findings) for step in report.steps] == [("rows", ()), ("rows/gone", ())]
