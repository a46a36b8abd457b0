"""The database of a state: its transactions, and what all that is stored there needs."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from cio_etl.state.faults import transaction, unusable


class Database:
    """A state's database; what is stored there of each subject is a class upon it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def close(self) -> None:
        self._engine.dispose()

    @property
    def is_shared(self) -> bool:
        """Whether workers on several machines can use it."""
        return self._engine.dialect.name != "sqlite"

    def transaction(self) -> AbstractContextManager[Connection]:
        """A transaction. Raises StateError."""
        return transaction(self._engine)

    def rewrite_file(self) -> None:
        """Writes SQLite's file and its log again, without what was removed: pages that are free still have it."""
        try:
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                for statement in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                    connection.exec_driver_sql(statement)
        except SQLAlchemyError as error:
            raise unusable(self._engine, error) from None


def record_values(record: Any) -> dict[str, Any]:
    """A record's fields as values of the columns of their names."""
    return {field.name: getattr(record, field.name) for field in fields(record)}
