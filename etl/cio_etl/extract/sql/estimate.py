"""Estimates how many rows a statement gives: by the planner where counting would read all of them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import closing
from math import prod
from types import MappingProxyType
from typing import Any

from sqlalchemy import URL, create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from cio_etl.errors import EtlError
from cio_etl.extract.sql.dialects import DATABASES, address
from cio_etl.extract.sql.statement import Statement, statement
from cio_etl.model import SqlSource, Staging
from cio_etl.model.records import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """The number of rows of a statement: counted, or the planner's estimate."""

    rows: int
    exact: bool


def estimate(source: SqlSource, staging: Staging) -> Estimate | None:
    """How many rows the next run would read; None when the database cannot tell.

    For a source that was just read: its errors are not reported here.
    """
    try:
        url = address(source)
        ask = _ASKED.get(url.get_backend_name())
        return None if ask is None else ask(url, statement(source, staging, DATABASES[url.get_backend_name()]))
    except (EtlError, SQLAlchemyError, ImportError, OSError, ValueError, LookupError, TypeError):
        return None


def _of_postgresql(url: URL, statement: Statement) -> Estimate | None:
    import adbc_driver_manager

    from cio_etl.extract.sql.connect_postgresql import handle_of, libpq_address
    from cio_etl.extract.sql.postgresql import SETTINGS

    try:
        handle, _ = handle_of(libpq_address(url))
        with closing(handle.connect()) as connection, closing(connection.cursor()) as cursor:
            for setting in SETTINGS:
                cursor.execute(setting)
            cursor.adbc_statement.set_options(**{"adbc.postgresql.use_copy": "false"})  # COPY takes no EXPLAIN
            cursor.execute(f"EXPLAIN (FORMAT JSON) {statement.with_literals()}")
            (plan,) = cursor.fetchone()
    except adbc_driver_manager.Error:
        return None
    return Estimate(int(json.loads(plan)[0]["Plan"]["Plan Rows"]), exact=False)


def _of_mysql(url: URL, statement: Statement) -> Estimate | None:
    from cio_etl.extract.sql.mysql import with_checks

    driver = url.drivername if "+" in url.drivername else f"{url.drivername}+pymysql"
    url, tls = with_checks(url.set(drivername=driver))
    rows = _answered(url, Statement(f"EXPLAIN {statement.sql}", statement.values), tls)
    selects: defaultdict[int, list[int]] = defaultdict(list)
    for row in rows:
        if row["select_type"] in ("SIMPLE", "PRIMARY", "UNION"):  # the others are parts of these
            selects[row["id"]].append(int(row["rows"]) * int(row.get("filtered") or 100) // 100)
    return Estimate(sum(prod(tables) for tables in selects.values()), exact=False)


def _of_sqlite(url: URL, statement: Statement) -> Estimate:
    (row,) = _answered(url, _counting(statement))
    return Estimate(int(row["rows"]), exact=True)


def _of_duckdb(url: URL, statement: Statement) -> Estimate | None:
    import duckdb

    try:
        with duckdb.connect(url.database or "", read_only=True) as connection:
            counted = connection.execute(*_counting(statement).with_question_marks()).fetchone()
    except duckdb.Error:
        return None
    return None if counted is None else Estimate(int(counted[0]), exact=True)


def _counting(statement: Statement) -> Statement:
    text = f"SELECT count(*) AS rows FROM (\n{statement.sql}\n) AS asked"  # nosec B608 # the job's own query
    return Statement(text, statement.values)


def _answered(url: URL, statement: Statement, given: Mapping[str, Any] = MappingProxyType({})) -> list[dict[str, Any]]:
    """The rows of the answer as dictionaries, from a connection that may only read."""
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=dict(given))
    with engine.connect() as connection:
        for begin in DATABASES[url.get_backend_name()].begins_with:
            connection.exec_driver_sql(begin)
        return [dict(row) for row in connection.execute(statement.bound()).mappings()]


_ASKED: dict[str, Callable[[URL, Statement], Estimate | None]] = {
    "postgresql": _of_postgresql,
    "mysql": _of_mysql,
    "mariadb": _of_mysql,
    "sqlite": _of_sqlite,
    "duckdb": _of_duckdb,
}
