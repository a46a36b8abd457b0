"""The command `check`: checks job files and mappings."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cio_etl.cli.main import cli
from cio_etl.cli.options import JSON

if TYPE_CHECKING:
    from cio_etl.config import Checked


@cli.command(epilog="More: mappings/README.md")
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
@JSON
def check(files: tuple[Path, ...], as_json: bool) -> None:
    """Check job files, mappings and their examples; read no data.

    A job file is checked with its mappings, a mapping also alone. Nothing is sent.
    """
    from cio_etl.config import check_file
    from cio_etl.errors import ConfigError, Problem
    from cio_etl.report.streams import say

    problems: dict[Problem, None] = {}  # each once: jobs share mappings
    for path in files:
        checked = check_file(path)
        problems |= dict.fromkeys(checked.problems)
        for warning in () if as_json else checked.warnings:
            say(f"{path}: warning: {warning}", err=True)
        if not checked.problems and not as_json:
            say(f"{path}: {_contents(checked)}")
    if as_json:
        say(json.dumps([asdict(problem) for problem in problems], ensure_ascii=False))
        raise SystemExit(ConfigError.exit_code if problems else 0)
    if problems:
        raise ConfigError(problems)


def _contents(checked: Checked) -> str:
    """`2 steps, 3 mappings, 4 examples`; of a mapping, `a mapping, 4 examples`."""
    from cio_etl.report.words import counted

    files = "a mapping"
    if checked.steps is not None:
        files = f"{counted(checked.steps, 'step')}, {counted(checked.mappings, 'mapping')}"
    return f"{files}, {counted(checked.examples, 'example')}"
