"""Several workers do one run, each with a share of its lanes, over one state database: nothing lost, nothing twice."""

from __future__ import annotations

import json
import random
import shutil
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy
from pydantic import SecretStr

from cio_etl import state
from cio_etl.run import Share, share
from cio_etl.sandbox import Faults, Sandbox
from tests import databases
from tests import workers as campaign
from tests.fork_server import Process
from tests.killing import drawn
from tests.running import environment, start, until, write_job

ADDRESS = "ETL_STATE_URL"


def shop(url: str, rows: int = 2_000, **settings: Any) -> None:
    """A job over customers and their orders, whose state is in the database of $ETL_STATE_URL."""
    lines = [f"u{row % 200},u{row % 200}@example.com,{row}" for row in range(rows)]
    Path("people.csv").write_text("\n".join(["id,email,row", *lines]), encoding="utf-8")
    Path("events.csv").write_text("\n".join(["id,email,row", *lines]), encoding="utf-8")
    people = {"operation": "identify", "identifiers": {"id": "id"}, "attributes": {"email": "email", "row": "row"}}
    track = {"operation": "track", "event": {"value": "seen"}, "identifiers": {"id": "id"}, "event_key": ["row"]}
    Path("people.yaml").write_text(json.dumps(people), encoding="utf-8")
    Path("events.yaml").write_text(json.dumps(track | {"attributes": {"row": "row"}}), encoding="utf-8")
    steps = {"people": ({"csv": "people.csv"}, "people.yaml"), "events": ({"csv": "events.csv"}, "events.yaml")}
    kept = {"database": f"${{{ADDRESS}}}", "folder": "etl", "lease": "2s"}
    destination = {"max_batch_bytes": 32_100, "requests_per_second": "unlimited"} | settings.pop("destination", {})
    write_job(Path("job.yaml"), url, settings.pop("steps", steps), state=kept, destination=destination, **settings)


def started(postgres: databases.Database, *arguments: str) -> Process:
    return start("run", "job.yaml", *arguments, folder=Path(), env=environment() | {ADDRESS: postgres.address})


def ended(processes: Sequence[Process]) -> list[tuple[int, str, str]]:
    """Exit codes, and what was printed on stdout and stderr."""
    said = [process.communicate(timeout=60) for process in processes]
    return [(process.returncode, *both) for process, both in zip(processes, said, strict=True)]


def asked(postgres: databases.Database, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(postgres.address, options="-c search_path=cio_etl") as db:
        return db.execute(query).fetchall()


def report_of(printed: str) -> dict[str, Any]:
    return json.loads(printed)  # type: ignore[no-any-return]


def books(sandbox: Sandbox) -> Counter[str]:
    """Events by who had them, and how many people there are."""
    return Counter({"people": sandbox.stats()["people"], "events": sandbox.stats()["events"]})


@pytest.mark.timeout(180)
@pytest.mark.fault("P4")
def test_workers_that_are_killed_stopped_and_doubled_lose_double_and_misplace_nothing(
    postgres: databases.Database, tmp_path: Path
) -> None:
    dice = random.Random(6)
    done = campaign.night(drawn(dice, 5_000), tmp_path, postgres.address, troubles=6, dice=dice)
    assert done.problems == []
    assert sum(done.happened[kind] for kind in ("kill", "stop", "end", "orphan")) == 6


def test_workers_divide_a_run_and_print_the_same_report(sandbox: Sandbox, postgres: databases.Database) -> None:
    shop(sandbox.url)
    shares = ("0-3/16", "4-7/16", "8-11/16", "12-15/16")
    said = ended([started(postgres, f"--lanes={each}", "--run-id=night", "--json") for each in shares])
    assert [code for code, _, _ in said] == [0] * 4, said
    reports = [report_of(printed) for _, printed, _ in said]
    assert all(report == reports[0] for report in reports)
    assert [(step["name"], step["rows_read"], step["accepted"]) for step in reports[0]["steps"]] == [
        ("people", 2_000, 2_000),
        ("events", 2_000, 2_000),
    ]
    assert books(sandbox) == {"people": 200, "events": 2_000}
    assert len({owner for (owner,) in asked(postgres, "SELECT owner FROM lane")}) > 1
    requests = sandbox.stats()["requests"]
    ((code, printed, _),) = ended([started(postgres, "--lanes=0-3/16", "--run-id=night", "--json")])
    assert (code, report_of(printed)) == (0, reports[0])  # the run of this name is over: nothing is sent
    assert sandbox.stats()["requests"] - requests <= 1  # but for the question whose the keys are


def test_lanes_without_a_worker_are_sent_by_the_others(sandbox: Sandbox, postgres: databases.Database) -> None:
    shop(sandbox.url)
    ((code, printed, _),) = ended([started(postgres, "--lanes=0-1/8", "--run-id=night", "--json")])
    assert code == 0 and books(sandbox) == {"people": 200, "events": 2_000}
    assert report_of(printed)["steps"][0]["seconds"] > 1.5  # it gave the others time to come


def test_too_many_rejects_end_the_run_for_all_workers(postgres: databases.Database) -> None:
    with Sandbox(Faults(refused=0.5, latency_s=0.05)) as sandbox:
        shop(sandbox.url, rows=10_000, max_rejects=300)
        said = ended([started(postgres, f"--lanes={each}", "--run-id=night") for each in ("0-7/16", "8-15/16")])
    assert [code for code, _, _ in said] == [4, 4], said
    assert sum("another worker has ended the run: rejected" in stderr for _, _, stderr in said) <= 1
    assert asked(postgres, "SELECT status, exit_code FROM run") == [("stopped", 4)]


@pytest.mark.fault("P1")
def test_a_run_killed_on_one_machine_is_resumed_on_another(postgres: databases.Database) -> None:
    with Sandbox(Faults(latency_s=0.1)) as sandbox:
        shop(sandbox.url, rows=10_000)
        process = started(postgres)
        until(lambda: sandbox.stats()["requests"] > 20)
        process.send_signal(signal.SIGKILL)
        ended([process])
        shutil.rmtree("etl", ignore_errors=True)  # of the machine that died
        ((code, printed, stderr),) = ended([started(postgres, "--json")])
        assert code == 0, stderr
        assert "run_resumed" in stderr
        assert [step["accepted"] for step in report_of(printed)["steps"]] == [10_000, 10_000]
        assert books(sandbox) == {"people": 200, "events": 10_000}


@pytest.mark.fault("P5")
def test_two_runs_of_a_job_on_two_machines_do_not_overlap(postgres: databases.Database) -> None:
    with Sandbox(Faults(latency_s=0.8)) as sandbox:
        shop(sandbox.url, rows=20_000)
        first = started(postgres)
        until(lambda: sandbox.stats()["requests"] > 4)
        ((code, _, stderr),) = ended([started(postgres)])
        assert code == 75 and f"another run holds the job job: process {first.pid} on " in stderr
        ((code, _, stderr),) = ended([started(postgres, "--lanes=0-3/16", "--run-id=x")])
        assert code == 75
        first.send_signal(signal.SIGTERM)
        assert ended([first])[0][0] == 143
        sandbox.set_faults(Faults())
        ((code, _, _),) = ended([started(postgres)])
        assert code == 0


def test_workers_resume_an_unfinished_run_before_the_named_one_starts(postgres: databases.Database) -> None:
    with Sandbox(Faults(latency_s=0.1)) as sandbox:
        shop(sandbox.url, rows=10_000)
        first = started(postgres)
        until(lambda: sandbox.stats()["requests"] > 10)
        first.send_signal(signal.SIGTERM)
        assert ended([first])[0][0] == 143
        before = {"people": 200, "events": 10_000}
        said = ended([started(postgres, f"--lanes={each}", "--run-id=two") for each in ("0-7/16", "8-15/16")])
        assert [code for code, _, _ in said] == [0, 0], said
        assert asked(postgres, "SELECT status FROM run") == [("finished",)] * 2
        assert books(sandbox) == before  # the second run's events are the same ones


def test_workers_that_see_other_rows_do_not_join(postgres: databases.Database) -> None:
    with Sandbox(Faults(latency_s=0.3)) as sandbox:
        shop(sandbox.url, rows=20_000)
        first = started(postgres, "--lanes=0-7/16", "--run-id=night")
        until(lambda: sandbox.stats()["requests"] > 4)
        Path("there").mkdir()
        for path in (*Path().glob("*.yaml"), *Path().glob("*.csv")):
            shutil.copy(path, "there")
        rows = Path("people.csv").read_text().replace("u1@", "u2@")
        Path("there/people.csv").write_text(rows, encoding="utf-8")
        surroundings = environment() | {ADDRESS: postgres.address}
        worker = ("run", "job.yaml", "--lanes=8-15/16", "--run-id=night")
        ((code, _, stderr),) = ended([start(*worker, folder=Path("there"), env=surroundings)])
        assert code == 78 and "the content of people.csv changed" in stderr
        ((code, _, stderr),) = ended([started(postgres, "--lanes=8-31/32", "--run-id=night")])
        assert code == 78 and "it has 16 lanes, and now would have 32" in stderr
        ((code, _, stderr),) = ended([first])
        assert code == 0, stderr


def test_workers_send_the_copy_that_the_first_of_them_made(sandbox: Sandbox, postgres: databases.Database) -> None:
    engine = sqlalchemy.create_engine("sqlite:///shop.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE people (id TEXT, email TEXT, row INTEGER)")
        rows = [{"i": f"u{row}", "e": f"u{row}@example.com", "r": row} for row in range(3_000)]
        connection.execute(sqlalchemy.text("INSERT INTO people VALUES (:i, :e, :r)"), rows)
    engine.dispose()
    shop(sandbox.url)
    shop(sandbox.url, steps={"people": ({"sql": "sqlite:///shop.db", "table": "people"}, "people.yaml")})
    said = ended([started(postgres, f"--lanes={each}", "--run-id=night") for each in ("0-7/16", "8-15/16")])
    assert [code for code, _, _ in said] == [0, 0], said
    assert sum("step_staged" in stderr for _, _, stderr in said) == 1
    assert sandbox.stats()["people"] == 3_000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--lanes=0-3/16"], "give all of them the same --run-id"),
        (["--lanes=0-16/16", "--run-id=a"], "lanes of 16 are 0 to 15"),
        (["--lanes=0-3/16", "--run-id=../a"], "up to 100 letters, digits, - and _"),
        (["--lanes=0-3/16", "--run-id=a", "--sandbox"], "--sandbox is for one process"),
    ],
)
def test_options_that_a_worker_lacks_are_reported(
    sandbox: Sandbox, postgres: databases.Database, arguments: list[str], said: str
) -> None:
    shop(sandbox.url)
    ((code, _, stderr),) = ended([started(postgres, *arguments)])
    assert code == 2 and said in " ".join(stderr.split())


def test_a_share_needs_a_database_that_is_shared(sandbox: Sandbox) -> None:
    shop(sandbox.url)
    job = json.loads(Path("job.yaml").read_text())
    Path("job.yaml").write_text(json.dumps(job | {"state": "etl"}))
    process = start("run", "job.yaml", "--lanes=0-3/16", "--run-id=a", folder=Path())
    assert ended([process])[0][0] == 2


@pytest.mark.parametrize(
    ("text", "meant", "written"),
    [
        ("32", 32, "32"),
        ("0-7/16", Share(frozenset(range(8)), 16), "0-7/16"),
        ("0,4,8-10/16", Share(frozenset({0, 4, 8, 9, 10}), 16), "0,4,8-10/16"),
        ("3,1,2/4", Share(frozenset({1, 2, 3}), 4), "1-3/4"),
    ],
)
def test_lanes_take_a_number_or_a_share(text: str, meant: int | Share, written: str) -> None:
    assert share(text) == meant and str(share(text)) == written


@pytest.mark.parametrize("text", ["0", "257", "x", "0-16/16", "7-3/16", "/16", "1-/16", "-1/16", "1,,2/16", "0-7/16/2"])
def test_an_invalid_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"lanes|write"):
        share(text)


def test_status_rejects_and_replay_find_a_state_in_a_database(postgres: databases.Database) -> None:
    surroundings = environment() | {ADDRESS: postgres.address}

    def cio_etl(*arguments: str) -> tuple[int, str, str]:
        return ended([start(*arguments, folder=Path(), env=surroundings)])[0]

    with Sandbox() as sandbox:
        shop(sandbox.url)
        rows = Path("people.csv").read_text().replace("u7@example.com", "no address")
        Path("people.csv").write_text(rows, encoding="utf-8")
        code, _, stderr = cio_etl("run", "job.yaml", "--run-id=night")
        assert code == 3, stderr
        code, printed, _ = cio_etl("status", "job.yaml")
        assert code == 0 and "10 of its rejects are open" in printed
        assert "job-night" in cio_etl("status", "--state=job.yaml")[1]
        assert cio_etl("rejects", "job-night", "-o", "bad.csv", "--state=job.yaml")[:2] == (
            0,
            "10 rejected rows in bad.csv\n",
        )
        Path("bad.csv").write_text(Path("bad.csv").read_text().replace("no address", "u7@example.com"))
        code, _, stderr = cio_etl("replay", "bad.csv", "--state=job.yaml")
        assert code == 0, stderr
        assert "open" not in cio_etl("status", "job.yaml")[1]
        code, printed, stderr = cio_etl("doctor", "job.yaml")
        assert code == 0 and "the database contains the state" in printed, stderr
    with closing(state.open_store(SecretStr(postgres.address))) as store:
        assert [run.job for run in store.runs()] == ["job.replay", "job"]
