"""The command `examples`: makes tests of mappings from rows of their sources."""

from __future__ import annotations

from pathlib import Path

import click

from cio_etl.cli.main import cli
from cio_etl.cli.options import ENV_FILE, JOB, options
from cio_etl.run.options import ReadOptions


@cli.command(epilog="More: mappings/README.md, Tests")
@JOB
@options(ReadOptions, only=("steps", "target"))
@click.option(
    "-n", "rows", type=click.IntRange(1, 100), default=3, show_default=True, help="How many rows of each step."
)
@click.option("--reveal", is_flag=True, help="Write the real values; without it, they are masked.")
@ENV_FILE
def examples(job: Path, options: ReadOptions, rows: int, reveal: bool) -> None:
    """Make tests of the mappings of JOB from rows of its sources.

    The rows differ: a usual one, one with nulls, a rejected one. They are masked so that the same becomes of them, and
    written to mappings/tests/NAME.yaml, for `cio-etl test`.
    """
    from cio_etl.cli.shared import Notes
    from cio_etl.log.streams import say
    from cio_etl.validate.examples import write_examples

    for written in write_examples(job, rows, options, Notes(), reveal=reveal):
        for words in written.left_out:
            say(f"left out: {words}", err=True)
        say("no row could be made a test" if written.file is None else f"{written.file}: {', '.join(written.names)}")
