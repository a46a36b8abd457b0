"""The command `import-from`: makes a job and mappings of another tool's definitions."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cio_etl.cli.main import cli
from cio_etl.cli.options import INTO, RESULT_JSON

if TYPE_CHECKING:
    from cio_etl.errors import Problem
    from cio_etl.importers import Importer, Written


@cli.command("import-from", epilog="More: mappings/README.md, Imports from other tools")
@click.argument("tool", required=False)
@click.argument("files", type=click.Path(path_type=Path), nargs=-1)
@click.option("--name", help="The job's name. [default: the tool's]")
@INTO
@click.option(
    "--destination",
    "destinations",
    multiple=True,
    metavar="NAME",
    help="A destination of that tool that is Customer.io, though its name does not say so. Repeatable.",
)
@RESULT_JSON
def import_from(
    tool: str | None,
    files: tuple[Path, ...],
    name: str | None,
    folder: Path,
    destinations: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make a job and mappings of another tool's definitions.

    Without TOOL, it lists the tools. FILES are its files or folders. What could not be carried over is listed with
    file, line, reason and what to do by hand, and stands in the files that are written as TO DECIDE. No data is read,
    and nothing is sent.
    """
    from cio_etl.errors import ConfigError, Problem, did_you_mean
    from cio_etl.importers import IMPORTERS, read_definitions, write_imported
    from cio_etl.log.streams import say

    if tool is None:
        _list(tuple(IMPORTERS.values()), as_json)
        return
    if tool not in IMPORTERS:
        what = f"no importer of this name; {did_you_mean(tool, IMPORTERS)}"
        raise ConfigError([Problem(tool, None, "", what)])
    if not files:
        raise click.UsageError(f"name FILES: {IMPORTERS[tool].takes}")
    importer = IMPORTERS[tool]
    imported = importer.read(read_definitions(files), destinations)
    if not imported.steps:
        for lost in imported.lost:
            say(f"not carried over: {lost}", err=True)
        what = "nothing of it can be imported; the lines above say why"
        raise ConfigError([Problem(str(files[0]), None, "", what)])
    written = write_imported(importer, imported, folder, name or tool)
    problems = _problems(written, folder)
    _print(importer, written, problems, as_json)
    if problems:
        raise ConfigError(problems)


def _problems(written: Written, folder: Path) -> tuple[Problem, ...]:
    """What `check` finds wrong in the files that were written: the paths in them start at their folder."""
    from cio_etl.config import check_file

    with contextlib.chdir(folder):
        return tuple(check_file(written.job.relative_to(folder)).problems)


def _print(importer: Importer, written: Written, problems: tuple[Problem, ...], as_json: bool) -> None:
    from cio_etl.cli.commands import as_typed
    from cio_etl.log.streams import say

    if as_json:
        content = {
            "tool": importer.name,
            "written": [str(path) for path in written.files],
            "steps": written.steps,
            "lost": [asdict(lost) for lost in written.lost],
            "problems": [asdict(problem) for problem in problems],
        }
        say(json.dumps(content, ensure_ascii=False))
        return
    for lost in written.lost:
        say(f"not carried over: {lost}")
    say(f"steps: {', '.join(written.steps)}")
    say(f"written: {', '.join(str(path) for path in written.files)}")
    say(f"next: read the lines TO DECIDE, then {as_typed('check', written.job)}")


def _list(importers: tuple[Importer, ...], as_json: bool) -> None:
    from cio_etl.log.streams import say

    if as_json:
        content = [
            {"tool": each.name, "title": each.title, "takes": each.takes, "loses": each.loses}
            | {"pages": [asdict(page) for page in each.pages]}
            for each in importers
        ]
        say(json.dumps(content, ensure_ascii=False))
        return
    for each in importers:
        say(f"{each.name}: {each.title}: {each.takes}")
        for words in each.loses:
            say(f"  not carried over: {words}")
    say("cio-etl import-from TOOL FILES writes jobs/TOOL.yaml and mappings/TOOL/")
