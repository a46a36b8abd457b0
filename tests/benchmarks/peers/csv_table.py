"""Reads a table as people do by hand: the driver's cursor, some thousand rows at a time, into a CSV file."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from sqlalchemy import create_engine, make_url, text

from .table import Asked, asked, parser

ROWS_AT_ONCE = 10_000


def by_sqlalchemy(job: Asked) -> Iterator[Sequence[Any]]:
    engine = create_engine(job.url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        result = connection.execution_options(yield_per=ROWS_AT_ONCE).execute(text(job.query))
        yield list(result.keys())
        yield from result.partitions(ROWS_AT_ONCE)


def by_sqlite3(job: Asked) -> Iterator[Sequence[Any]]:
    with closing(sqlite3.connect(job.url.removeprefix("sqlite:///"))) as connection:
        yield from fetched(connection.execute(job.query))


def by_pymysql(job: Asked) -> Iterator[Sequence[Any]]:
    import pymysql  # type: ignore[import-untyped, unused-ignore]
    from pymysql.cursors import SSCursor  # type: ignore[import-untyped, unused-ignore]

    url = make_url(job.url)
    connection = pymysql.connect(
        host=url.host,
        port=url.port or 3306,
        user=url.username,
        password=url.password or "",
        database=url.database,
        cursorclass=SSCursor,
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(job.query)
        yield from fetched(cursor)


def fetched(cursor: Any) -> Iterator[Sequence[Any]]:
    """The columns' names, then lists of rows."""
    yield [column[0] for column in cursor.description]
    while rows := cursor.fetchmany(ROWS_AT_ONCE):
        yield rows


def main(job: Asked) -> None:
    ways = {"sqlite": by_sqlite3, "mysql": by_pymysql}
    chunks = ways.get(make_url(job.url).get_backend_name(), by_sqlalchemy)(job)
    written = 0
    with (job.folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(next(chunks))
        for rows in chunks:
            writer.writerows(rows)
            written += len(rows)
    print(written)


if __name__ == "__main__":
    main(asked(parser().parse_args()))
