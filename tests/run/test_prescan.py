"""The prescan determines before the first request which rows give way, and a resumed run determines the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import structlog

from cio_etl.audit import PositionedFinding
from cio_etl.audit.findings import sent
from cio_etl.cli import main
from cio_etl.config import load_job
from cio_etl.errors import SourceError
from cio_etl.model import Column, Finding, Job, Mapping, Report
from cio_etl.run import RunOptions
from cio_etl.run.prescan import prescan
from cio_etl.run.recording import note_findings
from cio_etl.run.resume import begin_or_resume
from cio_etl.sandbox import Sandbox
from cio_etl.state import open_store
from cio_etl.transform import Mapped
from cio_etl.validate.dry_run import validate
from tests.mapped_rows import attributes, column, mapping, rows
from tests.run.test_run import job_for, newest, run, unfinished
from tests.running import start, until
from tests.snapshots import compiled, held, step

PERSON = {"operation": "identify", "identifiers": {"id": "id"}, "order_by": "at", "attributes": {"row": "row"}}
EVENT = {
    "operation": "track",
    "event": {"value": "e"},
    "identifiers": {"id": "id"},
    "event_key": "key",
    "attributes": {"n": "n"},
}


pytestmark = pytest.mark.usefixtures("keys")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(trace="row") as running:
        yield running


def versions(people: int = 40, rows: int = 400) -> dict[str, int]:
    """Writes rows of some people, the newest of each somewhere among them; says which one that is."""
    table = pl.DataFrame({"row": range(rows)}).with_columns(
        (pl.col("row") % people).cast(pl.String).str.zfill(3).alias("id"),
        (pl.col("row") * 7919 % 1009).alias("at"),
        pl.lit("x" * 600).alias("note"),
    )
    table.write_parquet("people.parquet")
    best = table.sort("at", "row").group_by("id", maintain_order=True).last()
    return dict(best.select("id", "row").iter_rows())


def job(sandbox: Sandbox, mapping: dict[str, Any], **settings: Any) -> Job:
    Path("m.yaml").write_text(json.dumps(mapping))
    return job_for(sandbox, {"s": ({"parquet": "people.parquet"}, "m.yaml")}, **settings)


def counts(report: Report) -> tuple[int, int, int, int]:
    (step,) = report.steps
    return step.rows_read, step.counts.accepted, step.counts.rejected, step.counts.skipped


@pytest.mark.fault("S20")
def test_the_newest_row_of_each_person_arrives_and_the_others_are_counted(sandbox: Sandbox) -> None:
    newest_of = versions()
    report = run(job(sandbox, PERSON))
    assert counts(report) == (400, 40, 0, 360)
    assert {who: sandbox.people.find("id", who).trace for who in newest_of} == {  # type: ignore[union-attr]
        who: [row] for who, row in newest_of.items()
    }
    first = next(row for row in range(400) if row not in newest_of.values())
    (finding,) = report.steps[0].findings
    assert (finding.code, finding.severity, finding.rows) == ("superseded", "notice", 360)
    assert finding.words == "360 rows are older by order_by than another of the same person or object, and skipped"
    assert finding.first_rows[0] == f"people.parquet:{first + 1}"


def test_rows_that_are_rejected_for_their_identifier_supersede_no_row(sandbox: Sandbox) -> None:
    data = {"id": ["bad", "bad", "worse", "a@b.co", "a@b.co"], "at": [1, 2, 3, 4, 5], "row": range(5)}
    pl.DataFrame(data).write_parquet("people.parquet")
    report = run(job(sandbox, PERSON | {"identifiers": {"email": "id"}}, max_rejects=9))
    assert counts(report) == (5, 1, 3, 1)
    assert [(finding.code, finding.rows) for finding in report.steps[0].findings] == [("superseded", 1)]
    assert [(reject.reason, reject.rows) for reject in report.steps[0].rejects] == [("email_malformed", 3)]


def test_a_person_whose_newest_row_is_rejected_is_named(sandbox: Sandbox) -> None:
    data = {"id": ["a", "a", "b", "b", "c"], "at": [1, 2, 3, 4, 5], "row": ["1", "x", "y", "4", "z"]}
    pl.DataFrame(data).write_parquet("people.parquet")
    number = {"attributes": {"row": {"column": "row", "apply": [{"cast": "integer"}]}}}
    written = job(sandbox, PERSON | number, max_rejects=9)
    dry = validate(written, written.steps, None, {})
    report = run(written)
    for step_report in (*dry.steps, *report.steps):
        found = {finding.code: finding for finding in step_report.findings}
        assert (found["newest_rejected"].rows, found["superseded"].rows) == (1, 2)
        assert found["newest_rejected"].words == "1 row is the newest of a person, and is rejected"
        assert found["newest_rejected"].first_rows == ("people.parquet:2",)
        assert step_report.counts.rejected == 2  # `c` has no other row: a plain reject
    assert sandbox.people.find("id", "a") is None and sandbox.people.find("id", "b") is not None


@pytest.mark.fault("S20")
def test_a_resumed_run_skips_the_same_rows(sandbox: Sandbox) -> None:
    newest_of = versions(people=160, rows=640)
    ordered = job(sandbox, PERSON | {"attributes": {"row": "row", "note": "note"}})
    run_id = unfinished(sandbox, ordered, requests=3)
    assert newest(ordered)["steps"][0]["findings"][0]["rows"] == 480
    report = run(ordered)
    assert report.run_id == run_id and counts(report) == (640, 160, 0, 480)
    for who, row in newest_of.items():
        person = sandbox.people.find("id", who)
        assert person is not None and set(person.trace) == {row}
    assert [finding.rows for finding in report.steps[0].findings] == [480]


@pytest.mark.fault("S20", "P1")
def test_a_killed_run_skips_the_same_rows_when_it_is_resumed(sandbox: Sandbox, tmp_path: Path) -> None:
    pl.DataFrame(
        {
            "id": ["p"] * 1_200,
            "key": [f"k{n % 900}" for n in range(1_200)],  # 300 come again: half of them say the same
            "n": [n % 900 + (n >= 900) * (n % 2) for n in range(1_200)],
            "note": ["x" * 600] * 1_200,
        }
    ).write_parquet("people.parquet")
    events = EVENT | {"attributes": {"n": "n", "note": "note"}}
    written = job(sandbox, events, max_rejects=150, destination={"requests_per_second": 20})
    process = start("run", "job.yaml", folder=tmp_path)
    until(lambda: sandbox.stats()["requests"] >= 5)
    process.kill()
    process.communicate()
    report = run(written)
    assert report.run_id == newest(written)["run_id"]
    assert counts(report) == (1_200, 900, 150, 150)
    assert sorted(event.attributes["n"] for event in sandbox.people.events.values()) == list(range(900))


def test_with_a_limit_only_its_rows_are_compared(sandbox: Sandbox) -> None:
    versions()
    assert counts(run(job(sandbox, PERSON), limit=60)) == (60, 40, 0, 20)


@pytest.mark.fault("S20")
def test_events_of_one_key_that_differ_are_rejects_and_those_that_do_not_are_skipped(sandbox: Sandbox) -> None:
    data = {"id": ["p", "q", "p", "p", "q"], "key": ["a", "b", "a", "a", "c"], "n": [1, 2, 1, 3, 2]}
    pl.DataFrame(data).write_parquet("people.parquet")
    report = run(job(sandbox, EVENT, max_rejects=1))
    assert counts(report) == (5, 3, 1, 1)
    (reject,) = report.steps[0].rejects
    assert (reject.reason, reject.field, reject.first_rows) == (
        *("event_key_repeated", "event_key"),
        ("people.parquet:4",),
    )
    undated, finding = report.steps[0].findings
    assert (undated.code, undated.words) == (
        "event_may_start_campaigns",
        "3 of 3 events have no time, so they are dated now, and can start campaigns",
    )
    assert finding == Finding(
        *("event_repeated", "notice", None, 1),
        "1 row repeats another, and is skipped",
        ("people.parquet:3",),
    )
    assert sorted(event.attributes["n"] for event in sandbox.people.events.values()) == [1, 2, 2]


def test_validate_and_preview_report_what_the_run_does(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    versions(people=2, rows=6)
    written = job(sandbox, PERSON)
    main(["preview", "job.yaml", "-n", "6"])
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert main(["validate", "job.yaml", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["steps"][0]
    report = run(written)
    kept = [line["row"] - 1 for line in shown if "payload" in line]
    assert sorted(kept) == sorted(row for person in sandbox.people.everybody() for row in person.trace)
    assert (said["accepted"], said["rejected"], said["skipped"]) == counts(report)[1:] == (2, 0, 4)
    assert said["findings"] == json.loads(json.dumps(newest(written)["steps"][0]["findings"]))


class Times:
    """An audit that keeps what it is shown."""

    def __init__(self) -> None:
        self.columns: set[str] = set()
        self.sent: list[tuple[int, int | None]] = []

    def observe(self, mapped: Mapped) -> None:
        self.columns |= set(mapped.values.columns)
        rows = sent(mapped, ["timestamp"]) if "timestamp" in mapped.values else sent(mapped, ["attributes.born"])
        self.sent += rows.iter_rows()

    def findings(self) -> Iterator[PositionedFinding]:
        yield PositionedFinding(
            "seen", "warning", "timestamp", len(self.sent), f"{len(self.sent)} seen", (self.sent[0][0],)
        )


def surveyed(how: Mapping, frame: pl.DataFrame) -> tuple[Times, tuple[Finding, ...]]:
    snapshot, times = held(frame, 2), Times()
    return times, prescan(step(how), snapshot, compiled(how, snapshot), [times])


def test_the_audits_of_a_run_get_times_and_dates_of_the_rows_that_could_be_sent() -> None:
    at = ["2024-03-10T09:00:00Z", None, "x", "2024-03-10T09:00:01Z", "2024-03-10T09:00:02Z"]
    frame = rows({"at": at, "plan": ["a", "a", "a", "no", "a"], "note": ["n"] * 5, "k": range(5)})
    how = mapping(
        "track",
        timestamp=column("at", "timestamp"),
        event_key=("k",),
        attributes={"note": Column("note"), "copy": column("at", "timestamp")},
        when="plan <> 'no'",
    )
    times, findings = surveyed(how, frame)
    assert times.sent == [(0, 1_710_061_200), (4, 1_710_061_202)]
    assert times.columns == {"_position", "timestamp", "attributes.copy"}
    assert findings == (Finding("seen", "warning", "timestamp", 2, "2 seen", ("rows.csv:2",)),)


def test_the_audits_of_a_run_get_the_dates_of_people() -> None:
    frame = rows({"born": [date(1990, 1, 1), date(2300, 1, 1)], "note": ["n"] * 2})
    times, _ = surveyed(mapping(attributes=attributes(born="born", note="note")), frame)
    assert times.columns == {"_position", "attributes.born"} and times.sent == [(0, 631_152_000)]


def test_a_warning_is_recorded_and_logged_once_and_a_notice_is_only_recorded(
    sandbox: Sandbox, quiet_log: list[structlog.typing.EventDict]
) -> None:
    versions(people=2, rows=6)
    written = job(sandbox, PERSON)
    found = (Finding("late", "warning", None, 7, "7 rows are late", ("f:1",)), Finding("x", "notice", None, 1, "so"))
    with closing(open_store(written.state)) as store:
        record = begin_or_resume(store, written, RunOptions(), lambda sentence: None)
        (first,) = store.steps(record.run_id)
        note_findings(store, record.run_id, first, found)
        assert store.steps(record.run_id)[0].findings == found
    logged = [event for event in quiet_log if event["event"] == "finding_noted"]
    assert logged == [
        {"event": "finding_noted", "log_level": "warning", "step": "s", "code": "late", "rows": 7}
        | {"found": "7 rows are late"}
    ]


def test_a_latest_by_that_does_not_sort_stops_the_run_before_anything_is_sent(sandbox: Sandbox) -> None:
    pl.DataFrame({"id": ["a"], "row": [1], "at": ["10/03/2024"]}).write_parquet("people.parquet")
    with pytest.raises(SourceError, match="order_by: column 'at': it holds dates that are not ISO 8601"):
        run(job(sandbox, PERSON))
    assert sandbox.stats()["requests"] == 0
    pl.DataFrame({"id": ["a"], "row": [1], "at": ["2024-03-10"]}).write_parquet("people.parquet")
    assert counts(run(load_job(Path("job.yaml")))) == (1, 1, 0, 0)


@pytest.mark.parametrize("when", ["gone is null", "(gone <> 'x' or gone is null)", "size * 2 > 1"])
def test_a_condition_on_columns_that_nothing_else_reads_is_no_reason_to_stop(sandbox: Sandbox, when: str) -> None:
    pl.DataFrame({"id": ["1"], "at": [1], "row": [1], "gone": [None], "size": [7]}).write_parquet("people.parquet")
    assert counts(run(job(sandbox, {**PERSON, "when": when}))) == (1, 1, 0, 0)
