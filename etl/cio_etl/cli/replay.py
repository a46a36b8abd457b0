"""The command `replay`: sends rejected rows again."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import click

from cio_etl.cli.complete import runs_and_files
from cio_etl.cli.main import cli
from cio_etl.cli.options import ENV_FILE, JSON, STATE, options
from cio_etl.run.options import RunOptions, repeated_words


@cli.command(epilog="More: jobs/README.md, Fix and replay")
@click.argument("what", metavar="RUN_OR_FILE", shell_complete=runs_and_files)
@options(RunOptions, only=("limit", "restart", "sandbox", "accept_changes", "grace"))
@click.option("--unknown", is_flag=True, help="Also rows whose answer was lost; Customer.io may have them already.")
@STATE
@JSON
@ENV_FILE
def replay(what: str, options: RunOptions, unknown: bool, state: Path | None, as_json: bool) -> None:
    """Send rejected rows again, of a fixed FILE or of a RUN.

    Rows that are accepted are closed.
    """
    from cio_etl.cli.commands import as_typed, target_words, with_option
    from cio_etl.cli.shared import calling, opened_store, page_of, print_report, resumed_by, state_location
    from cio_etl.config import load_job
    from cio_etl.errors import ConfigError, Problem
    from cio_etl.log.streams import say
    from cio_etl.model import target_of
    from cio_etl.model.words import counted
    from cio_etl.rejects import ENDINGS, read_fixed_file, request_for_file, request_for_run
    from cio_etl.rejects import replay as send_again
    from cio_etl.report import Commands
    from cio_etl.run import loading, note_stand_ins, run_folder, sandboxed

    is_file = what.endswith(ENDINGS) or Path(what).is_file()
    fixed = read_fixed_file(Path(what)) if is_file else None  # before the state, which a file of `validate` has not
    location = state_location(state)
    with opened_store(location) as store:
        request = request_for_run(store, what) if fixed is None else request_for_file(store, fixed)
    request, newest = replace(request, unknown=unknown), request.runs[-1]
    job_name = request.job.removesuffix(".sandbox")
    if job_name != request.job and not options.sandbox:
        raise click.UsageError(
            f"{newest.run_id} was a run in the sandbox, and its rows are sent only there; add --sandbox"
        )
    if not Path(newest.job_file).exists():
        fault = f"the job file of {newest.run_id} is missing; put it back, or go to the folder where that run started"
        raise ConfigError([Problem(newest.job_file, None, "", fault)])
    job_file, target_name = Path(newest.job_file), target_of(newest.job)
    with loading(job_file, replace(options, target=target_name), is_replay=True):
        loaded = load_job(job_file, secrets=not options.sandbox, target=target_name)
    loaded = replace(loaded, state=location.folder, database=location.database)
    if loaded.name != job_name:
        fault = f"is now the job {loaded.name}, and {newest.run_id} was a run of {job_name}; give it its old name back"
        raise ConfigError([Problem(newest.job_file, None, "name", fault)])
    where = [f"--state={location.named_by}"] if location.named_by != Path(".etl") else []
    resume = as_typed("replay", what, *repeated_words(options), *["--unknown"] * unknown, *where)
    commands = Commands(resume)
    run = as_typed("run", job_file, *target_words(target_name))
    with (
        calling(commands, options.grace, as_json=as_json) as caller,
        resumed_by(resume, f"{job_name}.replay" if as_json else None, with_option=with_option(resume, run)),
    ):
        note_stand_ins(loaded, caller.observer)
        with sandboxed(loaded, caller.observer) if options.sandbox else contextlib.nullcontext(loaded) as target:
            report = send_again(request, target, options, caller)
    if report is None:
        say("null" if as_json else f"{what}: nothing to send, all of its rejects are closed")
        raise SystemExit(0)
    lines = {"report": page_of(run_folder(target, report.run_id))}
    if skipped := report.counts.skipped:
        lines["skipped"] = f"{counted(skipped, 'row')}, accepted before, or omitted by the mapping's `when`"
    if target.name != request.job:
        lines["sandbox"] = "the rejects stay open; without --sandbox their rows are sent"
    elif report.rejected and Path(what).is_file():  # an export would hold the source's values, not the fixed ones
        lines["rest"] = f"the rejects of these rows are open: fix the rows in {what}, and replay it again"
    elif report.rejected:
        lines["rejects"] = as_typed("rejects", newest.run_id, "-o", "rejects.csv", *where)
    print_report(report, as_json, commands, lines)
    raise SystemExit(report.exit_code)
