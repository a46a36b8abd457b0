"""The primary key of a table is found in each kind of database, also by a user who may only read."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from pydantic import SecretStr

from cio_etl.extract import primary_key_of
from cio_etl.model import SqlSource
from tests.databases import Database

TABLES = (
    "CREATE TABLE people (id int PRIMARY KEY, email varchar(50) UNIQUE)",
    "CREATE TABLE order_lines (number int, order_no int, price int, PRIMARY KEY (order_no, number))",
    "CREATE TABLE heap (id int)",
    "CREATE VIEW best AS SELECT * FROM people",
)
KEYS = {"people": ["id"], "order_lines": ["number", "order_no"], "heap": [], "best": [], "missing": []}


def keys_of(address: str) -> dict[str, list[str]]:
    return {name: key(address, name) for name in KEYS}


def key(address: str, *table: str) -> list[str]:
    return sorted(primary_key_of(SqlSource(SecretStr(address), table=table)))


def test_the_primary_key_of_a_table_of_sqlite() -> None:
    with closing(sqlite3.connect("shop.db")) as shop:
        shop.executescript(";".join(TABLES))
    assert keys_of("sqlite:///shop.db") == KEYS
    assert key("sqlite:///shop.db", "main", "people") == ["id"]
    assert primary_key_of(SqlSource(SecretStr("sqlite:///shop.db"), query="select * from people")) == []


def test_the_primary_key_of_a_table_of_duckdb() -> None:
    duckdb = pytest.importorskip("duckdb", reason="the extra cio-etl[duckdb] is not installed")
    with duckdb.connect("shop.duckdb") as shop:
        for statement in (*TABLES, "CREATE SCHEMA sales", "CREATE TABLE sales.people (no int PRIMARY KEY)"):
            shop.execute(statement)
    assert keys_of("duckdb:///shop.duckdb") == KEYS
    assert key("duckdb:///shop.duckdb", "sales", "people") == ["no"]


def test_the_primary_key_of_a_table_of_postgresql_is_known_to_who_may_only_read(postgres: Database) -> None:
    user = f"reader_{postgres.url.database}"
    postgres.execute(
        *TABLES,
        "CREATE SCHEMA sales",
        "CREATE TABLE sales.people (no int PRIMARY KEY)",
        f"CREATE USER {user} PASSWORD 'r'",
        f"GRANT USAGE ON SCHEMA sales TO {user}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public, sales TO {user}",
    )
    try:
        assert keys_of(postgres.as_user(user, "r")) == KEYS
        assert key(postgres.as_user(user, "r"), "sales", "people") == ["no"]
    finally:
        postgres.execute(f"DROP OWNED BY {user}", f"DROP USER {user}")


def test_the_primary_key_of_a_table_of_mariadb(mariadb: Database) -> None:
    mariadb.execute(*TABLES)
    assert keys_of(mariadb.address) == KEYS
    assert key(mariadb.address, str(mariadb.url.database), "people") == ["id"]


def test_a_database_out_of_reach_has_no_known_key() -> None:
    assert key("postgresql://nobody@127.0.0.1:1/shop", "people") == []
