"""Rows that are sent without a value: what arrives, what is counted, over kills and over nights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio_etl.cli import main
from cio_etl.model import Job, Omitted, OmittedCount
from cio_etl.run import RunOptions
from cio_etl.sandbox import Sandbox
from cio_etl.validate.dry_run import validate
from cio_etl.validate.plan import plan_file
from tests.nightly_step import PEOPLE, Nights, change, delta, person
from tests.run.test_run import job_for, newest, run
from tests.running import start, until

pytestmark = pytest.mark.usefixtures("keys")

AGE = {"column": "age", "apply": ["number"]}
NOTE = {"column": "note", "apply": ["number"], "on_error": {"value": "none"}}
MAPPING = {
    "operation": "identify",
    "identifiers": {"id": "id"},
    "attributes": {"row": "row", "age": AGE | {"on_error": "omit"}, "note": NOTE},
}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(trace="row") as running:
        yield running


def members(sandbox: Sandbox, rows: int = 600, **settings: Any) -> Job:
    """A job of rows of which a third has no age, a fifth no note, and a tenth no identifier."""
    pl.DataFrame(
        {
            "id": [f"p{n}" if n % 10 else "" for n in range(rows)],
            "row": list(range(rows)),
            "age": ["x" if n % 3 == 1 else str(n) for n in range(rows)],
            "note": ["y" * 600 if n % 5 == 2 else "7" for n in range(rows)],
        }
    ).write_parquet("members.parquet")
    Path("members.yaml").write_text(json.dumps(MAPPING))
    steps = {"members": ({"parquet": "members.parquet"}, "members.yaml")}
    return job_for(sandbox, steps, max_rejects="50%", **settings)


def places(rows: list[int]) -> tuple[str, ...]:
    return tuple(f"members.parquet:{row + 1}" for row in rows)


def expected(rows: int = 600) -> Omitted:
    def those(divisor: int, rest: int) -> list[int]:
        return [n for n in range(rows) if n % divisor == rest and n % 10]

    counts = [
        OmittedCount(
            "not_a_number", f"attributes.{name}", len(here), tuple(f"members.parquet:{n + 1}" for n in here[:3])
        )
        for name, here in (("age", those(3, 1)), ("note", those(5, 2)))
    ]
    return Omitted(len({*those(3, 1), *those(5, 2)}), tuple(counts))


def test_a_run_counts_what_it_omits_as_a_validation_does_and_every_row_is_accounted_for(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    job = members(sandbox)
    assert main(["plan", "job.yaml", "-o", "plan.json"]) == 3
    assert f"omitted in members: values of {expected().rows} rows" in capsys.readouterr().out
    assert "Omitted values of members by reason" in Path("plan.html").read_text()
    assert plan_file(Path("job.yaml"), RunOptions(), print).steps[0].omitted == expected()
    report = run(job)
    (step,) = report.steps
    assert step.omitted == expected() == validate(job, job.steps, None, {}).steps[0].omitted
    assert (step.rows_read, step.accepted, step.rejected, step.skipped) == (600, 540, 60, 0)
    people = {str(each.identifiers["id"]): dict(each.attributes) for each in sandbox.people.everybody()}
    assert people["p1"] == {"row": 1, "note": 7}
    assert people["p2"] == {"row": 2, "age": 2, "note": "none"}
    told = newest(job)["steps"][0]["omitted"]
    assert told["rows"] == expected().rows and told["counts"][0]["field"] == "attributes.age"
    (page,) = Path(".etl").rglob("report.html")
    assert "Omitted values of members by reason" in page.read_text()
    assert main(["status", "job.yaml"]) in (0, 3)


@pytest.mark.fault("P1")
def test_the_omitted_values_of_a_killed_run_are_those_of_the_whole_run_when_it_has_been_resumed(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    job = members(sandbox, 1_200, destination={"requests_per_second": 20, "max_batch_bytes": 32_100, "lanes": 16})
    process = start("run", "job.yaml", folder=tmp_path)
    until(lambda: sandbox.stats()["requests"] >= 3)
    process.kill()
    process.communicate()
    (killed,) = (job.state / "runs").iterdir()
    report = run(job)
    assert report.run_id == killed.name
    assert report.steps[0].omitted == expected(1_200)
    assert report.steps[0].accepted == 1_080


def test_a_row_that_is_rejected_for_its_size_or_skipped_for_another_row_omits_nothing(sandbox: Sandbox) -> None:
    data = {"id": ["a", "a", "b"], "at": [1, 2, 3], "age": ["x", "5", "x"], "row": [0, 1, 2], "note": ["1", "1", "1"]}
    pl.DataFrame(data).write_parquet("members.parquet")
    Path("members.yaml").write_text(json.dumps(MAPPING | {"order_by": "at"}))
    report = run(job_for(sandbox, {"members": ({"parquet": "members.parquet"}, "members.yaml")}))
    assert report.steps[0].omitted == Omitted(
        1, (OmittedCount("not_a_number", "attributes.age", 1, ("members.parquet:3",)),)
    )


# ---------------------------------------------------------------- over nights

AGES = PEOPLE | {"attributes": {"plan": "plan", "age": AGE}}


def aged(number: int, age: str | None, **values: Any) -> dict[str, Any]:
    return person(number, age=age, **values)


def with_age(**settings: Any) -> dict[str, Any]:
    return PEOPLE | {"attributes": {"plan": "plan", "age": AGE | settings}}


@pytest.mark.parametrize("nulls", ["omit", "clear"])
def test_a_value_that_is_omitted_is_no_change(nights: Nights, nulls: str) -> None:
    nights.mapping = with_age(on_error="omit", nulls=nulls)
    nights.run([aged(1, "41"), aged(2, "x")])
    report = nights.run([aged(1, "x"), aged(2, "x")])
    assert (nights.items(), delta(report), report.steps[0].omitted.rows) == ([], (0, 0, 2, 0), 0)
    report = nights.run([aged(1, "x", plan="pro"), aged(2, "7")])
    assert nights.items() == [change(1, plan="pro"), change(2, age=7)]
    assert report.steps[0].omitted.rows == 1


def test_null_and_a_constant_in_place_of_a_value_are_sent_once(nights: Nights) -> None:
    nights.mapping = with_age(on_error=None)
    nights.run([aged(1, "41"), aged(2, "x"), aged(3, None)])
    assert nights.sent([aged(1, "x"), aged(2, "x"), aged(3, "x")]) == [change(1, age=None), change(3, age=None)]
    assert nights.sent([aged(1, "x"), aged(2, "y"), aged(3, None)]) == []
    nights.mapping = with_age(on_error={"value": "unknown"})
    assert nights.sent([aged(1, "x"), aged(2, "8"), aged(3, None)]) == [change(1, age="unknown"), change(2, age=8)]
    assert nights.sent([aged(1, "z"), aged(2, "8"), aged(3, None)]) == []


@pytest.mark.parametrize("of_mapping", ["omit", "clear"])
def test_each_attribute_is_compared_by_its_own_nulls(nights: Nights, of_mapping: str) -> None:
    plan, city = {"column": "plan", "nulls": "clear"}, {"column": "city", "nulls": "omit"}
    nights.mapping = PEOPLE | {"attributes": {"plan": plan, "city": city, "email": "email"}, "nulls": of_mapping}
    nights.run([person(1), person(2, plan=None, city=None)])
    cleared = {"email": None} if of_mapping == "clear" else {}
    assert nights.sent([person(1, plan=None, city=None, email=None), person(2, plan=None)]) == [
        change(1, plan=None, **cleared),
        change(2, city="Rome"),
    ]
    assert nights.sent([person(1, plan=None, city=None, email=None), person(2, plan=None)]) == []
