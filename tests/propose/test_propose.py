"""Does `cio-etl init` propose what `check`, `preview` and `validate` take, for whatever a source holds?"""

from __future__ import annotations

import datetime
import gzip
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cio_etl.cli import main
from cio_etl.config import load_job, load_mapping, schema_text
from cio_etl.config.yaml_file import read_yaml
from cio_etl.config.yaml_writer import comment, flow, scalar
from cio_etl.errors import ConfigError, SourceError
from cio_etl.extract import csv_settings
from cio_etl.extract.parquet import open_parquet
from cio_etl.extract.text.csv_files import ChunkLimits, open_csv
from cio_etl.model import FAULT, POSITION, Column, CsvSource, Mapping, ParquetSource, Snapshot
from cio_etl.propose import Proposal, job_of, name_from, propose
from cio_etl.propose import write_proposal as write_files
from cio_etl.propose.columns import look_at

Columns = dict[str, Sequence[Any]]


def of_csv(columns: Columns, name: str = "people", separator: str = ",") -> Proposal:
    Path(f"{name}.csv").write_bytes(pl.DataFrame(columns).write_csv(separator=separator).encode())
    source = {"csv": f"{name}.csv", **({} if separator == "," else {"separator": separator})}
    snapshot = open_csv(CsvSource((f"{name}.csv",), separator), Path("stage"), ChunkLimits())
    return job_of([propose(snapshot, source, name)], name)


def of_parquet(frame: pl.DataFrame, name: str = "rows") -> Proposal:
    frame.write_parquet(f"{name}.parquet")
    snapshot = open_parquet(ParquetSource((f"{name}.parquet",)), 25_000)
    return job_of([propose(snapshot, {"parquet": f"{name}.parquet"}, name)], name)


def mapping_file(proposal: Proposal) -> Path:
    (path,) = proposal.mappings
    return path


def mapping_text(proposal: Proposal) -> str:
    return proposal.mappings[mapping_file(proposal)]


def write(proposal: Proposal) -> None:
    write_files(proposal.job_file, proposal.job, proposal.mappings)


def validated(proposal: Proposal, capsys: pytest.CaptureFixture[str]) -> tuple[Mapping, dict[str, Any]]:
    """The proposal's mapping and the report of `validate`, after all three commands that must take it."""
    write(proposal)
    job = str(proposal.job_file)
    assert main(["check", job]) == 0, capsys.readouterr().err
    assert main(["preview", job]) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert main(["validate", "--json", job]) in (0, 3, 4), capsys.readouterr().err
    report: dict[str, Any] = json.loads(capsys.readouterr().out)["steps"][0]
    assert load_job(proposal.job_file, secrets=False).steps[0].mapping.file == str(mapping_file(proposal))
    return load_mapping(mapping_file(proposal)), report


def calls(mapping: Mapping, attribute: str) -> list[Any]:
    """What an attribute's `apply` says: names, or (name, arguments)."""
    value = mapping.targets[f"attributes.{attribute}"]
    assert isinstance(value, Column)
    return [(call.name, dict(call.arguments)) if call.arguments else call.name for call in value.apply]


def source_of(value: object) -> str:
    assert isinstance(value, Column)
    return value.name


def days(rows: int, format: str, first: datetime.date = datetime.date(2020, 1, 1)) -> list[str]:
    return [(first + datetime.timedelta(days=n)).strftime(format) for n in range(rows)]


# ---------------------------------------------------------------- whole files


def test_people_with_european_dates(capsys: pytest.CaptureFixture[str]) -> None:
    rows = 400
    proposal = of_csv(
        {
            "customer_no": [f"{n:05d}" for n in range(rows)],
            "mail": [f" Person{n}@example.com" if n % 9 else f"zq{n}@@example.com" for n in range(rows)],
            "first_name": ["Zebulon"] * rows,
            "joined": days(rows, "%d/%m/%Y"),
            "birthday": days(rows, "%Y-%m-%d", datetime.date(1950, 1, 1)),
            "subscribed": ["yes", "no"] * (rows // 2),
            "zip": ["01234"] * rows,
            "spent_cents": [str(n * 3) for n in range(rows)],
        },
        separator=";",
    )
    late = sum(int(text[:2]) > 12 for text in days(rows, "%d/%m/%Y"))
    mapping, report = validated(proposal, capsys)
    assert mapping.operation == "identify"
    assert {kind: source_of(who) for kind, who in mapping.part("identifiers").items()} == {"id": "customer_no"}
    assert list(mapping.part("attributes")) == [
        "email",
        "first_name",
        "created_at",
        "birthday",
        "subscribed",
        "zip",
        "spent_cents",
    ]
    assert calls(mapping, "email") == ["trim", "lower"]
    assert calls(mapping, "created_at") == [("timestamp", {"format": "%d/%m/%Y", "timezone": "UTC"})]
    assert calls(mapping, "birthday") == ["timestamp"]
    assert calls(mapping, "subscribed") == [("cast", {"to": "boolean"})]
    assert calls(mapping, "zip") == []
    assert calls(mapping, "spent_cents") == [("cast", {"to": "integer"})]
    assert (report["accepted"], report["rejected"]) == (355, 45)
    assert "# e-mail addresses: 355 of 400 · 45 others, whose rows would be rejected" in mapping_text(proposal)
    assert f"day first: {late:,} have a first number above 12, none a second" in mapping_text(proposal)
    assert "personal: mail, first_name, birthday, zip" in proposal.summary
    assert 'source: {csv: people.csv, separator: ";"}' in proposal.job


def test_orders_with_milliseconds_are_events(capsys: pytest.CaptureFixture[str]) -> None:
    rows = 300
    proposal = of_csv(
        {
            "order_id": [str(n) for n in range(rows)],
            "customer_id": [str(n % 40) for n in range(rows)],
            "placed_at": [str(1_710_057_600_000 + n * 1_234) for n in range(rows)],
            "recipient": ["gift"] * rows,
        },
        "orders",
    )
    mapping, report = validated(proposal, capsys)
    assert (mapping.operation, mapping.event_key) == ("track", ("order_id",))
    assert source_of(mapping.targets["identifiers.id"]) == "customer_id"
    timestamp = mapping.targets["timestamp"]
    assert isinstance(timestamp, Column) and timestamp.name == "placed_at"
    assert timestamp.apply[0].arguments == {"unit": "ms"}
    assert {name: source_of(value) for name, value in mapping.part("attributes").items()} == {
        "order_id": "order_id",
        "source_recipient": "recipient",
    }
    assert (report["accepted"], report["rejected"]) == (rows, 0)
    assert "event: {value: orders}" in mapping_text(proposal)
    assert "milliseconds since 1970, by their size: all 300" in mapping_text(proposal)
    assert (
        proposal.summary[1] == "track: id from customer_id, timestamp from placed_at, event_key order_id; 2 attributes"
    )


def test_typed_parquet(capsys: pytest.CaptureFixture[str]) -> None:
    frame = pl.DataFrame(
        {
            "user_id": list(range(50)),
            "signup": [datetime.datetime(2024, 3, 10, 9)] * 50,
            "seen": pl.Series([datetime.datetime(2024, 3, 10, 9)] * 50).dt.replace_time_zone("Europe/Paris"),
            "born": [datetime.date(1980, 1, 2)] * 50,
            "day_id": [20240310 + n % 20 for n in range(50)],
            "as_of_date": [20240310 + n % 20 for n in range(50)],
            "score": [0.5] * 50,
            "tags": [["a", "b"]] * 50,
            "raw": [b"\x00"] * 50,
            "took": [datetime.timedelta(seconds=1)] * 50,
            "plan": pl.Series(["pro", "free"] * 25, dtype=pl.Categorical),
            "paid": pl.Series(["1.50"] * 50).cast(pl.Decimal(30, 2)),
            "active": [True, False] * 25,
            "nothing": pl.Series([None] * 50, dtype=pl.Null),
            "e": [f"p{n}@example.com" for n in range(50)],
        }
    )
    mapping, report = validated(of_parquet(frame), capsys)
    assert source_of(mapping.targets["identifiers.id"]) == "user_id"
    assert report["accepted"] == 50
    assert mapping.part("attributes").keys() == {
        *("created_at", "seen", "born", "day_id", "as_of_date", "score", "tags", "plan", "paid", "active", "email")
    }
    assert calls(mapping, "created_at") == [("timestamp", {"timezone": "UTC"})]
    assert calls(mapping, "as_of_date") == [("timestamp", {"format": "%Y%m%d", "timezone": "UTC"})]
    assert calls(mapping, "seen") == calls(mapping, "day_id") == calls(mapping, "score") == []


def test_a_header_without_rows_is_read_by_its_names(capsys: pytest.CaptureFixture[str]) -> None:
    mapping, report = validated(of_csv({"customer_id": [], "e_mail": [], "created_at": [], "password": []}), capsys)
    assert source_of(mapping.targets["identifiers.id"]) == "customer_id"
    assert mapping.part("attributes").keys() == {"email", "created_at"}
    assert report["rows_read"] == 0


def test_null_words_go_into_the_job(capsys: pytest.CaptureFixture[str]) -> None:
    proposal = of_csv({"id": ["1", "2", "3", "4"], "age": ["30", "NULL", r"\N", "31"]})
    mapping, report = validated(proposal, capsys)
    assert calls(mapping, "age") == [("cast", {"to": "integer"})]
    assert report["accepted"] == 4
    assert r'null_values: ["", "NULL", "\\N"]' in proposal.job
    assert "# null_values: 2 fields hold one of these words" in proposal.job


def test_a_key_is_questioned_when_no_other_column_is_about_people(
    capsys: pytest.CaptureFixture[str],
) -> None:
    proposal = of_csv({"id": ["1", "2"], "amount": ["5", "7"]})
    validated(proposal, capsys)
    assert "to decide: identifiers.id: is it a person's key? no other column is about a person" in proposal.summary


def test_a_source_without_a_possible_identifier_is_refused() -> None:
    with pytest.raises(SourceError, match="no column of text or whole numbers, which could identify a person"):
        of_parquet(pl.DataFrame({"score": [0.5], "when": [datetime.date(2024, 3, 10)]}))


# ---------------------------------------------------------------- times


def reads(format: str) -> list[Any]:
    return [("timestamp", {"format": format, "timezone": "UTC"})]


NAIVE = ["2024-03-10 09:00", "2024-03-11 10:30"]
TIMES: dict[str, tuple[list[str], list[Any]]] = {
    "seconds": (["1710057600", "1710061200"], [("timestamp", {"unit": "s"})]),
    "microseconds": (["1710057600000000"] * 2, [("timestamp", {"unit": "us"})]),
    "nanoseconds": (["1710057600000000000"] * 2, [("timestamp", {"unit": "ns"})]),
    "seconds as pandas writes them": (["1710057600.0", "1710061200.0"], [("timestamp", {"unit": "s"})]),
    "iso with offset": (["2024-03-10T09:00:00Z", "2024-03-10T09:00:00+01:00"], ["timestamp"]),
    "iso without offset": (NAIVE, [("timestamp", {"timezone": "UTC"})]),
    "iso padded": ([f" {text} " for text in NAIVE], ["trim", ("timestamp", {"timezone": "UTC"})]),
    "month first": (["3/25/24 9:05 PM", "4/1/24 10:00 AM"], reads("%m/%d/%y %I:%M %p")),
    "day first, with dots": (["25.03.2024", "01.04.2024"], reads("%d.%m.%Y")),
    "months by name": (["25 Mar 2024", "1 September 2024"], reads("%d %B %Y")),
    "digits": (["20240310", "20240311"], reads("%Y%m%d")),
    "a spreadsheet's days": (["45000", "45001.5"], [("timestamp", {"unit": "excel", "timezone": "UTC"})]),
    "days and none": (["2024-03-10", "0000-00-00"], [("null_if", {"values": "0000-00-00"}), "timestamp"]),
    "mail headers": (["Sun, 10 Mar 2024 09:00:00 +0100"] * 2, [("timestamp", {"format": "%A, %d %B %Y %H:%M:%S %z"})]),
}  # fmt: skip


@pytest.mark.parametrize("form", TIMES)
def test_a_column_of_times_gets_the_arguments_that_read_it(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    texts, wanted = TIMES[form]
    mapping, report = validated(of_csv({"id": ["1", "2"], "e": ["a@b.co", "c@d.co"], "last_login": texts}), capsys)
    assert calls(mapping, "last_login") == wanted
    assert (report["accepted"], report["rejected"]) == (2, 0)


def test_times_without_an_offset_ask_for_their_zone() -> None:
    proposal = of_csv({"id": ["1", "2"], "e": ["a@b.co", "c@d.co"], "last_login": NAIVE})
    assert (
        "to decide: attributes.last_login: no offset, read as UTC; for local times write a zone such as Europe/Paris"
        in proposal.summary
    )


def test_dates_without_proof_of_their_order_are_left_to_the_author(capsys: pytest.CaptureFixture[str]) -> None:
    proposal = of_csv({"id": ["1", "2"], "e": ["a@b.co", "c@d.co"], "renewed": ["05/04/2024", "06/07/2024"]})
    mapping, report = validated(proposal, capsys)
    assert "renewed" not in mapping.part("attributes") and report["accepted"] == 2
    assert '  # renewed: {column: renewed, apply: [{timestamp: {format: "%d/%m/%Y", timezone: UTC}}]}' in mapping_text(
        proposal
    )
    assert "no proof of the order: no number is above 12" in mapping_text(proposal).replace("\n  # ", " ")
    assert "to decide: attributes.renewed: day first or month first?" in proposal.summary


def test_the_proof_of_the_order_may_lie_past_the_rows_that_are_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    rows = 200_001
    renewed = ["05/04/2024"] * (rows - 1) + ["05/14/2024"]
    mapping, report = validated(of_csv({"id": [str(n) for n in range(rows)], "renewed": renewed}), capsys)
    assert calls(mapping, "renewed") == reads("%m/%d/%Y")
    assert report["rejected"] == 0


def test_dates_in_both_orders_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    renewed = ["25/04/2024"] * 39 + ["04/25/2024"]
    mails = [f"p{n}@b.co" for n in range(40)]
    proposal = of_csv({"id": [str(n) for n in range(40)], "e": mails, "renewed": renewed})
    mapping, _ = validated(proposal, capsys)
    assert "renewed" not in mapping.part("attributes")
    assert "39 can only be day first, 1 only month first" in mapping_text(proposal)


def test_an_event_with_an_undecided_date_is_rejected_rather_than_dated_wrongly(
    capsys: pytest.CaptureFixture[str],
) -> None:
    proposal = of_csv(
        {"order_id": ["1", "2", "3"], "customer_id": ["7", "7", "8"], "placed": ["05/04/2024"] * 3}, "orders"
    )
    mapping, report = validated(proposal, capsys)
    assert mapping.operation == "track"
    assert report["rejects"][0]["reason"] == "timestamp_unreadable" and report["rejected"] == 3
    assert "as it stands, every row is rejected" in " ".join(mapping_text(proposal).replace("# ", "").split())


@pytest.mark.parametrize("name", ["Kunde seit", "customer since", "member since", "joined"])
def test_the_date_since_when_somebody_is_a_customer_is_created_at(name: str) -> None:
    text = mapping_text(of_csv({"id": ["1", "2"], name: ["2024-03-10", "2024-03-11"]}))
    assert "  created_at: {column: " in text and "midnight in UTC" in " ".join(text.replace("# ", "").split())


@pytest.mark.parametrize(
    ("name", "values", "wanted"),
    [
        ("ean", ["1710057600123", "1710057600124"], []),  # a label
        ("amount", ["1710057600", "1710057601"], [("cast", {"to": "integer"})]),  # seconds, but nothing says time
        ("ratio", ["1.5", "2e3"], [("cast", {"to": "number"})]),
        ("house", ["007", "12"], []),
        ("price", ["1,50", "2,75"], []),
        ("size", ["12", "M"], []),
        ("is_new", ["0", "1"], [("cast", {"to": "boolean"})]),
        ("rooms", ["0", "1"], [("cast", {"to": "integer"})]),
        ("active", ["TRUE", "FALSE"], [("cast", {"to": "boolean"})]),
        ("newsletter", ["Y", "n"], [("cast", {"to": "boolean"})]),
        ("newsletter", ["ja", "NEIN"], [("boolean", {"language": "de"})]),
        ("newsletter", ["oui", "non"], [("boolean", {"language": "fr"})]),
        ("newsletter", ["on", "off"], [("boolean", {"language": "en"})]),
        ("opt_in", ["j", "j"], [("boolean", {"language": "de"})]),
        ("greeting", ["ja", "ja"], []),
        ("country", ["SI", "NO"], []),
        ("extra", ['{"a": 1}', "[2]"], ["json"]),
        ("broken", ['{"a": 1}', "{a}"], []),
    ],
)
def test_a_column_gets_the_function_that_reads_its_values(
    name: str, values: list[str], wanted: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    mapping, report = validated(of_csv({"id": ["1", "2"], "e": ["a@b.co", "c@d.co"], name: values}), capsys)
    assert calls(mapping, name) == wanted
    assert report["rejected"] == 0


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("password", ["x1", "y2"], "named like a password"),
        ("api_key", ["x1", "y2"], "named like a token or key"),
        ("iban", ["DE89370400440532013000"] * 2, "named like a bank account"),
        ("passport_no", ["C01", "C02"], "named like an official number"),
        ("extra", ["$2b$12$abcdefghijklmnopqrstuv"] * 2, "looks like passwords, keys or tokens"),
        ("extra", ["4111 1111 1111 1111", "5500000000000004"], "looks like card numbers"),
        ("extra", ["GB82WEST12345698765432"] * 2, "looks like bank accounts"),
        ("extra", ["aZ3" * 9, "bY4" * 9], "looks like keys or tokens"),
        ("extra", ["", ""], "no value in any row"),
        ("extra", ["x" * 1001, "y"], "1 over 1,000 bytes, and their rows would be rejected"),
        ("created_at", ["long ago", "lately"], "created_at must be a time that can be read"),
    ],
)
def test_what_should_not_be_sent_is_written_as_a_comment(
    name: str, values: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    proposal = of_csv({"id": ["1", "2"], "e": ["a@b.co", "c@d.co"], name: values})
    mapping, report = validated(proposal, capsys)
    assert name not in mapping.part("attributes") and report["accepted"] == 2
    assert f"# {name}: " in mapping_text(proposal) and why in mapping_text(proposal)
    assert f"left out: {name}" in proposal.summary


# ---------------------------------------------------------------- names

ODD = [
    *("null", "yes", "on", "~", "true", "1.5", "0123", " spaced ", "a: b # c", 'q"uote', "'single'", "ünï cödé"),
    *("^a.*$", "{x}", "[y]", "&a", "!t", "- d", "? k", "end\\", "two\nlines: x", "tab\there", "\u202etxt", "_update"),
    *("cio_id2", "x" * 200, "x" * 199 + "y", "name\u2028attributes: {}", "${HOME}", "\x07bell", "a,b", "%TAG"),
]


def test_columns_of_any_name_are_proposed(capsys: pytest.CaptureFixture[str]) -> None:
    proposal = of_csv({"id": ["1", "2"], "e": ["a@b.co", "c@d.co"], **{name: ["u", "v"] for name in ODD}})
    mapping, report = validated(proposal, capsys)
    assert report["accepted"] == 2
    assert [source_of(value) for value in mapping.part("attributes").values()] == ["e", *ODD]
    assert {"source__update", "spaced"} <= mapping.part("attributes").keys()
    assert all(len(name.encode()) <= 150 for name in mapping.part("attributes"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), min_size=1, unique=True
    )
)
def test_no_column_name_changes_the_structure_of_the_mapping(names: list[str]) -> None:
    frame = pl.DataFrame({"id": ["1"], **{name: ["w"] for name in names if name not in ("id", "_position", "_fault")}})
    proposal = of_parquet(frame)
    Path("m.yaml").write_text(mapping_text(proposal), encoding="utf-8")
    mapping = load_mapping(Path("m.yaml"))
    read = [source_of(value) for value in (*mapping.part("identifiers").values(), *mapping.part("attributes").values())]
    left_out = [name for name in frame.columns if f"  # {scalar(name)}: " in mapping_text(proposal)]
    assert sorted([*read, *(name for name in left_out if name not in read)]) == sorted(frame.columns)
    assert all(line.isprintable() for line in mapping_text(proposal).split("\n"))
    assert all(line.isprintable() for line in proposal.summary)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    )
)
def test_text_in_yaml_reads_back_as_it_was(data: dict[str, str]) -> None:
    Path("x.yaml").write_text(f"a: {flow(data)}\n", encoding="utf-8")
    assert read_yaml(Path("x.yaml")).data == {"a": data}


def test_a_comment_stays_a_comment() -> None:
    lines = comment("x\noperation: delete\r\u2028y\x85 z")
    assert lines == [r"# x\x0aoperation: delete\x0d\u2028y\x85 z"]


@pytest.mark.parametrize("name", ["", "n\0l", "x" * 501, "*", "${vars.x}"])
def test_a_column_that_a_mapping_cannot_name_is_left_out(name: str) -> None:
    frame = pl.DataFrame({"id": ["1"], name: ["x"], "e": ["a@b.co"]})
    faulty = frame.with_columns(pl.lit(0, pl.Int64).alias(POSITION), pl.lit(None, pl.String).alias(FAULT))
    snapshot = Snapshot("f", (), 1, frame.schema, lambda columns, start: iter([faulty]), lambda positions: [])
    Path("m.yaml").write_text(mapping_text(job_of([propose(snapshot, {"parquet": "x"}, "x")], "x")))
    assert load_mapping(Path("m.yaml")).part("attributes").keys() == {"email"}


def test_of_two_columns_of_addresses_the_one_named_email_is_the_email(capsys: pytest.CaptureFixture[str]) -> None:
    columns: Columns = {
        "id": ["1", "2", "3"],
        "work": ["a@b.co", "c@d.co", "e@f.co"],
        "Email": ["a@b.co", "a@b.co", ""],
    }
    mapping, _ = validated(of_csv(columns), capsys)
    read = {name: source_of(value) for name, value in mapping.part("attributes").items()}
    assert read == {"work": "work", "email": "Email"}


def test_columns_past_the_limit_of_a_call_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    proposal = of_csv({"id": ["1"], "e": ["a@b.co"], **{f"c{n}": ["v"] for n in range(350)}})
    mapping, _ = validated(proposal, capsys)
    assert len(mapping.part("attributes")) == 300
    assert "  # 51 more columns are not listed" in mapping_text(proposal)


# ---------------------------------------------------------------- what is printed and written


def test_no_value_of_the_data_is_printed_or_written(capsys: pytest.CaptureFixture[str]) -> None:
    generator = random.Random(1)
    columns: Columns = {
        name: [f"{start}{generator.randrange(10**9)}{end}" for _ in range(50)]
        for name, start, end in (
            ("customer_id", "qzk", ""),
            ("mail", "qzm", "@example.com"),
            ("first_name", "qzn", ""),
            ("note", "some words before qzw", " and some after"),
            ("mixed", "", "qz"),
            ("plan", "qzp", ""),
        )
    }
    proposal = of_csv({**columns, "constant": ["qzc"] * 50, "nr": ["qz"] * 25 + ["7"] * 25})
    validated(proposal, capsys)
    assert "qz" not in mapping_text(proposal) + proposal.job + "".join(proposal.summary)


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    proposal = of_csv({"id": ["1"], "e": ["a@b.co"]})
    mapping_file(proposal).parent.mkdir()
    mapping_file(proposal).write_text("mine")
    with pytest.raises(ConfigError) as raised:
        write(proposal)
    assert str(raised.value) == (
        "mappings/people.yaml: exists already and is not overwritten; give another --name, or move the file away"
    )
    assert mapping_file(proposal).read_text() == "mine"
    assert not proposal.job_file.exists()


def test_a_job_is_removed_when_its_mapping_cannot_be_written(tmp_path: Path) -> None:
    proposal = of_csv({"id": ["1"], "e": ["a@b.co"]})
    Path("mappings").write_text("a file where a folder must be")
    with pytest.raises(ConfigError, match=r"mappings/people.yaml: cannot be written: "):
        write(proposal)
    assert not proposal.job_file.exists()


def test_a_link_to_a_missing_file_is_not_overwritten(tmp_path: Path) -> None:
    proposal = of_csv({"id": ["1"], "e": ["a@b.co"]})
    Path("jobs").mkdir()
    Path("jobs/people.yaml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"jobs/people.yaml: exists already"):
        write(proposal)
    assert not (tmp_path / "elsewhere").exists()


def test_both_files_name_the_schema_beside_them() -> None:
    proposal = of_csv({"id": ["1"], "e": ["a@b.co"]})
    write(proposal)
    for path, kind in ((proposal.job_file, "job"), (mapping_file(proposal), "mapping")):
        assert path.read_text().startswith("# yaml-language-server: $schema=.schema.json\n# Proposed by")
        assert json.loads((path.parent / ".schema.json").read_text())["title"] == f"cio-etl {kind}"


def test_an_older_schema_is_replaced_and_any_other_file_is_not() -> None:
    for folder in ("jobs", "mappings"):
        Path(folder).mkdir()
    Path("jobs/.schema.json").write_text(schema_text("job").replace('"api_key"', '"old"'))
    Path("mappings/.schema.json").write_text('{"title": "ours"}')
    write(of_csv({"id": ["1"], "e": ["a@b.co"]}))
    assert Path("jobs/.schema.json").read_text() == schema_text("job")
    assert Path("mappings/.schema.json").read_text() == '{"title": "ours"}'


def test_a_schema_that_is_a_link_stays_as_it_is(tmp_path: Path) -> None:
    Path("jobs").mkdir()
    target = tmp_path / "elsewhere.json"
    target.write_text("{}")
    Path("jobs/.schema.json").symlink_to(target)
    write(of_csv({"id": ["1"], "e": ["a@b.co"]}))
    assert target.read_text() == "{}" and Path("jobs/.schema.json").is_symlink()


@pytest.mark.parametrize("name", ["../up", "a/b", "", "a b", "a\nb", "x" * 101])
def test_a_name_that_cannot_be_a_jobs_is_refused(name: str) -> None:
    snapshot = open_csv(CsvSource((str(csv_file(b"id\n1\n")),)), Path("stage"), ChunkLimits())
    with pytest.raises(ConfigError, match="cannot be the job's name"):
        job_of([propose(snapshot, {"csv": "x.csv"}, "x")], name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("people", "people"),
        ("Kunden 2024 (neu)", "Kunden_2024_neu"),
        ("shop.orders", "shop_orders"),
        ("日本", "source"),
    ],
)
def test_a_job_is_named_after_its_file(text: str, name: str) -> None:
    assert name_from(text) == name


def test_only_the_first_rows_are_counted_and_the_proposal_says_so() -> None:
    rows = 5_000
    proposal_of = csv_file(("id,e\n" + "".join(f"{n},a{n}@b.co\n" for n in range(rows))).encode())
    snapshot = open_csv(CsvSource((str(proposal_of),)), Path("stage"), ChunkLimits(chunk_rows=700))
    looks = look_at(snapshot, max_rows=1_000)
    assert (looks.rows, looks.of_rows, looks.partly) == (1_000, rows, True)
    assert looks.columns[1].count("email") == 1_000 and looks.columns[0].is_key


def test_rows_that_cannot_be_read_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    path = csv_file(b"id,e\n1,a@b.co\n2\n3,c@d.co\n")
    snapshot = open_csv(CsvSource((str(path),)), Path("stage"), ChunkLimits())
    proposal = job_of([propose(snapshot, {"csv": str(path)}, "x")], "x")
    assert proposal.summary[0] == "2 rows and 2 columns of x.csv, 1 more could not be read"


# ---------------------------------------------------------------- CSV files


def csv_file(content: bytes) -> Path:
    Path("x.csv").write_bytes(content)
    return Path("x.csv")


TEXT = "näme{0}city, country{0}note\n" + "Zoë{0}Paris{0}a\n" * 3
TABLE = "id,email,plan\n1,a@b.co,pro\n2,c@d.co,free\n"
SETTINGS: dict[str, tuple[Callable[[], bytes], dict[str, Any]]] = {
    "a title": (lambda: b"People of March 2026\n" + TABLE.encode(), {"skip_lines": 1}),
    "titles and a blank line": (lambda: b"People\nMarch 2026\n\n" + TABLE.encode(), {"skip_lines": 3}),
    "a title in the first cell": (
        lambda: b"People;;\n;;\n" + TABLE.replace(",", ";").encode(),
        {"separator": ";", "skip_lines": 2},
    ),
    "comments": (lambda: b"# made by a, b\n" + TABLE.encode() + b"# the end\n", {"comment": "#"}),
    "values with #": (lambda: b"name,email\n#1,a@b.co\n#2,c@d.co\n", {}),
    "a header with #": (lambda: b"#id,email\n1,a@b.co\n2,c@d.co\n", {}),
    "sep=": (lambda: b"sep=;\n" + TABLE.replace(",", ";").encode(), {"separator": ";"}),
    "sep= of a tab, below a title": (
        lambda: b"People\nsep=\t\n" + TABLE.replace(",", "\t").encode(),
        {"separator": "\t", "skip_lines": 1},
    ),
    "one column of text with commas": (lambda: b"name\nLind, Ada\nMoss, Ben\nNash, Cleo\n", {}),
    "rows that are too long": (lambda: b"id,email\n1,a@b.co,x\n2,c@d.co,y\n", {}),
    "comma": (lambda: TEXT.replace("city, ", "").format(",").encode(), {}),
    "semicolon": (lambda: TEXT.format(";").encode(), {"separator": ";"}),
    "tab": (lambda: TEXT.format("\t").encode(), {"separator": "\t"}),
    "bar": (lambda: TEXT.format("|").encode(), {"separator": "|"}),
    "one column": (lambda: b"id\n1\n", {}),
    "quoted separators": (lambda: b'id;text\n1;"a,b,c"\n2;"d,e,f"\n', {"separator": ";"}),
    "utf-8 with a mark": (lambda: TEXT.format(";").encode("utf-8-sig"), {"separator": ";"}),
    "utf-16": (lambda: TEXT.format(";").encode("utf-16"), {"separator": ";", "encoding": "utf-16"}),
    "utf-16, unmarked": (lambda: TEXT.format(";").encode("utf-16-be"), {"separator": ";", "encoding": "utf-16-be"}),
    "cp1252": (lambda: TEXT.format(";").encode("cp1252"), {"separator": ";", "encoding": "cp1252"}),
    "latin-1": (lambda: TEXT.format(";").encode("latin-1") + b"\x81;;\n", {"separator": ";", "encoding": "latin-1"}),
    "cp1252 far behind": (lambda: b"a;b\n" + b"x;y\n" * 40_000 + b"\xe9;y\n", {"separator": ";", "encoding": "cp1252"}),
    "utf-8 cut by the head": (lambda: b"a;b\n" + ("é;y\n" * 40_000).encode(), {"separator": ";"}),
}  # fmt: skip


@pytest.mark.parametrize("form", SETTINGS)
def test_separator_and_encoding_are_detected(form: str) -> None:
    content, wanted = SETTINGS[form]
    settings_of_file = csv_settings(csv_file(content()))
    assert settings_of_file == wanted
    open_csv(CsvSource(("x.csv",), **settings_of_file), Path("stage"), ChunkLimits())


def test_titles_and_comments_are_left_out_by_the_proposed_job(capsys: pytest.CaptureFixture[str]) -> None:
    Path("people.csv").write_text(f"People of March 2026\n\n# exported by a program\n{TABLE}# the end\n")
    assert main(["init", "people.csv"]) == 0, capsys.readouterr().err
    job = Path("jobs/people.yaml").read_text()
    assert 'source: {csv: people.csv, skip_lines: 3, comment: "#"}' in job
    assert "# skip_lines: 3 lines above the header, which look like titles." in job
    assert main(["validate", "jobs/people.yaml"]) == 0
    assert "2 rows accepted" in capsys.readouterr().out


def test_the_separator_of_a_gzip_file_is_detected(tmp_path: Path) -> None:
    path = csv_file(gzip.compress(TEXT.format(";").encode("cp1252")))
    assert csv_settings(path) == {"separator": ";", "encoding": "cp1252"}


@pytest.mark.parametrize("command", ["init", "inspect"])
@pytest.mark.parametrize(
    "first", ["7,ana@shop.example,pro", "7,Ana,2024-03-01", "7,Ana,3.5", "7,Ana,+34 600 123 456", "7,Ana,01.02.2024"]
)
def test_a_file_whose_first_line_is_a_row_is_refused_without_its_values(
    command: str, first: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("people.csv").write_text(f"{first}\n8,x,y\n", encoding="utf-8")
    assert main([command, "people.csv"]) == 65
    message = capsys.readouterr().err
    assert "people.csv: the first line seems to be a row, not the header" in message and "`columns:`" in message
    assert not any(value in message for value in first.split(",")[1:])
    assert not Path("jobs").exists()


def test_a_header_with_some_numbers_is_a_header(capsys: pytest.CaptureFixture[str]) -> None:
    Path("people.csv").write_text(
        "id,email,2024,Q1 2024,@handle,a.b,1,2.0 plan\n7,a@b.co,1,2,3,4,5,6\n", encoding="utf-8"
    )
    assert main(["init", "people.csv"]) == 0


@pytest.mark.parametrize(
    ("name", "values", "asked"),
    [
        ("opt_in", ["ja", "nein", "vielleicht"], "yes or no in words (de): 2 of 3"),
        ("direction", ["N", "S", "N"], "yes or no in words (es, it, pt): all"),
    ],
)
def test_words_that_may_be_yes_or_no_are_text_with_a_question(name: str, values: list[str], asked: str) -> None:
    text = mapping_text(of_csv({"id": ["1", "2", "3"], "e": ["a@b.co", "c@d.co", "e@f.co"], name: values}))
    comments = " ".join(text.replace("# ", "").split())
    assert "TO DECIDE" in text and f"text, or true and false? {asked}" in comments
    assert f"  {name}: {name}" in text
