"""Makes the tables that the benchmark of reading reads: two in each database, made by arithmetic, the same everywhere.

    python -m tests.benchmarks.tables FOLDER --rows 1000000 --database postgresql --database sqlite

prints one line of JSON, for each database its address, or why there is none; serves until its standard input ends, and
then drops what it made. PG_URL and MYSQL_URL name servers to make databases in, else it starts some of its own.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from importlib import import_module
from pathlib import Path

import pytest
from sqlalchemy import URL

from tests import databases

FEW = 20_000  # rows of the table `few`, in which is counted who reads all of them

# A column's name, how its values come of the row's number `i`, and its type. Brackets: `||` binds tighter in MariaDB.
COMMON = {
    "id": "i",
    "name": "'name-' || (10000000 + i * 7919 % 10000000)",
    "email": "'user' || i || '@example.com'",
    "balance": "(i * 37 % 1000000) / 100.0",
    "score": "i / 7e0",
    "active": "i % 3 = 0",
    "note": "CASE WHEN i % 2 = 0 THEN 'some note ' || i END",
    "n": "i % 100000",
}
JSON_TEXT = """'{"plan": "p' || (i % 7) || '", "n": ' || (i % 100) || ', "tags": ["a", "b"]}'"""
OWN = {
    "postgresql": {
        "born": "date '1960-01-01' + (i % 20000)::int",
        "seen": "timestamp '2020-01-01' + i * interval '1 second'",
        "updated": "timestamptz '2021-01-01 00:00:00+00' + i * interval '1 second'",
        "attrs": f"({JSON_TEXT})::jsonb",
    },
    "mariadb": {
        "born": "date '1960-01-01' + INTERVAL (i % 20000) DAY",
        "seen": "timestamp '2020-01-01 00:00:00' + INTERVAL i SECOND",
        "updated": "timestamp '2021-01-01 00:00:00' + INTERVAL i SECOND",
        "attrs": JSON_TEXT,
    },
    "sqlite": {
        "born": "date('1960-01-01', (i % 20000) || ' days')",
        "seen": "datetime('2020-01-01', i || ' seconds')",
        "updated": "datetime('2021-01-01', i || ' seconds')",
        "attrs": JSON_TEXT,
    },
    "duckdb": {
        "born": "date '1960-01-01' + (i % 20000)::int",
        "seen": "timestamp '2020-01-01' + to_seconds(i)",
        "updated": "timestamptz '2021-01-01 00:00:00+00' + to_seconds(i)",
        "attrs": JSON_TEXT,
    },
}
TYPES = (
    "id bigint, name varchar(50), email varchar(100), balance decimal(12,2), score double precision, active boolean,"
    " born date, seen {datetime}, updated {moment}, attrs {json}, note text, n integer"
)
OWN_TYPES = {
    "postgresql": {"datetime": "timestamp", "moment": "timestamptz", "json": "jsonb"},
    "mariadb": {"datetime": "datetime(6)", "moment": "timestamp(6) NULL", "json": "json"},
    "sqlite": {"datetime": "timestamp", "moment": "timestamp", "json": "text"},
    "duckdb": {"datetime": "timestamp", "moment": "timestamptz", "json": "json"},
}
DIGIT = " UNION ALL ".join(f"SELECT {digit} AS d" for digit in range(10))


def statements(database: str, table: str, rows: int) -> Iterator[str]:
    """What makes the table and its rows."""
    types = TYPES.format_map(OWN_TYPES[database])
    values = COMMON | OWN[database]
    names = [column.split()[0] for column in types.split(", ")]
    yield f"CREATE TABLE {table} ({types})"
    yield f"INSERT INTO {table} SELECT {', '.join(values[name] for name in names)} FROM {_numbers(database, rows)}"


def _numbers(database: str, rows: int) -> str:
    """The numbers 1 to `rows`, as `i`, in the words of the database."""
    if database == "postgresql":
        return f"generate_series(1::bigint, {rows}) AS numbers(i)"
    if database == "duckdb":
        return f"range(1, {rows + 1}) AS numbers(i)"
    if database == "sqlite":
        counted = f"WITH RECURSIVE counted(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM counted LIMIT {rows})"
        return f"({counted} SELECT i FROM counted) AS numbers"
    places = range(len(str(rows)))
    number = " + ".join(f"{10**place} * d{place}.d" for place in places)
    digits = ", ".join(f"({DIGIT}) AS d{place}" for place in places)
    return f"(SELECT 1 + {number} AS i FROM {digits} WHERE {number} < {rows}) AS numbers"


@contextmanager
def _served(database: str, rows: int) -> Iterator[str]:
    """A database of a server, with both tables; dropped when the block ends."""
    server: AbstractContextManager[URL] = {"postgresql": databases.postgresql, "mariadb": databases.mariadb}[database]()
    with server as url, databases.own_database(url) as own:
        if database == "mariadb":
            own.execute(
                "SET time_zone = '+00:00', sql_mode = 'PIPES_AS_CONCAT'",
                *statements(database, "t", rows),
                *statements(database, "few", FEW),
            )
        else:
            own.execute(*statements(database, "t", rows), *statements(database, "few", FEW))
            own.execute("VACUUM ANALYZE")  # or the first to read it would write hint bits for all others
        yield own.address


@contextmanager
def _filed(database: str, path: Path, rows: int) -> Iterator[str]:
    """A database that is a file, gone when the block ends."""
    path.unlink(missing_ok=True)
    try:
        if database == "duckdb":
            pytest.importorskip("duckdb", reason="the extra cio-etl[duckdb] is not installed")
        connect = sqlite3.connect if database == "sqlite" else import_module("duckdb").connect
        with closing(connect(str(path))) as connection:
            for table, count in (("t", rows), ("few", FEW)):
                for statement in statements(database, table, count):
                    connection.execute(statement)
            connection.commit()
        yield f"{database}:///{path}"
    finally:
        path.unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the tables of the benchmark of reading.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--database", action="append", choices=list(OWN), required=True)
    options = parser.parse_args()
    outcome: dict[str, dict[str, str]] = {"addresses": {}, "missing": {}}
    with ExitStack() as stack:
        for database in options.database:
            try:
                if database in ("sqlite", "duckdb"):
                    made = _filed(database, options.folder.absolute() / f"tables.{database}", options.rows)
                else:
                    made = _served(database, options.rows)
                outcome["addresses"][database] = stack.enter_context(made)
            except pytest.skip.Exception as reason:
                outcome["missing"][database] = str(reason)
        print(json.dumps(outcome), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
