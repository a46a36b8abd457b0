"""Jobs with rejected rows, and what a test does with them: run, export, fix, replay."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl
import pytest

from cio_etl.cli import main
from cio_etl.reject_files import unguarded
from cio_etl.sandbox import Sandbox
from tests.running import write_job

Captured = pytest.CaptureFixture[str]

PEOPLE = {
    "operation": "identify",
    "identifiers": {"id": "id"},
    "attributes": {
        "email": "e_mail",
        "born": {"column": "born", "apply": [{"timestamp": {"timezone": "UTC"}}]},
        "row": "n",
    },
}
EVENTS = {
    "operation": "track",
    "event": {"value": "bought"},
    "identifiers": {"id": "id"},
    "timestamp": {"column": "at", "apply": ["timestamp"]},
    "attributes": {"n": "n", "price": "price"},
}
ROWS = ["1,a@b.co,2001-02-03,10", "2,b@@b.co,2001-02-03,11", ",c@b.co,2001-02-03,12", "4,d@@b.co,2001-02-03,13"]


def write_people(*rows: str) -> None:
    Path("people.csv").write_text("\n".join(["id,e_mail,born,n", *(rows or ROWS), ""]))


def people(sandbox: Sandbox, **more: Any) -> None:
    """A job of one step: four rows, three of them bad."""
    write_people()
    Path("people.yaml").write_text(json.dumps(PEOPLE))
    steps = {"people": ({"csv": "people.csv"}, "people.yaml")}
    write_job(Path("job.yaml"), sandbox.url, steps, **{"max_rejects": 100} | more)


def events(sandbox: Sandbox, **more: Any) -> None:
    """A job of one step of events without a key: five typed rows, two of them bad."""
    frame = pl.DataFrame(
        {
            "id": ["1", None, "3", None, "5"],
            "at": [1_710_057_600_000 + n for n in range(5)],
            "n": [0, 1, 2, 3, 4],
            "price": [Decimal("1.50"), Decimal("2.25"), None, Decimal("4.00"), Decimal("5.75")],
            "note": ["", "=x", None, "'=x", "a\nb"],
        },
        schema_overrides={"price": pl.Decimal(12, 2)},
    )
    frame.write_parquet("events.parquet")
    Path("events.yaml").write_text(json.dumps(EVENTS))
    steps = {"events": ({"parquet": "events.parquet"}, "events.yaml")}
    write_job(Path("job.yaml"), sandbox.url, steps, **{"max_rejects": 100} | more)


def run(job: str = "job.yaml", code: int = 3) -> str:
    """Runs the job; its run's id."""
    assert main(["run", job]) == code
    return newest("job")


def newest(job: str) -> str:
    return str(rows("SELECT run_id FROM run WHERE job = ? ORDER BY rowid DESC", job)[0][0])


def rows(query: str, *values: Any) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(".etl/state.db")) as db:
        return db.execute(query, values).fetchall()


def still_open(run_id: str) -> dict[int, str]:
    """The reasons of the run's open rejects, by position."""
    return dict(rows("SELECT position, reason FROM reject WHERE run_id = ? AND closed_by IS NULL", run_id))


def exported(run_id: str, name: str = "rejects.csv") -> pl.DataFrame:
    Path(name).unlink(missing_ok=True)
    assert main(["rejects", run_id, "-o", name]) == 0
    return read(name)


def read(name: str) -> pl.DataFrame:
    if name.endswith(".csv"):
        frame = pl.read_csv(name, infer_schema=False)
        return pl.DataFrame([unguarded(column) for column in frame])
    return pl.read_parquet(name) if name.endswith(".parquet") else pl.read_ndjson(name)


def fixed(
    run_id: str, name: str = "fixed.csv", values: Mapping[str, pl.Expr] = MappingProxyType({}), **more: pl.Expr
) -> str:
    """The run's open rejects, exported and written again with some columns changed."""
    frame = exported(run_id, f"export.{name.rpartition('.')[2]}").with_columns(**values, **more)
    writers: dict[str, Callable[[str], object]] = {
        "csv": frame.write_csv,
        "parquet": frame.write_parquet,
        "ndjson": frame.write_ndjson,
    }
    writers[name.rpartition(".")[2]](name)
    return name


def counts(capsys: Captured, *arguments: str) -> tuple[int, int, int, int]:
    """A replay's exit code, and how many rows were accepted, rejected and skipped."""
    capsys.readouterr()
    code = main(["replay", *arguments, "--json"])
    out, err = capsys.readouterr()
    assert out, err
    steps = json.loads(out)["steps"]
    accepted, rejected, skipped = (sum(step[name] for step in steps) for name in ("accepted", "rejected", "skipped"))
    assert accepted + rejected + skipped == sum(step["rows_read"] for step in steps)
    return code, accepted, rejected, skipped


GOOD = {"e_mail": pl.col("e_mail").str.replace("@@", "@"), "id": pl.col("id").fill_null("3")}
