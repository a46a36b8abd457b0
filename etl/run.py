"""The straight line: a job's rows, from where they lie to what Customer.io answered, step after step.

    job ─▶ for each step:  EXTRACT snapshot ─▶ TRANSFORM items ─▶ LOAD batches, lanes ─▶ STATE marks, rejects, counts

Whatever moment this process dies at, the next `run` of the job goes on from what the state holds.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import structlog

from etl import state
from etl.ahead import ahead
from etl.audit import warnings
from etl.config import require_secrets
from etl.errors import ChangedSinceStart, CountsDisagree, EndedElsewhere, JobLocked, SourceError
from etl.extract import open_source
from etl.kept import Columns
from etl.load import Lanes, Pace, Packer, endpoint, resolve, slots_of, told
from etl.model import CLOSED, Api, Job, Report, Snapshot, Step
from etl.record import (
    Line,
    accounted,
    bounded,
    held,
    left,
    note_findings,
    remove_old_copies,
    report_of,
)
from etl.report import Progress
from etl.resume import REMEDY, Options, begin_or_resume, is_named, source_changes
from etl.signals import Signals
from etl.since import check_drift, check_origin, forgotten_unless_fit, left_after, origin, staging
from etl.state import Leases, Left, StepRecord, kept
from etl.survey import survey, with_repeats
from etl.transform import Compiled, compile_mapping, gather, with_json

log = structlog.get_logger()

LOOK_EVERY_S = 0.5  # who waits for other workers


def run_job(job: Job, options: Options, command: str, signals: Signals, progress: Progress) -> Report:
    """Runs the job, or goes on with its unfinished run, and reports. `command` is what would continue it.

    A worker whose run has a name goes on with an unfinished one first. Raises EtlError; how far the run came is then in
    its report.json, and kept for the next call.
    """
    is_worker = options.share is not None
    with state.hold(job.kept_in, job.name, options.wait_s, shared=is_worker), told(job.ping):
        while True:
            report = run_held(job, options, command, signals, progress)
            if options.run_id is None or is_named(report.run_id, job, options.run_id):
                return report
            options = replace(options, restart=False)


def run_held(job: Job, options: Options, command: str, signals: Signals, progress: Progress) -> Report:
    """What `run_job` does of one run, where the lock is held already."""
    require_secrets(job)
    gc.freeze()  # the modules and the job live as long as the run: collecting garbage need not look at them each time
    destination = resolve(job.destination)
    job = replace(job, destination=destination)
    store = state.open_store(job.kept_in)
    try:
        with store.alone(job.name):
            run = begin_or_resume(store, job, options)
        remove_old_copies(job, store, run.run_id)
        schedule = partial(state.Budget, job.kept_in) if store.is_shared else None
        with slots_of(destination, job.state, schedule) as slots:
            pace = Pace(slots, time.monotonic)
            line = Line(job, run, store, destination, pace, signals, progress, options, state.new_owner())
            if run.status != "finished":
                with accounted(line, command):
                    for number, step in enumerate(job.steps):
                        _run_step(line, step, number)
        return report_of(store, run.run_id, command)
    finally:
        store.close()


def _run_step(line: Line, step: Step, number: int) -> None:
    """Sends what nobody else does of a step; returns when the step is over, whoever did it."""
    store, run_id = line.store, line.run.run_id
    leases = store.leases(run_id, number, line.owner, line.job.lease_s)
    with store.alone(line.job.name):
        record = store.steps(run_id)[number]
        if record.status == "finished":
            return
        begun = store.has_begun(run_id, number, by_others=line.options.share is not None)
        work = None if begun else _opened(line, step, record, begun=False)
        if work is not None:
            leases.claim(line.lanes, work.snapshot.fingerprint)
    if work is None:
        work = _joined(line, step, record)
    if work is None:
        return
    with left(line, record, work.snapshot, work.leaves) as note, held(leases), line.signals.draining(lambda: None):
        taken = list(leases.epochs) or leases.claim(line.lanes, work.snapshot.fingerprint)
        while True:
            if taken:
                _send(line, step, record, work, leases, note)
            standing = leases.standing()
            if standing.done == standing.lanes:
                break
            line.require_going_on()
            if not taken:
                time.sleep(LOOK_EVERY_S)
            taken = leases.claim(standing.free, work.snapshot.fingerprint)
        note(work.snapshot.rows)
        counted = sum(mark.accepted + mark.rejected + mark.skipped for mark in store.lane_marks(run_id, number))
        if counted != work.snapshot.rows:
            raise CountsDisagree(step=step.name, rows_read=work.snapshot.rows, counted=counted)


@dataclass(frozen=True, slots=True)
class Work:
    """A step's rows and its mapping, ready to be sent; `leaves` is for the next run."""

    snapshot: Snapshot
    compiled: Compiled
    leaves: Left


def _joined(line: Line, step: Step, record: StepRecord) -> Work | None:
    """The work of a step that is under way; None when the others have finished it meanwhile."""
    try:
        return _opened(line, step, record, begun=True)
    except SourceError:
        if line.store.steps(line.run.run_id)[record.number].status == "finished":
            return None
        raise


def _opened(line: Line, step: Step, record: StepRecord, *, begun: bool) -> Work:
    """Opens the source and compiles the mapping. Unless rows have been under way, the step begins with what is found;
    else that must be what it began with."""
    store, run_id, number = line.store, line.run.run_id, record.number
    before, here = store.left(line.job.name, step.name), origin(line.destination, step)
    if not begun:
        check_origin(step, before, here, line.run.since)
    with line.progress.staging(step.name) as told:
        limit = line.run.row_limit
        how = staging(line.stage, step, before, line.run.since, rows=limit, told=told, may_read=not begun)
        snapshot = limited(open_source(step.source, how), limit)
    if not begun:
        lease_s = line.job.lease_s if store.is_shared else None
        store.begin_step(run_id, number, snapshot.fingerprint, snapshot.files, snapshot.rows, line.run.lanes, lease_s)
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
    return Work(snapshot, compiled, leaves)


def _send(
    line: Line, step: Step, record: StepRecord, work: Work, leases: Leases, note: Callable[[int], object]
) -> None:
    """Sends what is left of the lanes that are held, and gives them back as done."""
    snapshot, compiled, taken = work.snapshot, work.compiled, sorted(leases.epochs)
    marks = line.store.lane_marks(line.run.run_id, record.number)
    mine, others = [marks[lane] for lane in taken], [mark for mark in marks if mark.lane not in leases.epochs]
    if others:
        compiled = replace(compiled, only=frozenset(taken))
    to = endpoint(line.destination.api, step.mapping)
    acked, announced = (
        np.array([getattr(mark, name) for mark in marks]) for name in ("acked_through", "sending_through")
    )
    packer = Packer(line.destination.max_batch_bytes, acked, to.envelope, None if to.repeatable else announced)
    commit = bounded(line, record.number, marks, snapshot, leases)
    lanes = Lanes(line.destination, line.pace, mine, commit, packer.too_large, line.options.grace_s, to, leases.check)
    rows_read = min(mark.acked_through for mark in mine) + 1

    def read(frame: pl.DataFrame) -> tuple[int, pl.DataFrame]:
        return frame.height, compiled.items(frame)

    with (
        line.signals.draining(lanes.drain),
        kept(leases, lanes.drain, lambda: line.ended is None),
        line.progress.step(step.name, snapshot.rows, lambda: [*others, *lanes.marks], lambda: line.pace.waited_s),
        lanes,
    ):
        for rows, items in ahead(read, snapshot.read(compiled.columns, rows_read)):
            rows_read += rows
            note(rows_read)
            if not lanes.put(packer.add(items)):
                break
        lanes.put(packer.finish())
        lanes.finish()
    if lanes.is_drained:
        line.require_going_on()
        leases.renew()  # raises when it was for lanes that are lost; else the run was ended, and is begun again by now
        raise EndedElsewhere(exit_code=JobLocked.exit_code, reason="it has gone on since")
    if rows_read != snapshot.rows:
        raise CountsDisagree(step=step.name, rows_read=rows_read, counted=snapshot.rows)
    leases.finish(taken)


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
