"""Statements that SQLite's engines of one process share: a state that is opened compiles none that another one has.

Each state has an engine of its own, and to compile the statements of a run takes a fifth of a small run's CPU time.
SQLAlchemy finds a compiled statement by the dialect and the statement's structure.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Compiled
from sqlalchemy.dialects import registry as dialects
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

DRIVER = "sqlite+cio_etl"  # of an address whose engine has this dialect
LIMIT = 500  # statements, as of an engine; the program has some 60, and some more by what is asked for


class SharedDialect(SQLiteDialect_pysqlite):
    """SQLAlchemy's dialect of SQLite. Two are equal: both compile a statement to the same text."""

    supports_statement_cache = True  # SQLAlchemy looks for it in each class itself

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))


class Statements(dict[Any, Compiled]):
    """Compiled statements; all are forgotten when they become too many."""

    def __setitem__(self, key: Any, compiled: Compiled) -> None:
        if len(self) >= LIMIT:
            self.clear()
        super().__setitem__(key, compiled)


COMPILED = Statements()
dialects.register(DRIVER.replace("+", "."), __name__, SharedDialect.__name__)
