"""The command `init`: proposes a job and a mapping."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from cio_etl.cli.main import cli
from cio_etl.cli.options import QUERY_FILE, SHEET, SOURCE, TABLE

PROPOSAL_ROWS = 200_000  # read from a source that has to be copied


@cli.command(epilog="More: README.md")
@SOURCE
@TABLE
@QUERY_FILE
@SHEET
@click.option("--name", help="The job's name. [default: the file's or table's]")
def init(source: str, table: str | None, query_file: str | None, sheet: str | None, name: str | None) -> None:
    """Propose a job and a mapping for SOURCE, a file or a database, with the evidence in comments."""
    from cio_etl.cli.source import section_of
    from cio_etl.config import load_source
    from cio_etl.extract import open_source
    from cio_etl.model import Staging
    from cio_etl.propose import name_from, propose, written
    from cio_etl.report.streams import say

    section = section_of(source, table, query_file, sheet)
    subject = table or Path(query_file or source.partition("?")[0]).name.partition(".")[0]
    with tempfile.TemporaryDirectory(prefix="cio-etl-") as stage:
        snapshot = open_source(load_source(section), Staging(Path(stage), rows=PROPOSAL_ROWS))
        proposal = propose(snapshot, section, name or name_from(subject))
    written(proposal)
    for line in proposal.summary:
        say(line)
