"""Reports a job's newest run, whether it is stale, and what the next `run` would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace
from datetime import datetime
from typing import Literal

from cio_etl import state
from cio_etl.model import Job, OpenRejects, Report, total_counts
from cio_etl.model.records import dataclass
from cio_etl.model.words import counted, whole_units
from cio_etl.run.changes import changes_since, is_replaced
from cio_etl.run.comparison import compared
from cio_etl.run.ledgers import LedgerStatus, ledger_statuses
from cio_etl.run.newest_runs import with_killed
from cio_etl.run.options import RunOptions
from cio_etl.run.replacement import has_too_many_rejects, restart_repeats
from cio_etl.run.status_note import require_current
from cio_etl.state import RunRecord, StepRecord, Store


@dataclass(frozen=True, slots=True)
class NextStep:
    """What the next `run` of a job would do.

    locked: exit, since a process holds the job.
    new: start a new run.
    replace: start a new run in place of this one, which had too many rejects.
    refuse: exit, since the job has `changes`.
    stop: exit, since it has too many rejects, and its rows and mapping are the same; `changes` says what --restart does
        twice.
    resume: continue in `step`, of whose `rows` so many are `settled`; `lanes` may send one batch a second time.
    """

    kind: Literal["locked", "new", "replace", "refuse", "stop", "resume"]
    changes: tuple[str, ...] = ()
    step: str | None = None
    settled: int = 0
    rows: int = 0
    lanes: int = 0

    @property
    def remedy(self) -> str:
        """What to do when the run would stop again."""
        if self.kind != "stop":
            return ""
        if not self.changes:
            return "fix the mapping or the rows, or raise max_rejects"
        return f"raise max_rejects, run it, then fix and replay the rejects; or add --restart, but {self.changes[0]}"


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


def job_status(job: Job, now: datetime) -> JobStatus:
    """The status of a job; creates no state. Raises StateError, also for a state that is older than the last run."""
    if not state.exists(job.kept_in):
        require_current(None, job)
        return JobStatus(None, stale=staleness(job, [], now), options=RunOptions(target=job.target))
    store = state.open_to_read(job.kept_in)
    try:
        require_current(store, job)
        runs = store.runs(job.name, limit=100)
        stale = staleness(job, runs, now)
        if not runs:
            options = RunOptions(target=job.target)
            return JobStatus(None, stale=stale, options=options, sandbox_run=newest_sandbox_run(store, job))
        newest = runs[0]
        is_running = state.running(job.kept_in, job.name)
        ledgers = ledger_statuses(store, job)
        job, options = as_started(job, newest, store.steps(newest.run_id))
        report = with_killed(compared(store, state.build_report(store, newest)), is_running)
        open_rejects = store.open_rejects(newest.run_id)
        all_open = store.open_reasons(newest.job)
        step = next_step(store, job, newest, is_running)
        return JobStatus(report, is_running, open_rejects, all_open, stale, step, options, ledgers=ledgers)
    finally:
        store.close()


def unfinished_since(job: Job) -> str | None:
    """When the job's unfinished run was started, in ISO 8601 and UTC; None when there is none."""
    if not state.exists(job.kept_in):
        return None
    store = state.open_to_read(job.kept_in)
    try:
        unfinished = store.unfinished(job.name)
        return None if unfinished is None else unfinished.started_at
    finally:
        store.close()


def as_started(job: Job, run: RunRecord, steps: Sequence[StepRecord]) -> tuple[Job, RunOptions]:
    """The job with the steps that the run has, and the options that resume it."""
    if run.status not in state.RESUMABLE:
        return job, RunOptions(target=job.target)
    names = {step.name for step in steps}
    selected = tuple(step for step in job.steps if step.name in names)
    if selected and len(selected) == len(names) < len(job.steps):
        return replace(job, steps=selected), RunOptions(
            target=job.target, steps=tuple(step.name for step in selected), limit=run.row_limit or None
        )
    return job, RunOptions(target=job.target, limit=run.row_limit or None)


def staleness(job: Job, runs: Sequence[RunRecord], now: datetime) -> str | None:
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


def next_step(store: Store, job: Job, run: RunRecord, is_running: bool) -> NextStep:
    """What `run` would do, now that the job's newest run is this one; `is_running`: a process is at work on it."""
    if is_running:
        return NextStep("locked")
    if run.status not in state.RESUMABLE:
        return NextStep("new")
    if is_replaced(store, job, run, run.row_limit):
        return NextStep("replace")
    if store.has_sent(run.run_id) and (changes := changes_since(run, store.steps(run.run_id), job, run.row_limit)):
        return NextStep("refuse", tuple(changes))
    records = store.steps(run.run_id)
    if has_too_many_rejects(store, job, run, records):
        twice = restart_repeats(store, job, run, records)
        return NextStep("stop", (twice,) if twice else ())
    remaining = [step for step in records if step.status != "finished"]
    progress = [lane for step in remaining for lane in store.lane_progress(run.run_id, step.number)]
    return NextStep(
        "resume",
        step=remaining[0].name if remaining else None,
        settled=total_counts(lane.counts for lane in progress).settled,
        rows=sum(step.rows or 0 for step in remaining),
        lanes=sum(lane.sending_through > lane.acked_through for lane in progress),
    )


def newest_sandbox_run(store: Store, job: Job) -> str | None:
    """The newest run of the job in the sandbox; None when there is none."""
    return next((run.run_id for run in store.runs(f"{job.name}.sandbox", limit=1)), None)


def first_run_words(job: Job, sandbox_run: str | None, command: str) -> str:
    """That a job has no run yet, other than in the sandbox, and that `command` starts one."""
    if sandbox_run is None:
        return f"{job.name} has never run; `{command}` starts it"
    return f"{job.name} has run in the sandbox only, last as {sandbox_run}; `{command}` sends to the destination"


def next_words(next_step: NextStep, command: str) -> str:
    """What `command` would do, in a sentence."""
    match next_step.kind:
        case "locked":
            return "a process is at work on it now; `run` would exit 75"
        case "new":
            return f"`{command}` starts a new run"
        case "replace":
            return f"`{command}` reads the source again in a new run, since this one had too many rejects"
        case "refuse":
            return f"`{command}` would exit 78, since {'; '.join(next_step.changes)}; undo that, or add --restart"
        case "stop":
            return f"`{command}` would exit 4 again, since this run has too many rejects; {next_step.remedy}"
    rows = counted(next_step.rows, "row is", "rows are")
    progress = f"{next_step.settled:,} of {rows} settled" if next_step.rows else "its source is not read yet"
    if next_step.lanes:
        progress += f", and {counted(next_step.lanes, 'batch', 'batches')} may be sent a second time"
    return f"`{command}` continues in step {next_step.step or '-'}: {progress}"
