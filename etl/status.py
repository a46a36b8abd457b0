"""Where do things stand? The runs of a state folder, and what the next `run` of a job would do."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.table import Table

from etl import state
from etl.model import Job, Report
from etl.report import show
from etl.report.files import as_json as content
from etl.report.streams import Screen, say
from etl.resume import changes_since
from etl.state import RunRecord, Store
from etl.transform.checks import REASONS


def runs_status(folder: Path, as_json: bool) -> None:
    """Prints the newest runs of every job in a state folder."""
    if not (folder / "state.db").exists():
        raise click.UsageError(f"{folder} holds no state; name the job, or the folder with --state")
    store = state.open_store(folder)
    runs = store.runs()
    if as_json:
        say(json.dumps([content(_report(store, run)) for run in runs], ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("run", "status", "started", "exit", "rows accepted", "rejected"):
        table.add_column(name, justify="right" if name in ("exit", "rows accepted", "rejected") else "left")
    for run in runs:
        steps = _report(store, run).steps
        accepted, rejected = sum(step.accepted for step in steps), sum(step.rejected for step in steps)
        code = "" if run.exit_code is None else str(run.exit_code)
        table.add_row(run.run_id, run.status, run.started_at, code, f"{accepted:,}", f"{rejected:,}")
    console = Screen()
    if not console.is_terminal:
        console.width = 120
    console.print(table)


def job_status(job: Job, command: str, as_json: bool) -> None:
    """Prints the job's newest run, and what `command` would do."""
    store = state.open_store(job.state) if (job.state / "state.db").exists() else None  # asking makes no state
    newest = None if store is None else next(iter(store.runs(job.name, limit=1)), None)
    if store is None or newest is None:
        say("null" if as_json else f"{job.name} has never run; `{command}` starts it")
        return
    held = state.running(job.state, job.name)
    report = state.account(store, newest, command)
    still_open = store.open_rejects(newest.run_id)
    if as_json:
        say(json.dumps({**content(report), "held": held, "open_rejects": still_open}, ensure_ascii=False))
        return
    to_mend = {"rejects": f"{still_open:,} of its rejects are open, to be mended and replayed"} if still_open else {}
    show(report, Screen(), REASONS, {**to_mend, "next": next_step(store, job, newest, held, command)})


def next_step(store: Store, job: Job, run: RunRecord, held: bool, command: str) -> str:
    """What `command` would do, now that the job's newest run is this one; `held`: a process is at work on it."""
    if held:
        return "a process is at work on it now; `run` would exit 75"
    if run.status not in state.RESUMABLE:
        return f"`{command}` starts a new run"
    if store.has_sent(run.run_id) and (changes := changes_since(run, store.steps(run.run_id), job, run.row_limit)):
        return f"`{command}` would exit 78, since {'; '.join(changes)}; undo that, or add --restart"
    left = [step for step in store.steps(run.run_id) if step.status != "finished"]
    marks = [mark for step in left for mark in store.lane_marks(run.run_id, step.number)]
    settled = sum(mark.accepted + mark.rejected + mark.skipped for mark in marks)
    rows = sum(step.rows or 0 for step in left)
    again = sum(mark.sending_through > mark.acked_through for mark in marks)
    return (
        f"`{command}` goes on in step {left[0].name if left else '-'}: {settled:,} of {rows:,} rows are settled, "
        f"a batch of {again} lanes may be sent a second time"
    )


def _report(store: Store, run: RunRecord) -> Report:
    return state.account(store, run, f"cio-etl run {run.job_file}")
