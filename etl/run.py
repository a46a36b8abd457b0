"""The straight line: a job's rows, from where they lie to what Customer.io answered, step after step.

    job ─▶ for each step:  EXTRACT snapshot ─▶ TRANSFORM items ─▶ LOAD batches, lanes ─▶ STATE marks, rejects, counts

Whatever moment this process dies at, the next `run` of the job goes on from what the state holds.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import structlog

from etl import state
from etl.ahead import ahead
from etl.audit import warnings
from etl.config import require_secrets
from etl.errors import ChangedSinceStart, CountsDisagree, Interrupted
from etl.extract import open_source
from etl.kept import Columns
from etl.load import Lanes, Pace, Packer, endpoint, resolve, slots_of, told
from etl.model import CLOSED, Api, Job, Report, Snapshot, Step
from etl.record import Line, accounted, bounded, left, note_findings, remove_old_copies, report_of
from etl.report import Progress
from etl.resume import REMEDY, Options, begin_or_resume, source_changes
from etl.signals import Signals
from etl.since import check_drift, check_origin, forgotten_unless_fit, left_after, origin, staging
from etl.state import StepRecord
from etl.survey import survey, with_repeats
from etl.transform import Compiled, compile_mapping, gather, with_json

log = structlog.get_logger()


def run_job(job: Job, options: Options, command: str, signals: Signals, progress: Progress) -> Report:
    """Runs the job, or goes on with its unfinished run, and reports. `command` is what would continue it.

    Raises EtlError; how far the run came is then in its report.json, and kept for the next call.
    """
    with state.hold(job.state, job.name, options.wait_s), told(job.ping):
        return run_held(job, options, command, signals, progress)


def run_held(job: Job, options: Options, command: str, signals: Signals, progress: Progress) -> Report:
    """What `run_job` does, where the lock is held already."""
    require_secrets(job)
    gc.freeze()  # the modules and the job live as long as the run: collecting garbage need not look at them each time
    destination = resolve(job.destination)
    job = replace(job, destination=destination)
    store = state.open_store(job.state)
    try:
        run = begin_or_resume(store, job, options)
        remove_old_copies(job, store, run.run_id)
        with slots_of(destination, job.state) as slots:
            pace = Pace(slots, time.monotonic)
            line = Line(job, run, store, destination, pace, signals, progress, options)
            with accounted(line, command):
                for step, record in zip(job.steps, store.steps(run.run_id), strict=True):
                    if record.status != "finished":
                        _run_step(line, step, record)
        return report_of(store, run.run_id, command)
    finally:
        store.close()


def _run_step(line: Line, step: Step, record: StepRecord) -> None:
    store, run_id, number = line.store, line.run.run_id, record.number
    begun = any(mark.sending_through >= 0 for mark in store.lane_marks(run_id, number))
    before, here = store.left(line.job.name, step.name), origin(line.destination, step)
    if not begun:
        check_origin(step, before, here, line.run.since)
    with line.progress.staging(step.name) as told:
        limit = line.run.row_limit
        how = staging(line.stage, step, before, line.run.since, rows=limit, told=told, may_read=not begun)
        snapshot = limited(open_source(step.source, how), limit)
    if not begun:  # none of its rows has been under way yet
        store.begin_step(run_id, number, snapshot.fingerprint, snapshot.files, snapshot.rows, line.run.lanes)
    elif changed := source_changes(record, snapshot):
        raise ChangedSinceStart(REMEDY, run_id=run_id, changes=f"step {step.name}: {changed}")
    leaves = left_after(snapshot, before, here, moves=not limit)
    noted: dict[str, list[Mapping[str, Any]]] = {}
    with forgotten_unless_fit(snapshot, begun):
        compiled = prepare(step, snapshot, line.run.lanes, line.destination.api, run_id, noted)
        if not (begun or line.options.accept_drift):
            check_drift(step, before.columns, leaves.columns, compiled.columns)
    if not begun:
        store.note_columns(run_id, number, Columns(snapshot.schema, snapshot.json, noted).to_text())
        asking = warnings(step, compiled, line.destination, time.time())
        note_findings(store, run_id, record, survey(step, snapshot, compiled, asking))
    marks = store.lane_marks(run_id, number)
    to = endpoint(line.destination.api, step.mapping)
    acked, announced = (
        np.array([getattr(mark, name) for mark in marks]) for name in ("acked_through", "sending_through")
    )
    packer = Packer(line.destination.max_batch_bytes, acked, to.envelope, None if to.repeatable else announced)
    commit = bounded(line, number, marks, snapshot)
    lanes = Lanes(line.destination, line.pace, marks, commit, packer.too_large, line.options.grace_s, to)
    rows_read = start = min(mark.acked_through for mark in marks) + 1
    with left(line, record, snapshot, leaves) as note:
        with (
            line.signals.draining(lanes.drain),
            line.progress.step(step.name, snapshot.rows, lambda: lanes.marks, lambda: line.pace.waited_s),
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


def prepare(
    step: Step,
    snapshot: Snapshot,
    lanes: int,
    api: Api,
    run_id: str = "",
    noted: dict[str, list[Mapping[str, Any]]] | None = None,
) -> Compiled:
    """The step's mapping, ready for the snapshot's frames. What it asked of whole columns is written into `noted`."""
    mapping, again = with_json(step.mapping, snapshot.json), snapshot.replayed
    of_all = None if again is None else again.answers
    known = gather(mapping, snapshot.schema, lambda columns: snapshot.read(columns, 0), noted, of_all)
    fingerprint = snapshot.fingerprint if again is None else None
    compiled = compile_mapping(mapping, snapshot.schema, known, fingerprint, lanes, api, run_id)
    if again is not None:
        still_open = pl.col(CLOSED).not_()
        compiled = replace(compiled, when=still_open if compiled.when is None else still_open & compiled.when)
    return with_repeats(mapping, snapshot, compiled)


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
