"""The command `inspect`: reports the date formats of a source."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cio_etl.cli.main import cli
from cio_etl.cli.options import ENV_FILE, JSON, QUERY_FILE, SHEET, SOURCE, TABLE, UNITS
from cio_etl.log.temporary import temporary_folder

if TYPE_CHECKING:
    from cio_etl.transform.timestamps import Serial, Unit


@cli.command(epilog="More: mappings/README.md, Dates: inspect")
@SOURCE
@TABLE
@QUERY_FILE
@SHEET
@click.option("--column", "columns", multiple=True, metavar="NAME", help="Only this column; repeatable.")
@click.option("--day-first", is_flag=True, help="Where the dates are ambiguous: 02/03/2024 is in March.")
@click.option("--month-first", is_flag=True, help="Where the dates are ambiguous: 02/03/2024 is in February.")
@click.option("--timezone", metavar="ZONE", help="The time zone of times without an offset, such as Europe/Paris.")
@click.option("--unit", type=click.Choice(UNITS), help="What numbers count, where their size is ambiguous.")
@click.option("--reveal", is_flag=True, help="Show the values of the rows that are listed.")
@JSON
@ENV_FILE
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
    """Report the date formats of the columns of SOURCE.

    Each is checked against every row, and comes with the mapping that reads it.
    """
    from cio_etl.cli.source import section_of
    from cio_etl.config import load_source
    from cio_etl.extract import open_source
    from cio_etl.log.consoles import Screen
    from cio_etl.log.streams import say
    from cio_etl.model import Staging
    from cio_etl.propose.dates.decide import Statements
    from cio_etl.propose.dates.inspection import inspect as look
    from cio_etl.propose.dates.show import content, lines
    from cio_etl.propose.header import require_names
    from cio_etl.transform import as_texts
    from cio_etl.transform.timestamps import is_zone

    if day_first and month_first:
        raise click.UsageError("--day-first and --month-first contradict each other; give one of the two")
    if timezone is not None and not is_zone(timezone):
        raise click.UsageError(f"no time zone {timezone!r}; use a name such as Europe/Paris or UTC")
    stated = Statements("day first" if day_first else "month first" if month_first else None, timezone, unit)
    section = section_of(source, table, query_file, sheet)
    with temporary_folder() as stage:
        snapshot = as_texts(open_source(load_source(section), Staging(Path(stage))))
        if "csv" in section:
            require_names(source, snapshot.schema.names())
        if unknown := [name for name in columns if name not in snapshot.schema]:
            has = ", ".join(repr(name) for name in snapshot.schema)
            raise click.UsageError(f"{source} has no column {unknown[0]!r}; it has {has}")
        inspection = look(snapshot, int(time.time()), stated, columns, reveal)
    name = table or query_file or source
    if as_json:
        say(json.dumps(content(inspection, name, reveal), ensure_ascii=False))
    else:
        screen = Screen(highlight=False, markup=False)
        for line in lines(inspection, name, reveal):
            for place, (text, style) in enumerate(line, 1):
                screen.print(text, style=style, end="\n" if place == len(line) else "", soft_wrap=True)
    raise SystemExit(inspection.exit_code)
