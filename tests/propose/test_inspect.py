"""Does `cio-etl inspect` say of every column what its dates are, by all rows, and refuse what they leave open?"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cio_etl.cli import main
from cio_etl.extract.parquet import open_parquet
from cio_etl.extract.text.csv_files import ChunkLimits, open_csv
from cio_etl.model import CsvSource, ParquetSource, Snapshot
from cio_etl.propose.dates.decide import Statements
from cio_etl.propose.dates.inspection import Dates, Inspection, inspect
from cio_etl.propose.dates.offsets import ZONES
from cio_etl.propose.dates.show import content, moment, yaml_of
from tests.mapped_rows import column, mapped, mapping

NOW = 1_764_000_000  # 2025-11-24T16:00:00Z
Captured = pytest.CaptureFixture[str]


def of_csv(columns: dict[str, Sequence[str | None]], chunk_rows: int = 25_000) -> Snapshot:
    pl.DataFrame(columns).write_csv("x.csv")
    return open_csv(CsvSource(("x.csv",)), Path("stage"), ChunkLimits(chunk_rows=chunk_rows))


def inspected(
    texts: Sequence[str | None], name: str = "happened_at", stated: Statements | None = None, only: Sequence[str] = ()
) -> Inspection:
    """The inspection of one column; an id beside it, so that no line is empty."""
    snapshot = of_csv({"id": [f"k{n}" for n in range(len(texts))], name: texts})
    return inspect(snapshot, NOW, stated, only)


def the_one(inspection: Inspection) -> Dates:
    (one,) = inspection.dates
    return one


def yaml(one: Dates) -> list[str]:
    calls = [yaml_of("c", option) for option in one.decision.options]
    return [call.removeprefix("{column: c, apply: [").removesuffix("]}") for call in calls]


def rows(one: Dates, kind: str) -> tuple[int, list[str]]:
    rows = one.measures[0].rows[kind]
    return rows.count, [one.places[place] for place in rows.first]


# ---------------------------------------------------------------- how dates are written

DECIDED: dict[str, tuple[list[str], str]] = {
    "ISO with Z": (["2024-03-10T09:00:00Z", "2024-03-10 09:00:00.5Z"], "timestamp"),
    "ISO days": (["2024-03-10", "2024-03-11"], "timestamp"),
    "seconds": (["1710057600", "1710061200"], "{timestamp: {unit: s}}"),
    "milliseconds": (["1710057600123", "1710061200123"], "{timestamp: {unit: ms}}"),
    "microseconds": (["1710057600123456"] * 2, "{timestamp: {unit: us}}"),
    "nanoseconds": (["1710057600123456789"] * 2, "{timestamp: {unit: ns}}"),
    "milliseconds and ISO": (["1710057600123", "2024-03-10T09:00:00Z"], "{timestamp: {unit: ms}}"),
    "day first": (["25/04/2024", "03/04/2024"], '{timestamp: {format: "%d/%m/%Y", timezone: UTC}}'),
    "month first": (["04/25/2024", "03/04/2024"], '{timestamp: {format: "%m/%d/%Y", timezone: UTC}}'),
    "day first, with a zone": (["25/04/2024 23:30:00 +02:00"], '{timestamp: {format: "%d/%m/%Y %H:%M:%S %z"}}'),
    "digits": (["20240310", "20240311"], '{timestamp: {format: "%Y%m%d", timezone: UTC}}'),
    "days of Excel": (["45361", "45362"], "{timestamp: {unit: excel}}"),
    "formats and ISO": (
        ["25/04/2024", "2024-04-25", "2024-04-26"],
        '{timestamp: {format: ["%d/%m/%Y", "%Y-%m-%d"], timezone: UTC}}',
    ),
    "spaces": ([" 2024-03-10", "2024-03-11 "], "trim, timestamp"),
    "a day for ever": (["2024-03-10", "9999-12-31"], '{null_if: "9999-12-31"}, timestamp'),
    "no day": (["2024-03-10 09:00:00Z", "0000-00-00 00:00:00"], '{null_if: "0000-00-00 00:00:00"}, timestamp'),
    "no day, by day": (
        ["25/04/2024", "31/12/9999", "00/00/0000"],
        '{null_if: ["00/00/0000", "31/12/9999"]}, {timestamp: {format: "%d/%m/%Y", timezone: UTC}}',
    ),
    "words for nothing": (["2024-03-10", "NULL", r"\N"], '{null_if: ["NULL", "\\\\N"]}, timestamp'),
    "blanks": (["2024-03-10", "  "], 'trim, {null_if: ""}, timestamp'),
}  # fmt: skip


@pytest.mark.parametrize("form", DECIDED)
def test_an_unambiguous_column_gets_the_call_that_reads_every_row(form: str) -> None:
    texts, call = DECIDED[form]
    inspection = inspected(texts)
    one = the_one(inspection)
    assert yaml(one) == [call]
    assert (one.decision.asks, inspection.exit_code) == ((), 0)
    assert rows(one, "unreadable") == (0, [])


OPEN: dict[str, tuple[list[str], Statements, list[str], list[str]]] = {
    "no proof of the order": (
        ["02/03/2024", "04/05/2024"],
        Statements(),
        ["day first or month first?"],
        ['{timestamp: {format: "%d/%m/%Y", timezone: UTC}}', '{timestamp: {format: "%m/%d/%Y", timezone: UTC}}'],
    ),
    "two orders": (
        ["25/04/2024", "25/05/2024", "04/25/2024"],
        Statements(),
        ["day and month in two orders"],
        ['{timestamp: {format: "%d/%m/%Y", timezone: UTC}}', '{timestamp: {format: "%m/%d/%Y", timezone: UTC}}'],
    ),
    "no zone": (
        ["2024-03-10 09:00"],
        Statements(),
        ["no offset, read as UTC; for local times write a zone such as Europe/Paris"],
        ["{timestamp: {timezone: UTC}}"],
    ),
    "no zone, and no proof of the order": (
        ["02/03/2024 09:00"],
        Statements(),
        ["day first or month first?", "no offset, read as UTC; for local times write a zone such as Europe/Paris"],
        [
            '{timestamp: {format: "%d/%m/%Y %H:%M", timezone: UTC}}',
            '{timestamp: {format: "%m/%d/%Y %H:%M", timezone: UTC}}',
        ],
    ),
    "two units": (
        ["1710057600", "1710057600", "1710057600123"],
        Statements(),
        ["numbers of several sizes: 2 seconds since 1970 and 1 milliseconds since 1970; which unit?"],
        ["{timestamp: {unit: s}}", "{timestamp: {unit: ms}}"],
    ),
    "days of Excel with a time": (
        ["45361.375"],
        Statements(),
        ["no offset, read as UTC; for local times write a zone such as Europe/Paris"],
        ["{timestamp: {unit: excel, timezone: UTC}}"],
    ),
    "several forms": (
        ["45361", "45362", "2024-03-10"],
        Statements(),
        ["dates in several forms, which no one call reads: fix the export, or give each its own column"],
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", OPEN)
def test_what_the_values_do_not_show_is_a_question(form: str) -> None:
    texts, stated, questions, calls = OPEN[form]
    inspection = inspected(texts, stated=stated)
    one = the_one(inspection)
    assert [question for _, question in one.decision.asks] == questions
    assert (yaml(one), inspection.exit_code) == (calls, 3)


@pytest.mark.parametrize(
    ("texts", "stated", "call"),
    [
        (["02/03/2024"], Statements("day first"), '{timestamp: {format: "%d/%m/%Y", timezone: UTC}}'),
        (["02/03/2024"], Statements("month first"), '{timestamp: {format: "%m/%d/%Y", timezone: UTC}}'),
        (["04/25/2024"], Statements("month first"), '{timestamp: {format: "%m/%d/%Y", timezone: UTC}}'),
        (["2024-03-10 09:00"], Statements(timezone="Europe/Paris"), "{timestamp: {timezone: Europe/Paris}}"),
        (["2024-03-10"], Statements(timezone="Europe/Paris"), "{timestamp: {timezone: Europe/Paris}}"),
        (["2024-03-10T09:00Z"], Statements(timezone="Europe/Paris"), "timestamp"),
        (["1710057600", "1710057600123"], Statements(unit="ms"), "{timestamp: {unit: ms}}"),
        (["2024-03-10"], Statements(unit="ms"), "timestamp"),
        (
            ["45361.375"],
            Statements(unit="excel1904", timezone="Europe/Paris"),
            "{timestamp: {unit: excel1904, timezone: Europe/Paris}}",
        ),
    ],
)
def test_what_a_person_states_decides(texts: list[str], stated: Statements, call: str) -> None:
    inspection = inspected(texts, stated=stated)
    assert (yaml(the_one(inspection)), inspection.exit_code) == ([call], 0)


def test_a_stated_order_is_used_against_proof_and_its_unreadable_rows_are_listed() -> None:
    one = the_one(inspected(["04/25/2024", "03/04/2024"], stated=Statements("day first")))
    assert yaml(one) == ['{timestamp: {format: "%d/%m/%Y", timezone: UTC}}']
    assert rows(one, "unreadable") == (1, ["x.csv:2"])


def test_the_row_that_proves_the_order_is_named_wherever_it_is() -> None:
    texts = ["02/03/2024"] * 3_000
    texts[2_345] = "13/03/2024"
    one = the_one(inspect(of_csv({"due": texts}, chunk_rows=100), NOW))
    shown = content(Inspection(3_000, 1, (one,), ()), "x.csv")["columns"][0]["order"]
    assert shown == {
        "order": "day first",
        "day_first": 1,
        "month_first": 0,
        "day_first_proof": "x.csv:2347",
        "month_first_proof": None,
    }


def test_a_column_with_thousands_of_empty_rows_first_is_read_by_the_others() -> None:
    texts = ["unknown"] * 5_000 + ["2024-03-10T09:00:00Z"] * 7_000
    one = the_one(inspect(of_csv({"seen_at": texts}, chunk_rows=500), NOW))
    assert yaml(one) == ["timestamp"]
    assert rows(one, "unreadable") == (5_000, ["x.csv:2", "x.csv:3", "x.csv:4"])


# ---------------------------------------------------------------- as Python has it

FORMATS = ["%d/%m/%Y %H:%M:%S", "%m/%d/%Y %I:%M %p", "%Y-%m-%d %H:%M:%S", "%d.%m.%y %H:%M", "%Y%m%d%H%M%S"]
FORMATS += ["%d %B %Y %H:%M:%S", "%B %d, %Y, %I:%M %p"]
walls = st.datetimes(datetime(1971, 1, 1), datetime(2060, 1, 1)).map(lambda wall: wall.replace(second=0, microsecond=0))


@given(st.lists(walls, min_size=1, max_size=20), st.sampled_from(FORMATS), st.integers(1, 5))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_option_reads_what_python_wrote_and_two_are_given_only_without_proof(
    column: list[datetime], format: str, chunk_rows: int
) -> None:
    texts = [wall.strftime(format) for wall in column]
    one = the_one(inspect(of_csv({"at": texts}, chunk_rows=chunk_rows), NOW, Statements(timezone="UTC")))
    expected = [int(wall.replace(tzinfo=UTC).timestamp()) for wall in column]
    readings = [(measure.read, measure.first_s, measure.last_s) for measure in one.measures]
    assert (len(column), min(expected), max(expected)) in readings
    numbers = "/" in format or "." in format
    proven = not numbers or any(wall.day > 12 for wall in column)
    assert (len(readings), bool(one.decision.asks)) == ((1, False) if proven else (2, True))


ZONED = ["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia", "Asia/Kolkata"]
CHANGES = [datetime(2024, 3, 31, 2), datetime(2024, 10, 27, 2), datetime(2024, 3, 10, 2), datetime(2024, 11, 3, 1)]
CHANGES += [datetime(2024, 10, 6, 2), datetime(2024, 4, 7, 1, 45), datetime(2018, 11, 4), datetime(2011, 12, 30, 12)]
near_changes = st.builds(
    lambda change, minutes: change + timedelta(minutes=minutes), st.sampled_from(CHANGES), st.integers(-180, 180)
)


def times(wall: datetime, zone: str) -> str:
    """Whether the clocks of the zone left this time out, or showed it twice, as Python knows it."""
    early, late = (wall.replace(tzinfo=ZoneInfo(zone), fold=fold).utcoffset() for fold in (0, 1))
    assert early is not None and late is not None
    return "once" if early == late else "fold" if early > late else "gap"


@given(st.lists(near_changes, min_size=1, max_size=20), st.sampled_from(ZONED), st.sampled_from(["T", " ", "typed"]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_times_in_gaps_and_folds_are_those_of_python(column: list[datetime], zone: str, written: str) -> None:
    if written == "typed":
        pl.DataFrame({"at": column}).write_parquet("x.parquet")
        snapshot = open_parquet(ParquetSource(("x.parquet",)), 7)
    else:
        snapshot = of_csv({"at": [wall.isoformat(sep=written) for wall in column]}, chunk_rows=7)
    one = the_one(inspect(snapshot, NOW, Statements(timezone=zone)))
    kinds = [times(wall, zone) for wall in column]
    file, header = ("x.parquet", 1) if written == "typed" else ("x.csv", 2)
    for kind in ("gap", "fold"):
        places = [f"{file}:{place + header}" for place, of_one in enumerate(kinds) if of_one == kind]
        assert rows(one, kind) == (len(places), places[:3])
    assert rows(one, "unreadable") == (0, [])


instants = st.datetimes(datetime(2016, 1, 1), datetime(2025, 12, 31), timezones=st.just(UTC))


@given(st.lists(instants, min_size=2, max_size=30), st.sampled_from(ZONES))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_zone_is_named_only_if_all_offsets_fit_it(column: list[datetime], zone: str) -> None:
    column = [instant.replace(microsecond=0) for instant in column]
    texts = [instant.astimezone(ZoneInfo(zone)).isoformat() for instant in column]
    offsets = the_one(inspect(of_csv({"at": texts}), NOW)).decision.facts.offsets
    assert sum(offsets.counts.values()) == len(texts)
    if len(offsets.counts) == 1:
        assert offsets.zones == ()
        return
    written = dict(zip(column, texts, strict=True))
    fitting = [
        other
        for other in ZONES
        if all(instant.astimezone(ZoneInfo(other)).isoformat() == text for instant, text in written.items())
    ]
    assert zone in fitting and list(offsets.zones) == fitting[:3]


# ---------------------------------------------------------------- numbers that are no dates


@pytest.mark.parametrize(
    ("name", "texts", "why"),
    [
        ("amount", ["45361", "45362"], "Excel's days since 1900"),
        ("amount", ["1710057600", "1710057601"], "seconds since 1970"),
        ("weather_at", ["mild", "fair"], "named like times, but nothing in it is written like one"),
    ],
)
def test_possible_dates_by_values_or_name_alone_are_listed_and_not_proposed(
    name: str, texts: list[str], why: str
) -> None:
    inspection = inspected(texts, name)
    assert (inspection.dates, inspection.unsure, inspection.exit_code) == ((), ((name, why),), 0)


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("order_id", ["20240310", "20240311"]),
        ("order_id", ["45361", "45362"]),
        ("ean", ["1710057600123", "1710057600124"]),
        ("note", ["some words", "others"]),
        ("price", ["1.50", "45361.00"]),
        ("nothing", [None, None]),
    ],
)
def test_other_columns_are_not_listed(name: str, texts: list[str | None]) -> None:
    inspection = inspected(texts, name)
    assert (inspection.dates, inspection.unsure) == ((), ())


def test_a_column_that_is_chosen_is_inspected_whatever_it_holds() -> None:
    one = the_one(inspected(["45361", "45362"], "amount", Statements(unit="excel"), ["amount"]))
    assert yaml(one) == ["{timestamp: {unit: excel}}"]
    assert (one.measures[0].first_s, one.measures[0].last_s) == (1_710_028_800, 1_710_115_200)
    inspection = inspected(["mild", "fair"], "weather", only=["weather"])
    (question,) = the_one(inspection).decision.asks
    assert question == ("forms", "nothing in it is in a form that is known; say it with `format:`")
    assert inspection.exit_code == 3


# ---------------------------------------------------------------- dates that stand for none


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("0000-00-00", "0000-00-00"),
        ("00.00.0000", "0000-00-00"),
        ("0001-01-01T00:00:00Z", "0001-01-01"),
        ("1/1/0001 12:00:00 AM", "0001-01-01"),
        ("12/31/9999", "9999-12-31"),
        ("9999-12-31T23:59:59.999+00:00", "9999-12-31"),
        ("99991231", "9999-12-31"),
        ("1970-01-01", "1970-01-01"),
        ("01/01/1970 00:00", "1970-01-01"),
        ("1900-01-01", "1900-01-01"),
        ("1899-12-30", "1899-12-30"),
        ("1753-01-01 00:00:00.000", "1753-01-01"),
        ("2038-01-19T03:14:07Z", "2038-01-19"),
        ("0", "1970-01-01"),
        ("2147483647", "2038-01-19"),
    ],
)
def test_a_date_that_stands_for_no_date_is_counted_in_any_format(text: str, day: str) -> None:
    (sentinel,) = the_one(inspected(["2024-03-10", "25/04/2024", text, text])).decision.facts.sentinels
    assert (sentinel.day, sentinel.count, sentinel.texts) == (day, 2, (text,))
    assert sentinel.certain == (day in ("0000-00-00", "0001-01-01", "9999-12-31"))


@pytest.mark.parametrize("text", ["1970-01-02", "1970-01-01 08:13", "11/01/1970", "2038-01-18", "9998-12-31"])
def test_a_usual_date_does_not_stand_for_no_date(text: str) -> None:
    assert the_one(inspected(["2024-03-10", "2024-03-11", text])).decision.facts.sentinels == ()


def test_a_day_that_may_be_a_real_date_is_noted_and_sent() -> None:
    one = the_one(inspected(["1970-01-01", "2024-03-10"], "born_on"))
    assert yaml(one) == ["timestamp"]
    remedy = 'put {null_if: ["1970-01-01"]} before `timestamp`'
    assert one.decision.notes == (f"1 times 1970-01-01, which may stand for no date: if it does, {remedy}",)


def test_typed_dates_that_stand_for_no_date_become_null() -> None:
    zoned = pl.Series([datetime(9999, 12, 31), datetime(2024, 3, 10)]).dt.replace_time_zone("UTC")
    frame = pl.DataFrame({"until": [date(9999, 12, 31), date(2024, 3, 10)], "at": [datetime(9999, 12, 31, 5)] * 2})
    frame.with_columns(zoned.alias("utc"), zoned[1:].new_from_index(0, 2).alias("plain")).write_parquet("x.parquet")
    inspection = inspect(open_parquet(ParquetSource(("x.parquet",)), 10), NOW, Statements(timezone="UTC"))
    call = '{null_if: "9999-12-31"}'
    in_utc = f"{call}, {{timestamp: {{timezone: UTC}}}}"
    assert [yaml(one) for one in inspection.dates] == [[in_utc], [in_utc], [f"{call}, timestamp"], ["c"]]
    assert [one.measures[0].read for one in inspection.dates] == [1, 0, 1, 2]


# ---------------------------------------------------------------- when


def test_rows_of_the_last_72_hours_and_of_the_future_are_counted() -> None:
    ages = [-1, 0, 72 * 3_600, 72 * 3_600 + 1]
    one = the_one(inspected([moment(NOW - age) for age in ages]))
    assert rows(one, "future") == (1, ["x.csv:2"])
    assert rows(one, "young") == (2, ["x.csv:3", "x.csv:4"])
    assert (one.measures[0].first_s, one.measures[0].last_s) == (NOW - ages[-1], NOW + 1)


def test_times_out_of_range_and_those_after_2100_in_a_zone_are_counted() -> None:
    texts = ["1899-12-31 00:00", "2100-01-01 00:00", "2024-03-10 09:00"]
    one = the_one(inspected(texts, stated=Statements(timezone="Europe/Paris")))
    assert rows(one, "out_of_range") == (1, ["x.csv:2"])
    assert rows(one, "late") == (1, ["x.csv:3"])
    assert rows(one, "gap") == rows(one, "fold") == (0, [])


# ---------------------------------------------------------------- the command

SECRETS = ["some day", "2024-31-31", "someday"]


def run(arguments: list[str], capsys: Captured) -> tuple[int, str, str]:
    code = main(["inspect", *arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def orders() -> None:
    texts = ["02/03/2024 09:00", *SECRETS, "26/03/2023 02:30"]
    pl.DataFrame({"order_id": range(5), "placed_at": texts, "renewed": ["02/03/2024"] * 5}).write_csv("orders.csv")


def test_the_terminal_names_rows_and_shows_their_values_only_with_reveal(capsys: Captured) -> None:
    orders()
    code, out, _ = run(["orders.csv", "--timezone", "Europe/Paris"], capsys)
    assert code == 3
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "orders.csv: 5 rows, 2 of 3 columns hold dates"
    assert "order 1 can only be day first, the first at orders.csv:6" in lines
    assert "rows 3 unreadable, and would be rejected (60.0% of the filled), at orders.csv:3,4,5" in lines
    assert (
        "rows 1 at an hour that the clocks left out, at orders.csv:6; `nonexistent: shift_forward` would read them"
        in lines
    )
    call = '{column: placed_at, apply: [{timestamp: {format: "%d/%m/%Y %H:%M", timezone: Europe/Paris}}]}'
    assert f"proposal {call}" in lines
    assert "TO DECIDE day first or month first? state it with --day-first or --month-first" in lines
    assert lines[-1] == "to decide: renewed"
    assert not any(secret in out for secret in (*SECRETS, "26/03/2023"))
    assert '"some day", "2024-31-31", "someday"' in run(["orders.csv", "--reveal"], capsys)[1]


def test_json_contains_no_value_without_reveal(capsys: Captured) -> None:
    orders()
    code, out, _ = run(["orders.csv", "--json", "--month-first", "--column", "renewed"], capsys)
    report = json.loads(out)
    assert (code, report["exit_code"], report["rows"]) == (0, 0, 5)
    (column,) = report["columns"]
    assert column["decided"] and column["questions"] == []
    (option,) = column["options"]
    assert option["apply"] == [{"timestamp": {"format": "%m/%d/%Y", "timezone": "UTC"}}]
    assert option["yaml"] == '{column: renewed, apply: [{timestamp: {format: "%m/%d/%Y", timezone: UTC}}]}'
    assert (option["first"], option["last"]) == ("2024-02-03T00:00:00Z", "2024-02-03T00:00:00Z")
    masked, revealed = (run(["orders.csv", "--json", *more], capsys)[1] for more in ([], ["--reveal"]))
    assert not any(secret in masked for secret in SECRETS)
    assert json.loads(revealed)["columns"][0]["examples"]["orders.csv:3"] == "some day"


def test_the_zone_that_another_columns_offsets_show_is_suggested(capsys: Captured) -> None:
    paid = ["2024-01-10T09:00:00+01:00", "2024-07-10T09:00:00+02:00", "2024-10-27T02:30:00+01:00"]
    pl.DataFrame({"paid_at": paid, "placed_at": ["2024-03-10 09:00"] * 3}).write_csv("x.csv")
    code, out, _ = run(["x.csv"], capsys)
    assert code == 3
    assert "state it with --timezone Europe/Paris, whose clocks the offsets of paid_at follow" in out


def test_every_row_of_a_table_is_inspected(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect("shop.db")) as database, database:
        database.execute("create table orders (n integer, placed_on text)")
        database.executemany("insert into orders values (?, ?)", [(n, "02/03/2024") for n in range(40)])
        database.execute("insert into orders values (40, '02/28/2024')")
    monkeypatch.setenv("SHOP_URL", "sqlite:///shop.db")
    code, out, err = run(["${SHOP_URL}", "--table", "orders"], capsys)
    assert code == 0, err
    assert '{column: placed_on, apply: [{timestamp: {format: "%m/%d/%Y", timezone: UTC}}]}' in out
    assert "1 can only be month first, the first at table orders, row 41" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--day-first", "--month-first"], "--day-first and --month-first contradict each other; give one of the two"),
        (["--timezone", "Paris"], "no time zone 'Paris'; use a name such as Europe/Paris or UTC"),
        (["--column", "paid"], "x.csv has no column 'paid'; it has 'id', 'at'"),
    ],
)
def test_a_wrong_command_line_is_refused_with_the_remedy(arguments: list[str], message: str, capsys: Captured) -> None:
    Path("x.csv").write_text("id,at\n1,2024-03-10\n")
    code, _, err = run(["x.csv", *arguments], capsys)
    assert code == 2 and message in err


def test_rows_that_cannot_be_read_are_no_evidence() -> None:
    Path("x.csv").write_text("id,at\n1,2024-03-10\n2\n3,2024-03-11\n")
    inspection = inspect(open_csv(CsvSource(("x.csv",)), Path("stage"), ChunkLimits()), NOW)
    assert (the_one(inspection).decision.facts.rows, inspection.rows) == (2, 3)


@given(st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_size_of_the_frames_changes_nothing(data: st.DataObject) -> None:
    pool = [
        "2024-03-10",
        "25/04/2024",
        "04/05/2024",
        "0000-00-00",
        "1710057600",
        " 2024-03-10T09:00+02:00",
        "x",
        "NULL",
    ]
    texts = data.draw(st.lists(st.sampled_from(pool) | st.none(), min_size=1, max_size=30))
    columns: dict[str, Sequence[str | None]] = {"id": ["k"] * len(texts), "at": texts}
    whole, cut = (inspect(of_csv(columns, rows), NOW, Statements("day first", "UTC")) for rows in (100, 3))

    def plain(inspection: Inspection) -> Any:
        return json.dumps(content(inspection, ""), sort_keys=True)

    assert plain(whole) == plain(cut)


def test_the_readme_shows_what_is_printed(capsys: Captured) -> None:
    start = datetime(2023, 1, 1)
    placed = [start + timedelta(minutes=n * 443 % 1_440_000) for n in range(3_000)]
    texts = [wall.strftime("%d/%m/%Y %H:%M") for wall in placed]
    texts[17] = texts[960] = "tomorrow"
    texts[1207] = "26/03/2023 02:30"
    renewal = [f"{n % 12 + 1:02}/{n % 7 + 1:02}/2025" for n in range(3_000)]
    pl.DataFrame({"order_no": [f"{n:06}" for n in range(3_000)], "placed_at": texts, "renewal": renewal}).write_csv(
        "orders.csv"
    )
    code, out, _ = run(["orders.csv", "--timezone", "Europe/Paris"], capsys)
    readme = (Path(__file__).parents[2] / "mappings" / "README.md").read_text(encoding="utf-8")
    shown = readme.split("### Dates: inspect")[1].split("```text\n")[1].split("```")[0]
    assert (code, out) == (3, shown)


@given(st.data())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_measures_are_what_a_run_does_with_the_proposal(data: st.DataObject) -> None:
    pool = ["2024-03-10 09:00", "2024-03-31 02:30", "2024-10-27T02:30", "25/04/2024", "4/5/2024", "0000-00-00", "NULL"]
    pool += [
        "1710057600",
        "1710057600123",
        " 2024-03-10T09:00+02:00",
        "9999-12-31",
        "1850-01-01",
        "x",
        " ",
        "45361.5",
        "5",
    ]
    some = data.draw(st.lists(st.sampled_from(pool), min_size=1, max_size=4))
    texts = data.draw(st.lists(st.sampled_from(some), min_size=1, max_size=20))
    texts += data.draw(st.sampled_from([[], ["2024-03-10"] * 2_000, ["2024-03-10T09:00:00Z"] * 2_000]))
    stated = data.draw(
        st.sampled_from([Statements(), Statements("day first", "Europe/Paris"), Statements(timezone="UTC")])
    )
    snapshot = of_csv({"id": ["k"] * len(texts), "at": texts})
    for one in inspect(snapshot, NOW, stated).dates:
        for option, measure in zip(one.decision.options, one.measures, strict=True):
            value = column("at", *option.apply)
            items = mapped(mapping(attributes={"at": value}), *snapshot.read(None, 0))
            reasons = items["reason"].to_list()
            lost = sum(measure.count(kind) for kind in ("unreadable", "gap", "fold", "late"))
            assert reasons.count("timestamp_unreadable") == lost
            assert reasons.count("timestamp_out_of_range") == measure.count("out_of_range")
            assert set(reasons) <= {None, "timestamp_unreadable", "timestamp_out_of_range"}
