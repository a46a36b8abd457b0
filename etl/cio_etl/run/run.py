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

from cio_etl import state
from cio_etl.apis import endpoint
from cio_etl.config import require_secrets
from cio_etl.errors import CountsDisagree, EndedElsewhere, JobLocked
from cio_etl.load import Lanes, Pace, Packer, monitored, rate_limiter, resolve
from cio_etl.model import Job, Report, Step, total_counts
from cio_etl.report import Progress
from cio_etl.run.open_step import Files, PreparedStep, join_step, open_files, open_step
from cio_etl.run.prefetch import prefetch
from cio_etl.run.recording import (
    RunContext,
    commit_within_limit,
    recording_run,
    recording_step,
    releasing,
    remove_old_copies,
    report_of,
)
from cio_etl.run.resume import Options, begin_or_resume, is_named
from cio_etl.run.signals import Signals
from cio_etl.state import Leases, StepRecord, renewing

log = structlog.get_logger()

LOOK_EVERY_S = 0.5  # who waits for other workers


def run_job(job: Job, options: Options, command: str, signals: Signals, progress: Progress) -> Report:
    """Runs the job, or goes on with its unfinished run, and reports. `command` is what would continue it.

    A worker whose run has a name goes on with an unfinished one first. Raises EtlError; how far the run came is then in
    its report.json, and kept for the next call.
    """
    is_worker = options.share is not None
    with state.hold(job.kept_in, job.name, options.wait_s, shared=is_worker), monitored(job.ping):
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
        with store.exclusive(job.name):
            run = begin_or_resume(store, job, options)
        remove_old_copies(job, store, run.run_id)
        schedule = partial(state.Budget, job.kept_in) if store.is_shared else None
        with rate_limiter(destination, job.state, schedule) as limiter:
            pace = Pace(limiter, time.monotonic)
            context = RunContext(job, run, store, destination, pace, signals, progress, options, state.new_owner())
            if run.status != "finished":
                with recording_run(context, command):
                    ahead_of_time = open_files(context)
                    for number, step in enumerate(job.steps):
                        _run_step(context, step, number, ahead_of_time.pop(number, None))
        return report_of(store, run.run_id, command)
    finally:
        store.close()


def _run_step(context: RunContext, step: Step, number: int, files: Files | None) -> None:
    """Sends what nobody else does of a step; returns when the step is over, whoever did it. `files`: opened already."""
    context.require_running()
    store, run_id = context.store, context.run.run_id
    leases = store.leases(run_id, number, context.owner, context.job.lease_s)
    with store.exclusive(context.job.name):
        record = store.steps(run_id)[number]
        if record.status == "finished":
            return
        begun = store.has_begun(run_id, number, by_others=context.options.share is not None)
        prepared = None if begun else open_step(context, step, record, files, begun=False)
        if prepared is not None:
            leases.claim(context.lanes, prepared.snapshot.fingerprint)
    if prepared is None:
        prepared = join_step(context, step, record, files)
    if prepared is None:
        return
    with (
        recording_step(context, record, prepared.snapshot, prepared.next_bookmark) as note,
        releasing(leases),
        context.signals.draining(lambda: None),
    ):
        taken = list(leases.epochs) or leases.claim(context.lanes, prepared.snapshot.fingerprint)
        while True:
            if taken:
                _send(context, step, record, prepared, leases, note)
            summary = leases.summary()
            if summary.done == summary.lanes:
                break
            context.require_running()
            if not taken:
                time.sleep(LOOK_EVERY_S)
            taken = leases.claim(summary.free, prepared.snapshot.fingerprint)
        note(prepared.snapshot.rows)
        counted = total_counts(mark.counts for mark in store.lane_progress(run_id, number)).settled
        if counted != prepared.snapshot.rows:
            raise CountsDisagree(step=step.name, rows_read=prepared.snapshot.rows, counted=counted)


def _send(
    context: RunContext,
    step: Step,
    record: StepRecord,
    prepared: PreparedStep,
    leases: Leases,
    note: Callable[[int], object],
) -> None:
    """Sends what is left of the lanes that are held, and gives them back as done."""
    snapshot, compiled, taken = prepared.snapshot, prepared.compiled, sorted(leases.epochs)
    marks = context.store.lane_progress(context.run.run_id, record.number)
    mine, others = [marks[lane] for lane in taken], [mark for mark in marks if mark.lane not in leases.epochs]
    if others:
        compiled = replace(compiled, only=frozenset(taken))
    to = endpoint(context.destination.api, step.mapping)
    acked, announced = (
        np.array([getattr(mark, name) for mark in marks]) for name in ("acked_through", "sending_through")
    )
    packer = Packer(context.destination.max_batch_bytes, acked, to.envelope, None if to.repeatable else announced)
    commit = commit_within_limit(context, record.number, marks, snapshot, leases)
    lanes = Lanes(
        context.destination, context.pace, mine, commit, packer.too_large, context.options.grace_s, to, leases.check
    )
    rows_read = min(mark.acked_through for mark in mine) + 1

    def read(frame: pl.DataFrame) -> tuple[int, pl.DataFrame]:
        return frame.height, compiled.items(frame)

    with (
        context.signals.draining(lanes.drain),
        renewing(leases, lanes.drain, lambda: context.ended is None),
        context.progress.step(
            step.name, snapshot.rows, lambda: [*others, *lanes.progress], lambda: context.pace.waited_s
        ),
        lanes,
    ):
        for rows, items in prefetch(read, snapshot.read(compiled.columns, rows_read)):
            rows_read += rows
            note(rows_read)
            if not lanes.put(packer.add(items)):
                break
        lanes.put(packer.finish())
        lanes.finish()
    if lanes.is_drained:
        context.require_running()
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
