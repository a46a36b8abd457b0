"""Writes the rejects of a run or of a validation to a file, each beside its row.

The file has a column `_reject`: RUN/STEP/POSITION. With it, `replay` finds the reject of each row when the file comes
back fixed. The other columns that the export adds are for people; `replay` ignores them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import BinaryIO

import polars as pl

from cio_etl.extract import SEPARATORS
from cio_etl.model import ALSO, FAULT, PLACE_FILE, PLACE_LINE, POSITION, CsvSource, Job, reason_words
from cio_etl.reject_files.csv_cells import as_text, from_text, guarded
from cio_etl.transform.nested import as_dtype

KEY = "_reject"
OF_VALIDATION = "(validation)"  # in KEY, in place of a run's ID: no run has this one
HEAD = ("step", "file", "line", "reason", "field", "hint", KEY)  # the columns that the export adds
CLOSED_COLUMN = "_closed"  # and this one, when closed rejects are exported, too: how each was closed
OURS = (*HEAD, CLOSED_COLUMN)

# Faults of a whole row: all its columns are null.
ROW_FAULTS = frozenset({"row_header", "row_marked", "row_nul", "row_ragged", "row_unreadable"})

_NAMED_LIKE_HEAD = re.compile(rf"(?:source\.)*(?:{'|'.join(OURS)})")


def exported_name(name: str) -> str:
    """The name of a source's column in the file: `source.` comes before it when it is one of ours."""
    return f"source.{name}" if _NAMED_LIKE_HEAD.fullmatch(name) else name


def source_name(name: str) -> str:
    """The name in the source of a column of the file."""
    return name.removeprefix("source.") if name not in OURS and _NAMED_LIKE_HEAD.fullmatch(name) else name


def step_frame(rejects: pl.DataFrame, rows: pl.DataFrame | None, step: str, key: str) -> pl.DataFrame:
    """A step's rejects as columns of HEAD, and their rows as the columns after them; KEY is `key` and the position.

    rejects: position, reason, field and message, in order of position. rows: as those of OriginalRows.
    """
    if rows is None:
        rows = pl.DataFrame(schema={POSITION: pl.Int64, PLACE_FILE: pl.String, PLACE_LINE: pl.Int64})
    message = pl.col("message").replace("", None)
    hint = pl.coalesce(pl.col("reason").replace_strict(reason_words(), default=None), message)
    hint = pl.when(message.str.starts_with(ALSO)).then(pl.format("{}; {}", hint, message)).otherwise(hint)
    not_divided = pl.col("reason").is_in(ROW_FAULTS)
    line = pl.col(PLACE_LINE).fill_null(pl.col("position") + 1)
    from_source = pl.format("{}; its cells are empty here: copy them from line {} of {}", hint, line, PLACE_FILE)
    own = {name: exported_name(name) for name in rows.columns if name not in (POSITION, FAULT, PLACE_FILE, PLACE_LINE)}
    head = rejects.join(
        rows.select(POSITION, PLACE_FILE, PLACE_LINE),
        left_on="position",
        right_on=POSITION,
        maintain_order="left",
        how="left",
    ).select(
        pl.lit(step).alias("step"),
        pl.col(PLACE_FILE).alias("file"),
        line.alias("line"),
        "reason",
        "field",
        pl.when(not_divided).then(pl.coalesce(from_source, hint)).otherwise(hint).alias("hint"),
        pl.format("{}/{}", pl.lit(key), "position").alias(KEY),
    )
    index = rejects.select("position").join(
        rows.with_row_index("_index"), left_on="position", right_on=POSITION, maintain_order="left", how="left"
    )["_index"]
    return head.hstack([rows[name].gather(index).alias(exported) for name, exported in own.items()])


def concatenated(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The rejects of all steps. A column that has different types in two steps becomes text."""
    types: dict[str, set[pl.DataType]] = {}
    for frame in frames:
        for name, dtype in frame.schema.items():
            types.setdefault(name, set()).update({dtype} - {pl.Null()})
    mixed = {name for name, dtypes in types.items() if len(dtypes) > 1}
    texts = [frame.with_columns(as_text(frame[name]) for name in frame.columns if name in mixed) for frame in frames]
    empty = pl.DataFrame(schema=dict.fromkeys(HEAD, pl.String))
    return pl.concat(texts, how="diagonal_relaxed") if texts else empty


# ---------------------------------------------------------------- the file


def separator_of(job: Job | None, steps: Collection[str]) -> str:
    """The separator of the CSV files that the steps read, so that one program opens them and the export.

    A comma where the steps have different ones, or one that `replay` does not recognise.
    """
    sources = [step.source for step in job.steps if step.name in steps] if job is not None else []
    separators = {source.separator if isinstance(source, CsvSource) else "," for source in sources}
    return separators.pop() if len(separators) == 1 and separators <= {*SEPARATORS} else ","


FORMATS = (".csv", ".parquet", ".ndjson")


def require_ending(path: Path) -> None:
    """Raises ValueError when the name does not end as that of a file which `export` writes."""
    if path.suffix not in FORMATS:
        raise ValueError(f"{path.name}: the name must end in {', '.join(FORMATS)}")


def export(rows: pl.DataFrame, path: Path, separator: str = ",") -> list[str]:
    """Writes rows in the format of the name's ending: .csv (safe to open in a spreadsheet), .parquet, .ndjson; 0600.

    Returns the columns whose values this format cannot hold exactly. Raises ValueError for another ending, and
    FileExistsError when the file exists.
    """
    writers: dict[str, Callable[[pl.DataFrame, BinaryIO], object]] = {
        ".csv": lambda frame, file: frame.write_csv(
            file,
            include_bom=True,  # without it, Excel misreads every é
            separator=separator,
        ),
        ".parquet": lambda frame, file: frame.write_parquet(file),
        ".ndjson": lambda frame, file: frame.write_ndjson(file),
    }
    require_ending(path)
    converters = {".csv": _for_spreadsheets, ".ndjson": _for_json}
    frame = converters[path.suffix](rows) if path.suffix in converters else rows
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        writers[path.suffix](frame, file)
    return [] if path.suffix == ".parquet" else [column.name for column in rows if not _is_exact(column)]


def _for_spreadsheets(rows: pl.DataFrame) -> pl.DataFrame:
    cells = [as_text(column) if column.dtype.is_numeric() else guarded(as_text(column)) for column in rows]
    names = guarded(pl.Series(rows.columns, dtype=pl.String))
    return pl.DataFrame([cell.alias(name) for cell, name in zip(cells, names, strict=True)])


def _for_json(rows: pl.DataFrame) -> pl.DataFrame:
    """Columns whose type JSON does not have become text."""
    return rows.with_columns(as_text(column) for column in rows if not _is_json(column.dtype, column))


def _is_json(dtype: pl.DataType, column: pl.Series) -> bool:
    if isinstance(dtype, pl.Struct):
        return all(_is_json(as_dtype(field.dtype), column) for field in dtype.fields) and _is_exact(column)
    if isinstance(dtype, pl.List | pl.Array):
        return _is_json(as_dtype(dtype.inner), column) and _is_exact(column)
    if dtype.is_float() and column.dtype.is_float():
        return bool(column.is_finite().all())
    return (dtype.is_numeric() and not dtype.is_decimal()) or dtype in (pl.String, pl.Boolean, pl.Null)


def _is_exact(column: pl.Series) -> bool:
    """Whether the column's text gives back each of its values."""
    return from_text(as_text(column), column.dtype).equals(column, null_equal=True)
