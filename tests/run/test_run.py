"""Whole runs, over HTTP, against the sandbox: from the files of a job to the data at Customer.io."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio_etl import state
from cio_etl.cli import main
from cio_etl.config import load_job
from cio_etl.errors import (
    ChangedSinceStart,
    CredentialsRefused,
    DestinationUnavailable,
    Interrupted,
    JobLocked,
    SourceError,
    StateError,
    TooManyRejects,
    WrongDestination,
)
from cio_etl.model import Job, Report
from cio_etl.report import Commands, Observer
from cio_etl.run import Caller, RunOptions, Signals, run_job
from cio_etl.sandbox import Answer, Credentials, Faults, Sandbox
from tests.killing_rows import overtaken
from tests.running import API_KEY, SITE_ID, environment, start, start_anew, until, write_job

NOTE_BYTES = 700  # a batch of the smallest size holds some 35 people
SMALL = 32_100  # bytes: the smallest max_batch_bytes
COMMAND = "cio-etl run job.yaml"

MAPPINGS: dict[str, dict[str, Any]] = {
    "people.yaml": {
        "operation": "identify",
        "identifiers": {"id": "id"},
        "attributes": {
            "row": {"column": "row", "apply": [{"cast": "integer"}]},
            "email": {"column": "e_mail", "apply": ["trim", "lower"]},
            "created_at": {"column": "signed_up", "apply": [{"timestamp": {"timezone": "UTC"}}]},
            "note": "note",
        },
    },
    "orders.yaml": {
        "operation": "track",
        "event": {"value": "order_placed"},
        "identifiers": {"id": "customer"},
        "timestamp": {"column": "placed_at", "apply": [{"timestamp": {"unit": "ms"}}]},
        "event_key": ["order_id"],
        "attributes": {"order_id": "order_id", "total": {"column": "cents", "apply": [{"divide": 100}]}},
    },
}
PEOPLE = {"people": ({"csv": "people.csv"}, "people.yaml")}
STEPS = {**PEOPLE, "orders": ({"parquet": "orders.parquet"}, "orders.yaml")}


@dataclass(frozen=True, slots=True)
class Shop:
    """The rows of people.csv and orders.parquet."""

    people: list[dict[str, Any]]
    orders: list[dict[str, Any]]

    def rows_of(self, person: str) -> list[int]:
        return [row["row"] for row in self.people if row["id"] == person]


def shop(people: int = 60, rows: int = 240, orders: int = 150, prefix: str = "") -> Shop:
    """Writes a shop's files and mappings: `rows` rows of `people` people, and `orders` orders of them."""
    customers = [
        {
            "id": f"{prefix}{row % people:04}",
            "row": row,
            "e_mail": f" Person{row % people}{prefix}@Example.com",
            "signed_up": f"2024-03-{row % 28 + 1:02} 09:{row % 60:02}:00",
            "note": f"{prefix}{row} ".ljust(NOTE_BYTES, "x"),
        }
        for row in range(rows)
    ]
    placed = [
        {
            "order_id": f"{prefix}o{number}",
            "customer": f"{prefix}{number % people:04}",
            "placed_at": 1_710_057_600_123 + number,
            "cents": number,
        }
        for number in range(orders)
    ]
    pl.DataFrame(customers).write_csv("people.csv")
    pl.DataFrame(placed).write_parquet("orders.parquet")
    for name, mapping in MAPPINGS.items():
        Path(name).write_text(json.dumps(mapping))
    return Shop(customers, placed)


def job_for(sandbox: Sandbox, steps: Mapping[str, tuple[Any, Any]] = STEPS, **settings: Any) -> Job:
    """A job of these steps into the sandbox: small batches, as fast as it can."""
    settings["destination"] = {
        "requests_per_second": "unlimited",
        "lanes": 4,
        "max_batch_bytes": SMALL,
        **settings.get("destination", {}),
    }
    return load_job(write_job(Path("job.yaml"), sandbox.url, steps, **settings))


def destined(job: Job, **settings: Any) -> Job:
    """The job with settings of its destination that have no key in YAML, or a value that YAML refuses."""
    return replace(job, destination=replace(job.destination, **settings))


def run(job: Job, progress: Observer | None = None, **options: Any) -> Report:
    with Signals() as signals:
        caller = Caller(signals, progress or Observer(), Commands(COMMAND))
        return run_job(job, RunOptions(**options), caller)


def told(job: Job, run_id: str, file: str = "report.json") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((job.state / "runs" / run_id / file).read_text())
    return content


def newest(job: Job) -> dict[str, Any]:
    """The report.json of the newest run."""
    with closing(sqlite3.connect(job.state / "state.db")) as db:
        (run_id,) = db.execute("SELECT run_id FROM run ORDER BY rowid DESC").fetchone()
    return told(job, run_id)


def arrived(sandbox: Sandbox, shop: Shop) -> Counter[int]:
    """How often each row of the people arrived: in their order, and what they left is the state of the last one."""
    for person in {row["id"] for row in shop.people}:
        found, rows = sandbox.people.find("id", person), shop.rows_of(person)
        assert found is not None and set(found.trace) == set(rows)
        assert not overtaken(found.trace, rows)
        assert found.attributes["row"] == rows[-1]
    return Counter(row for person in sandbox.people.everybody() for row in person.trace)


def unfinished(sandbox: Sandbox, job: Job, requests: int = 4) -> str:
    """The id of a run that stopped after some requests, because its key was taken back for a while."""
    sandbox.set_faults(Faults(key_revoked_after=requests))
    with pytest.raises(CredentialsRefused):
        run(job)
    sandbox.set_faults(Faults())
    return str(newest(job)["run_id"])


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


pytestmark = pytest.mark.usefixtures("keys")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(trace="row") as running:
        yield running


# ---------------------------------------------------------------- a run


def test_every_row_arrives_with_its_values_and_people_before_their_events(sandbox: Sandbox) -> None:
    rows = shop()
    report = run(job_for(sandbox))
    assert (report.status, report.exit_code) == ("finished", 0)
    assert [(step.name, step.rows_read, step.counts.accepted) for step in report.steps] == [
        ("people", 240, 240),
        ("orders", 150, 150),
    ]
    assert set(arrived(sandbox, rows).values()) == {1}
    assert len(sandbox.people) == 60
    for row in rows.people[-60:]:
        person = sandbox.people.find("id", row["id"])
        assert person is not None and person.email == row["e_mail"].strip().lower()
        assert person.attributes == {"row": row["row"], "created_at": seconds(row["signed_up"]), "note": row["note"]}
    events = {event.attributes["order_id"]: event for event in sandbox.people.events.values()}
    assert len(events) == len(sandbox.people.events) == 150
    for order in rows.orders:
        event, person = events[order["order_id"]], sandbox.people.find("id", order["customer"])
        assert (event.name, event.timestamp, event.received) == ("order_placed", order["placed_at"] // 1000, 1)
        assert event.attributes["total"] == order["cents"] / 100
        assert person is not None and event.cio_id == person.cio_id
    assert sandbox.people.counts["people_made_by_events"] == 0


def test_the_report_is_written_whole_for_the_owner_only_and_is_what_was_returned(sandbox: Sandbox) -> None:
    shop()
    job = job_for(sandbox)
    report = run(job)
    written = told(job, report.run_id)
    assert written["steps"][0] | {"rows_read": 240, "accepted": 240, "rejected": 0, "skipped": 0} == written["steps"][0]
    assert written["steps"][0]["requests"] == written["steps"][0]["batches"] >= 8
    assert sum(step["bytes_sent"] for step in written["steps"]) == sum(sandbox.body_sizes)
    assert [step["possibly_sent_twice"] for step in written["steps"]] == [0, 0]
    status = told(job, report.run_id, "status.json")
    assert status.pop("settled") == report.counts.settled
    assert status.items() <= written.items()
    assert (status["status"], status["exit_code"], status["resumable"], status["resume_command"]) == (
        *("finished", 0, False),
        None,
    )
    assert {stat.S_IMODE(path.stat().st_mode) for path in job.state.rglob("*") if path.is_file()} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (job.state, job.state / "runs" / report.run_id)} == {0o700}


def test_rows_that_break_a_rule_are_rejected_with_their_place_and_the_others_arrive(sandbox: Sandbox) -> None:
    shop(rows=60)
    table = pl.read_csv("people.csv", infer_schema=False).with_row_index()
    table.with_columns(e_mail=pl.when(pl.col("index") % 20 == 7).then(pl.lit("a@@b")).otherwise("e_mail")).drop(
        "index"
    ).write_csv("people.csv")
    job = job_for(sandbox, PEOPLE, max_rejects="5%")
    report = run(job)
    assert report.exit_code == 3
    (step,) = report.steps
    assert (step.counts.accepted, step.counts.rejected) == (57, 3)
    (count,) = step.rejects
    assert (count.reason, count.field, count.rows) == ("email_malformed", "attributes.email", 3)
    assert count.first_rows == ("people.csv:9", "people.csv:29", "people.csv:49")  # line 1 is the header


def test_a_finished_job_runs_again_and_its_events_count_once(sandbox: Sandbox) -> None:
    shop()
    job = job_for(sandbox)
    first, second = run(job), run(job)
    assert first.run_id != second.run_id and second.exit_code == 0
    assert len(sandbox.people.events) == 150
    assert {event.received for event in sandbox.people.events.values()} == {2}


@pytest.mark.fault("S15")
def test_an_empty_file_is_an_error_and_a_header_without_rows_is_not(sandbox: Sandbox) -> None:
    shop()
    Path("people.csv").write_text("")
    with pytest.raises(SourceError, match=r"people\.csv: .*empty") as refused:
        run(job_for(sandbox, PEOPLE))
    assert refused.value.exit_code == 65
    Path("people.csv").write_text("id,row,e_mail,signed_up,note\n")
    report = run(job_for(sandbox, PEOPLE), restart=True)
    assert (report.exit_code, report.steps[0].rows_read) == (0, 0)
    assert sandbox.stats()["requests"] == 0


@pytest.mark.fault("N4")
def test_rows_of_a_person_keep_their_order_in_16_lanes_under_20_percent_503(sandbox: Sandbox) -> None:
    sandbox.set_faults(Faults(rates={"503": 0.2}))
    rows = shop(people=40, rows=1_200)
    report = run(job_for(sandbox, PEOPLE, destination={"lanes": 16}))
    assert report.exit_code == 0 and report.steps[0].counts.retries > 0
    assert set(arrived(sandbox, rows).values()) == {1}


def test_requests_per_second_never_exceed_the_limit(sandbox: Sandbox) -> None:
    shop(rows=1_100, people=500)
    report = run(job_for(sandbox, PEOPLE, destination={"requests_per_second": 20}))
    assert report.steps[0].counts.requests > 25
    assert sandbox.stats()["max_requests_in_a_second"] <= 20 + 1  # one that the machine was late to hand over


@pytest.mark.fault("P7")
def test_memory_does_not_grow_with_the_rows(sandbox: Sandbox) -> None:
    """Five times the rows, in the process that has sent the rows once, take less than half of what they have more."""
    shop()
    few, many, row_bytes = 20_000, 100_000, 900
    for name, rows in (("few", few), ("many", many)):
        row = pl.int_range(rows, eager=True)
        pl.DataFrame(
            {"id": (row % 2_000).cast(pl.String), "row": row, "signed_up": "2024-03-10", "note": "x" * row_bytes}
        ).with_columns(e_mail=pl.lit("p") + pl.col("id") + "@b.co").write_csv(f"{name}.csv")
        write_job(
            Path(f"{name}.yaml"),
            sandbox.url,
            {"people": ({"csv": f"{name}.csv"}, "people.yaml")},
            destination={"requests_per_second": "unlimited", "lanes": 4, "max_batch_bytes": 100_000},
        )
    program = """if True:
        import re
        from cio_etl.cli import main
        from cio_etl.extract import open_source
        open_source.__kwdefaults__["chunk_rows"] = 1_000  # so that all that may wait has been filled by the few rows
        for name in ("few", "many"):
            assert main(["run", f"{name}.yaml"]) == 0
            print("peak", re.search(r"VmHWM:\\s+([0-9]+) kB", open("/proc/self/status").read())[1])
    """
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True, timeout=120
    )
    assert sandbox.people.counts["identifies"] == few + many
    before, after = (int(peak) * 1_024 for peak in re.findall("^peak ([0-9]+)$", done.stdout, re.MULTILINE))
    assert after - before < (many - few) * row_bytes / 2, "bytes of resident memory"


# ---------------------------------------------------------------- stopped, and gone on with


@pytest.mark.fault("P9")
@pytest.mark.parametrize(("sent", "exit_code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_drains_the_run_and_the_next_one_sends_no_row_twice(
    sandbox: Sandbox, tmp_path: Path, sent: signal.Signals, exit_code: int
) -> None:
    rows = shop(rows=1_000)
    sandbox.set_faults(Faults(latency_s=0.05))
    job = job_for(sandbox, destination={"requests_per_second": 30})
    process = start("run", "job.yaml", folder=tmp_path)
    until(lambda: sandbox.stats()["requests"] >= 8)
    process.send_signal(sent)
    out, said = process.communicate(timeout=20)
    assert (process.returncode, out) == (exit_code, "")
    assert f"{sent.name}: finishing what is under way; once more to stop now\n" in said
    assert said.splitlines()[-2:] == [f"stopped by {sent.name}", f"to go on: {COMMAND}"]
    before = newest(job)
    assert (before["status"], before["resumable"], before["resume_command"]) == ("stopped", True, COMMAND)
    assert 0 < before["steps"][0]["accepted"] == sandbox.people.counts["identifies"] < 1_000
    report = run(destined(job, requests_per_second=None))
    assert (report.run_id, report.exit_code) == (before["run_id"], 0)
    assert set(arrived(sandbox, rows).values()) == {1} and len(sandbox.people.events) == 150


@pytest.mark.fault("P10")
def test_a_second_signal_stops_at_once_and_keeps_what_was_acknowledged(sandbox: Sandbox, tmp_path: Path) -> None:
    rows = shop()
    job = job_for(sandbox, PEOPLE)
    sandbox.set_faults(Faults(script=("ok", "ok"), rates={"hang_before": 1.0}))
    process = start("run", "job.yaml", folder=tmp_path)
    assert process.stderr is not None
    until(lambda: sandbox.stats()["requests"] >= 5)
    process.send_signal(signal.SIGINT)
    for line in process.stderr:
        if line.startswith("SIGINT"):
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=5)
    assert process.returncode == 130
    accepted = newest(job)["steps"][0]["accepted"]
    assert accepted == sandbox.people.counts["identifies"] > 0
    sandbox.set_faults(Faults())
    assert run(job).exit_code == 0
    assert set(arrived(sandbox, rows).values()) == {1}


@pytest.mark.fault("P9")
def test_draining_lasts_no_longer_than_the_grace(sandbox: Sandbox, tmp_path: Path) -> None:
    shop()
    job = job_for(sandbox, PEOPLE)
    sandbox.set_faults(Faults(rates={"hang_before": 1.0}))
    process = start("run", "job.yaml", "--grace", "0.2", folder=tmp_path)
    until(lambda: sandbox.stats()["requests"] >= 4)
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 143
    process.communicate()
    report = newest(job)
    assert (report["status"], report["steps"][0]["accepted"]) == ("stopped", 0)


@pytest.mark.fault("P8")
def test_a_second_run_of_a_job_names_the_first_and_changes_nothing(sandbox: Sandbox) -> None:
    shop()
    job = job_for(sandbox)
    with state.hold(job.state, job.name), pytest.raises(JobLocked) as refused:
        run(job)
    assert refused.value.exit_code == 75
    assert f"another run holds the job job: process {os.getpid()} on " in str(refused.value)
    assert not (job.state / "state.db").exists() and sandbox.stats()["requests"] == 0


@pytest.mark.fault("N10")
def test_a_key_that_is_refused_midway_stops_the_run_and_rejects_nothing(sandbox: Sandbox) -> None:
    rows = shop()
    job = job_for(sandbox)
    run_id = unfinished(sandbox, job)
    report = told(job, run_id)
    assert (report["exit_code"], report["resumable"], report["resume_command"]) == (77, True, COMMAND)
    assert report["steps"][0]["rejected"] == 0 < report["steps"][0]["accepted"]
    assert sandbox.stats()["requests"] <= 4 + job.destination.lanes
    report_after = run(job)
    assert (report_after.run_id, report_after.exit_code) == (run_id, 0)
    assert set(arrived(sandbox, rows).values()) == {1}


@pytest.mark.fault("S4")
def test_sizes_and_lanes_may_change_between_two_runs(sandbox: Sandbox) -> None:
    rows = shop(rows=600)
    run_id = unfinished(sandbox, job_for(sandbox), requests=9)
    changed = job_for(sandbox, destination={"lanes": 9, "max_batch_bytes": 50_000})
    report = run(changed)
    assert (report.run_id, report.exit_code) == (run_id, 0)
    assert set(arrived(sandbox, rows).values()) == {1}
    assert max(sandbox.body_sizes) > SMALL


def _append_a_row() -> None:
    with Path("people.csv").open("a") as file:
        file.write("0000,999,a@b.co,2024-03-10,late\n")


def _edit_a_cell() -> None:
    path = Path("people.csv")
    path.write_text(path.read_text().replace("Person7", "PERSON7", 1))


def _change_the_mapping() -> None:
    mapping = MAPPINGS["people.yaml"]
    changed = mapping | {"attributes": mapping["attributes"] | {"plan": {"value": "pro"}}}
    Path("people.yaml").write_text(json.dumps(changed))


@pytest.mark.fault("S1", "S3")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_append_a_row, r"step people: people\.csv had [\d,]+ bytes and now has [\d,]+"),
        (_edit_a_cell, r"step people: the content of people\.csv changed"),
        (lambda: Path("people.csv").unlink(), r"people\.csv: cannot be read"),
        (_change_the_mapping, r"people\.yaml changed: .*attributes\.plan"),
    ],
)
def test_a_run_is_not_resumed_with_a_changed_mapping_or_source(
    sandbox: Sandbox, change: Callable[[], None], said: str
) -> None:
    rows = shop()
    run_id = unfinished(sandbox, job_for(sandbox))
    shutil.copytree(".", "kept", ignore=shutil.ignore_patterns(".etl", "kept"))
    requests = sandbox.stats()["requests"]
    change()
    with pytest.raises((ChangedSinceStart, SourceError), match=said) as refused:
        run(job_for(sandbox))
    if isinstance(refused.value, ChangedSinceStart):
        assert refused.value.exit_code == 78 and f"run {run_id} was interrupted and cannot go on" in str(refused.value)
    assert sandbox.stats()["requests"] == requests
    shutil.copytree("kept", ".", dirs_exist_ok=True)
    report = run(job_for(sandbox))
    assert (report.run_id, report.exit_code) == (run_id, 0)
    assert set(arrived(sandbox, rows).values()) == {1}


def test_a_job_that_is_fixed_before_anything_was_sent_runs(sandbox: Sandbox) -> None:
    rows = shop()
    mapping = MAPPINGS["people.yaml"]
    wrong = mapping | {"attributes": {"note": {"column": "no_such_column"}}}
    Path("people.yaml").write_text(json.dumps(wrong))
    with pytest.raises(SourceError, match="the source has no column 'no_such_column'"):
        run(job_for(sandbox))
    Path("people.yaml").write_text(json.dumps(mapping))
    _edit_a_cell()
    assert run(job_for(sandbox)).exit_code == 0
    assert set(arrived(sandbox, rows).values()) == {1}


@pytest.mark.fault("S3")
def test_a_run_is_not_resumed_with_another_limit_other_steps_or_another_destination(sandbox: Sandbox) -> None:
    shop()
    job = job_for(sandbox)
    run_id = unfinished(sandbox, job)
    with pytest.raises(ChangedSinceStart, match="--limit was not given, and now is 10"):
        run(job, limit=10)
    with pytest.raises(ChangedSinceStart, match="its steps were people, orders, and now are people"):
        run(job_for(sandbox, PEOPLE))
    with Sandbox() as other, pytest.raises(ChangedSinceStart) as refused:
        run(job_for(other))
    assert f"it went to {sandbox.url}, and now would go to {other.url}" in str(refused.value)
    assert "--restart" in refused.value.remedy
    assert run(job).run_id == run_id


@pytest.mark.fault("S1", "S3")
def test_comments_touched_files_and_another_order_of_keys_are_no_change(sandbox: Sandbox) -> None:
    shop()
    run_id = unfinished(sandbox, job_for(sandbox))
    mapping = MAPPINGS["people.yaml"]
    Path("people.yaml").write_text("# a comment\n" + json.dumps(dict(reversed(mapping.items())), indent=3))
    os.utime("people.csv", (1, 1))
    assert run(job_for(sandbox)).run_id == run_id


def test_restart_abandons_the_unfinished_run(sandbox: Sandbox) -> None:
    shop()
    job = job_for(sandbox)
    run_id = unfinished(sandbox, job)
    report = run(job, restart=True)
    assert report.run_id != run_id and report.steps[0].counts.accepted == 240
    with closing(state.open_store(job.state)) as store:
        given_up = store.run(run_id)
    assert given_up is not None and given_up.status == "abandoned"


@pytest.mark.fault("S2")
def test_a_source_that_changes_while_it_is_read_stops_the_run(sandbox: Sandbox) -> None:
    class Meddling(Observer):
        """Changes the file between the moment when it was looked at and the one when it is read."""

        @contextmanager
        def step(self, *told: Any) -> Iterator[None]:
            _append_a_row()
            yield

    shop()
    with pytest.raises(SourceError, match=r"people\.csv: changed while it was being read") as refused:
        run(job_for(sandbox), progress=Meddling())
    assert refused.value.exit_code == 65


# ---------------------------------------------------------------- a Customer.io that does not take what it is sent


def test_too_many_rejects_stop_the_run_until_the_limit_is_raised(sandbox: Sandbox) -> None:
    rows = shop()
    sandbox.set_faults(Faults(refused=0.2, seed=3))
    refused = {row["id"] for row in rows.people if sandbox.faults.refuses({"identifiers": {"id": row["id"]}})}
    with pytest.raises(TooManyRejects, match=r"rejected, more than max_rejects allows \(5 rows\); .*: refused_invalid"):
        run(job_for(sandbox, PEOPLE, max_rejects=5))
    requests = sandbox.stats()["requests"]
    with pytest.raises(TooManyRejects) as again:
        run(job_for(sandbox, PEOPLE, max_rejects=5))
    assert again.value.exit_code == 4 and again.value.resumable
    assert sandbox.stats()["requests"] == requests, "a limit that is passed already lets nothing more be sent"
    report = run(job_for(sandbox, PEOPLE, max_rejects="50%"))
    assert report.exit_code == 3
    assert report.steps[0].counts.rejected == sum(row["id"] in refused for row in rows.people)
    assert {person.id for person in sandbox.people.everybody()} == {row["id"] for row in rows.people} - refused


@pytest.mark.fault("N5")
def test_an_outage_longer_than_the_budget_stops_the_run_and_the_next_one_resumes_it(sandbox: Sandbox) -> None:
    rows = shop()
    job = job_for(sandbox, PEOPLE)
    sandbox.set_faults(Faults(script=("ok", "ok"), rates={"503": 1.0}))
    with pytest.raises(
        DestinationUnavailable, match=r"is out of reach: HTTP 503, and no batch was accepted within 0\.3 s"
    ) as gone:
        run(destined(job, batch_budget_s=0.3))
    assert gone.value.exit_code == 69
    sandbox.set_faults(Faults())
    report = run(job)
    assert report.exit_code == 0
    assert set(arrived(sandbox, rows).values()) == {1}


@pytest.mark.fault("N9")
@pytest.mark.parametrize("status", [413, 400])
def test_every_row_arrives_at_a_server_that_requires_smaller_bodies(sandbox: Sandbox, status: int) -> None:
    rows = shop(people=50, rows=2_400)
    sandbox.set_faults(Faults(max_body_bytes=100_000, too_large_status=status))
    report = run(job_for(sandbox, PEOPLE, destination={"max_batch_bytes": 500_000}))
    assert report.exit_code == 0
    assert set(arrived(sandbox, rows).values()) == {1}
    assert report.steps[0].counts.requests <= report.steps[0].counts.batches * (
        8 + 7
    )  # 500 kB is cut into 8 bodies by 7 refusals


@pytest.mark.fault("N8")
def test_a_strict_400_costs_only_the_bad_rows_in_few_requests(sandbox: Sandbox) -> None:
    rows = shop(people=240)
    sandbox.set_faults(Faults(strict=True, refused=0.03, seed=5))
    bad = [row for row in rows.people if sandbox.faults.refuses({"identifiers": {"id": row["id"]}})]
    report = run(job_for(sandbox, PEOPLE, max_rejects="10%"))
    assert report.steps[0].counts.rejected == len(bad) > 3
    assert {person.id for person in sandbox.people.everybody()} == {row["id"] for row in rows.people if row not in bad}
    halvings = 6  # of a batch of some 40 rows
    assert report.steps[0].counts.requests <= report.steps[0].counts.batches + len(bad) * 2 * halvings


@pytest.mark.fault("N8")
def test_a_run_whose_rows_are_all_refused_stops_after_few_requests(sandbox: Sandbox) -> None:
    shop(people=240)
    sandbox.set_faults(Faults(strict=True, refused=1.0))
    with pytest.raises(TooManyRejects, match="20 one by one with none accepted") as refused:
        run(job_for(sandbox, PEOPLE, max_rejects="100%", destination={"lanes": 1}))
    assert refused.value.exit_code == 4
    assert sandbox.stats()["requests"] < 50


@pytest.mark.fault("N6")
@pytest.mark.parametrize("status", [200, 207, 400])
def test_items_that_are_named_in_the_answer_are_rejected_once_and_the_others_accepted(
    sandbox: Sandbox, status: int
) -> None:
    rows = shop(people=240)
    sandbox.set_faults(Faults(refused=0.05, seed=5, item_error_status=status, strict=False))
    bad = {row["id"] for row in rows.people if sandbox.faults.refuses({"identifiers": {"id": row["id"]}})}
    job = job_for(sandbox, PEOPLE, max_rejects="10%")
    report = run(job)
    (count,) = report.steps[0].rejects
    assert (count.reason, count.field, count.rows) == ("refused_invalid", "identifiers", len(bad))
    with closing(state.open_store(job.state)) as store:
        positions = store.rejects(report.run_id, 0)["position"].to_list()
    assert [rows.people[position]["id"] for position in positions] == sorted(bad)
    assert {person.id for person in sandbox.people.everybody()} == {row["id"] for row in rows.people} - bad


@pytest.mark.fault("N19")
def test_a_batch_whose_answer_was_lost_is_reported_as_possibly_sent_twice_and_counts_once(sandbox: Sandbox) -> None:
    shop()
    sandbox.set_faults(Faults(script=("lost_after", "lost_before")))
    orders = {"orders": STEPS["orders"]}
    report = run(job_for(sandbox, orders, destination={"lanes": 1, "max_batch_bytes": SMALL}))
    assert report.exit_code == 0
    assert report.steps[0].counts.retries == 2
    assert 0 < report.steps[0].counts.possibly_sent_twice <= 150
    assert len(sandbox.people.events) == 150 and sandbox.people.counts["duplicate_events"] > 0


@pytest.mark.fault("N7")
def test_an_answer_that_matches_no_row_acknowledges_nothing(sandbox: Sandbox) -> None:
    rows = shop(rows=60, people=60)
    odd = Answer(207, b'{"errors": [{"batch_index": 9999, "reason": "invalid"}]}', applied=True)
    sandbox.set_faults(Faults(script=(odd,)))
    report = run(job_for(sandbox, PEOPLE, destination={"lanes": 1}))
    assert (report.exit_code, report.steps[0].counts.accepted) == (0, 60)
    assert set(arrived(sandbox, rows)) == set(range(60))


@pytest.mark.fault("N11", "N12")
@pytest.mark.parametrize(("status", "said"), [(404, "HTTP 404"), (405, "HTTP 405"), (410, "HTTP 410"), (307, "eu\\.x")])
def test_a_server_that_is_not_the_track_api_gets_one_request(sandbox: Sandbox, status: int, said: str) -> None:
    shop()
    sandbox.set_faults(Faults(rates={str(status): 1.0}, location="https://eu.x/api/v2/batch"))
    with pytest.raises(WrongDestination, match=f"is not this API of Customer.io: .*{said}") as refused:
        run(job_for(sandbox, destination={"lanes": 1}))
    assert refused.value.exit_code == 78
    assert sandbox.stats()["requests"] == 1


# ---------------------------------------------------------------- this machine


@pytest.mark.fault("P18")
def test_a_state_of_a_newer_version_is_refused_and_not_changed(sandbox: Sandbox) -> None:
    shop()
    job = job_for(sandbox)
    run(job)
    with closing(sqlite3.connect(job.state / "state.db")) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(
        StateError, match=r"state\.db: written by a newer version of this program \(schema 99"
    ) as refused:
        run(job)
    assert (refused.value.exit_code, refused.value.remedy) == (74, "upgrade cio-etl on this machine")


@pytest.mark.fault("P17")
@pytest.mark.parametrize("place", ["header", "pages"])
def test_a_damaged_state_is_reported_and_not_changed(sandbox: Sandbox, place: str) -> None:
    shop()
    job = job_for(sandbox)
    unfinished(sandbox, job)
    path = job.state / "state.db"
    damaged = bytearray(path.read_bytes())
    if place == "header":
        damaged[:16] = bytes(16)
    else:
        damaged[4096:] = os.urandom(len(damaged) - 4096)
    path.write_bytes(damaged)
    requests = sandbox.stats()["requests"]
    with pytest.raises(StateError, match=r"state\.db: the state database is damaged") as refused:
        run(job)
    assert refused.value.exit_code == 74 and "keep the file" in refused.value.remedy
    assert path.read_bytes() == damaged and sandbox.stats()["requests"] == requests


@pytest.mark.fault("P5", "P6")
def test_a_full_disk_under_the_state_stops_the_run_and_with_room_it_is_resumed(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """RLIMIT_FSIZE stands for a full disk and for a quota: a write past it fails."""
    rows = shop(rows=2_000)
    job = job_for(sandbox, PEOPLE)
    room = 200_000  # bytes: enough to begin, less than the marks of 2,000 rows take

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    process = start_anew("run", "job.yaml", folder=tmp_path, before_exec=little_room)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 74, said
    assert (
        said.splitlines()[-2].startswith(f"{job.state}/state.db: ")
        and f"run `{COMMAND}` again" in said.splitlines()[-1]
    )
    assert "damaged" not in said and "bug" not in said
    assert 0 < sandbox.people.counts["identifies"] < 2_000
    report = run(job)
    assert report.exit_code == 0
    assert arrived(sandbox, rows).total() - 2_000 <= report.steps[0].counts.possibly_sent_twice


@pytest.mark.fault("P12")
@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_closed_stdout_or_stderr_does_not_fail_the_run(sandbox: Sandbox, tmp_path: Path, closed: str) -> None:
    rows = shop(rows=60)
    job_for(sandbox, PEOPLE)
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = start("run", "job.yaml", folder=tmp_path, **{closed: write_end})
    os.close(write_end)
    out, said = process.communicate(timeout=20)
    assert process.returncode == 0, said
    assert set(arrived(sandbox, rows).values()) == {1}
    assert ("60 rows accepted" in out) if closed == "stderr" else ("run_finished" in said)


# ---------------------------------------------------------------- secrets


@pytest.mark.parametrize("ending", ["finished", "refused", "rejected", "unreachable"])
def test_no_secret_and_no_value_is_printed_logged_or_stored(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], ending: str
) -> None:
    site_id, api_key, canary = "canary-site", "canary-key", "canaryvalue"
    monkeypatch.setenv(SITE_ID, site_id)
    monkeypatch.setenv(API_KEY, api_key)
    faults = {
        "finished": Faults(rates={"503": 0.2, "lost_after": 0.1}),
        "refused": Faults(key_revoked_after=2),
        "rejected": Faults(refused=0.3),
        "unreachable": Faults(script=("ok",), rates={"307": 1.0}, location="https://elsewhere.test/"),
    }[ending]
    with Sandbox(faults, credentials=Credentials(site_id, api_key)) as sandbox:
        shop(prefix=canary)
        with Path("people.csv").open("a") as file:
            file.write(f"{canary}1,1,{canary}@@b,2024-03-10,{canary}\n{canary}2,{canary},a@b.co,{canary},x\n{canary}\n")
        job_for(sandbox, max_rejects="50%")
        code = main(["--debug", "run", "job.yaml"])
    assert code == {"finished": 3, "refused": 77, "rejected": 3, "unreachable": 78}[ending]
    captured = capfd.readouterr()
    said = {"stdout": captured.out, "stderr": captured.err}
    kept = {str(path): path.read_bytes() for path in Path(".etl").rglob("*") if path.is_file()}
    assert any(path.endswith("report.json") for path in kept)
    pair = b64encode(f"{site_id}:{api_key}".encode()).decode()
    for secret in (site_id, api_key, pair, canary, canary.upper(), "Person1"):
        assert not [name for name, text in said.items() if secret in text]
        assert not [name for name, content in kept.items() if secret.encode() in content]


# ---------------------------------------------------------------- counts


def test_counts_that_do_not_add_up_are_reported_as_a_bug(sandbox: Sandbox) -> None:
    """The last line of defence: a state in which rows were settled twice is not called finished."""
    shop()
    job = job_for(sandbox, PEOPLE)
    unfinished(sandbox, job)
    with closing(sqlite3.connect(job.state / "state.db")) as db, db:
        db.execute("UPDATE lane SET accepted = accepted + 1 WHERE lane = 0")
    assert main(["run", "job.yaml"]) == 1
    report = newest(job)
    assert report["status"] == "failed" and "240 rows read, but 241" in report["reason"]


@pytest.mark.parametrize("missing", ["column", "file"])
def test_a_column_that_a_later_step_lacks_is_reported_before_anything_is_sent(sandbox: Sandbox, missing: str) -> None:
    shop()
    whole = pl.read_parquet("orders.parquet")
    whole.drop("cents").write_parquet("orders.parquet")
    if missing == "file":
        Path("orders.parquet").unlink()
    with pytest.raises(SourceError, match=r"the source has no column 'cents'|No such file"):
        run(job_for(sandbox))
    assert sandbox.stats()["items"] == 0
    whole.write_parquet("orders.parquet")
    assert run(job_for(sandbox)).status == "finished"


def test_a_file_that_is_replaced_before_its_step_starts_is_read_as_it_is_then() -> None:
    with Sandbox(Faults(latency_s=0.2)) as sandbox:
        shop()
        whole = pl.read_parquet("orders.parquet")

        def export_again() -> None:
            until(lambda: sandbox.stats()["items"] > 0)
            whole.head(7).write_parquet("orders.new")
            os.replace("orders.new", "orders.parquet")

        exporter = threading.Thread(target=export_again)
        exporter.start()
        people, orders = run(job_for(sandbox)).steps
        exporter.join()
        assert (people.counts.accepted, orders.rows, orders.counts.accepted) == (240, 7, 7)


def test_a_source_without_rows_is_a_warning(sandbox: Sandbox) -> None:
    shop()
    pl.read_parquet("orders.parquet").clear().write_parquet("orders.parquet")
    report = run(job_for(sandbox))
    assert report.exit_code == 0
    assert [(finding.code, finding.severity) for finding in report.steps[1].findings] == [("source_empty", "warning")]


def test_a_signal_before_a_step_stops_the_run_before_that_step(sandbox: Sandbox) -> None:
    shop()
    with Signals() as signals:
        signals.ask("SIGTERM")
        with pytest.raises(Interrupted, match="stopped by SIGTERM"):
            run_job(job_for(sandbox), RunOptions(), Caller(signals))
    assert sandbox.stats()["items"] == 0
    assert run(job_for(sandbox)).status == "finished"
