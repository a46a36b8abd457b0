"""A mapping takes all other columns of its source, night after night: those of the first run, and no others."""

from __future__ import annotations

import csv
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio_etl.cli import main
from cio_etl.config import load_job
from cio_etl.errors import SourceError
from cio_etl.model import Report
from cio_etl.rejects import replay, request_for_run
from cio_etl.run import Caller, RunOptions, load_bookmarks, run_job
from cio_etl.sandbox import Sandbox
from cio_etl.state import open_store
from cio_etl.validate.dry_run import validate
from cio_etl.validate.plan import plan_file
from tests.nightly_step import KEYS, Nights, person
from tests.running import write_job

pytestmark = pytest.mark.usefixtures("keys")

STAR = {"operation": "identify", "identifiers": {"id": "id"}, "attributes": {"*": {"except": ["secret"]}}}


def findings(report: Report) -> list[tuple[str, str, str]]:
    return [
        (each.code, each.severity, each.words) for each in report.steps[0].findings if each.code.startswith("columns_")
    ]


LEFT = ("columns_new", "warning", "1 new column is not sent: 'age'")


@pytest.mark.parametrize("sync", ["all", "changed"])
def test_a_new_column_is_told_each_night_and_taken_only_when_the_mapping_says_so(
    nights: Nights, sync: str, capsys: pytest.CaptureFixture[str]
) -> None:
    nights.mapping, nights.step = STAR, {"sync": sync}
    first = nights.run([person(1, secret="x")])
    assert findings(first) == []
    assert nights.people() == {"1": {"plan": "free", "city": "Rome"}}

    rows = [person(1, plan="pro", secret="x", age="41")]
    for _ in range(2):
        assert findings(nights.run(rows)) == [LEFT]
        assert nights.people()["1"] == {"plan": "pro", "city": "Rome"}
    job = load_job(Path("job.yaml"), KEYS)
    validation = validate(job, job.steps, None, load_bookmarks(job))
    assert LEFT in findings(validation)
    assert "columns_appeared" not in [each.code for each in validation.steps[0].findings]
    plan = plan_file(Path("job.yaml"), RunOptions(), print, lambda: KEYS)
    assert LEFT[2] in [each.words for each in plan.steps[0].findings]
    capsys.readouterr()
    assert main(["run", "job.yaml", "--sandbox"]) == 0
    assert LEFT[2] in capsys.readouterr().out  # of a sandbox that is empty, too

    nights.mapping = {**STAR, "attributes": {"*": {"except": ["secret"], "new_columns": "take"}}}
    assert findings(nights.run(rows)) == [("columns_new", "notice", "1 new column is sent: 'age'")]
    assert nights.people()["1"]["age"] == "41"
    nights.mapping = STAR
    assert findings(nights.run([person(1, secret="x", age="42")])) == []
    assert nights.people()["1"] == {"plan": "free", "city": "Rome", "age": "42"}


def test_a_column_that_is_gone_is_told_and_its_attribute_stays(nights: Nights) -> None:
    nights.mapping = STAR
    nights.run([person(1)])
    row = person(1, plan="pro")
    del row["city"]
    words = "1 column is not in the source any more, so the attributes keep their values: 'city'"
    assert findings(nights.run([row])) == [("columns_gone", "warning", words)]
    assert nights.people()["1"] == {"plan": "pro", "city": "Rome"}
    assert findings(nights.run([person(1, city="Bonn")])) == []
    assert nights.people()["1"]["city"] == "Bonn"


def test_a_run_over_some_rows_says_nothing_about_tomorrow_s_columns(nights: Nights) -> None:
    nights.mapping = STAR
    nights.run([person(1), person(2)], limit=1)
    assert findings(nights.run([person(1, age="41"), person(2, age="42")])) == []
    assert nights.people()["2"]["age"] == "42"


def test_a_source_without_another_column_stops_the_run_before_anything_is_sent(nights: Nights) -> None:
    nights.mapping = {**STAR, "attributes": {"*": {"except": "*"}}}
    with pytest.raises(SourceError, match="the source has no other column; remove `\\*`"):
        nights.run([person(1)])
    assert not nights.bodies


def replayed(run_id: str) -> int:
    """Replays the rejects of a run; how many rows of its first step are accepted."""
    job = load_job(Path("job.yaml"), KEYS)
    with closing(open_store(job.state_location)) as store:
        request = request_for_run(store, run_id)
    report = replay(request, job, RunOptions(), Caller())
    assert report is not None
    return report.steps[0].counts.accepted


def test_a_replay_sends_the_columns_that_its_run_has_taken(nights: Nights) -> None:
    nights.mapping = {**STAR, "attributes": {"email": "email", "*": {}}}
    nights.step, nights.settings = {}, {"rejects": "rows"}
    nights.run([person(1)])
    report = nights.run([person(1, email="ben@@example.com", age="41")])
    assert report.rejected == 1
    nights.mapping = {**STAR, "attributes": {"email": {"column": "email", "on_error": "omit"}, "*": {}}}
    nights.run([person(2)])
    assert replayed(report.run_id) == 1
    assert nights.people()["1"] == {"plan": "free", "city": "Rome"}
    assert main(["preview", "job.yaml"]) == 0


# ---------------------------------------------------------------- members of objects

PROPS: list[dict[str, Any]] = [
    {"plan": "pro", "First name": "Ann", "$x": 1, "in": {"deep": [1, "1"]}},
    {"plan": None, "big": 2**53 + 1, "a.b": "c"},
]


def flattened(**star: Any) -> dict[str, Any]:
    attributes = {"tier": 'props["plan"]', "*": {"of": "props", **star}}
    return {"operation": "identify", "identifiers": {"id": "id"}, "attributes": attributes}


@pytest.mark.parametrize("kind", ["ndjson", "parquet", "csv"])
def test_each_member_of_objects_is_an_attribute(kind: str, sandbox: Sandbox) -> None:
    rows: list[dict[str, Any]] = [{"id": str(number), "props": each} for number, each in enumerate(PROPS, 1)]
    if kind == "ndjson":
        Path("rows.ndjson").write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"id": "3", "props": "no"}]))
    elif kind == "parquet":
        Path("rows.ndjson").write_text(
            "".join(json.dumps(row | {"props": {**row["props"], "in": None}}) + "\n" for row in rows)
        )
        pl.read_ndjson("rows.ndjson").write_parquet("rows.parquet")
    else:
        with Path("rows.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["id", "props"], *([row["id"], json.dumps(row["props"])] for row in rows)])
    Path("m.yaml").write_text(json.dumps(flattened(**{"except": ["$*"], "rename": "snake_case", "prefix": "p_"})))
    job = write_job(Path("job.yaml"), sandbox.url, {"rows": ({kind: f"rows.{kind}"}, "m.yaml")})
    run_job(load_job(job, KEYS), RunOptions(), Caller())
    people = {str(each.identifiers["id"]): dict(each.attributes) for each in sandbox.people.everybody()}
    inner = {} if kind == "parquet" else {"p_in": {"deep": [1, "1"]}}
    assert people["1"] == {"tier": "pro", "p_first_name": "Ann", **inner}
    assert people["2"] == {"p_big": 2**53 + 1, "p_a_b": "c"}


def test_a_new_member_is_told_and_taken_when_the_mapping_says_so_and_a_replay_sends_those_of_its_run(
    nights: Nights, capsys: pytest.CaptureFixture[str]
) -> None:
    def row(number: int, **props: Any) -> dict[str, Any]:
        return {"id": str(number), "props": json.dumps(props)}

    nights.mapping, nights.step, nights.settings = flattened(), {}, {"rejects": "rows"}
    assert findings(nights.run([row(1, plan="free", city="Rome")])) == []
    bad = {"id": "9", "props": json.dumps({"city": "x" * 1_001, "age": 7})}
    report = nights.run([row(1, city="Bonn", age=41), bad])
    assert findings(report) == [("columns_new", "warning", "1 new column is not sent: 'props.age'")]
    assert nights.people() == {"1": {"tier": "free", "city": "Bonn"}} and report.rejected == 1
    assert main(["check", "--expand", "job.yaml"]) == 0
    assert "city: props.city" in capsys.readouterr().out

    nights.mapping = flattened(on_error="omit")
    nights.write([])
    assert replayed(report.run_id) == 1
    assert nights.people()["9"] == {}
    nights.mapping = flattened(new_columns="take")
    nights.run([row(1, city="Bonn", age=41)])
    assert nights.people()["1"] == {"tier": "free", "city": "Bonn", "age": 41}


@pytest.mark.parametrize(
    ("of", "fault"),
    [("prop", "attributes['*'].of: the source has no column 'prop'"), ("id", "the attribute 'tier', which")],
)
def test_members_that_cannot_be_attributes_stop_the_run(nights: Nights, of: str, fault: str) -> None:
    nights.mapping = flattened(of=of)
    with pytest.raises(SourceError) as error:
        nights.run([{"id": '{"tier": 1}', "props": "{}"}])
    assert fault in str(error.value) and not nights.bodies
