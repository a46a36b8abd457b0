"""Tests of mappings in files: what passes, what a failure shows, what `--update` writes, and examples from rows."""

from __future__ import annotations

import doctest
import json
import re
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree as Xml

import polars as pl
import pytest

from cio_etl.cli import main
from cio_etl.config.yaml_file import read_yaml
from cio_etl.validate import examples
from tests.running import write_job

Captured = pytest.CaptureFixture[str]

MAPPING = """\
operation: identify
identifiers: {id: id}
order_by: changed
attributes:
  email: mail
  joined: {column: joined, apply: timestamp}
  total: {column: cents, apply: {divide: 100}}
  plan: {column: plan, apply: [{map: {p: pro, f: free}}]}
when: status <> 'test'
examples:
  - row: {id: "1", changed: null, mail: null, joined: null, cents: null, plan: p, status: ok}
    payload: {type: person, action: identify, identifiers: {id: "1"}, attributes: {plan: pro}}
"""
ROW = 'id: "1", changed: "1", mail: a@b.co, joined: "2024-03-10", cents: 1250, plan: p, status: ok'
TESTS = f"""\
# tests of people
tests:
  - name: usual        # the name
    row: {{{ROW}}}
    payload:
      type: person
      action: identify
      identifiers: {{id: "1"}}
      # in seconds
      attributes: {{email: a@b.co, joined: 1710028800, total: 12.50, plan: pro}}
  - {{name: skipped, row: {{{ROW.replace("ok", "test")}}}, skipped: true}}
  - name: the newest row of a person is sent
    rows:
      - {{{ROW}}}
      - {{{ROW.replace('changed: "1"', 'changed: "2"')}}}
      - {{{ROW.replace('id: "1"', 'id: ""')}}}
    results:
      - skipped: true
      - payload: {{type: person, action: identify, identifiers: {{id: "1"}},
                   attributes: {{email: a@b.co, joined: 1710028800, total: 12.5, plan: pro}}}}
      - rejected: identifier_missing
"""


@pytest.fixture
def people() -> Path:
    """The file of the tests above, beside its mapping; all of them pass."""
    Path("mappings/tests").mkdir(parents=True)
    Path("mappings/people.yaml").write_text(MAPPING, encoding="utf-8")
    file = Path("mappings/tests/people.yaml")
    file.write_text(TESTS, encoding="utf-8")
    return file


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("types", ["", "types: {meta: json}\n"])
def test_a_mapping_that_reads_paths_is_tested_with_rows_that_have_their_columns(types: str, capsys: Captured) -> None:
    Path("mappings/tests").mkdir(parents=True)
    Path("mappings/a.yaml").write_text(
        "operation: identify\nidentifiers: {id: meta.id}\nattributes: {city: meta.address.city}\n", encoding="utf-8"
    )
    rows = [
        "{row: {meta: {id: '7', address: {city: Nice}}}, payload: {type: person, action: identify, "
        "identifiers: {id: '7'}, attributes: {city: Nice}}}",
        "{row: {meta: null}, rejected: identifier_missing}",
    ]
    file = Path("mappings/tests/a.yaml")
    file.write_text(f"{types}tests: [{', '.join(rows)}]\n", encoding="utf-8")
    assert main(["test", "mappings"]) == 0, capsys.readouterr().out
    edit(file, "{meta: null}", "{other: null}")
    capsys.readouterr()
    assert main(["test", "mappings"]) == 78
    assert "the row has no 'meta.id', 'meta.address.city', which the mapping uses" in capsys.readouterr().out


@pytest.mark.parametrize("path", ["mappings", "mappings/people.yaml", "mappings/tests/people.yaml", "job.yaml", "."])
def test_the_tests_of_a_job_a_mapping_a_file_and_a_folder_are_found(people: Path, path: str, capsys: Captured) -> None:
    write_job(Path("job.yaml"), "http://127.0.0.1:9", {"people": ({"csv": "none.csv"}, "mappings/people.yaml")})
    assert main(["test", path]) == 0
    lines = capsys.readouterr().out.splitlines()
    own = [] if path == str(people) else ["mappings/people.yaml: 1 example passed"]
    assert lines == [*own, f"{people}: 3 tests passed", f"{3 + len(own)} tests passed"]


def test_a_file_from_which_others_inherit_need_be_no_whole_mapping(people: Path, capsys: Captured) -> None:
    base = Path("mappings/base.yaml")
    base.write_text("attributes: {source: {value: shop}}\nnulls: clear\n", encoding="utf-8")
    edit(Path("mappings/people.yaml"), "operation:", "extends: base.yaml\noperation:")
    assert main(["test", "mappings"]) == 78  # each payload has one attribute more
    assert "payload.attributes.source" in capsys.readouterr().out
    assert main(["test", "mappings", str(base)]) == 78
    assert f"{base}: operation: missing" in capsys.readouterr().err.replace(":1:", ":")


def test_the_mappings_of_a_job_that_inherits_its_steps_and_has_several_destinations_are_tested(
    people: Path, capsys: Captured
) -> None:
    Path("jobs").mkdir()
    keys = "site_id: '${S}', api_key: '${K}'"
    Path("base.yaml").write_text(
        f"destinations: {{dev: {{{keys}}}, prod: {{region: eu, {keys}}}}}\nvars: {{folder: mappings}}\n"
        "steps: [{name: a, source: {csv: a.csv}, mapping: '${vars.folder}/people.yaml'}]\n"
    )
    Path("jobs/nightly.yaml").write_text("extends: ../base.yaml\n")
    assert main(["test", "jobs"]) == 0
    assert "4 tests passed" in capsys.readouterr().out


def test_a_failure_shows_what_was_expected_and_what_is_sent_and_exits_with_78(people: Path, capsys: Captured) -> None:
    edit(Path("mappings/people.yaml"), "divide: 100", "divide: 1000")
    assert main(["test", "mappings", "--junit", "out/junit.xml"]) == 78
    out = capsys.readouterr().out
    assert f"{people}: 3 tests, 2 failed" in out and out.endswith("2 tests passed, 2 failed\n")
    assert (
        f"""
{people}:3: usual: the payload differs at payload.attributes.total
    "action": "identify",
    "identifiers": {{"id": "1"}},
-   "attributes": {{"email": "a@b.co", "joined": 1710028800, "total": 12.5, "plan": "pro"}}
+   "attributes": {{"email": "a@b.co", "joined": 1710028800, "total": 1.25, "plan": "pro"}}
  }}
"""
        in out
    )
    assert f"{people}:12: the newest row of a person is sent: row 2: the payload differs at" in out
    suites = Xml.parse("out/junit.xml").getroot()
    assert [(suite.get("name"), suite.get("failures")) for suite in suites] == [
        ("mappings/people.yaml", "0"),
        (str(people), "2"),
    ]
    failure = suites.findall(".//failure")[0]
    assert failure.get("message") == "the payload differs at payload.attributes.total" and "1.25" in (
        failure.text or ""
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("skipped: true}", "rejected: email_malformed}", "rejected: email_malformed was expected, but the row is sk"),
        ("rejected: identifier_missing", "skipped: true", "row 3: skipped was expected, but the row is rejected: id"),
        ('mail: a@b.co, joined: "2024-03-10", cents: 1250', "mail: a@b.co, joined: soon, cents: 1250", "a payload was"),
        (", plan: p, status", ", status", "the row has no 'plan', which the mapping uses; add it, with null for no"),
        ('changed: "2"', "changed: 2", "column 'changed' has values of several types; write types: {changed: json}"),
        ("# tests of people", "types: {mail: integer}", "column 'mail' has a value that is no integer; write whole"),
        ("# tests of people", "types: {joined: date, mail: date}", "column 'mail' has a value that is no date; write"),
    ],
)
def test_what_is_wrong_with_a_test_is_said(people: Path, old: str, new: str, said: str, capsys: Captured) -> None:
    edit(people, old, new)
    assert main(["test", str(people)]) == 78
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "tests:\n  - {name: a, skipped: true}\n",
            "tests.yaml:2: tests[0]: a test has one of row: {…}, rows: [{…}] and",
        ),
        ("tests:\n  - {rows: [{a: b}], skipped: true}\n", "the results of several rows are written under results:"),
        ("tests:\n  - {row: {}, rejected: no}\n", "tests[0].rejected: no such reason"),
        ("tests:\n  - {row: {}, skipped: true, payload: {}}\n", "an example has one result"),
        ("tests:\n  - {rows: [{}], results: []}\n", "0 for 1 rows; write one for each row"),
        ("tests:\n  - {row: {}, skipped: true, snapshot: a}\n", "written here or in a snapshot; keep one of the two"),
        ("tests:\n  - {row: {}, skipped: true}\n", "no mapping is named, and the folder is not called tests"),
        ("mapping: no.yaml\ntests:\n  - {row: {}, skipped: true}\n", "no file 'no.yaml'"),
        ("types: {a: int}\ntests:\n  - {row: {}, skipped: true}\n", "types.a: must be 'text', 'integer'"),
    ],
)
def test_a_malformed_file_is_refused_by_check_and_test(text: str, said: str, capsys: Captured) -> None:
    Path("tests.yaml").write_text(text, encoding="utf-8")
    for command in ("test", "check"):
        assert main([command, "tests.yaml"]) == 78
        assert said in capsys.readouterr().err


def test_update_writes_what_is_sent_and_leaves_all_other_text(people: Path, capsys: Captured) -> None:
    mapping = Path("mappings/people.yaml")
    edit(mapping, "divide: 100", "divide: 1000")
    edit(mapping, "status <> 'test'", "status <> 'ok'")
    assert main(["test", "mappings", "--update"]) == 78  # the example of the mapping is left as it is
    out = capsys.readouterr().out
    assert f"written: {people}" in out and f"{people}: 3 tests passed" in out and "examples[0]: a payload was" in out
    row = ROW.replace("ok", "test")
    assert (
        people.read_text(encoding="utf-8")
        == f"""\
# tests of people
tests:
  - name: usual        # the name
    row: {{{ROW}}}
    skipped: true
  - {{name: skipped, row: {{{row}}}, payload: {{type: person, action: identify, identifiers: {{id: "1"}}, \
attributes: {{email: "a@b.co", joined: 1710028800, total: 1.25, plan: pro}}}}}}
  - name: the newest row of a person is sent
    rows:
      - {{{ROW}}}
      - {{{ROW.replace('changed: "1"', 'changed: "2"')}}}
      - {{{ROW.replace('id: "1"', 'id: ""')}}}
    results:
      - {{skipped: true}}
      - {{skipped: true}}
      - {{skipped: true}}
"""
    )
    edit(mapping, "status <> 'ok'", "status <> 'test'")
    edit(mapping, "divide: 1000", "divide: 100")
    assert main(["test", "mappings", "--update"]) == 0
    assert (read_yaml(people).data or {})["tests"][0]["payload"]["attributes"]["total"] == 12.5
    before = people.read_bytes()
    capsys.readouterr()
    assert main(["test", "mappings", "--update"]) == 0
    assert people.read_bytes() == before and "written" not in capsys.readouterr().out


def test_a_snapshot_compares_every_byte_and_a_source_is_read_as_in_a_run(people: Path, capsys: Captured) -> None:
    rows = {"id": ["1", "2"], "changed": [1, 2], "mail": ["a@b.co", "b@@b.co"], "cents": [1250, 1], "status": "ok"}
    frame = pl.DataFrame(rows | {"plan": "p"}).with_columns(pl.lit("2024-03-10").str.to_date().alias("joined"))
    frame.write_parquet("rows.parquet")
    people.write_text("tests:\n  - {source: {parquet: rows.parquet}, snapshot: rows.ndjson}\n", encoding="utf-8")
    assert main(["test", str(people)]) == 78
    assert "there is no rows.ndjson; `cio-etl test --update` writes it" in capsys.readouterr().out
    assert main(["test", str(people), "--update"]) == 0
    snapshot = Path("rows.ndjson")
    first = '{"type":"person","action":"identify","identifiers":{"id":"1"},"attributes":{"email":"a@b.co",'
    assert snapshot.read_text(encoding="utf-8") == (
        f'{{"row": 1, "payload": {first}"joined":1710028800,"total":12.5,"plan":"pro"}}}}}}\n'
        '{"row": 2, "rejected": "email_malformed", "field": "attributes.email"}\n'
    )
    edit(snapshot, "12.5", "12.50")
    capsys.readouterr()
    assert main(["test", str(people)]) == 78
    out = capsys.readouterr().out
    assert "1 row differs from rows.ndjson" in out and '"total":12.50' in out and '"total":12.5,' in out


def test_a_result_that_yaml_cannot_hold_is_refused_and_nothing_is_written(people: Path, capsys: Captured) -> None:
    edit(Path("mappings/people.yaml"), "divide: 100", "multiply: 100000000000000000")
    edit(people, "1250", "9007199254740993")
    before = people.read_bytes()
    assert main(["test", str(people), "--update"]) == 78
    assert "use snapshot: in that test" in capsys.readouterr().err
    assert people.read_bytes() == before


# ---------------------------------------------------------------- examples from rows


def test_the_examples_in_docstrings_are_right() -> None:
    assert doctest.testmod(examples) == (0, 2)


def test_examples_are_rows_that_differ_masked_so_that_the_same_becomes_of_them(capsys: Captured) -> None:
    Path("mappings").mkdir()
    edit_free = MAPPING.replace("email: mail", "email: mail\n  mobile: {column: phone, apply: [{phone: {region: FR}}]}")
    Path("mappings/people.yaml").write_text(re.sub(r"(?s)examples:.*", "", edit_free), encoding="utf-8")
    usual = [f"{at},1,anna{at}@example.com,2024-03-1{at % 10},1250,p,ok,+3361234567{at % 10}" for at in range(20)]
    others = ["90,2,,,,f,ok,", "91,3,ben@@example.com,2024-03-10,7,p,ok,", "92,4,secret@example.com,,1,f,test,"]
    others += ["92,5,dora@example.com,,1,f,test,"] * 5
    header = "id,changed,mail,joined,cents,plan,status,phone"
    Path("people.csv").write_text("\n".join([header, *usual, *others, ""]), encoding="utf-8")
    write_job(Path("job.yaml"), "http://127.0.0.1:9", {"people": ({"csv": "people.csv"}, "mappings/people.yaml")})
    assert main(["examples", "job.yaml", "-n", "4"]) == 0
    said = "a usual row, a row with 4 nulls, rejected: email_malformed, skipped"
    assert capsys.readouterr().out == f"mappings/tests/people.yaml: {said}\n"
    text = Path("mappings/tests/people.yaml").read_text(encoding="utf-8")
    assert "anna" not in text and "secret" not in text and "234567" not in text and "2024-03" not in text
    usual_test, nulls, rejected, skipped = (read_yaml(Path("mappings/tests/people.yaml")).data or {})["tests"]
    assert usual_test["payload"]["attributes"].keys() == {"email", "mobile", "joined", "total", "plan"}
    assert usual_test["row"]["status"] == "xx" and usual_test["row"]["plan"] == "p"  # only what the result needs stays
    assert nulls["payload"]["attributes"] == {"plan": "free"} and nulls["row"]["mail"] is None
    assert rejected["rejected"] == "email_malformed" and skipped["skipped"] and skipped["row"]["status"] == "test"
    assert main(["test", "job.yaml"]) == 0
    assert main(["examples", "job.yaml", "-n", "1", "--reveal"]) == 0
    assert Path("mappings/tests/people.yaml").read_text(encoding="utf-8") == text
    assert "anna0@example.com" in Path("mappings/tests/people.2.yaml").read_text(encoding="utf-8")
    assert json.loads(Path("mappings/tests/.schema.json").read_text(encoding="utf-8"))["title"] == "cio-etl tests"


@pytest.mark.parametrize("value", [b"x", [datetime(2024, 3, 10)]])
def test_a_row_that_yaml_cannot_hold_is_left_out(value: object, capsys: Captured) -> None:
    Path("mappings").mkdir()
    apply = ", apply: [decode]" if isinstance(value, bytes) else ""
    text = f"operation: identify\nidentifiers: {{id: id}}\nattributes: {{a: {{column: a{apply}}}}}\n"
    Path("mappings/m.yaml").write_text(text, encoding="utf-8")
    pl.DataFrame({"id": ["1"], "a": [value]}).write_parquet("rows.parquet")
    write_job(Path("job.yaml"), "http://127.0.0.1:9", {"s": ({"parquet": "rows.parquet"}, "mappings/m.yaml")})
    assert main(["examples", "job.yaml"]) == 0
    out, err = capsys.readouterr()
    assert out == "no row could be made a test\n" and "rows.parquet:1: column 'a' holds bytes, or dates in lists" in err


def test_a_usual_row_has_no_rare_value_that_a_test_could_not_keep(capsys: Captured) -> None:
    Path("mappings").mkdir()
    text = "operation: track\nevent: {column: status, apply: [{map: {r: returned, c: completed}}]}\n"
    text += "event_key: [id]\nidentifiers: {id: who}\n"
    Path("mappings/m.yaml").write_text(text, encoding="utf-8")
    rows = ["1,7,r", "2,8,r", *(f"{at},9,c" for at in range(3, 12)), "12,,c"]
    Path("orders.csv").write_text("\n".join(["id,who,status", *rows, ""]), encoding="utf-8")
    write_job(Path("job.yaml"), "http://127.0.0.1:9", {"s": ({"csv": "orders.csv"}, "mappings/m.yaml")})
    assert main(["examples", "job.yaml"]) == 0
    assert capsys.readouterr().out == "mappings/tests/m.yaml: a usual row, rejected: identifier_missing\n"
    usual, _ = (read_yaml(Path("mappings/tests/m.yaml")).data or {})["tests"]
    assert usual["row"]["status"] == "c" and usual["payload"]["name"] == "completed"


def test_a_number_that_yaml_cannot_hold_leaves_its_row_out(capsys: Captured) -> None:
    Path("mappings").mkdir()
    Path("mappings/m.yaml").write_text("operation: identify\nidentifiers: {id: id}\nattributes: {a: a, b: b}\n")
    rows = [{"id": "1", "a": 2**70, "b": 1e22}, {"id": "2", "a": None, "b": 5e-324}]
    Path("rows.ndjson").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    write_job(Path("job.yaml"), "http://127.0.0.1:9", {"s": ({"ndjson": "rows.ndjson"}, "mappings/m.yaml")})
    assert main(["examples", "job.yaml", "--reveal"]) == 0
    assert "rows.ndjson:1: a value that YAML cannot hold" in capsys.readouterr().err
    assert main(["test", "job.yaml"]) == 0
    assert "mappings/tests/m.yaml: 1 test passed" in capsys.readouterr().out


def test_examples_of_typed_columns_have_their_types_and_a_row_that_cannot_be_masked_is_left_out(
    capsys: Captured,
) -> None:
    Path("mappings").mkdir()
    Path("mappings/m.yaml").write_text(
        "operation: identify\nidentifiers: {id: id}\nattributes:\n  at: at\n  on: day\n  sum: sum\n  tags: tags\n"
        "  plan: {column: plan, apply: [{map: {gold: 1}}]}\n",
        encoding="utf-8",
    )
    frame = pl.DataFrame(
        {"id": [1, 2], "at": ["2024-03-10T09:00:00"] * 2, "sum": ["12.50", None], "tags": [["a"], None]}
    )
    frame = frame.with_columns(
        pl.col("at").str.to_datetime().dt.replace_time_zone("Europe/Paris"),
        pl.col("sum").cast(pl.Decimal(10, 2)),
        pl.lit("2024-03-10").str.to_date().alias("day"),
        pl.Series("plan", [None, "gold"]),
    )
    frame.write_parquet("rows.parquet")
    write_job(Path("job.yaml"), "http://127.0.0.1:9", {"s": ({"parquet": "rows.parquet"}, "mappings/m.yaml")})
    assert main(["examples", "job.yaml"]) == 0
    out, err = capsys.readouterr()
    assert out == "mappings/tests/m.yaml: a usual row\n"
    assert (
        "rows.parquet:2: no masked value of column 'plan' has the same result; --reveal writes the real values" in err
    )
    data = read_yaml(Path("mappings/tests/m.yaml")).data or {}
    assert data["types"] == {"at": "datetime_utc", "day": "date", "sum": "decimal"}
    (test,) = data["tests"]
    assert test["row"]["sum"] == "11.11" and test["payload"]["attributes"]["sum"] == 11.11
    assert main(["test", "job.yaml"]) == 0
