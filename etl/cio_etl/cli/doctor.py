"""The command `doctor`: tries what a run needs."""

from __future__ import annotations

from pathlib import Path

from cio_etl.cli.main import cli
from cio_etl.cli.options import JOB, JSON


@cli.command(epilog="More: jobs/README.md")
@JOB
@JSON
def doctor(job: Path, as_json: bool) -> None:
    """Try what a run of JOB needs, and report how to fix it.

    It tries everything from the keys to the sources.
    """
    from cio_etl.cli.commands import as_typed
    from cio_etl.doctor import examine, exit_code, show

    findings = examine(job, as_typed("run", job))
    show(findings, as_json)
    raise SystemExit(exit_code(findings))
