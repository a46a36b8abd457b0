"""Reads SQLite by Python's own module, from a file that is opened read-only.

SQLite has a type for each value, not for each column, so a column gets the type of its values.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode

import polars as pl
from sqlalchemy import URL

from cio_etl.errors import SourceError, did_you_mean_file
from cio_etl.extract.sql.columns import check_columns
from cio_etl.extract.sql.dialects import Database
from cio_etl.extract.sql.faults import Complaint, complaint_to_error
from cio_etl.extract.sql.names import BACKTICKS
from cio_etl.extract.sql.statement import WATERMARK, required_columns, statement, wanted_columns
from cio_etl.extract.sql.values import ResultColumns
from cio_etl.model import SqlSource, Staging

_WAIT_S = 60.0  # for another process that has locked the file
_OF_URI = ("cache", "immutable", "nolock", "vfs")  # https://www.sqlite.org/uri.html; mode is always ro


class SqliteReader:
    """Reads the rows of one statement. See stage.Reader."""

    loose = True  # a column holds values of any type

    def __init__(self, source: SqlSource, staging: Staging, url: URL, database: Database) -> None:
        self.place = source.place
        self._path = database_file(url, source.place)
        self._uri = _uri(self._path, url, source.place)
        self._wait_s = _seconds(url)
        self._begins_with = database.begins_with
        self._statement = statement(source, staging, database)
        self._wanted = wanted_columns(source, staging)
        self._required = required_columns(source, staging)
        self._watermark = None if source.incremental is None else source.incremental.watermark
        self._connection: sqlite3.Connection | None = None

    @property
    def settings(self) -> object:
        return [f"sqlite {self._path}", self._statement.sql, dict(self._statement.values)]

    def cancel(self) -> None:
        with suppress(sqlite3.Error):  # it may have been closed meanwhile
            if self._connection is not None:
                self._connection.interrupt()

    def frames(self) -> Iterator[pl.DataFrame]:
        with self._reworded():
            self._connection = sqlite3.connect(
                self._uri, uri=True, timeout=self._wait_s, isolation_level=None, check_same_thread=False
            )
            with closing(self._connection) as connection, closing(connection.cursor()) as cursor:
                for setting in self._begins_with:
                    cursor.execute(setting)
                connection.set_authorizer(_allowed)
                self._check_watermark(cursor)
                query, values = self._statement.with_question_marks()
                cursor.execute(query, list(map(_bound, values)))
                if cursor.description is None:
                    raise SourceError("write a select", place=self.place, what="the query gives no rows")
                names = [column[0] for column in cursor.description]
                check_columns(names, self.place)
                yield from ResultColumns(names, self.place, self._wanted, self._required).frames(cursor.fetchmany)

    def _check_watermark(self, cursor: sqlite3.Cursor) -> None:
        """Raises SourceError for numbers in a watermark column of texts: SQLite sorts them before every text.

        The comparison with the watermark would leave them out. Texts in a column of numbers come with the rows.
        """
        if self._watermark is None or not isinstance(self._statement.values.get(WATERMARK), (str, date)):
            return
        everything = replace(self._statement, values={**self._statement.values, WATERMARK: float("-inf")})
        query, values = everything.with_question_marks()
        column = BACKTICKS.quoted(self._watermark)
        is_number = f"typeof({column}) IN ('integer', 'real')"
        numbers = f"SELECT 1 FROM ({query}) WHERE {is_number} LIMIT 1"  # nosec B608 # the job's own query
        if cursor.execute(numbers, list(map(_bound, values))).fetchone():
            raise SourceError(
                "cast it to one type in the query, or make its values of one type",
                place=self.place,
                what=f"the watermark {self._watermark!r} is text in some rows and a number in others, so SQLite would "
                "leave out new rows",
            )

    @contextmanager
    def _reworded(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, sqlite3.Warning, OverflowError, ValueError) as error:
            words = str(error)
            if isinstance(error, sqlite3.OperationalError) and words.startswith("no such"):
                raise complaint_to_error(Complaint("42", words), self.place, "") from None
            remedy, what = next(
                (fault for sign, fault in _FAULTS.items() if sign in words), ("try the query in sqlite3", _FAILED)
            )
            name = getattr(error, "sqlite_errorname", "")
            place = self.place if what in (_FAILED, _SYNTAX) else str(self._path)
            raise SourceError(
                remedy, place=place, what=f"{what} ({name})" if what == _FAILED and name else what
            ) from None


def _allowed(action: int, *_: object) -> int:
    """Refuses `attach`, which would create the file that it names."""
    return sqlite3.SQLITE_DENY if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH) else sqlite3.SQLITE_OK


def _bound(value: Any) -> Any:
    """A parameter as SQLite can hold it: dates as ISO 8601 texts, decimals as floats."""
    if isinstance(value, datetime):
        return value.isoformat(" ")
    return value.isoformat() if isinstance(value, date) else float(value) if isinstance(value, Decimal) else value


_FAILED = "SQLite failed while it was read"
_SYNTAX = "SQLite does not understand the query"
_FAULTS = {  # SQLite's words: the remedy, and the fault
    "syntax error": ("fix the query", _SYNTAX),
    "incomplete input": ("fix the query", _SYNTAX),
    "not a database": ("name a file that sqlite3 can read", "the file is no SQLite database, or an encrypted one"),
    "disk image is malformed": ("run `pragma integrity_check` in sqlite3", "the file is damaged"),
    "unable to open": (
        "let the job's user read the file and write to its folder, or add ?immutable=1 if nobody writes to it",
        "the file cannot be opened",
    ),
    "locked": ("run again when it has ended", "another program has locked the file for too long"),
    "readonly": ("leave a query that only reads", "the query would write, and is run read-only"),
    "not authorized": ("leave a query that only reads this file", "the query would open another file"),
    "interrupted": ("run the same command again", "the query was stopped"),
    "decode": ("fix the text, or select hex(…) of it", "a text in it is not UTF-8"),
}


def database_file(url: URL, place: str) -> Path:
    """The file that the address names. Raises SourceError when it does not exist: it is never created."""
    name = url.database or ""
    if name.startswith("file:"):
        name = unquote(name.removeprefix("file:").partition("?")[0])
    scheme = url.get_backend_name()
    if name in ("", ":memory:"):
        raise SourceError(
            f"write {scheme}:///shop.db, or {scheme}:////data/shop.db with a path from the root",
            place=place,
            what=f"the address {scheme}:// names no file",
        )
    path = Path(name).expanduser().absolute()
    if not path.is_file():
        raise SourceError(did_you_mean_file(str(path)), place=str(path), what="no such file")
    return path


def _uri(path: Path, url: URL, place: str) -> str:
    options = {name: str(value) for name, value in url.query.items()}
    unknown = sorted(set(options) - {*_OF_URI, "mode", "uri", "timeout"})
    if unknown:
        raise SourceError(
            f"there are {', '.join((*_OF_URI, 'timeout'))}",
            place=place,
            what=f"the address has an option {unknown[0]!r}, which SQLite has not",
        )
    query = {name: options[name] for name in _OF_URI if name in options}
    return f"file:{quote(str(path))}?{urlencode({'mode': 'ro', **query})}"


def _seconds(url: URL) -> float:
    try:
        return float(str(url.query.get("timeout", _WAIT_S)))
    except ValueError:
        return _WAIT_S
