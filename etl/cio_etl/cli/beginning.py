"""The commands with which one begins: inspect, init, schema, sandbox."""

from __future__ import annotations

import glob
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from cio_etl.cli.main import cli
from cio_etl.cli.options import JSON, QUERY_FILE, SHEET, SOURCE, TABLE, UNITS
from cio_etl.report.streams import say

if TYPE_CHECKING:
    from cio_etl.transform.timestamps import Serial, Unit

PROPOSAL_ROWS = 200_000  # that `init` takes from a source which has to be copied


@cli.command()
@SOURCE
@TABLE
@QUERY_FILE
@SHEET
@click.option("--column", "columns", multiple=True, metavar="NAME", help="Only this column; may be given again.")
@click.option("--day-first", is_flag=True, help="Where the dates do not say it: 02/03/2024 is of March.")
@click.option("--month-first", is_flag=True, help="Where the dates do not say it: 02/03/2024 is of February.")
@click.option("--timezone", metavar="ZONE", help="Where the clock hung whose times have no offset, as Europe/Paris.")
@click.option("--unit", type=click.Choice(UNITS), help="What the numbers count, where their size does not say it:")
@click.option("--reveal", is_flag=True, help="Show the values of the rows that are named.")
@JSON
def inspect(
    source: str,
    table: str | None,
    query_file: str | None,
    sheet: str | None,
    columns: tuple[str, ...],
    day_first: bool,
    month_first: bool,
    timezone: str | None,
    unit: Unit | Serial | None,
    reveal: bool,
    as_json: bool,
) -> None:
    """Say how each column of SOURCE writes its dates, by all of its rows, and what of a mapping reads them."""
    from cio_etl.config import load_source
    from cio_etl.extract import open_source
    from cio_etl.model import Staging
    from cio_etl.propose.dates.decide import Told
    from cio_etl.propose.dates.inspection import inspect as look
    from cio_etl.propose.dates.show import show
    from cio_etl.propose.header import require_names
    from cio_etl.transform.timestamps import is_zone

    if day_first and month_first:
        raise click.UsageError("--day-first and --month-first say the opposite; give one of the two")
    if timezone is not None and not is_zone(timezone):
        raise click.UsageError(f"no time zone {timezone!r}; use a name such as Europe/Paris or UTC")
    told = Told("day first" if day_first else "month first" if month_first else None, timezone, unit)
    section = _section_of(source, table, query_file, sheet)
    with tempfile.TemporaryDirectory(prefix="cio-etl-") as stage:
        snapshot = open_source(load_source(section), Staging(Path(stage)), chunk_rows=100_000)
        if "csv" in section:
            require_names(source, snapshot.schema.names())
        if unknown := [name for name in columns if name not in snapshot.schema]:
            has = ", ".join(repr(name) for name in snapshot.schema)
            raise click.UsageError(f"{source} has no column {unknown[0]!r}; it has {has}")
        inspection = look(snapshot, int(time.time()), told, columns, reveal)
        show(inspection, table or query_file or source, as_json, reveal)
    raise SystemExit(inspection.exit_code)


@cli.command()
@SOURCE
@TABLE
@QUERY_FILE
@SHEET
@click.option("--name", help="The job's name. [default: the file's or table's]")
def init(source: str, table: str | None, query_file: str | None, sheet: str | None, name: str | None) -> None:
    """Propose a job and a mapping for SOURCE, a file or a database, with the evidence in comments."""
    from cio_etl.config import load_source
    from cio_etl.extract import open_source
    from cio_etl.model import Staging
    from cio_etl.propose import name_from, propose, written

    section = _section_of(source, table, query_file, sheet)
    subject = table or Path(query_file or source.partition("?")[0]).name.partition(".")[0]
    with tempfile.TemporaryDirectory(prefix="cio-etl-") as stage:
        snapshot = open_source(load_source(section), Staging(Path(stage), rows=PROPOSAL_ROWS))
        proposal = propose(snapshot, section, name or name_from(subject))
    written(proposal)
    for line in proposal.summary:
        say(line)


@cli.command()
@click.argument("kind", metavar="KIND", type=click.Choice(["job", "mapping"]))
def schema(kind: Literal["job", "mapping"]) -> None:
    """Print the JSON Schema of a job or a mapping, for editors; KIND is `job` or `mapping`."""
    from cio_etl.config import schema_text

    say(schema_text(kind).removesuffix("\n"))


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
def sandbox(host: str, port: int) -> None:
    """Serve a local Customer.io to rehearse against, until Ctrl-C."""
    from cio_etl.sandbox import serve

    def announce(url: str) -> None:
        say(f"Customer.io sandbox on {url}  (site id, API key, write key and App key: sandbox)")
        say(f"  a job goes there with   destination.base_url: {url}")

    try:
        serve(host, port, announce=announce)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from None


def _section_of(source: str, table: str | None, query_file: str | None, sheet: str | None) -> dict[str, Any]:
    """The `source:` section of what a command line names; of a CSV file with its separator and encoding."""
    from cio_etl.config import source_section
    from cio_etl.extract import csv_settings

    section = source_section(source, table=table, query_file=query_file, sheet=sheet)
    if section.keys() == {"csv"} and (files := [source] if Path(source).is_file() else sorted(glob.glob(source))):
        section |= csv_settings(Path(files[0]))
    return section
