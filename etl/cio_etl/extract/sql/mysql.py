"""Reads MySQL and MariaDB: pymysql connects and asks, mysql_rows.py takes the rows apart, polars parses their texts.

pymysql would make an object of each value, which takes several times as long, and give zero dates as texts among dates.
The server declares the type of each column, so a result without rows has types as well.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import polars as pl
import pymysql  # type: ignore[import-untyped]
from pymysql.constants import FIELD_TYPE, FLAG  # type: ignore[import-untyped]
from pymysql.converters import conversions  # type: ignore[import-untyped]
from pymysql.cursors import SSCursor  # type: ignore[import-untyped]
from sqlalchemy import URL
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql
from sqlalchemy.util import asbool

from cio_etl.errors import ColumnOfBytes, SourceError
from cio_etl.extract.frames import in_query
from cio_etl.extract.sql.columns import check_columns
from cio_etl.extract.sql.dialects import Database, database_name, who_and_where
from cio_etl.extract.sql.faults import Complaint, complaint_to_error
from cio_etl.extract.sql.mysql_rows import Rows, rows_of
from cio_etl.extract.sql.statement import required_columns, statement, wanted_columns
from cio_etl.extract.text_columns import DECIMAL_TEXT, JSON_TEXT
from cio_etl.model import SqlSource, Staging

_CONNECT_S = 15
_DIALECT = MySQLDialect_pymysql()
_ENCODERS = {kind: of for kind, of in conversions.items() if not isinstance(kind, int)}
_BINARY = 63  # the character set of bytes
_INTEGERS = {FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.LONG, FIELD_TYPE.INT24, FIELD_TYPE.LONGLONG, FIELD_TYPE.YEAR}
_TEXTS = {FIELD_TYPE.VARCHAR, *range(FIELD_TYPE.TINY_BLOB, FIELD_TYPE.STRING + 1), FIELD_TYPE.ENUM, FIELD_TYPE.SET}


class MysqlReader:
    """Reads the rows of one statement. See stage.Reader."""

    def __init__(self, source: SqlSource, staging: Staging, url: URL, database: Database) -> None:
        self.place = source.place
        self._shown = database_name(url)
        self._origin = who_and_where(url)
        self._begins_with = database.begins_with
        self._statement = statement(source, staging, database)
        self._wanted = wanted_columns(source, staging)
        self._required = required_columns(source, staging)
        with self._reworded(connected=False):
            self._arguments = arguments(url)
        self._connection: Any = None

    @property
    def settings(self) -> object:
        return [self._origin, self._statement.sql, dict(self._statement.values)]

    def cancel(self) -> None:
        connection = self._connection
        if connection is None:
            return
        arguments = {**self._arguments, "connect_timeout": 3, "read_timeout": 3}
        with suppress(Exception), pymysql.connect(**arguments) as other:
            other.cursor().execute(f"KILL QUERY {connection.thread_id()}")  # the query runs until it sends the next row
        with suppress(Exception):
            connection._sock.shutdown(socket.SHUT_RDWR)

    def frames(self) -> Iterator[pl.DataFrame]:
        with self._reworded(connected=False):
            self._connection = pymysql.connect(**self._arguments)
            if self._connection.charset != "utf8mb4":  # of the address: others have not all characters
                self._connection.set_character_set("utf8mb4")
        with self._reworded(), _cursor_without_draining(self._connection) as cursor:
            for setting in self._begins_with:
                cursor.execute(setting)
            query, values = self._statement.placed(_DIALECT)
            cursor.execute(query, values)
            columns = self._columns(cursor)
            yield pl.DataFrame([column.series(pl.Series(dtype=pl.Binary())) for column in columns])
            for rows in rows_of(self._connection, len(cursor.description)):
                yield _frame(columns, rows, len(cursor.description))

    def _columns(self, cursor: Any) -> list[_Column]:
        """The columns of the result without those of bytes. Raises SourceError when the mapping uses one of bytes."""
        if cursor.description is None:
            raise SourceError("write a select", place=self.place, what="the query gives no rows")
        check_columns([column[0] for column in cursor.description], self.place)
        columns = [_Column(field, number, self.place) for number, field in enumerate(cursor._result.fields)]
        for column in columns:
            column.is_wanted = self._wanted is None or column.name in self._wanted
            if column.read is None and column.name in self._required:
                raise ColumnOfBytes(self._required[column.name], place=self.place, column=column.name)
        readable = [column for column in columns if column.read is not None]
        if not readable:
            raise SourceError("ask for some", place=self.place, what="no column that has a JSON form")
        return readable

    @contextmanager
    def _reworded(self, connected: bool = True) -> Iterator[None]:
        try:
            yield
        except (pymysql.MySQLError, RuntimeError, OSError, ValueError, TypeError) as error:
            code, *words = error.args if isinstance(error, pymysql.MySQLError) and error.args else ("", str(error))
            complaint = Complaint(str(code) if code else "", str(words[0]) if words else "", connected)
            raise complaint_to_error(complaint, self.place, self._shown) from None


def arguments(url: URL) -> dict[str, Any]:
    """The arguments of the connection: the address and its options in SQLAlchemy's form."""
    url, tls = with_checks(url)
    _, given = _DIALECT.create_connect_args(url)
    ours = {"connect_timeout": _CONNECT_S, "charset": "utf8mb4"}
    return {
        **ours,
        **given,
        **tls,
        "conv": _ENCODERS,
        "cursorclass": SSCursor,
        "autocommit": True,
        "local_infile": False,
    }


def with_checks(url: URL) -> tuple[URL, dict[str, Any]]:
    """The address without its options of TLS, and the context that they ask for; without `ssl_verify_…`, as it is.

    SQLAlchemy hands `ssl_ca` on in a dictionary, which the driver drops where one of these options is given.
    """
    checks = [asbool(url.query.get(f"ssl_verify_{what}", False)) for what in ("cert", "identity")]
    tls = {name[4:]: str(value) for name, value in url.query.items() if name.startswith("ssl_")}
    if not any(name.startswith("verify_") for name in tls):
        return url, {}
    context = ssl.create_default_context(cafile=tls.get("ca"), capath=tls.get("capath"))
    context.check_hostname = checks[1]
    context.verify_mode = ssl.CERT_REQUIRED if any(checks) else ssl.CERT_NONE
    if "cert" in tls:
        context.load_cert_chain(tls["cert"], tls.get("key"), tls.get("key_password"))
    if "cipher" in tls:
        context.set_ciphers(tls["cipher"])
    return url.difference_update_query([f"ssl_{name}" for name in tls]), {"ssl": context}


@contextmanager
def _cursor_without_draining(connection: Any) -> Iterator[Any]:
    """A cursor of the connection. A proper close would read all remaining rows, which takes seconds per million."""
    cursor = connection.cursor()
    try:
        yield cursor
    finally:
        for result in (cursor._result, connection._result):
            if result is not None:
                result.unbuffered_active = False  # its finaliser would read the rest
        connection._force_close()


class _Column:
    """One column of a result: its declaration by the server, and how its texts become values."""

    def __init__(self, field: Any, number: int, place: str) -> None:
        self.name: str = field.name
        self.number = number
        self.place = place
        self.is_wanted = True
        self.read = _reading(field)
        self.is_bytes = field.type_code == FIELD_TYPE.BIT

    def series(self, values: pl.Series) -> pl.Series:
        assert self.read is not None
        given = (values if self.is_bytes else _texts(values)).alias(self.name)
        series = self.read(given)
        if self.is_wanted and series.null_count() != given.null_count() and series.dtype.is_temporal():
            written = in_query(self.name, "`")
            raise SourceError(
                f"write nullif({written}, 0) as {written} in a query",
                place=self.place,
                what=f"column {self.name!r} has invalid dates, as 0000-00-00",
            )
        return series


def _frame(columns: Sequence[_Column], rows: Rows, count: int) -> pl.DataFrame:
    of_number = {column.number: column for column in columns}
    return pl.DataFrame(
        [
            of_number[number].series(rows.values(*found))
            for number, found in enumerate(rows.columns(count))
            if number in of_number
        ]
    )


def _texts(values: pl.Series) -> pl.Series:
    """The values as texts. Raises ValueError, which does not show them, when they are no UTF-8."""
    try:
        return values.cast(pl.String())
    except pl.exceptions.PolarsError:
        raise ValueError("a text is no UTF-8") from None


def _apart(texts: pl.Series) -> pl.Series:
    """A copy of the texts alone: they are views, which would keep all bytes of their rows in memory."""
    return pl.Series(texts.name, texts.to_arrow(compat_level=pl.CompatLevel.oldest()))


_Reading = Callable[[pl.Series], pl.Series]


def _reading(field: Any) -> _Reading | None:
    """How a column's texts become values; None for bytes."""
    kind, unsigned = field.type_code, bool(field.flags & FLAG.UNSIGNED)
    if kind in (FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL):
        digits = field.length - (field.scale > 0) - (not unsigned)
        return _cast(pl.Decimal(38, field.scale)) if digits <= 38 else _typed_texts(DECIMAL_TEXT)
    if kind == FIELD_TYPE.TINY and field.length == 1 and not unsigned:
        return _truth
    if kind in _INTEGERS:
        return _cast(pl.UInt64() if unsigned and kind == FIELD_TYPE.LONGLONG else pl.Int64())
    if kind in (FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE):
        return _cast(pl.Float64())
    if kind in (FIELD_TYPE.DATE, FIELD_TYPE.NEWDATE):
        return lambda texts: texts.str.to_date("%Y-%m-%d", strict=False)
    if kind == FIELD_TYPE.DATETIME:
        return _time
    if kind == FIELD_TYPE.TIMESTAMP:
        return lambda texts: _time(texts).dt.replace_time_zone("UTC")  # the session's zone
    if kind == FIELD_TYPE.JSON:
        return lambda texts: _typed_texts(JSON_TEXT)(texts.set(texts == "null", None))  # JSON's own null
    if kind == FIELD_TYPE.BIT:
        return _bit if field.length == 1 else _bits
    if kind == FIELD_TYPE.NULL:
        return _cast(pl.Null())
    if kind == FIELD_TYPE.TIME or (kind in _TEXTS and field.charsetnr != _BINARY):
        return _apart
    return None


def _cast(dtype: pl.DataType) -> _Reading:
    return lambda texts: texts.cast(dtype)


def _typed_texts(dtype: pl.Struct) -> _Reading:
    return lambda texts: _apart(texts).to_frame(dtype.fields[0].name).to_struct(texts.name)


def _time(texts: pl.Series) -> pl.Series:
    return texts.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)


def _truth(texts: pl.Series) -> pl.Series:
    """A tinyint(1), which declares a boolean; numbers if it has values other than 0 and 1."""
    numbers = texts.cast(pl.Int64)
    return numbers.cast(pl.Boolean) if numbers.is_between(0, 1).all() else numbers


def _bit(values: pl.Series) -> pl.Series:
    return values.bin.encode("hex") == "01"


def _bits(values: pl.Series) -> pl.Series:
    return values.bin.encode("hex").str.to_integer(base=16, dtype=pl.UInt64)
