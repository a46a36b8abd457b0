"""Reads a table of PostgreSQL through ADBC, alone (`--drain`) or into Parquet by pyarrow."""

from __future__ import annotations

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa

from .table import Asked, asked, parser, write_parquet


def main(job: Asked, drain: bool) -> None:
    with adbc.connect(job.url) as connection, connection.cursor() as cursor:
        cursor.execute(job.query)
        batches = cursor.fetch_record_batch()
        if drain:
            print(sum(batch.num_rows for batch in batches))
            return
        print(write_parquet(map(plain, batches), plain_schema(batches.schema), job.folder))


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The schema without extension types, since Parquet has no form for some of them (numeric)."""
    return pa.schema([pa.field(f.name, getattr(f.type, "storage_type", f.type)) for f in schema])


def plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [getattr(column, "storage", column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, schema=plain_schema(batch.schema))


if __name__ == "__main__":
    arguments = parser()
    arguments.add_argument("--drain", action="store_true")
    given = arguments.parse_args()
    main(asked(given), given.drain)
