"""The command `ui`: serves a page of runs."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from cio_etl.cli.main import cli
from cio_etl.cli.options import ENV_FILE, Existing

if TYPE_CHECKING:
    from cio_etl.cli.shared import StateLocation
    from cio_etl.ui import PageCommands, Site

SHORTEST_TOKEN = 16


@cli.command(epilog="More: jobs/README.md, A page of runs")
@click.option(
    "--state",
    metavar="STATE",
    help="The state: a folder, a database's address without a password, or a job file that names it. [default: .etl]",
)
@click.option(
    "--jobs",
    type=Existing(folders=True),
    metavar="FOLDER",
    help="The folder of the job files, for schedules. [default: jobs, where it is there]",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address; beyond this machine with a token.")
@click.option("--port", type=click.IntRange(0, 65535), default=8090, show_default=True, help="0 takes a free port.")
@click.option("--name", "names", multiple=True, metavar="HOST", help="Another name by which it is called. Repeatable.")
@click.option("--token-file", type=Existing(), metavar="FILE", help="Ask for the token in this file.")
@click.option("--sandbox", metavar="URL", help="Show people and events of the sandbox that runs there, too.")
@click.option("--reveal", is_flag=True, help="Show the values of the sandbox; those of rejected rows stay masked.")
@ENV_FILE
def ui(
    state: str | None,
    jobs: Path | None,
    host: str,
    port: int,
    names: tuple[str, ...],
    token_file: Path | None,
    sandbox: str | None,
    reveal: bool,
) -> None:
    """Serve a page of all runs for a browser, until Ctrl-C.

    It shows jobs, runs, rejected rows and plans, and changes nothing.
    """
    import secrets
    import socket

    from cio_etl.cli.shared import state_location, why_not_listening
    from cio_etl.log.streams import say
    from cio_etl.sandbox.serving import is_loopback, url_of
    from cio_etl.ui import Access, Pages, PageServer, SandboxReader, make_app

    location = (
        _address(state) if state is not None and "://" in state else state_location(Path(state) if state else None)
    )
    try:
        reader = None if sandbox is None else SandboxReader(sandbox, reveal=reveal)
    except ValueError as error:
        raise click.UsageError(f"--sandbox: {error}") from None
    token = None if token_file is None else _token_of(token_file)
    is_open = not is_loopback(host)
    if is_open and token is None:
        token = secrets.token_urlsafe(32)
    if reveal and sandbox is None:
        raise click.UsageError("--reveal shows values of the sandbox: add --sandbox URL")
    if reveal and is_open:
        raise click.UsageError("--reveal: values are shown on this machine only; leave it out, or --host")
    site = _site(location, jobs, Path(state) if state and state.endswith((".yaml", ".yml")) else None)
    app = make_app(Pages(site, reader), Access.on(host, names, token))
    try:
        server = PageServer(app, host, port)
    except OSError as error:
        raise click.UsageError(why_not_listening(error, host, port)) from None
    site.job_files()  # here, so that the first page need not wait

    def announce(_: str) -> None:
        address = url_of("http", socket.gethostname() if host in ("0.0.0.0", "::") else host, server.port)
        say(f"page of the runs in {site.name} on {address}{f'/?token={token}' if token and not token_file else ''}")
        if is_open:
            say(
                "  the connection is not encrypted: use it in a network that you trust, or behind a proxy with TLS",
                err=True,
            )
        gc.freeze()  # what is loaded lives as long as the server: its end need not look for garbage in it

    server.run(announce)


def _address(state: str) -> StateLocation:
    """The location of a state at a database's address."""
    from pydantic import SecretStr

    from cio_etl.cli.shared import StateLocation

    try:
        has_password = urlsplit(state).password is not None
    except ValueError:
        has_password = True
    if has_password:
        what = (
            "--state: an address with a password is visible to all users of this machine; set ETL_STATE to it instead"
        )
        raise click.UsageError(what)
    return StateLocation(Path(".etl"), SecretStr(state), Path(".etl"))


def _token_of(file: Path) -> str:
    token = file.read_text(encoding="utf-8").strip()
    if len(token) < SHORTEST_TOKEN:
        raise click.UsageError(f"--token-file: {file} needs {SHORTEST_TOKEN} characters or more")
    return token


def _site(location: StateLocation, jobs: Path | None, file: Path | None) -> Site:
    from cio_etl.state import exists
    from cio_etl.ui import JobFiles, Site

    if not exists(location.where):
        raise click.UsageError(f"{location.named_by} holds no state; name the folder with --state, or a job file")
    places = [jobs] if jobs is not None else [Path("jobs")] if Path("jobs").is_dir() else []
    places += [] if file is None else [file]
    name = str(location.named_by) if location.database is None or file is not None else "the database"
    return Site(location.where, location.folder, name, JobFiles(tuple(places)), _commands(location))


def _commands(location: StateLocation) -> PageCommands:
    """Words the commands that the pages show."""
    from cio_etl.cli.commands import as_typed, reject_commands, target_words
    from cio_etl.model import Job, JobOutline, JobSettings, Report, Step, target_of
    from cio_etl.run import RunOptions, repeated_words
    from cio_etl.state import RunRecord
    from cio_etl.ui import PageCommands

    def of_job(job: JobSettings) -> dict[str, str]:
        target = target_words(job.target)
        return {
            "status": as_typed("status", job.file, *target),
            "validate": as_typed("validate", job.file, *target),
            "plan": as_typed("plan", job.file, *target),
            "run": as_typed("run", job.file, *target),
        }

    def of_run(run: RunRecord, report: Report, job: Job | JobOutline | None, options: RunOptions) -> dict[str, str]:
        words = {}
        if report.resumable and not run.job.endswith((".replay", ".sandbox")):
            more = repeated_words(options) if job is not None else target_words(target_of(run.job))
            words["continue"] = as_typed("run", run.job_file, *more)
        steps: tuple[Step, ...] = ()
        if isinstance(job, Job) and job.rejects != "rows" and not job.keep_snapshots:
            steps = job.steps
        without_rows = {step.name for step in steps if not step.source.is_repeatable}
        return words | reject_commands(report, location.named_by, without_rows)

    return PageCommands(
        of_job,
        of_run,
        of_plan=lambda file: {"send it": as_typed("apply", file)},
        of_planned_run=lambda file: {"continue": as_typed("apply", file)},
    )
