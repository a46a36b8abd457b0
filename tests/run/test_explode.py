"""Each entry of a list as a row: whole runs from NDJSON, Parquet, CSV and a table are alike, also after a kill."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio_etl.cli import main
from cio_etl.config import load_mapping
from cio_etl.config.examples import check_examples
from cio_etl.model import Job
from cio_etl.run import RunOptions
from cio_etl.sandbox import Sandbox
from cio_etl.validate.dry_run import validate
from cio_etl.validate.plan import plan_file
from tests.run.test_run import job_for, run
from tests.running import start, until

pytestmark = pytest.mark.usefixtures("keys")

ROWS: list[dict[str, Any]] = [
    {"order": "1", "who": "7", "items": [{"sku": "A", "qty": 1}, {"sku": "B", "qty": 2}, {"sku": "C", "qty": 0}]},
    {"order": "2", "who": "8", "items": []},
    {"order": "3", "who": "8", "items": None},
    {"order": "4", "who": None, "items": [{"sku": "D", "qty": 3}]},
    {"order": "5", "who": "8", "items": [None, {"sku": "E", "qty": 4}]},
]
MAPPING: dict[str, Any] = {
    "operation": "track",
    "event": {"value": "bought"},
    "identifiers": {"id": "who"},
    "explode": "items",
    "event_key": ["order"],
    "attributes": {"order": "order", "sku": "items.sku", "qty": "items.qty", "line": "_entry"},
    "when": "items.qty is null or try_cast(items.qty as int) > 0",
}


def written(kind: str, rows: list[dict[str, Any]]) -> dict[str, str]:
    """The rows as a source of this kind."""
    texts = [row | {"items": None if row["items"] is None else json.dumps(row["items"], indent=1)} for row in rows]
    if kind == "ndjson":
        Path("rows.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "parquet":
        pl.DataFrame(rows, infer_schema_length=None).write_parquet("rows.parquet")
    elif kind == "csv":
        with Path("rows.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(texts)
    else:
        with closing(sqlite3.connect("rows.db")) as database, database:
            database.execute('CREATE TABLE "rows" ("order" TEXT, who TEXT, items TEXT, secret BLOB)')
            statement = 'INSERT INTO "rows" VALUES (:order, :who, :items, NULL)'
            database.executemany(statement, texts)
        return {"sql": "sqlite:///rows.db", "table": "rows"}
    return {kind: f"rows.{kind}"}


def job_of(sandbox: Sandbox, source: Any, mapping: dict[str, Any] = MAPPING, **settings: Any) -> Job:
    Path("m.yaml").write_text(json.dumps(mapping))
    return job_for(sandbox, {"rows": (source, "m.yaml")}, max_rejects="100%", **settings)


def events(sandbox: Sandbox) -> list[dict[str, Any]]:
    made = [dict(event.attributes) for event in sandbox.people.events.values()]
    return sorted(made, key=lambda each: (each.get("order", ""), each.get("line", 0), each["sku"]))


@pytest.mark.parametrize("kind", ["ndjson", "parquet", "csv", "sqlite"])
def test_each_entry_is_an_event_that_counts_once(kind: str, sandbox: Sandbox) -> None:
    job = job_of(sandbox, written(kind, ROWS))
    validated = validate(job, job.steps, None, {}).steps[0]
    (planned,) = plan_file(Path("job.yaml"), RunOptions(), print).steps
    since = None
    for _ in range(2):
        report = run(job)
        (step,) = report.steps
        assert (step.rows_read, step.accepted, step.rejected, step.skipped) == (8, 3, 2, 3)
        assert {each.reason for each in step.rejects} == {"entry_null", "identifier_missing"}
        assert events(sandbox) == [
            {"order": "1", "sku": "A", "qty": 1, "line": 0},
            {"order": "1", "sku": "B", "qty": 2, "line": 1},
            {"order": "5", "sku": "E", "qty": 4, "line": 1},
        ]
        assert {each.since for each in step.rejects} == {since}  # the second run rejects the rows of the first again
        since = report.started_at
    assert validated.rejects == tuple(replace(each, since=None) for each in step.rejects) == planned.rejects
    assert all(row.endswith(" items[0]") for each in step.rejects for row in each.first_rows)


def test_limit_counts_entries_and_a_key_of_the_entry_needs_no_place(sandbox: Sandbox) -> None:
    mapping = MAPPING | {"event_key": ["order", "items.sku"]}
    job = job_of(sandbox, written("ndjson", ROWS), mapping)
    (step,) = run(job, limit=2).steps
    assert (step.rows_read, step.accepted) == (2, 2)
    Path("rows.ndjson").write_text(json.dumps(ROWS[0] | {"items": ROWS[0]["items"][::-1]}) + "\n")
    run(job)
    assert sorted(each["sku"] for each in events(sandbox)) == ["A", "B"]


@pytest.mark.fault("P1")
def test_a_killed_run_goes_on_in_the_middle_of_a_list(tmp_path: Path) -> None:
    rows = [
        {
            "order": str(n),
            "who": str(n % 50),
            "items": [{"sku": f"{k}", "qty": 1, "note": "x" * 900} for k in range(30)],
        }
        for n in range(60)
    ]
    how = MAPPING | {"attributes": MAPPING["attributes"] | {"note": "items.note"}}
    with Sandbox() as sandbox:
        to = {"requests_per_second": 20, "max_batch_bytes": 32_100, "lanes": 16}
        job = job_of(sandbox, written("ndjson", rows), how, destination=to)
        process = start("run", "job.yaml", folder=tmp_path)
        until(lambda: sandbox.stats()["requests"] >= 3)
        process.kill()
        process.communicate()
        (killed,) = (job.state / "runs").iterdir()
        report = run(job)
        assert report.run_id == killed.name
        (step,) = report.steps
        assert (step.rows_read, step.accepted, step.rejected) == (1_800, 1_800, 0)
        sent = [(each["order"], each["line"]) for each in events(sandbox)]
        assert len(sent) == len(set(sent)) == 1_800


@pytest.mark.parametrize("keeps", ["keys", "rows"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_rejected_entry_is_fixed_and_sent_again(kind: str, keeps: str, sandbox: Sandbox) -> None:
    job = job_of(sandbox, written(kind, ROWS), rejects=keeps)
    report = run(job)
    if keeps == "rows":
        Path(f"rows.{kind}").unlink()
    assert main(["rejects", report.run_id, "-o", "rejects.csv"]) == 0
    frame = pl.read_csv("rejects.csv", infer_schema=False).with_columns(who=pl.lit("9"))
    assert frame["_entry"].to_list() == ["0", "0"]
    frame.write_csv("rejects.csv")
    assert main(["replay", "rejects.csv"]) == 3  # the entry that is null stays rejected
    (sent,) = [each for each in events(sandbox) if each["order"] == "4"]
    assert sent == {"order": "4", "sku": "D", "qty": 3, "line": 0}
    frame.with_columns(items=pl.lit('{"sku": "Z", "qty": 1}')).write_csv("rejects.csv")
    assert main(["replay", "rejects.csv"]) == 0
    assert sorted(each["sku"] for each in events(sandbox)) == ["A", "B", "D", "E", "Z"]


def test_a_list_inside_an_object_is_exploded_beside_other_columns(sandbox: Sandbox) -> None:
    Path("rows.ndjson").write_text(
        json.dumps({"id": "7", "order": {"no": 5, "items": ["A", "B"]}, "city": "Rome"}) + "\n"
    )
    mapping = {
        "operation": "track",
        "event": {"value": "bought"},
        "identifiers": {"id": "id"},
        "explode": "order.items",
        "event_key": "order.no",
        "attributes": {"sku": "order.items", "*": {"except": "order"}},
    }
    run(job_of(sandbox, {"ndjson": "rows.ndjson"}, mapping))
    assert events(sandbox) == [{"sku": "A", "city": "Rome"}, {"sku": "B", "city": "Rome"}]


def test_examples_and_tests_of_a_mapping_have_lists(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"order": "1", "who": "7", "items": [{"sku": "A", "qty": 1}]}
    payload = {
        "type": "person",
        "action": "event",
        "name": "bought",
        "identifiers": {"id": "7"},
        "attributes": {"order": "1", "sku": "A", "qty": 1, "line": 0},
    }
    examples = [
        {"row": row, "payload": payload},
        {"row": row | {"items": []}, "skipped": True},
        {"row": row | {"items": '[{"sku": "A"}, null]'}, "skipped": True},
    ]
    job_of(sandbox, written("ndjson", ROWS), MAPPING | {"examples": examples})
    (problem,) = check_examples(load_mapping(Path("m.yaml")))
    assert (problem.path, "write a test with rows: and results:" in problem.message) == ("examples[2]", True)
    job_of(sandbox, written("ndjson", ROWS))
    results = [{"payload": payload}, {"rejected": "entry_null"}]
    both = {"rows": [row | {"items": '[{"sku": "A", "qty": 1}, null]'}], "results": results}
    Path("tests").mkdir()
    Path("tests/m.yaml").write_text(json.dumps({"tests": [both]}))
    assert main(["test", "job.yaml"]) == 0
    assert main(["examples", "job.yaml", "-n", "9"]) == 0
    assert main(["test", "job.yaml"]) == 0
    assert "4 tests passed" in capsys.readouterr().out
