"""Stores runs and steps: started, ended, read, resumed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, field, fields
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, delete, func, insert, select, update

from cio_etl.model import (
    Bookmark,
    DeltaCounts,
    EventCount,
    Finding,
    LaneProgress,
    Omitted,
    OmittedCount,
    RejectCount,
    SourceFile,
    Watermark,
)
from cio_etl.model.records import dataclass
from cio_etl.state import tables
from cio_etl.state.commit import (
    PROGRESS,
    Committer,
    ReplayedRejects,
    close_rejects,
    progress_of,
    progress_values,
)
from cio_etl.state.connect import Where, open_engine
from cio_etl.state.faults import decoding
from cio_etl.state.leases import Leases, database_now
from cio_etl.state.lock_server import ServerLock
from cio_etl.state.rejects import Rejects, close_gone

RESUMABLE = ("running", "stopped", "failed")
POLL_S = 0.2  # of a worker that waits for another one


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


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step: a row of the table `step`. `fingerprint`, `files` and `rows` are None until it has started."""

    number: int
    name: str
    status: Literal["waiting", "running", "finished"]
    fingerprint: str | None
    files: tuple[SourceFile, ...] | None
    mapping: str
    rows: int | None
    rows_read: int
    seconds: float
    rejects: tuple[RejectCount, ...]  # when a process last worked on the step
    findings: tuple[Finding, ...] = ()
    columns: str | None = None  # the source's columns, recorded before the first row was sent
    delta: DeltaCounts | None = None  # of a step that sends only what changed
    omitted: Omitted = field(default_factory=Omitted)  # recorded before the first row was sent
    events: tuple[EventCount, ...] = ()  # by the names of a column, recorded before the first row was sent


@dataclass(frozen=True, slots=True)
class LedgerMove:
    """The generation of a step's ledger after a run; its files are on the disk."""

    job: str
    step: str
    generation: str
    run_id: str


@dataclass(frozen=True, slots=True)
class GoneRejects:
    """That a step has read all of its source: open rejects of it that this run has not closed are gone from there."""

    job: str
    step: str
    with_subject: bool = True  # False: only rejects that are about no subject, see rejects.close_gone


class Store(Rejects):
    """The state of all runs in one folder, or in one database of a server."""

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def exclusive(self, job: str) -> Iterator[None]:
        """Lets one worker of a job at a time into the block, to begin a run or a step. A folder has only one worker."""
        if not self.is_shared:
            yield
            return
        with closing(ServerLock(self._engine, f"{job}: beginning")) as lock:
            while not lock.take():
                time.sleep(POLL_S)
            yield

    # ---- writing

    def begin(self, run: RunRecord, steps: Sequence[tuple[str, str]]) -> None:
        """Adds a run and its steps, each (name, canonical mapping). A step's lanes are added when it begins."""
        with self._transaction() as connection:
            last = select(func.coalesce(func.max(tables.run.c.sequence), 0) + 1).scalar_subquery()
            connection.execute(insert(tables.run).values(**_values(run), sequence=last))
            rows = [
                {"run_id": run.run_id, "number": number, "name": name, "status": "waiting", "mapping": mapping}
                for number, (name, mapping) in enumerate(steps)
            ]
            connection.execute(insert(tables.step), rows)

    def begin_step(
        self,
        run_id: str,
        number: int,
        fingerprint: str,
        files: Sequence[SourceFile],
        rows: int,
        lanes: int,
        lease_s: float | None = None,
    ) -> None:
        """Begins a step over a snapshot, with all lanes before their first row.

        For `lease_s` seconds, only the workers to whom the lanes are assigned may claim them.
        """
        with self._transaction() as connection:
            here = (tables.lane.c.run_id == run_id, tables.lane.c.step == number)
            epoch = connection.scalar(select(func.max(tables.lane.c.epoch)).where(*here))
            connection.execute(delete(tables.lane).where(*here))
            connection.execute(
                _step(run_id, number).values(
                    status="running",
                    fingerprint=fingerprint,
                    files=json.dumps([[file.path, file.bytes, file.sha256, file.rows] for file in files]),
                    rows=rows,
                )
            )
            # epochs are never used twice: an earlier owner must not take these lanes for its own
            key = {"run_id": run_id, "step": number, "epoch": 0 if epoch is None else epoch + 1}
            connection.execute(
                insert(tables.lane), [{**key, **progress_values(LaneProgress(lane))} for lane in range(lanes)]
            )
            if lease_s is not None:
                until = database_now(self._engine) + lease_s
                connection.execute(update(tables.lane).where(*here).values(until=until))

    def note_findings(self, run_id: str, number: int, findings: Sequence[Finding]) -> None:
        """Notes the findings over a step's rows, before the first row is sent."""
        findings_json = json.dumps([list(_values(finding).values()) for finding in findings])
        with self._transaction() as connection:
            connection.execute(_step(run_id, number).values(findings=findings_json))

    def note_omitted(self, run_id: str, number: int, omitted: Omitted) -> None:
        """Notes the values without which a step's rows are sent, before the first one is."""
        counts = [list(_values(count).values()) for count in omitted.counts]
        with self._transaction() as connection:
            connection.execute(_step(run_id, number).values(omitted=json.dumps([omitted.rows, counts])))

    def note_columns(self, run_id: str, number: int, columns: str) -> None:
        """Notes what a later replay must know about the source's columns."""
        with self._transaction() as connection:
            connection.execute(_step(run_id, number).values(columns=columns))

    def note_events(self, run_id: str, number: int, events: Sequence[EventCount]) -> None:
        """Notes a step's rows by the names of their events, beside its columns, before the first one is sent."""
        query = select(tables.step.c.columns).where(tables.step.c.run_id == run_id, tables.step.c.number == number)
        with self._transaction() as connection:
            columns = json.loads(connection.scalar(query) or "{}")
            columns["events"] = [[each.name, each.rows] for each in events]
            connection.execute(_step(run_id, number).values(columns=json.dumps(columns)))

    def note_delta(self, run_id: str, number: int, counts: DeltaCounts, same: Sequence[int] = ()) -> None:
        """Notes what a step's ledger says of its rows, before the first one is sent.

        It closes the rejects `same`: Customer.io has what their subjects' rows say now.
        """
        with self._transaction() as connection:
            connection.execute(_step(run_id, number).values(delta=json.dumps(asdict(counts))))
            close_rejects(connection, run_id, [(reject_id, "same") for reject_id in same])

    def ledger(self, job: str, step: str) -> str | None:
        """The current generation of a step's ledger, as text; None: there is none."""
        table = tables.ledger
        with self._transaction() as connection:
            return connection.scalar(select(table.c.generation).where(table.c.job == job, table.c.step == step))

    def ledgers(self, job: str) -> dict[str, LedgerMove]:
        """The current generation of each ledger of a job, by step."""
        query = select(tables.ledger).where(tables.ledger.c.job == job)
        with self._transaction() as connection:
            return {row.step: LedgerMove(**row._mapping) for row in connection.execute(query)}

    def drop_ledger(self, job: str, step: str) -> None:
        """Forgets a step's ledger: the next run starts a new one."""
        table = tables.ledger
        with self._transaction() as connection:
            connection.execute(delete(table).where(table.c.job == job, table.c.step == step))

    def move_ledger(self, move: LedgerMove) -> None:
        """Makes another generation the current one of a step's ledger."""
        with self._transaction() as connection:
            _move_ledger(connection, move)

    def leases(self, run_id: str, number: int, owner: str, lease_s: float | None = None) -> Leases:
        """Claims lanes of a step for `owner`, each for `lease_s` seconds at a time; None: until it is done."""
        return Leases(self._engine, run_id, number, owner, lease_s if self.is_shared else None)

    def committer(self, leases: Leases, replayed: ReplayedRejects | None = None) -> Committer:
        """Commits the progress of the lanes that are held; `replayed` are the rejects that a replay sends again."""
        return Committer(leases, replayed)

    def end_step(
        self,
        run_id: str,
        number: int,
        *,
        finished: bool,
        rows_read: int,
        seconds: float,
        rejects: Sequence[RejectCount],
        bookmark: Bookmark | None = None,
        ledger: LedgerMove | None = None,
        gone: GoneRejects | None = None,
    ) -> None:
        """Notes the result of this process's work on a step; `seconds` add up over all processes.

        The bookmark and the ledger of a finished step move in the same transaction, with its last row, and rejects that
        are gone are closed. A step that another process has finished stays as it is.
        """
        with self._transaction() as connection:
            result = connection.execute(
                _step(run_id, number)
                .where(tables.step.c.status != "finished")
                .values(
                    status="finished" if finished else "running",
                    rows_read=rows_read,
                    seconds=tables.step.c.seconds + seconds,
                    rejects=json.dumps([[e.reason, e.field, e.rows, e.first_rows, e.since] for e in rejects]),
                )
            )
            if finished and bookmark is not None and result.rowcount:
                self._write_bookmark(connection, run_id, number, bookmark)
            if finished and ledger is not None and result.rowcount:
                _move_ledger(connection, ledger)
            if finished and gone is not None and result.rowcount:
                close_gone(connection, run_id, gone.job, gone.step, with_subject=gone.with_subject)

    def _write_bookmark(self, connection: Connection, run_id: str, number: int, bookmark: Bookmark) -> None:
        names = select(tables.run.c.job, tables.step.c.name).join_from(tables.step, tables.run)
        job, step = connection.execute(
            names.where(tables.step.c.run_id == run_id, tables.step.c.number == number)
        ).one()
        connection.execute(delete(tables.source).where(tables.source.c.job == job, tables.source.c.step == step))
        watermark = None if bookmark.watermark is None else bookmark.watermark.to_text()
        columns = json.dumps(dict(bookmark.columns))
        known = None if bookmark.known_columns is None else json.dumps(bookmark.known_columns)
        connection.execute(
            insert(tables.source).values(
                job=job,
                step=step,
                mark=watermark,
                columns=columns,
                origin=bookmark.origin,
                run_id=run_id,
                known_columns=known,
            )
        )

    def end(self, run_id: str, status: str, exit_code: int | None, reason: str | None) -> None:
        """Notes how a run ended, unless it has finished. The status running resumes a stopped run."""
        finished_at = None if status == "running" else datetime.now(UTC).isoformat(timespec="seconds")
        change = update(tables.run).where(tables.run.c.run_id == run_id, tables.run.c.status != "finished")
        with self._transaction() as connection:
            connection.execute(
                change.values(status=status, exit_code=exit_code, reason=reason, finished_at=finished_at)
            )

    # ---- reading

    def bookmark(self, job: str, step: str) -> Bookmark:
        """The bookmark of a step's last finished run; an empty one when there was none."""
        table = tables.source
        wanted = (table.c.mark, table.c.columns, table.c.origin, table.c.known_columns)
        query = select(*wanted).where(table.c.job == job, table.c.step == step)
        with self._transaction() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return Bookmark()
        with decoding(self._engine):
            watermark = None if row.mark is None else Watermark.of_text(row.mark)
            known = None if row.known_columns is None else tuple(json.loads(row.known_columns))
            return Bookmark(watermark, dict(json.loads(row.columns)), row.origin, known)

    def has_started(self, run_id: str, number: int, *, by_others: bool) -> bool:
        """Whether a row of the step was announced, or, with `by_others`, another process holds one of its lanes."""
        lane = tables.lane.c
        is_started = lane.done | (lane.sending_through >= 0)
        if by_others:
            is_started |= lane.owner.is_not(None) & (lane.until > database_now(self._engine))
        query = select(lane.lane).where(lane.run_id == run_id, lane.step == number, is_started)
        with self._transaction() as connection:
            return connection.execute(query.limit(1)).first() is not None

    def is_in_progress(self, run_id: str) -> bool:
        """Whether a process holds a lane of the run now."""
        lane = tables.lane.c
        conditions = (lane.run_id == run_id, lane.owner.is_not(None), lane.until > database_now(self._engine))
        with self._transaction() as connection:
            return connection.execute(select(lane.lane).where(*conditions).limit(1)).first() is not None

    def rejected(self, run_id: str, number: int) -> int:
        """How many rows of a step are rejected so far, by all workers."""
        lane = tables.lane.c
        query = select(func.sum(lane.rejected)).where(lane.run_id == run_id, lane.step == number)
        with self._transaction() as connection:
            return int(connection.scalar(query) or 0)

    def settled(self, run_id: str) -> int:
        """How many rows of a run are accepted, rejected or skipped so far, by all workers."""
        lane = tables.lane.c
        query = select(func.sum(lane.accepted + lane.rejected + lane.skipped)).where(lane.run_id == run_id)
        with self._transaction() as connection:
            return int(connection.scalar(query) or 0)

    def has_sent(self, run_id: str) -> bool:
        """Whether a lane of the run has announced a row."""
        announced = (tables.lane.c.run_id == run_id, tables.lane.c.sending_through >= 0)
        with self._transaction() as connection:
            return connection.execute(select(tables.lane.c.lane).where(*announced).limit(1)).first() is not None

    def unfinished(self, job: str) -> RunRecord | None:
        """The job's newest run, when it can be resumed."""
        newest = next(iter(self.runs(job, limit=1)), None)
        return newest if newest is not None and newest.status in RESUMABLE else None

    def runs(self, job: str | None = None, limit: int = 20) -> list[RunRecord]:
        """The newest runs first."""
        query = select(*_OF_RUN).order_by(tables.run.c.sequence.desc(), tables.run.c.run_id.desc()).limit(limit)
        if job is not None:
            query = query.where(tables.run.c.job == job)
        with self._transaction() as connection:
            return [RunRecord(**row._mapping) for row in connection.execute(query)]

    def last_success(self, job: str) -> RunRecord | None:
        """The job's newest run that has finished, without those of `--limit`, which were trials."""
        run = tables.run.c
        query = select(*_OF_RUN).where(run.job == job, run.status == "finished", run.row_limit.is_(None))
        with self._transaction() as connection:
            row = connection.execute(query.order_by(run.sequence.desc(), run.run_id.desc()).limit(1)).one_or_none()
        return None if row is None else RunRecord(**row._mapping)

    def last_runs(self) -> list[RunRecord]:
        """The newest run of each job."""
        newest = select(func.max(tables.run.c.sequence)).group_by(tables.run.c.job)
        query = select(*_OF_RUN).where(tables.run.c.sequence.in_(newest)).order_by(tables.run.c.job)
        with self._transaction() as connection:
            return [RunRecord(**row._mapping) for row in connection.execute(query)]

    def run(self, run_id: str) -> RunRecord | None:
        with self._transaction() as connection:
            row = connection.execute(select(*_OF_RUN).where(tables.run.c.run_id == run_id)).one_or_none()
        return None if row is None else RunRecord(**row._mapping)

    def steps(self, run_id: str) -> list[StepRecord]:
        query = select(tables.step).where(tables.step.c.run_id == run_id).order_by(tables.step.c.number)
        with self._transaction() as connection:
            rows = [dict(row._mapping) for row in connection.execute(query)]
        with decoding(self._engine):
            return [_step_record(row) for row in rows]

    def lane_progress(self, run_id: str, number: int) -> list[LaneProgress]:
        """The progress of a step's lanes, in order; empty before the step has started."""
        query = select(*PROGRESS).where(tables.lane.c.run_id == run_id, tables.lane.c.step == number)
        with self._transaction() as connection:
            return [progress_of(row) for row in connection.execute(query.order_by(tables.lane.c.lane))]


_OF_RUN = [tables.run.c[each.name] for each in fields(RunRecord)]


def open_store(where: Where, mounts: str | None = None) -> Store:
    """The state in a folder, created when it is missing (0700, its file 0600), or in the database at an address.

    A file is checked when its last run did not end. Raises StateError when it is damaged, newer than this program, of
    another user, or on a network file system; `mounts` replaces the lines of /proc/mounts. Raises it also when a server
    is out of reach, refuses the user, or is not PostgreSQL.
    """
    return Store(open_engine(where, mounts))


def _move_ledger(connection: Connection, move: LedgerMove) -> None:
    table = tables.ledger
    connection.execute(delete(table).where(table.c.job == move.job, table.c.step == move.step))
    connection.execute(insert(table).values(_values(move)))


def _step(run_id: str, number: int) -> Any:
    return update(tables.step).where(tables.step.c.run_id == run_id, tables.step.c.number == number)


def _step_record(row: dict[str, Any]) -> StepRecord:
    """The step of a row of its table, whose lists are JSON."""
    del row["run_id"]
    row["rejects"] = tuple(
        RejectCount(r, f, n, tuple(first), *since) for r, f, n, first, *since in json.loads(row["rejects"])
    )
    row["findings"] = tuple(
        Finding(code, severity, field, rows, words, tuple(first))
        for code, severity, field, rows, words, first in json.loads(row["findings"])
    )
    row["files"] = None if row["files"] is None else tuple(SourceFile(*file) for file in json.loads(row["files"]))
    row["delta"] = None if row["delta"] is None else DeltaCounts.of(json.loads(row["delta"]))
    row["omitted"] = Omitted() if row["omitted"] is None else _omitted(*json.loads(row["omitted"]))
    json.loads(row["mapping"])  # read where it is needed, and written with the others
    columns = json.loads(row["columns"] or "{}")
    row["events"] = tuple(EventCount(name, rows) for name, rows in columns.get("events", ()))
    return StepRecord(**row)


def _omitted(rows: int, counts: list[Any]) -> Omitted:
    return Omitted(rows, tuple(OmittedCount(r, f, n, tuple(first)) for r, f, n, first in counts))


def _values(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}
