"""The command `doctor`: tries what a run needs."""

from __future__ import annotations

from pathlib import Path

from cio_etl.cli.main import cli
from cio_etl.cli.options import ENV_FILE, JOB, JSON, TARGET


@cli.command(epilog="More: jobs/README.md, Doctor")
@JOB
@TARGET
@JSON
@ENV_FILE
def doctor(job: Path, target: str | None, as_json: bool) -> None:
    """Try what a run of JOB needs, and report how to fix it.

    It tries everything from the keys to the sources.
    """
    from cio_etl.cli.commands import as_typed, target_words
    from cio_etl.doctor import examine, exit_code, show

    findings = examine(job, as_typed("run", job, *target_words(target)), target=target)
    show(findings, as_json)
    raise SystemExit(exit_code(findings))
