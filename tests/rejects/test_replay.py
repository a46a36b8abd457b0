"""Do rejected rows find their way back? Exported, mended, sent again, closed once and for all, whatever happens."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import stat
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl
import pytest
import xlsxwriter  # type: ignore[import-untyped]  # it has no types
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from cio_etl import state
from cio_etl.cli import main
from cio_etl.config import load_mapping
from cio_etl.model import FAULT, ORIGIN_FINGERPRINT, ORIGIN_POSITION, POSITION, Api
from cio_etl.rejects.csv_cells import unguarded
from cio_etl.rejects.export import HEAD, KEY, export, exported_name, source_name
from cio_etl.sandbox import Faults, Sandbox
from cio_etl.transform import collect_facts, compile_mapping, reason_words
from tests.running import start, until, write_job

Captured = pytest.CaptureFixture[str]

PEOPLE = {
    "operation": "identify",
    "identifiers": {"id": "id"},
    "attributes": {
        "email": "e_mail",
        "born": {"column": "born", "apply": [{"timestamp": {"timezone": "UTC"}}]},
        "row": "n",
    },
}
EVENTS = {
    "operation": "track",
    "event": {"value": "bought"},
    "identifiers": {"id": "id"},
    "timestamp": {"column": "at", "apply": ["timestamp"]},
    "attributes": {"n": "n", "price": "price"},
}
ROWS = ["1,a@b.co,2001-02-03,10", "2,b@@b.co,2001-02-03,11", ",c@b.co,2001-02-03,12", "4,d@@b.co,2001-02-03,13"]


pytestmark = pytest.mark.usefixtures("keys")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(trace="row") as running:
        yield running


def write_people(*rows: str) -> None:
    Path("people.csv").write_text("\n".join(["id,e_mail,born,n", *(rows or ROWS), ""]))


def people(sandbox: Sandbox, **more: Any) -> None:
    """A job of one step: four rows, three of them bad."""
    write_people()
    Path("people.yaml").write_text(json.dumps(PEOPLE))
    steps = {"people": ({"csv": "people.csv"}, "people.yaml")}
    write_job(Path("job.yaml"), sandbox.url, steps, **{"max_rejects": 100} | more)


def events(sandbox: Sandbox, **more: Any) -> None:
    """A job of one step of events without a key: five typed rows, two of them bad."""
    frame = pl.DataFrame(
        {
            "id": ["1", None, "3", None, "5"],
            "at": [1_710_057_600_000 + n for n in range(5)],
            "n": [0, 1, 2, 3, 4],
            "price": [Decimal("1.50"), Decimal("2.25"), None, Decimal("4.00"), Decimal("5.75")],
            "note": ["", "=x", None, "'=x", "a\nb"],
        },
        schema_overrides={"price": pl.Decimal(12, 2)},
    )
    frame.write_parquet("events.parquet")
    Path("events.yaml").write_text(json.dumps(EVENTS))
    steps = {"events": ({"parquet": "events.parquet"}, "events.yaml")}
    write_job(Path("job.yaml"), sandbox.url, steps, **{"max_rejects": 100} | more)


def run(job: str = "job.yaml", code: int = 3) -> str:
    """Runs the job; its run's id."""
    assert main(["run", job]) == code
    return newest("job")


def newest(job: str) -> str:
    return str(rows("SELECT run_id FROM run WHERE job = ? ORDER BY rowid DESC", job)[0][0])


def rows(query: str, *values: Any) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(".etl/state.db")) as db:
        return db.execute(query, values).fetchall()


def still_open(run_id: str) -> dict[int, str]:
    """The reasons of the run's open rejects, by position."""
    return dict(rows("SELECT position, reason FROM reject WHERE run_id = ? AND closed_by IS NULL", run_id))


def exported(run_id: str, name: str = "rejects.csv") -> pl.DataFrame:
    Path(name).unlink(missing_ok=True)
    assert main(["rejects", run_id, "-o", name]) == 0
    return read(name)


def read(name: str) -> pl.DataFrame:
    if name.endswith(".csv"):
        frame = pl.read_csv(name, infer_schema=False)
        return pl.DataFrame([unguarded(column) for column in frame])
    return pl.read_parquet(name) if name.endswith(".parquet") else pl.read_ndjson(name)


def mended(
    run_id: str, name: str = "mended.csv", values: Mapping[str, pl.Expr] = MappingProxyType({}), **more: pl.Expr
) -> str:
    """The run's open rejects, exported and written again with some columns changed."""
    frame = exported(run_id, f"export.{name.rpartition('.')[2]}").with_columns(**values, **more)
    writers: dict[str, Callable[[str], object]] = {
        "csv": frame.write_csv,
        "parquet": frame.write_parquet,
        "ndjson": frame.write_ndjson,
    }
    writers[name.rpartition(".")[2]](name)
    return name


def counts(capsys: Captured, *arguments: str) -> tuple[int, int, int, int]:
    """A replay's exit code, and how many rows were accepted, rejected and skipped."""
    capsys.readouterr()
    code = main(["replay", *arguments, "--json"])
    out, err = capsys.readouterr()
    assert out, err
    steps = json.loads(out)["steps"]
    accepted, rejected, skipped = (sum(step[name] for step in steps) for name in ("accepted", "rejected", "skipped"))
    assert accepted + rejected + skipped == sum(step["rows_read"] for step in steps)
    return code, accepted, rejected, skipped


GOOD = {"e_mail": pl.col("e_mail").str.replace("@@", "@"), "id": pl.col("id").fill_null("3")}

# ---------------------------------------------------------------- the export


def test_an_export_has_our_columns_and_the_source_s_and_says_what_to_do(sandbox: Sandbox) -> None:
    people(sandbox)
    run_id = run()
    frame = exported(run_id)
    assert frame.columns == [*HEAD, "id", "e_mail", "born", "n"]
    first = frame.row(0, named=True)
    assert (first["step"], first["file"], first["line"]) == ("people", "people.csv", "3")
    assert (first["reason"], first["field"]) == ("email_malformed", "attributes.email")
    assert first["hint"] == reason_words()["email_malformed"]
    assert first[KEY] == f"{run_id}/0/1"
    assert (first["id"], first["e_mail"]) == ("2", "b@@b.co")


def test_the_hint_of_a_refusal_is_what_customer_io_said(sandbox: Sandbox) -> None:
    people(sandbox)
    write_people("1,a@b.co,2001-02-03,10")
    sandbox.set_faults(Faults(refused=1.0))
    run()
    (row,) = exported(newest("job"), "out.ndjson").to_dicts()
    assert row["reason"].startswith("refused_") and row["hint"] and row["hint"] not in reason_words().values()


names = st.sampled_from(["id", "_reject", "source._reject", "step", "source.source.line", "source.id", "=a", "'b"])
NESTED = pl.Struct({"a": pl.Int64(), "b": pl.List(pl.String())})
cells = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@pytest.mark.parametrize("ending", ["csv", "parquet", "ndjson"])
@given(data=st.data())
def test_whatever_is_exported_is_read_back_exactly(ending: str, data: st.DataObject, tmp_path: Path) -> None:
    dtypes = {
        "text": (pl.String(), cells | st.sampled_from(["", "'", "=1", "'=1", "-5", "\t", "a\r\nb", '"', "\ufeffx"])),
        "whole": (pl.Int64(), st.integers(-(2**63), 2**63 - 1)),
        "real": (pl.Float64(), st.floats()),
        "flag": (pl.Boolean(), st.booleans()),
        "money": (pl.Decimal(18, 3), st.decimals(-(10**12), 10**12, places=3, allow_nan=False)),
        "at": (pl.Datetime("us"), st.datetimes()),
        "tree": (NESTED, st.fixed_dictionaries({"a": st.integers(-9, 9), "b": st.lists(cells, max_size=2)})),
    }
    height = data.draw(st.integers(1, 4))
    frame = pl.DataFrame(
        [
            pl.Series(name, data.draw(st.lists(st.none() | values, min_size=height, max_size=height)), dtype=dtype)
            for name, (dtype, values) in dtypes.items()
        ]
    )
    path = tmp_path / f"out.{ending}"
    path.unlink(missing_ok=True)
    head = pl.DataFrame({name: ["x"] * height for name in HEAD}).with_columns(pl.lit("job-1/0/7").alias(KEY))
    assert export(head.hstack(frame), path) == []
    came = typed_again(path, frame.schema)
    assert_frame_equal(came, frame)


def typed_again(path: Path, schema: pl.Schema) -> pl.DataFrame:
    """The source's columns of a file, as a replay reads them."""
    from cio_etl.rejects.csv_cells import as_text, from_text
    from cio_etl.rejects.replay import _read

    found, _ = _read(path)
    return pl.DataFrame(
        [
            found[name] if found[name].dtype == dtype else from_text(as_text(found[name]), dtype)
            for name, dtype in schema.items()
        ]
    )


@given(st.lists(names, unique=True))
def test_columns_that_are_named_like_ours_come_back_under_their_own_names(own: list[str]) -> None:
    out = [exported_name(name) for name in own]
    assert len({*out, *HEAD}) == len(own) + len(HEAD)
    assert [source_name(name) for name in out] == own


def test_two_steps_that_have_a_column_of_two_types_are_exported_and_replayed_in_their_own(
    sandbox: Sandbox, capsys: Captured
) -> None:
    people(sandbox)
    events(sandbox)
    both = {"people": ({"csv": "people.csv"}, "people.yaml"), "events": ({"parquet": "events.parquet"}, "events.yaml")}
    write_job(Path("job.yaml"), sandbox.url, both, max_rejects=100)
    run_id = run()
    frame = exported(run_id, "export.parquet")
    assert frame.schema["n"] == pl.String and frame.height == 5
    frame.with_columns(**GOOD).sample(fraction=1.0, shuffle=True, seed=1).write_parquet("mended.parquet")
    assert counts(capsys, "mended.parquet") == (0, 5, 0, 0)
    assert still_open(run_id) == {}
    person = sandbox.people.find("id", "3")
    assert person is not None and person.attributes["row"] == "12"
    bought = sorted(event.attributes["n"] for event in sandbox.people.events.values())
    assert bought == [0, 1, 2, 3, 4]  # numbers, as before


# ---------------------------------------------------------------- names of items


@pytest.mark.parametrize("api", ["track", "pipelines"])
@pytest.mark.parametrize("operation", ["track", "identify"])
def test_a_row_that_says_whence_it_was_makes_the_item_that_it_made_there(operation: str, api: Api) -> None:
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


# ---------------------------------------------------------------- mend and replay


@pytest.mark.parametrize("ending", ["csv", "parquet", "ndjson"])
def test_mended_rows_arrive_and_are_closed_and_the_others_stay_open_with_their_new_reason(
    sandbox: Sandbox, ending: str, capsys: Captured
) -> None:
    people(sandbox)
    run_id = run()
    name = mended(
        run_id,
        f"mended.{ending}",
        e_mail=pl.col("e_mail").str.replace("b@@", "b@"),
        id=pl.when(pl.col("n") == "13").then(pl.lit(None)).otherwise(pl.col("id").fill_null("3")),
    )
    assert counts(capsys, name) == (3, 2, 1, 0)
    assert still_open(run_id) == {3: "identifier_missing"}  # it was email_malformed
    closed = rows("SELECT position, closed_by FROM reject WHERE run_id = ? AND closed_by IS NOT NULL", run_id)
    assert closed == [(1, newest("job.replay")), (2, newest("job.replay"))]
    for person, e_mail in (("2", "b@b.co"), ("3", "c@b.co")):
        found = sandbox.people.find("id", person)
        assert found is not None and found.email == e_mail


def test_a_row_that_is_replayed_twice_counts_once(sandbox: Sandbox, capsys: Captured) -> None:
    events(sandbox)
    run_id = run()
    name = mended(run_id, id=pl.lit("9"))
    assert counts(capsys, name) == (0, 2, 0, 0)
    requests = sandbox.stats()["requests"]
    assert main(["replay", name]) == 0
    assert capsys.readouterr().out == f"{name}: nothing to send, all of its rejects are closed\n"
    assert main(["replay", run_id]) == 0
    assert sandbox.stats()["requests"] == requests


def test_closed_rejects_are_skipped_and_counted_and_left_out_of_an_export(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    run_id = run()
    name = mended(run_id, e_mail=pl.col("e_mail").str.replace("b@@", "b@"))
    assert counts(capsys, name) == (3, 1, 2, 0)
    name = mended(run_id, "again.csv", values=GOOD)
    assert counts(capsys, "mended.csv") == (3, 0, 2, 1)
    assert exported(run_id)["n"].to_list() == ["12", "13"]
    assert main(["rejects", run_id, "--all", "-o", "all.csv"]) == 0
    assert read("all.csv")["n"].to_list() == ["11", "12", "13"]
    assert counts(capsys, name) == (0, 2, 0, 0)


def test_a_run_is_replayed_as_it_is_once_its_mapping_is_mended(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    run_id = run()
    assert counts(capsys, run_id) == (3, 0, 3, 0)
    lenient = PEOPLE["attributes"] | {"email": {"column": "e_mail", "apply": [{"replace": {"old": "@@", "new": "@"}}]}}  # type: ignore[operator]
    Path("people.yaml").write_text(json.dumps(PEOPLE | {"attributes": lenient}))
    assert counts(capsys, run_id) == (3, 2, 1, 0)
    assert still_open(run_id) == {2: "identifier_missing"}


def test_a_row_that_the_mapping_leaves_out_now_is_closed(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    run_id = run()
    Path("people.yaml").write_text(json.dumps(PEOPLE | {"when": "id is not null"}))
    assert counts(capsys, run_id) == (3, 0, 2, 1)
    assert set(still_open(run_id)) == {1, 3}


def test_what_customer_io_refused_goes_again_when_its_reason_went_away(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    write_people(*(f"{n},p{n}@b.co,2001-02-03,{n}" for n in range(40)))
    sandbox.set_faults(Faults(seed=3, refused=0.3))
    run_id = run()
    refused = len(still_open(run_id))
    sandbox.set_faults(Faults())
    assert refused and counts(capsys, run_id) == (0, refused, 0, 0)
    assert len(list(sandbox.people.everybody())) == 40 and still_open(run_id) == {}


def test_rows_go_in_their_first_order_whatever_order_the_file_has(sandbox: Sandbox, capsys: Captured) -> None:
    mapping = PEOPLE | {"attributes": {"row": {"column": "n", "apply": [{"cast": "integer"}]}, "email": "e_mail"}}
    people(sandbox, destination={"lanes": 2, "max_batch_bytes": 32_100})
    Path("people.yaml").write_text(json.dumps(mapping))
    write_people(*(f"{n % 3},bad,x,{n}" for n in range(60)))
    frame = exported(run()).with_columns(e_mail=pl.col("id") + "@b.co")
    frame.sample(fraction=1.0, shuffle=True, seed=4).write_csv("mended.csv", separator=";")
    assert counts(capsys, "mended.csv") == (0, 60, 0, 0)
    for person in sandbox.people.everybody():
        assert person.trace == sorted(person.trace) and len(person.trace) == 20


def test_events_keep_the_id_that_they_would_have_had(sandbox: Sandbox, capsys: Captured) -> None:
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


def test_the_unit_of_a_column_of_times_stays_the_one_that_all_rows_told(sandbox: Sandbox, capsys: Captured) -> None:
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


def test_a_changed_question_about_a_whole_column_is_refused_where_only_some_rows_are_left(
    sandbox: Sandbox, capsys: Captured
) -> None:
    events(sandbox)
    pl.read_parquet("events.parquet").with_columns(pl.col("at").cast(pl.String)).write_parquet("events.parquet")
    run_id = run()
    name = mended(run_id, "m.parquet", id=pl.lit("9"))
    trimmed = {"column": "at", "apply": ["trim", "timestamp"]}
    Path("events.yaml").write_text(json.dumps(EVENTS | {"timestamp": trimmed}))
    Path("events.parquet").rename("gone.parquet")
    assert main(["replay", name]) == 65
    assert (
        "timestamp: tells from the whole column how to read it, and only some rows are here" in capsys.readouterr().err
    )
    Path("gone.parquet").rename("events.parquet")  # now it can be asked
    assert counts(capsys, name, "--limit", "1") == (0, 1, 0, 0)
    Path("events.parquet").unlink()
    said = {"column": "at", "apply": ["trim", {"timestamp": {"unit": "ms"}}]}
    Path("events.yaml").write_text(json.dumps(EVENTS | {"timestamp": said}))
    assert counts(capsys, name) == (0, 1, 0, 1)


@pytest.mark.parametrize("ending", ["csv", "parquet", "ndjson"])
def test_json_stays_json_on_its_way_through_a_file(sandbox: Sandbox, ending: str, capsys: Captured) -> None:
    people(sandbox)
    tree = {"a": [1, {"b": None}], "é": 12345678901234567890}
    Path("people.ndjson").write_text(json.dumps({"id": "7", "e_mail": "a@@b.co", "tree": tree}))
    Path("people.yaml").write_text(json.dumps(PEOPLE | {"attributes": {"email": "e_mail", "tree": "tree"}}))
    write_job(Path("job.yaml"), sandbox.url, {"people": ({"ndjson": "people.ndjson"}, "people.yaml")}, max_rejects=9)
    name = mended(run(), f"m.{ending}", e_mail=pl.lit("a@b.co"))
    assert counts(capsys, name) == (0, 1, 0, 0)
    found = sandbox.people.find("id", "7")
    assert found is not None and found.attributes["tree"] == tree


def test_of_a_key_that_several_mended_rows_have_one_is_sent_and_all_are_closed(
    sandbox: Sandbox, capsys: Captured
) -> None:
    people(sandbox)
    Path("people.yaml").write_text(json.dumps(PEOPLE | {"order_by": "n"}))
    write_people("1,a@@b.co,2001-02-03,3", "2,b@@b.co,2001-02-03,1", "3,c@@b.co,2001-02-03,2")
    run_id = run()
    name = mended(run_id, id=pl.lit("1"), e_mail=pl.lit("a@b.co"))
    assert counts(capsys, name) == (0, 1, 0, 2)
    found = sandbox.people.find("id", "1")
    assert found is not None and found.attributes["row"] == "3" and still_open(run_id) == {}


# ---------------------------------------------------------------- what people do to files


def keyed_events(sandbox: Sandbox, *event_key: str) -> None:
    """A job of one step of three events, the second of which has the first one's key and says something else."""
    frame = {"id": ["1", "1", "2"], "order": ["a", "a", "b"], "line": [1, 2, 1], "price": [10, 20, 30]}
    pl.DataFrame(frame).write_parquet("orders.parquet")
    mapping = EVENTS | {"event_key": event_key, "attributes": {"price": "price"}, "timestamp": {"value": 1_700_000_000}}
    Path("orders.yaml").write_text(json.dumps(mapping))
    write_job(Path("job.yaml"), sandbox.url, {"orders": ({"parquet": "orders.parquet"}, "orders.yaml")}, max_rejects=9)


def test_an_event_whose_key_another_row_had_stays_rejected_as_long_as_it_has_that_key(
    sandbox: Sandbox, capsys: Captured
) -> None:
    keyed_events(sandbox, "order")
    run_id = run()
    assert counts(capsys, run_id) == (3, 0, 1, 0)  # Customer.io would answer 200, and ignore it
    assert counts(capsys, mended(run_id, price=pl.lit("21"))) == (3, 0, 1, 0)
    assert still_open(run_id) == {1: "event_key_repeated"} and len(sandbox.people.events) == 2
    assert counts(capsys, mended(run_id, order=pl.lit("c"))) == (0, 1, 0, 0)
    assert not still_open(run_id) and len(sandbox.people.events) == 3
    assert "duplicate_events" not in {name for name, count in sandbox.stats()["effects"].items() if count}


def test_an_event_whose_key_another_row_had_is_sent_when_the_mapping_s_key_is_mended(
    sandbox: Sandbox, capsys: Captured
) -> None:
    keyed_events(sandbox, "order")
    run_id = run()
    keyed_events(sandbox, "order", "line")
    assert counts(capsys, run_id) == (0, 1, 0, 0)
    assert not still_open(run_id) and len(sandbox.people.events) == 3


def test_that_nobody_can_tell_whether_a_key_is_mended_is_said(sandbox: Sandbox, capsys: Captured) -> None:
    keyed_events(sandbox, "order")
    run_id = run()
    file = mended(run_id, order=pl.lit("c"))
    Path("orders.parquet").unlink()
    assert main(["replay", file]) == 0
    assert "Customer.io ignores those whose key is not mended" in capsys.readouterr().err


def test_a_spreadsheet_s_separator_encoding_and_quoting_are_understood(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    write_people("1,á@@b.co,2001-02-03,10")
    Path("people.yaml").write_text(json.dumps(PEOPLE | {"attributes": {"email": "e_mail", "name": "n"}}))
    frame = exported(run()).with_columns(e_mail=pl.lit("e@b.co"), n=pl.lit("Zoé"))
    Path("mended.csv").write_bytes(frame.write_csv(separator=";", line_terminator="\r\n").encode("cp1252"))
    assert counts(capsys, "mended.csv") == (0, 1, 0, 0)
    found = sandbox.people.find("id", "1")
    assert found is not None and found.attributes["name"] == "Zoé"


def test_typed_columns_come_back_from_csv_in_their_types_and_what_is_none_stays_open(
    sandbox: Sandbox, capsys: Captured
) -> None:
    events(sandbox)
    run_id = run()
    name = mended(
        run_id, id=pl.lit("9"), n=pl.when(pl.col("n") == "1").then(pl.lit("one")).otherwise("n"), note=pl.lit("any")
    )
    assert main(["replay", name]) == 3
    said = capsys.readouterr().err
    assert "mended.csv: 1 values of column 'n' are not what it holds, whole numbers (lines 2)" in said
    assert still_open(run_id) == {1: "value_of_other_type"}
    bought = {event.attributes["n"]: event.attributes.get("price") for event in sandbox.people.events.values()}
    assert bought == {0: 1.5, 2: None, 4: 5.75, 3: 4}


def test_a_row_that_was_ragged_is_no_row_until_it_is_filled_in(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    Path("people.yaml").write_text(
        json.dumps({"operation": "identify", "identifiers": {"id": {"value": "all"}}, "attributes": {"row": "n"}})
    )
    write_people("1,a@b.co,2001-02-03,10", "2,b@b.co", "3,c@b.co,2001-02-03,12")
    run_id = run()
    name = mended(run_id)
    assert counts(capsys, name) == (3, 0, 1, 0) and still_open(run_id) == {1: "row_ragged"}
    assert counts(capsys, run_id) == (3, 0, 1, 0) and still_open(run_id) == {1: "row_ragged"}
    assert counts(capsys, mended(run_id, id=pl.lit("2"), n=pl.lit("11"))) == (0, 1, 0, 0)


def test_a_row_that_was_ragged_and_is_closed_is_skipped_by_the_next_replay(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    write_people("1,a@b.co", "2,b@@b.co,2001-02-03,11")
    run_id = run()
    first = pl.col("line") == "2"
    whole = {name: pl.when(first).then(pl.lit(text)).otherwise(name).alias(name) for name, text in _WHOLE.items()}
    assert counts(capsys, mended(run_id, values=whole)) == (3, 1, 1, 0)
    assert counts(capsys, run_id) == (3, 0, 1, 1)
    assert still_open(run_id) == {1: "email_malformed"}


_WHOLE = {"id": "1", "e_mail": "a@b.co", "born": "2001-02-03", "n": "10"}


def test_rows_that_are_taken_out_stay_open_and_columns_of_ours_may_be_anything(
    sandbox: Sandbox, capsys: Captured
) -> None:
    people(sandbox)
    run_id = run()
    frame = exported(run_id).with_columns(**GOOD).head(1).drop("reason", "hint", "born")
    frame.with_columns(line=pl.lit("no line"), extra=pl.lit("x")).write_csv("mended.csv")
    Path("people.yaml").write_text(json.dumps(PEOPLE | {"attributes": {"email": "e_mail", "more": "extra"}}))
    assert counts(capsys, "mended.csv") == (0, 1, 0, 0)
    assert set(still_open(run_id)) == {2, 3}
    found = sandbox.people.find("id", "2")
    assert found is not None and found.attributes["more"] == "x"


def test_of_a_row_that_is_there_twice_the_last_counts(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    frame = exported(run()).with_columns(**GOOD)
    pl.concat([frame, frame.head(1).with_columns(n=pl.lit("99"))]).write_csv("mended.csv")
    assert main(["replay", "mended.csv"]) == 0
    assert "mended.csv: 1 rows of step people are there again; the last of each counts" in capsys.readouterr().err
    found = sandbox.people.find("id", "2")
    assert found is not None and found.attributes["row"] == "99"


KEYS = pl.col(KEY)
WRONG: dict[str, tuple[Callable[[pl.DataFrame], pl.DataFrame], str]] = {
    "no key column": (lambda frame: frame.drop(KEY), "mended.csv: has no column '_reject', which says of each row"),
    "a new row": (
        lambda frame: frame.with_columns(pl.lit(None, dtype=pl.String).alias(KEY)),
        "mended.csv:2: has nothing in",
    ),
    "a broken key": (
        lambda frame: frame.with_columns(pl.lit("42").alias(KEY)),
        "mended.csv:2: has in '_reject' what no export",
    ),
    "a key of a good row": (
        lambda frame: frame.with_columns(KEYS.str.replace("/1$", "/0")),
        "mended.csv:2: has in '_reject' a row that was not rejected",
    ),
    "a key of another step": (
        lambda frame: frame.with_columns(KEYS.str.replace("/0/", "/7/")),
        "mended.csv:2: has in '_reject' a row that was not rejected (so do 2 other rows)",
    ),
    "a run of elsewhere": (
        lambda frame: frame.with_columns(KEYS.str.replace("^[^/]*", "job-1")),
        "mended.csv:2: is of a run that this state folder does not know",
    ),
    "a column that is read": (
        lambda frame: frame.drop("e_mail"),
        "mended.csv: has no column 'e_mail', which people.yaml reads",
    ),
    "no rows": (lambda frame: frame.clear(), "mended.csv: has no rows"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_cannot_be_right_is_refused_before_anything_is_sent(
    sandbox: Sandbox, case: str, capsys: Captured
) -> None:
    people(sandbox)
    run_id = run()
    spoil, said = WRONG[case]
    requests = sandbox.stats()["requests"]
    spoil(exported(run_id).with_columns(**GOOD)).write_csv("mended.csv")
    assert main(["replay", "mended.csv"]) == 65
    assert said in capsys.readouterr().err
    assert sandbox.stats()["requests"] == requests and len(still_open(run_id)) == 3


def test_a_line_with_too_many_fields_is_named(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    mended(run())
    with Path("mended.csv").open("a") as file:
        file.write("a,b\n")
    assert main(["replay", "mended.csv"]) == 65
    assert "mended.csv:5: has more or fewer fields than the header\nmend the line\n" in capsys.readouterr().err


def test_what_is_neither_a_run_nor_a_file_nor_has_rejects_is_told(sandbox: Sandbox, capsys: Captured) -> None:
    assert main(["replay", "x.csv"]) == 2
    assert ".etl holds no state; name the folder with --state" in capsys.readouterr().err
    people(sandbox)
    write_people(ROWS[0])
    clean = run(code=0)
    for what, said in {
        "nightly-1": "nightly-1: no run in this state folder, and no file",
        "gone.csv": "gone.csv: cannot be read: No such file",
        "people.yaml": "people.yaml: is no file that can be replayed",
        clean: f"{clean}: has no rejects",
    }.items():
        assert main(["replay", what]) == 65
        assert said in capsys.readouterr().err


def test_a_job_file_that_is_gone_renamed_or_lacks_the_step_is_told(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    run_id = run()
    text = Path("job.yaml").read_text()
    Path("job.yaml").unlink()
    assert main(["replay", run_id]) == 78
    assert f"job.yaml: the job file of {run_id} is not there; put it back" in capsys.readouterr().err
    Path("job.yaml").write_text(text.replace('"name": "people"', '"name": "customers"'))
    assert main(["replay", run_id]) == 65
    assert "people: the job file has no such step any more" in capsys.readouterr().err
    Path("job.yaml").write_text(text.replace("{", '{"name": "shop", ', 1))
    assert main(["replay", run_id]) == 78
    assert f"job.yaml: name: is now the job shop, and {run_id} was a run of job" in capsys.readouterr().err


def test_a_file_with_rows_of_two_jobs_is_refused(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    frames = [exported(run())]
    Path("job.yaml").rename("other.yaml")
    assert main(["run", "other.yaml"]) == 3
    pl.concat([*frames, exported(newest("other"))]).write_csv("mended.csv")
    assert main(["replay", "mended.csv"]) == 65
    assert "mended.csv: has rows of the jobs job and other" in capsys.readouterr().err


def test_rejects_of_several_runs_go_together_the_oldest_first(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    first, second = exported(run()), exported(run())
    assert first[KEY].to_list() != second[KEY].to_list()
    pl.concat([second.with_columns(n=pl.lit("2nd")), first]).with_columns(**GOOD).write_csv("mended.csv")
    assert counts(capsys, "mended.csv") == (0, 6, 0, 0)
    found = sandbox.people.find("id", "2")
    assert found is not None and found.attributes["row"] == "2nd"
    assert rows("SELECT count(*) FROM reject WHERE closed_by IS NULL") == [(0,)]


def test_a_workbook_into_which_a_spreadsheet_made_the_file_is_read_too(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    run_id = run()
    exported(run_id)
    cells = pl.read_csv("rejects.csv", infer_schema=False).with_columns(**GOOD, n=pl.col("n").cast(pl.Int64))
    with xlsxwriter.Workbook("mended.xlsx") as book:
        sheet = book.add_worksheet()
        for number, values in enumerate([cells.columns, *cells.rows()]):
            sheet.write_row(number, 0, ["" if value is None else value for value in values])
    assert counts(capsys, "mended.xlsx") == (0, 3, 0, 0)
    found = sandbox.people.find("id", "2")
    assert found is not None and found.attributes["row"] == "11"  # text again


def test_that_the_job_has_run_since_is_told(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    first = run()
    second = run()
    main(["replay", first])
    told = f"{second} has sent rows since; of the same people, what is replayed overwrites what it sent"
    assert told in capsys.readouterr().err
    main(["replay", second])
    assert "has sent rows since" not in capsys.readouterr().err


def test_what_is_closed_needs_no_source_any_more(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    events(sandbox)
    both = {"people": ({"csv": "people.csv"}, "people.yaml"), "events": ({"parquet": "events.parquet"}, "events.yaml")}
    write_job(Path("job.yaml"), sandbox.url, both, max_rejects=100)
    run_id = run()
    mended(run_id, "mended.parquet", values=GOOD)
    frame = pl.read_parquet("mended.parquet")
    frame.filter(pl.col("step") == "people").write_parquet("mended.parquet")
    assert counts(capsys, "mended.parquet") == (0, 3, 0, 0)
    Path("people.csv").unlink()
    assert counts(capsys, run_id) == (3, 0, 2, 0)
    write_job(Path("job.yaml"), sandbox.url, {"events": both["events"]}, max_rejects=100)
    assert counts(capsys, run_id) == (3, 0, 2, 0)
    frame.filter(pl.col("step") == "events").write_parquet("mended.parquet")
    assert counts(capsys, "mended.parquet") == (0, 2, 0, 0)
    Path("events.parquet").unlink()
    assert main(["replay", run_id]) == 0
    assert f"{run_id}: nothing to send, all of its rejects are closed" in capsys.readouterr().out


# ---------------------------------------------------------------- what is kept


def test_by_default_no_row_is_kept_and_without_the_source_only_the_reasons_are_left(
    sandbox: Sandbox, capsys: Captured
) -> None:
    people(sandbox)
    run_id = run()
    assert not Path(f".etl/runs/{run_id}/rejects").exists()
    write_people(ROWS[0])
    assert exported(run_id, "out.ndjson").columns == [*HEAD]
    assert "step people: without the source's columns, since people: the source has changed" in capsys.readouterr().err
    assert main(["replay", run_id]) == 65
    _, err = capsys.readouterr()
    assert f"{run_id}: the rejected rows of step people are not to be had again: people: the source has changed" in err
    assert "`rejects: rows` in the job file keeps the rows the next time" in err


def test_rows_that_are_kept_can_be_mended_when_the_source_is_gone(sandbox: Sandbox, capsys: Captured) -> None:
    events(sandbox, rejects="rows")
    run_id = run()
    kept = Path(f".etl/runs/{run_id}/rejects")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in kept.iterdir()] == [0o600]
    before = exported(run_id, "before.parquet")
    Path("events.parquet").unlink()
    assert_frame_equal(exported(run_id, "after.parquet"), before)
    assert before.schema["price"] == pl.Decimal(12, 2)
    assert before["note"].to_list() == ["=x", "'=x"]
    assert counts(capsys, run_id) == (3, 0, 2, 0)
    assert counts(capsys, mended(run_id, "m.parquet", id=pl.lit("9"))) == (0, 2, 0, 0)
    assert not kept.exists()  # all are mended: nothing to keep


def test_kept_rows_are_removed_when_asked(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox, rejects="rows")
    run_id = run()
    assert main(["rejects", run_id, "--forget"]) == 0
    assert f"the rows kept of {run_id} are removed" in capsys.readouterr().out
    assert not Path(f".etl/runs/{run_id}/rejects").exists() and len(still_open(run_id)) == 3
    assert main(["rejects", run_id, "--forget"]) == 0
    assert f"no rows are kept of {run_id}" in capsys.readouterr().out
    assert main(["rejects", run_id]) == 2
    assert "name the file to write with -o" in capsys.readouterr().err


def test_rows_of_a_database_are_kept_when_its_staged_copy_is_removed(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    with closing(sqlite3.connect("shop.db")) as db:
        db.execute("CREATE TABLE people (id TEXT, e_mail TEXT, born TEXT, n INTEGER)")
        db.executemany(
            "INSERT INTO people VALUES (?, ?, ?, ?)",
            [(None if not row[0] else row[0], *row[1:]) for row in map(str.split, ROWS, ",,,,")],
        )
        db.commit()
    source = {"sql": "sqlite:///shop.db", "query": "select * from people"}
    for how in ("keys", "rows"):
        write_job(Path("job.yaml"), sandbox.url, {"people": (source, "people.yaml")}, max_rejects=9, rejects=how)
        run_id = run()
        capsys.readouterr()
        frame = exported(run_id, f"{how}.parquet")
        assert ("e_mail" in frame.columns) is (how == "rows")
        said = capsys.readouterr().err
        assert ("rejects: rows in the job file keeps the rejected ones" in said) is (how == "keys")
    assert frame.schema["n"] == pl.Int64
    assert counts(capsys, run_id) == (3, 0, 3, 0)


def test_status_and_the_report_say_what_is_open_and_how_to_mend_it(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    run_id = run()
    said = capsys.readouterr().out
    assert f"rejects    cio-etl rejects {run_id} -o rejects.csv" in said
    assert "replay     cio-etl replay rejects.csv" in said
    main(["replay", mended(run_id, e_mail=pl.col("e_mail").str.replace("b@@", "b@"))])
    said = capsys.readouterr().out  # an export would hold the source's values, and not what was mended
    assert "what is still wrong is open: mend it in mended.csv, and replay that again" in said
    assert "cio-etl rejects" not in said
    main(["replay", run_id])
    assert f"rejects    cio-etl rejects {run_id} -o rejects.csv" in capsys.readouterr().out
    main(["status", "job.yaml"])
    assert "2 of its rejects are open, to be mended and replayed" in capsys.readouterr().out
    main(["status", "job.yaml", "--json"])
    assert json.loads(capsys.readouterr().out)["open_rejects"] == 2
    assert main(["rejects", newest("job.replay"), "-o", "x.csv"]) == 2
    assert "is a replay; what it did not mend is still rejected in the run before it" in capsys.readouterr().err
    assert main(["replay", newest("job.replay")]) == 65
    assert "is a replay, and has none of its own" in capsys.readouterr().err


# ---------------------------------------------------------------- rehearsals, locks, kills


def test_a_rehearsal_closes_nothing_and_a_rehearsal_s_rejects_are_rehearsed_only(
    sandbox: Sandbox, capsys: Captured
) -> None:
    people(sandbox)
    run_id = run()
    name = mended(run_id, values=GOOD)
    assert counts(capsys, name, "--sandbox") == (0, 3, 0, 0)
    assert len(still_open(run_id)) == 3
    assert main(["run", "job.yaml", "--sandbox"]) == 3
    rehearsed = newest("job.sandbox")
    assert "replay     cio-etl replay rejects.csv --sandbox" in capsys.readouterr().out
    assert main(["replay", rehearsed]) == 2
    assert "was a rehearsal, and its rows are sent nowhere else; add --sandbox" in capsys.readouterr().err
    mended(rehearsed, "r.csv", values=GOOD)
    read("r.csv").drop("e_mail").write_csv("x.csv")
    assert main(["replay", "x.csv", "--sandbox"]) == 65
    assert "or mend the mapping; then: cio-etl replay x.csv --sandbox\n" in capsys.readouterr().err
    assert counts(capsys, "r.csv", "--sandbox") == (0, 3, 0, 0)
    assert still_open(rehearsed) == {} and len(still_open(run_id)) == 3
    assert counts(capsys, name) == (0, 3, 0, 0)


def test_a_replay_waits_for_no_run_and_disturbs_none(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox, max_rejects=1)
    run_id = run(code=4)
    with state.hold(Path(".etl"), "job"):
        assert main(["replay", run_id]) == 75
    assert "another run holds the job job" in capsys.readouterr().err
    assert counts(capsys, mended(run_id, values=GOOD))[0] == 0
    people(sandbox)  # max_rejects is raised
    assert main(["run", "job.yaml"]) == 3
    assert newest("job") == run_id  # it went on


def test_a_limit_sends_the_first_rows_and_the_rest_stays_open(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    run_id = run()
    name = mended(run_id, values=GOOD)
    assert counts(capsys, name, "--limit", "1") == (0, 1, 0, 0)
    assert set(still_open(run_id)) == {2, 3}
    assert counts(capsys, name) == (0, 2, 0, 1)


def test_rows_whose_outcome_is_unknown_are_sent_again_only_when_a_person_says_so(
    sandbox: Sandbox, capsys: Captured
) -> None:
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
    assert "nothing to send" in out and "2 rows are left out: the answer was lost" in err
    assert len(still_open(run_id)) == 2
    assert counts(capsys, run_id, "--unknown") == (0, 2, 0, 0)
    assert still_open(run_id) == {}


def many(sandbox: Sandbox, capsys: Captured, count: int = 1_200) -> str:
    """A run of which all rows were rejected, mended in mended.csv; each batch has some forty."""
    people(sandbox, destination={"lanes": 4, "max_batch_bytes": 32_100, "requests_per_second": "unlimited"})
    mapping = PEOPLE | {"attributes": {"row": {"column": "n", "apply": [{"cast": "integer"}]}, "note": "born"}}
    Path("people.yaml").write_text(json.dumps(mapping | {"attributes": mapping["attributes"] | {"email": "e_mail"}}))  # type: ignore[operator]
    text = Path("job.yaml").read_text()
    Path("job.yaml").write_text(text.replace('"max_rejects": 100', '"max_rejects": "100%"'))
    write_people(*(f"{n % 50},bad,{'x' * 700},{n}" for n in range(count)))
    run_id = run()
    mended(run_id, e_mail=pl.col("id") + "@b.co")
    capsys.readouterr()
    return run_id


def killed(after_s: float) -> bool:
    """Whether a replay of mended.csv was killed so long after its start, or else had ended."""
    process = start("replay", "mended.csv", folder=Path.cwd(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert process.wait(after_s) == 0
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True


def settled(run_id: str) -> None:
    """What is acknowledged is closed, and nothing else, at whatever moment the process died."""
    closed = rows("SELECT count(*) FROM reject WHERE run_id = ? AND closed_by IS NOT NULL", run_id)
    accepted = rows("SELECT coalesce(sum(accepted), 0) FROM lane JOIN run USING (run_id) WHERE job = 'job.replay'")
    assert closed == accepted


def test_a_replay_that_is_killed_again_and_again_loses_no_row_and_closes_each_once(
    sandbox: Sandbox, capsys: Captured
) -> None:
    run_id = many(sandbox, capsys)
    sandbox.set_faults(Faults(seed=5, latency_s=0.15, rates={"503": 0.1, "lost_after": 0.03}))
    dice, kills = random.Random(7), 0
    while killed(1.0 + dice.random() * 1.5) and kills < 12:
        kills += 1
        settled(run_id)
    settled(run_id)
    if kills == 12:
        sandbox.set_faults(Faults())
        assert main(["replay", "mended.csv"]) == 0
    assert kills > 1 and still_open(run_id) == {}
    assert rows("SELECT count(*), sum(status = 'finished') FROM run WHERE job = 'job.replay'") == [(1, 1)]
    ((accepted, twice),) = rows(
        "SELECT sum(accepted), sum(possibly_sent_twice) FROM lane JOIN run USING (run_id) WHERE job = 'job.replay'"
    )
    came = Counter(row for person in sandbox.people.everybody() for row in person.trace)
    assert accepted == 1_200 and sorted(came) == list(range(1_200))
    assert sum(count > 1 for count in came.values()) <= twice  # a row may be under way at several kills
    for person in sandbox.people.everybody():
        assert person.attributes["row"] == max(person.trace)


def test_after_a_kill_another_file_begins_anew_with_what_is_still_open(sandbox: Sandbox, capsys: Captured) -> None:
    run_id = many(sandbox, capsys, 600)
    sandbox.set_faults(Faults(latency_s=0.1))
    process = start("replay", "mended.csv", folder=Path.cwd(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: len(still_open(run_id)) < 600)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    left = len(still_open(run_id))
    assert 0 < left < 600
    sandbox.set_faults(Faults())
    read("mended.csv").reverse().write_csv("other.csv")
    assert counts(capsys, "other.csv") == (0, left, 0, 600 - left)
    assert still_open(run_id) == {}
    assert rows("SELECT status FROM run WHERE job = 'job.replay' ORDER BY rowid") == [("abandoned",), ("finished",)]


def test_a_signal_drains_a_replay_and_the_same_command_goes_on(sandbox: Sandbox, capsys: Captured) -> None:
    run_id = many(sandbox, capsys, 600)
    sandbox.set_faults(Faults(latency_s=0.1))
    process = start("replay", "mended.csv", folder=Path.cwd())
    until(lambda: len(still_open(run_id)) < 600)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and err.splitlines()[-1].endswith("to go on: cio-etl replay mended.csv")
    Path("people.csv").unlink()
    Path("mended.csv").rename("moved.csv")
    Path("moved.csv").rename("mended.csv")
    sandbox.set_faults(Faults())
    assert counts(capsys, "mended.csv")[0] == 0
    assert rows("SELECT count(*) FROM run WHERE job = 'job.replay'") == [(1,)] and still_open(run_id) == {}


def test_rows_that_may_be_done_are_not_done_twice_because_another_file_is_given(
    sandbox: Sandbox, capsys: Captured
) -> None:
    run_id = many(sandbox, capsys, 200)
    Path("people.yaml").write_text(json.dumps({"operation": "delete", "identifiers": {"id": "id"}}))
    sandbox.set_faults(Faults(latency_s=20.0))
    process = start("replay", "mended.csv", folder=Path.cwd(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    announced = "SELECT count(*) FROM lane JOIN run USING (run_id) WHERE job = 'job.replay' AND sending_through >= 0"
    until(lambda: rows(announced) != [(0,)])
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    sandbox.set_faults(Faults())
    read("mended.csv").reverse().write_csv("other.csv")
    assert main(["replay", "other.csv"]) == 78
    assert "other rows or another mapping are given now, and step people had rows under way" in capsys.readouterr().err
    assert main(["replay", "mended.csv"]) == 3  # those that were under way are rejects now, to be looked at
    assert set(still_open(run_id).values()) == {"outcome_unknown"}
