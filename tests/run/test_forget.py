"""`forget` removes a person from ledgers, rejected rows and copies, and says nothing about them."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio_etl import state
from cio_etl.cli import main
from cio_etl.sandbox import Faults, Sandbox
from tests.nightly_step import EVENTS, KEYS, PEOPLE, Nights, order, person

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)


def forget(*identifiers: str, code: int = 0, job: str = "job.yaml") -> None:
    arguments = [f"--person={each}" for each in identifiers]
    assert main(["forget", *arguments, job]) == code


def ledger() -> pl.DataFrame:
    """Every row of every file of the ledger."""
    files = sorted(Path(".etl/ledger/job/rows").iterdir())
    return pl.concat([pl.read_parquet(file) for file in files], how="diagonal")


def holds(text: str) -> list[str]:
    """The files below this folder that contain a text, in their bytes or as a value of Parquet."""
    found = []
    for file in Path().rglob("*"):
        if not file.is_file() or file.name in ("rows.parquet", "shop.db"):
            continue
        if text.encode() in file.read_bytes() or (
            file.suffix == ".parquet" and text in str(pl.read_parquet(file).to_dicts())
        ):
            found.append(str(file))
    return found


# ---------------------------------------------------------------- ledgers


def test_somebody_forgotten_is_new_for_the_next_run_and_nobody_else_is(nights: Nights, capsys: Captured) -> None:
    rows = [person(number) for number in range(5)]
    nights.run(rows)
    nights.run([person(0, city="Oslo"), *rows[1:]])
    hashes = ledger().filter(pl.len().over("hi") == 2)["hi"].unique()
    capsys.readouterr()
    forget("id:0")
    out = capsys.readouterr().out
    assert "job: ledger of rows: 1 removed" in out and "the next run sends them as new" in out
    assert ledger().height == 4 and not ledger()["hi"].is_in(hashes.implode()).any()
    (item,) = nights.sent([person(0, city="Oslo"), *rows[1:]])
    assert item["identifiers"] == {"id": "0"} and "_update" not in item["attributes"] and len(item["attributes"]) == 3


def test_somebody_who_is_not_there_leaves_the_ledger_as_it_is(nights: Nights, capsys: Captured) -> None:
    nights.run([person(1)])
    before = sorted(Path(".etl/ledger/job/rows").iterdir())
    forget("id:7")
    assert sorted(Path(".etl/ledger/job/rows").iterdir()) == before
    assert "job: this person was not found" in capsys.readouterr().out


def test_the_identifiers_of_a_mirror_are_gone_from_its_files_also_of_who_was_removed_before(mirror: Nights) -> None:
    mirror.run([person(number, id=f"canary-{number}") for number in range(5)])
    mirror.run([person(number, id=f"canary-{number}") for number in range(1, 5)])  # 0 is gone
    assert holds("canary-0") and holds("canary-1")
    forget("id:canary-0")
    forget("id:canary-1")
    assert holds("canary-0") == holds("canary-1") == [] and ledger().height == 3
    assert mirror.sent([person(number, id=f"canary-{number}") for number in range(2, 5)]) == []
    assert "canary-1" in mirror.people()  # what Customer.io has stays


def test_the_values_of_a_ledger_are_gone_too_and_status_says_that_it_has_some(nights: Nights, capsys: Captured) -> None:
    nights.step = {"sync": "changed", "ledger": "values"}
    nights.run([person(1, city="canary-town"), person(2)])
    nights.run([person(1, city="Rome"), person(2)])  # the first file still has the value
    assert holds("canary-town")
    assert main(["status", "job.yaml"]) == 0
    assert " with values" in capsys.readouterr().out
    forget("id:1")
    assert holds("canary-town") == [] and ledger().height == 1
    assert nights.sent([person(2)]) == []


def test_case_does_not_count_in_an_address(nights: Nights) -> None:
    nights.mapping = PEOPLE | {"identifiers": {"email": "email"}, "attributes": {"plan": "plan"}}
    nights.run([person(1, email="Ada@Example.com"), person(2)])
    forget("email:ada@EXAMPLE.com")
    assert ledger().height == 1


def test_the_identifier_of_the_mapping_is_needed(nights: Nights, capsys: Captured) -> None:
    nights.mapping = PEOPLE | {"identifiers": {"email": "email"}, "attributes": {"plan": "plan"}}
    nights.run([person(1), person(2)])
    forget("id:1", code=3)
    assert "not searched: it knows people by their email; give --person email:…" in capsys.readouterr().out
    forget("id:1", "email:1@example.com")
    assert ledger().height == 1


def test_the_ledger_of_an_earlier_identifier_is_searched_too(nights: Nights) -> None:
    nights.run([person(1), person(2)])
    nights.mapping = PEOPLE | {"identifiers": {"email": "email"}, "attributes": {"plan": "plan"}}
    Path("mapping.yaml").write_text(json.dumps(nights.mapping))
    forget("id:1", "email:1@example.com")
    assert ledger().height == 1


def test_a_ledger_that_cannot_be_searched_is_named(nights: Nights, capsys: Captured) -> None:
    nights.mapping = {
        "operation": "add_device",
        "identifiers": {"id": "id"},
        "device": {"token": "email", "platform": {"value": "ios"}},
    }
    nights.run([person(1), person(2)])
    forget("id:1", code=3)
    assert "not searched: it has hashes of the person and device.token together" in capsys.readouterr().out
    nights.step = {"sync": "mirror", "max_gone": "100%"}
    nights.run([person(1), person(2)], rebuild_ledger=True)
    forget("id:1")
    assert ledger().height == 1


def test_a_ledger_of_events_has_nobody_to_remove(nights: Nights, capsys: Captured) -> None:
    nights.mapping = EVENTS
    nights.run([order(1)])
    forget("id:7")
    assert "ledger of rows: it has hashes of event keys, and nobody's identifier" in capsys.readouterr().out


def test_an_object_with_the_same_id_stays(nights: Nights) -> None:
    nights.mapping = {
        "operation": "identify_object",
        "object": {"type": 1, "id": "id"},
        "attributes": {"plan": "plan"},
    }
    nights.run([person(1)])
    forget("id:1")
    assert ledger().height == 1


def test_files_that_a_killed_forget_left_are_removed_by_the_next(nights: Nights) -> None:
    nights.run([person(1), person(2)])
    (file,) = Path(".etl/ledger/job/rows").iterdir()
    shutil.copy(file, "kept")
    forget("id:1")
    shutil.copy("kept", file)
    forget("id:1")
    assert not file.exists() and ledger().height == 1


def test_ledgers_that_no_step_has_any_more_are_removed_whole(nights: Nights, capsys: Captured) -> None:
    nights.run([person(1)])
    job = json.loads(Path("job.yaml").read_text())
    job["steps"][0]["name"] = "renamed"
    Path("job.yaml").write_text(json.dumps(job))
    shutil.copytree(".etl/ledger/job/rows", ".etl/ledger/job/lost/step")
    forget("id:1")
    assert not list(Path(".etl/ledger").rglob("*.parquet"))
    out = capsys.readouterr().out
    assert "ledger of rows: no step of the job has this ledger any more: the whole ledger was removed" in out
    assert "ledger of lost/step: the state does not know this ledger: its files were removed" in out
    assert nights.again().steps[0].accepted == 1


def test_a_damaged_ledger_is_an_error(nights: Nights, capsys: Captured) -> None:
    nights.run([person(1)])
    (file,) = Path(".etl/ledger/job/rows").iterdir()
    file.write_bytes(b"no parquet")
    forget("id:1", code=74)
    assert "--rebuild-ledger" in capsys.readouterr().err


# ---------------------------------------------------------------- rejected rows and copies


def test_rejected_rows_of_the_person_are_removed_and_the_others_can_be_replayed(
    nights: Nights, sandbox: Sandbox, capsys: Captured
) -> None:
    nights.settings = {"rejects": "rows"}
    nights.mapping = PEOPLE | {"identifiers": {"id": {"column": "id", "apply": ["trim", "upper"]}}}
    bad = {"email": "no address"}
    nights.run([person(1, **bad), person(2, **bad), person(3), person(4, id=" canary-4 ", **bad)])
    Path("rows.parquet").unlink()  # the source is not read again
    assert holds("canary-4")
    forget("id:CANARY-4")
    out = capsys.readouterr().out
    assert "job: 1 rejected row removed" in out and holds("canary-4") == []
    (run_id,) = [run.name for run in Path(".etl/runs").iterdir()]
    assert main(["rejects", run_id, "-o", "rejects.csv"]) == 0
    assert pl.read_csv("rejects.csv")["id"].to_list() == [1, 2]
    assert main(["replay", run_id]) == 3


@pytest.mark.parametrize("end", ["primary", "secondary"])
def test_rejected_merges_of_the_person_are_removed(nights: Nights, end: str, capsys: Captured) -> None:
    nights.settings, nights.step = {"rejects": "rows"}, {}
    value = {"column": end, "apply": ["trim", "upper"]}
    nights.mapping = {"operation": "merge", "primary": {"id": "primary"}, "secondary": {"id": "secondary"}}
    nights.mapping |= {end: {"id": value}, "when": "true"}
    other = {"primary": "secondary", "secondary": "primary"}[end]
    nights.run([{end: " canary-1 ", other: ""}, {end: "2", other: ""}])
    assert holds("canary-1")
    forget("id:CANARY-1")
    assert "job: 1 rejected row removed" in capsys.readouterr().out and holds("canary-1") == []


def test_rejected_relationships_of_the_person_are_removed(nights: Nights, capsys: Captured) -> None:
    nights.settings, nights.step = {"rejects": "rows"}, {}
    nights.mapping = {
        "operation": "identify_object",
        "object": {"type": {"value": "1"}, "id": "object"},
        "relationships": [{"person": {"id": {"column": "person", "apply": ["trim", "upper"]}}}],
    }
    nights.run([{"object": "", "person": " canary-1 "}, {"object": "", "person": "2"}])
    assert holds("canary-1")
    forget("id:CANARY-1")
    assert "job: 1 rejected row removed" in capsys.readouterr().out and holds("canary-1") == []


def test_messages_that_name_the_person_leave_the_file_of_the_state(nights: Nights) -> None:
    nights.settings = {"rejects": "rows"}
    nights.run([person(1, email="no address"), person(2, email="none")])
    (folder,) = Path(".etl/runs").iterdir()
    shutil.rmtree(folder / "rejects")
    with closing(sqlite3.connect(".etl/state.db")) as database:
        database.execute("PRAGMA secure_delete = OFF")
        words = "the address canary@example.com belongs to somebody else"
        for message in (words * 1_000, words):  # the longer one stays in pages that are free now
            database.execute("UPDATE reject SET message = ? WHERE position = 0", (message,))
        database.execute("UPDATE reject SET message = 'another' WHERE position = 1")
        database.commit()
    assert ".etl/state.db" in holds("canary@example.com")
    with closing(sqlite3.connect(".etl/state.db")) as other:  # of another process: the log of changes stays
        other.execute("SELECT * FROM run").fetchall()
        forget("email:Canary@example.com")
        assert holds("canary@example.com") == []
    with closing(sqlite3.connect(".etl/state.db")) as database:
        assert database.execute("SELECT position, message FROM reject ORDER BY position").fetchall() == [
            (0, ""),
            (1, "another"),
        ]


def test_copies_of_sources_and_kept_deltas_and_the_last_validation_are_removed(nights: Nights) -> None:
    with closing(sqlite3.connect("shop.db")) as shop:
        shop.execute("CREATE TABLE people (id TEXT PRIMARY KEY, email TEXT, plan TEXT, city TEXT)")
        shop.execute("INSERT INTO people VALUES ('canary-1', 'canary@example.com', 'free', 'Rome'), ('2', '', '', '')")
        shop.commit()
    nights.settings = {"keep_snapshots": True}
    nights.step = {"sync": "mirror", "when_gone": "delete"}
    nights.run([person(1)])
    job = json.loads(Path("job.yaml").read_text())
    job["steps"][0] |= {"source": {"sql": "sqlite:///shop.db", "table": "people"}, "max_gone": "100%"}
    Path("job.yaml").write_text(json.dumps(job))
    nights.again()
    main(["validate", "job.yaml", "--reveal"])
    assert {Path(file).parts[3] for file in holds("canary-1") if "runs" in file} == {"stage"}
    forget("id:canary-1")
    assert (
        holds("canary-1") == []
        and not list(Path(".etl").rglob("*.delta"))
        and not Path(".etl/validations/job").exists()
    )


def test_what_runs_in_the_sandbox_have_stored_is_removed(nights: Nights) -> None:
    nights.step = {"sync": "mirror", "when_gone": "delete"}
    nights.run([person(1, id="canary-1")])
    assert main(["run", "job.yaml", "--sandbox", "--quiet"]) == 0
    forget("id:canary-1")
    assert holds("canary-1") == []


# ---------------------------------------------------------------- when, who, and what is said


def test_nothing_is_removed_while_a_run_is_unfinished(nights: Nights, sandbox: Sandbox, capsys: Captured) -> None:
    nights.settings = {"destination": {"max_batch_bytes": 32_100}}
    nights.run([person(1)])
    sandbox.set_faults(Faults(key_revoked_after=1))
    assert main(["run", "job.yaml", "--quiet"]) == 0
    rows = [person(number) for number in range(600)]
    with pytest.raises(Exception, match="credentials"):
        nights.run(rows)
    capsys.readouterr()
    forget("id:1", code=75)
    err = capsys.readouterr().err
    assert "is unfinished: it would go on with what is to be removed" in err and "abandon it with --restart" in err
    assert ledger().height == 1
    sandbox.set_faults(Faults())
    nights.run(rows)
    forget("id:1")
    assert ledger().height == 599


def test_nothing_is_removed_while_a_process_has_the_job(nights: Nights) -> None:
    nights.run([person(1)])
    with state.hold(Path(".etl"), "job"):
        forget("id:1", code=75)
    assert ledger().height == 1


def test_without_a_job_every_job_of_the_state_is_searched(nights: Nights, capsys: Captured) -> None:
    nights.run([person(1)])
    Path("other.yaml").write_text(Path("job.yaml").read_text())
    assert main(["run", "other.yaml", "--quiet"]) == 0
    Path("broken.yaml").write_text(Path("job.yaml").read_text())
    assert main(["run", "broken.yaml", "--quiet"]) == 0
    capsys.readouterr()
    assert main(["forget", "--person", "id:1"]) == 0
    out = capsys.readouterr().out
    assert {line for line in out.splitlines() if "1 removed" in line} == {
        f"{job}: ledger of rows: 1 removed" for job in ("job", "other", "broken")
    }
    Path("broken.yaml").write_text("steps: 7")
    assert main(["forget", "--person", "id:1"]) == 3
    assert "broken: not searched: broken.yaml cannot be read; `cio-etl check broken.yaml`" in capsys.readouterr().out


def test_the_person_is_never_named(nights: Nights, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    nights.run([person(1, id="canary-1", email="no address")])
    capsys.readouterr()
    assert main(["--debug", "--log-file", "log.txt", "forget", "--person=id:canary-1", "job.yaml", "--json"]) == 0
    for wrong in (["canary-1"], ["nobody:canary-1"], ["id:canary-1", "id:canary-2"], [":canary-1"]):
        assert main(["forget", *(f"--person={each}" for each in wrong), "job.yaml"]) == 2
    monkeypatch.setattr("sys.stdin", io.StringIO("id:canary-1\nemail:canary-1@example.com\n"))
    assert main(["forget", "--person=-", "job.yaml"]) == 0
    out, err = capsys.readouterr()
    assert "canary-1" not in out + err and "KIND:ID, as id:123" in err and holds("canary-1") == []
    report: list[dict[str, Any]] = json.loads(out.splitlines()[0])
    assert report[0]["ledgers"] == [{"step": "rows", "subjects": 0, "is_searched": True, "note": ""}]


def test_a_state_on_a_server_forgets_too(
    nights: Nights, postgres: Any, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("ETL_STATE_URL", postgres.address)
    monkeypatch.setitem(KEYS, "ETL_STATE_URL", postgres.address)
    nights.settings = {"state": {"database": "${ETL_STATE_URL}"}, "rejects": "rows"}
    nights.run([person(1), person(2), person(3, email="none")])
    forget("id:1")
    forget("id:3")
    out = capsys.readouterr().out
    assert out.count("1 removed") == 1 and out.count("1 rejected row removed") == 1
    assert ledger().height == 1
