"""Rows of a database: one question in one read-only transaction, streamed as frames.

dialects.py    which databases there are, and what reads each: a table
names.py       how a name is quoted, and comes back
statement.py   table or query, with its parameters, as one SQL text
postgresql.py  PostgreSQL by ADBC
mysql.py       MySQL and MariaDB by pymysql
sqlite.py      SQLite by Python's own module
duckdb.py      DuckDB by its own Arrow stream
adbc.py        warehouses that answer in Arrow: Snowflake, BigQuery, Databricks
cursor.py      all others by SQLAlchemy and a server-side cursor
columns.py     Arrow's columns as a frame's
values.py      Python objects as a frame's columns
faults.py      what a database complains of, in our words
"""

from cio_etl.extract.sql.dialects import reader_of

__all__ = ["reader_of"]
