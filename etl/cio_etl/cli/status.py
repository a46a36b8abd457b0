"""The command `status`: prints the runs of a job or a state, and what the next `run` would do."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cio_etl.cli.complete import job_files
from cio_etl.cli.main import cli
from cio_etl.cli.options import ENV_FILE, JSON, TARGET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cio_etl.model import JobOutline, OpenRejects
    from cio_etl.run.newest_runs import RecentRun
    from cio_etl.state import Where

REASONS_SHOWN = 10  # of the open rejects of all runs
STALE = 3  # exit code: neither the job file nor the state is wrong, but a person should look


@cli.command(epilog="More: jobs/README.md, Report and state")
@click.argument("job", type=click.Path(path_type=Path), required=False, shell_complete=job_files)
@click.option(
    "--state", type=click.Path(path_type=Path), help="The state folder, when no JOB names it. [default: .etl]"
)
@TARGET
@JSON
@ENV_FILE
def status(job: Path | None, state: Path | None, target: str | None, as_json: bool) -> None:
    """Print the runs of JOB or of all jobs, and what is next.

    Without JOB, every job of the state folder is listed. What is next is what `run` would do.
    """
    from cio_etl.cli.shared import state_location

    if job is None:
        _print_runs(state_location(state).where, as_json)
    else:
        from cio_etl.config import load_outline

        raise SystemExit(_print_job(load_outline(job, target=target), job, as_json))


def _print_runs(where: Where, is_json: bool) -> None:
    """Prints the newest runs of every job in a state."""
    from rich.measure import Measurement
    from rich.table import Table

    from cio_etl.log.consoles import Screen
    from cio_etl.log.streams import say
    from cio_etl.report import as_json
    from cio_etl.run import open_words, recent_runs
    from cio_etl.state import exists

    if not exists(where):
        name = where if isinstance(where, Path) else "the database"
        raise click.UsageError(f"{name} holds no state; name the job, or the folder with --state")
    runs = recent_runs(where)
    if is_json:
        reports = [
            as_json(run.report, _resume_command(run) if run.report.resumable else None)
            | {"open_rejects": run.open_rejects}
            | {"open_in_all_runs": asdict(run.all_open)}
            for run in runs
        ]
        say(json.dumps(reports, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("run", overflow="fold")  # whole: other commands take it
    for name in ("status", "started"):
        table.add_column(name)
    for name in ("exit", "rows accepted", "rejected", "still open"):
        table.add_column(name, justify="right")
    for each in runs:
        run, counts = each.report, each.report.counts
        code = "" if run.exit_code is None else str(run.exit_code)
        still_open = "" if run.job.endswith(".replay") else f"{each.open_rejects:,}"  # they are open in the earlier run
        numbers = (f"{counts.accepted:,}", f"{counts.rejected:,}", still_open)
        ended = f"{run.status} (before that {run.earlier_ends.words})" if run.earlier_ends.times else run.status
        table.add_row(run.run_id, ended, run.started_at, code, *numbers)
    console = Screen()
    if not console.is_terminal:
        console.width = max(120, Measurement.get(console, console.options.update(width=1000), table).maximum)
    console.print(table)
    totals = {each.report.job: each.all_open for each in runs if not each.report.job.endswith(".sandbox")}
    for job, total in sorted(totals.items()):
        if total.rows:
            console.print(f"{job}: {open_words(total)}", soft_wrap=True, highlight=False, markup=False)


def _resume_command(run: RecentRun) -> str:
    from cio_etl.cli.commands import as_typed, target_words
    from cio_etl.model import target_of

    return as_typed("run", run.job_file, *target_words(target_of(run.report.job)))


def _print_job(job: JobOutline, file: Path, is_json: bool) -> int:
    """Prints the job's newest run, and what `run` would do; 3 when no run has finished for too long, else 0.

    The channels of the job that do not know yet that it is stale get a notice.
    """
    from cio_etl.cli.commands import as_typed, target_words
    from cio_etl.cli.shared import print_report
    from cio_etl.log.streams import say
    from cio_etl.model import OpenTotal
    from cio_etl.report import Commands, as_json
    from cio_etl.run import first_run_words, job_status, ledger_words, next_words, open_words, repeated_words

    now = datetime.now(UTC)
    status = job_status(job, now)
    if status.stale and not status.is_running:
        from cio_etl.run import tell_stale

        tell_stale(job, status.stale, now)
    code = STALE if status.stale else 0
    command = as_typed("run", file, *repeated_words(status.options))
    commands = Commands(None if status.next_step.kind in ("refuse", "invalid") else command)
    if status.report is None:
        first_run = first_run_words(job, status.sandbox_run, command)
        if is_json:
            say(json.dumps(None if status.stale is None else {"stale": status.stale}))
        else:
            say(first_run + (f"\nstale      {status.stale}" if status.stale else ""))
        return code
    if is_json:
        more: dict[str, object] = {"held": status.is_running, "open_rejects": status.open_rejects}
        total = OpenTotal.of(status.all_open)
        more["open_in_all_runs"] = asdict(total) | {"reasons": [_reason(each) for each in status.all_open]}
        more["stale"] = status.stale
        if status.ledgers:
            more["ledgers"] = [asdict(each) for each in status.ledgers]
        content = as_json(status.report, commands.resume_command(status.report))
        say(json.dumps({**content, **more}, ensure_ascii=False))
        return code
    lines = {}
    if status.open_rejects:
        are = "is" if status.open_rejects == 1 else "are"
        lines["rejects"] = f"{status.open_rejects:,} of its rejects {are} open, to be fixed and replayed"
    if (total := OpenTotal.of(status.all_open)).rows > status.open_rejects:
        lines["all runs"] = _open_lines(status.all_open, open_words(total))
    if status.stale:
        lines["stale"] = status.stale
    if status.ledgers:
        lines["ledger"] = f"\n{'':11}".join(f"{each.step}: {ledger_words(each)}" for each in status.ledgers)
    lines["next"] = next_words(status.next_step, command)
    if status.next_step.kind == "invalid":
        lines["check"] = as_typed("check", file, *target_words(job.target))
    print_report(status.report, False, commands, lines)
    return code


def _reason(open_rejects: OpenRejects) -> dict[str, object]:
    content = asdict(open_rejects)
    del content["job"]
    return content


def _open_lines(all_open: Sequence[OpenRejects], words: str) -> str:
    """The open rejects of all runs by step and reason, below their sum."""
    from cio_etl.model.words import moment

    lines = [words]
    for each in all_open[:REASONS_SHOWN]:
        field = f" in {each.field}" if each.field else ""
        runs = ", ".join(each.runs[:2]) + (" …" if len(each.runs) > 2 else "")
        lines.append(f"{each.rows:>8,}  {each.reason}{field}, step {each.step}, since {moment(each.since)} UTC: {runs}")
    return f"\n{'':11}".join(lines)
