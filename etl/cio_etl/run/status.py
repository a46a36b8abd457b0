"""Reports a job's newest run, whether it is stale, and what the next `run` would do.

The job's mappings are read for an unfinished run only, to know whether it can go on: the status of last night's run is
there whatever somebody does to a mapping.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace
from datetime import datetime
from pathlib import Path

from cio_etl import state
from cio_etl.errors import ConfigError
from cio_etl.model import Job, JobOutline, JobSettings, OpenRejects, Report
from cio_etl.model.records import dataclass
from cio_etl.model.words import whole_units
from cio_etl.run.comparison import compared
from cio_etl.run.ledgers import LedgerStatus, ledger_statuses
from cio_etl.run.newest_runs import with_killed
from cio_etl.run.options import RunOptions
from cio_etl.run.status_note import require_current
from cio_etl.run.what_next import NextStep, next_step
from cio_etl.state import RunRecord, StepRecord, Store


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job's newest run, if it has one, and what is known of it."""

    report: Report | None
    is_running: bool = False  # a process is at work on the job
    open_rejects: int = 0  # of this run
    all_open: Sequence[OpenRejects] = ()  # of all runs of the job
    stale: str | None = None  # how the last finished run is older than `expect_every` allows
    next_step: NextStep = field(default_factory=lambda: NextStep("new"))
    options: RunOptions = field(default_factory=RunOptions)  # with which `run` resumes it
    sandbox_run: str | None = None  # without a report: the newest run of `run --sandbox`
    ledgers: Sequence[LedgerStatus] = ()  # of the steps that send only what changed


def job_status(job: JobOutline, now: datetime) -> JobStatus:
    """The status of a job; creates no state. Raises StateError, also for a state that is older than the last run."""
    if not state.exists(job.state_location):
        require_current(None, job)
        return JobStatus(None, stale=staleness(job, [], now), options=RunOptions(target=job.target))
    store = state.open_to_read(job.state_location)
    try:
        require_current(store, job)
        runs = store.runs(job.name, limit=100)
        stale = staleness(job, runs, now)
        if not runs:
            options = RunOptions(target=job.target)
            return JobStatus(None, stale=stale, options=options, sandbox_run=newest_sandbox_run(store, job))
        newest = runs[0]
        is_running = state.running(job.state_location, job.name)
        ledgers = ledger_statuses(store, job)
        options = options_to_resume(job, newest, store.steps(newest.run_id))
        report = with_killed(compared(store, state.build_report(store, newest)), is_running)
        open_rejects = store.open_rejects(newest.run_id)
        all_open = store.open_reasons(newest.job)
        step = _next_step(store, job, newest, is_running)
        return JobStatus(report, is_running, open_rejects, all_open, stale, step, options, ledgers=ledgers)
    finally:
        store.close()


def _next_step(store: Store, job: JobOutline, newest: RunRecord, is_running: bool) -> NextStep:
    """What `run` would do; the job is loaded where that depends on its mappings."""
    if is_running:
        return NextStep("locked")
    if newest.status not in state.RESUMABLE:
        return NextStep("new")
    from cio_etl.config import load_job  # here: mappings need polars

    try:
        whole = load_job(Path(job.file), secrets=False, sources=False, target=job.target)
    except ConfigError as error:
        first, *rest = error.problems
        return NextStep("invalid", (f"{first}{f' (and {len(rest)} more)' if rest else ''}",))
    return next_step(store, as_started(whole, newest, store.steps(newest.run_id))[0], newest, is_running)


def unfinished_since(job: JobSettings) -> str | None:
    """When the job's unfinished run was started, in ISO 8601 and UTC; None when there is none."""
    if not state.exists(job.state_location):
        return None
    store = state.open_to_read(job.state_location)
    try:
        unfinished = store.unfinished(job.name)
        return None if unfinished is None else unfinished.started_at
    finally:
        store.close()


def as_started(job: Job, run: RunRecord, steps: Sequence[StepRecord]) -> tuple[Job, RunOptions]:
    """The job with the steps that the run has, and the options that resume it."""
    options = options_to_resume(job, run, steps)
    if options.steps:
        job = replace(job, steps=tuple(step for step in job.steps if step.name in options.steps))
    return job, options


def options_to_resume(job: Job | JobOutline, run: RunRecord, steps: Sequence[StepRecord]) -> RunOptions:
    """The options that resume the run."""
    if run.status not in state.RESUMABLE:
        return RunOptions(target=job.target)
    names = {step.name for step in steps}
    selected = tuple(step.name for step in job.steps if step.name in names)
    is_selection = selected and len(selected) == len(names) < len(job.steps)
    return RunOptions(target=job.target, steps=selected if is_selection else (), limit=run.row_limit or None)


def staleness(job: JobSettings, runs: Sequence[RunRecord], now: datetime) -> str | None:
    """How the job's last finished run is older than `expect_every` allows; None when it is not, or nothing is expected.

    `runs` are the job's, the newest first. Runs with `--limit` do not count: they were trials.
    """
    if job.expect_every is None:
        return None
    expected = f"one is expected every {whole_units(job.expect_every)}"
    whole = [run for run in runs if run.status == "finished" and run.row_limit is None]
    ends = [run.finished_at for run in whole if run.finished_at is not None]
    if not ends:
        return f"no run has finished yet, and {expected}"
    age = now - datetime.fromisoformat(ends[0])
    return f"the last finished run is {whole_units(age)} old, and {expected}" if age > job.expect_every else None


def newest_sandbox_run(store: Store, job: JobSettings) -> str | None:
    """The newest run of the job in the sandbox; None when there is none."""
    return next((run.run_id for run in store.runs(f"{job.name}.sandbox", limit=1)), None)


def first_run_words(job: JobSettings, sandbox_run: str | None, command: str) -> str:
    """That a job has no run yet, other than in the sandbox, and that `command` starts one."""
    if sandbox_run is None:
        return f"{job.name} has never run; `{command}` starts it"
    return f"{job.name} has run in the sandbox only, last as {sandbox_run}; `{command}` sends to the destination"
