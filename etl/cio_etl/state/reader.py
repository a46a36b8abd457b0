"""Reads a state for pages: never writes, and each question of its own reads a bounded part of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields
from pathlib import Path
from typing import get_args

from sqlalchemy import func, select

from cio_etl.model import ClosedAs, ClosedRejects, Counts
from cio_etl.model.records import dataclass
from cio_etl.state import filesystem, lock_file, lock_server, tables
from cio_etl.state.connect import Where, read_only_engine
from cio_etl.state.ledgers import LedgerMove
from cio_etl.state.migrate import require_current_schema
from cio_etl.state.rejects import Rejected, closed_by
from cio_etl.state.runs import COLUMNS, RunRecord
from cio_etl.state.store import Store, open_store


@dataclass(frozen=True, slots=True)
class RejectRow:
    """A rejected row: a row of the table `reject`."""

    reject_id: int
    position: int
    message: str
    closed_by: str | None
    closed_as: str | None
    since: str | None  # when an earlier run rejected it first; None: its own run did


def open_to_read(where: Where) -> Store:
    """The state for a command that changes nothing in it: where nobody can write, none is created or migrated."""
    return Reader(where) if is_read_only(where) else open_store(where)


def is_read_only(where: Where) -> bool:
    """Whether the state is in a folder whose file system lets nobody write."""
    return isinstance(where, Path) and filesystem.is_read_only(where)


class Reader(Store):
    """The state of all runs, for reading only."""

    def __init__(self, where: Where) -> None:
        super().__init__(read_only_engine(where))
        self._where = where

    def require_current(self) -> None:
        """Raises StateError when the state is gone, or another program has changed its tables meanwhile."""
        with self.transaction():
            pass  # a file that is gone cannot be opened
        require_current_schema(self._engine)

    def is_held(self, job: str) -> bool:
        """Whether a process is at work on the job."""
        if isinstance(self._where, Path):
            return lock_file.is_held(self._where, job)
        with self.transaction() as connection:
            return lock_server.is_held(connection, job)

    def jobs(self) -> list[str]:
        """The names of all jobs that have run, with those of their replays and of the sandbox."""
        with self.transaction() as connection:
            return list(connection.scalars(select(tables.run.c.job).distinct().order_by(tables.run.c.job)))

    def newest_runs(self, jobs: Collection[str], each: int) -> dict[str, list[RunRecord]]:
        """The newest runs of these jobs, so many of `each`, the newest first."""
        run = tables.run.c
        place = func.row_number().over(partition_by=run.job, order_by=(run.sequence.desc(), run.run_id.desc()))
        ranked = select(*COLUMNS, place.label("place")).where(run.job.in_(jobs)).subquery()
        query = select(ranked).where(ranked.c.place <= each).order_by(ranked.c.job, ranked.c.place)
        found: dict[str, list[RunRecord]] = {job: [] for job in jobs}
        with self.transaction() as connection:
            for row in connection.execute(query):
                values = {name: value for name, value in row._mapping.items() if name != "place"}
                found[row.job].append(RunRecord(**values))
        return found

    def runs_before(self, job: str, before: str | None, limit: int) -> list[RunRecord]:
        """The newest runs of a job, of those that are older than the run `before`."""
        run = tables.run.c
        query = select(*COLUMNS).where(run.job == job).order_by(run.sequence.desc(), run.run_id.desc()).limit(limit)
        if before is not None:
            other = tables.run.alias()
            query = query.where(
                run.sequence < select(other.c.sequence).where(other.c.run_id == before).scalar_subquery()
            )
        with self.transaction() as connection:
            return [RunRecord(**row._mapping) for row in connection.execute(query)]

    def counts(self, run_ids: Collection[str]) -> dict[str, Counts]:
        """The counts of these runs so far."""
        lane = tables.lane.c
        sums = [func.sum(lane[name]).label(name) for name in tables.COUNTS]
        query = select(lane.run_id, *sums).where(lane.run_id.in_(run_ids)).group_by(lane.run_id)
        with self.transaction() as connection:
            return {
                row.run_id: Counts(**{name: int(getattr(row, name)) for name in tables.COUNTS})
                for row in connection.execute(query)
            }

    def records(self, run_ids: Collection[str]) -> dict[str, RunRecord]:
        """These runs, by their ID, as far as the state has them."""
        with self.transaction() as connection:
            rows = connection.execute(select(*COLUMNS).where(tables.run.c.run_id.in_(run_ids)))
            return {row.run_id: RunRecord(**row._mapping) for row in rows}

    def all_ledgers(self) -> list[LedgerMove]:
        """The current generation of every ledger, by job and step."""
        query = select(tables.ledger).order_by(tables.ledger.c.job, tables.ledger.c.step)
        with self.transaction() as connection:
            return [LedgerMove(**row._mapping) for row in connection.execute(query)]

    def rejects_after(
        self, run_id: str, step: int, reason: str, field: str | None, after: int, limit: int
    ) -> list[RejectRow]:
        """Rejects of one reason and field in the order in which they were recorded, from the one after `after` on."""
        table = tables.reject.c
        query = (
            select(*(table[each.name] for each in fields(RejectRow)))
            .where(table.run_id == run_id, table.step == step, table.reason == reason)
            .where(table.field.is_not_distinct_from(field), table.reject_id > after)
            .order_by(table.reject_id)
            .limit(limit)
        )
        with self.transaction() as connection:
            return [RejectRow(**row._mapping) for row in connection.execute(query)]

    def reject_counts(self, run_id: str, number: int, first: int = 3) -> list[Rejected]:
        """As in a store, but without the first positions: to find them takes long where many rows are rejected."""
        return super().reject_counts(run_id, number, first=0)

    def open_of_runs(self, run_ids: Collection[str]) -> dict[str, int]:
        """How many rejects of these runs are open; a run without one is left out."""
        run, reject = tables.run.c, tables.reject.c
        of_run = select(func.count()).where(reject.run_id == run.run_id, reject.closed_by.is_(None)).scalar_subquery()
        query = select(run.run_id, of_run).where(run.run_id.in_(run_ids))
        with self.transaction() as connection:
            return {run_id: int(rejects) for run_id, rejects in connection.execute(query) if rejects}

    def closed_by_runs(self, run_ids: Collection[str]) -> list[ClosedRejects]:
        """What these runs have closed of the rejects of others, by run and step, and how.

        Without those that were rejected again: another reject is open in their place.
        """
        ways = tuple(way for way in get_args(ClosedAs) if way != "rejected")
        return self._closed(closed_by(ways), run_ids)

    def stamp(self, newest: int = 50) -> tuple[object, ...]:
        """What is another one after a change that a page shows: how the newest runs stand, and how far they are."""
        runs = self.runs(limit=newest)
        at_work = [run.run_id for run in runs if run.status == "running"]
        counts = self.counts(at_work) if at_work else {}
        ends: Sequence[object] = [(run.run_id, run.status, run.finished_at) for run in runs]
        return (*ends, *(counts.get(run_id) for run_id in at_work))
