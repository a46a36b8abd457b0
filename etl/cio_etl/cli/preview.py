"""The command `preview`: prints the payloads of the first rows."""

from __future__ import annotations

from pathlib import Path

import click

from cio_etl.cli.main import cli
from cio_etl.cli.options import ENV_FILE, JOB, options
from cio_etl.run.options import ReadOptions


@cli.command(epilog="More: README.md, Five minutes with your own CSV file")
@JOB
@options(ReadOptions, only=("steps", "target"))
@click.option(
    "-n", "rows", type=click.IntRange(1, 1000), default=5, show_default=True, help="How many rows of each step."
)
@ENV_FILE
def preview(job: Path, options: ReadOptions, rows: int) -> None:
    """Print the payloads of the first rows of JOB.

    They are printed as they would be sent, one JSON line each. Of a large file, only the beginning is read.
    """
    from cio_etl.cli.shared import Notes
    from cio_etl.log.streams import say
    from cio_etl.validate import preview_lines

    for line in preview_lines(job, rows, options, Notes()):
        say(line)
