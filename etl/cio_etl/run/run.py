"""Runs a job's steps in order: each row goes from its source to Customer.io, and the answer into the state.

    job ─▶ for each step:  EXTRACT snapshot ─▶ TRANSFORM items ─▶ LOAD batches, lanes ─▶ STATE progress, rejects

At whatever moment this process dies, the next run of the job resumes from the state.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import polars as pl

from cio_etl import state
from cio_etl.apis import endpoint
from cio_etl.config import require_secrets
from cio_etl.errors import CountsDisagree, EndedElsewhere, JobLocked
from cio_etl.load import Lanes, Pace, Packer, rate_limiter, resolve
from cio_etl.log import about
from cio_etl.model import Job, Report, Step, total_counts
from cio_etl.run.baseline import noting
from cio_etl.run.caller import Caller
from cio_etl.run.earlier_rejects import Noted, delete_settled_rows, earlier_rejects
from cio_etl.run.folders import run_folder
from cio_etl.run.gone_steps import with_gone_steps
from cio_etl.run.measuring import telling
from cio_etl.run.open_step import Files, PreparedStep, join_step, open_files, open_step, require_expected_files
from cio_etl.run.options import RunOptions
from cio_etl.run.recording import (
    RunContext,
    commit_within_limit,
    recording_run,
    recording_step,
    releasing,
    remove_old_copies,
    report_of,
)
from cio_etl.run.resume import begin_or_resume, is_named
from cio_etl.run.status_note import StatusNote, close_notes, require_current
from cio_etl.run.verifying import sends_people
from cio_etl.state import Leases, StepRecord, renewing
from cio_etl.telemetry import Watch, watching
from cio_etl.transform.decisions import Portion
from cio_etl.transform.prefetch import prefetch

LOOK_EVERY_S = 0.5  # of a worker that waits for the others


def run_job(job: Job, options: RunOptions, caller: Caller) -> Report:
    """Runs the job, or resumes its unfinished run, and reports.

    A worker whose run has a name resumes an unfinished run of another name first. Raises EtlError; then the state and
    report.json hold how far the run came, and the next call resumes it.
    """
    is_worker = options.share is not None
    with state.hold(job.state_location, job.name, options.wait_s, shared=is_worker):
        caller.begun()
        while True:
            report = run_locked(job, options, caller)
            if options.run_id is None or is_named(report.run_id, job, options.run_id):
                return report
            options = replace(options, restart=False)


def run_locked(job: Job, options: RunOptions, caller: Caller) -> Report:
    """Does one run, for a caller that holds the job's lock."""
    require_secrets(job)
    with watching(job, None if options.share is None else str(options.share)) as watch:
        return _run_watched(job, options, caller, watch)


def _run_watched(job: Job, options: RunOptions, caller: Caller, watch: Watch) -> Report:
    """Does one run that `watch` follows."""
    destination = resolve(job.destination)
    job = with_gone_steps(replace(job, destination=destination))
    store = state.open_store(job.state_location)
    try:
        with store.exclusive(job.name):
            if not options.restart:
                require_current(store, job)
            run = begin_or_resume(store, job, options, caller.observer.note)
            close_notes(store, job, run.run_id)
        remove_old_copies(job, store, run.run_id)
        schedule = partial(state.Budget, job.state_location) if store.is_shared else None
        with about(run_id=run.run_id), rate_limiter(destination, job.state, schedule) as limiter:
            pace = Pace(limiter, time.monotonic)
            watch.begun(run.run_id, lambda: pace.per_second)
            caller.observer.begin([step.name for step in job.steps])
            note = StatusNote(run_folder(job, run.run_id), store, run, caller.commands)
            context = RunContext(job, run, store, destination, pace, options, caller, note, state.new_owner(), watch)
            if run.status != "finished":
                with telling(context), recording_run(context) as reports:
                    opened = open_files(context)
                    require_expected_files(context, opened)
                    for number, step in enumerate(job.steps):
                        with about(step=step.name), watch.step(step.name):
                            _run_step(context, step, number, opened.pop(number, None))
                delete_settled_rows(context, reports[0])
                return reports[0]
        return report_of(store, run.run_id)
    finally:
        store.close()


class Read(NamedTuple):
    """What was made of a frame, or of several of which few rows are sent."""

    rows: int
    items: pl.DataFrame
    hashes: pl.DataFrame | None  # for a ledger that begins
    noted: Noted | None  # for the open rejects of earlier runs
    drawn: pl.DataFrame | None  # for the sample of people who are read back


def _run_step(context: RunContext, step: Step, number: int, files: Files | None) -> None:
    """Sends the step's lanes that no other worker sends; returns when all lanes are done. `files`: opened before."""
    context.require_running()
    store, run_id = context.store, context.run.run_id
    leases = store.leases(run_id, number, context.owner, context.job.lease_s)
    with context.watch.opening(), store.exclusive(context.job.name):
        record = store.steps(run_id)[number]
        if record.status == "finished":
            return
        has_started = store.has_started(run_id, number, by_others=context.options.share is not None)
        prepared = None if has_started else open_step(context, step, record, files, has_started=False)
        if prepared is not None:
            leases.claim(context.lanes, prepared.snapshot.fingerprint)
    if prepared is None:
        prepared = join_step(context, step, record, files)
    if prepared is None:
        return
    with (
        recording_step(
            context,
            record,
            prepared.snapshot,
            prepared.next_bookmark,
            prepared.compiled.repeats,
            prepared.next_ledger,
            prepared.gone,
        ) as note,
        releasing(leases),
        context.caller.signals.draining(lambda: None),
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
        counted = total_counts(lane.counts for lane in store.lane_progress(run_id, number)).settled
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
    """Sends the remaining rows of the leased lanes, and records those lanes as done."""
    snapshot, compiled, taken = prepared.snapshot, prepared.compiled, sorted(leases.epochs)
    progress = context.store.lane_progress(context.run.run_id, record.number)
    mine, others = [progress[lane] for lane in taken], [lane for lane in progress if lane.lane not in leases.epochs]
    if others:
        compiled = replace(compiled, only=frozenset(taken))
    to = endpoint(context.destination.api, step.mapping)
    acked, announced = (
        np.array([getattr(lane, name) for lane in progress]) for name in ("acked_through", "sending_through")
    )
    packer = Packer(context.destination.max_batch_bytes, acked, to.envelope, None if to.repeatable else announced)
    earlier = earlier_rejects(context, record, step.mapping, compiled, snapshot)
    commit = commit_within_limit(context, record.number, progress, snapshot, leases, earlier)
    lanes = Lanes(
        context.destination,
        context.pace,
        mine,
        commit,
        packer.too_large,
        context.options.grace,
        to,
        leases.check,
        watch=context.watch.lanes(),
    )
    rows_read = min(lane.acked_through for lane in mine) + 1
    signals, observer = context.caller.signals, context.caller.observer

    first = prepared.baseline
    sample = context.caller.sample if sends_people(step.mapping) else None

    def read(portion: Portion) -> Read:
        mapped = compiled.sending_portion(portion)
        noted = None if earlier is None else earlier.noted(mapped)
        drawn = None if sample is None else sample.drawn(mapped)
        return Read(portion.rows, mapped.items, None if first is None else first.hashed(mapped), noted, drawn)

    with (
        signals.draining(lanes.drain),
        renewing(leases, lanes.drain, lambda: context.ended is None),
        context.watch.sending(lambda: lanes.progress),
        observer.step(step.name, snapshot.rows, lambda: [*others, *lanes.progress], lambda: context.pace.waited_s),
        noting(context, record.number, None if first is None else first.delta) as note_hashes,
        lanes,
    ):
        for each in prefetch(read, compiled.portions(snapshot.read(compiled.columns, rows_read))):
            rows_read += each.rows
            note(rows_read)
            if earlier is not None and each.noted is not None:
                earlier.add(each.noted)
            if sample is not None and each.drawn is not None:
                sample.add(record.number, each.drawn, existing_only=step.mapping.existing_only)
            if each.hashes is not None:
                note_hashes(each.rows, each.hashes)
            if not lanes.put(packer.add(each.items)):
                break
        lanes.put(packer.finish())
        lanes.finish()
    if lanes.is_drained:
        context.require_running()
        leases.renew()  # raises when lanes were lost; else the run was ended, and has been started again since
        raise EndedElsewhere(exit_code=JobLocked.exit_code, reason="it has been resumed since")
    if rows_read != snapshot.rows:
        raise CountsDisagree(step=step.name, rows_read=rows_read, counted=snapshot.rows)
    leases.finish(taken)
