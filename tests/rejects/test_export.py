"""Rejects are exported with their rows, and are read back from the file exactly."""

from __future__ import annotations

import json
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from cio_etl.cli import main
from cio_etl.model import reason_words
from cio_etl.reject_files import HEAD, KEY, as_text, export, from_text, source_name
from cio_etl.reject_files.write import exported_name
from cio_etl.rejects.fixed_file import read_rows
from cio_etl.sandbox import Answer, Faults, Sandbox
from tests.rejects.reject_jobs import (
    ROWS,
    Captured,
    counts,
    events,
    exported,
    fixed,
    newest,
    people,
    read,
    run,
    still_open,
    write_people,
)
from tests.running import write_job

pytestmark = pytest.mark.usefixtures("keys")


def test_an_export_has_columns_about_the_reject_and_then_the_source_s_columns(sandbox: Sandbox) -> None:
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


def test_the_hint_names_all_reasons_of_a_row_and_it_is_counted_by_the_first(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    write_people("1,a@@b.co,soon,10", "2,b@b.co,later,11", "3,c@@b.co,2001-02-03,12")
    run_id = run()
    assert [(row["reason"], row["hint"].partition("; also ")[2]) for row in exported(run_id).to_dicts()] == [
        ("timestamp_unreadable", "email_malformed in attributes.email"),
        ("timestamp_unreadable", ""),
        ("email_malformed", ""),
    ]
    (report,) = Path(".etl").rglob("report.json")
    rejects = json.loads(report.read_text())["steps"][0]["rejects"]
    assert {(each["reason"], each["rows"]) for each in rejects} == {("timestamp_unreadable", 2), ("email_malformed", 1)}
    capsys.readouterr()
    main(["preview", "job.yaml"])
    assert [json.loads(line).get("also") for line in capsys.readouterr().out.splitlines()] == [
        "email_malformed in attributes.email",
        None,
        None,
    ]


def test_the_hint_of_a_refused_row_is_customer_io_s_message(sandbox: Sandbox) -> None:
    people(sandbox)
    write_people("1,a@b.co,2001-02-03,10")
    sandbox.set_faults(Faults(refused=1.0))
    run()
    (row,) = exported(newest("job"), "out.ndjson").to_dicts()
    assert row["reason"].startswith("refused_") and row["hint"] and row["hint"] not in reason_words().values()


@pytest.mark.parametrize(
    ("stored", "hint"),
    [("keys", 'no "…" of …@…'), ("rows", 'no "gold" of ann@shop.example')],
)
def test_the_state_has_a_message_without_the_values_it_quotes_unless_it_may_have_the_rows(
    sandbox: Sandbox, stored: str, hint: str
) -> None:
    people(sandbox, rejects=stored)
    write_people("1,a@b.co,2001-02-03,10")
    error = {"batch_index": 0, "reason": "invalid", "message": 'no "gold" of ann@shop.example'}
    refusal = Answer(207, json.dumps({"errors": [error]}).encode())
    sandbox.set_faults(Faults(script=(refusal,)))
    run_id = run()
    (row,) = exported(run_id, "out.ndjson").to_dicts()
    assert row["hint"] == hint
    content = b"".join(path.read_bytes() for path in Path(".etl").glob("state.db*"))
    assert (b"ann@shop.example" in content) == (stored == "rows")


names = st.sampled_from(["id", "_reject", "source._reject", "step", "source.source.line", "source.id", "=a", "'b"])
NESTED = pl.Struct({"a": pl.Int64(), "b": pl.List(pl.String())})
cells = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@pytest.mark.parametrize("ending", ["csv", "parquet", "ndjson"])
@given(data=st.data())
def test_exported_values_are_read_back_exactly(ending: str, data: st.DataObject, tmp_path: Path) -> None:
    dtypes = {
        "text": (
            pl.String(),
            cells | st.sampled_from(["", "'", "=1", "'=1", "-5", "\t", "a\r\nb", '"', "\ufeffx"]),
        ),
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


@pytest.mark.parametrize("cell", ["\ufeff", "\ufeffx", "'\ufeffx", "\ufeff=1", "a,\ufeffb", "a\n\ufeffb", "a\n\x1ab"])
def test_a_cell_with_the_trace_of_another_file_is_read_back_exactly(cell: str, tmp_path: Path) -> None:
    frame = pl.DataFrame({"text": [cell, "x"], "more": ["y", cell]})
    head = pl.DataFrame({name: ["x"] * 2 for name in HEAD})
    assert export(head.hstack(frame), tmp_path / "out.csv") == []
    assert_frame_equal(typed_again(tmp_path / "out.csv", frame.schema), frame)


def typed_again(path: Path, schema: pl.Schema) -> pl.DataFrame:
    """The source's columns of a file, as a replay reads them."""
    frame, _ = read_rows(path)
    return pl.DataFrame(
        [
            frame[name] if frame[name].dtype == dtype else from_text(as_text(frame[name]), dtype)
            for name, dtype in schema.items()
        ]
    )


@given(st.lists(names, unique=True))
def test_source_columns_named_like_the_export_s_own_keep_their_names(own: list[str]) -> None:
    out = [exported_name(name) for name in own]
    assert len({*out, *HEAD}) == len(own) + len(HEAD)
    assert [source_name(name) for name in out] == own


# ---------------------------------------------------------------- rows that the run kept


def test_by_default_no_row_is_kept_and_a_changed_source_leaves_only_the_reasons(
    sandbox: Sandbox, capsys: Captured
) -> None:
    people(sandbox)
    run_id = run()
    assert not Path(f".etl/runs/{run_id}/rejects").exists()
    write_people(ROWS[0])
    assert exported(run_id, "out.ndjson").columns == [*HEAD]
    assert "step people: without the source's columns, because the source has changed since" in capsys.readouterr().err
    assert main(["replay", run_id]) == 65
    _, err = capsys.readouterr()
    assert f"{run_id}: the rejected rows of step people cannot be read again: the source has changed since" in err
    assert "`rejects: rows` in the job file keeps the rows the next time" in err


def test_kept_rows_can_be_fixed_when_the_source_is_gone(sandbox: Sandbox, capsys: Captured) -> None:
    events(sandbox, rejects="rows")
    run_id = run()
    folder = Path(f".etl/runs/{run_id}/rejects")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()] == [0o600]
    before = exported(run_id, "before.parquet")
    Path("events.parquet").unlink()
    assert_frame_equal(exported(run_id, "after.parquet"), before)
    assert before.schema["price"] == pl.Decimal(12, 2)
    assert before["note"].to_list() == ["=x", "'=x"]
    assert counts(capsys, run_id) == (3, 0, 2, 0)
    assert counts(capsys, fixed(run_id, "m.parquet", id=pl.lit("9"))) == (0, 2, 0, 0)
    assert not folder.exists()  # no reject is open, so nothing is kept


def test_forget_removes_the_kept_rows(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox, rejects="rows")
    run_id = run()
    assert main(["rejects", run_id, "--forget"]) == 0
    assert f"the stored rows of {run_id} are removed" in capsys.readouterr().out
    assert not Path(f".etl/runs/{run_id}/rejects").exists() and len(still_open(run_id)) == 3
    assert main(["rejects", run_id, "--forget"]) == 0
    assert f"no rows of {run_id} are stored" in capsys.readouterr().out
    assert main(["rejects", run_id]) == 2
    assert "name the file to write with -o" in capsys.readouterr().err


def test_kept_rows_of_a_database_outlive_its_staged_copy(sandbox: Sandbox, capsys: Captured) -> None:
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
        output = capsys.readouterr().err
        assert ("`rejects: rows` in the job file keeps rejected ones" in output) is (how == "keys")
    assert frame.schema["n"] == pl.Int64
    assert counts(capsys, run_id) == (3, 0, 3, 0)


def test_status_and_report_show_the_open_rejects_and_the_commands_that_fix_them(
    sandbox: Sandbox, capsys: Captured
) -> None:
    people(sandbox)
    run_id = run()
    output = capsys.readouterr().out
    assert f"rejects    cio-etl rejects {run_id} -o rejects.csv" in output
    assert "once fixed cio-etl replay rejects.csv" in output
    main(["replay", fixed(run_id, e_mail=pl.col("e_mail").str.replace("b@@", "b@"))])
    output = capsys.readouterr().out  # an export would have the source's values in place of the fixed ones
    assert "the rejects of these rows are open: fix the rows in fixed.csv, and replay it again" in output
    assert "cio-etl rejects" not in output
    main(["replay", run_id])
    assert f"rejects    cio-etl rejects {run_id} -o rejects.csv" in capsys.readouterr().out
    main(["status", "job.yaml"])
    assert "2 of its rejects are open, to be fixed and replayed" in capsys.readouterr().out
    main(["status", "job.yaml", "--json"])
    assert json.loads(capsys.readouterr().out)["open_rejects"] == 2
    assert main(["rejects", newest("job.replay"), "-o", "x.csv"]) == 2
    assert "is a replay; its open rejects are those of the run that it replayed" in capsys.readouterr().err
    assert main(["replay", newest("job.replay")]) == 65
    assert "is a replay, and has no rejects of its own" in capsys.readouterr().err


def test_validate_writes_the_rows_that_a_run_would_reject_and_a_replay_of_them_is_refused(
    sandbox: Sandbox, capsys: Captured
) -> None:
    people(sandbox)
    assert main(["validate", "job.yaml", "--rejects", "before.csv"]) == 3
    assert "3 rejected rows in before.csv" in capsys.readouterr().err
    assert stat.S_IMODE(Path("before.csv").stat().st_mode) == 0o600
    assert main(["replay", "before.csv"]) == 65  # though there is no state yet
    error = capsys.readouterr().err
    assert "before.csv:2: is of a file that `validate` wrote, and no run has rejected the row" in error
    assert "start the job with `cio-etl run`" in error
    before, of_run = read("before.csv"), exported(run())
    assert before[KEY].to_list() == ["(validation)/0/1", "(validation)/0/2", "(validation)/0/3"]
    assert_frame_equal(before.drop(KEY), of_run.drop(KEY))


@pytest.mark.parametrize("name", ["there.ndjson", "rejects.txt"])
def test_validate_refuses_the_name_of_a_file_for_rejects_before_it_reads_a_row(
    name: str, sandbox: Sandbox, capsys: Captured
) -> None:
    people(sandbox)
    Path("there.ndjson").touch()
    Path("people.csv").unlink()
    assert main(["validate", "job.yaml", "--rejects", name]) == 2
    assert name in capsys.readouterr().err


def test_the_rows_of_two_steps_and_of_none_are_in_the_file_that_validate_writes(sandbox: Sandbox) -> None:
    people(sandbox)
    events(sandbox)
    steps = {"people": ({"csv": "people.csv"}, "people.yaml"), "events": ({"parquet": "events.parquet"}, "events.yaml")}
    write_job(Path("job.yaml"), sandbox.url, steps, max_rejects=100)
    assert main(["validate", "job.yaml", "--rejects", "two.parquet"]) == 3
    two = pl.read_parquet("two.parquet")
    assert two["step"].to_list() == ["people"] * 3 + ["events"] * 2
    assert two[KEY].to_list()[3:] == ["(validation)/1/1", "(validation)/1/3"]
    write_people("1,a@b.co,2001-02-03,10")
    assert main(["validate", "job.yaml", "--step=people", "--rejects", "none.parquet"]) == 0
    none = pl.read_parquet("none.parquet")
    assert (none.height, none.columns) == (0, list(HEAD))
