"""Plans: what a run would change, and runs that send just that."""

from __future__ import annotations

import json
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio_etl import state
from cio_etl.cli import main
from cio_etl.ledger import Ledger
from cio_etl.model import Plan
from cio_etl.sandbox import Faults, Sandbox
from tests.report.test_page import words
from tests.running import SITE_ID, write_job

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
        destination={"requests_per_second": "unlimited", "lanes": 2, "max_batch_bytes": 32_100},
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
    assert step["delta"]["parts"]["attributes.city"] == {"set": 0, "changed": 2, "unset": 0, "emptied": 0}
    assert (step["rows"], step["items"], step["skipped"], step["rejected"]) == (5, 3, 2, 0)
    assert sandbox.stats() == before
    assert main(["plan", str(job)]) == 3
    out = capsys.readouterr().out
    assert "plan of job: nothing was sent" in out and "attributes.city" in out and "cio-etl run job.yaml" in out


def test_a_plan_needs_no_answer_of_customer_io(job: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(job)]) == 0
    sandbox.stop()
    assert main(["plan", str(job)]) == 0, capsys.readouterr().err


def test_a_plan_of_no_change_exits_with_0(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(job)]) == 0
    capsys.readouterr()
    assert main(["plan", str(job)]) == 0
    assert "A run would send nothing: 5 people stay as they are." in capsys.readouterr().out


def test_a_plan_that_would_change_too_much_says_that_a_run_would_stop(
    job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(job)]) == 0
    rows(*(person(number, city="Oslo") for number in range(5)))
    capsys.readouterr()
    assert main(["plan", str(job)]) == 4
    assert "5 of 5 subjects would change; limits: changed allows 3 (60 %)" in capsys.readouterr().out


def test_a_plan_has_a_page_beside_it_with_the_same_facts(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(job)]) == 0
    rows(person(0), person(1, city="Oslo"), person(2, plan="pro", city="Bern"), person(9), person(4))
    capsys.readouterr()
    assert main(["plan", str(job), "-o", "plan.json"]) == 3
    out, page = capsys.readouterr().out, Path("plan.html").read_text()
    for shown in (out, page):
        assert "A run would add 1 person, change 2 and remove 1; 2 stay as they are." in shown
        assert "attributes.city" in shown and "cio-etl apply plan.json" in shown
    assert stat.S_IMODE(Path("plan.html").stat().st_mode) == 0o600
    assert "page       plan.html" in out
    assert main(["plan", str(job), "--page", "pages/tonight.html"]) == 3
    assert "cio-etl run job.yaml" in Path("pages/tonight.html").read_text() and not Path("pages/tonight.json").exists()


def test_a_plan_is_not_overwritten_by_its_page(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(job), "-o", "plan.html"]) == 2
    assert "plan.html is the name of the plan's page, too" in capsys.readouterr().err
    Path("file").touch()
    assert main(["plan", str(job), "-o", "file/plan.json"]) == 2
    assert "the plan cannot be written" in capsys.readouterr().err


def test_a_plan_counts_the_requests_that_remove_who_is_gone(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(job)]) == 0
    rows(*(person(number) for number in range(3)))
    capsys.readouterr()
    assert main(["plan", str(job), "--json"]) == 3
    (step,) = json.loads(capsys.readouterr().out)["steps"]
    assert (step["items"], step["delta"]["gone"], step["same_rows"]) == (0, 2, 3)
    assert step["requests"] >= 1 and step["bytes"] > 0 and step["seconds"] > 0


def test_a_plan_stops_for_rejects_as_a_run_does(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows(*({"id": None, "plan": "free", "city": None} for _ in range(12)), person(1))
    assert main(["plan", str(job), "--page", "plan.html"]) == 4
    out = capsys.readouterr().out
    assert "a run would stop in step people: 12 rows rejected, more than max_rejects allows" in out
    assert (
        "12  identifier_missing in identifiers.id at people.parquet:1,2,3" in out
        and "look at    cio-etl validate job.yaml" in out
    )


def test_a_plan_names_new_attributes_and_those_that_left_the_mapping(
    job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(job)]) == 0
    Path("people.yaml").write_text(json.dumps(PEOPLE | {"attributes": {"plan": "plan", "town": "city"}}))
    capsys.readouterr()
    assert main(["plan", str(job), "--page", "plan.html", "--accept-changes"]) == 3
    page = words(Path("plan.html").read_text())
    assert "attributes.town new in the mapping: 5 people 5 100 %" in page.replace("\u00a0", " ")
    assert "attributes.city is no longer in the mapping" in page
    out = capsys.readouterr().out
    assert "backfill in attributes.town" in out and "new in the mapping; sent for 5 people" in out


def test_a_plan_counts_who_and_what_can_start_campaigns(
    job: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    orders = {
        "operation": "track",
        "identifiers": {"id": "who"},
        "event": {"value": "ordered"},
        "event_key": ["order"],
        "timestamp": {"column": "at", "apply": ["timestamp"]},
    }
    Path("orders.yaml").write_text(json.dumps(orders))
    now = int(time.time())
    ages_h = [1, 71, 73, 900]

    def write_orders() -> None:
        at = [str(now - 3_600 * age) for age in ages_h]
        numbers = [str(number) for number in range(len(at))]
        pl.DataFrame({"who": numbers, "order": numbers, "at": at}).write_parquet("orders.parquet")

    write_orders()
    steps = {
        "people": ({"parquet": "people.parquet"}, "people.yaml", {"sync": "changed"}),
        "orders": ({"parquet": "orders.parquet"}, "orders.yaml", {"sync": "changed"}),
        "all": ({"parquet": "people.parquet"}, "people.yaml", {}),
    }
    both = write_job(Path("both.yaml"), sandbox.url, steps, destination={"requests_per_second": 50})

    def campaigns() -> list[dict[str, Any]]:
        capsys.readouterr()
        assert main(["plan", str(both), "--json"]) == 3
        return [step["campaigns"] for step in json.loads(capsys.readouterr().out)["steps"]]

    unknown = {"new_people": None, "changed_people": None, "events_of_72h": 0}
    nobody = unknown | {"new_people": 0, "changed_people": 0}
    assert campaigns() == [nobody | {"new_people": 5}, nobody | {"events_of_72h": 2}, unknown]
    assert main(["run", str(both)]) == 0
    rows(*(person(number, city="Oslo" if number == 1 else "Rome") for number in range(6)))
    ages_h.append(2)  # events that were sent before can start nothing
    write_orders()
    expected = [nobody | {"new_people": 1, "changed_people": 1}, nobody | {"events_of_72h": 1}, unknown]
    assert campaigns() == expected
    assert main(["plan", str(both)]) == 3
    out = capsys.readouterr().out
    assert "can start campaigns in people: 1 new person, 1 changed person" in out
    assert "1 of 1 event is of the last 72 hours, and can start campaigns" in out
    assert "can start campaigns in all: 6 rows of people" in out
    assert "for at most 50 requests a second and 16 lanes" in out


def test_apply_sends_again_what_was_refused_when_the_plan_says_so(
    job: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.set_faults(Faults(refused=1.0))
    assert main(["run", str(job)]) == 3
    sandbox.set_faults(Faults())
    assert main(["plan", str(job), "-o", "plan.json"]) == 3
    assert main(["apply", "plan.json"]) == 3
    assert not list(sandbox.people.everybody())
    assert main(["plan", str(job), "--retry-refused", "-o", "plan.json"]) == 3
    assert main(["apply", "plan.json"]) == 0
    assert len(list(sandbox.people.everybody())) == 5


def test_apply_says_once_that_a_new_ledger_begins(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(job), "-o", "plan.json"]) == 3
    capsys.readouterr()
    assert main(["apply", "plan.json"]) == 0
    assert capsys.readouterr().err.count("a new one begins, to which every row is new") == 1


def test_apply_sends_what_was_planned_once(job: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(job)]) == 0
    rows(*(person(number) for number in range(4)), person(7))
    assert main(["plan", str(job), "-o", "plan.json"]) == 3
    assert main(["apply", "plan.json"]) == 0
    assert sorted(str(each.identifiers["id"]) for each in sandbox.people.everybody()) == ["0", "1", "2", "3", "7"]
    before = sandbox.stats()
    assert main(["apply", "plan.json"]) == 0  # it reports the run that has finished
    assert sandbox.stats() == before


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("rows", "step people: its source has other rows"),
        ("mapping", "step people: its mapping has changed"),
        ("ledger", "step people: a run has moved its ledger"),
        ("step", "step more: it is new in the job"),
    ],
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
    elif what == "step":
        content = json.loads(job.read_text())
        job.write_text(json.dumps(content | {"steps": [*content["steps"], content["steps"][0] | {"name": "more"}]}))
    else:
        assert main(["run", str(job)]) == 0
    before = sandbox.stats()
    capsys.readouterr()
    assert main(["apply", "plan.json"]) == 78
    fault, remedy = capsys.readouterr().err.strip().splitlines()[-2:]
    assert fault == f"the plan does not fit any more: {words}" and "cio-etl plan" in remedy
    assert sandbox.stats() == before


def test_a_plan_of_steps_that_send_every_row_is_held_to_the_same_rows(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("people.yaml").write_text(json.dumps(PEOPLE))
    with closing(sqlite3.connect("shop.db")) as db, db:
        db.executescript("create table person (id text, plan text, city text); insert into person values (1, 'a', 'b')")
    source = {"sql": f"sqlite:///{tmp_path}/shop.db", "table": "person"}
    job = write_job(Path("job.yaml"), sandbox.url, {"people": (source, "people.yaml", {})})
    assert main(["plan", str(job), "-o", "plan.json"]) == 3
    with closing(sqlite3.connect("shop.db")) as db, db:
        db.execute("update person set plan = 'c'")
    capsys.readouterr()
    assert main(["apply", "plan.json"]) == 78
    assert "step people: its source has other rows" in capsys.readouterr().err
    assert sandbox.stats()["people"] == 0
    assert main(["plan", str(job), "-o", "plan.json"]) == 3
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv(SITE_ID, "another")
        capsys.readouterr()
        assert main(["apply", "plan.json"]) == 78
        assert "step people: it would be sent to another workspace" in capsys.readouterr().err
    assert main(["apply", "plan.json"]) == 0
    assert sandbox.stats()["people"] == 1


def test_a_plan_of_a_name_is_in_the_folder_of_the_state(
    job: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", str(job), "--name", "tonight", "--json"]) == 3
    printed = json.loads(capsys.readouterr().out)
    file = Path(".etl/plans/job/tonight.json")
    assert (printed["file"], printed["exit_code"], file.stat().st_mode & 0o777) == (str(file.absolute()), 3, 0o600)
    Path("printed.json").write_text(json.dumps(printed))
    assert main(["apply", "printed.json"]) == 0
    assert main(["apply", str(file)]) == 0  # the same plan, which has been applied
    assert sandbox.stats()["items"] == 5
    assert main(["plan", str(job), "--name", "tonight", "-o", "plan.json"]) == 2
    assert "--output and --name both say where" in capsys.readouterr().err


def test_plans_of_a_name_that_are_too_old_are_removed_unless_a_run_applies_them(job: Path, sandbox: Sandbox) -> None:
    for name in ("old", "begun", "new"):
        assert main(["plan", str(job), "--name", name]) == 3
        rows(person(0, city=name))
    folder = Path(".etl/plans/job")
    for name in ("old", "begun"):
        file = folder / f"{name}.json"
        plan = json.loads(file.read_text())
        plan["made_at"] = (datetime.now(UTC) - timedelta(days=8)).isoformat(timespec="seconds")
        file.write_text(json.dumps(plan))
    sandbox.set_faults(Faults(key_revoked_after=0))
    run_id = Plan.read(folder / "begun.json").run_id
    assert main(["run", str(job), "--run-id", run_id]) == 77
    (folder / "notes.json").write_text("{}")
    assert main(["plan", str(job), "--name", "tonight"]) == 3
    assert {file.stem for file in folder.glob("*.json")} == {"begun", "new", "tonight", "notes"}
    assert not (folder / "old.html").exists() and (folder / "begun.html").exists()


def test_a_plan_takes_its_options_along(job: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(job)]) == 0
    rows(*(person(number, city="Oslo") for number in range(5)))
    assert main(["plan", str(job), "-o", "plan.json"]) == 4
    assert main(["apply", "plan.json"]) == 4  # no part of it is sent
    capsys.readouterr()
    assert main(["plan", str(job), "--accept-changes", "-o", "plan.json"]) == 3  # a run that was stopped is replaced
    assert "unfinished" not in capsys.readouterr().out
    before = sandbox.stats()["items"]
    assert main(["apply", "plan.json"]) == 0
    assert sandbox.stats()["items"] == before + 5


def test_apply_resumes_its_own_run(job: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    rows(*(person(number) for number in range(2_000)))
    assert main(["plan", str(job), "-o", "plan.json"]) == 3
    sandbox.set_faults(Faults(key_revoked_after=2))
    assert main(["apply", "plan.json"]) == 77
    assert capsys.readouterr().err.rstrip().endswith("cio-etl apply plan.json")
    assert 0 < sandbox.stats()["people"] < 2_000
    sandbox.set_faults(Faults())
    assert main(["apply", "plan.json"]) == 0
    assert sandbox.stats()["people"] == 2_000


def stop_a_run(job: Path, sandbox: Sandbox) -> None:
    """Leaves an unfinished run that has sent a part of its rows."""
    rows(*(person(number) for number in range(2_000)))
    sandbox.set_faults(Faults(key_revoked_after=2))
    assert main(["run", str(job)]) == 77
    sandbox.set_faults(Faults())


def test_a_run_that_is_unfinished_is_not_taken_for_that_of_the_plan(
    job: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    stop_a_run(job, sandbox)
    capsys.readouterr()
    assert main(["plan", str(job), "-o", "plan.json"]) == 3
    assert "is unfinished: a run resumes it first, and `apply` refuses this plan" in capsys.readouterr().out
    before = sandbox.stats()
    assert main(["apply", "plan.json"]) == 78
    assert "has sent a part of its rows, and is unfinished" in capsys.readouterr().err
    assert sandbox.stats() == before


def test_apply_compares_no_plan_while_another_run_is_at_work(
    job: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    stop_a_run(job, sandbox)
    main(["plan", str(job), "-o", "plan.json"])
    capsys.readouterr()
    before = sandbox.stats()
    with state.hold(Path(".etl"), "job"):
        assert main(["apply", "plan.json"]) == 75
    assert "another run holds the job job: process" in capsys.readouterr().err
    assert main(["apply", "plan.json"]) == 78 and sandbox.stats() == before


def test_a_run_that_has_sent_nothing_gives_way_to_that_of_the_plan(job: Path, sandbox: Sandbox) -> None:
    Path("people.parquet").rename("later.parquet")
    assert main(["run", str(job)]) == 65
    Path("later.parquet").rename("people.parquet")
    assert main(["plan", str(job), "-o", "plan.json"]) == 3
    assert main(["apply", "plan.json"]) == 0
    (run,) = [run for run in Path(".etl/runs").iterdir() if run.name.startswith("job-plan-")]
    assert (json.loads((run / "report.json").read_text())["status"], sandbox.stats()["people"]) == ("finished", 5)


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


def test_a_plan_reads_the_ledger_again_when_a_run_replaces_its_files(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["run", str(job)]) == 0
    read: list[Ledger] = []

    def replaced(ledger: Ledger) -> None:
        """A run begins a new ledger after the plan has read where its files are, and the next one removes them."""
        if not read:
            read.append(ledger)
            for option in ("--rebuild-ledger", "--quiet"):
                assert main(["run", str(job), option]) == 0
        verify(ledger)

    verify = Ledger.verify
    monkeypatch.setattr(Ledger, "verify", replaced)
    assert main(["plan", str(job), "-o", "plan.json"]) == 0 and read
    (step,) = json.loads(Path("plan.json").read_text())["steps"]
    assert (step["items"], step["facts"]["salt"] != read[0].generation.salt) == (0, True)
