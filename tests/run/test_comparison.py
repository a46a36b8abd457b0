"""A run and a validation are compared with the last run that finished all rows of the same steps."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio_etl.audit import EventNames
from cio_etl.cli import main
from cio_etl.model import POSITION, EventCount
from cio_etl.sandbox import Faults, Sandbox
from cio_etl.transform import Mapped
from tests.running import write_job

pytestmark = pytest.mark.usefixtures("keys")
Captured = pytest.CaptureFixture[str]

PEOPLE = {"operation": "identify", "identifiers": {"id": "id"}, "attributes": {"email": "e_mail", "n": "n"}}
EVENTS = {
    "operation": "track",
    "event": "what",
    "identifiers": {"id": "id"},
    "event_key": ["key"],
    "attributes": {"n": "key"},
}


def write(people: int, malformed: int, events: dict[str, int]) -> None:
    rows = [f"{n},{'x@@y' if n < malformed else f'p{n}@b.co'},{n % 7}" for n in range(people)]
    Path("people.csv").write_text("\n".join(["id,e_mail,n", *rows, ""]))
    names = [name for name, rows_of_name in events.items() for _ in range(rows_of_name)]
    lines = [f"{n},{name},k{n}" for n, name in enumerate(names)]
    Path("events.csv").write_text("\n".join(["id,what,key", *lines, ""]))


@pytest.fixture
def job(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("people.yaml").write_text(json.dumps(PEOPLE))
    Path("events.yaml").write_text(json.dumps(EVENTS))
    steps = {"people": ({"csv": "people.csv"}, "people.yaml"), "events": ({"csv": "events.csv"}, "events.yaml")}
    return write_job(Path("job.yaml"), sandbox.url, steps, max_rejects="100%")


def report(capsys: Captured, *arguments: str) -> dict[str, Any]:
    main([*arguments, "--json"])
    made: dict[str, Any] = json.loads(capsys.readouterr().out)
    return made


def figures(made: dict[str, Any], step: int) -> dict[str, tuple[int, int]]:
    """Before and now, by figure and name, of what differs."""
    return {
        " ".join(filter(None, (each["figure"], each["name"], each["field"]))): (each["before"], each["now"])
        for each in made["compared_with"]["steps"][step]["differences"]
        if each["before"] != each["now"]
    }


def large(made: dict[str, Any], step: int) -> list[str]:
    differences = made["compared_with"]["steps"][step]["differences"]
    return [each["figure"] if each["name"] is None else each["name"] for each in differences if each["is_large"]]


def test_a_second_run_reports_what_is_different_from_the_first(job: Path, capsys: Captured) -> None:
    write(200, 0, {"order_placed": 60, "app_opened": 40})
    first = report(capsys, "run", "job.yaml")
    assert first["compared_with"] is None
    assert first["steps"][1]["events"] == [{"name": "order_placed", "rows": 60}, {"name": "app_opened", "rows": 40}]
    write(80, 3, {"order_placed": 61, "order_refunded": 12, "ada@b.co": 12})

    checked = report(capsys, "validate", "job.yaml")
    second = report(capsys, "run", "job.yaml")
    for made in (checked, second):
        assert made["compared_with"]["run_id"] == first["run_id"]
        assert made["compared_with"]["finished_at"] == first["finished_at"]
        now, before = made["steps"][0]["bytes_sent"], first["steps"][0]["bytes_sent"]
        assert figures(made, 0) == {
            "rows_read": (200, 80),
            "accepted": (200, 77),
            "rejected": (0, 3),
            "bytes_sent": (before, now),
            "rejects email_malformed attributes.email": (0, 3),
        }
        assert large(made, 0) == ["rows_read", "accepted", "email_malformed"]  # a new reason, however few rows
        assert {name: rows for name, rows in figures(made, 1).items() if name.startswith("events")} == {
            "events order_placed": (60, 61),
            "events app_opened": (40, 0),
            "events order_refunded": (0, 12),
            "events": (0, 12),  # an address is no name of an event, and is not shown
        }
        assert large(made, 1) == ["order_refunded", "events", "app_opened"]
    assert second == json.loads(Path(".etl/runs", second["run_id"], "report.json").read_text())
    assert main(["status", "job.yaml"]) == 0
    out = capsys.readouterr().out
    line = f"people, compared with {first['run_id']}: rows read 200 → 80 (−60 %), "
    assert line + "newly rejected: 3 rows with email_malformed in attributes.email" in out.replace("\u00a0", " ")
    assert "ada@b.co" not in Path(".etl/runs", second["run_id"], "report.html").read_text()
    assert b"ada@b.co" not in Path(".etl/state.db").read_bytes()


def test_a_run_is_compared_only_with_a_finished_run_over_all_rows_of_the_same_steps(
    job: Path, sandbox: Sandbox, capsys: Captured
) -> None:
    write(50, 0, {"bought": 20})
    whole = report(capsys, "run", "job.yaml")["run_id"]
    limited = report(capsys, "run", "job.yaml", "--limit=10")
    assert limited["compared_with"] is None
    assert report(capsys, "validate", "job.yaml", "--limit=10")["compared_with"] is None
    assert report(capsys, "run", "job.yaml", "--step=people")["compared_with"] is None
    assert report(capsys, "run", "job.yaml", "--full-refresh")["compared_with"] is None
    assert report(capsys, "run", "job.yaml", "--sandbox")["compared_with"] is None
    sandbox.set_faults(Faults(script=("401",) * 100))
    assert main(["run", "job.yaml"]) == 77
    capsys.readouterr()
    stopped = report(capsys, "status", "job.yaml")
    assert (stopped["status"], stopped["compared_with"]) == ("stopped", None)
    sandbox.set_faults(Faults())
    resumed = report(capsys, "run", "job.yaml")
    assert resumed["run_id"] == stopped["run_id"]
    assert resumed["compared_with"]["run_id"] == whole
    assert figures(resumed, 0) == {} == figures(resumed, 1)


def test_a_validation_is_not_compared_in_what_only_a_run_knows(job: Path, sandbox: Sandbox, capsys: Captured) -> None:
    write(40, 2, {"bought": 20})
    sandbox.set_faults(Faults(refused=0.3))
    assert main(["run", "job.yaml"]) == 3
    capsys.readouterr()
    checked = report(capsys, "validate", "job.yaml")
    assert checked["compared_with"]["steps"][0]["differences"][1] == {
        "figure": "accepted",
        "name": None,
        "field": None,
        "is_large": False,
        "before": 38,
        "now": 38,  # what Customer.io refused counts as accepted
    }
    assert figures(checked, 0) == {}


def test_an_earlier_run_that_cannot_be_read_does_not_fail_the_next_one(job: Path, capsys: Captured) -> None:
    write(20, 0, {"bought": 5})
    assert main(["run", "job.yaml"]) == 0
    with closing(sqlite3.connect(".etl/state.db")) as state, state:
        state.execute("UPDATE step SET rejects = 'damaged'")
    capsys.readouterr()
    second = report(capsys, "run", "job.yaml")
    assert (second["status"], second["compared_with"]) == ("finished", None)


def test_names_of_events_are_shown_if_they_are_few_and_of_nobody() -> None:
    def counted(*names: str) -> tuple[EventCount, ...]:
        counter = EventNames()
        for name in names:
            rows = pl.DataFrame({POSITION: [0], "event": [name]})
            items = pl.DataFrame({"position": [0], "item": ["{}"]})
            counter.observe(Mapped(rows, rows, items))
        return counter.counts()

    assert counted("b", "a", "Order placed", "b") == (
        EventCount("b", 2),
        EventCount("Order placed", 1),
        EventCount("a", 1),
    )
    assert counted("ada@b.co", "https://b.co/ada", "call 0612345678", "x" * 101) == (EventCount(None, 4),)
    assert counted(*(f"name {n}" for n in range(201))) == (EventCount(None, 201),)
    twenty_one = counted(*(f"name {n:02}" for n in range(21)))
    assert len(twenty_one) == 21 and twenty_one[-1] == EventCount(None, 1)
