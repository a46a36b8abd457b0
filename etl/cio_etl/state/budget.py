"""Slots of one ceiling that all machines share: a row of the database, in the database's time."""

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
    """The schedule of one workspace, by its name. Raises StateError."""

    def __init__(self, where: Where, name: str) -> None:
        self._engine = open_engine(where)
        self._engine.dispose()  # connections of before the listener
        event.listen(self._engine, "connect", _prepare)
        self._asking = self._engine.execution_options(isolation_level="AUTOCOMMIT")  # one statement, one way to go
        self._name = name

    def take(self, count: int, gap_s: float, ahead_s: float) -> float:
        """Takes the next `count` slots, `gap_s` apart, none before `ahead_s` from now; how far the first is from now.

        Seconds, both; what is taken stays taken.
        """
        now = database_now(self._engine)
        free = func.greatest(tables.budget.c.next_at, now + ahead_s)
        row = insert(tables.budget).values(name=self._name, next_at=now + ahead_s + count * gap_s)
        change = row.on_conflict_do_update(index_elements=["name"], set_={"next_at": free + count * gap_s})
        try:
            with self._asking.connect() as connection:
                next_at, at = connection.execute(change.returning(tables.budget.c.next_at, now)).one()
        except SQLAlchemyError as error:
            raise unusable(self._engine, error) from None
        return float(next_at) - count * gap_s - float(at)

    def close(self) -> None:
        self._engine.dispose()


def _prepare(connection: Any, _record: object) -> None:
    connection.execute("SET synchronous_commit = off")  # a schedule that is lost is begun anew
    connection.commit()
