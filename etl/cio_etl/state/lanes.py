"""Stores how far the lanes of a step are: claimed, committed, and added up."""

from __future__ import annotations

from sqlalchemy import bindparam, func, select

from cio_etl.model import LaneProgress
from cio_etl.state import tables
from cio_etl.state.commit import PROGRESS, Committer, ReplayedRejects, progress_of
from cio_etl.state.database import Database
from cio_etl.state.leases import Leases, database_now

# Queries of each run, built once: to build one takes as long as to execute it.
_OF_RUN = tables.lane.c.run_id == bindparam("run_id")
_PROGRESS = select(*PROGRESS).where(_OF_RUN, tables.lane.c.step == bindparam("step")).order_by(tables.lane.c.lane)
_SETTLED = select(func.sum(tables.lane.c.accepted + tables.lane.c.rejected + tables.lane.c.skipped)).where(_OF_RUN)
_SENT = select(tables.lane.c.lane).where(_OF_RUN, tables.lane.c.sending_through >= 0).limit(1)
_IS_STARTED = tables.lane.c.done | (tables.lane.c.sending_through >= 0)
_LANE_OF_STEP = select(tables.lane.c.lane).where(_OF_RUN, tables.lane.c.step == bindparam("step")).limit(1)
_STARTED = _LANE_OF_STEP.where(_IS_STARTED)


class Lanes(Database):
    """The lanes of all steps: a part of the state."""

    def leases(self, run_id: str, number: int, owner: str, lease_s: float | None = None) -> Leases:
        """Claims lanes of a step for `owner`, each for `lease_s` seconds at a time; None: until it is done."""
        return Leases(self._engine, run_id, number, owner, lease_s if self.is_shared else None)

    def committer(self, leases: Leases, replayed: ReplayedRejects | None = None) -> Committer:
        """Commits the progress of the lanes that are held; `replayed` are the rejects that a replay sends again."""
        return Committer(leases, replayed)

    def lane_progress(self, run_id: str, number: int) -> list[LaneProgress]:
        """The progress of a step's lanes, in order; empty before the step has started."""
        with self.transaction() as connection:
            return [progress_of(row) for row in connection.execute(_PROGRESS, {"run_id": run_id, "step": number})]

    def has_started(self, run_id: str, number: int, *, by_others: bool) -> bool:
        """Whether a row of the step was announced, or, with `by_others`, another process holds one of its lanes."""
        query = _STARTED
        if by_others:
            is_held = tables.lane.c.owner.is_not(None) & (tables.lane.c.until > database_now(self._engine))
            query = _LANE_OF_STEP.where(_IS_STARTED | is_held)
        with self.transaction() as connection:
            return connection.execute(query, {"run_id": run_id, "step": number}).first() is not None

    def is_in_progress(self, run_id: str) -> bool:
        """Whether a process holds a lane of the run now."""
        lane = tables.lane.c
        conditions = (lane.run_id == run_id, lane.owner.is_not(None), lane.until > database_now(self._engine))
        with self.transaction() as connection:
            return connection.execute(select(lane.lane).where(*conditions).limit(1)).first() is not None

    def has_sent(self, run_id: str) -> bool:
        """Whether a lane of the run has announced a row."""
        with self.transaction() as connection:
            return connection.execute(_SENT, {"run_id": run_id}).first() is not None

    def sent_steps(self, job: str) -> set[str]:
        """The names of the steps of which some run of the job has announced a row."""
        lane, step, run = tables.lane.c, tables.step.c, tables.run.c
        query = (
            select(step.name)
            .join(tables.run, run.run_id == step.run_id)
            .join(tables.lane, (lane.run_id == step.run_id) & (lane.step == step.number))
            .where(run.job == job, lane.sending_through >= 0)
        )
        with self.transaction() as connection:
            return set(connection.scalars(query.distinct()))

    def rejected(self, run_id: str, number: int) -> int:
        """How many rows of a step are rejected so far, by all workers."""
        lane = tables.lane.c
        query = select(func.sum(lane.rejected)).where(lane.run_id == run_id, lane.step == number)
        with self.transaction() as connection:
            return int(connection.scalar(query) or 0)

    def settled(self, run_id: str) -> int:
        """How many rows of a run are accepted, rejected or skipped so far, by all workers."""
        with self.transaction() as connection:
            return int(connection.scalar(_SETTLED, {"run_id": run_id}) or 0)
