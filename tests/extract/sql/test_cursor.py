"""Any database of SQLAlchemy is read without loss: SQLite and PostgreSQL, by the reader for all others."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import URL

from cio_etl.errors import EtlError, SourceError, SourceRefused, SourceUnreachable
from cio_etl.extract.sql.cursor import CursorReader
from cio_etl.extract.sql.dialects import address
from cio_etl.extract.sql.names import ANSI_CAPITALS
from cio_etl.extract.sql.values import ResultColumns
from cio_etl.extract.stage import staged
from cio_etl.extract.text_columns import DECIMAL_TEXT, JSON_TEXT
from cio_etl.model import SqlSource, Staging, Watermark
from tests.reading import DATABASES, asking, by_id, closed, read, reader, rows_of
from tests.running import until

CANARY = "canary-of-the-rows"
SQLITE = replace(DATABASES["sqlite"], begins_with=("PRAGMA query_only = ON",))
POSTGRES = replace(
    DATABASES["postgresql"],
    driver="psycopg",
    begins_with=("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", "SET LOCAL TIME ZONE 'UTC'"),
)


@pytest.fixture
def postgres(postgres: Any) -> Any:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    return postgres


def with_psycopg(url: URL) -> str:
    return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


@pytest.mark.parametrize(
    ("expression", "dtype", "expected"),
    [
        ("7", pl.Int64(), 7),
        ("1.50::numeric", pl.Decimal(38, 2), Decimal("1.50")),
        ("12345678901234567890123456789.5::numeric", pl.Decimal(38, 1), Decimal("12345678901234567890123456789.5")),
        ("0.1::float8", pl.Float64(), 0.1),
        ("true", pl.Boolean(), True),
        ("'Zoë 漢'", pl.String(), "Zoë 漢"),
        ("date '2024-02-29'", pl.Date(), date(2024, 2, 29)),
        ("timestamp '2024-01-02 03:04:05.678901'", pl.Datetime("us"), datetime(2024, 1, 2, 3, 4, 5, 678901)),
        ("timestamptz '2024-01-02 03:04:05+02'", pl.Datetime("us", "UTC"), datetime(2024, 1, 2, 1, 4, 5, tzinfo=UTC)),
        ("time '03:04:05'", pl.String(), "03:04:05"),
        ("'6e8bc430-9c3a-11d9-9669-0800200c9a66'::uuid", pl.String(), "6e8bc430-9c3a-11d9-9669-0800200c9a66"),
        ('\'{"a": [1, "ü"]}\'::jsonb', pl.String(), '{"a": [1, "ü"]}'),
        ("array[1, 2]", pl.String(), "[1, 2]"),
        ("array[1.50]::numeric[]", pl.String(), '["1.50"]'),
        ("interval '1 day'", pl.String(), "1 day, 0:00:00"),
        ("inet '10.0.0.1'", pl.String(), "10.0.0.1"),
    ],
)
def test_a_value_of_a_driver_makes_a_column(postgres: Any, expression: str, dtype: pl.DataType, expected: Any) -> None:
    source = asking(with_psycopg(postgres.url), f"SELECT * FROM (VALUES ({expression}), (NULL)) AS a(v)")
    snapshot = staged(reader(CursorReader, source, POSTGRES), Staging(Path("stage")), 10)
    assert snapshot.schema["v"] == dtype
    assert rows_of(snapshot) == [{"v": expected}, {"v": None}]
    assert ("v" in snapshot.json) == (expected in ('{"a": [1, "ü"]}', "[1, 2]", '["1.50"]'))


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([True, False, None], pl.Boolean(), [True, False, None]),
        ([1, 2**70], DECIMAL_TEXT, ["1", str(2**70)]),
        ([1, Decimal("1E+3")], DECIMAL_TEXT, ["1", "1000"]),
        ([1, 2.5], pl.Float64(), [1.0, 2.5]),
        ([2**60, 2.5], JSON_TEXT, [str(2**60), "2.5"]),
        ([date(2024, 1, 2), "x"], JSON_TEXT, ["2024-01-02", '"x"']),
        (
            [datetime(2024, 1, 2), datetime(2024, 1, 2, tzinfo=UTC)],
            JSON_TEXT,
            ["2024-01-02T00:00:00", "2024-01-02T00:00:00+00:00"],
        ),
        ([True, "x", "true"], JSON_TEXT, ["true", '"x"', '"true"']),
        ([1, 2.5, Decimal("1.50"), "1", date(2024, 1, 2)], JSON_TEXT, ["1", "2.5", "1.50", '"1"', "2024-01-02"]),
        ([None], pl.Null(), [None]),
    ],
)
def test_a_column_has_a_type_that_holds_all_its_values(
    values: list[Any], dtype: pl.DataType, expected: list[Any] | None
) -> None:
    column = ResultColumns(["v"], "the query", None).frame([(value,) for value in values])["v"]
    assert column.dtype == dtype
    if expected is not None:
        inner = column.struct.unnest().to_series() if isinstance(dtype, pl.Struct) else column
        assert inner.to_list() == expected


def test_a_column_has_the_type_of_all_values_of_its_frame() -> None:
    given: list[tuple[Any, ...]] = [(number, None, number) for number in range(25_300)]
    given[9_999] = (2**63, "text", 0.5)
    left = iter(given)
    frames = list(ResultColumns(["a", "b", "c"], "the query", None).frames(lambda most: list(islice(left, most))))
    assert [frame.height for frame in frames] == [10_000, 10_000, 5_300]
    assert frames[0].dtypes == [DECIMAL_TEXT, pl.String(), pl.Float64()]
    assert [frame.dtypes for frame in frames[1:]] == [[pl.Int64(), pl.Null(), pl.Int64()]] * 2
    assert frames[0].row(-1) == ({"decimal_text": str(2**63)}, "text", 0.5)
    assert pl.concat(frame["a"] for frame in frames[1:]).to_list() == list(range(10_000, 25_300))


def test_json_stays_json_when_a_later_frame_has_only_texts() -> None:
    columns = ResultColumns(["v"], "the query", None)
    assert columns.frame([({"a": 1},)])["v"].struct.field("json_text").to_list() == ['{"a": 1}']
    assert columns.frame([("x",)])["v"].struct.field("json_text").to_list() == ['"x"']


def test_columns_of_bytes_are_omitted_and_refused_where_the_mapping_reads_them(postgres: Any) -> None:
    source = asking(with_psycopg(postgres.url), "SELECT 1 AS n, '\\x00ff'\\:\\:bytea AS v")
    assert read(CursorReader, source, POSTGRES) == [{"n": 1}]
    with pytest.raises(SourceError, match="column 'v' holds bytes"):
        read(CursorReader, source, POSTGRES, "n", "v")


def test_names_in_capitals_come_back_as_the_mapping_writes_them() -> None:
    capitals = replace(SQLITE, names=ANSI_CAPITALS)
    sqlite3.connect("shop.db").close()
    source = asking("sqlite:///shop.db", 'SELECT 1 AS ID, 2 AS "Mixed", 3 AS LOUD, 4 AS "two words"')
    assert read(CursorReader, source, capitals, "id", "LOUD") == [{"id": 1, "LOUD": 3}]
    assert list(read(CursorReader, source, capitals)[0]) == ["id", "Mixed", "loud", "two words"]


def test_all_rows_are_of_one_point_in_time_while_others_write(postgres: Any) -> None:
    postgres.execute("CREATE TABLE t (n int)", "INSERT INTO t SELECT generate_series(1, 30000)")
    frames = reader(CursorReader, asking(with_psycopg(postgres.url), table="t"), POSTGRES).frames()
    seen = [next(frames)]
    postgres.execute("DELETE FROM t WHERE n > 5", "INSERT INTO t VALUES (-1)")
    seen += list(frames)
    assert pl.concat(seen)["n"].to_list() == list(range(1, 30_001))


def test_a_writing_query_writes_nothing(postgres: Any) -> None:
    postgres.execute("CREATE TABLE t (n int)")
    postgres.execute("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (1) RETURNING n'")
    with pytest.raises(SourceError, match="the query would write, and is run read-only"):
        read(CursorReader, asking(with_psycopg(postgres.url), "SELECT f() AS n"), POSTGRES)
    assert postgres.rows("SELECT * FROM t") == []
    with closing(sqlite3.connect("shop.db")) as shop:
        shop.execute("CREATE TABLE t (n)")
    with pytest.raises(SourceError):
        read(CursorReader, asking("sqlite:///shop.db", "INSERT INTO t VALUES (1) RETURNING n"), SQLITE)


def test_a_cancelled_read_ends_the_query_in_the_database(postgres: Any) -> None:
    one = reader(CursorReader, asking(with_psycopg(postgres.url), "SELECT pg_sleep(60)"), POSTGRES)
    told: list[EtlError] = []
    sleeping = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"

    def read_all() -> None:
        try:
            list(one.frames())
        except EtlError as error:
            told.append(error)

    thread = threading.Thread(target=read_all, daemon=True)
    thread.start()
    until(lambda: len(postgres.rows(sleeping)) == 1)
    one.cancel()
    thread.join(10)
    assert not thread.is_alive()
    assert told
    assert postgres.rows(sleeping) == []


@pytest.mark.parametrize("name", ["Capitals", "two words", 'dou"ble', "per%cent", "per%(a)s", "co:lon", "back\\slash"])
def test_names_with_any_characters_are_quoted(postgres: Any, name: str) -> None:
    written = '"' + name.replace('"', '""') + '"'
    postgres.execute(f"CREATE TABLE {written} ({written} int)", f"INSERT INTO {written} VALUES (7)")
    assert read(CursorReader, asking(with_psycopg(postgres.url), table=name), POSTGRES, name) == [{name: 7}]


@pytest.mark.parametrize("given", ["it's", "\\'; --", "%s", "%(a)s", ":x", "ü漢😀", "", 7, 1.5, True])
def test_parameters_with_any_characters_are_passed_as_values(postgres: Any, given: object) -> None:
    kind = {str: "text", int: "int", float: "float8", bool: "bool"}[type(given)]
    query = f"SELECT CAST(:given AS {kind}) AS v, '%' AS w"
    source = asking(with_psycopg(postgres.url), query, parameters={"given": given})
    assert read(CursorReader, source, POSTGRES) == [{"v": given, "w": "%"}]


def night(source: SqlSource, number: int, mark: Watermark | None) -> tuple[list[Any], Watermark | None]:
    staging = Staging(Path(f"night{number}"), ("id",), mark)
    one = CursorReader(source, staging, address(source), POSTGRES)
    snapshot = staged(one, staging, 10, source.incremental)
    return sorted(row["id"] for row in rows_of(snapshot, "id")), snapshot.watermark


@pytest.mark.parametrize(
    ("kind", "tie", "later"),
    [
        ("timestamptz", "'2024-01-02 03:04:05+02'", "'2024-01-02 03:04:06+02'"),
        ("date", "'2024-01-02'", "'2024-01-03'"),
        ("numeric", "1.5", "1.50001"),
        ("text", "'B'", "'a'"),
    ],
)
def test_each_run_reads_new_rows_and_rows_with_the_same_watermark(
    postgres: Any, kind: str, tie: str, later: str
) -> None:
    postgres.execute(f"CREATE TABLE t (id int, w {kind})", f"INSERT INTO t VALUES (1, {tie}), (2, {tie})")
    source = asking(with_psycopg(postgres.url), table="t", incremental=by_id("w"))
    first, mark = night(source, 1, None)
    postgres.execute(f"INSERT INTO t VALUES (3, {tie})")
    second, mark = night(source, 2, mark)
    postgres.execute(f"INSERT INTO t VALUES (4, {later})")
    third, mark = night(source, 3, mark)
    assert (first, second, third, night(source, 4, mark)[0]) == ([1, 2], [3], [4], [])


def failing(url: str, query: str) -> EtlError:
    with pytest.raises(EtlError) as error:
        read(CursorReader, asking(url, query), POSTGRES)
    return error.value


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("SELECT * FROM nope", 'relation "nope" does not exist'),
        ("SELECT nope", 'column "nope" does not exist'),
        (f"SELECT CAST('{CANARY}' AS int) AS a", "the database failed while it was read (code 22P02)"),
    ],
)
def test_a_query_that_fails_is_reported_without_data(postgres: Any, query: str, what: str) -> None:
    error = failing(with_psycopg(postgres.url), query)
    assert what in str(error)
    closed([CANARY, str(postgres.url.password)], f"{error} {error.remedy}")


def test_refused_and_failed_connections_are_reported(postgres: Any) -> None:
    refused = failing(with_psycopg(postgres.url.set(password=CANARY)), "SELECT 1 AS a")
    assert isinstance(refused, SourceRefused)
    unreachable = failing(with_psycopg(postgres.url.set(port=5)), "SELECT 1 AS a")
    assert isinstance(unreachable, SourceUnreachable)
    assert "it refused the connection" in str(unreachable)
    closed([CANARY, str(postgres.url.password)], f"{refused} {unreachable}")


def test_a_missing_driver_is_reported() -> None:
    with pytest.raises(SourceError, match="the driver nope for PostgreSQL is not installed") as error:
        reader(CursorReader, asking("postgresql+nope://h/d", "SELECT 1 AS a"), POSTGRES)
    assert error.value.remedy == "install it, or leave it out of the address"
