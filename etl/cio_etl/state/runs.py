"""Stores runs: begun, ended, and which are the newest."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import bindparam, case, func, insert, select, update

from cio_etl.model import EarlierEnd, EarlierEnds
from cio_etl.model.records import dataclass
from cio_etl.state import tables
from cio_etl.state.database import Database, record_values

RESUMABLE = ("running", "stopped", "failed")


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run: a row of the table `run`."""

    run_id: str
    job: str
    job_file: str
    status: Literal["running", "finished", "stopped", "failed", "abandoned"]
    started_at: str
    finished_at: str | None
    exit_code: int | None
    reason: str | None
    lanes: int
    lane_hash: str
    row_limit: int | None
    destination: str
    since: str | None = None
    notices: str | None = None  # see state/notices.py


COLUMNS = [tables.run.c[each.name] for each in fields(RunRecord)]

# Queries of each run, built once: to build one takes as long as to execute it.
_RUN = select(*COLUMNS).where(tables.run.c.run_id == bindparam("run_id"))
_NEWEST = (
    select(*COLUMNS).order_by(tables.run.c.sequence.desc(), tables.run.c.run_id.desc()).limit(bindparam("most_runs"))
)
_NEWEST_OF_JOB = _NEWEST.where(tables.run.c.job == bindparam("job"))
_NEXT = select(func.coalesce(func.max(tables.run.c.sequence), 0) + 1).scalar_subquery()
_BEGIN = insert(tables.run).values(sequence=_NEXT)  # and the values that it is executed with
_BEGIN_STEPS = insert(tables.step)
_EARLIER = tables.earlier_end.c
_NOTE_END = insert(tables.earlier_end).from_select(
    [each.name for each in _EARLIER],
    select(
        tables.run.c.run_id,
        select(func.coalesce(func.max(_EARLIER.number), 0) + 1)
        .where(_EARLIER.run_id == bindparam("of_run"))
        .scalar_subquery(),
        case((tables.run.c.status == "running", "killed"), else_=tables.run.c.status),
        func.coalesce(tables.run.c.finished_at, bindparam("now")),
        tables.run.c.exit_code,
        tables.run.c.reason,
    ).where(tables.run.c.run_id == bindparam("of_run"), tables.run.c.status.in_(bindparam("ended", expanding=True))),
)
_END = update(tables.run).where(tables.run.c.run_id == bindparam("of_run"), tables.run.c.status != "finished")


class Runs(Database):
    """The runs of all jobs: a part of the state."""

    def begin(self, run: RunRecord, steps: Sequence[tuple[str, str]]) -> None:
        """Adds a run and its steps, each (name, canonical mapping). A step's lanes are added when it begins."""
        with self.transaction() as connection:
            connection.execute(_BEGIN, record_values(run))
            rows = [
                {"run_id": run.run_id, "number": number, "name": name, "status": "waiting", "mapping": mapping}
                for number, (name, mapping) in enumerate(steps)
            ]
            connection.execute(_BEGIN_STEPS, rows)

    def end(
        self, run_id: str, status: str, exit_code: int | None, reason: str | None, *, was_killed: bool = False
    ) -> None:
        """Notes how a run ended, unless it has finished. The status running resumes a stopped run.

        The end of a run that is resumed or abandoned becomes an earlier one; `was_killed`: a run that still counts as
        running ended without a process to note it.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        finished_at = None if status == "running" else now
        values = {"status": status, "exit_code": exit_code, "reason": reason, "finished_at": finished_at}
        with self.transaction() as connection:
            if status in ("running", "abandoned"):
                ended = [each for each in RESUMABLE if was_killed or each != "running"]
                connection.execute(_NOTE_END, {"of_run": run_id, "now": now, "ended": ended})
            connection.execute(_END, {"of_run": run_id, **values})

    def earlier_ends(self, run_ids: Collection[str], newest: int = 0) -> dict[str, EarlierEnds]:
        """How often these runs ended before, and their `newest` ends; a run without one is left out."""
        of_runs = _EARLIER.run_id.in_(run_ids)
        sums = select(_EARLIER.run_id, _EARLIER.status, func.count()).where(of_runs)
        place = func.row_number().over(partition_by=_EARLIER.run_id, order_by=_EARLIER.number.desc()).label("place")
        ranked = select(tables.earlier_end, place).where(of_runs).subquery()
        query = select(ranked).where(ranked.c.place <= newest).order_by(ranked.c.run_id, ranked.c.place)
        times: dict[str, dict[str, int]] = {}
        ends: dict[str, list[EarlierEnd]] = {}
        with self.transaction() as connection:
            for run_id, status, count in connection.execute(sums.group_by(_EARLIER.run_id, _EARLIER.status)):
                times.setdefault(run_id, {})[status] = count
            for row in connection.execute(query) if newest and times else ():
                ends.setdefault(row.run_id, []).append(EarlierEnd(row.status, row.at, row.exit_code, row.reason))
        return {run_id: EarlierEnds(**each, newest=tuple(ends.get(run_id, ()))) for run_id, each in times.items()}

    def run(self, run_id: str) -> RunRecord | None:
        with self.transaction() as connection:
            row = connection.execute(_RUN, {"run_id": run_id}).one_or_none()
        return None if row is None else RunRecord(**row._mapping)

    def runs(self, job: str | None = None, limit: int = 20) -> list[RunRecord]:
        """The newest runs first."""
        query, wanted = (_NEWEST, {}) if job is None else (_NEWEST_OF_JOB, {"job": job})
        with self.transaction() as connection:
            found = connection.execute(query, {"most_runs": limit, **wanted})
            return [RunRecord(**row._mapping) for row in found]

    def unfinished(self, job: str) -> RunRecord | None:
        """The job's newest run, when it can be resumed."""
        newest = next(iter(self.runs(job, limit=1)), None)
        return newest if newest is not None and newest.status in RESUMABLE else None

    def last_success(self, job: str) -> RunRecord | None:
        """The job's newest run that has finished, without those of `--limit`, which were trials."""
        run = tables.run.c
        query = select(*COLUMNS).where(run.job == job, run.status == "finished", run.row_limit.is_(None))
        with self.transaction() as connection:
            row = connection.execute(query.order_by(run.sequence.desc(), run.run_id.desc()).limit(1)).one_or_none()
        return None if row is None else RunRecord(**row._mapping)

    def last_runs(self) -> list[RunRecord]:
        """The newest run of each job."""
        newest = select(func.max(tables.run.c.sequence)).group_by(tables.run.c.job)
        query = select(*COLUMNS).where(tables.run.c.sequence.in_(newest)).order_by(tables.run.c.job)
        with self.transaction() as connection:
            return [RunRecord(**row._mapping) for row in connection.execute(query)]
