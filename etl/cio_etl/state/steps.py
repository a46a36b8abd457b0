"""Stores steps: begun, what is known of their rows before the first is sent, ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, field
from typing import Any, Literal

from sqlalchemy import bindparam, delete, func, insert, select, update

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
)
from cio_etl.model.records import dataclass
from cio_etl.state import tables
from cio_etl.state.bookmarks import write_bookmark
from cio_etl.state.commit import close_rejects, progress_values
from cio_etl.state.database import Database, record_values
from cio_etl.state.faults import decoding
from cio_etl.state.leases import database_now
from cio_etl.state.ledgers import LedgerMove, move_ledger
from cio_etl.state.rejects import GoneRejects, close_gone


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


# Statements of each run, built once: to build one takes several times as long as to execute it.
_STEPS = select(tables.step).where(tables.step.c.run_id == bindparam("run_id")).order_by(tables.step.c.number)
_THIS = (tables.step.c.run_id == bindparam("of_run"), tables.step.c.number == bindparam("of_step"))
_UPDATE = update(tables.step).where(*_THIS)  # the columns are those of the values that it is executed with
_END = _UPDATE.where(tables.step.c.status != "finished").values(seconds=tables.step.c.seconds + bindparam("more_s"))
_COLUMNS = select(tables.step.c.columns).where(*_THIS)
_LANES = (tables.lane.c.run_id == bindparam("of_run"), tables.lane.c.step == bindparam("of_step"))
_LAST_EPOCH = select(func.max(tables.lane.c.epoch)).where(*_LANES)
_DELETE_LANES = delete(tables.lane).where(*_LANES)
_ADD_LANES = insert(tables.lane)


class Steps(Database):
    """The steps of all runs: a part of the state."""

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
        with self.transaction() as connection:
            this = {"of_run": run_id, "of_step": number}
            epoch = connection.scalar(_LAST_EPOCH, this)
            connection.execute(_DELETE_LANES, this)
            listed = json.dumps([[file.path, file.bytes, file.sha256, file.rows] for file in files])
            started = {"status": "running", "fingerprint": fingerprint, "files": listed, "rows": rows}
            connection.execute(_UPDATE, this | started)
            # epochs are never used twice: an earlier owner must not take these lanes for its own
            key = {"run_id": run_id, "step": number, "epoch": 0 if epoch is None else epoch + 1}
            connection.execute(_ADD_LANES, [{**key, **progress_values(LaneProgress(lane))} for lane in range(lanes)])
            if lease_s is not None:
                until = database_now(self._engine) + lease_s
                connection.execute(update(tables.lane).where(*_LANES).values(until=until), this)

    def note_findings(self, run_id: str, number: int, findings: Sequence[Finding]) -> None:
        """Notes the findings over a step's rows, before the first row is sent."""
        findings_json = json.dumps([list(record_values(finding).values()) for finding in findings])
        self._update(run_id, number, findings=findings_json)

    def note_omitted(self, run_id: str, number: int, omitted: Omitted) -> None:
        """Notes the values without which a step's rows are sent, before the first one is."""
        counts = [list(record_values(count).values()) for count in omitted.counts]
        self._update(run_id, number, omitted=json.dumps([omitted.rows, counts]))

    def note_columns(self, run_id: str, number: int, columns: str) -> None:
        """Notes what a later replay must know about the source's columns."""
        self._update(run_id, number, columns=columns)

    def note_events(self, run_id: str, number: int, events: Sequence[EventCount]) -> None:
        """Notes a step's rows by the names of their events, beside its columns, before the first one is sent."""
        this = {"of_run": run_id, "of_step": number}
        with self.transaction() as connection:
            columns = json.loads(connection.scalar(_COLUMNS, this) or "{}")
            columns["events"] = [[each.name, each.rows] for each in events]
            connection.execute(_UPDATE, {**this, "columns": json.dumps(columns)})

    def note_delta(self, run_id: str, number: int, counts: DeltaCounts, same: Sequence[int] = ()) -> None:
        """Notes what a step's ledger says of its rows, before the first one is sent.

        It closes the rejects `same`: Customer.io has what their subjects' rows say now.
        """
        with self.transaction() as connection:
            delta = json.dumps(asdict(counts))
            connection.execute(_UPDATE, {"of_run": run_id, "of_step": number, "delta": delta})
            close_rejects(connection, run_id, [(reject_id, "same") for reject_id in same])

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
        values = {
            "status": "finished" if finished else "running",
            "rows_read": rows_read,
            "more_s": seconds,
            "rejects": json.dumps([[e.reason, e.field, e.rows, e.first_rows, e.since] for e in rejects]),
        }
        with self.transaction() as connection:
            result = connection.execute(_END, {"of_run": run_id, "of_step": number, **values})
            if finished and bookmark is not None and result.rowcount:
                write_bookmark(connection, run_id, number, bookmark)
            if finished and ledger is not None and result.rowcount:
                move_ledger(connection, ledger)
            if finished and gone is not None and result.rowcount:
                close_gone(connection, run_id, gone.job, gone.step, with_subject=gone.with_subject)

    def _update(self, run_id: str, number: int, **values: object) -> None:
        """Writes these columns of a step."""
        with self.transaction() as connection:
            connection.execute(_UPDATE, {"of_run": run_id, "of_step": number, **values})

    def steps(self, run_id: str) -> list[StepRecord]:
        with self.transaction() as connection:
            rows = [dict(row._mapping) for row in connection.execute(_STEPS, {"run_id": run_id})]
        with decoding(self._engine):
            return [_step_record(row) for row in rows]


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
