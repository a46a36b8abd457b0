"""A replay that was killed or stopped is resumed, and no row is lost or sent twice unnoticed."""

from __future__ import annotations

import json
import random
import signal
import subprocess
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from cio_etl.cli import main
from cio_etl.sandbox import Faults, Sandbox
from tests.rejects.reject_jobs import PEOPLE, Captured, counts, fixed, people, read, rows, run, still_open, write_people
from tests.running import start, until

pytestmark = pytest.mark.usefixtures("keys")


def run_with_many_rejects(sandbox: Sandbox, capsys: Captured, count: int = 1_200) -> str:
    """A run that rejected all rows, which are fixed in fixed.csv. Each batch has about forty rows."""
    people(sandbox, destination={"lanes": 4, "max_batch_bytes": 32_100, "requests_per_second": "unlimited"})
    mapping = PEOPLE | {"attributes": {"row": {"column": "n", "apply": [{"cast": "integer"}]}, "note": "born"}}
    Path("people.yaml").write_text(json.dumps(mapping | {"attributes": mapping["attributes"] | {"email": "e_mail"}}))  # type: ignore[operator]
    text = Path("job.yaml").read_text()
    Path("job.yaml").write_text(text.replace('"max_rejects": 100', '"max_rejects": "100%"'))
    write_people(*(f"{n % 50},bad,{'x' * 700},{n}" for n in range(count)))
    run_id = run()
    fixed(run_id, e_mail=pl.col("id") + "@b.co")
    capsys.readouterr()
    return run_id


def replay_is_killed(after_s: float) -> bool:
    """Whether a replay of fixed.csv was killed so long after its start, or else had ended."""
    process = start("replay", "fixed.csv", folder=Path.cwd(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert process.wait(after_s) == 0
        return False
    except subprocess.TimeoutExpired:
        process.signal_group(signal.SIGKILL)
        process.wait()
        return True


def check_closed_as_accepted(run_id: str) -> None:
    """Exactly the rejects of accepted rows are closed, whenever the process was killed."""
    closed = rows("SELECT count(*) FROM reject WHERE run_id = ? AND closed_by IS NOT NULL", run_id)
    accepted = rows("SELECT coalesce(sum(accepted), 0) FROM lane JOIN run USING (run_id) WHERE job = 'job.replay'")
    assert closed == accepted


def test_a_replay_that_is_killed_repeatedly_loses_no_row_and_closes_each_once(
    sandbox: Sandbox, capsys: Captured
) -> None:
    run_id = run_with_many_rejects(sandbox, capsys)
    sandbox.set_faults(Faults(seed=5, latency_s=0.15, rates={"503": 0.1, "lost_after": 0.03}))
    dice, kills = random.Random(7), 0
    while replay_is_killed(0.1 + dice.random() * 0.9) and kills < 8:
        kills += 1
        check_closed_as_accepted(run_id)
    check_closed_as_accepted(run_id)
    if kills == 8:
        sandbox.set_faults(Faults())
        assert main(["replay", "fixed.csv"]) == 0
    assert kills > 1 and still_open(run_id) == {}
    assert rows("SELECT count(*), sum(status = 'finished') FROM run WHERE job = 'job.replay'") == [(1, 1)]
    ((accepted, twice),) = rows(
        "SELECT sum(accepted), sum(possibly_sent_twice) FROM lane JOIN run USING (run_id) WHERE job = 'job.replay'"
    )
    came = Counter(row for person in sandbox.people.everybody() for row in person.trace)
    assert accepted == 1_200 and sorted(came) == list(range(1_200))
    assert sum(count > 1 for count in came.values()) <= twice  # a row may be in flight at several kills
    for person in sandbox.people.everybody():
        assert person.attributes["row"] == max(person.trace)


def test_after_a_kill_another_file_starts_a_new_replay_of_the_open_rejects(sandbox: Sandbox, capsys: Captured) -> None:
    run_id = run_with_many_rejects(sandbox, capsys, 600)
    sandbox.set_faults(Faults(latency_s=0.1))
    process = start("replay", "fixed.csv", folder=Path.cwd(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: len(still_open(run_id)) < 600)
    process.signal_group(signal.SIGKILL)
    process.wait()
    remaining = len(still_open(run_id))
    assert 0 < remaining < 600
    sandbox.set_faults(Faults())
    read("fixed.csv").reverse().write_csv("other.csv")
    assert counts(capsys, "other.csv") == (0, remaining, 0, 600 - remaining)
    assert still_open(run_id) == {}
    assert rows("SELECT status FROM run WHERE job = 'job.replay' ORDER BY rowid") == [("abandoned",), ("finished",)]


def test_a_signal_stops_a_replay_after_its_requests_and_the_same_command_resumes_it(
    sandbox: Sandbox, capsys: Captured
) -> None:
    run_id = run_with_many_rejects(sandbox, capsys, 600)
    sandbox.set_faults(Faults(latency_s=0.1))
    process = start("replay", "fixed.csv", folder=Path.cwd())
    until(lambda: len(still_open(run_id)) < 600)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and err.splitlines()[-1].endswith("to go on: cio-etl replay fixed.csv")
    Path("people.csv").unlink()
    Path("fixed.csv").rename("moved.csv")
    Path("moved.csv").rename("fixed.csv")
    sandbox.set_faults(Faults())
    assert counts(capsys, "fixed.csv")[0] == 0
    assert rows("SELECT count(*) FROM run WHERE job = 'job.replay'") == [(1,)] and still_open(run_id) == {}


def test_another_file_does_not_repeat_deletes_that_may_be_done(sandbox: Sandbox, capsys: Captured) -> None:
    run_id = run_with_many_rejects(sandbox, capsys, 200)
    Path("people.yaml").write_text(json.dumps({"operation": "delete", "identifiers": {"id": "id"}}))
    sandbox.set_faults(Faults(latency_s=20.0))
    process = start("replay", "fixed.csv", folder=Path.cwd(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    announced = "SELECT count(*) FROM lane JOIN run USING (run_id) WHERE job = 'job.replay' AND sending_through >= 0"
    until(lambda: rows(announced) != [(0,)])
    process.signal_group(signal.SIGKILL)
    process.wait()
    sandbox.set_faults(Faults())
    read("fixed.csv").reverse().write_csv("other.csv")
    assert main(["replay", "other.csv"]) == 78
    assert "these are other rows or another mapping, and rows of step people were in flight" in capsys.readouterr().err
    assert main(["replay", "fixed.csv"]) == 3  # rows in flight are rejects now, for a person to check
    assert set(still_open(run_id).values()) == {"outcome_unknown"}
