"""Reads warehouses that answer in Arrow: by ADBC, or by a driver that gives Arrow tables.

A function below connects to each. None has been run against a real account; see `Database.ran`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, suppress
from importlib import import_module
from typing import Any

import polars as pl
import pyarrow as pa
from sqlalchemy import URL

from cio_etl.errors import SourceError
from cio_etl.extract.sql.columns import check_columns, unquoted_frames
from cio_etl.extract.sql.dialects import Database, database_name, who_and_where
from cio_etl.extract.sql.faults import Complaint, reworded
from cio_etl.extract.sql.statement import Statement, required_columns, statement, wanted_columns
from cio_etl.model import SqlSource, Staging
from cio_etl.model.records import dataclass

_ROWS = 25_000
_JSON_KINDS = (b"VARIANT", b"OBJECT", b"ARRAY", b"JSON")  # of Snowflake's logicalType, and BigQuery's Type


@dataclass(frozen=True, slots=True)
class Warehouse:
    """How a warehouse is connected to, and how a statement is given to it."""

    connect: Callable[[URL], Any]
    options: Callable[[URL], Mapping[str, str]]  # of an address; raises ValueError with the name of an unknown one
    query: Callable[[Statement], tuple[str, Mapping[str, Any] | None]]


class AdbcReader:
    """Reads the rows of one statement. See stage.Reader."""

    def __init__(self, source: SqlSource, staging: Staging, url: URL, database: Database) -> None:
        self.place = source.place
        self._shown = database_name(url)
        self._origin = who_and_where(url)
        self._url = url
        self._names = database.names
        self._begins_with = database.begins_with
        self._warehouse = WAREHOUSES[url.get_backend_name()]
        self._statement = statement(source, staging, database)
        self._wanted = wanted_columns(source, staging)
        self._required = required_columns(source, staging)
        self._cursor: Any = None
        try:
            self._warehouse.options(url)
        except ValueError as unknown:
            raise SourceError(
                f"write it as {database.address}",
                place=source.place,
                what=f"the address of {database.title} has {unknown}",
            ) from None

    @property
    def settings(self) -> object:
        return [self._origin, self._statement.sql, dict(self._statement.values)]

    def cancel(self) -> None:
        with suppress(Exception):  # it may have been closed meanwhile
            if self._cursor is not None:
                getattr(self._cursor, "adbc_cancel", self._cursor.cancel)()

    def frames(self) -> Iterator[pl.DataFrame]:
        with self._reworded(connected=False):
            connection = self._warehouse.connect(self._url)
        with self._reworded(), closing(connection), closing(connection.cursor()) as cursor:
            self._cursor = cursor
            for setting in self._begins_with:
                cursor.execute(setting)
            query, values = self._warehouse.query(self._statement)
            cursor.execute(query, values)
            schema, batches = _answer(cursor)
            names = self._names.as_written(schema.names, self._wanted or ())
            check_columns(names, self.place)
            typed = pa.schema([_with_json_type(name, field) for name, field in zip(names, schema, strict=True)])
            yield from unquoted_frames(typed, _as(typed, batches), self.place, self._required)

    def _reworded(self, connected: bool = True) -> AbstractContextManager[None]:
        def complaint(error: Exception) -> Complaint:
            return Complaint(getattr(error, "sqlstate", None) or "", str(error), connected)

        return reworded(self.place, self._shown, complaint)


def _answer(cursor: Any) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The result's columns and batches, by either kind of driver."""
    if hasattr(cursor, "fetch_record_batch"):
        reader = cursor.fetch_record_batch()
        return reader.schema, reader
    first = cursor.fetchmany_arrow(_ROWS)

    def batches() -> Iterator[pa.RecordBatch]:
        table = first
        while table.num_rows:
            yield from table.to_batches()
            table = cursor.fetchmany_arrow(_ROWS)

    return first.schema, batches()


def _with_json_type(name: str, field: pa.Field) -> pa.Field:
    """The column under its name; a text column that holds JSON gets the type JSON."""
    metadata: Mapping[bytes, bytes] = field.metadata or {}
    is_json = pa.types.is_string(field.type) and metadata.get(b"logicalType", metadata.get(b"Type")) in _JSON_KINDS
    return pa.field(name, pa.json_(pa.string()) if is_json else field.type)


def _as(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        columns = [
            pa.ExtensionArray.from_storage(field.type, column) if field.type != column.type else column
            for field, column in zip(schema, batch.columns, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


# ---------------------------------------------------------------- connections

_SNOWFLAKE = "adbc.snowflake.sql."
_SNOWFLAKE_OPTIONS = {
    "warehouse": f"{_SNOWFLAKE}warehouse",
    "role": f"{_SNOWFLAKE}role",
    "token": f"{_SNOWFLAKE}client_option.auth_token",
    "private_key_file": f"{_SNOWFLAKE}client_option.jwt_private_key",
    "host": f"{_SNOWFLAKE}uri.host",
}
_SNOWFLAKE_WAYS = {  # snowflake-sqlalchemy's `authenticator`
    "snowflake": "auth_snowflake",
    "oauth": "auth_oauth",
    "snowflake_jwt": "auth_jwt",
    "programmatic_access_token": "auth_pat",  # nosec B105 # a name
    "externalbrowser": "auth_ext_browser",
}
_BIGQUERY = "adbc.bigquery.sql."


def _snowflake(url: URL) -> Mapping[str, str]:
    database, _, schema = (url.database or "").partition("/")
    way = "snowflake_jwt" if "private_key_file" in url.query else "oauth" if "token" in url.query else "snowflake"
    way = str(url.query.get("authenticator", way)).lower()
    given = {
        f"{_SNOWFLAKE}account": url.host,
        "username": url.username,
        "password": url.password,
        f"{_SNOWFLAKE}db": database,
        f"{_SNOWFLAKE}schema": schema,
        f"{_SNOWFLAKE}auth_type": _SNOWFLAKE_WAYS.get(way, ""),
        f"{_SNOWFLAKE}client_option.login_timeout": "30s",
        f"{_SNOWFLAKE}client_option.max_timestamp_precision": "microseconds",  # with nanoseconds, years end in 2262
        f"{_SNOWFLAKE}client_option.use_high_precision": "true",  # decimals, not floats
    }
    if way not in _SNOWFLAKE_WAYS:
        raise ValueError(f"no authenticator {way!r}; there are {', '.join(_SNOWFLAKE_WAYS)}")
    return {**_known(given), **_options(url, _SNOWFLAKE_OPTIONS, {"authenticator"})}


def _bigquery(url: URL) -> Mapping[str, str]:
    options = _options(url, {"credentials_path": f"{_BIGQUERY}auth_credentials", "location": f"{_BIGQUERY}location"})
    by_file = f"{_BIGQUERY}auth_credentials" in options
    given = {
        f"{_BIGQUERY}project_id": url.host,
        f"{_BIGQUERY}dataset_id": url.database,
        f"{_BIGQUERY}auth_type": f"{_BIGQUERY}auth_type.{'json_credential_file' if by_file else 'auth_bigquery'}",
    }
    return {**_known(given), **options}


def _databricks(url: URL) -> Mapping[str, str]:
    given = {"server_hostname": url.host, "access_token": url.password}
    known = {**_known(given), **_options(url, {name: name for name in ("http_path", "catalog", "schema")})}
    if missing := sorted({"server_hostname", "access_token", "http_path"} - known.keys()):
        raise ValueError(f"no {missing[0]}")
    return known


def _known(given: Mapping[str, str | None]) -> dict[str, str]:
    return {name: str(value) for name, value in given.items() if value}


def _options(url: URL, known: Mapping[str, str], others: set[str] | frozenset[str] = frozenset()) -> dict[str, str]:
    """The address's options by the driver's names. Raises ValueError for one that is not known."""
    if unknown := sorted(url.query.keys() - known.keys() - others):
        raise ValueError(f"an option {unknown[0]!r}; there are {', '.join(sorted({*known, *others}))}")
    return {known[name]: str(value) for name, value in url.query.items() if name in known}


def _by_adbc(module: str, options: Callable[[URL], Mapping[str, str]]) -> Callable[[URL], Any]:
    return lambda url: import_module(f"{module}.dbapi").connect(db_kwargs=dict(options(url)), autocommit=True)


def _literals(statement: Statement) -> tuple[str, None]:
    """These databases read a backslash in a text as an escape."""
    return statement.with_literals(backslashes=True), None


def _named(statement: Statement) -> tuple[str, Mapping[str, Any] | None]:
    return statement.named(), dict(statement.values) or None


WAREHOUSES = {
    "snowflake": Warehouse(_by_adbc("adbc_driver_snowflake", _snowflake), _snowflake, _literals),
    "bigquery": Warehouse(_by_adbc("adbc_driver_bigquery", _bigquery), _bigquery, _literals),
    "databricks": Warehouse(
        lambda url: import_module("databricks.sql").connect(**_databricks(url)), _databricks, _named
    ),
}
