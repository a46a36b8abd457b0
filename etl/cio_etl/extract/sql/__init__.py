"""Reads a database: one statement in one read-only transaction, streamed as frames.

dialects.py    the table of databases, and the reader of each
names.py       quotes names, and maps result columns to the names of the mapping
statement.py   table or query, with its parameters, as one SQL text
postgresql.py  PostgreSQL by ADBC
connect_postgresql.py  its address, and its connections, for which the driver's types are kept
mysql.py       MySQL and MariaDB by pymysql
sqlite.py      SQLite by Python's own module
duckdb.py      DuckDB by its own Arrow stream
adbc.py        warehouses that answer in Arrow: Snowflake, BigQuery, Databricks
cursor.py      all others by SQLAlchemy and a server-side cursor
columns.py     Arrow's columns as a frame's
values.py      Python objects as a frame's columns
faults.py      errors of databases as errors of this program
tables.py      which tables a database has, and the key of one
estimate.py    how many rows a statement gives, without reading them
"""

from __future__ import annotations

from cio_etl.errors import SourceError
from cio_etl.extract.sql.dialects import address, database_name, reader_of
from cio_etl.extract.sql.estimate import Estimate, estimate
from cio_etl.extract.sql.tables import primary_key_of, table_names, tables_of, with_tables
from cio_etl.extract.stage import staged
from cio_etl.model import Snapshot, SqlSource, Staging

__all__ = ["Estimate", "database_of", "estimate", "open_sql", "primary_key_of", "table_names", "tables_of"]


def open_sql(source: SqlSource, staging: Staging, chunk_rows: int = 25_000) -> Snapshot:
    """The snapshot of a copy of the database's answer. Raises SourceError, StateError."""
    try:
        return staged(reader_of(source, staging), staging, chunk_rows, source.incremental)
    except SourceError as error:
        if not staging.may_read:
            raise
        raise with_tables(error, source) from None


def database_of(source: SqlSource) -> list[object]:
    """What a watermark of the source belongs to: database, table and column, without user and password."""
    assert source.incremental is not None
    return [database_name(address(source)), source.table, source.incremental.watermark]
