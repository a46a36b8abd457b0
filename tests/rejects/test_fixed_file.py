"""A fixed file is checked before anything is sent, whatever people or spreadsheets did to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import xlsxwriter  # type: ignore[import-untyped]  # it has no types

from cio_etl.cli import main
from cio_etl.reject_files import KEY
from cio_etl.sandbox import Sandbox
from tests.rejects.reject_jobs import (
    EVENTS,
    GOOD,
    PEOPLE,
    ROWS,
    Captured,
    counts,
    events,
    exported,
    fixed,
    newest,
    people,
    rows,
    run,
    still_open,
    write_people,
)
from tests.running import write_job

pytestmark = pytest.mark.usefixtures("keys")


def keyed_events(sandbox: Sandbox, *event_key: str) -> None:
    """A job with one step of three events. The second has the key of the first, and another price."""
    frame = {"id": ["1", "1", "2"], "order": ["a", "a", "b"], "line": [1, 2, 1], "price": [10, 20, 30]}
    pl.DataFrame(frame).write_parquet("orders.parquet")
    mapping = EVENTS | {"event_key": event_key, "attributes": {"price": "price"}, "timestamp": {"value": 1_700_000_000}}
    Path("orders.yaml").write_text(json.dumps(mapping))
    write_job(Path("job.yaml"), sandbox.url, {"orders": ({"parquet": "orders.parquet"}, "orders.yaml")}, max_rejects=9)


def test_an_event_with_the_key_of_another_row_stays_rejected_until_its_key_is_changed(
    sandbox: Sandbox, capsys: Captured
) -> None:
    keyed_events(sandbox, "order")
    run_id = run()
    assert counts(capsys, run_id) == (3, 0, 1, 0)  # Customer.io would answer 200, and ignore it
    assert counts(capsys, fixed(run_id, price=pl.lit("21"))) == (3, 0, 1, 0)
    assert still_open(run_id) == {1: "event_key_repeated"} and len(sandbox.people.events) == 2
    assert counts(capsys, fixed(run_id, order=pl.lit("c"))) == (0, 1, 0, 0)
    assert not still_open(run_id) and len(sandbox.people.events) == 3
    assert "duplicate_events" not in {name for name, count in sandbox.stats()["effects"].items() if count}


def test_an_event_with_the_key_of_another_row_is_sent_once_the_mapping_s_key_is_fixed(
    sandbox: Sandbox, capsys: Captured
) -> None:
    keyed_events(sandbox, "order")
    run_id = run()
    keyed_events(sandbox, "order", "line")
    assert counts(capsys, run_id) == (0, 1, 0, 0)
    assert not still_open(run_id) and len(sandbox.people.events) == 3


def test_a_note_is_printed_when_a_changed_key_cannot_be_compared_with_the_source(
    sandbox: Sandbox, capsys: Captured
) -> None:
    keyed_events(sandbox, "order")
    run_id = run()
    file = fixed(run_id, order=pl.lit("c"))
    Path("orders.parquet").unlink()
    assert main(["replay", file]) == 0
    assert "Customer.io ignores those whose key was not changed" in capsys.readouterr().err


def test_the_separator_and_encoding_that_a_spreadsheet_writes_are_detected(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    write_people("1,á@@b.co,2001-02-03,10")
    Path("people.yaml").write_text(json.dumps(PEOPLE | {"attributes": {"email": "e_mail", "name": "n"}}))
    frame = exported(run()).with_columns(e_mail=pl.lit("e@b.co"), n=pl.lit("Zoé"))
    Path("fixed.csv").write_bytes(frame.write_csv(separator=";", line_terminator="\r\n").encode("cp1252"))
    assert counts(capsys, "fixed.csv") == (0, 1, 0, 0)
    person = sandbox.people.find("id", "1")
    assert person is not None and person.attributes["name"] == "Zoé"


def test_csv_values_get_the_source_s_types_and_values_of_another_type_stay_rejected(
    sandbox: Sandbox, capsys: Captured
) -> None:
    events(sandbox)
    run_id = run()
    name = fixed(
        run_id, id=pl.lit("9"), n=pl.when(pl.col("n") == "1").then(pl.lit("one")).otherwise("n"), note=pl.lit("any")
    )
    assert main(["replay", name]) == 3
    output = capsys.readouterr().err
    assert "fixed.csv: column 'n' contains whole numbers, and 1 value is of another type, at line 2" in output
    assert still_open(run_id) == {1: "value_of_other_type"}
    bought = {event.attributes["n"]: event.attributes.get("price") for event in sandbox.people.events.values()}
    assert bought == {0: 1.5, 2: None, 4: 5.75, 3: 4}


def test_a_ragged_row_stays_rejected_until_it_is_filled_in(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    Path("people.yaml").write_text(
        json.dumps({"operation": "identify", "identifiers": {"id": {"value": "all"}}, "attributes": {"row": "n"}})
    )
    write_people("1,a@b.co,2001-02-03,10", "2,b@b.co", "3,c@b.co,2001-02-03,12")
    run_id = run()
    name = fixed(run_id)
    assert counts(capsys, name) == (3, 0, 1, 0) and still_open(run_id) == {1: "row_ragged"}
    assert counts(capsys, run_id) == (3, 0, 1, 0) and still_open(run_id) == {1: "row_ragged"}
    assert counts(capsys, fixed(run_id, id=pl.lit("2"), n=pl.lit("11"))) == (0, 1, 0, 0)


def test_a_closed_ragged_row_is_skipped_by_the_next_replay(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    write_people("1,a@b.co", "2,b@@b.co,2001-02-03,11")
    run_id = run()
    first = pl.col("line") == "2"
    whole = {name: pl.when(first).then(pl.lit(text)).otherwise(name).alias(name) for name, text in _WHOLE.items()}
    assert counts(capsys, fixed(run_id, values=whole)) == (3, 1, 1, 0)
    assert counts(capsys, run_id) == (3, 0, 1, 1)
    assert still_open(run_id) == {1: "email_malformed"}


_WHOLE = {"id": "1", "e_mail": "a@b.co", "born": "2001-02-03", "n": "10"}


def test_removed_rows_stay_open_and_the_export_s_own_columns_may_be_changed(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    run_id = run()
    frame = exported(run_id).with_columns(**GOOD).head(1).drop("reason", "hint", "born")
    frame.with_columns(line=pl.lit("no line"), extra=pl.lit("x")).write_csv("fixed.csv")
    Path("people.yaml").write_text(json.dumps(PEOPLE | {"attributes": {"email": "e_mail", "more": "extra"}}))
    assert counts(capsys, "fixed.csv") == (0, 1, 0, 0)
    assert set(still_open(run_id)) == {2, 3}
    person = sandbox.people.find("id", "2")
    assert person is not None and person.attributes["more"] == "x"


def test_the_last_of_two_copies_of_a_row_counts(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    frame = exported(run()).with_columns(**GOOD)
    pl.concat([frame, frame.head(1).with_columns(n=pl.lit("99"))]).write_csv("fixed.csv")
    assert main(["replay", "fixed.csv"]) == 0
    assert (
        "fixed.csv: 1 row of step people is in the file again; the last one of each counts" in capsys.readouterr().err
    )
    person = sandbox.people.find("id", "2")
    assert person is not None and person.attributes["row"] == "99"


KEYS = pl.col(KEY)
WRONG: dict[str, tuple[Callable[[pl.DataFrame], pl.DataFrame], str]] = {
    "no key column": (
        lambda frame: frame.drop(KEY),
        "fixed.csv: has no column '_reject', which names the reject of each row",
    ),
    "a new row": (
        lambda frame: frame.with_columns(pl.lit(None, dtype=pl.String).alias(KEY)),
        "fixed.csv:2: has nothing in",
    ),
    "a broken key": (
        lambda frame: frame.with_columns(pl.lit("42").alias(KEY)),
        "fixed.csv:2: has in '_reject' what no export",
    ),
    "a key of a good row": (
        lambda frame: frame.with_columns(KEYS.str.replace("/1$", "/0")),
        "fixed.csv:2: has in '_reject' a row that was not rejected",
    ),
    "a key of another step": (
        lambda frame: frame.with_columns(KEYS.str.replace("/0/", "/7/")),
        "fixed.csv:2: has in '_reject' a row that was not rejected (and 2 more rows)",
    ),
    "a run of elsewhere": (
        lambda frame: frame.with_columns(KEYS.str.replace("^[^/]*", "job-1")),
        "fixed.csv:2: is of a run that this state folder does not have",
    ),
    "a column that is read": (
        lambda frame: frame.drop("e_mail"),
        "fixed.csv: has no column 'e_mail', which people.yaml reads",
    ),
    "no rows": (lambda frame: frame.clear(), "fixed.csv: has no rows"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_faulty_file_is_refused_before_anything_is_sent(sandbox: Sandbox, case: str, capsys: Captured) -> None:
    people(sandbox)
    run_id = run()
    spoil, message = WRONG[case]
    requests = sandbox.stats()["requests"]
    spoil(exported(run_id).with_columns(**GOOD)).write_csv("fixed.csv")
    assert main(["replay", "fixed.csv"]) == 65
    assert message in capsys.readouterr().err
    assert sandbox.stats()["requests"] == requests and len(still_open(run_id)) == 3


def test_a_line_with_the_wrong_number_of_fields_is_named(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    fixed(run())
    with Path("fixed.csv").open("a") as file:
        file.write("a,b\n")
    assert main(["replay", "fixed.csv"]) == 65
    said = "fixed.csv:5: the row has more or fewer fields than the header\nfix the file\n"
    assert said in capsys.readouterr().err


def test_an_argument_that_is_no_run_no_file_or_has_no_rejects_is_refused(sandbox: Sandbox, capsys: Captured) -> None:
    assert main(["replay", "nightly-1"]) == 2
    assert ".etl holds no state; name the folder with --state" in capsys.readouterr().err
    people(sandbox)
    write_people(ROWS[0])
    clean = run(code=0)
    for what, message in {
        "nightly-1": "nightly-1: is no run in this state folder, and no file",
        "gone.csv": "gone.csv: cannot be read: No such file",
        "people.yaml": "people.yaml: cannot be replayed",
        clean: f"{clean}: has no rejects",
    }.items():
        assert main(["replay", what]) == 65
        assert message in capsys.readouterr().err


def test_a_job_file_that_is_missing_renamed_or_without_the_step_is_refused(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    run_id = run()
    text = Path("job.yaml").read_text()
    Path("job.yaml").unlink()
    assert main(["replay", run_id]) == 78
    assert f"job.yaml: the job file of {run_id} is missing; put it back" in capsys.readouterr().err
    Path("job.yaml").write_text(text.replace('"name": "people"', '"name": "customers"'))
    assert main(["replay", run_id]) == 65
    assert "people: the job file no longer has this step" in capsys.readouterr().err
    Path("job.yaml").write_text(text.replace("{", '{"name": "shop", ', 1))
    assert main(["replay", run_id]) == 78
    assert f"job.yaml: name: is now the job shop, and {run_id} was a run of job" in capsys.readouterr().err


def test_a_file_with_rows_of_two_jobs_is_refused(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    frames = [exported(run())]
    Path("job.yaml").rename("other.yaml")
    assert main(["run", "other.yaml"]) == 3
    pl.concat([*frames, exported(newest("other"))]).write_csv("fixed.csv")
    assert main(["replay", "fixed.csv"]) == 65
    assert "fixed.csv: has rows of the jobs job and other" in capsys.readouterr().err


def test_rejects_of_several_runs_are_sent_together_the_oldest_run_first(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    first, second = exported(run()), exported(run())
    assert first[KEY].to_list() != second[KEY].to_list()
    pl.concat([second.with_columns(n=pl.lit("2nd")), first]).with_columns(**GOOD).write_csv("fixed.csv")
    assert counts(capsys, "fixed.csv") == (0, 6, 0, 0)
    person = sandbox.people.find("id", "2")
    assert person is not None and person.attributes["row"] == "2nd"
    assert rows("SELECT count(*) FROM reject WHERE closed_by IS NULL") == [(0,)]


def test_a_fixed_file_may_be_a_workbook(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    run_id = run()
    exported(run_id)
    cells = pl.read_csv("rejects.csv", infer_schema=False).with_columns(**GOOD, n=pl.col("n").cast(pl.Int64))
    with xlsxwriter.Workbook("fixed.xlsx") as book:
        sheet = book.add_worksheet()
        for number, values in enumerate([cells.columns, *cells.rows()]):
            sheet.write_row(number, 0, ["" if value is None else value for value in values])
    assert counts(capsys, "fixed.xlsx") == (0, 3, 0, 0)
    person = sandbox.people.find("id", "2")
    assert person is not None and person.attributes["row"] == "11"  # text again


def test_a_note_is_printed_when_a_newer_run_has_sent_rows(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    first = run()
    second = run()
    main(["replay", first])
    note = f"{second} has sent rows since; for the same people, this replay overwrites what it sent"
    assert note in capsys.readouterr().err
    main(["replay", second])
    assert "has sent rows since" not in capsys.readouterr().err


def test_closed_rejects_need_no_source(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    events(sandbox)
    both = {"people": ({"csv": "people.csv"}, "people.yaml"), "events": ({"parquet": "events.parquet"}, "events.yaml")}
    write_job(Path("job.yaml"), sandbox.url, both, max_rejects=100)
    run_id = run()
    fixed(run_id, "fixed.parquet", values=GOOD)
    frame = pl.read_parquet("fixed.parquet")
    frame.filter(pl.col("step") == "people").write_parquet("fixed.parquet")
    assert counts(capsys, "fixed.parquet") == (0, 3, 0, 0)
    Path("people.csv").unlink()
    assert counts(capsys, run_id) == (3, 0, 2, 0)
    write_job(Path("job.yaml"), sandbox.url, {"events": both["events"]}, max_rejects=100)
    assert counts(capsys, run_id) == (3, 0, 2, 0)
    frame.filter(pl.col("step") == "events").write_parquet("fixed.parquet")
    assert counts(capsys, "fixed.parquet") == (0, 2, 0, 0)
    Path("events.parquet").unlink()
    assert main(["replay", run_id]) == 0
    assert f"{run_id}: nothing to send, all of its rejects are closed" in capsys.readouterr().out


@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
def test_an_export_has_the_separator_of_the_source_and_comes_back_fixed(
    sandbox: Sandbox, capsys: Captured, separator: str
) -> None:
    lines = ['id|e_mail|"price, net"|note', "1|a@b.co|1,50|ok", '2|b@@b.co|12,75|"a|b;c,d"""', "3|c@b.co|3,00"]
    text = "\n".join([*lines, ""]).replace("|", separator)
    decimal = {"column": "price, net", "apply": [{"number": "comma"}]}
    if separator == ",":
        text = text.replace("1,50", '"1,50"').replace("12,75", '"12,75"').replace("3,00", "300")
    Path("people.csv").write_text(text)
    attributes = {"email": "e_mail", "price": decimal, "note": "note"}
    Path("people.yaml").write_text(
        json.dumps({"operation": "identify", "identifiers": {"id": "id"}, "attributes": attributes})
    )
    source = {"csv": "people.csv", "separator": separator}
    write_job(Path("job.yaml"), sandbox.url, {"people": (source, "people.yaml")}, max_rejects=100)
    run_id = run()
    assert still_open(run_id) == {1: "email_malformed", 2: "row_ragged"}
    assert main(["rejects", run_id, "-o", "rejects.csv"]) == 0
    heading, *rows = Path("rejects.csv").read_text("utf-8-sig").splitlines()
    quoted = '"price, net"' if separator == "," else "price, net"
    assert heading.endswith(separator.join(["_reject", "id", "e_mail", quoted, "note"]))
    assert "its cells are empty here: copy them from line 4 of people.csv" in rows[1]
    fixed_rows = [rows[0].replace("b@@b.co", "b@b.co"), rows[1].rstrip(separator)]
    fixed_rows[1] += separator.join(["", "3", "c@b.co", '"3,00"', "x"])
    Path("rejects.csv").write_text("\n".join([heading, *fixed_rows, ""]))
    assert counts(capsys, "rejects.csv") == (0, 2, 0, 0)
    assert still_open(run_id) == {}
    two, three = sandbox.people.find("id", "2"), sandbox.people.find("id", "3")
    assert two is not None and two.attributes["price"] == 12.75 and two.attributes["note"].startswith("a")
    assert three is not None and three.attributes["price"] == 3


def test_an_export_of_steps_with_different_separators_has_commas(sandbox: Sandbox, capsys: Captured) -> None:
    people(sandbox)
    Path("more.csv").write_text(Path("people.csv").read_text().replace(",", ";"))
    steps = {
        "people": ({"csv": "people.csv"}, "people.yaml"),
        "more": ({"csv": "more.csv", "separator": ";"}, "people.yaml"),
    }
    write_job(Path("job.yaml"), sandbox.url, steps, max_rejects=100)
    assert main(["rejects", run(), "-o", "rejects.csv"]) == 0
    assert Path("rejects.csv").read_text("utf-8-sig").startswith("step,file,line,")
