"""The command `run`: sends a job's rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click

from cio_etl.cli.log import command_log, use_log
from cio_etl.cli.main import cli
from cio_etl.cli.options import ENV_FILE, JOB, JSON, options
from cio_etl.run.options import RunOptions, repeated_words


@cli.command(epilog="More: jobs/README.md, Commands")
@JOB
@options(RunOptions)
@click.option("--quiet", is_flag=True, help="Print nothing when every row was accepted; for cron.")
@JSON
@ENV_FILE
def run(job: Path, options: RunOptions, quiet: bool, as_json: bool) -> None:
    """Run JOB, or resume its unfinished run."""
    from cio_etl.cli.commands import as_typed, reject_commands, verify_commands, with_option
    from cio_etl.cli.shared import calling, page_of, print_report, resumed_by
    from cio_etl.model import Report
    from cio_etl.report import Commands
    from cio_etl.run import load_run, load_to_run, run_folder, run_loaded

    resume = as_typed("run", job, *repeated_words(options))
    loaded = load_to_run(job, options, commands=Commands(resume))
    name = f"{loaded.name}.sandbox" if options.sandbox else loaded.name
    rows_are_stored = loaded.rejects == "rows" or loaded.keep_snapshots
    without_rows = set() if rows_are_stored else {step.name for step in loaded.steps if not step.source.is_repeatable}

    def next_steps(report: Report) -> dict[str, str]:
        return reject_commands(report, loaded.named_by, without_rows) | verify_commands(report, job)

    commands = Commands(resume, next_steps)
    restart = f"{resume} --restart" if options.restart else resume  # until the unfinished run is abandoned
    with _buffered_log() if quiet else contextlib.nullcontext():
        with (
            calling(commands, options.grace, as_json=as_json, quiet=quiet) as caller,
            resumed_by(
                lambda: resume if caller.observer.has_begun else restart,
                name if as_json else None,
                with_option=with_option(resume, resume),
            ),
        ):
            report = run_loaded(loaded, options, caller, lambda: load_run(job, options))
        if report.exit_code or as_json or not quiet:
            print_report(report, as_json, commands, {"report": page_of(run_folder(loaded, report.run_id))})
        raise SystemExit(report.exit_code)


@contextlib.contextmanager
def _buffered_log() -> Iterator[None]:
    """Log lines of the block are printed at its end, and only when it ends otherwise than with exit code 0."""
    from cio_etl.log.lines import BufferedLines, LogLines

    log, lines = command_log(), BufferedLines()
    if isinstance(log.lines, LogLines):  # lines that go to a file are not buffered
        use_log(replace(log, lines=lines))
    try:
        yield
    except BaseException as error:
        if not (isinstance(error, SystemExit) and error.code == 0):
            lines.flush()
        raise
    finally:
        use_log(log)
