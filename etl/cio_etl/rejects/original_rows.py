"""Gets rejected rows as they were in the source: those that the run stored, the others from the unchanged source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from cio_etl.errors import EtlError, SourceError
from cio_etl.extract import open_source, open_staged
from cio_etl.log.temporary import temporary_folder
from cio_etl.model import POSITION, Job, Snapshot, Staging, Step
from cio_etl.run import read_rows, rejects_folder, rows_at, stage_folder
from cio_etl.state import RunRecord, StepRecord
from cio_etl.transform import exploded


@dataclass(frozen=True, slots=True)
class OriginalRows:
    """Rows of a step: the source's columns, POSITION, FAULT, PLACE_FILE and PLACE_LINE. None: there are none."""

    rows: pl.DataFrame | None
    missing: str = ""  # why some rows are not among them; "": none is missing


def original_rows(
    state: Path, run: RunRecord, record: StepRecord, job: Job | None, positions: Sequence[int]
) -> OriginalRows:
    """The rows at these positions, which are in rising order."""
    stored = read_rows(rejects_folder(state, run.run_id), record.number)
    if stored is not None:
        stored = stored.filter(pl.col(POSITION).is_in(pl.Series(positions, dtype=pl.Int64).implode()))
        known = set(stored[POSITION])
        positions = [position for position in positions if position not in known]
    if not positions:
        return OriginalRows(stored)
    try:
        with open_original_source(run, record, job) as snapshot:
            rows = rows_at(snapshot, positions)
    except EtlError as error:
        return OriginalRows(stored, str(error).removeprefix(f"{record.name}: "))  # the caller names the step
    return OriginalRows(rows if stored is None else pl.concat([stored, rows], how="diagonal_relaxed").sort(POSITION))


@contextmanager
def open_original_source(run: RunRecord, record: StepRecord, job: Job | None) -> Iterator[Snapshot]:
    """The step's source for the length of a block. Raises SourceError when it has changed since the run."""
    step = find_step(job, record.name)
    assert job is not None
    stage = stage_folder(job, run.run_id)
    with temporary_folder() as folder:
        snapshot = exploded(_snapshot(step, record, stage if stage.is_dir() else Path(folder)), step.mapping)
        if snapshot.fingerprint != record.fingerprint:
            raise SourceError(place=step.name, what="the source has changed since")
        yield snapshot


def find_step(job: Job | None, name: str) -> Step:
    """The job's step with this name. Raises SourceError when there is none."""
    for step in job.steps if job is not None else ():
        if step.name == name:
            return step
    if job is not None and any(f"{step.name}/gone" == name and step.sync.mode == "mirror" for step in job.steps):
        what = "it removes who is gone from the source, and its rejects are no rows of it"
        raise SourceError("run the job: it tries to remove them again", place=name, what=what)
    raise SourceError("give the step its old name again", place=name, what="the job file no longer has this step")


def _snapshot(step: Step, record: StepRecord, stage: Path) -> Snapshot:
    """The step's rows. A database or table is not read again, because it may return other rows: its copy is opened."""
    if step.source.is_repeatable:
        return open_source(step.source, Staging(stage, may_read=not step.source.is_piped))
    if not record.files:
        raise SourceError(place=step.name, what="its rows were never staged")
    try:
        return open_staged(Path(record.files[0].path).parent)
    except SourceError:
        what = "staged rows are removed when a run has finished; `rejects: rows` in the job file keeps rejected ones"
        raise SourceError(place=step.name, what=what) from None
