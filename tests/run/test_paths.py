"""Paths into nested columns, wherever a column may stand: whole runs from NDJSON, Parquet and CSV are alike."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_etl.cli import main
from cio_etl.config import load_job, load_mapping
from cio_etl.config.examples import check_examples
from cio_etl.errors import SourceError
from cio_etl.extract import open_source
from cio_etl.model import Column, Mapping, NdjsonSource, Staging
from cio_etl.run import Caller, RunOptions, run_job
from cio_etl.sandbox import Sandbox
from cio_etl.transform import row_sql, with_path_columns, with_paths
from cio_etl.transform.json_texts import keys_in
from cio_etl.transform.paths import Path as ColumnPath
from cio_etl.transform.paths import path_of
from tests.nightly_step import KEYS, Nights
from tests.running import write_job

ROWS: list[dict[str, Any]] = [
    {"who": {"id": "7", "plan": {"name": "pro", "seats": 3}}, "at": {"n": 2}, "dotted.name": "own", "tags": ["a", "b"]},
    {"who": {"id": "7", "plan": {"name": 'max "é\\', "seats": 30}}, "at": {"n": 10}, "dotted.name": None, "tags": []},
    {"who": {"id": "8", "plan": None}, "at": {"n": 1}, "dotted.name": "x", "tags": None},
    {"who": {"id": "test", "plan": None}, "at": {"n": 1}, "dotted.name": "x", "tags": None},
    {"who": {"id": None, "plan": None}, "at": {"n": 1}, "dotted.name": "x", "tags": None},
]
MAPPING: dict[str, Any] = {
    "operation": "identify",
    "identifiers": {"id": "who.id"},
    "order_by": "at.n",
    "when": "coalesce(who.id, '') <> 'test'",
    "attributes": {
        "plan": {"column": "who.plan.name", "apply": "upper"},
        "seats": "who.plan.seats",
        "whole": "who.plan",
        "own": "dotted.name",
        "first": "tags[0]",
        "half": {"expr": "try_cast(at.n as double) / 2"},
    },
}


def written(kind: str) -> dict[str, str]:
    """The rows as a file of this kind, as a source."""
    if kind == "ndjson":
        Path("rows.ndjson").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    elif kind == "parquet":
        pl.DataFrame(ROWS, infer_schema_length=None).write_parquet("rows.parquet")
    else:
        with Path("rows.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(ROWS[0])
            for row in ROWS:
                cells = [
                    json.dumps(cell, indent=1) if isinstance(cell, (dict, list)) else cell for cell in row.values()
                ]
                writer.writerow(cells)
    return {kind: f"rows.{kind}"}


@pytest.mark.parametrize("kind", ["ndjson", "parquet", "csv"])
def test_a_path_stands_wherever_a_column_may_and_values_keep_their_kinds(kind: str, sandbox: Sandbox) -> None:
    Path("m.yaml").write_text(json.dumps(MAPPING))
    path = write_job(Path("job.yaml"), sandbox.url, {"rows": (written(kind), "m.yaml")}, max_rejects="100%")
    (step,) = run_job(load_job(path, KEYS), RunOptions(), Caller()).steps
    assert (step.accepted, step.skipped, step.rejected) == (2, 2, 1)
    assert [(each.reason, each.field) for each in step.rejects] == [("identifier_missing", "identifiers.id")]
    people = {str(each.identifiers["id"]): each.attributes for each in sandbox.people.everybody()}
    assert people == {
        "7": {"plan": 'MAX "É\\', "seats": 30, "whole": {"name": 'max "é\\', "seats": 30}, "half": 5.0},
        "8": {"own": "x", "half": 0.5},
    }


@pytest.mark.parametrize("kind", ["text", "record"])
def test_a_rejected_row_of_a_path_is_fixed_and_sent_again(
    kind: str, nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)
    nights.mapping, nights.step = {"operation": "identify", "identifiers": {"email": "who.mail"}}, {}
    rows: list[dict[str, Any]] = [
        {"who": '{"mail": "a@example.com"}'},
        {"who": '{"mail": "wrong"}'},
        {"who": '{"mail": '},
        {"who": None},
    ]
    report = nights.run(rows if kind == "text" else rows[:2])
    if kind == "text":
        assert {(each.reason, each.field) for each in report.steps[0].rejects} == {
            ("email_malformed", "identifiers.email"),
            ("json_unreadable", None),
            ("identifier_missing", "identifiers.email"),
        }
    else:
        frame = pl.read_parquet("rows.parquet").with_columns(
            pl.col("who").str.json_decode(pl.Struct({"mail": pl.String}))
        )
        frame.write_parquet("rows.parquet")
        report = nights.again()
    assert main(["rejects", report.run_id, "-o", "rejects.csv"]) == 0
    file = Path("rejects.csv")
    file.write_text(file.read_text().replace("wrong", "b@example.com"))
    assert main(["replay", "rejects.csv"]) in (0, 3)
    people = {each.identifiers["email"] for each in nights.sandbox.people.everybody()}
    assert people == {"a@example.com", "b@example.com"}


def test_an_event_key_may_be_a_path(nights: Nights) -> None:
    nights.mapping = {
        "operation": "track",
        "event": {"value": "bought"},
        "identifiers": {"id": "order.user"},
        "event_key": ["order.number"],
    }
    rows = [{"order": json.dumps({"user": 7, "number": number})} for number in (1, 2, 2)]
    assert [len(nights.sent(rows)) for _ in range(2)] == [2, 0]


def test_values_keep_their_kinds_in_objects_and_lists_built_of_them(nights: Nights) -> None:
    nights.mapping = {
        "operation": "identify",
        "identifiers": {"id": "who.id"},
        "attributes": {"made": {"object": {"n": "who.n", "text": "who.text", "list": {"list": ["who.n", "who.more"]}}}},
    }
    nights.run([{"who": json.dumps({"id": "1", "n": 5, "text": "5", "more": {"a": True}})}])
    (person,) = nights.sandbox.people.everybody()
    assert person.attributes == {"made": {"n": 5, "text": "5", "list": [5, {"a": True}]}}


@pytest.mark.parametrize(("rows", "severity"), [(3, "notice"), (100, "warning")])
def test_a_run_reports_a_path_that_no_row_has(rows: int, severity: str, nights: Nights) -> None:
    nights.mapping = {"operation": "identify", "identifiers": {"id": "who.id"}, "attributes": {"city": "who.citty"}}
    (step,) = nights.run([{"who": json.dumps({"id": str(n), "city": "Nice"})} for n in range(rows)]).steps
    (found,) = [each for each in step.findings if each.code == "path_without_values"]
    assert (found.field, found.rows, found.severity) == ("attributes.city", rows, severity)
    assert found.words == f"'who.citty' leads to no value in any of {rows} rows; did you mean 'city'?"


def test_a_path_is_none_of_the_other_columns_that_a_star_takes(nights: Nights) -> None:
    nights.mapping = {
        "operation": "identify",
        "identifiers": {"id": "who.id"},
        "when": "coalesce(who.kind, '') <> 'test'",
        "attributes": {"*": {}},
    }
    nights.run([{"who": json.dumps({"id": "1", "kind": "shop"}), "city": "Rome"}])
    (person,) = nights.sandbox.people.everybody()
    assert person.attributes.keys() == {"who", "city"}


def test_a_part_that_a_record_has_not_is_reported_with_those_that_it_has(sandbox: Sandbox) -> None:
    Path("m.yaml").write_text(json.dumps(MAPPING | {"identifiers": {"id": "who.idd"}}))
    path = write_job(Path("job.yaml"), sandbox.url, {"rows": (written("parquet"), "m.yaml")})
    with pytest.raises(SourceError, match="column 'who': no field 'idd'; did you mean 'id'"):
        run_job(load_job(path, KEYS), RunOptions(), Caller())


def test_a_path_that_leads_nowhere_in_any_row_is_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    mapping = {"operation": "identify", "identifiers": {"id": "who.id"}, "order_by": "at.m"}
    Path("m.yaml").write_text(json.dumps(mapping | {"attributes": {"plan": "who.plan.nam", "n": "at.n", "t": "tags"}}))
    write_job(Path("job.yaml"), "http://127.0.0.1:9", {"rows": (written("ndjson"), "m.yaml")})
    assert main(["validate", "job.yaml", "--json"]) == 3
    (step,) = json.loads(capsys.readouterr().out)["steps"]
    found = {each["field"]: each["words"] for each in step["findings"] if each["code"] == "path_without_values"}
    assert found == {
        "attributes.plan": "'who.plan.nam' leads to no value in any of 5 rows; did you mean 'name'?",
        "order_by": "'at.m' leads to no value in any of 5 rows",
    }


def test_a_column_of_just_that_name_wins_and_then_the_longest() -> None:
    columns = ["a", "a.b", "a.b.c", "x"]
    assert path_of("a.b.c", columns) is None
    assert path_of("a.b.d", columns) == ColumnPath("a.b", ("d",))
    assert path_of('a["b.c"][0].d', columns) == ColumnPath("a", ("b.c", 0, "d"))
    assert path_of("y.z", columns) is None


def test_sql_reads_paths_and_leaves_texts_and_numbers_alone() -> None:
    sql = "a.b.c > 1.5 and x = 'y.z' and \"q.r\" <> `s.t`"
    assert row_sql.columns_of(sql) == ("a.b.c", "x", "q.r", "s.t")


def test_examples_have_nested_rows(tmp_path: Path) -> None:
    row = {"who": {"id": "7", "plan": {"name": "pro", "seats": 3}}, "at": {"n": 2}, "dotted.name": None, "tags": ["a"]}
    payload = {
        "type": "person",
        "action": "identify",
        "identifiers": {"id": "7"},
        "attributes": {"plan": "PRO", "seats": 3, "whole": {"name": "pro", "seats": 3}, "first": "a", "half": 1.0},
    }
    path = tmp_path / "m.yaml"
    path.write_text(json.dumps(MAPPING | {"examples": [{"row": row, "payload": payload}]}))
    assert list(check_examples(load_mapping(path))) == []


KINDS = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.sampled_from([1.5, "5", "true", "[x", 'a"\\é', ""])
)
NESTED = st.fixed_dictionaries(
    {},
    optional={
        "a": KINDS,
        'o"[\\é': KINDS,
        "b": st.none() | st.fixed_dictionaries({}, optional={"c": KINDS, "d": st.lists(KINDS, max_size=2)}) | KINDS,
    },
)


@given(st.lists(NESTED, min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_the_parts_of_any_json_are_those_that_python_reads(documents: list[dict[str, Any]]) -> None:
    frame = pl.DataFrame({"x": [json.dumps(each, ensure_ascii=False) for each in documents]}, schema={"x": pl.String})
    names = ["x.a", "x.b.c", "x.b.d", "x.b"]
    made = with_path_columns(frame, reads(names), frozenset({"x"}))
    require_same(made, documents)
    assert keys_in(frame["x"]) == list(dict.fromkeys(key for each in documents for key in each))


@given(st.lists(NESTED, min_size=1, max_size=40), st.booleans())
@settings(max_examples=60, deadline=None)
def test_ndjson_reads_the_same_parts_out_of_its_lines(documents: list[dict[str, Any]], ascii_only: bool) -> None:
    names = ["x.a", "x.b.c", "x.b.d"]
    with TemporaryDirectory() as folder:
        file = Path(folder, "rows.ndjson")
        file.write_text("".join(json.dumps({"x": each}, ensure_ascii=ascii_only) + "\n" for each in documents))
        snapshot = open_source(NdjsonSource((str(file),)), Staging(Path(folder)))
        assert snapshot.keys is not None and snapshot.keys.beside is snapshot.read
        (frame,) = with_paths(snapshot, reads(names)).read(names, 0)
    require_same(frame.select(names), documents)


def reads(names: list[str]) -> Mapping:
    return Mapping("m.yaml", "identify", {f"attributes.{name}": Column(name) for name in names})


def require_same(made: pl.DataFrame, documents: list[dict[str, Any]]) -> None:
    """Each column x.… has the value that Python reads at that path of the documents."""
    for name in filter(lambda column: column != "x", made.columns):
        for document, text in zip(documents, made[name], strict=True):
            value: Any = document
            for key in name.split(".")[1:]:
                value = value.get(key) if isinstance(value, dict) else None
            assert (None if text is None else json.loads(text)) == value
