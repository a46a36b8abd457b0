"""Gives the slots of one rate limit to all machines: a row of the database, by the database's clock."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from cio_etl.state import tables
from cio_etl.state.connect import Where, open_engine
from cio_etl.state.faults import unusable
from cio_etl.state.leases import database_now


class Budget:
    """The slots of one workspace, identified by its name. Methods raise StateError."""

    def __init__(self, where: Where, name: str) -> None:
        self._engine = open_engine(where)
        self._engine.dispose()  # connections from before the listener
        event.listen(self._engine, "connect", _prepare)
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")  # one statement, one round trip
        self._name = name

    def take(self, count: int, gap_s: float, ahead_s: float) -> float:
        """Takes the next `count` slots, `gap_s` seconds apart and at least `ahead_s` seconds from now.

        Returns how many seconds from now the first one is. Slots cannot be given back.
        """
        now = database_now(self._engine)
        free = func.greatest(tables.budget.c.next_at, now + ahead_s)
        row = insert(tables.budget).values(name=self._name, next_at=now + ahead_s + count * gap_s)
        change = row.on_conflict_do_update(index_elements=["name"], set_={"next_at": free + count * gap_s})
        try:
            with self._autocommit.connect() as connection:
                next_at, at = connection.execute(change.returning(tables.budget.c.next_at, now)).one()
        except SQLAlchemyError as error:
            raise unusable(self._engine, error) from None
        return float(next_at) - count * gap_s - float(at)

    def close(self) -> None:
        self._engine.dispose()


def _prepare(connection: Any, _record: object) -> None:
    connection.execute("SET synchronous_commit = off")  # after a crash of the server, a new schedule begins
    connection.commit()
