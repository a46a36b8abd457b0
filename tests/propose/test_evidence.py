"""Does `init` weigh the evidence, count exactly, and propose what a run can do?"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio_etl.cli import main
from cio_etl.config import load_mapping
from cio_etl.propose.dates.formats import DAYS, FormatCounts

Captured = pytest.CaptureFixture[str]
Columns = dict[str, Sequence[Any]]


def init(columns: Columns, *options: str, kind: str = "csv") -> str:
    """The mapping that `init` proposes for rows.csv or rows.parquet, as text without line breaks in its comments."""
    frame = pl.DataFrame(columns)
    if kind == "csv":
        frame.write_csv("rows.csv")
    else:
        frame.write_parquet("rows.parquet")
    assert main(["init", f"rows.{kind}", *options]) == 0
    return one_line(Path("mappings/rows.yaml"))


def one_line(path: Path) -> str:
    """A file with each comment on one line."""
    return re.sub(r"\n *# (?=\S)", " ", path.read_text())


def accepted(capsys: Captured) -> tuple[int, int]:
    """How many rows a run would accept and reject."""
    capsys.readouterr()
    main(["validate", "--json", "jobs/rows.yaml"])
    step = json.loads(capsys.readouterr().out)["steps"][0]
    return step["accepted"], step["rejected"]


# ---------------------------------------------------------------- people or events


UNDECIDED: Columns = {
    "member": [f"m{n % 25}" for n in range(60)],
    "visited": [f"2024-02-{1 + n % 28:02}" for n in range(60)],
    "name": ["x"] * 60,
    "phone": ["1"] * 60,
}


def test_undecided_evidence_writes_both_mappings_and_asks(capsys: Captured) -> None:
    text = init(UNDECIDED)
    question = "to decide: operation: people or events? events are written; people stand below them as a comment"
    assert question in capsys.readouterr().out
    assert "several rows have one member" in text and "personal columns (name, phone)" in text
    assert load_mapping(Path("mappings/rows.yaml")).operation == "track"
    lines = Path("mappings/rows.yaml").read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("# TO DECIDE: the rows may be people instead"))
    other = [line.removeprefix("# ") for line in lines[start:] if not line.startswith(("# TO DECIDE", "# each line"))]
    Path("mappings/rows.yaml").write_text("\n".join(other[1:]))
    assert load_mapping(Path("mappings/rows.yaml")).operation == "identify"
    assert main(["check", "jobs/rows.yaml"]) == 0, capsys.readouterr().err
    assert accepted(capsys) == (60, 0)


@pytest.mark.parametrize(("subject", "operation"), [("people", "identify"), ("events", "track")])
def test_a_stated_subject_is_not_questioned(subject: str, operation: str, capsys: Captured) -> None:
    init(UNDECIDED, "--as", subject)
    assert "people or events" not in capsys.readouterr().out
    assert load_mapping(Path("mappings/rows.yaml")).operation == operation
    assert accepted(capsys) == (60, 0)


def test_events_without_a_time_or_a_person_can_be_stated_and_ask_for_both(capsys: Captured) -> None:
    init({"code": ["a", "b", "b"], "total": ["1", "2", "3"]}, "--as", "events")
    printed = capsys.readouterr().out
    assert "to decide: timestamp: no column says when" in printed
    assert "to decide: identifiers.id: no column is named like a person's key" in printed
    assert accepted(capsys) == (3, 0)


def test_a_column_that_names_what_happened_makes_events_of_people_with_one_row_each(capsys: Captured) -> None:
    columns: Columns = {
        "user_id": [f"u{n}" for n in range(20)],
        "event": ["signed up"] * 20,
        "timestamp": ["2024-03-01T10:00:00Z"] * 20,
    }
    init(columns)
    assert "people or events" not in capsys.readouterr().out
    mapping = load_mapping(Path("mappings/rows.yaml"))
    assert (mapping.operation, mapping.event_key) == ("track", ("user_id", "event", "timestamp"))


def test_an_unknown_zone_is_refused(capsys: Captured) -> None:
    Path("rows.csv").write_text("id,e\n1,a@b.co\n")
    assert main(["init", "rows.csv", "--timezone", "Mars/Base"]) == 2
    assert "no time zone 'Mars/Base'" in capsys.readouterr().err


# ---------------------------------------------------------------- the key of events


def test_columns_that_are_different_together_are_the_key_of_events() -> None:
    rows = range(90)
    columns: Columns = {
        "user_id": [f"u{n % 30}" for n in rows],
        "event": [("opened", "closed")[n % 2] for n in rows],
        "timestamp": [f"2024-03-{1 + n // 30:02}T10:00:00Z" for n in rows],
    }
    text = init(columns)
    assert "event_key: [user_id, event, timestamp]" in text
    assert "together different in all 90 rows" in text


def test_events_that_no_columns_tell_apart_have_no_key_and_the_count_is_given() -> None:
    columns: Columns = {"user_id": ["a", "a", "b"], "event": ["seen"] * 3, "timestamp": ["2024-03-01T10:00:00Z"] * 3}
    text = init(columns)
    assert "no column is different in every row; user_id and event and timestamp together are in 2 of 3" in text
    assert not load_mapping(Path("mappings/rows.yaml")).event_key


# ---------------------------------------------------------------- what a run does with the values


BLANKS: Columns = {
    "user_id": ["u1", "u2", "u3", "u4"],
    "first_name": ["Ada", "Ben", "Cleo", "Dora"],
    "email": ["a@b.co", "", "c@d.co", " "],
    "points": ["1", "", " ", "4"],
    "active": ["yes", " ", "no", ""],
    "extra": ['{"a":1}', " ", "{}", ""],
    "renewed": ["2024-01-01", " ", "2024-01-03", ""],
    "note": ["x", " ", "y", ""],
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_blanks_are_removed_before_a_function_converts(kind: str, capsys: Captured) -> None:
    text = init(BLANKS, kind=kind)
    assert '[trim, {null_if: ""}, {cast: integer}]' in text and '[trim, {null_if: ""}, {cast: boolean}]' in text
    assert accepted(capsys) == (4, 0)


def test_counts_of_rare_values_are_exact() -> None:
    rows = range(25_750)  # the first 25,000 are read at once, and none of them is in E.164 form
    phones = ["06 12 34 56 78" if n < 25_000 else f"+33612{n:06}" for n in rows]
    text = init({"customer_id": [str(n) for n in rows], "first_name": ["Ada"] * len(rows), "phone": phones})
    assert "phone numbers; 750 of 25,750 in E.164 form" in text


def test_a_phone_number_is_converted_with_the_column_of_its_country() -> None:
    columns: Columns = {"id": ["1", "2"], "e": ["a@b.co", "c@d.co"], "tel": ["06 12 34 56 78"] * 2}
    assert "apply: [{phone: FR}] converts them" in init(columns)
    for folder in ("jobs", "mappings"):
        Path(folder, "rows.yaml").unlink()
    text = init({**columns, "country code": ["FR", "DE"]})
    assert 'columns: [tel, "country code"], apply: [phone] converts them: the second column is the country' in text


@pytest.mark.parametrize(
    ("values", "call"),
    [
        (["1,50", "2", "1.234,75"], "{number: {decimal: comma, thousands: point}}"),
        (["1 234,5", "2,75", "3"], "{number: {decimal: comma, thousands: space}}"),
        (["1,234.50", "2.75", "3"], "{number: {thousands: comma}}"),
    ],
)
def test_numbers_with_commas_are_a_decision(values: list[str], call: str, capsys: Captured) -> None:
    text = init({"id": ["1", "2", "3"], "e": ["a@b.co", "c@d.co", "e@f.co"], "price": values})
    assert "to decide: attributes.price: text, or numbers?" in capsys.readouterr().out
    assert f"apply: [{call}]" in text
    mapping = Path("mappings/rows.yaml")
    mapping.write_text(mapping.read_text().replace("  price: price", f"  price: {{column: price, apply: [{call}]}}"))
    assert accepted(capsys) == (3, 0)


# ---------------------------------------------------------------- columns with bad values


def test_a_column_named_mail_with_bad_addresses_is_the_email_with_a_question(capsys: Captured) -> None:
    init({"customer_no": ["1", "2", "3", "4"], "mail": ["a@b.co", "b@b.co", "c@@b.co", "d@b.co"], "x": ["y"] * 4})
    assert "is it the e-mail address? only 3 of 4 values are one" in capsys.readouterr().out
    mapping = load_mapping(Path("mappings/rows.yaml"))
    assert list(mapping.part("attributes")) == ["email", "x"]


@pytest.mark.parametrize(("bad", "limit"), [(0, "1%"), (9, "1%"), (80, "20%"), (400, "100%")])
def test_the_limit_of_rejects_is_not_below_what_the_counts_show(bad: int, limit: str, capsys: Captured) -> None:
    rows = range(400)
    mails = [f"p{n}@b.co" if n >= bad else f"p{n}@@b.co" for n in rows]
    columns: Columns = {"customer_no": [str(n) for n in rows], "mail": mails, "first_name": ["Ada"] * 400}
    if bad == 400:
        columns = {"customer_no": [*map(str, rows)], "user_id": [""] * 400, "created_at": ["05/04/2024"] * 400}
    init(columns, *(["--as", "events"] if bad == 400 else []))
    job = Path("jobs/rows.yaml").read_text()
    assert f"\nmax_rejects: {limit}" in job
    assert ("TO DECIDE: up to" in job) == (limit != "1%")
    assert accepted(capsys)[1] == bad


def test_attributes_are_in_the_order_of_the_columns() -> None:
    names = [f"c{n * 7 % 11}" for n in range(11)]
    init({"id": ["1"], **{name: ["v"] for name in names[:5]}, "e": ["a@b.co"], **{name: ["v"] for name in names[5:]}})
    expected = [*names[:5], "email", *names[5:]]
    assert list(load_mapping(Path("mappings/rows.yaml")).part("attributes")) == expected


# ---------------------------------------------------------------- JSON


@pytest.mark.parametrize("ending", ["json", "ndjson"])
def test_a_json_list_is_read_as_its_entries(ending: str, capsys: Captured) -> None:
    Path(f"rows.{ending}").write_text('[{"id": 1, "email": "a@b.co"},\n{"id": 2, "email": "c@b.co"}]')
    assert main(["init", f"rows.{ending}"]) == 0
    assert accepted(capsys) == (2, 0)


def test_a_file_of_json_lines_is_read_as_such(capsys: Captured) -> None:
    Path("rows.json").write_text('{"id": 1, "email": "a@b.co"}\n{"id": 2, "email": "c@b.co"}\n')
    assert main(["init", "rows.json"]) == 0
    assert capsys.readouterr().out.startswith("2 rows and 2 columns of rows.json\n")
    assert accepted(capsys) == (2, 0)


# ---------------------------------------------------------------- members of objects


def events_with(properties: Sequence[Any]) -> Columns:
    rows = len(properties)
    return {
        "user_id": [f"u{n % 3}" for n in range(rows)],
        "event": ["opened"] * rows,
        "timestamp": [f"2024-03-{1 + n:02}T10:00:00Z" for n in range(rows)],
        "properties": properties,
    }


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_members_of_properties_become_attributes(kind: str, capsys: Captured) -> None:
    objects = [{"plan": "pro", "amount": n, "a.b": "x", "when": f"2024-05-{1 + n:02}"} for n in range(9)]
    init(events_with([json.dumps(each) for each in objects] if kind == "csv" else objects), kind=kind)
    attributes = load_mapping(Path("mappings/rows.yaml")).part("attributes")
    assert list(attributes) == ["plan", "amount", "a.b", "when"]
    assert accepted(capsys) == (9, 0)
    assert main(["preview", "jobs/rows.yaml", "-n", "1"]) == 0
    assert '{"plan":"pro","amount":0,"a.b":"x","when":1714521600}' in capsys.readouterr().out.replace(" ", "")


@pytest.mark.parametrize(
    "texts",
    [
        ['{"a": 1}', "[1]", "no JSON"] * 3,
        [json.dumps({f"key{n}": n for n in range(101)})] * 9,
        ["{}"] * 9,
    ],
    ids=["not all are objects", "too many members", "no members"],
)
def test_other_columns_named_properties_stay_whole(texts: list[str], capsys: Captured) -> None:
    init(events_with(texts))
    assert list(load_mapping(Path("mappings/rows.yaml")).part("attributes")) == ["properties"]
    assert accepted(capsys) == (9, 0)


@pytest.mark.parametrize("between", ["", " ", "T", ", "])
def test_a_date_is_found_whatever_stands_between_day_and_time(between: str) -> None:
    formats = [f"{day}{between}{'%H:%M:%S' if between else ''}" for day in DAYS]
    moment = pl.DataFrame({"at": [datetime(2001, 2, 23, 16, 5, 6)]})
    texts = moment.select(pl.col("at").dt.strftime(format).alias(format) for format in formats).row(0)
    for text in texts:
        left = FormatCounts().take(pl.DataFrame({"position": [0], "text": [text]}))
        assert left.is_empty(), text
