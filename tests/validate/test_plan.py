"""Plans: what a run would change, and runs that send just that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio_etl.cli import main
from cio_etl.sandbox import Sandbox
from tests.running import write_job

PEOPLE = {"operation": "identify", "identifiers": {"id": "id"}, "attributes": {"plan": "plan", "city": "city"}}

pytestmark = pytest.mark.usefixtures("keys")


@pytest.fixture
def job(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    Path("people.yaml").write_text(json.dumps(PEOPLE))
    keys = {"sync": "mirror", "when_gone": "delete", "max_gone": "50%", "limits": {"changed": "60%"}}
    rows(*(person(number) for number in range(5)))
    yield write_job(
        Path("job.yaml"),
        sandbox.url,
        {"people": ({"parquet": "people.parquet"}, "people.yaml", keys)},
        destination={"requests_per_second": "unlimited", "lanes": 2},
    )


def person(number: int, **values: str | None) -> dict[str, Any]:
    return {"id": str(number), "plan": "free", "city": "Rome"} | values


def rows(*people: dict[str, Any]) -> None:
    pl.DataFrame(list(people), schema=dict.fromkeys(person(0), pl.String)).write_parquet("people.parquet")


def test_a_plan_counts_what_a_run_would_change_and_sends_nothing(
    job: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(job)]) == 0
    rows(person(0), person(1, city="Oslo"), person(2, plan="pro", city="Bern"), person(9), person(4))
    before = sandbox.stats()
    capsys.readouterr()
    assert main(["plan", str(job), "--json"]) == 3
    (step,) = json.loads(capsys.readouterr().out)["steps"]
    counts = {name: step["delta"][name] for name in ("new", "changed", "same", "gone")}
    assert counts == {"new": 1, "changed": 2, "same": 2, "gone": 1}
    assert step["delta"]["parts"]["attributes.city"] == {"set": 0, "changed": 2, "unset": 0}
    assert (step["rows"], step["items"], step["skipped"], step["rejected"]) == (5, 3, 2, 0)
    assert sandbox.stats() == before
    assert main(["plan", str(job)]) == 3
    out = capsys.readouterr().out
    assert "plan of job: nothing was sent" in out and "attributes.city" in out and "cio-etl run job.yaml" in out


def test_a_plan_of_no_change_exits_with_0(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(job)]) == 0
    capsys.readouterr()
    assert main(["plan", str(job)]) == 0
    assert "nothing to send" in capsys.readouterr().out


def test_a_plan_that_would_change_too_much_says_that_a_run_would_stop(
    job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(job)]) == 0
    rows(*(person(number, city="Oslo") for number in range(5)))
    capsys.readouterr()
    assert main(["plan", str(job)]) == 4
    assert "5 of 5 subjects would change; limits: changed allows 3 (60 %)" in capsys.readouterr().out


def test_apply_sends_what_was_planned_once(job: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(job)]) == 0
    rows(*(person(number) for number in range(4)), person(7))
    assert main(["plan", str(job), "-o", "plan.json"]) == 3
    assert main(["apply", "plan.json"]) == 0
    assert sorted(str(each.identifiers["id"]) for each in sandbox.people.everybody()) == ["0", "1", "2", "3", "7"]
    capsys.readouterr()
    assert main(["apply", "plan.json"]) == 78
    fault, remedy = capsys.readouterr().err.strip().splitlines()[-2:]
    assert (
        fault == "the plan does not fit any more: step people: a run has moved its ledger" and "cio-etl plan" in remedy
    )


@pytest.mark.parametrize(
    ("what", "words"),
    [("rows", "its source has other rows"), ("mapping", "its mapping has changed"), ("ledger", "a run has moved")],
)
def test_apply_refuses_a_plan_of_something_that_has_moved(
    job: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str], what: str, words: str
) -> None:
    assert main(["run", str(job)]) == 0
    rows(*(person(number) for number in range(5)), person(7))
    assert main(["plan", str(job), "-o", "plan.json"]) == 3
    if what == "rows":
        rows(*(person(number) for number in range(5)), person(8))
    elif what == "mapping":
        Path("people.yaml").write_text(json.dumps(PEOPLE | {"nulls": "clear"}))
    else:
        assert main(["run", str(job)]) == 0
    before = sandbox.stats()
    capsys.readouterr()
    assert main(["apply", "plan.json"]) == 78
    assert words in capsys.readouterr().err and sandbox.stats() == before


def test_an_old_plan_and_another_file_are_refused(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(job), "-o", "plan.json"]) == 3
    plan = json.loads(Path("plan.json").read_text())
    plan["made_at"] = (datetime.now(UTC) - timedelta(days=8)).isoformat()
    Path("plan.json").write_text(json.dumps(plan))
    assert main(["apply", "plan.json"]) == 78
    assert "the plan is 8 days old" in capsys.readouterr().err
    Path("plan.json").write_text("{}")
    assert main(["apply", "plan.json"]) == 2
    assert "plan.json is no plan" in capsys.readouterr().err
