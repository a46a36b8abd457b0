"""Prints job files and mappings in their plain form, with the columns that `*` takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cio_etl.config import attributes_of_columns, is_mapping_file, load_job, load_jobs, plain_data, yaml_text
from cio_etl.log.temporary import temporary_folder
from cio_etl.model import Bookmark, Job, Step
from cio_etl.model.records import dataclass
from cio_etl.run import limited, open_step_source, staging
from cio_etl.run.incremental import load_bookmarks
from cio_etl.run.other_columns import with_other_columns

ROWS = 10_000  # read of each source: the columns of some sources are those that a row has


@dataclass(frozen=True, slots=True)
class PlainFile:
    """A job file or a mapping as it would be without shorter forms; `step` is the step whose columns a mapping has."""

    file: str
    step: str | None
    data: dict[str, Any]

    @property
    def text(self) -> str:
        """The file as YAML, after a comment that names it."""
        words = self.file if self.step is None else f"{self.file}, step {self.step}"
        return f"# {words}\n{yaml_text(self.data)}"


def plain_files(path: Path, target: str | None = None) -> Iterator[PlainFile]:
    """The plain form of a job and of its mappings, or of one mapping, in which `*` stays. Raises EtlError.

    A job with several destinations keeps them, unless `target` names one. Only sources of which a mapping takes all
    other columns are opened.
    """
    if is_mapping_file(path):
        yield PlainFile(str(path), None, plain_data(path))
        return
    yield PlainFile(str(path), None, plain_data(path, target))
    job = load_jobs(path)[0] if target is None else load_job(path, secrets=False, sources=False, target=target)
    if any(step.mapping.other_columns is not None for step in job.steps):
        job = load_job(path, secrets=False, target=job.target)
    shown = set()
    for step in job.steps:
        if step.mapping.other_columns is not None:
            yield PlainFile(step.mapping.file, step.name, _with_columns(job, step))
        elif step.mapping.file not in shown:
            shown.add(step.mapping.file)
            yield PlainFile(step.mapping.file, None, plain_data(Path(step.mapping.file)))


def _with_columns(job: Job, step: Step) -> dict[str, Any]:
    """The data of a step's mapping, with an attribute for each column that `*` takes.

    Its examples are left out: their rows need not have all of these columns.
    """
    before = load_bookmarks(job).get(step.name, Bookmark())
    with temporary_folder() as stage:
        snapshot = limited(open_step_source(step, staging(Path(stage), step, before, rows=ROWS, first_only=True)), ROWS)
        _, found = with_other_columns(step, snapshot, before)
    assert found is not None
    data = plain_data(Path(step.mapping.file))
    data = {key: value for key, value in data.items() if key != "examples"}
    return {**data, "attributes": attributes_of_columns(step.mapping, data["attributes"], found.taken)}
