"""What `status` reports of the ledgers of a job."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio_etl.cli import main
from cio_etl.sandbox import Sandbox
from tests.running import write_job

PEOPLE = {"operation": "identify", "identifiers": {"id": "id"}, "attributes": {"plan": "plan"}}

pytestmark = pytest.mark.usefixtures("keys")

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def job(sandbox: Sandbox) -> None:
    """A mirror of people, and their plans in a step that sends all."""
    Path("people.yaml").write_text(json.dumps(PEOPLE))
    keys = {"sync": "mirror", "when_gone": "delete", "max_gone": "100%"}
    source = {"parquet": "people.parquet"}
    steps: dict[str, Any] = {"people": (source, "people.yaml", keys), "again": (source, "people.yaml")}
    write_job(Path("job.yaml"), sandbox.url, steps, destination={"requests_per_second": "unlimited", "lanes": 2})


def night(*people: tuple[int, str]) -> None:
    rows = [{"id": str(number), "plan": plan} for number, plan in people]
    pl.DataFrame(rows).write_parquet("people.parquet")
    assert main(["run", "job.yaml", "--quiet"]) == 0


def ledger(capsys: Captured) -> dict[str, Any]:
    """The only ledger that `status --json` reports."""
    capsys.readouterr()
    assert main(["status", "job.yaml", "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    ((found),) = status["ledgers"]
    assert found["run_id"] == status["run_id"] or not found["generation"]
    return dict(found)


def test_status_counts_the_subjects_of_a_ledger_exactly(capsys: Captured) -> None:
    night(*((number, "free") for number in range(50)))
    first = ledger(capsys)
    facts = ("step", "sync", "generation", "subjects", "exact", "additions")
    assert [first[name] for name in facts] == ["people", "mirror", 2, 50, True, 0.0]  # a mirror moves its ledger twice
    assert first["bytes"] == sum(file.stat().st_size for file in Path(".etl/ledger/job/people").iterdir())
    assert first["started_at"] <= first["moved_at"]
    night(*((number, "pro") for number in range(1, 53)))  # 0 is gone, 50, 51 and 52 are new, the others have changed
    second = ledger(capsys)
    assert (second["generation"], second["subjects"]) == (4, 52)
    assert second["started_at"] == first["started_at"] and second["additions"] == 53 / 50


def test_a_ledger_that_everybody_leaves_is_empty(capsys: Captured) -> None:
    night(*((number, "free") for number in range(1_200)))
    Path("people.yaml").write_text(json.dumps(PEOPLE | {"when": "plan = 'free'"}))
    night((1, "left"))
    assert (ledger(capsys)["subjects"], ledger(capsys)["bytes"]) == (0, 0)
    assert main(["plan", "job.yaml", "--step", "people"]) == 0


def test_status_prints_what_a_ledger_knows(capsys: Captured) -> None:
    night((1, "free"), (2, "free"), (3, "free"))
    night((1, "pro"), (2, "free"), (3, "free"))
    capsys.readouterr()
    assert main(["status", "job.yaml"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("ledger     people:"))
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d UTC"
    words = rf"people: 3 subjects, \S+ kB; last written by the run of {time}; everything was last "
    words += rf"sent in the run of {time};"
    assert re.fullmatch(rf"ledger     {words} additions are 33\.3\s% of its base", line)


def test_status_needs_no_file_of_a_ledger(capsys: Captured) -> None:
    night((1, "free"))
    for file in Path(".etl/ledger/job/people").iterdir():
        file.unlink()
    assert ledger(capsys)["subjects"] == 1


def test_status_says_that_a_step_has_no_ledger_yet(sandbox: Sandbox, capsys: Captured) -> None:
    night((1, "free"))
    written = json.loads(Path("job.yaml").read_text())
    written["steps"][0]["name"] = "renamed"
    Path("job.yaml").write_text(json.dumps(written))
    assert ledger(capsys)["generation"] == 0
    main(["status", "job.yaml"])
    assert "ledger     renamed: no ledger yet; the next run sends every row" in capsys.readouterr().out


def rename(**keys: Any) -> None:
    """Gives the first step another name, and other keys."""
    written = json.loads(Path("job.yaml").read_text())
    written["steps"][0] |= {"name": "customers", **keys}
    Path("job.yaml").write_text(json.dumps(written))


def test_a_step_that_is_renamed_keeps_the_ledger_that_it_names(sandbox: Sandbox, capsys: Captured) -> None:
    night((1, "free"), (2, "free"), (3, "free"))
    rename(ledger={"name": "people", "content": "values"})
    night((1, "pro"), (2, "free"))
    assert {each.identifiers["id"]: each.attributes["plan"] for each in sandbox.people.everybody()} == {
        "1": "pro",
        "2": "free",
    }
    found = ledger(capsys)
    assert (found["step"], found["subjects"], found["values"]) == ("customers", 2, True)
    assert main(["doctor", "job.yaml"]) == 0 and "ledger: 2 subjects" in capsys.readouterr().out
    assert main(["forget", "--person", "id:1", "job.yaml"]) == 0
    assert ledger(capsys)["subjects"] == 1


def test_two_job_files_of_one_name_are_told_that_they_share_their_ledgers(capsys: Captured) -> None:
    night((1, "free"))
    words = "job.yaml has the name job and this state, too: both have the same runs, watermarks and ledgers"
    Path("other.yaml").write_text(json.dumps(json.loads(Path("job.yaml").read_text()) | {"name": "job"}))
    assert words not in capsys.readouterr().err
    assert main(["run", "other.yaml"]) == 0
    assert words in capsys.readouterr().err
    Path("job.yaml").unlink()
    assert main(["run", "other.yaml"]) == 0
    Path("other.yaml").rename("moved.yaml")
    assert main(["run", "moved.yaml"]) == 0
    assert "has the name" not in capsys.readouterr().err


def test_a_run_of_a_renamed_step_says_how_to_keep_the_ledger(capsys: Captured) -> None:
    night((1, "free"))
    rename()
    assert main(["run", "job.yaml"]) == 0
    assert "step customers: if it was renamed, write its ledger: {name: people}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ({"name": "again"}, "step customers has the ledger again already"),
        ("both", "must be hashes, values, or {name: …} of the ledger of a step that was renamed"),
        ({"nmae": "people"}, "unknown key; did you mean 'name'?"),
    ],
)
def test_a_ledger_has_one_step(written: Any, fault: str, capsys: Captured) -> None:
    night((1, "free"))
    rename(ledger=written)
    job = json.loads(Path("job.yaml").read_text())
    job["steps"][1]["sync"] = "changed"
    Path("job.yaml").write_text(json.dumps(job))
    assert main(["check", "job.yaml"]) == 78 and fault in capsys.readouterr().err
