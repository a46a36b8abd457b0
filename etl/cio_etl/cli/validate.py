"""The command `validate`: a dry run."""

from __future__ import annotations

from pathlib import Path

from cio_etl.cli.main import cli
from cio_etl.cli.options import ENV_FILE, JOB, JSON, options
from cio_etl.run.options import repeated_words
from cio_etl.validate.options import ValidateOptions


@cli.command(epilog="More: jobs/README.md, Validate")
@JOB
@options(ValidateOptions)
@JSON
@ENV_FILE
def validate(job: Path, options: ValidateOptions, as_json: bool) -> None:
    """Dry run: read, map and check every row; send nothing.

    The rows of JOB are packed into requests, too, as a run would.
    """
    from cio_etl.cli.commands import as_typed
    from cio_etl.cli.shared import Notes, print_report
    from cio_etl.model import Report
    from cio_etl.report import NO_COMMANDS, Commands
    from cio_etl.run import Caller
    from cio_etl.validate import validate_file

    words = repeated_words(options.reading)

    def next_steps(report: Report) -> dict[str, str]:
        lines = {"run": as_typed("run", job, *words)}
        if report.exit_code == 4:
            gates = [f"--fail-on={text}" for text in options.fail_on]
            lines = {"again": as_typed("validate", job, *words, *gates)}
        if not options.reveal and report.rejected:
            lines["values"] = as_typed("validate", job, *words, "--reveal")
        if options.rejects is None and report.rejected:
            lines["rows"] = as_typed("validate", job, *words, "--rejects=rejects.csv")
        return lines

    done = validate_file(job, options, Caller(observer=Notes(), commands=Commands(None, next_steps)))
    more = {"report": str(done.page)} if done.page is not None else {}
    print_report(done.report, as_json, NO_COMMANDS, more)
    raise SystemExit(done.report.exit_code)
