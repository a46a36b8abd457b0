"""Where do things stand? The runs of a state folder, and what the next `run` of a job would do."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import click
from rich.table import Table

from cio_etl import state
from cio_etl.model import Job, Report, total_counts
from cio_etl.report import show
from cio_etl.report.files import as_json as content
from cio_etl.report.streams import Screen, say
from cio_etl.run.resume import changes_since
from cio_etl.state import RunRecord, StepRecord, Store
from cio_etl.transform import reason_words


def runs_status(where: state.Where, as_json: bool) -> None:
    """Prints the newest runs of every job in a state."""
    if not state.exists(where):
        name = where if isinstance(where, Path) else "the database"
        raise click.UsageError(f"{name} holds no state; name the job, or the folder with --state")
    store = state.open_store(where)
    runs = store.runs()
    if as_json:
        say(json.dumps([content(_report(store, run)) for run in runs], ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("run", "status", "started", "exit", "rows accepted", "rejected"):
        table.add_column(name, justify="right" if name in ("exit", "rows accepted", "rejected") else "left")
    for run in runs:
        counts = _report(store, run).counts
        code = "" if run.exit_code is None else str(run.exit_code)
        table.add_row(run.run_id, run.status, run.started_at, code, f"{counts.accepted:,}", f"{counts.rejected:,}")
    console = Screen()
    if not console.is_terminal:
        console.width = 120
    console.print(table)


def job_status(job: Job, command: str, as_json: bool, now: datetime) -> int:
    """Prints the job's newest run, and what `command` would do; 3 when no run has finished for too long, else 0."""
    store = state.open_store(job.kept_in) if state.exists(job.kept_in) else None  # asking makes no state
    runs = [] if store is None else store.runs(job.name, limit=100)
    stale = staleness(job, runs, now)
    code = STALE if stale else 0
    if store is None or not runs:
        say(json.dumps(None if stale is None else {"stale": stale}) if as_json else _never(job, command, stale))
        return code
    newest = runs[0]
    held = state.running(job.kept_in, job.name)
    job, command = as_begun(job, newest, store.steps(newest.run_id), command)
    report = state.build_report(store, newest, command)
    if newest.status == "running" and not held:
        report = replace(report, status="stopped", reason=KILLED)
    still_open = store.open_rejects(newest.run_id)
    if as_json:
        more = {"held": held, "open_rejects": still_open, "stale": stale}
        say(json.dumps({**content(report), **more}, ensure_ascii=False))
        return code
    lines = {"rejects": f"{still_open:,} of its rejects are open, to be mended and replayed"} if still_open else {}
    lines |= {"stale": stale} if stale else {}
    show(report, Screen(), reason_words(), {**lines, "next": next_step(store, job, newest, held, command)})
    return code


KILLED = "its process is gone: it was killed, or the machine went down"


def as_begun(job: Job, run: RunRecord, steps: Sequence[StepRecord], command: str) -> tuple[Job, str]:
    """The job with those steps that the run has, and the command that goes on with it, with its options."""
    if run.status not in state.RESUMABLE:
        return job, command
    names = {step.name for step in steps}
    of_run = tuple(step for step in job.steps if step.name in names)
    options = [f"--limit={run.row_limit}"] if run.row_limit else []
    if of_run and len(of_run) == len(names) < len(job.steps):
        job, options = replace(job, steps=of_run), [*(f"--step={step.name}" for step in of_run), *options]
    return job, " ".join([command, *map(shlex.quote, options)])


STALE = 3  # exit code: nothing is wrong with the job file or the state, but a person should look


def _never(job: Job, command: str, stale: str | None) -> str:
    return f"{job.name} has never run; `{command}` starts it" + (f"\nstale      {stale}" if stale else "")


def staleness(job: Job, runs: Sequence[RunRecord], now: datetime) -> str | None:
    """In which way the job's last finished run is older than `expect_every` says; None when it is not, or nothing says.

    `runs` are the job's, the newest first. Those of `--limit` do not count: they were to try something.
    """
    if job.expect_every is None:
        return None
    expected = f"one is expected every {_rounded(job.expect_every)}"
    whole = [run for run in runs if run.status == "finished" and run.row_limit is None]
    ends = [run.finished_at for run in whole if run.finished_at is not None]
    if not ends:
        return f"no run has finished yet, and {expected}"
    age = now - datetime.fromisoformat(ends[0])
    return f"the last finished run is {_rounded(age)} old, and {expected}" if age > job.expect_every else None


def _rounded(time: timedelta) -> str:
    """A duration in its largest unit that fits twice."""
    seconds = int(time.total_seconds())
    for name, unit in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * unit:
            return f"{seconds // unit} {name}"
    return f"{seconds} seconds"


def next_step(store: Store, job: Job, run: RunRecord, held: bool, command: str) -> str:
    """What `command` would do, now that the job's newest run is this one; `held`: a process is at work on it."""
    if held:
        return "a process is at work on it now; `run` would exit 75"
    if run.status not in state.RESUMABLE:
        return f"`{command}` starts a new run"
    if store.has_sent(run.run_id) and (changes := changes_since(run, store.steps(run.run_id), job, run.row_limit)):
        return f"`{command}` would exit 78, since {'; '.join(changes)}; undo that, or add --restart"
    left = [step for step in store.steps(run.run_id) if step.status != "finished"]
    marks = [mark for step in left for mark in store.lane_progress(run.run_id, step.number)]
    settled = total_counts(mark.counts for mark in marks).settled
    rows = sum(step.rows or 0 for step in left)
    again = sum(mark.sending_through > mark.acked_through for mark in marks)
    return (
        f"`{command}` goes on in step {left[0].name if left else '-'}: {settled:,} of {rows:,} rows are settled, "
        f"a batch of {again} lanes may be sent a second time"
    )


def _report(store: Store, run: RunRecord) -> Report:
    return state.build_report(store, run, f"cio-etl run {run.job_file}")
