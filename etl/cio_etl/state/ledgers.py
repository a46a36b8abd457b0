"""Stores which generation of each step's ledger is the current one."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, insert, select

from cio_etl.model.records import dataclass
from cio_etl.state import tables
from cio_etl.state.database import Database, record_values


@dataclass(frozen=True, slots=True)
class LedgerMove:
    """The generation of a step's ledger after a run; its files are on the disk."""

    job: str
    step: str
    generation: str
    run_id: str


# Statements of each run, built once: to build one takes several times as long as to execute it.
_THIS = (tables.ledger.c.job == bindparam("of_job"), tables.ledger.c.step == bindparam("of_step"))
_GENERATION = select(tables.ledger.c.generation).where(*_THIS)
_DELETE, _INSERT = delete(tables.ledger).where(*_THIS), insert(tables.ledger)


class Ledgers(Database):
    """The ledgers of all jobs: a part of the state."""

    def ledger(self, job: str, step: str) -> str | None:
        """The current generation of a step's ledger, as text; None: there is none."""
        with self.transaction() as connection:
            return connection.scalar(_GENERATION, {"of_job": job, "of_step": step})

    def ledgers(self, job: str) -> dict[str, LedgerMove]:
        """The current generation of each ledger of a job, by step."""
        query = select(tables.ledger).where(tables.ledger.c.job == job)
        with self.transaction() as connection:
            return {row.step: LedgerMove(**row._mapping) for row in connection.execute(query)}

    def drop_ledger(self, job: str, step: str) -> None:
        """Forgets a step's ledger: the next run starts a new one."""
        with self.transaction() as connection:
            connection.execute(_DELETE, {"of_job": job, "of_step": step})

    def move_ledger(self, move: LedgerMove) -> None:
        """Makes another generation the current one of a step's ledger."""
        with self.transaction() as connection:
            move_ledger(connection, move)


def move_ledger(connection: Connection, move: LedgerMove) -> None:
    """As the method of this name, within a transaction that does more."""
    connection.execute(_DELETE, {"of_job": move.job, "of_step": move.step})
    connection.execute(_INSERT, record_values(move))
