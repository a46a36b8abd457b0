"""The command `init`: proposes a job and its mappings."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from cio_etl.cli.main import cli
from cio_etl.cli.options import QUERY_FILE, SHEET, SOURCE, TABLES

if TYPE_CHECKING:
    from cio_etl.propose import ProposedStep
    from cio_etl.propose.subject import Subject

PROPOSAL_ROWS = 200_000  # read from a source that has to be copied


@cli.command(epilog="More: jobs/README.md")
@SOURCE
@TABLES
@QUERY_FILE
@SHEET
@click.option("--as", "subject", type=click.Choice(["people", "events"]), help="What the rows are, if you know it.")
@click.option("--timezone", metavar="ZONE", help="The time zone of times without an offset, such as Europe/Paris.")
@click.option("--name", help="The job's name. [default: the file's or table's]")
def init(
    source: str,
    tables: tuple[str, ...],
    query_file: str | None,
    sheet: str | None,
    subject: Subject | None,
    timezone: str | None,
    name: str | None,
) -> None:
    """Propose a job and a mapping for SOURCE.

    SOURCE is a file or a database. The evidence is in comments.
    """
    from cio_etl.cli.source import section_of
    from cio_etl.propose import job_of, name_from, write_proposal
    from cio_etl.report.consoles import Screen
    from cio_etl.transform.timestamps import is_zone

    if timezone is not None and not is_zone(timezone):
        raise click.UsageError(f"no time zone {timezone!r}; use a name such as Europe/Paris or UTC")
    file = Path(query_file or source.partition("?")[0]).name.partition(".")[0]
    sections = {
        name_from(table or file): section_of(source, table, query_file, sheet)
        for table in dict.fromkeys(tables or (None,))
    }
    several = len(sections) > 1
    job = name or name_from(_database(source) or "_".join(sections) if several else next(iter(sections)))
    steps = [_step(section, step if several else job, subject, timezone) for step, section in sections.items()]
    proposal = job_of(steps, job)
    write_proposal(proposal.job_file, proposal.job, proposal.mappings)
    screen = Screen(highlight=False, markup=False)
    for line in proposal.summary:
        screen.print(line, soft_wrap=not screen.is_terminal)


def _database(source: str) -> str:
    """The name of a database in its address; "" where that is a reference."""
    return "" if "${" in source else Path(urlsplit(source).path).stem


def _step(section: dict[str, Any], name: str, subject: Subject | None, timezone: str | None) -> ProposedStep:
    from cio_etl.config import load_source
    from cio_etl.extract import open_source, primary_key_of
    from cio_etl.model import SqlSource, Staging
    from cio_etl.propose import propose
    from cio_etl.transform import as_texts

    with tempfile.TemporaryDirectory(prefix="cio-etl-") as stage:
        source = load_source(section)
        snapshot = as_texts(open_source(source, Staging(Path(stage), rows=PROPOSAL_ROWS)))
        return propose(
            snapshot,
            section,
            name,
            subject=subject,
            timezone=timezone,
            reads_once=source.is_piped or not source.is_repeatable,
            key=primary_key_of(source) if isinstance(source, SqlSource) else (),
        )
