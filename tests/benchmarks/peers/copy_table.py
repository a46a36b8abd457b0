"""Reads a table as fast as its database gives it: PostgreSQL's COPY, discarded; DuckDB's own COPY, to Parquet."""

from __future__ import annotations

import sys

from .table import Asked, asked, parser


def postgresql(job: Asked) -> int:
    import psycopg  # type: ignore[import-not-found, unused-ignore]  # installed in the peers' environment only

    with psycopg.connect(job.url) as connection, connection.cursor() as cursor:
        with cursor.copy(f"copy ({job.query}) to stdout") as copy:
            for _ in copy:
                pass
        return int(cursor.rowcount)


def duckdb(job: Asked) -> int:
    import duckdb as engine

    with engine.connect(job.url.removeprefix("duckdb:///"), read_only=True) as connection:
        path = str(job.folder / "rows.parquet")
        told = connection.execute(f"copy ({job.query}) to '{path}' (format parquet, compression zstd)").fetchone()
        return int(told[0]) if told else 0


if __name__ == "__main__":
    job = asked(parser().parse_args())
    print(getattr(sys.modules[__name__], job.url.partition(":")[0])(job))
