"""The databases that can be read, one record each, and their readers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from importlib import import_module

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from cio_etl.errors import SourceError, install
from cio_etl.extract.sql.names import ANSI, ANSI_CAPITALS, BACKTICKS, BACKTICKS_BACKSLASH, BRACKETS, Names
from cio_etl.extract.stage import Reader
from cio_etl.model import SECRET_OPTIONS, SqlSource, Staging
from cio_etl.model.records import dataclass


@dataclass(frozen=True, slots=True)
class Database:
    """How a database is read: by the reader in a module of `cio_etl.extract.sql`, with these packages."""

    title: str
    address: str  # an example
    module: str
    needs: tuple[str, ...]  # modules of the driver
    extra: str  # of pip; "": nothing to install
    names: Names
    grammar: str  # sqlglot's name of its SQL
    ran: bool = False  # the tests read from a real one
    read_only: bool = True  # it can refuse to write; else a query must be a plain select
    driver: str = ""  # SQLAlchemy's, for an address that names none
    begins_with: tuple[str, ...] = ()  # statements that open a read-only, repeatable-read transaction with UTC
    by_bytes: str = "{}"  # a text column, compared by its bytes, as this program does
    primary_key: str = ""  # a query for its columns, of the table :name in :schema; "": it is not known


_OF_POSTGRESQL = 'CAST({} AS text) COLLATE "C"'

DATABASES: dict[str, Database] = {
    "postgresql": Database(
        "PostgreSQL",
        "postgresql://user:password@host/database",
        "postgresql",
        ("adbc_driver_postgresql",),
        "postgres",
        ANSI,
        "postgres",
        ran=True,
        by_bytes=_OF_POSTGRESQL,
        # not information_schema, which hides the keys of tables that one may only read
        primary_key="""select cast(a.attname as text) from pg_index i join pg_class t on t.oid = i.indrelid
            join pg_namespace n on n.oid = t.relnamespace
            join pg_attribute a on a.attrelid = t.oid and a.attnum = any(i.indkey)
            where i.indisprimary and t.relname = :name
            and case when :schema = '' then pg_table_is_visible(t.oid) else n.nspname = :schema end""",
    ),
    "mysql": Database(
        "MySQL",
        "mysql://user:password@host/database",
        "mysql",
        ("pymysql",),
        "mysql",
        BACKTICKS,
        "mysql",
        read_only=False,  # `drop table` ends a read-only transaction and succeeds
        driver="pymysql",
        begins_with=(
            "SET time_zone = '+00:00'",
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        ),
        by_bytes="CONVERT({} USING utf8mb4) COLLATE utf8mb4_bin",
        primary_key="""select column_name from information_schema.columns
            where column_key = 'PRI' and table_name = :name
            and table_schema = case when :schema = '' then database() else :schema end""",
    ),
    "sqlite": Database(
        "SQLite",
        "sqlite:///shop.db",
        "sqlite",
        (),
        "",
        BACKTICKS,  # an unknown name in "" is read as a text
        "sqlite",
        ran=True,
        begins_with=("PRAGMA query_only = ON", "BEGIN"),
        by_bytes="{} COLLATE BINARY",
        primary_key="select name from pragma_table_info(:name) where pk > 0 and :schema in ('', 'main')",
    ),
    "duckdb": Database(
        "DuckDB",
        "duckdb:///warehouse.duckdb",
        "duckdb",
        ("duckdb",),
        "duckdb",
        ANSI,
        "duckdb",
        ran=True,
        by_bytes="CAST({} AS varchar) COLLATE C",
        primary_key="""select unnest(constraint_column_names) from duckdb_constraints()
            where constraint_type = 'PRIMARY KEY' and table_name = :name
            and schema_name = case when :schema = '' then current_schema() else :schema end""",
    ),
    "snowflake": Database(
        "Snowflake",
        "snowflake://user:password@account/database/schema?warehouse=w&role=r",
        "adbc",
        ("adbc_driver_snowflake",),
        "snowflake",
        ANSI_CAPITALS,
        "snowflake",
        read_only=False,
        begins_with=("ALTER SESSION SET TIMEZONE = 'UTC'",),
    ),
    "bigquery": Database(
        "BigQuery",
        "bigquery://project/dataset?credentials_path=key.json",
        "adbc",
        ("adbc_driver_bigquery",),
        "bigquery",
        BACKTICKS_BACKSLASH,
        "bigquery",
        read_only=False,
    ),
    "databricks": Database(
        "Databricks",
        "databricks://token:token@host?http_path=/sql/1.0/warehouses/w&catalog=c&schema=s",
        "adbc",
        ("databricks.sql", "pyarrow"),
        "databricks",
        BACKTICKS,
        "databricks",
        read_only=False,
        begins_with=("SET TIME ZONE 'UTC'",),
    ),
    "redshift": Database(
        "Redshift",
        "redshift://user:password@host:5439/database",
        "cursor",
        ("sqlalchemy_redshift", "redshift_connector"),
        "redshift",
        ANSI,
        "redshift",
        read_only=False,  # it knows `begin read only` alone, and drivers begin by themselves
        driver="redshift_connector",
        begins_with=("SET TIMEZONE TO 'UTC'",),
    ),
    "mssql": Database(
        "SQL Server",
        "mssql://user:password@host/database",
        "cursor",
        ("pymssql",),
        "mssql",
        BRACKETS,
        "tsql",
        read_only=False,
        driver="pymssql",
        by_bytes="{} COLLATE Latin1_General_100_BIN2",
    ),
    "trino": Database(
        "Trino",
        "trino://user:password@host:443/catalog/schema",
        "cursor",
        ("trino.sqlalchemy",),
        "trino",
        ANSI,
        "trino",
        read_only=False,
    ),
    "cockroachdb": Database(
        "CockroachDB",
        "cockroachdb://user:password@host:26257/database",
        "cursor",
        ("sqlalchemy_cockroachdb", "psycopg"),
        "cockroachdb",
        ANSI,
        "postgres",
        read_only=False,
        driver="psycopg",
        begins_with=("SET TRANSACTION READ ONLY", "SET TIME ZONE 'UTC'"),
        by_bytes=_OF_POSTGRESQL,
    ),
}
DATABASES["mariadb"] = replace(
    DATABASES["mysql"], title="MariaDB", address="mariadb://user:password@host/database", ran=True
)


def reader_of(source: SqlSource, staging: Staging) -> Reader:
    """The reader of the source. Raises SourceError for an invalid address, and for a driver that is not installed."""
    url = address(source)
    database = DATABASES.get(url.get_backend_name())
    if database is None:
        raise SourceError(
            f"there are {', '.join(DATABASES)}",
            place=source.place,
            what=f"no database {url.get_backend_name()!r} is known",
        )
    own_driver = "+" in url.drivername and database.module == "cursor"  # cursor.py checks whether it is installed
    for name in () if own_driver else database.needs:
        try:
            import_module(name)
        except ImportError:
            raise not_installed(source, database) from None
    module = import_module(f"cio_etl.extract.sql.{database.module}")
    reader: Callable[[SqlSource, Staging, URL, Database], Reader] = getattr(
        module, f"{database.module.capitalize()}Reader"
    )
    return reader(source, staging, url, database)


def not_installed(source: SqlSource, database: Database, driver: str = "") -> SourceError:
    """The error for a missing driver."""
    return SourceError(
        install(database.extra) if not driver else "install it, or leave it out of the address",
        place=source.place,
        what=f"the driver {driver + ' ' if driver else ''}for {database.title} is not installed",
    )


def address(source: SqlSource) -> URL:
    """The source's address. Raises SourceError, without showing it, when it cannot be read as one."""
    url = None
    with suppress(ArgumentError, ValueError):
        url = make_url(source.url.get_secret_value())
        if url.get_backend_name() == "postgres":  # the scheme's older name, which many services still give
            url = url.set(drivername=url.drivername.replace("postgres", "postgresql", 1))
    if (
        url is None or not _HOST.fullmatch(url.host or "") or (url.host and "@" in (url.database or ""))
    ):  # of a password
        raise SourceError(
            "write dialect://user:password@host:port/database, with signs in the password as %40 for @",
            place=source.place,
            what="the database's address cannot be read",
        )
    return url


_HOST = re.compile(r"[\w.-]*|[0-9a-fA-F:.]+(%\w+)?")


def who_and_where(url: URL) -> str:
    """A digest of the address without its password, which identifies the source."""
    options = {name: value for name, value in url.query.items() if name.lower() not in SECRET_OPTIONS}
    return hashlib.sha256(str(url.set(password=None, query=options)).encode()).hexdigest()


def database_name(url: URL) -> str:
    """The database in messages: without user, password and options."""
    where = f"{url.host or 'localhost'}{f':{url.port}' if url.port else ''}/" if url.host else ""
    return f"{url.get_backend_name()} {where}{url.database or ''}".strip()


__all__ = ["DATABASES", "Database", "address", "database_name", "not_installed", "reader_of", "who_and_where"]
