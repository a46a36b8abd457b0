"""Sends rejected rows again, in a run of their own.

    a fixed file ────┐
                     ├─▶ rows, each with its reject ─▶ the line of every run ─▶ accepted: closed, in that transaction
    a run's rejects ─┘                                                          rejected: open, with the new reason

A replay is a run of the job NAME.replay, so it neither resumes nor disturbs the job's own runs. It holds the job's
lock, because two writers of one person must not overlap. After a kill, the same command resumes it. With other rows, a
new replay begins, and nothing is lost: accepted rows are closed, and closed rows are skipped.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import polars as pl

from cio_etl import state
from cio_etl.apis import endpoint
from cio_etl.config import with_columns
from cio_etl.errors import ChangedSinceStart, EtlError, SourceError
from cio_etl.extract import is_copied
from cio_etl.model import (
    CLOSED,
    ORIGIN_POSITION,
    Bookmark,
    ClosedRejects,
    Job,
    MaxRejects,
    ReplaySource,
    Report,
    Step,
    sums_by_words,
)
from cio_etl.model.words import counted
from cio_etl.rejects.fixed_file import (
    ENDINGS,
    NOT_REJECTED,
    RESTORE_KEY,
    RUN,
    STEP,
    FixedFile,
    refuse_rows,
    runs_of,
)
from cio_etl.rejects.step_rows import Note, StepRows, rows_of_file, rows_of_run, step_rejects
from cio_etl.run import (
    Caller,
    RunOptions,
    changes_since,
    delete,
    ending_run,
    rejects_folder,
    require_current,
    run_locked,
    stage_folder,
    staging,
)
from cio_etl.state import RunRecord, StepRecord, Store
from cio_etl.transform import columns_of


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What to send again: the rejects of one run, or the rows of a fixed file, which may be of several runs."""

    digest: str
    runs: tuple[RunRecord, ...]  # the oldest first; all of one job
    rows: pl.DataFrame | None = None  # of a fixed file, see FixedFile
    unknown: bool = False  # rows with an unknown outcome are sent, too

    @property
    def job(self) -> str:
        return self.runs[-1].job

    @property
    def key(self) -> str:
        """Identifies an unfinished replay of the same rows."""
        return f"{self.digest}+unknown" if self.unknown else self.digest


def request_for_run(store: Store, run_id: str) -> ReplayRequest:
    """A request for all rejects of a run, with their rows as they were. Raises SourceError when it has none."""
    run = store.run(run_id)
    if run is None:
        remedy = f"`cio-etl status` lists the runs; a file's name ends in {', '.join(ENDINGS)}"
        raise SourceError(remedy, place=run_id, what="is no run in this state folder, and no file")
    if run.job.endswith(".replay"):
        raise SourceError(
            "name the run whose rejects were replayed, or a file",
            place=run_id,
            what="is a replay, and has no rejects of its own",
        )
    if all(store.rejects(run_id, step.number).is_empty() for step in store.steps(run_id)):
        raise SourceError(place=run_id, what="has no rejects")
    return ReplayRequest(hashlib.sha256(run_id.encode()).hexdigest()[:32], (run,))


def request_for_file(store: Store, file: FixedFile) -> ReplayRequest:
    """A request for the rows of a fixed file. Raises SourceError when a run of theirs is unknown."""
    return ReplayRequest(file.digest, runs_of(store, file.rows), file.rows)


def replay(request: ReplayRequest, job: Job, options: RunOptions, caller: Caller) -> Report | None:
    """Sends the rows again; None when there is nothing to send. Raises EtlError, as `run_job` does.

    When the rejects are of another job than this one, which replays them in a sandbox, they stay as they are.
    """
    with ending_run(replace(job, name=f"{job.name}.replay"), options, caller) as run:
        run.report = _replay(request, job, options, run.caller)
    return run.report


def _replay(request: ReplayRequest, job: Job, options: RunOptions, caller: Caller) -> Report | None:
    note = caller.observer.note
    with state.hold(job.state_location, job.name):
        store = state.open_store(job.state_location)
        try:
            steps = tuple(_steps(store, request, job, note))
            _note_newer_run(store, request, note)
            _note_closed(store, request, note)
            target = replace(job, name=f"{job.name}.replay", steps=steps, max_rejects=MaxRejects(share=1.0))
            options = replace(options, watermark=request.key, accept_drift=True)
            resumes = not options.restart and _is_resumable(store, target, options)
            if not options.restart:
                require_current(store, target)
            if not resumes:
                if not any(_has_open_rejects(step) for step in steps):
                    return None
                if not options.restart:
                    _check_abandoned(store, target)
        finally:
            store.close()
        caller.begun()
        try:
            return run_locked(target, replace(options, restart=not resumes), caller)
        finally:
            with contextlib.suppress(EtlError):
                _delete_fixed_rows(job, request.runs)


# ---------------------------------------------------------------- its steps


def _steps(store: Store, request: ReplayRequest, job: Job, note: Note) -> Iterator[Step]:
    """The job's steps that have rows to send again, in the job's order."""
    parts: dict[str, list[StepRows]] = {}
    for run in request.runs:
        for name, part in _step_rows(store, request, job, run, note):
            parts.setdefault(name, []).append(part)
    if left_out := sum(part.left_out for same_step in parts.values() for part in same_step):
        remedy = "check in Customer.io whether they are done; --unknown sends them again"
        note(f"{counted(left_out, 'row is', 'rows are')} left out, because the answer was lost: {remedy}")
    closes = job.name == request.job
    for step in job.steps:
        if step.name in parts:
            step = _with_taken(step, parts[step.name])
            yield replace(step, source=_source(parts[step.name], step, request.key, closes))


def _with_taken(step: Step, parts: Sequence[StepRows]) -> Step:
    """The step with the plain form of its mapping, where that has `*`: all runs must have taken the same columns."""
    taken = {part.taken for part in parts}
    if len(taken) > 1:
        what = "`*` took other columns in each of the runs"
        raise SourceError("replay the rejects of each run separately", place=f"step {step.name}", what=what)
    columns = taken.pop()
    return step if columns is None else replace(step, mapping=with_columns(step.mapping, columns))


def _step_rows(
    store: Store, request: ReplayRequest, job: Job, run: RunRecord, note: Note
) -> Iterator[tuple[str, StepRows]]:
    """The rows of one run, by step."""
    records = store.steps(run.run_id)
    rows = None if request.rows is None else request.rows.filter(pl.col(RUN) == run.run_id)
    if rows is not None:
        refuse_rows(rows.filter(pl.col(STEP) >= len(records)), NOT_REJECTED, RESTORE_KEY)
    for record in records:
        if rows is None:
            if _needs_nothing(store, job, run, record):
                continue
            yield record.name, rows_of_run(step_rejects(store, job, run, record, with_unknown=request.unknown))
        elif not (of_step := rows.filter(pl.col(STEP) == record.number)).is_empty():
            rejects = step_rejects(store, job, run, record, with_unknown=request.unknown, follows=True)
            yield record.name, rows_of_file(rejects, of_step, note)


def _needs_nothing(store: Store, job: Job, run: RunRecord, record: StepRecord) -> bool:
    """Whether the step has no rejects, or has only closed ones and the job no longer has the step."""
    rejects = store.rejects(run.run_id, record.number)
    is_gone = record.name not in {step.name for step in job.steps}
    return rejects.is_empty() or (is_gone and bool(rejects["closed_by"].is_not_null().all()))


def _source(parts: Sequence[StepRows], step: Step, digest: str, closes: bool) -> ReplaySource:
    """The rows of one step from all runs: the oldest run's first, each run's in the order of its source."""
    for name in columns_of(step.mapping):
        types = {part.rows.schema.get(name) for part in parts} - {pl.Null()}
        if len(types) > 1:
            what = f"column {name!r} has different types in the runs"
            raise SourceError("replay the rejects of each run separately", place=f"step {step.name}", what=what)
    facts = {
        question: [row for part in parts for row in part.facts[question]]
        for question in parts[0].facts
        if all(question in part.facts for part in parts)
    }
    rows = pl.concat([part.rows.sort(ORIGIN_POSITION) for part in parts], how="vertical_relaxed")
    return ReplaySource(rows, digest, frozenset().union(*(part.json for part in parts)), facts, closes)


def _note_newer_run(store: Store, request: ReplayRequest, note: Note) -> None:
    newest = store.runs(request.job, limit=1)[0]
    if newest.run_id != request.runs[-1].run_id and store.has_sent(newest.run_id):
        note(f"{newest.run_id} has sent rows since; for the same people, this replay overwrites what it sent")


def _note_closed(store: Store, request: ReplayRequest, note: Note) -> None:
    """Says which rejects of a run are not sent, because later runs have closed them."""
    for run in request.runs if request.rows is None else ():
        done = [each for each in store.closed_rejects(of_run=run.run_id) if not _is_replay(each)]
        if done:
            note(f"of {run.run_id}, closed and not sent: {', '.join(sums_by_words(done, by_run=True))}")
        if again := sorted({each.closed_by for each in done if each.closed_as == "rejected"}):
            note(f"the rows that were rejected again are sent as they are now by `replay` of {', '.join(again)}")


def _is_replay(closed: ClosedRejects) -> bool:
    return ".replay-" in closed.closed_by


def _has_open_rejects(step: Step) -> bool:
    assert isinstance(step.source, ReplaySource)
    return not bool(step.source.rows[CLOSED].all())


# ---------------------------------------------------------------- the replay before it


def _is_resumable(store: Store, target: Job, options: RunOptions) -> bool:
    """Whether there is an unfinished replay of the same rows, with complete copies of them."""
    unfinished = store.unfinished(target.name)
    if unfinished is None:
        return False
    records = store.steps(unfinished.run_id)
    if changes_since(unfinished, records, target, options.limit, options.since):
        return False
    stage = stage_folder(target, unfinished.run_id)
    for record, step in zip(records, target.steps, strict=True):
        assert isinstance(step.source, ReplaySource)
        copies = staging(stage, step, Bookmark(), options.since, rows=options.limit)
        if record.status == "running" and not is_copied(step.source, copies):
            return False
    return True


def _check_abandoned(store: Store, target: Job) -> None:
    """Raises ChangedSinceStart when rows of the abandoned replay may be done, and must not be done twice."""
    unfinished = store.unfinished(target.name)
    if unfinished is None:
        return
    once = {step.name for step in target.steps if not endpoint(target.destination.api, step.mapping).repeatable}
    for record in store.steps(unfinished.run_id):
        lanes = store.lane_progress(unfinished.run_id, record.number)
        if record.name in once and any(lane.sending_through > lane.acked_through for lane in lanes):
            raise ChangedSinceStart(
                "replay the same rows again; or check in Customer.io whether they are done, then add --restart",
                run_id=unfinished.run_id,
                changes=f"these are other rows or another mapping, and rows of step {record.name} were in flight",
            )


def _delete_fixed_rows(job: Job, runs: Sequence[RunRecord]) -> None:
    """Deletes the rows that a run stored, once none of its rejects is open."""
    store = state.open_store(job.state_location)
    try:
        for run in runs:
            if not store.open_rejects(run.run_id):
                delete(rejects_folder(job.state, run.run_id))
    finally:
        store.close()
