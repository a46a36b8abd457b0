"""What a shell offers at the tab key: job files, the names in one, runs.

At the tab key nobody waits, and nobody reads a message: little is opened, and where something fails, nothing is
offered.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from cio_etl.model import JobOutline

VARIABLE = "_CIO_ETL_COMPLETE"  # by which click is asked for completions
MOST_FILES, MOST_RUNS = 500, 50
_JOB = re.compile(r"(?m)^(?:steps|destinations?)\s*:")
_ANY_FILE = CompletionItem("", type="file")  # the shell's own completion of files


def job_files(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The job files in a folder and in those within it, as `jobs/`; any file where there are none."""
    with contextlib.suppress(OSError):
        files = itertools.islice(_yaml_files(os.path.dirname(incomplete)), MOST_FILES)
        if found := _items(sorted(file for file in files if file.startswith(incomplete) and _is_job(file)), ""):
            return found
    return [_ANY_FILE]


def step_names(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of the steps of the command's JOB, when it stands before the option."""
    job = _job_of(context)
    return [] if job is None else _items([step.name for step in job.steps], incomplete)


def target_names(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of the destinations of the command's JOB, likewise."""
    return _items(_targets_of(context), incomplete)


def runs(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The newest runs of the state folder, from the folders of their reports: a state is not opened."""
    folder = Path(context.params.get("state") or os.environ.get("ETL_STATE") or ".etl", "runs")
    with contextlib.suppress(OSError):
        newest = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        return _items([path.name for path in newest], incomplete)[:MOST_RUNS]
    return []


def runs_and_files(context: click.Context, option: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The newest runs; any file where none begins so."""
    return runs(context, option, incomplete) or [_ANY_FILE]


def _items(values: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(value) for value in values if value.startswith(incomplete)]


def _yaml_files(folder: str) -> Iterator[str]:
    """The YAML files in a folder and in those within it, but for hidden ones, as the person writes the folder."""
    here = Path(folder)
    for path in itertools.chain(here.glob("*.y*ml"), here.glob("*/*.y*ml")):
        inner = path.relative_to(here)
        if not any(part.startswith(".") for part in inner.parts):
            yield os.path.join(folder, inner)


def _is_job(file: str) -> bool:
    with contextlib.suppress(OSError, UnicodeError), open(file, encoding="utf-8") as text:
        return _JOB.search(text.read(65_536)) is not None
    return False


def _path_of_job(context: click.Context) -> Path | None:
    """The command's JOB. While an option lacks its value, click has not assigned the arguments yet."""
    word = context.params.get("job") or next(iter(context.args), None)
    return None if word is None else Path(word)


def _targets_of(context: click.Context) -> tuple[str, ...]:
    from cio_etl.config.targets import target_names as names_of
    from cio_etl.errors import EtlError

    path = _path_of_job(context)
    with contextlib.suppress(EtlError, OSError):
        return () if path is None else names_of(path)
    return ()


def _job_of(context: click.Context) -> JobOutline | None:
    from cio_etl.config import load_outline
    from cio_etl.errors import EtlError

    path = _path_of_job(context)
    with contextlib.suppress(EtlError, OSError):
        target = context.params.get("target") or next(iter(_targets_of(context)), None)
        return None if path is None else load_outline(path, target=target)
    return None
