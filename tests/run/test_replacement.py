"""A run that stopped because of too many rejects is replaced by the next one where that is safe."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cio_etl import state
from cio_etl.cli import main
from cio_etl.sandbox import Sandbox
from cio_etl.state import RunRecord
from tests.running import write_job

PERSON = {"operation": "identify", "identifiers": {"email": "mail"}, "attributes": {"plan": "plan"}}
EVENT = {
    "operation": "track",
    "identifiers": {"email": "mail"},
    "event": {"value": "Ordered"},
    "event_key": ["plan"],
    "timestamp": {"column": "at", "apply": [{"timestamp": {"unit": "s"}}]},
}

pytestmark = pytest.mark.usefixtures("keys")


def job(sandbox: Sandbox, source: Any, max_rejects: Any = 0, mapping: dict[str, Any] = PERSON) -> None:
    Path("m.yaml").write_text(json.dumps(mapping))
    to = {"requests_per_second": "unlimited", "lanes": 2}
    write_job(Path("job.yaml"), sandbox.url, {"step": (source, "m.yaml")}, destination=to, max_rejects=max_rejects)


def csv(*rows: str) -> None:
    Path("rows.csv").write_text("\n".join(["mail,plan,at", *rows]) + "\n")


def runs() -> list[RunRecord]:
    """The newest first."""
    with closing(state.open_store(Path(".etl"))) as store:
        return store.runs("job")


def people(sandbox: Sandbox) -> int:
    return int(sandbox.stats()["people"])


def database(statements: str) -> None:
    with closing(sqlite3.connect("shop.db")) as connection:
        connection.executescript(statements)


INCREMENTAL = {"sql": "sqlite:///shop.db", "table": "people", "watermark": "at", "key": "plan"}


def test_two_rejected_rows_of_three_do_not_stop_a_run(sandbox: Sandbox) -> None:
    csv("a@b.co,x,1", "bad,x,2", "worse,x,3")
    job(sandbox, {"csv": "rows.csv"}, "1%")
    assert main(["run", "job.yaml"]) == 3
    assert people(sandbox) == 1


def test_rows_fixed_in_the_database_are_sent_by_the_next_run(
    sandbox: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    database("CREATE TABLE people (mail, plan, at); INSERT INTO people VALUES ('a@b.co', 'p', 1), ('bad', 'q', 2)")
    job(sandbox, INCREMENTAL)
    assert main(["run", "job.yaml"]) == 4
    database("UPDATE people SET mail = 'c@d.co' WHERE at = 2")
    main(["status", "job.yaml"])
    assert "reads the source again in a new run, since this one had too many rejects" in capfd.readouterr().out
    assert main(["run", "job.yaml"]) == 0
    now, stopped = runs()
    err = capfd.readouterr().err
    assert f"the run {stopped.run_id} had too many rejects; this run reads the source again" in err
    assert (now.status, stopped.status, people(sandbox)) == ("finished", "abandoned", 2)
    database("INSERT INTO people VALUES ('e@f.co', 'r', 3)")
    assert main(["run", "job.yaml", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["steps"][0]["rows_read"] == 1  # the watermark has moved


def test_a_run_whose_rows_are_still_rejected_stops_again_and_loses_nothing(sandbox: Sandbox) -> None:
    database("CREATE TABLE people (mail, plan, at); INSERT INTO people VALUES ('a@b.co', 'p', 1), ('bad', 'q', 2)")
    job(sandbox, INCREMENTAL)
    for night in range(3):
        database(f"INSERT INTO people VALUES ('p{night}@b.co', 'n{night}', {10 + night})")
        assert main(["run", "job.yaml"]) == 4
    database("ALTER TABLE people RENAME TO elsewhere")
    assert main(["run", "job.yaml"]) == 65
    database("ALTER TABLE elsewhere RENAME TO people; DELETE FROM people WHERE mail = 'bad'")
    assert main(["run", "job.yaml"]) == 0
    assert people(sandbox) == 4


def test_an_unchanged_file_is_not_sent_again(sandbox: Sandbox) -> None:
    csv("a@b.co,x,1", "bad,x,2")
    job(sandbox, {"csv": "rows.csv"})
    assert main(["run", "job.yaml"]) == 4
    requests = sandbox.stats()["requests"]
    assert main(["run", "job.yaml"]) == 4
    assert len(runs()) == 1 and sandbox.stats()["requests"] == requests


@pytest.mark.parametrize("change", ["file", "mapping"])
def test_a_changed_file_or_mapping_starts_a_new_run(change: str, sandbox: Sandbox) -> None:
    csv("a@b.co,x,1", "bad,x,2")
    job(sandbox, {"csv": "rows.csv"})
    assert main(["run", "job.yaml"]) == 4
    if change == "file":
        csv("a@b.co,x,1", "good@b.co,x,2")
    else:
        job(sandbox, {"csv": "rows.csv"}, mapping=PERSON | {"when": "mail like '%@%'"})
    assert main(["run", "job.yaml"]) == 0
    assert [run.status for run in runs()] == ["finished", "abandoned"]


def test_a_raised_limit_resumes_the_run(sandbox: Sandbox) -> None:
    csv("a@b.co,x,1", "bad,x,2")
    job(sandbox, {"csv": "rows.csv"})
    assert main(["run", "job.yaml"]) == 4
    job(sandbox, {"csv": "rows.csv"}, max_rejects=1)
    assert main(["run", "job.yaml"]) == 3
    assert [run.status for run in runs()] == ["finished"]


def test_events_with_a_key_are_recorded_once(sandbox: Sandbox) -> None:
    csv("a@b.co,k1,1700000000", "bad,k2,1700000000")
    job(sandbox, {"csv": "rows.csv"}, mapping=EVENT)
    assert main(["run", "job.yaml"]) == 4
    csv("a@b.co,k1,1700000000", "b@b.co,k2,1700000000")
    assert main(["run", "job.yaml"]) == 0
    assert sandbox.stats()["events"] == 2


def test_events_without_a_key_are_not_sent_twice(sandbox: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    csv("a@b.co,k1,1700000000", "bad,k2,1700000000")
    job(sandbox, {"csv": "rows.csv"}, mapping={name: part for name, part in EVENT.items() if name != "event_key"})
    assert main(["run", "job.yaml"]) == 4
    told = capfd.readouterr().err
    assert "raise max_rejects, so that the run ends, then fix and replay its rejects" in told
    assert "--restart is needed, but its events have no event_key" in told
    main(["status", "job.yaml"])
    told = capfd.readouterr().out
    assert "would exit 4 again, since this run has too many rejects; raise max_rejects, run it" in told
    assert "add --restart, but its events have no event_key, so those that were accepted would be sent twice" in told
    csv("a@b.co,k1,1700000000", "b@b.co,k2,1700000000")
    assert main(["run", "job.yaml"]) == 78
    told = capfd.readouterr().err
    assert "undo the change, raise max_rejects, run the same command again, then fix and replay the rejects" in told
    assert "--restart, but its events have no event_key, so those that were accepted would be sent twice" in told
    assert len(runs()) == 1 and sandbox.stats()["events"] == 1


def test_a_raised_limit_and_a_replay_end_a_run_of_events_without_a_key(sandbox: Sandbox) -> None:
    """What the messages advise: no event is sent twice, and the next night starts a new run."""
    csv("a@b.co,k1,1700000000", "bad,k2,1700000000")
    keyless = {name: part for name, part in EVENT.items() if name != "event_key"}
    job(sandbox, {"csv": "rows.csv"}, mapping=keyless)
    assert main(["run", "job.yaml"]) == 4
    job(sandbox, {"csv": "rows.csv"}, max_rejects=1, mapping=keyless)
    assert main(["run", "job.yaml"]) == 3
    assert [run.status for run in runs()] == ["finished"]
    csv("c@b.co,k1,1700000009")
    assert main(["run", "job.yaml"]) == 0
    assert sandbox.stats()["events"] == 2
