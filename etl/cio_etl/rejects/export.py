"""Which rows were rejected, and why? The run's rejects beside their rows, as kept or read again from the source.

An exported file has a row's reject in a column of its own, `_reject`: RUN/STEP/POSITION. By it `replay` knows the row
when the file comes back mended. What else is ours in the file is for people, and not read again.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import polars as pl

from cio_etl.errors import EtlError, SourceError
from cio_etl.extract import open_source, open_staged
from cio_etl.extract.standard_input import STANDARD_INPUT
from cio_etl.model import FAULT, POSITION, DeltaSource, IcebergSource, Job, Snapshot, SqlSource, Staging, Step
from cio_etl.rejects.csv_cells import as_text, from_text, guarded
from cio_etl.run.recording import rejects_folder, stage_folder
from cio_etl.run.reject_rows import PLACE_FILE, PLACE_LINE, read_rows, rows_at
from cio_etl.state import RunRecord, StepRecord, Store
from cio_etl.transform import reason_words
from cio_etl.transform.structs import as_dtype

KEY = "_reject"
HEAD = ("step", "file", "line", "reason", "field", "hint", KEY)  # the columns that are ours

_NAMED_LIKE_OURS = re.compile(rf"(?:source\.)*(?:{'|'.join(HEAD)})")


def exported_name(name: str) -> str:
    """What a source's column is called in the file: one that is named like ours gets `source.` before it."""
    return f"source.{name}" if _NAMED_LIKE_OURS.fullmatch(name) else name


def source_name(name: str) -> str:
    """The source's name of a column of the file."""
    return name.removeprefix("source.") if name not in HEAD and _NAMED_LIKE_OURS.fullmatch(name) else name


# ---------------------------------------------------------------- the rows


@dataclass(frozen=True, slots=True)
class RejectedRows:
    """What there is of a step's rejected rows: the source's columns, POSITION, FAULT, and file and line of each."""

    rows: pl.DataFrame | None
    missing: str = ""  # why some are not there, or none


def rows_of(state: Path, run: RunRecord, record: StepRecord, job: Job | None, positions: Sequence[int]) -> RejectedRows:
    """The rows at these positions, which rise: those that were kept, and the others from the source if unchanged."""
    kept = read_rows(rejects_folder(state, run.run_id), record.number)
    if kept is not None:
        kept = kept.filter(pl.col(POSITION).is_in(pl.Series(positions, dtype=pl.Int64).implode()))
        there = set(kept[POSITION])
        positions = [position for position in positions if position not in there]
    if not positions:
        return RejectedRows(kept)
    try:
        with source_of(run, record, job) as snapshot:
            rows = rows_at(snapshot, positions)
    except EtlError as error:
        return RejectedRows(kept, str(error))
    return RejectedRows(rows if kept is None else pl.concat([kept, rows], how="diagonal_relaxed").sort(POSITION))


@contextmanager
def source_of(run: RunRecord, record: StepRecord, job: Job | None) -> Iterator[Snapshot]:
    """The step's source as it was when the rows were rejected, for the length of a block; raises SourceError."""
    step = step_of(job, record.name)
    assert job is not None
    kept = stage_folder(job, run.run_id)
    with tempfile.TemporaryDirectory(prefix="cio-etl-") as folder:
        snapshot = _snapshot(step, record, kept if kept.is_dir() else Path(folder))
        if snapshot.fingerprint != record.fingerprint:
            raise SourceError(place=step.name, what="the source has changed since")
        yield snapshot


def step_of(job: Job | None, name: str) -> Step:
    """The job's step of this name. Raises SourceError when the job has it no more."""
    found = None if job is None else next((step for step in job.steps if step.name == name), None)
    if found is None:
        raise SourceError("give the step its old name back", place=name, what="the job file has no such step any more")
    return found


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
        what = (
            "the staged rows are removed when a run has finished; rejects: rows in the job file keeps the rejected ones"
        )
        raise SourceError(place=step.name, what=what) from None


# ---------------------------------------------------------------- the file


def rejected_rows(
    store: Store, state: Path, run: RunRecord, job: Job | None, *, closed: bool = False
) -> tuple[pl.DataFrame, list[str]]:
    """The run's rejects that are open, `closed`: all of them: our columns, and the source's while they can be had.

    The second part says of which steps the source's columns are missing, and why.
    """
    frames, notes = [], []
    for record in store.steps(run.run_id):
        rejects = store.rejects(run.run_id, record.number)
        rejects = rejects if closed else rejects.filter(pl.col("closed_by").is_null())
        if rejects.is_empty():
            continue
        found = rows_of(state, run, record, job, rejects["position"].to_list())
        if found.missing:
            here = 0 if found.rows is None else found.rows.height
            which = "" if not here else f"{rejects.height - here:,} of {rejects.height:,} rows "
            notes.append(f"step {record.name}: {which}without the source's columns, since {found.missing}")
        frames.append(_beside(rejects, found.rows, run, record))
    return _together(frames), notes


def _beside(rejects: pl.DataFrame, rows: pl.DataFrame | None, run: RunRecord, record: StepRecord) -> pl.DataFrame:
    """A step's rejects, in our columns, and beside them their rows."""
    if rows is None:
        rows = pl.DataFrame(schema={POSITION: pl.Int64, PLACE_FILE: pl.String, PLACE_LINE: pl.Int64})
    own = {name: exported_name(name) for name in rows.columns if name not in (POSITION, FAULT, PLACE_FILE, PLACE_LINE)}
    head = rejects.join(
        rows.select(POSITION, PLACE_FILE, PLACE_LINE),
        left_on="position",
        right_on=POSITION,
        maintain_order="left",
        how="left",
    ).select(
        pl.lit(record.name).alias("step"),
        pl.col(PLACE_FILE).alias("file"),
        pl.col(PLACE_LINE).fill_null(pl.col("position") + 1).alias("line"),
        "reason",
        "field",
        pl.coalesce(
            pl.col("reason").replace_strict(reason_words(), default=None), pl.col("message").replace("", None)
        ).alias("hint"),
        pl.format(f"{run.run_id}/{record.number}/{{}}", "position").alias(KEY),
    )
    at = rejects.select("position").join(
        rows.with_row_index("_at"), left_on="position", right_on=POSITION, maintain_order="left", how="left"
    )["_at"]
    return head.hstack([rows[name].gather(at).alias(exported) for name, exported in own.items()])


def _together(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """All steps' rejects in one frame. A column that two steps have in different types is text."""
    types: dict[str, set[pl.DataType]] = {}
    for frame in frames:
        for name, dtype in frame.schema.items():
            types.setdefault(name, set()).update({dtype} - {pl.Null()})
    mixed = {name for name, seen in types.items() if len(seen) > 1}
    made = [frame.with_columns(as_text(frame[name]) for name in frame.columns if name in mixed) for frame in frames]
    empty = pl.DataFrame(schema=dict.fromkeys(HEAD, pl.String))
    return pl.concat(made, how="diagonal_relaxed") if made else empty


def export(rows: pl.DataFrame, path: Path) -> list[str]:
    """Writes rows by the file name's ending: .csv (safe to open in a spreadsheet), .parquet, .ndjson; 0600.

    Answers which columns this form cannot say exactly. Raises ValueError for another ending, FileExistsError when the
    file is there already.
    """
    writers: dict[str, Callable[[pl.DataFrame, BinaryIO], object]] = {
        ".csv": lambda frame, file: frame.write_csv(file, include_bom=True),  # without it, Excel misreads every é
        ".parquet": lambda frame, file: frame.write_parquet(file),
        ".ndjson": lambda frame, file: frame.write_ndjson(file),
    }
    if path.suffix not in writers:
        raise ValueError(f"{path.name}: the name must end in {', '.join(writers)}")
    made = {".csv": _for_spreadsheets, ".ndjson": _for_json}.get(path.suffix, lambda frame: frame)(rows)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        writers[path.suffix](made, file)
    return [] if path.suffix == ".parquet" else list(_inexact(rows))


def _for_spreadsheets(rows: pl.DataFrame) -> pl.DataFrame:
    cells = [as_text(column) if column.dtype.is_numeric() else guarded(as_text(column)) for column in rows]
    names = guarded(pl.Series(rows.columns, dtype=pl.String))
    return pl.DataFrame([cell.alias(name) for cell, name in zip(cells, names, strict=True)])


def _for_json(rows: pl.DataFrame) -> pl.DataFrame:
    """What JSON has no type for is text."""
    return rows.with_columns(as_text(column) for column in rows if not _is_json(column.dtype, column))


def _is_json(dtype: pl.DataType, column: pl.Series) -> bool:
    if isinstance(dtype, pl.Struct):
        return all(_is_json(as_dtype(field.dtype), column) for field in dtype.fields) and _exact(column)
    if isinstance(dtype, pl.List | pl.Array):
        return _is_json(as_dtype(dtype.inner), column) and _exact(column)
    if dtype.is_float() and column.dtype.is_float():
        return bool(column.is_finite().all())
    return (dtype.is_numeric() and not dtype.is_decimal()) or dtype in (pl.String, pl.Boolean, pl.Null)


def _exact(column: pl.Series) -> bool:
    """Whether its text says all that is in the column."""
    return from_text(as_text(column), column.dtype).equals(column, null_equal=True)


def _inexact(rows: pl.DataFrame) -> Iterator[str]:
    """Columns whose text does not say all that is in them."""
    return (column.name for column in rows if not _exact(column))
