"""Each database's record in the table is right, as far as that can be tested without an account."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import make_url

from cio_etl.errors import SourceError, install
from cio_etl.extract.sql import adbc
from cio_etl.extract.sql.dialects import address, reader_of, who_and_where
from cio_etl.extract.sql.statement import Statement
from cio_etl.model import Staging
from tests.reading import DATABASES, asking, by_id, closed, opened, read, reader

CANARY = "canary-p4ss"


def test_the_table_lists_which_databases_were_tested_against_a_real_server() -> None:
    assert {name for name, database in DATABASES.items() if database.ran} == {
        *("postgresql", "mariadb", "sqlite", "duckdb"),
    }


@pytest.mark.parametrize("name", DATABASES)
def test_an_example_s_address_is_of_its_database(name: str) -> None:
    database = DATABASES[name]
    assert make_url(database.address).get_backend_name() == name
    assert find_spec(f"cio_etl.extract.sql.{database.module}") is not None
    assert (database.extra == "") == (database.needs == ())


def missing() -> list[str]:
    def absent(module: str) -> bool:
        try:
            return find_spec(module) is None
        except ModuleNotFoundError:
            return True

    return [name for name, database in DATABASES.items() if any(map(absent, database.needs))]


@pytest.mark.parametrize("name", missing())
def test_a_missing_driver_is_reported_with_its_pip_command(name: str) -> None:
    database = DATABASES[name]
    with pytest.raises(SourceError) as error:
        reader_of(asking(database.address, "SELECT 1"), Staging(Path()))
    assert str(error.value) == f"the query: the driver for {database.title} is not installed"
    assert error.value.remedy == install(database.extra)


def test_postgres_is_another_name_of_the_scheme_postgresql() -> None:
    source = asking("postgres://u@h/d", "SELECT 1")
    assert address(source).drivername == "postgresql"
    assert who_and_where(address(source)) == who_and_where(address(asking("postgresql://u@h/d", "SELECT 1")))


@pytest.mark.parametrize(
    ("url", "what"),
    [
        (f"nope://u:{CANARY}@h/d", "no database 'nope' is known"),
        (f"postgresql://u:{CANARY}@h:port/d", "the database's address cannot be read"),
    ],
)
def test_an_invalid_address_is_reported_without_showing_it(url: str, what: str) -> None:
    with pytest.raises(SourceError, match=what) as error:
        reader_of(asking(url, "SELECT 1"), Staging(Path()))
    closed([CANARY], f"{error.value} {error.value.remedy}")


# ---------------------------------------------------------------- warehouses

WATERMARK = datetime(2024, 1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "snowflake://u:p%40x@org-acct/db/sch?warehouse=w&role=r",
            {"account": "org-acct", "db": "db", "schema": "sch", "warehouse": "w", "role": "r", "password": "p@x"},
        ),
        (
            "snowflake://u@acct/db?private_key_file=/k.p8",
            {"auth_type": "auth_jwt", "client_option.jwt_private_key": "/k.p8", "username": "u", "db": "db"},
        ),
        ("snowflake://u@acct/db?token=t", {"auth_type": "auth_oauth", "client_option.auth_token": "t"}),
        (
            "snowflake://u@acct/db?token=t&authenticator=PROGRAMMATIC_ACCESS_TOKEN",
            {"auth_type": "auth_pat", "client_option.auth_token": "t"},
        ),
        (
            "bigquery://proj/ds?credentials_path=/k.json&location=EU",
            {
                "project_id": "proj",
                "dataset_id": "ds",
                "auth_credentials": "/k.json",
                "auth_type": "adbc.bigquery.sql.auth_type.json_credential_file",
                "location": "EU",
            },
        ),
        ("bigquery://proj", {"project_id": "proj", "auth_type": "adbc.bigquery.sql.auth_type.auth_bigquery"}),
        (
            "databricks://token:dapi%40@h?http_path=/sql/x&catalog=c",
            {"server_hostname": "h", "access_token": "dapi@", "http_path": "/sql/x", "catalog": "c"},
        ),
    ],
)
def test_an_address_becomes_what_the_driver_connects_with(url: str, expected: dict[str, str]) -> None:
    parsed = make_url(url)
    options = adbc.WAREHOUSES[parsed.get_backend_name()].options(parsed)
    plain = {
        name.removeprefix("adbc.snowflake.sql.").removeprefix("adbc.bigquery.sql."): options[name] for name in options
    }
    assert expected.items() <= plain.items()


@pytest.mark.parametrize(
    ("url", "what"),
    [
        (f"snowflake://u:{CANARY}@a/d?nope={CANARY}", "Snowflake has an option 'nope'; there are authenticator"),
        (
            f"snowflake://u:{CANARY}@a/d?authenticator=nope",
            "Snowflake has no authenticator 'nope'; there are snowflake",
        ),
        (f"bigquery://p/d?nope={CANARY}", "BigQuery has an option 'nope'; there are credentials_path, location"),
        (f"databricks://token:{CANARY}@h", "Databricks has no http_path"),
    ],
)
def test_an_option_that_is_not_known_is_reported_without_its_value(url: str, what: str) -> None:
    database = DATABASES[make_url(url).get_backend_name()]
    with pytest.raises(SourceError, match=what) as error:
        reader(adbc.AdbcReader, asking(url, "SELECT 1 AS a"), database)
    assert error.value.remedy == f"write it as {database.address}"
    closed([CANARY], f"{error.value} {error.value.remedy}")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("snowflake", ("SELECT '2024-01-02 03:04:05', 'it\\'s \\\\ :x', ':y'", None)),
        ("bigquery", ("SELECT '2024-01-02 03:04:05', 'it\\'s \\\\ :x', ':y'", None)),
        ("databricks", ("SELECT :watermark, :name, ':y'", {"watermark": WATERMARK, "name": "it's \\ :x"})),
    ],
)
def test_parameters_are_given_as_the_warehouse_takes_them(name: str, expected: tuple[str, Any]) -> None:
    asked = Statement("SELECT :watermark, :name, '\\:y'", {"watermark": WATERMARK, "name": "it's \\ :x"})
    assert adbc.WAREHOUSES[name].query(asked) == expected


class ArrowCursor:
    """What databricks-sql-connector's cursor does, of rows that stand here."""

    def __init__(self, asked: list[tuple[str, Any]]) -> None:
        self._asked = asked
        json = pa.field("J", pa.string(), metadata={"logicalType": "VARIANT"})
        self._rows = pa.table({"ID": [1, 2], "J": ['{"a": 1}', None]}, pa.schema([("ID", pa.int64()), json]))

    def execute(self, operation: str, parameters: Any = None) -> None:
        self._asked.append((operation, parameters))

    def fetchmany_arrow(self, size: int) -> pa.Table:
        taken, self._rows = self._rows, self._rows[:0]
        return taken

    def cancel(self) -> None: ...

    def close(self) -> None: ...


class ArrowConnection:
    def __init__(self, asked: list[tuple[str, Any]]) -> None:
        self._asked = asked

    def cursor(self) -> ArrowCursor:
        return ArrowCursor(self._asked)

    def close(self) -> None: ...


def test_a_warehouse_s_result_becomes_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Any]] = []
    known = adbc.WAREHOUSES["snowflake"]
    monkeypatch.setitem(adbc.WAREHOUSES, "snowflake", replace(known, connect=lambda url: ArrowConnection(asked)))
    source = asking("snowflake://u:p@a/d/s", table="People", incremental=by_id("id", start=7))
    frames = list(reader(adbc.AdbcReader, source, DATABASES["snowflake"], "id", "j").frames())
    assert asked == [
        ("ALTER SESSION SET TIMEZONE = 'UTC'", None),
        ('SELECT "ID" AS "id", "J" AS "j" FROM "People" WHERE "ID" >= 7', None),
    ]
    assert [frame.to_dicts() for frame in frames[1:]] == [
        [{"id": 1, "j": {"json_text": '{"a": 1}'}}, {"id": 2, "j": {"json_text": None}}]
    ]


@pytest.fixture
def shop() -> Iterator[str]:
    with closing(sqlite3.connect("shop.db")) as connection, connection:
        connection.execute("CREATE TABLE t (id int, v text)")
        connection.execute("INSERT INTO t VALUES (1, 'it''s'), (2, NULL)")
    yield "shop.db"


def test_a_driver_of_adbc_is_read_and_its_errors_are_reworded(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = pytest.importorskip("adbc_driver_sqlite.dbapi", reason="adbc-driver-sqlite is not installed")
    one = adbc.Warehouse(lambda url: driver.connect(shop), lambda url: {}, lambda asked: (asked.with_literals(), None))
    monkeypatch.setitem(adbc.WAREHOUSES, "bigquery", one)
    ours = replace(DATABASES["bigquery"], grammar="sqlite")
    assert read(adbc.AdbcReader, asking("bigquery://p", "SELECT * FROM t -- end"), ours) == [
        {"id": 1, "v": "it's"},
        {"id": 2, "v": None},
    ]
    with pytest.raises(SourceError, match="the database failed while it was read") as error:
        read(adbc.AdbcReader, asking("bigquery://p", f"SELECT '{CANARY}' AS a FROM nope"), ours)
    closed([CANARY], f"{error.value} {error.value.remedy}")


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
@pytest.mark.parametrize(
    ("tables", "table", "remedy"),
    [
        (("orders", "people"), ("order",), "did you mean 'orders'? its tables are orders, people"),
        (("orders",), ("zzz",), "its tables are orders"),
        ((), ("orders",), "it has no tables or views; check its address"),
    ],
)
def test_a_table_that_is_not_there_is_reported_with_those_that_are(
    kind: str, tables: tuple[str, ...], table: tuple[str, ...], remedy: str
) -> None:
    connect = sqlite3.connect if kind == "sqlite" else pytest.importorskip("duckdb").connect
    with closing(connect("shop.db")) as database:
        for name in tables:
            database.execute(f"CREATE TABLE {name} (id integer)")
        database.commit()
    with pytest.raises(SourceError, match=f"^table {table[0]}: the database has no such table$") as error:
        opened(asking(f"{kind}:///shop.db", table=table), "id")
    assert error.value.remedy == remedy


def test_a_query_of_a_table_that_is_not_there_is_reported_with_the_tables_that_are() -> None:
    with closing(sqlite3.connect("shop.db")) as database:
        database.execute("CREATE TABLE orders (id integer)")
    with pytest.raises(SourceError, match="no such table: order") as error:
        opened(asking("sqlite:///shop.db", 'SELECT * FROM "order"'))
    assert error.value.remedy == "fix the query, or the table; its tables are orders"


def test_tables_are_not_listed_for_another_error_of_a_table_that_is_there() -> None:
    with closing(sqlite3.connect("shop.db")) as database:
        database.execute("CREATE TABLE orders (id integer)")
    with pytest.raises(SourceError, match="no such column: idd") as error:
        opened(asking("sqlite:///shop.db", table="orders"), "idd")
    assert "its tables" not in error.value.remedy
