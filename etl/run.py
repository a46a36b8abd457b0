"""The straight line: a job's rows, from where they lie to what Customer.io answered, step after step.

    job ─▶ for each step:  EXTRACT snapshot ─▶ TRANSFORM items ─▶ LOAD batches, lanes ─▶ STATE marks, rejects, counts

Whatever moment this process dies at, the next `run` of the job goes on from what the state holds.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import polars as pl
import structlog

from etl import state
from etl.ahead import ahead
from etl.config import require_secrets
from etl.errors import CountsDisagree, EndedElsewhere, JobLocked
from etl.load import Lanes, Pace, Packer, endpoint, resolve, slots_of, told
from etl.model import Job, Report, Step
from etl.record import (
    Line,
    accounted,
    bounded,
    held,
    left,
    remove_old_copies,
    report_of,
)
from etl.report import Progress
from etl.resume import Options, begin_or_resume, is_named
from etl.signals import Signals
from etl.state import Leases, StepRecord, kept
from etl.work import Files, Work, joined, open_files, opened

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
                    ahead_of_time = open_files(line)
                    for number, step in enumerate(job.steps):
                        _run_step(line, step, number, ahead_of_time.pop(number, None))
        return report_of(store, run.run_id, command)
    finally:
        store.close()


def _run_step(line: Line, step: Step, number: int, files: Files | None) -> None:
    """Sends what nobody else does of a step; returns when the step is over, whoever did it. `files`: opened already."""
    line.require_going_on()
    store, run_id = line.store, line.run.run_id
    leases = store.leases(run_id, number, line.owner, line.job.lease_s)
    with store.alone(line.job.name):
        record = store.steps(run_id)[number]
        if record.status == "finished":
            return
        begun = store.has_begun(run_id, number, by_others=line.options.share is not None)
        work = None if begun else opened(line, step, record, files, begun=False)
        if work is not None:
            leases.claim(line.lanes, work.snapshot.fingerprint)
    if work is None:
        work = joined(line, step, record, files)
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


def chosen(job: Job, names: Sequence[str]) -> tuple[Step, ...]:
    """The job's steps of these names, in the job's order: all when there are none."""
    if not names:
        return job.steps
    return tuple(step for step in job.steps if step.name in names or step.name.split("/")[0] in names)
