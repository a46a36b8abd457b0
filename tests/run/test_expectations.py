"""Expectations stop a run before its first request, are findings of it, and stand in a validation and a plan."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio_etl.audit import expectations_of, run_audits
from cio_etl.cli import main
from cio_etl.errors import CredentialsRefused, ExpectationsFailed
from cio_etl.model import Destination, Expectation, Report
from cio_etl.run import prepare
from cio_etl.run.prescan import prescan
from cio_etl.sandbox import Faults, Sandbox
from tests.mapped_rows import column, mapping
from tests.mapped_rows import rows as mapped_rows
from tests.nightly_step import KEYS, PEOPLE, Nights, person
from tests.running import write_job
from tests.snapshots import held, step

NO_EMAIL = {"not_null": "email"}
WORDS = "step rows: email: not_null: 1 of 3 rows have no value; nothing of this step was sent"


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


def findings(report: Report) -> list[tuple[str, str, str | None, int, tuple[str, ...]]]:
    return [(each.code, each.severity, each.field, each.rows, each.first_rows) for each in report.steps[0].findings]


def rows(*emails: str | None) -> list[dict[str, Any]]:
    return [person(number, email=email) for number, email in enumerate(emails)]


@pytest.mark.parametrize("sync", ["all", "changed"])
def test_an_error_stops_before_the_first_request_until_the_source_is_fixed_or_it_is_accepted(
    nights: Nights, sync: str, capsys: pytest.CaptureFixture[str]
) -> None:
    nights.step = {"sync": sync, "expect": [NO_EMAIL]}
    nights.run(rows("a@b.co"))
    bad = rows("a@b.co", None, "c@b.co")
    with pytest.raises(ExpectationsFailed, match=WORDS) as stopped:
        nights.run(bad)
    assert stopped.value.exit_code == 4 and nights.bodies == []
    assert main(["run", "job.yaml"]) == 4
    fault, remedy = capsys.readouterr().err.splitlines()[-2:]
    assert fault == WORDS and "report.html, and fix the source; or, if its rows are right, run once `" in remedy
    assert remedy.endswith("run job.yaml --accept-unexpected`; once the source is fixed: cio-etl run job.yaml")
    stopped_report = json.loads(next(iter(sorted(Path(".etl/runs").glob("*/report.json"))[-1:])).read_text())
    assert stopped_report["steps"][0]["findings"][0]["severity"] == "error"
    report = nights.again(accept_unexpected=True)
    assert report.exit_code == 0 and len(nights.items()) == (3 if sync == "all" else 2)
    assert findings(report) == [("expectation_failed", "error", "email", 1, ("rows.parquet:2",))]
    with pytest.raises(ExpectationsFailed):
        nights.again()  # it was accepted once
    assert nights.run(rows("a@b.co", "b@b.co", "c@b.co")).exit_code == 0  # without --restart


def test_a_warning_is_a_finding_and_all_rows_count_also_those_that_are_not_sent(nights: Nights) -> None:
    nights.mapping = PEOPLE | {"expect": [NO_EMAIL | {"severity": "warn"}], "when": "plan = 'free'"}
    nights.run(rows("a@b.co", None))
    report = nights.run([*rows("a@b.co", None), person(2, email=None, plan="test")])
    assert report.exit_code == 0 and nights.bodies == []  # the ledger has the first two, `when` skips the third
    assert findings(report) == [("expectation_failed", "warning", "email", 2, ("rows.parquet:2", "rows.parquet:3"))]


def test_dates_and_expectations_are_looked_at_in_one_pass() -> None:
    frame = mapped_rows({"at": ["2026-11-20T10:00:00Z"] * 3, "order": ["1", "2", "3"], "price": ["5", "x", None]})
    snapshot = held(frame)
    reads: list[Sequence[str] | None] = []

    def read(columns: Sequence[str] | None, start: int) -> Iterator[pl.DataFrame]:
        reads.append(columns)
        return snapshot.read(columns, start)

    price = Expectation("regex", ("price",), {"pattern": "[0-9]+"}, stops=False)
    at = column("at", "timestamp")
    made = step(mapping("track", timestamp=at, attributes={"price": column("price")}, expect=(price,)))
    counted = replace(snapshot, read=read)
    rows, compiled = prepare(made, counted, 4, "track")
    reads.clear()
    to = Destination("track", "", {})
    audits = run_audits(made, compiled, to, 0.0)
    found = prescan(made, rows, compiled, audits, (), expectations_of(made, rows, 0.0, whole=True))
    assert reads == [["at", "price"]]
    assert {each.code: each.rows for each in found} == {"expectation_failed": 1, "event_in_the_future": 3}


def two_steps(sandbox: Sandbox, source: Any) -> None:
    Path("m.yaml").write_text(json.dumps(PEOPLE), encoding="utf-8")
    Path("first.csv").write_text("id,email,plan,city\n1,a@b.co,free,Rome\n", encoding="utf-8")
    second = (source, "m.yaml", {"expect": [{"unique": "email"}, {"not_null": "note"}]})
    write_job(Path("job.yaml"), sandbox.url, {"first": ({"csv": "first.csv"}, "m.yaml"), "second": second})


def test_files_of_later_steps_are_tested_before_the_first_step_is_sent(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    two_steps(sandbox, {"csv": "second.csv"})
    second = Path("second.csv")
    second.write_text("id,email,plan,city,note\n2,x@b.co,,,n\n3,x@b.co,,,n\n", encoding="utf-8")
    assert main(["run", "job.yaml"]) == 4
    assert "step second: email: unique: 1 of 2 rows repeat the key of another row" in capsys.readouterr().err
    assert len(sandbox.people.everybody()) == 0
    second.write_text("id,email,plan,city\n2,x@b.co,,\n", encoding="utf-8")
    assert main(["run", "job.yaml"]) == 65
    assert "expect[1]: the source has no column 'note'" in capsys.readouterr().err


def test_a_copied_source_is_read_again_once_it_is_fixed_and_the_run_goes_on(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    two_steps(sandbox, {"sql": "sqlite:///shop.db", "table": "people"})
    with closing(sqlite3.connect("shop.db")) as shop, shop:
        shop.execute("create table people (id text, email text, plan text, city text, note text)")
        shop.executemany("insert into people values (?, ?, '', '', ?)", [("2", "x@b.co", "n"), ("3", "y@b.co", None)])
    shop.close()
    assert main(["run", "job.yaml"]) == 4
    assert "step second: note: not_null: 1 of 2 rows have no value" in capsys.readouterr().err
    assert len(sandbox.people.everybody()) == 1  # of the first step; a database is copied when its step starts
    with closing(sqlite3.connect("shop.db")) as shop, shop:
        shop.execute("update people set note = 'n'")
    shop.close()
    assert main(["run", "job.yaml"]) == 0
    assert len(sandbox.people.everybody()) == 3


@pytest.mark.parametrize(("sync", "first"), [("all", 1), ("changed", 1), ("all", 0)], ids=["all", "changed", "added"])
def test_expectations_that_change_during_a_run_hold_for_steps_of_which_nothing_was_sent(
    nights: Nights, sync: str, first: int
) -> None:
    nights.step = {"sync": sync, "expect": [{"row_count": {"min": 2}}][:first]}
    nights.settings = {"destination": {"max_batch_bytes": 32_100, "lanes": 1}}
    many = [person(number, email=None, city=f"{number:0900}") for number in range(100)]
    nights.sandbox.set_faults(Faults(key_revoked_after=1))
    with pytest.raises(CredentialsRefused):
        nights.run(many)
    nights.sandbox.set_faults(Faults())
    assert nights.bodies, "a part of the rows was sent"
    with pytest.raises(CredentialsRefused):  # the same expectations: nothing to note
        nights.sandbox.set_faults(Faults(key_revoked_after=1))
        nights.run(many)
    assert not any("expect" in note for note in nights.notes)
    nights.sandbox.set_faults(Faults())
    nights.step["expect"] = [NO_EMAIL]
    report = nights.run(many)
    (note,) = nights.notes
    assert report.status == "finished" and note.startswith("step rows: `expect` has changed since this run tested")
    assert note.endswith("the next run tests by what it says now, and so does `validate`")
    with pytest.raises(ExpectationsFailed):
        nights.run(many)


def test_expectations_of_a_later_step_that_change_during_a_run_stop_it_there(sandbox: Sandbox) -> None:
    two_steps(sandbox, {"parquet": "second.parquet"})
    job = Path("job.yaml").read_text()
    Path("job.yaml").write_text(job.replace("note", "id"))
    pl.DataFrame({"id": ["2"], "email": ["x@b.co"], "plan": "", "city": "", "note": None}).write_parquet(
        "second.parquet"
    )
    sandbox.set_faults(Faults(key_revoked_after=1))
    assert main(["run", "job.yaml"]) == 77  # between the two steps
    sandbox.set_faults(Faults())
    Path("job.yaml").write_text(job)
    assert main(["run", "job.yaml"]) == 4
    assert len(sandbox.people.everybody()) == 1


def test_a_validation_and_a_plan_say_what_would_stop_a_run(
    nights: Nights, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    nights.step = {"sync": "changed", "expect": [NO_EMAIL, {"row_count": {"min": 4}}]}
    with pytest.raises(ExpectationsFailed):
        nights.run(rows("a@b.co", None, "c@b.co"))
    assert main(["validate", "job.yaml"]) == 4
    words = "row_count: 3 rows; at least 4 expected; email: not_null: 1 of 3 rows have no value"
    out = capsys.readouterr().out
    assert f"a run would stop in step rows: {words}" in out
    assert "expectation_failed in email at rows.parquet:2" in out
    assert main(["validate", "job.yaml", "--limit", "1"]) == 0  # a part of the rows says nothing about their number
    assert main(["plan", "job.yaml", "-o", "plan.json"]) == 4
    out = capsys.readouterr().out
    assert words in out and "cio-etl apply plan.json --accept-unexpected" in out
    page = Path("plan.html").read_text(encoding="utf-8")
    assert "expectation_failed" in page and "row_count: 3 rows; at least 4 expected" in page
    assert main(["apply", "plan.json"]) == 4 and nights.bodies == []
    assert main(["apply", "plan.json", "--accept-unexpected"]) == 0
    assert len(nights.items()) == 3


def test_fail_on_makes_a_warning_fail_a_validation(nights: Nights) -> None:
    nights.step = {"expect": [NO_EMAIL | {"severity": "warn"}]}
    nights.run(rows("a@b.co", None))
    assert main(["validate", "job.yaml"]) == 0
    assert main(["validate", "job.yaml", "--fail-on", "expectation_failed"]) == 4


def test_replayed_rows_are_not_tested_again(nights: Nights, sandbox: Sandbox) -> None:
    nights.settings = {"rejects": "rows"}
    nights.step = {"expect": [{"row_count": {"min": 2}}]}
    nights.run(rows("a@b.co", "b@@b.co"))
    run_id = next(iter(Path(".etl/runs").iterdir())).name
    assert main(["rejects", run_id, "-o", "rejects.csv"]) == 0
    fixed = Path("rejects.csv").read_text(encoding="utf-8").replace("b@@b.co", "b@b.co")
    Path("rejects.csv").write_text(fixed, encoding="utf-8")
    assert main(["replay", "rejects.csv"]) == 0
    assert len(sandbox.people.everybody()) == 2


def test_a_text_in_a_json_column_is_tested_without_its_quotes(sandbox: Sandbox) -> None:
    expect = [{"accepted_values": {"column": "plan", "values": ["pro", 5]}}]
    Path("m.yaml").write_text(json.dumps(PEOPLE | {"expect": expect}), encoding="utf-8")
    lines = [
        {"id": "1", "plan": "pro", "email": None, "city": None},
        {"id": "2", "plan": 5, "email": None, "city": None},
    ]
    Path("rows.ndjson").write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    write_job(Path("job.yaml"), sandbox.url, {"rows": ({"ndjson": "rows.ndjson"}, "m.yaml")})
    assert main(["run", "job.yaml"]) == 0
    assert {each.attributes["plan"] for each in sandbox.people.everybody()} == {"pro", 5}
