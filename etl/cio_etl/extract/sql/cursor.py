"""Reads any other database by its SQLAlchemy dialect, with a server-side cursor if it has one.

Each value becomes a Python object, so this is slower than the readers for one database.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from importlib import import_module

import polars as pl
from sqlalchemy import URL, Connection, NullPool, create_engine
from sqlalchemy.exc import DBAPIError, NoSuchModuleError

from cio_etl.errors import SourceError
from cio_etl.extract.sql.columns import check_columns
from cio_etl.extract.sql.dialects import Database, database_name, not_installed, who_and_where
from cio_etl.extract.sql.faults import Complaint, reworded
from cio_etl.extract.sql.statement import required_columns, statement, wanted_columns
from cio_etl.extract.sql.values import ResultColumns
from cio_etl.model import SqlSource, Staging


class CursorReader:
    """Reads the rows of one statement. See stage.Reader."""

    def __init__(self, source: SqlSource, staging: Staging, url: URL, database: Database) -> None:
        self.place = source.place
        self._url = with_driver(url, database)
        self._shown = database_name(url)
        self._origin = who_and_where(url)
        self._names = database.names
        self._begins_with = database.begins_with
        self._statement = statement(source, staging, database)
        self._wanted = wanted_columns(source, staging)
        self._required = required_columns(source, staging)
        self._connection: Connection | None = None
        try:
            self._url.get_dialect().import_dbapi()
        except (ImportError, NoSuchModuleError):
            raise not_installed(
                source, database, self._url.get_driver_name() if "+" in url.drivername else ""
            ) from None

    @property
    def settings(self) -> object:
        return [self._origin, self._statement.sql, dict(self._statement.values)]

    def cancel(self) -> None:
        with suppress(Exception):  # most drivers can cancel, but perhaps not at this moment
            if self._connection is not None:
                getattr(self._connection.connection.driver_connection, "cancel")()  # noqa: B009  # not of every type

    def frames(self) -> Iterator[pl.DataFrame]:
        with self._reworded(connected=False):
            engine = create_engine(self._url, poolclass=NullPool, hide_parameters=True)
            self._connection = engine.connect()
        with self._reworded(), self._connection as connection:
            for setting in self._begins_with:
                connection.exec_driver_sql(setting)
            result = connection.execute(self._statement.bound(), execution_options={"stream_results": True})
            if not result.returns_rows:
                raise SourceError("write a select", place=self.place, what="the query gives no rows")
            names = self._names.as_written(list(result.keys()), self._wanted or ())
            check_columns(names, self.place)
            yield from ResultColumns(names, self.place, self._wanted, self._required).frames(result.fetchmany)

    def _reworded(self, connected: bool = True) -> AbstractContextManager[None]:
        return reworded(self.place, self._shown, lambda error: _complaint(error, connected))


def with_driver(url: URL, database: Database) -> URL:
    """The address with the database's driver, unless it names one; the driver's dialect is registered afterwards."""
    with suppress(ImportError):
        for name in database.needs:
            import_module(name)  # some register their dialect when they are imported
    if "+" in url.drivername or not database.driver:
        return url
    return url.set(drivername=f"{url.drivername}+{database.driver}")


def _complaint(error: Exception, connected: bool) -> Complaint:
    """The driver's error with its SQLSTATE, or with its number if it has none."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    code = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    if not code and cause.args and isinstance(cause.args[0], int):
        code = cause.args[0]
    return Complaint(str(code or ""), str(cause), connected)
