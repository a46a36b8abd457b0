"""The straight line: a job's rows, from where they lie to what Customer.io answered, step after step.

    job ─▶ for each step:  EXTRACT snapshot ─▶ TRANSFORM items ─▶ LOAD batches, lanes ─▶ STATE marks, rejects, counts

Whatever moment this process dies at, the next `run` of the job goes on from what the state holds.
"""

from __future__ import annotations

import gc
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import structlog

from etl import state
from etl.ahead import ahead
from etl.errors import ChangedSinceStart, CountsDisagree, EtlError, Interrupted, TooManyRejects
from etl.extract import open_source
from etl.load import Lanes, Pace, Packer, resolve
from etl.model import Destination, Job, LaneMark, Reject, RejectCount, Report, Snapshot, Step
from etl.report import Progress, write_report
from etl.resume import REMEDY, Options, begin_or_resume, source_changes
from etl.signals import Signals
from etl.state import RunRecord, StepRecord, Store
from etl.transform import Compiled, compile_mapping, gather

log = structlog.get_logger()

Commit = Callable[[LaneMark, Sequence[Reject]], None]


@dataclass(frozen=True, slots=True)
class Line:
    """One run at work, and all that its steps share."""

    job: Job
    run: RunRecord
    store: Store
    destination: Destination
    pace: Pace
    signals: Signals
    progress: Progress
    grace_s: float

    @property
    def folder(self) -> Path:
        return run_folder(self.job, self.run.run_id)


def run_job(job: Job, options: Options, command: str, signals: Signals, progress: Progress) -> Report:
    """Runs the job, or goes on with its unfinished run, and reports. `command` is what would continue it.

    Raises EtlError; how far the run came is then in its report.json, and kept for the next call.
    """
    gc.freeze()  # the modules and the job live as long as the run: collecting garbage need not look at them each time
    with state.hold(job.state, job.name):
        destination = resolve(job.destination)
        job = replace(job, destination=destination)
        store = state.open_store(job.state)
        try:
            run = begin_or_resume(store, job, options)
            pace = Pace(destination.requests_per_second, time.monotonic)
            line = Line(job, run, store, destination, pace, signals, progress, options.grace_s)
            with _accounted(line, command):
                for step, record in zip(job.steps, store.steps(run.run_id), strict=True):
                    if record.status != "finished":
                        _run_step(line, step, record)
            return report_of(store, run.run_id, command)
        finally:
            store.close()


def _run_step(line: Line, step: Step, record: StepRecord) -> None:
    store, run_id, number = line.store, line.run.run_id, record.number
    snapshot = limited(open_source(step.source, stage=line.folder / "stage"), line.run.row_limit)
    if record.fingerprint is None:
        store.begin_step(run_id, number, snapshot.fingerprint, snapshot.files, snapshot.rows, line.run.lanes)
    elif changed := source_changes(record, snapshot):
        raise ChangedSinceStart(REMEDY, run_id=run_id, changes=f"step {step.name}: {changed}")
    compiled = prepare(step, snapshot, line.run.lanes)
    marks = store.lane_marks(run_id, number)
    packer = Packer(line.destination.max_batch_bytes, np.array([mark.acked_through for mark in marks]))
    commit = _bounded(line, number, marks, snapshot.rows)
    lanes = Lanes(line.destination, line.pace, marks, commit, packer.too_large, line.grace_s)
    rows_read = start = min(mark.acked_through for mark in marks) + 1
    with _left(line, record, snapshot) as note:
        with (
            line.signals.draining(lanes.drain),
            line.progress.step(step.name, snapshot.rows, lambda: lanes.marks),
            lanes,
        ):
            for items in ahead(compiled.items, snapshot.read(compiled.columns, start)):
                rows_read = note(rows_read + items.height)
                if not lanes.put(packer.add(items)):
                    break
            lanes.put(packer.finish())
            lanes.finish()
        if line.signals.received:
            raise Interrupted(line.signals.received)
        counted = sum(mark.accepted + mark.rejected + mark.skipped for mark in lanes.marks)
        if not counted == rows_read == snapshot.rows:
            raise CountsDisagree(step=step.name, rows_read=rows_read, counted=counted)


def prepare(step: Step, snapshot: Snapshot, lanes: int) -> Compiled:
    """The step's mapping, ready for the snapshot's frames."""
    known = gather(step.mapping, snapshot.schema, lambda columns: snapshot.read(columns, 0))
    return compile_mapping(step.mapping, snapshot.schema, known, snapshot.fingerprint, lanes)


def chosen(job: Job, names: Sequence[str]) -> tuple[Step, ...]:
    """The job's steps of these names, in the job's order: all when there are none."""
    if not names:
        return job.steps
    return tuple(step for step in job.steps if step.name in names or step.name.split("/")[0] in names)


def limited(snapshot: Snapshot, rows: int | None) -> Snapshot:
    """The first `rows` rows of a snapshot; None: all."""
    if rows is None or rows >= snapshot.rows:
        return snapshot

    def read(columns: Sequence[str] | None, start: int) -> Iterator[pl.DataFrame]:
        left = rows - start
        for frame in snapshot.read(columns, start):
            if left > 0:
                yield frame.head(left)
            left -= frame.height
            if left <= 0:
                return

    return replace(snapshot, rows=rows, read=read)


def run_folder(job: Job, run_id: str) -> Path:
    """Where a run's report and its staged files lie."""
    return job.state / "runs" / run_id


def report_of(store: Store, run_id: str, command: str) -> Report:
    """What a run has done so far."""
    run = store.run(run_id)
    assert run is not None
    return state.account(store, run, command)


def _bounded(line: Line, number: int, marks: Sequence[LaneMark], rows: int) -> Commit:
    """A step's commit, which stops the run after the reject that is one too many; raises at once when it is there."""
    store, run_id, max_rejects = line.store, line.run.run_id, line.job.max_rejects
    commit, rejected = store.marks(run_id, number).commit, {mark.lane: mark.rejected for mark in marks}

    def check() -> None:
        if (total := sum(rejected.values())) > max_rejects.limit(rows):
            said = f"{max_rejects} of {rows:,}" if max_rejects.rows is None else f"{max_rejects}"
            most = store.reject_counts(run_id, number)[0].reason
            raise TooManyRejects("mend the rows, or raise max_rejects", rejected=f"{total:,}", limit=said, most=most)

    def bounded(mark: LaneMark, rejects: Sequence[Reject]) -> None:
        commit(mark, rejects)
        rejected[mark.lane] = mark.rejected
        if rejects:
            check()

    check()
    return bounded


@contextmanager
def _left(line: Line, record: StepRecord, snapshot: Snapshot) -> Iterator[Callable[[int], int]]:
    """Notes, however the block is left, how many rows the step has read (as last told), its time and its rejects."""
    began, read, finished = time.monotonic(), record.rows_read, False

    def note(rows_read: int) -> int:
        nonlocal read
        read = rows_read
        return read

    try:
        yield note
        finished = True
    finally:
        rejects = located(line.store, line.run.run_id, record.number, snapshot)
        line.store.leave_step(
            line.run.run_id,
            record.number,
            finished=finished,
            rows_read=read,
            seconds=time.monotonic() - began,
            rejects=rejects,
        )


def located(store: Store, run_id: str, number: int, snapshot: Snapshot) -> list[RejectCount]:
    """The step's rejects by reason and field, each with its first rows by file and line."""
    counts = store.reject_counts(run_id, number)
    positions = sorted({position for count in counts for position in count.first})
    try:
        places = {
            position: f"{file}:{line}"
            for position, (file, line) in zip(positions, snapshot.locate(positions), strict=True)
        }
    except EtlError:  # the file went away meanwhile, and the run has stopped for that
        places = {position: f"row {position + 1}" for position in positions}
    return [RejectCount(c.reason, c.field, c.rows, tuple(places[position] for position in c.first)) for c in counts]


@contextmanager
def _accounted(line: Line, command: str) -> Iterator[None]:
    """Notes how the run ends, whichever way, and writes its report."""
    store, run_id = line.store, line.run.run_id
    try:
        yield
        rejected = any(mark.rejected for step in store.steps(run_id) for mark in store.lane_marks(run_id, step.number))
        store.end(run_id, "finished", 3 if rejected else 0, None)
        shutil.rmtree(line.folder / "stage", ignore_errors=True)
    except EtlError as error:
        store.end(run_id, "stopped" if error.resumable else "failed", error.exit_code, str(error))
        raise
    except BaseException as error:
        store.end(run_id, "failed", 1, f"unexpected {type(error).__name__}")
        raise
    finally:
        report = report_of(store, run_id, command)
        try:
            write_report(report, line.folder)
        except OSError as error:  # the run is as it is; `status` tells the same from the state
            log.warning("report_not_written", run_id=run_id, reason=error.strerror)
        log.info(f"run_{report.status}", run_id=run_id, exit_code=report.exit_code)
