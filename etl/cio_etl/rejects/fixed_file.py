"""Reads a fixed file, and checks it before anything is sent: each row must name a reject, all of one job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import polars.selectors as cs

from cio_etl.errors import SourceError
from cio_etl.extract import csv_settings, open_source
from cio_etl.extract.replayed import FILE, LINE
from cio_etl.log.temporary import temporary_folder
from cio_etl.model import (
    FAULT,
    POSITION,
    REASONS,
    CsvSource,
    ExcelSource,
    FileSource,
    NdjsonSource,
    ParquetSource,
    Staging,
)
from cio_etl.model.words import counted
from cio_etl.reject_files import KEY, OF_VALIDATION, OURS, source_name, unguarded
from cio_etl.state import RunRecord, Store

ENDINGS = (".csv", ".parquet", ".ndjson", ".xlsx")

# The parts of KEY: a run, the number of a step, a position in its source.
RUN, STEP, AT = "_cio_etl_run", "_cio_etl_step", "_cio_etl_at"

NOT_REJECTED = f"has in {KEY!r} a row that was not rejected"
RESTORE_KEY = "put back what the export had there, or take the row out; its reject stays open"


@dataclass(frozen=True, slots=True)
class FixedFile:
    """Rows of a fixed file: columns with the source's names, and RUN, STEP, AT, FILE and LINE of each row."""

    rows: pl.DataFrame
    digest: str


def read_fixed_file(path: Path) -> FixedFile:
    """The rows of a fixed file. Raises SourceError with the first fault."""
    rows, digest = read_rows(path)
    if KEY not in rows.columns:
        raise SourceError(
            "fix a file that `cio-etl rejects RUN -o FILE` wrote, and keep that column",
            place=str(path),
            what=f"has no column {KEY!r}, which names the reject of each row",
        )
    if rows.is_empty():
        raise SourceError(place=str(path), what="has no rows")
    refuse_rows(
        rows.filter(pl.col(KEY).is_null()),
        f"has nothing in {KEY!r}: is the row new?",
        "take it out: a replay sends rejected rows only; new rows go with `cio-etl run`",
    )
    key = rows[KEY].cast(pl.String).str.strip_chars().str.extract_groups(r"^([^/]+)/(\d{1,9})/(\d{1,18})$").struct
    parts = [
        key.field("1").alias(RUN),
        key.field("2").cast(pl.Int64).alias(STEP),
        key.field("3").cast(pl.Int64).alias(AT),
    ]
    own = {name: source_name(name) for name in rows.columns if name not in OURS}
    rows = rows.select(cs.by_name(list(own))).rename(own).hstack(parts)
    refuse_rows(rows.filter(pl.col(RUN).is_null()), f"has in {KEY!r} what no export wrote", RESTORE_KEY)
    refuse_rows(
        rows.filter(pl.col(RUN) == OF_VALIDATION),
        "is of a file that `validate` wrote, and no run has rejected the row",
        "fix the rows in the source, or fix the mapping, and start the job with `cio-etl run`",
    )
    return FixedFile(rows, digest)


def read_rows(path: Path) -> tuple[pl.DataFrame, str]:
    """A file's rows with FILE and LINE of each, and a digest of the file. Raises SourceError."""
    with temporary_folder() as stage:
        snapshot = open_source(_source(path), Staging(Path(stage)))
        empty = pl.DataFrame(schema={**snapshot.schema, POSITION: pl.Int64(), FAULT: pl.String()})
        rows = pl.concat([empty, *snapshot.read(None, 0)])
        lines = [line for _, line in snapshot.locate(rows[POSITION].to_list())]
    rows = rows.with_columns(pl.lit(str(path)).alias(FILE), pl.Series(LINE, lines, dtype=pl.Int64))
    for fault in rows[FAULT].drop_nulls().unique(maintain_order=True)[:1]:
        reason = REASONS[fault]
        refuse_rows(rows.filter(pl.col(FAULT) == fault), reason.explanation, reason.remedy)
    rows = rows.drop(POSITION, FAULT)
    if path.suffix in (".csv", ".xlsx"):
        cells = [unguarded(column) if column.dtype == pl.String else column for column in rows]
        names = unguarded(pl.Series(rows.columns, dtype=pl.String))
        rows = pl.DataFrame([cell.alias(name) for cell, name in zip(cells, names, strict=True)])
    return rows, snapshot.fingerprint[:32]


def refuse_rows(rows: pl.DataFrame, what: str, remedy: str) -> None:
    """Raises SourceError for the first of these rows, if there is one."""
    if rows.height:
        others = "" if rows.height == 1 else f" (and {counted(rows.height - 1, 'more row')})"
        raise SourceError(remedy, place=f"{rows[FILE][0]}:{rows[LINE][0]}", what=f"{what}{others}")


def _source(path: Path) -> FileSource:
    """A source for the file. A spreadsheet may have changed separator and encoding of CSV, so both are detected."""
    match path.suffix:
        case ".csv":
            detected = csv_settings(path)
            separator, encoding = detected.get("separator", ","), detected.get("encoding", "utf-8")
            return CsvSource((str(path),), separator=separator, encoding=encoding)
        case ".parquet":
            return ParquetSource((str(path),))
        case ".ndjson":
            return NdjsonSource((str(path),))
        case ".xlsx":
            return ExcelSource((str(path),))
    raise SourceError(f"use a file whose name ends in {', '.join(ENDINGS)}", place=str(path), what="cannot be replayed")


def runs_of(store: Store, rows: pl.DataFrame) -> tuple[RunRecord, ...]:
    """The runs that rejected the rows of a fixed file, the oldest first. Raises SourceError where one is unknown."""
    runs = {run_id: store.run(run_id) for run_id in rows[RUN].unique(maintain_order=True)}
    unknown = [run_id for run_id, run in runs.items() if run is None]
    refuse_rows(
        rows.filter(pl.col(RUN).is_in(unknown)),
        "is of a run that this state folder does not have",
        "name the folder of that run's state with --state",
    )
    known = [run for run in runs.values() if run is not None]
    if len(jobs := sorted({run.job for run in known})) > 1:
        what = f"has rows of the jobs {' and '.join(jobs)}"
        raise SourceError("replay the rows of each job from a file of their own", place=rows[FILE][0], what=what)
    return tuple(sorted(known, key=lambda run: (run.started_at, run.run_id)))
