"""The command `init`: proposes a job and its mappings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from cio_etl.cli.main import cli
from cio_etl.cli.options import ENV_FILE, QUERY_FILE, RESULT_JSON, SHEET, SOURCE, TABLES
from cio_etl.log.temporary import temporary_folder

if TYPE_CHECKING:
    from cio_etl.presets import Recognised
    from cio_etl.propose import ProposedStep
    from cio_etl.propose.subject import Subject

PROPOSAL_ROWS = 200_000  # read from a source that has to be copied


@cli.command(epilog="More: jobs/README.md, Init")
@SOURCE
@TABLES
@QUERY_FILE
@SHEET
@click.option("--as", "subject", type=click.Choice(["people", "events"]), help="What the rows are, if you know it.")
@click.option("--timezone", metavar="ZONE", help="The time zone of times without an offset, such as Europe/Paris.")
@click.option("--name", help="The job's name. [default: the file's or table's]")
@click.option(
    "--preset", "product", metavar="PRODUCT", help="Write the preset of this product, whose export SOURCE is, instead."
)
@RESULT_JSON
@ENV_FILE
def init(
    source: str,
    tables: tuple[str, ...],
    query_file: str | None,
    sheet: str | None,
    subject: Subject | None,
    timezone: str | None,
    name: str | None,
    product: str | None,
    as_json: bool,
) -> None:
    """Propose a job and a mapping for SOURCE.

    SOURCE is a file or a database. The evidence is in comments. A file with the columns of a well-known product's
    export is recognised: `--preset` writes that preset.
    """
    from cio_etl.cli.source import section_of
    from cio_etl.log.consoles import Screen
    from cio_etl.log.streams import say
    from cio_etl.propose import job_of, name_from, write_proposal
    from cio_etl.transform.timestamps import is_zone

    if timezone is not None and not is_zone(timezone):
        raise click.UsageError(f"no time zone {timezone!r}; use a name such as Europe/Paris or UTC")
    file = Path(query_file or source.partition("?")[0]).name.partition(".")[0]
    sections = {
        name_from(table or file): section_of(source, table, query_file, sheet)
        for table in dict.fromkeys(tables or (None,))
    }
    if product is not None:
        if subject or timezone or name:
            raise click.UsageError("--preset takes no --as, --timezone and --name: the preset defines them")
        _write_preset(product, sections, as_json)
        return
    several = len(sections) > 1
    job = name or name_from(_database(source) or "_".join(sections) if several else next(iter(sections)))
    recognised: list[Recognised] = []
    steps = []
    for step, section in sections.items():
        steps.append(_step(section, step if several else job, subject, timezone, recognised, as_json))
    proposal = job_of(steps, job)
    write_proposal(proposal.job_file, proposal.job, proposal.mappings)
    if as_json:
        content = {
            "written": [str(path) for path in (proposal.job_file, *proposal.mappings)],
            "summary": proposal.summary,
            "presets": [
                {"preset": each.preset.name, "title": each.preset.title, "file": each.file.title}
                | {"loses": each.preset.loses}
                for each in recognised
            ],
        }
        say(json.dumps(content, ensure_ascii=False))
        return
    screen = Screen(highlight=False, markup=False)
    for line in proposal.summary:
        screen.print(line, soft_wrap=not screen.is_terminal)


def _database(source: str) -> str:
    """The name of a database in its address; "" where that is a reference."""
    return "" if "${" in source else Path(urlsplit(source).path).stem


def _write_preset(product: str, sections: Mapping[str, dict[str, Any]], as_json: bool) -> None:
    """Writes the preset for sources that are files or tables of its product. Raises ConfigError when one is not."""
    from cio_etl.cli.presets import print_written
    from cio_etl.cli.source import columns_in, name_of
    from cio_etl.errors import ConfigError, Problem
    from cio_etl.presets import find_preset, which_file, why_not, write_preset

    preset = find_preset(product)
    files: dict[str, list[dict[str, Any]]] = {}
    for name, section in sections.items():
        kind = next(iter(section))
        columns = columns_in(section)
        found = which_file(preset, kind, columns, name_of(section))
        if found is None:
            why = why_not(preset, kind, columns, name_of(section))
            what = f"{why}; compare its columns with the recipe: cio-etl presets {product} --show"
            raise ConfigError([Problem(name_of(section) or name, None, "", what)])
        if found.file is not None:
            files.setdefault(found.name, []).append(section)
    print_written(preset, write_preset(preset, Path(), files or None), as_json, files)


def _step(
    section: dict[str, Any],
    name: str,
    subject: Subject | None,
    timezone: str | None,
    recognised: list[Recognised],
    as_json: bool,
) -> ProposedStep:
    """The proposal for one source; adds the presets that read it to `recognised`, and offers them to a person."""
    from cio_etl.cli.presets import offer
    from cio_etl.cli.source import name_of
    from cio_etl.config import load_source
    from cio_etl.extract import open_source, primary_key_of
    from cio_etl.log.streams import say
    from cio_etl.model import SqlSource, Staging
    from cio_etl.presets import columns_of, recognise
    from cio_etl.propose import propose
    from cio_etl.transform import as_texts

    with temporary_folder() as stage:
        source = load_source(section)
        opened = open_source(source, Staging(Path(stage), rows=PROPOSAL_ROWS))
        snapshot = as_texts(opened)
        found = recognise(next(iter(section)), columns_of(opened), path=name_of(section))
        recognised += found
        if not as_json:
            for line in offer(found):
                say(line)
        return propose(
            snapshot,
            section,
            name,
            subject=subject,
            timezone=timezone,
            reads_once=source.is_piped or not source.is_repeatable,
            key=primary_key_of(source) if isinstance(source, SqlSource) else (),
        )
