"""Fixed rows are sent again and closed, each once; the others stay open."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest

from cio_etl import state
from cio_etl.cli import main
from cio_etl.config import load_mapping
from cio_etl.model import FAULT, ORIGIN_FINGERPRINT, ORIGIN_POSITION, POSITION
from cio_etl.reject_files import KEY
from cio_etl.sandbox import Faults, Sandbox
from cio_etl.transform import collect_facts, compile_mapping
from tests.rejects.reject_jobs import (
    EVENTS,
    GOOD,
    PEOPLE,
    Captured,
    counts,
    events,
    exported,
    fixed,
    newest,
    people,
    read,
    rows,
    run,
    still_open,
    write_people,
)
from tests.running import write_job

pytestmark = pytest.mark.usefixtures("keys")


@pytest.mark.parametrize("ending", ["csv", "parquet", "ndjson"])
def test_fixed_rows_are_accepted_and_closed_and_others_stay_open_with_their_new_reason(
    sandbox: Sandbox, ending: str, capsys: Captured
) -> None:
    people(sandbox)
    run_id = run()
    name = fixed(
        run_id,
        f"fixed.{ending}",
        e_mail=pl.col("e_mail").str.replace("b@@", "b@"),
        id=pl.when(pl.col("n") == "13").then(pl.lit(None)).otherwise(pl.col("id").fill_null("3")),
    )
    assert counts(capsys, name) == (3, 2, 1, 0)
    assert still_open(run_id) == {3: "identifier_missing"}  # it was email_malformed
    closed = rows(
        "SELECT position, closed_by FROM reject WHERE run_id = ? AND closed_by IS NOT NULL ORDER BY position", run_id
    )
    assert closed == [(1, newest("job.replay")), (2, newest("job.replay"))]
    for number, e_mail in (("2", "b@b.co"), ("3", "c@b.co")):
        person = sandbox.people.find("id", number)
        assert person is not None and person.email == e_mail


def test_a_row_that_is_replayed_twice_is_sent_once(sandbox: Sandbox, capsys: Captured) -> None:
    events(sandbox)
    run_id = run()
    name = fixed(run_id, id=pl.lit("9"))
    assert counts(capsys, name) == (0, 2, 0, 0)
    requests = sandbox.stats()["requests"]
    assert main(["replay", name]) == 0
    assert capsys.readouterr().out == f"{name}: nothing to send, all of its rejects are closed\n"
    assert main(["replay", run_id]) == 0
    assert sandbox.stats()["requests"] == requests


def test_closed_rejects_are_counted_as_skipped_and_left_out_of_an_export(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    run_id = run()
    name = fixed(run_id, e_mail=pl.col("e_mail").str.replace("b@@", "b@"))
    assert counts(capsys, name) == (3, 1, 2, 0)
    name = fixed(run_id, "again.csv", values=GOOD)
    assert counts(capsys, "fixed.csv") == (3, 0, 2, 1)
    assert exported(run_id)["n"].to_list() == ["12", "13"]
    assert main(["rejects", run_id, "--all", "-o", "all.csv"]) == 0
    assert read("all.csv")["n"].to_list() == ["11", "12", "13"]
    assert counts(capsys, name) == (0, 2, 0, 0)


def test_what_a_replay_rejects_again_is_open_and_no_report_calls_it_closed(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    run_id = run()
    name = fixed(run_id, "still_wrong.csv")
    assert main(["replay", name]) == 3
    out = capsys.readouterr().out
    assert "3 rejected" in out and "since then" not in out and "rest       the rejects of these rows are open" in out
    assert len(still_open(run_id)) == 3
    (replay,) = Path(".etl/runs").glob("job.replay-*")
    assert json.loads((replay / "report.json").read_text())["closed"] == []
    assert main(["rejects", run_id, "-o", "again.csv"]) == 0
    assert "closed" not in capsys.readouterr().err


def test_a_run_is_replayed_without_a_file_once_its_mapping_is_fixed(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    run_id = run()
    assert counts(capsys, run_id) == (3, 0, 3, 0)
    lenient = PEOPLE["attributes"] | {"email": {"column": "e_mail", "apply": [{"replace": {"old": "@@", "new": "@"}}]}}  # type: ignore[operator]
    Path("people.yaml").write_text(json.dumps(PEOPLE | {"attributes": lenient}))
    assert counts(capsys, run_id) == (3, 2, 1, 0)
    assert still_open(run_id) == {2: "identifier_missing"}


def test_a_row_that_the_fixed_mapping_skips_is_closed(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    run_id = run()
    Path("people.yaml").write_text(json.dumps(PEOPLE | {"when": "id is not null"}))
    assert counts(capsys, run_id) == (3, 0, 2, 1)
    assert set(still_open(run_id)) == {1, 3}


def test_rows_that_customer_io_refused_are_accepted_once_it_takes_them(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    write_people(*(f"{n},p{n}@b.co,2001-02-03,{n}" for n in range(40)))
    sandbox.set_faults(Faults(seed=3, refused=0.3))
    run_id = run()
    refused = len(still_open(run_id))
    sandbox.set_faults(Faults())
    assert refused and counts(capsys, run_id) == (0, refused, 0, 0)
    assert len(list(sandbox.people.everybody())) == 40 and still_open(run_id) == {}


def test_rows_are_sent_in_the_source_s_order_whatever_order_the_file_has(sandbox: Sandbox, capsys: Captured) -> None:
    mapping = PEOPLE | {"attributes": {"row": {"column": "n", "apply": [{"cast": "integer"}]}, "email": "e_mail"}}
    people(sandbox, destination={"lanes": 2, "max_batch_bytes": 32_100})
    Path("people.yaml").write_text(json.dumps(mapping))
    write_people(*(f"{n % 3},bad,x,{n}" for n in range(60)))
    frame = exported(run()).with_columns(e_mail=pl.col("id") + "@b.co")
    frame.sample(fraction=1.0, shuffle=True, seed=4).write_csv("fixed.csv", separator=";")
    assert counts(capsys, "fixed.csv") == (0, 60, 0, 0)
    for person in sandbox.people.everybody():
        assert person.trace == sorted(person.trace) and len(person.trace) == 20


def test_events_get_the_same_id_as_in_the_first_run(sandbox: Sandbox, capsys: Captured) -> None:
    """The same rows in another job without a fault: position and fingerprint stand for the key there, too."""
    events(sandbox)
    sandbox.set_faults(Faults(seed=1, refused=0.99))
    Path("events.yaml").write_text(json.dumps(EVENTS | {"when": "id is not null"}))
    run_id = run()
    sandbox.set_faults(Faults())
    assert counts(capsys, run_id)[0] == 0
    before = set(sandbox.people.events)
    run(code=0)  # all of them once more
    assert len(before) == 3 and set(sandbox.people.events) == before
    assert {event.received for event in sandbox.people.events.values()} == {2}


def test_the_unit_of_a_timestamp_column_stays_the_one_of_the_whole_source(sandbox: Sandbox, capsys: Captured) -> None:
    """By itself, one count in milliseconds of the year 9999 would be taken for microseconds of 1978."""
    events(sandbox)
    frame = pl.read_parquet("events.parquet").with_columns(
        at=pl.when(pl.col("n") == 1).then(pl.lit("never")).otherwise(pl.col("at").cast(pl.String)), id=pl.lit("1")
    )
    frame.write_parquet("events.parquet")
    run_id = run()
    assert still_open(run_id) == {1: "timestamp_unreadable"}
    Path("events.parquet").unlink()
    frame = frame.filter(pl.col("n") == 1).with_columns(at=pl.lit("253402214400000"))
    frame.with_columns(pl.lit(f"{run_id}/0/1").alias(KEY)).write_parquet("m.parquet")
    assert main(["replay", "m.parquet"]) == 65
    assert "some numbers look like milliseconds and microseconds; put `unit:`" in capsys.readouterr().err
    assert still_open(run_id) == {1: "timestamp_unreadable"}
    read("m.parquet").with_columns(at=pl.lit("1710057600999")).write_parquet("m.parquet")
    assert counts(capsys, "m.parquet") == (0, 1, 0, 0)


def test_a_mapping_that_needs_other_facts_about_whole_columns_is_refused_without_the_source(
    sandbox: Sandbox, capsys: Captured
) -> None:
    events(sandbox)
    pl.read_parquet("events.parquet").with_columns(pl.col("at").cast(pl.String)).write_parquet("events.parquet")
    run_id = run()
    name = fixed(run_id, "m.parquet", id=pl.lit("9"))
    trimmed = {"column": "at", "apply": ["trim", "timestamp"]}
    Path("events.yaml").write_text(json.dumps(EVENTS | {"timestamp": trimmed}))
    Path("events.parquet").rename("gone.parquet")
    assert main(["replay", name]) == 65
    assert (
        "timestamp: needs the whole column to choose how to read it, and only some rows are here"
        in capsys.readouterr().err
    )
    Path("gone.parquet").rename("events.parquet")  # now it can be asked
    assert counts(capsys, name, "--limit", "1") == (0, 1, 0, 0)
    Path("events.parquet").unlink()
    explicit = {"column": "at", "apply": ["trim", {"timestamp": {"unit": "ms"}}]}
    Path("events.yaml").write_text(json.dumps(EVENTS | {"timestamp": explicit}))
    assert counts(capsys, name) == (0, 1, 0, 1)


@pytest.mark.parametrize("ending", ["csv", "parquet", "ndjson"])
def test_json_stays_json_in_a_fixed_file(sandbox: Sandbox, ending: str, capsys: Captured) -> None:
    people(sandbox)
    tree = {"a": [1, {"b": None}], "é": 12345678901234567890}
    Path("people.ndjson").write_text(json.dumps({"id": "7", "e_mail": "a@@b.co", "tree": tree}))
    Path("people.yaml").write_text(json.dumps(PEOPLE | {"attributes": {"email": "e_mail", "tree": "tree"}}))
    write_job(Path("job.yaml"), sandbox.url, {"people": ({"ndjson": "people.ndjson"}, "people.yaml")}, max_rejects=9)
    name = fixed(run(), f"m.{ending}", e_mail=pl.lit("a@b.co"))
    assert counts(capsys, name) == (0, 1, 0, 0)
    person = sandbox.people.find("id", "7")
    assert person is not None and person.attributes["tree"] == tree


def test_of_several_fixed_rows_of_one_person_the_last_is_sent_and_all_are_closed(
    sandbox: Sandbox, capsys: Captured
) -> None:
    people(sandbox)
    Path("people.yaml").write_text(json.dumps(PEOPLE | {"order_by": "n"}))
    write_people("1,a@@b.co,2001-02-03,3", "2,b@@b.co,2001-02-03,1", "3,c@@b.co,2001-02-03,2")
    run_id = run()
    name = fixed(run_id, id=pl.lit("1"), e_mail=pl.lit("a@b.co"))
    assert counts(capsys, name) == (0, 1, 0, 2)
    person = sandbox.people.find("id", "1")
    assert person is not None and person.attributes["row"] == "3" and still_open(run_id) == {}


def test_a_column_with_two_types_in_two_steps_is_exported_as_text_and_replayed_in_each_type(
    sandbox: Sandbox, capsys: Captured
) -> None:
    people(sandbox)
    events(sandbox)
    both = {"people": ({"csv": "people.csv"}, "people.yaml"), "events": ({"parquet": "events.parquet"}, "events.yaml")}
    write_job(Path("job.yaml"), sandbox.url, both, max_rejects=100)
    run_id = run()
    frame = exported(run_id, "export.parquet")
    assert frame.schema["n"] == pl.String and frame.height == 5
    frame.with_columns(**GOOD).sample(fraction=1.0, shuffle=True, seed=1).write_parquet("fixed.parquet")
    assert counts(capsys, "fixed.parquet") == (0, 5, 0, 0)
    assert still_open(run_id) == {}
    person = sandbox.people.find("id", "3")
    assert person is not None and person.attributes["row"] == "12"
    bought = sorted(event.attributes["n"] for event in sandbox.people.events.values())
    assert bought == [0, 1, 2, 3, 4]  # numbers, as before


# ---------------------------------------------------------------- items are as in the first run


@pytest.mark.parametrize("api", ["track", "pipelines"])
@pytest.mark.parametrize("operation", ["track", "identify"])
def test_a_row_with_its_origin_makes_the_same_item_as_in_its_first_run(operation: str, api: str) -> None:
    made = Path("m.yaml")
    keys = {"event", "timestamp"} if operation == "identify" else set()
    made.write_text(
        json.dumps({key: value for key, value in EVENTS.items() if key not in keys} | {"operation": operation})
    )
    mapping = load_mapping(made)
    frame = pl.DataFrame({"id": ["1", "2"], "at": [1_710_057_600] * 2, "n": [1, 2], "price": [1.5, None]})
    row = [pl.lit(None, dtype=pl.String).alias(FAULT)]
    first = frame.with_columns(pl.Series(POSITION, [40, 41]), *row)
    known = collect_facts(mapping, frame.schema, lambda columns: [first])
    items = compile_mapping(mapping, frame.schema, known, "print", 4, api).items(first)
    again = first.reverse().with_columns(
        pl.Series(POSITION, [0, 1]), pl.lit("print").alias(ORIGIN_FINGERPRINT), pl.Series(ORIGIN_POSITION, [41, 40])
    )
    sent_again = compile_mapping(mapping, frame.schema, known, None, 4, api).items(again)
    assert items["item"].null_count() == 0
    assert sent_again["item"].to_list() == items["item"].to_list()[::-1]


# ---------------------------------------------------------------- sandbox runs, locks, limits


def test_a_sandbox_replay_closes_nothing_and_rejects_of_a_sandbox_run_are_replayed_only_there(
    sandbox: Sandbox, capsys: Captured
) -> None:
    people(sandbox)
    run_id = run()
    name = fixed(run_id, values=GOOD)
    assert counts(capsys, name, "--sandbox") == (0, 3, 0, 0)
    assert len(still_open(run_id)) == 3
    assert main(["run", "job.yaml", "--sandbox"]) == 3
    sandbox_run = newest("job.sandbox")
    assert "once fixed cio-etl replay rejects.csv --sandbox" in capsys.readouterr().out
    assert main(["replay", sandbox_run]) == 2
    assert "was a run in the sandbox, and its rows are sent only there; add --sandbox" in capsys.readouterr().err
    fixed(sandbox_run, "r.csv", values=GOOD)
    read("r.csv").drop("e_mail").write_csv("x.csv")
    assert main(["replay", "x.csv", "--sandbox"]) == 65
    assert "or fix the mapping; then: cio-etl replay x.csv --sandbox\n" in capsys.readouterr().err
    assert counts(capsys, "r.csv", "--sandbox") == (0, 3, 0, 0)
    assert still_open(sandbox_run) == {} and len(still_open(run_id)) == 3
    assert counts(capsys, name) == (0, 3, 0, 0)


def test_a_replay_is_refused_while_the_job_runs_and_leaves_its_unfinished_run_resumable(
    sandbox: Sandbox, capsys: Captured
) -> None:
    people(sandbox, max_rejects=1)
    run_id = run(code=4)
    with state.hold(Path(".etl"), "job"):
        assert main(["replay", run_id]) == 75
    assert "another run holds the job job" in capsys.readouterr().err
    assert counts(capsys, fixed(run_id, values=GOOD))[0] == 0
    people(sandbox)  # max_rejects is raised
    assert main(["run", "job.yaml"]) == 3
    assert newest("job") == run_id  # it went on


def test_a_limit_sends_the_first_rows_and_leaves_the_rest_open(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    run_id = run()
    name = fixed(run_id, values=GOOD)
    assert counts(capsys, name, "--limit", "1") == (0, 1, 0, 0)
    assert set(still_open(run_id)) == {2, 3}
    assert counts(capsys, name) == (0, 2, 0, 1)


def test_rows_with_an_unknown_outcome_are_sent_again_only_with_the_flag(sandbox: Sandbox, capsys: Captured) -> None:
    Path("people.yaml").write_text(json.dumps({"operation": "delete", "identifiers": {"id": "id"}}))
    write_people("1,a,b,1", "2,a,b,2")
    write_job(Path("job.yaml"), sandbox.url, {"people": ({"csv": "people.csv"}, "people.yaml")}, max_rejects=9)
    sandbox.set_faults(Faults(rates={"lost_after": 1.0}))
    run_id = run()
    assert set(still_open(run_id).values()) == {"outcome_unknown"}
    sandbox.set_faults(Faults())
    capsys.readouterr()
    assert main(["replay", run_id]) == 0
    out, err = capsys.readouterr()
    assert "nothing to send" in out and "2 rows are left out, because the answer was lost" in err
    assert len(still_open(run_id)) == 2
    assert counts(capsys, run_id, "--unknown") == (0, 2, 0, 0)
    assert still_open(run_id) == {}


def test_the_list_of_runs_has_the_rejects_that_are_still_open(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    write_people("1,bad,2001-02-03,1", "2,b@b.co,2001-02-03,2", "3,worse,2001-02-03,3")
    run_id = run()
    frame = exported(run_id)
    frame.with_columns(e_mail=pl.Series(["a@b.co", "worse"])).write_csv("fixed.csv")
    assert counts(capsys, "fixed.csv") == (3, 1, 1, 0)
    assert main(["status"]) == 0
    heading, *lines, total = capsys.readouterr().out.splitlines()
    assert heading.split("  ")[-1].strip() == "still open"
    assert re.fullmatch(rf"job: 1 reject is open of {run_id}, the oldest since \S+ \S+ UTC", total)
    columns = {line.split()[0].partition("-")[0]: line.split()[4:] for line in lines}
    assert columns == {"job": ["1", "2", "1"], "job.replay": ["1", "1"]}, "the replay's reject is open in the run"
    assert main(["status", "--json"]) == 0
    assert sorted(each["open_rejects"] for each in json.loads(capsys.readouterr().out)) == [0, 1]
