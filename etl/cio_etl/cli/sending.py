"""The commands that send rows: run, replay."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import structlog
from rich.console import Console

from cio_etl.cli.main import cli
from cio_etl.cli.options import (
    DURATION,
    FULL_REFRESH,
    GRACE,
    JOB,
    JSON,
    SANDBOX,
    STATE,
    STEP,
    WATERMARK,
    Lanes,
    RunName,
)
from cio_etl.cli.shared import (
    as_typed,
    continued_by,
    flags_of,
    laned,
    load,
    opened_store,
    page_of,
    rehearsal,
    say_stand_ins,
    show_report,
    since_of,
    state_location,
)
from cio_etl.errors import ConfigError, CredentialsRefused, Problem
from cio_etl.model import Job
from cio_etl.report.logs import KeptLines, LogLines
from cio_etl.report.streams import say

if TYPE_CHECKING:
    from cio_etl.run.resume import Share

log = structlog.get_logger()


@cli.command()
@JOB
@STEP
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N rows of each step.")
@click.option("--restart", is_flag=True, help="Give the unfinished run up and start anew.")
@SANDBOX
@FULL_REFRESH
@WATERMARK
@click.option(
    "--lanes", type=Lanes(), metavar="N", help="So many, instead of the job's; or a worker's share of them, as 0-7/16."
)
@click.option("--run-id", type=RunName(), metavar="NAME", help="The run's own name, that it has only once.")
@click.option("--accept-drift", is_flag=True, help="Take columns whose kind has changed since the last run.")
@GRACE
@click.option("--wait", "wait_s", type=DURATION, default="0s", help="So long for another run of JOB to end, as 30m.")
@click.option("--quiet", is_flag=True, help="Print nothing at all when every row was accepted; for cron.")
@JSON
def run(
    job: Path,
    steps: tuple[str, ...],
    limit: int | None,
    restart: bool,
    sandbox: bool,
    full_refresh: bool,
    watermark: str | None,
    lanes: int | Share | None,
    run_id: str | None,
    accept_drift: bool,
    grace: float,
    wait_s: float,
    quiet: bool,
    as_json: bool,
) -> None:
    """Run JOB, or go on with its unfinished run."""
    from cio_etl.report import Progress
    from cio_etl.run.recording import run_folder
    from cio_etl.run.resume import FULL_REFRESH as FULL
    from cio_etl.run.resume import Options, Share
    from cio_etl.run.run import run_job
    from cio_etl.run.signals import Signals

    loaded = laned(load(job, steps, secrets=not sandbox), lanes)
    own_share = lanes if isinstance(lanes, Share) else None
    if own_share is not None:
        _require_shared(loaded, run_id, sandbox)
    if not quiet:
        say_stand_ins(loaded)
    since = since_of(full_refresh, watermark)
    flags = flags_of(steps, limit, full_refresh, watermark) + ["--accept-drift"] * accept_drift
    flags += [f"--lanes={own_share}"] if own_share is not None else []
    flags += [f"--run-id={run_id}"] if run_id is not None else []
    command = as_typed("run", job, *flags, *["--sandbox"] * sandbox)  # a rehearsal's remedy must not send for real
    console = Console(stderr=True)
    progress = Progress(console, live=console.is_terminal and not as_json and not quiet)
    with _kept_back() if quiet else contextlib.nullcontext():
        with Signals() as signals, rehearsal(loaded, quiet) if sandbox else contextlib.nullcontext(loaded) as target:
            if sandbox and since is None:
                since = FULL  # a rehearsal begins where a first run would: its sandbox holds nothing yet
            options = Options(limit, restart or sandbox, grace, since, accept_drift, wait_s, own_share, run_id)
            with continued_by(command, target if as_json else None):
                try:
                    report = run_job(target, options, command, signals, progress)
                except CredentialsRefused:
                    renewed = loaded if sandbox else laned(load(job, steps, secrets=True), lanes)
                    if renewed.destination == loaded.destination:
                        raise
                    log.warning("credentials_renewed")  # in their file, meanwhile: one more try, from where it stopped
                    report = run_job(renewed, replace(options, restart=False), command, signals, progress)
            if report.exit_code or as_json or not quiet:
                show_report(report, as_json, {"report": page_of(run_folder(target, report.run_id))}, target.named_by)
        raise SystemExit(report.exit_code)


@cli.command()
@click.argument("what", metavar="RUN_OR_FILE")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N rows of each step.")
@click.option("--unknown", is_flag=True, help="Also rows of which the answer was lost, and that may be done already.")
@click.option("--restart", is_flag=True, help="Give the unfinished run up and start anew.")
@SANDBOX
@GRACE
@STATE
@JSON
def replay(
    what: str,
    limit: int | None,
    unknown: bool,
    restart: bool,
    sandbox: bool,
    grace: float,
    state: Path | None,
    as_json: bool,
) -> None:
    """Send rejected rows again: those of a mended FILE, or all of RUN; those that are accepted are closed."""
    from cio_etl.rejects import ENDINGS, request_for_file, request_for_run
    from cio_etl.rejects import replay as send_again
    from cio_etl.report import Progress
    from cio_etl.run.recording import run_folder
    from cio_etl.run.resume import Options
    from cio_etl.run.signals import Signals

    kept = state_location(state)
    with opened_store(kept) as store:
        is_file = what.endswith(ENDINGS) or Path(what).is_file()
        asked = request_for_file(store, Path(what)) if is_file else request_for_run(store, what)
    asked, newest = replace(asked, unknown=unknown), asked.runs[-1]
    rehearsed = asked.job.removesuffix(".sandbox")
    if rehearsed != asked.job and not sandbox:
        raise click.UsageError(f"{newest.run_id} was a rehearsal, and its rows are sent nowhere else; add --sandbox")
    if not Path(newest.job_file).exists():
        said = (
            f"the job file of {newest.run_id} is not there; put it back, or go to the folder where that run was started"
        )
        raise ConfigError([Problem(newest.job_file, None, "", said)])
    loaded = replace(load(Path(newest.job_file), (), secrets=not sandbox), state=kept.folder, database=kept.database)
    say_stand_ins(loaded)
    if loaded.name != rehearsed:
        said = f"is now the job {loaded.name}, and {newest.run_id} was a run of {rehearsed}; give it its old name back"
        raise ConfigError([Problem(newest.job_file, None, "name", said)])
    where = [f"--state={kept.named_by}"] if kept.named_by != Path(".etl") else []
    flags = ([f"--limit={limit}"] if limit else []) + (["--unknown"] if unknown else [])
    flags += ["--sandbox"] if sandbox else []
    command = as_typed("replay", what, *flags, *where)
    console = Console(stderr=True)
    progress = Progress(console, live=console.is_terminal and not as_json)
    note = partial(say, err=True)
    with (
        Signals() as signals,
        rehearsal(loaded) if sandbox else contextlib.nullcontext(loaded) as target,
        continued_by(command),
    ):
        report = send_again(asked, target, Options(limit, restart, grace), command, signals, progress, note)
    if report is None:
        say("null" if as_json else f"{what}: nothing to send, all of its rejects are closed")
        raise SystemExit(0)
    next_steps = {"report": page_of(run_folder(target, report.run_id))}
    if target.name != asked.job:
        next_steps["rehearsed"] = "the rejects are open as before; without --sandbox they are sent"
    elif report.rejected and Path(what).is_file():  # an export would hold the source's values, and not what was mended
        next_steps["rest"] = f"what is still wrong is open: mend it in {what}, and replay that again"
    elif report.rejected:
        next_steps["rejects"] = as_typed("rejects", newest.run_id, "-o", "rejects.csv", *where)
    show_report(report, as_json, next_steps)
    raise SystemExit(report.exit_code)


def _require_shared(job: Job, run_id: str | None, sandbox: bool) -> None:
    """What a worker needs to find the others."""
    if sandbox:
        raise click.UsageError("--sandbox is this process's own; a rehearsal is done by one, without a share of lanes")
    if job.database is None:
        raise click.UsageError("workers share a state database: write state: {database: …} in the job file")
    if run_id is None:
        raise click.UsageError("workers find each other by the run's name: give all of them the same --run-id NAME")


@contextlib.contextmanager
def _kept_back() -> Iterator[None]:
    """Log lines are kept back while the block lasts, and printed when it is left otherwise than with exit code 0."""
    before = structlog.get_config()["logger_factory"]
    kept = KeptLines()
    if isinstance(before(), LogLines):  # lines that go to a file go on to do so
        structlog.configure(logger_factory=lambda *_: kept)
    try:
        yield
    except BaseException as error:
        if not (isinstance(error, SystemExit) and error.code == 0):
            kept.tell()
        raise
    finally:
        structlog.configure(logger_factory=before)
