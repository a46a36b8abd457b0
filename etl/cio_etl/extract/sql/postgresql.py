"""Reads PostgreSQL by ADBC: COPY's binary stream becomes Arrow, without a Python object per value.

The types that ADBC hands over as bytes of PostgreSQL's own (enums, domains over them, network addresses, intervals …)
are cast to text by the server, arrays of these and composites to JSON. ADBC streams only statements without parameters,
so the values are written into the text.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import Any

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as adbc
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import URL

from cio_etl.errors import SourceError
from cio_etl.extract.frames import in_query
from cio_etl.extract.sql.columns import check_columns, has_one_of, unquoted_frames
from cio_etl.extract.sql.connect_postgresql import handle_of, libpq_address
from cio_etl.extract.sql.dialects import Database, database_name, who_and_where
from cio_etl.extract.sql.faults import Complaint, complaint_to_error
from cio_etl.extract.sql.statement import required_columns, statement, wanted_columns
from cio_etl.model import SqlSource, Staging

_BATCH_BYTES = 4_000_000
SETTINGS = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    "SET LOCAL TIME ZONE 'UTC'",
    "SET LOCAL standard_conforming_strings = on",  # what the literals in the statement are written for
)
_AS_TEXT = {"time", "bpchar"}  # JSON has no times of day; only as text does a char(n) end where its value does
_AS_JSON = {"hstore", "record"}
_UNNAMED = re.compile(r"unnamed<oid:(\d+)>")

# PostgreSQL's ±infinity as ADBC gives it: the ends of its own range, moved from its epoch (2000) to ours, and wrapped.
_INFINITE_DAYS = pa.array([-(2**31) + 10_956, -(2**31) + 10_957], pa.int32())
_INFINITE_US = pa.array([-(2**63) + 946_684_799_999_999, -(2**63) + 946_684_800_000_000], pa.int64())


class PostgresqlReader:
    """Reads the rows of one statement. See stage.Reader."""

    def __init__(self, source: SqlSource, staging: Staging, url: URL, database: Database) -> None:
        self.place = source.place
        self._database = database_name(url)
        self._uri = libpq_address(url)
        self._origin = who_and_where(url)
        self._statement = statement(source, staging, database)
        self._wanted = wanted_columns(source, staging)
        self._required = required_columns(source, staging)
        self._connection: adbc.Connection | None = None
        self._closing = threading.Lock()  # protects the connection from being cancelled while it ends

    @property
    def settings(self) -> object:
        return [self._origin, self._statement.sql, dict(self._statement.values)]

    def cancel(self) -> None:
        with self._closing, suppress(adbc_driver_manager.Error):  # it may have ended meanwhile
            if self._connection is not None:
                self._connection.adbc_cancel()

    def frames(self) -> Iterator[pl.DataFrame]:
        query = self._statement.with_literals()
        if "\0" in query:  # the driver would end the statement there
            raise SourceError("leave it out", place=self.place, what="the query or a parameter has a NUL sign in it")
        with self._asked(query) as (cursor, answer):
            columns, lists = self._columns(cursor, answer)
            cursor.execute(_readable(query, columns, lists))
            with closing(_batches(cursor)) as batches:
                schema = pa.schema(list(batches.schema)[: len(columns)])
                checked = _checked(batches, schema, lists, self.place, self._wanted)
                yield from unquoted_frames(schema, checked, self.place, self._required)

    @contextmanager
    def _asked(self, query: str) -> Iterator[tuple[Any, pa.Schema]]:
        """A cursor in a transaction that only reads, and the columns that the query's answer will have.

        A kept handle does not know types that are younger than it is: for these the driver reads all types again.
        """
        with self._reworded(connected=False):
            handle, is_new = handle_of(self._uri)
        with self._connected(handle.connect) as cursor:
            schema = cursor.adbc_execute_schema(query)
            if handle.is_of(cursor) and (is_new or not _unnamed(schema)):
                yield cursor, schema
                return
        with self._connected(partial(adbc.connect, self._uri)) as cursor:
            yield cursor, cursor.adbc_execute_schema(query)

    @contextmanager
    def _connected(self, connect: Callable[[], adbc.Connection]) -> Iterator[Any]:
        with self._reworded(connected=False):
            connection = connect()
        self._connection = connection
        try:
            with self._reworded(), closing(connection.cursor()) as cursor:
                cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(_BATCH_BYTES)})
                for setting in SETTINGS:
                    cursor.execute(setting)
                yield cursor
        finally:
            with self._closing, self._reworded():
                self._connection = None
                connection.close()

    def _columns(self, cursor: Any, schema: pa.Schema) -> tuple[dict[str, str], list[str]]:
        """The SQL expression of each column, and the names of the columns that are lists."""
        check_columns(schema.names, self.place)
        types = {field.name: _server_type(field) for field in schema}
        categories = _categories(cursor, _unnamed(schema))
        columns = {field.name: _read_as(field, types[field.name], categories) for field in schema}
        lists = [field.name for field in schema if columns[field.name] == _quoted(field.name) and _is_list(field.type)]
        return columns, lists

    @contextmanager
    def _reworded(self, connected: bool = True) -> Iterator[None]:
        try:
            yield
        except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
            details = {_text(key): _text(value) for key, value in getattr(error, "details", None) or ()}
            words = details.get("PG_DIAG_MESSAGE_PRIMARY") or str(error)
            code = getattr(error, "sqlstate", None) or ""
            raise complaint_to_error(Complaint(code, words, connected), self.place, self._database) from None


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _server_type(field: pa.Field) -> str:
    metadata: dict[bytes, bytes] = field.metadata or {}
    return metadata.get(b"POSTGRESQL:type", b"").decode()


def _unnamed(schema: pa.Schema) -> set[str]:
    """The numbers of the types that the driver does not know."""
    return {match[1] for field in schema if (match := _UNNAMED.fullmatch(_server_type(field)))}


def _categories(cursor: Any, oids: set[str]) -> dict[str, str]:
    """The category of types that ADBC does not know: E enum, C composite, A array, R range, U of an extension."""
    if not oids:
        return {}
    numbers = ", ".join(sorted(oids))  # which the driver has from the server
    cursor.execute(f"SELECT oid::text, typcategory::text FROM pg_type WHERE oid IN ({numbers})")  # nosec B608
    return dict(cursor.fetchall())


def _read_as(field: pa.Field, kind: str, categories: dict[str, str]) -> str:
    """The SQL expression that gives the column in a form that ADBC can read."""
    name = _quoted(field.name)
    unnamed = _UNNAMED.fullmatch(kind)
    if kind == "money":
        return f"{name}::numeric AS {name}"  # ADBC gives the smallest unit, whose size depends on the server
    if kind == "inet":
        return f"to_json({name}) #>> '{{}}' AS {name}"  # as text it would have a /32
    if kind == "oid":
        return f"{name}::bigint AS {name}"  # ADBC's 32 bits have a sign
    if (
        (unnamed and categories.get(unnamed[1]) in ("A", "C"))
        or kind in _AS_JSON
        or pa.types.is_struct(field.type)
        or (_is_list(field.type) and not _is_plain(field.type.value_type))
    ):
        return f"to_json({name}) AS {name}"
    if kind in _AS_TEXT or (not _is_list(field.type) and not _is_plain(field.type)):
        return f"{name}::text AS {name}" if kind not in ("numeric", "json", "jsonb", "uuid") else name
    return name


def _is_list(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_list(dtype))


def _is_plain(dtype: pa.DataType) -> bool:
    """Whether a frame can hold ADBC's form: not an extension, an interval, a struct or a time of day."""
    return not (
        isinstance(dtype, pa.BaseExtensionType)
        or any(is_(dtype) for is_ in (pa.types.is_interval, pa.types.is_nested, pa.types.is_time))
    )


def _readable(query: str, columns: dict[str, str], lists: Sequence[str]) -> str:
    """The statement, wrapped in casts where ADBC cannot read a type. After the columns stands a boolean for each list:
    whether it is a list of lists, of which ADBC would give all elements as one flat list."""
    if not lists and all(read == _quoted(name) for name, read in columns.items()):
        return f"{query}\n"  # it may end with a comment, and the driver puts a bracket behind it
    nested = [
        f"coalesce(array_ndims({_quoted(name)}) > 1, false) AS {_quoted(f'nested {place}')}"
        for place, name in enumerate(lists)
    ]
    read = ", ".join([*columns.values(), *nested])
    return f"SELECT {read} FROM (\n{query}\n) AS asked"  # nosec B608 # the job's own query


def _batches(cursor: Any) -> Any:
    """The cursor's reader whose errors have a code; the reader of `fetch_record_batch` loses it."""
    results = getattr(cursor, "_results", None)
    return getattr(results, "reader", None) or cursor.fetch_record_batch()


def _checked(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    lists: Sequence[str],
    place: str,
    wanted: Collection[str] | None,
) -> Iterator[pa.RecordBatch]:
    """The batches with the columns of `schema`; infinite dates in unmapped columns become null.

    Raises SourceError for a wanted column with an infinite date or a list of lists.
    """
    for batch in batches:
        columns = dict(zip(schema.names, batch.columns[: len(schema)], strict=True))
        nested = dict(zip(lists, batch.columns[len(schema) :], strict=True))
        for name, column in columns.items():
            if name in nested and pc.any(nested[name]).as_py():
                what, written = "lists of lists", f"to_json({in_query(name)})"
            elif _has_infinity(column):
                what = "an infinite date, which is no moment"
                written = _finite(in_query(name), is_list=_is_list(column.type))
            else:
                continue
            if wanted is None or name in wanted:
                remedy = f"write {written} as {in_query(name)} in the query"
                raise SourceError(remedy, place=place, what=f"column {name!r} holds {what}")
            columns[name] = pa.nulls(len(column), column.type)
        yield pa.RecordBatch.from_arrays(list(columns.values()), schema=schema)


def _finite(name: str, *, is_list: bool) -> str:
    """The SQL expression of a column without its infinite dates and times."""
    if is_list:
        return f"array_remove(array_remove({name}, 'infinity'), '-infinity')"
    return f"case when isfinite({name}) then {name} end"


def _has_infinity(column: pa.Array) -> bool:
    """Whether a date or time, or one in a list, is PostgreSQL's infinity."""
    values = column.flatten() if _is_list(column.type) else column
    return has_one_of(values, _INFINITE_DAYS, _INFINITE_US)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
