"""The command `check`: checks job files and mappings."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cio_etl.cli.main import cli
from cio_etl.cli.options import ENV_FILE, JSON, TARGET

if TYPE_CHECKING:
    from cio_etl.config import Checked


@cli.command(epilog="More: README.md, Five minutes with your own CSV file")
@click.argument("files", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--expand",
    is_flag=True,
    help="Print the files in their plain form, with the columns that `*` takes; their sources are opened.",
)
@TARGET
@JSON
@ENV_FILE
def check(files: tuple[Path, ...], expand: bool, target: str | None, as_json: bool) -> None:
    """Check job files, mappings and their examples; read no data.

    A job file is checked with its mappings, a mapping also alone. Nothing is sent.
    """
    from cio_etl.config import check_file
    from cio_etl.errors import ConfigError, Problem
    from cio_etl.log.streams import say

    problems: dict[Problem, None] = {}  # each once: jobs share mappings
    for path in files:
        checked = check_file(path, target)
        problems |= dict.fromkeys(checked.problems)
        for warning in () if as_json else checked.warnings:
            say(f"{path}: warning: {warning}", err=True)
        if not checked.problems and not as_json and not expand:
            say(f"{path}: {_contents(checked)}")
    if expand and not problems:
        _print_plain(files, target, as_json)
        return
    if as_json:
        say(json.dumps([asdict(problem) for problem in problems], ensure_ascii=False))
        raise SystemExit(ConfigError.exit_code if problems else 0)
    if problems:
        raise ConfigError(problems)


def _print_plain(files: tuple[Path, ...], target: str | None, as_json: bool) -> None:
    """Prints the files and the mappings that they name, as YAML documents or as one JSON list."""
    from cio_etl.log.streams import say
    from cio_etl.validate.plain import plain_files

    plain = [each for path in files for each in plain_files(path, target)]
    if as_json:
        say(json.dumps([asdict(each) for each in plain], ensure_ascii=False))
    else:
        say("---\n".join(each.text for each in plain).rstrip("\n"))


def _contents(checked: Checked) -> str:
    """`2 steps, 3 mappings, 4 examples, 2 tests`; of a mapping, `a mapping, 4 examples`; of channels, `2 channels`.

    The tests are those in files of their own, which `cio-etl test` runs.
    """
    from cio_etl.model.words import counted

    if checked.channels is not None:
        return counted(checked.channels, "channel")
    files = "a mapping"
    if checked.steps is not None:
        files = f"{counted(checked.steps, 'step')}, {counted(checked.mappings, 'mapping')}"
    examples = [counted(checked.examples, "example")] if checked.examples or not checked.tests else []
    return ", ".join([files, *examples, *([counted(checked.tests, "test")] if checked.tests else [])])
