"""A full refresh sends everything to everybody, which repairs what others changed; when full_refresh_every does it."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cio_etl import state
from cio_etl.cli import main
from cio_etl.errors import ConfigError, CredentialsRefused, PlanOutdated, TooManyChanges
from cio_etl.ledger import Generation
from cio_etl.model import PlannedStep
from cio_etl.sandbox import Faults, Sandbox
from tests.nightly_step import EVENTS, KEYS, PEOPLE, Nights, change, order, person


def began() -> str:
    """When everything was last sent, as the ledger has it."""
    with closing(state.open_store(Path(".etl"))) as store:
        return Generation.of_text(str(store.ledger("job", "rows"))).started_at


def make_older(step: str = "rows", **time: int) -> None:
    """Sets the ledger's clock: everything was sent so much earlier."""
    with closing(state.open_store(Path(".etl"))) as store:
        move = store.ledgers("job")[step]
        before = Generation.of_text(move.generation)
        began = datetime.fromisoformat(before.started_at) - timedelta(**time)
        store.move_ledger(replace(move, generation=replace(before, started_at=began.isoformat()).to_text()))


def edit(nights: Nights, number: int, **attributes: str) -> None:
    """Somebody changes a person in Customer.io, or deletes them if there is nothing to change."""
    action = {"action": "identify", "attributes": attributes} if attributes else {"action": "delete"}
    nights.sandbox.people.apply({"type": "person", "identifiers": {"id": str(number)}} | action, time.time())


# ---------------------------------------------------------------- --full-refresh


def test_a_full_refresh_repairs_what_others_changed(nights: Nights) -> None:
    rows = [person(number) for number in range(3)]
    nights.run(rows)
    edit(nights, 1, city="Bern")
    edit(nights, 2)
    assert nights.sent(rows) == [] and nights.people().keys() == {"0", "1"} and nights.people()["1"]["city"] == "Bern"
    nights.run(rows, full_refresh=True)
    assert nights.people()["1"]["city"] == "Rome" and nights.people()["2"]["city"] == "Rome"
    assert nights.sent(rows) == []


def test_after_a_full_refresh_an_attribute_that_it_did_not_send_is_not_known(nights: Nights) -> None:
    nights.run([person(1)])
    nights.run([person(1, city=None)], full_refresh=True)
    edit(nights, 1, city="Bern")
    nights.run([person(1)])
    assert nights.people()["1"]["city"] == "Rome"


def test_limits_count_no_changes_of_a_full_refresh_but_who_is_gone(mirror: Nights) -> None:
    mirror.step |= {"limits": {"new": 0, "changed": 0}, "max_gone": "10%"}
    rows = [person(number) for number in range(20)]
    mirror.run(rows)
    mirror.run(rows[1:], full_refresh=True)
    assert len(mirror.people()) == 19
    with pytest.raises(TooManyChanges, match="step rows: 5 of 19 subjects are gone"):
        mirror.run(rows[6:], full_refresh=True)


def test_a_full_refresh_of_some_rows_is_none(nights: Nights) -> None:
    rows = [person(number) for number in range(3)]
    nights.run(rows)
    make_older(days=3)
    before = began()
    nights.run(rows, full_refresh=True, limit=1)
    assert began() == before
    nights.run(rows, full_refresh=True)
    assert began() > before


def test_a_full_refresh_that_is_abandoned_is_none(nights: Nights, sandbox: Sandbox) -> None:
    rows = [person(number) for number in range(300)]
    nights.run(rows)
    make_older(days=3)
    before = began()
    sandbox.set_faults(Faults(key_revoked_after=1))
    nights.settings = {"destination": {"max_batch_bytes": 32_100}}
    with pytest.raises(CredentialsRefused):
        nights.run(rows, full_refresh=True)
    sandbox.set_faults(Faults())
    nights.run(rows, restart=True)
    assert began() == before


# ---------------------------------------------------------------- full_refresh_every


@pytest.fixture
def monthly(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> Nights:
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)
    nights.step["full_refresh_every"] = "30 days"
    return nights


def test_everything_is_sent_again_when_the_time_has_passed_and_not_before(
    monthly: Nights, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [person(1), person(2)]
    monthly.run(rows)
    make_older(days=29, hours=23)
    assert monthly.sent([person(1, city="Oslo"), person(2)]) == [change(1, city="Oslo")]
    make_older(hours=2)
    edit(monthly, 2)
    monthly.run(rows)
    assert [len(item["attributes"]) for item in monthly.items()] == [3, 3] and "2" in monthly.people()
    assert monthly.sent(rows) == []
    make_older(days=30)
    assert main(["run", "job.yaml"]) == 0
    assert "step rows: 30 days since everything was sent; this run sends every row" in capsys.readouterr().err


def test_a_plan_says_that_everything_would_be_sent(monthly: Nights, capsys: pytest.CaptureFixture[str]) -> None:
    monthly.run([person(1), person(2)])
    assert main(["plan", "job.yaml"]) == 0
    assert "since everything was sent" not in capsys.readouterr().out
    make_older(days=61)
    assert main(["plan", "job.yaml"]) == 3
    assert "step rows: 61 days since everything was sent; this run sends every row" in capsys.readouterr().out
    assert main(["plan", "job.yaml", "--json", "-o", "plan.json"]) == 3
    (step,) = json.loads(capsys.readouterr().out)["steps"]
    assert (step["items"], step["full_refresh"][:7]) == (2, "61 days")
    monthly.bodies.clear()
    assert main(["apply", "plan.json", "--quiet"]) == 0
    assert len(monthly.items()) == 2


def test_a_plan_is_outdated_when_everything_became_due_since(monthly: Nights) -> None:
    monthly.run([person(1), person(2)])
    planned = PlannedStep("rows", "mapping", 1, 5)
    with pytest.raises(PlanOutdated, match="full_refresh_every has passed since, so every row would be sent"):
        planned.require(replace(planned, again=True), "rows")
    main(["plan", "job.yaml", "-o", "plan.json"])
    make_older(days=31)
    assert main(["apply", "plan.json"]) == 78


def test_a_trial_of_some_rows_and_a_watermark_by_hand_refresh_nothing(monthly: Nights) -> None:
    monthly.run([person(1), person(2)])
    make_older(days=40)
    assert monthly.sent([person(1), person(2)], limit=1) == []
    assert len(monthly.sent([person(1), person(2)])) == 2


@pytest.fixture
def table(monthly: Nights) -> Nights:
    """A step over a table with a watermark, whose 300 rows were sent."""
    with closing(sqlite3.connect("shop.db")) as shop:
        shop.execute("CREATE TABLE people (no INTEGER PRIMARY KEY, id TEXT, email TEXT, plan TEXT, city TEXT)")
        rows = [(str(number), "x" * 500) for number in range(300)]
        shop.executemany("INSERT INTO people (id, plan, city) VALUES (?, ?, 'Rome')", rows)
        shop.commit()
    monthly.settings = {"destination": {"max_batch_bytes": 32_100}}
    monthly.run([])
    write_step({"source": {"sql": "sqlite:///shop.db", "table": "people", "watermark": "no"}})
    assert [monthly.again().steps[0].rows_read for _ in range(2)] == [300, 0]
    return monthly


def write_step(step: dict[str, Any]) -> None:
    """Writes other keys of the step into the job."""
    job = json.loads(Path("job.yaml").read_text())
    job["steps"][0] |= step
    Path("job.yaml").write_text(json.dumps(job))


def test_a_step_with_a_watermark_is_read_from_its_start_when_everything_is_due(table: Nights) -> None:
    make_older(days=30)
    assert table.again().steps[0].rows_read == 300 and len(table.items()) == 300
    assert table.again().steps[0].rows_read == 0


def test_a_killed_refresh_goes_on_as_it_began(table: Nights, sandbox: Sandbox) -> None:
    make_older(days=30)
    before = began()
    sandbox.set_faults(Faults(key_revoked_after=1))
    with pytest.raises(CredentialsRefused):
        table.again()
    sandbox.set_faults(Faults())
    write_step({"full_refresh_every": "90 days"})  # it counts when the step begins
    report = table.again()
    assert (report.steps[0].rows_read, report.steps[0].accepted) == (300, 300)
    assert began() > before


@pytest.mark.parametrize(
    ("mapping", "keys", "fault"),
    [
        (PEOPLE, {"sync": "all"}, "each run sends every row already; write sync: changed, or leave it out"),
        (EVENTS, {"sync": "changed"}, "Customer.io ignores an event that it has already; leave it out"),
        (PEOPLE, {"sync": "changed", "full_refresh_every": "30"}, "must be a duration, as 15 minutes, 2h or 1 day"),
        (PEOPLE, {"sync": "changed", "full_refresh_every": "5 min"}, "must be an hour or more, as 30 days"),
    ],
)
def test_a_full_refresh_that_cannot_be_is_a_fault_of_the_job(
    mapping: dict[str, Any], keys: dict[str, str], fault: str, monthly: Nights
) -> None:
    monthly.mapping = mapping
    monthly.step |= keys
    with pytest.raises(ConfigError) as refused:
        monthly.run([order(1) | person(1)])
    assert [(problem.path, problem.message) for problem in refused.value.problems] == [
        ("steps[0].full_refresh_every", fault)
    ]
