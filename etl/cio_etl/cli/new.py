"""The command `new`: writes a project."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from cio_etl.cli.main import cli
from cio_etl.cli.options import RESULT_JSON


@cli.command(epilog="More: README.md, Install")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@RESULT_JSON
def new(folder: Path, as_json: bool) -> None:
    """Write a project: a job, mappings, tests, example data.

    Also a CI file that checks every change, an Airflow DAG file, .gitignore and .env.example, into FOLDER. No file is
    overwritten: where one exists already, none is written.
    """
    from cio_etl.cli.commands import as_typed
    from cio_etl.log.streams import say
    from cio_etl.project import PROJECT_JOB, write_project

    written = write_project(folder)
    if as_json:
        say(json.dumps({"written": [str(path) for path in written]}, ensure_ascii=False))
        return
    for path in written:
        say(f"written: {path}")
    here = [] if folder.resolve() == Path.cwd() else [shlex.join(["cd", str(folder)])]
    say(f"next: {' && '.join([*here, as_typed('run', PROJECT_JOB, '--sandbox')])}")
