"""Which rows were rejected, and why? The run's rejects beside their rows, read again from the source."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import polars as pl

from etl.errors import EtlError, SourceError
from etl.extract import open_source, open_staged
from etl.extract.standard_input import STANDARD_INPUT
from etl.model import FAULT, POSITION, Job, Snapshot, Step
from etl.record import stage_folder
from etl.sources import DeltaSource, IcebergSource, SqlSource, Staging
from etl.state import RunRecord, StepRecord, Store

_FORMULA = r"^[=+\-@\t\r]"  # what a spreadsheet would run (OWASP: CSV injection)
_REFUSED_IN_CSV = (pl.List, pl.Array, pl.Struct)


def rejected_rows(store: Store, run: RunRecord, job: Job | None) -> tuple[pl.DataFrame, list[str]]:
    """The run's rejects: step, file, line, reason, field, message, and the source's columns while it is unchanged.

    The second part says of which steps the source's columns are missing, and why.
    """
    frames, notes = [], []
    for record in store.steps(run.run_id):
        rejects = store.rejects(run.run_id, record.number)
        if rejects.is_empty():
            continue
        try:
            step = _step_of(job, record.name)
            kept = None if job is None else stage_folder(job, run.run_id)
            rows = _with_rows(rejects, record, step, kept)
        except EtlError as error:
            notes.append(f"step {record.name}: without the source's columns, since {error}")
            rows = rejects.with_columns(
                pl.lit(None, dtype=pl.String).alias("file"), (pl.col("position") + 1).alias("line")
            )
        frames.append(rows.select(pl.lit(record.name).alias("step"), *_HEAD, pl.exclude(*_HEAD, "position")))
    if not frames:
        return pl.DataFrame(schema={name: pl.String for name in ("step", *_HEAD)}), notes
    return pl.concat(frames, how="diagonal_relaxed"), notes


_HEAD = ("file", "line", "reason", "field", "message")


def _step_of(job: Job | None, name: str) -> Step:
    found = None if job is None else next((step for step in job.steps if step.name == name), None)
    if found is None:
        raise SourceError(place=name, what="the job file has no such step any more")
    return found


def _with_rows(rejects: pl.DataFrame, record: StepRecord, step: Step, kept: Path | None) -> pl.DataFrame:
    with tempfile.TemporaryDirectory(prefix="cio-etl-") as folder:
        stage = kept if kept is not None and kept.is_dir() else Path(folder)
        snapshot = _snapshot(step, record, stage)
        if snapshot.fingerprint != record.fingerprint:
            raise SourceError(place=step.name, what="the source has changed since")
        positions = rejects["position"].unique().sort()
        frames = snapshot.read(None, int(positions[0]))
        rows = pl.concat([_picked(frame, positions) for frame in _until(frames, int(positions[-1]))])
        places = pl.DataFrame(
            [
                (position, *place)
                for position, place in zip(positions, snapshot.locate(positions.to_list()), strict=True)
            ],
            schema={"position": pl.Int64, "file": pl.String, "line": pl.Int64},
            orient="row",
        )
    taken = {name: f"source.{name}" for name in rows.columns if name in ("step", "position", *_HEAD)}
    rows = rows.rename(taken)
    return rejects.join(places, on="position").join(rows, left_on="position", right_on=POSITION, maintain_order="left")


def _snapshot(step: Step, record: StepRecord, stage: Path) -> Snapshot:
    """The rows that the step had: a source that was copied is not asked again, it might answer otherwise."""
    if not isinstance(step.source, SqlSource | DeltaSource | IcebergSource):
        piped = getattr(step.source, "paths", ()) == (STANDARD_INPUT,)  # what is piped in now are other rows
        return open_source(step.source, Staging(stage, may_read=not piped))
    if not record.files:
        raise SourceError(place=step.name, what="its rows were never staged")
    try:
        return open_staged(Path(record.files[0].path).parent)
    except SourceError:
        what = "the staged rows are removed when a run has finished, unless the job says keep_snapshots: true"
        raise SourceError(place=step.name, what=what) from None


def _until(frames: Iterator[pl.DataFrame], last: int) -> Iterator[pl.DataFrame]:
    for frame in frames:
        yield frame
        if frame[POSITION][-1] >= last:
            return


def _picked(frame: pl.DataFrame, positions: pl.Series) -> pl.DataFrame:
    kept = frame.filter(pl.col(POSITION).is_in(positions.implode()))
    return kept.drop(FAULT)


def export(rows: pl.DataFrame, path: Path) -> None:
    """Writes rows by the file name's ending: .csv (safe to open in a spreadsheet), .parquet, .ndjson; 0600.

    Raises ValueError for another ending, FileExistsError when the file is there already.
    """
    writers: dict[str, Callable[[BinaryIO], object]] = {
        ".csv": lambda file: _for_spreadsheets(rows).write_csv(file),
        ".parquet": rows.write_parquet,
        ".ndjson": rows.write_ndjson,
    }
    if path.suffix not in writers:
        raise ValueError(f"{path.name}: the name must end in {', '.join(writers)}")
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        writers[path.suffix](file)


def _for_spreadsheets(rows: pl.DataFrame) -> pl.DataFrame:
    nested = [name for name, dtype in rows.schema.items() if isinstance(dtype, _REFUSED_IN_CSV)]
    as_text = rows.with_columns(
        *(pl.struct(pl.col(name)).struct.json_encode().alias(name) for name in nested),
        pl.col(pl.Binary).bin.encode("hex"),
    )
    cell = pl.col(pl.String)
    return as_text.with_columns(
        pl.when(cell.str.contains(_FORMULA)).then(pl.lit("'") + cell).otherwise(cell).name.keep()
    )
