"""What is kept of a step so that its rejected rows can be mended later? Its columns' types, and the rows if asked for.

The rows lie in the run's folder, `rejects/0.parquet` for its first step: the source's columns, and file and line of
each. They are written when the step is left; what is not there is read again from the source while that is unchanged.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl

from cio_etl.model import POSITION, ColumnFacts, Snapshot

PLACE_FILE, PLACE_LINE = "_cio_etl_file", "_cio_etl_line"
AGAIN_ROWS = 100_000  # to the next reject: so far, reading on is as quick as to begin anew


@dataclass(frozen=True, slots=True)
class Columns:
    """What a replay must know of a step's source: its columns, and what functions asked of all their values."""

    schema: pl.Schema
    json: frozenset[str]
    answers: ColumnFacts

    def to_text(self) -> str:
        """As the state keeps it."""
        empty = BytesIO()
        pl.DataFrame(schema=self.schema).write_ipc(empty)
        answers = {digest: rows for digest, rows in self.answers.items() if rows and _is_json(rows)}
        types = base64.b64encode(empty.getvalue()).decode("ascii")
        return json.dumps({"types": types, "json": sorted(self.json), "answers": answers})

    @classmethod
    def of_text(cls, text: str) -> Columns:
        """What was kept as this text."""
        said = json.loads(text)
        schema = pl.read_ipc(BytesIO(base64.b64decode(said["types"]))).schema
        return cls(schema, frozenset(said["json"]), said["answers"])


def _is_json(rows: Any) -> bool:
    """Whether the answers come back from JSON as they are."""
    with suppress(TypeError, ValueError):
        return bool(json.loads(json.dumps(rows)) == rows)
    return False


LEFT_S = 3_600  # no file takes so long to be written


def rows_at(snapshot: Snapshot, positions: Sequence[int]) -> pl.DataFrame:
    """The rows at these positions, at least one, which rise: all columns, POSITION and FAULT, file and line of each.

    Raises SourceError.
    """
    found: list[pl.DataFrame] = []
    wanted, last = pl.Series(positions, dtype=pl.Int64), -1
    frames = snapshot.read(None, positions[0])
    for position in positions:
        if position <= last:
            continue
        if found and position - last > AGAIN_ROWS:
            frames = snapshot.read(None, position)
        for frame in frames:
            here = wanted.filter(wanted.is_between(int(frame[POSITION][0]), int(frame[POSITION][-1])))
            found.append(frame.filter(pl.col(POSITION).is_in(here.implode())))
            last = int(frame[POSITION][-1])
            if last >= position:
                break
    rows = pl.concat(found)
    places = snapshot.locate(rows[POSITION].to_list())
    return rows.with_columns(
        pl.Series(PLACE_FILE, [file for file, _ in places], dtype=pl.String),
        pl.Series(PLACE_LINE, [line for _, line in places], dtype=pl.Int64),
    )


def write_rows(folder: Path, number: int, rows: pl.DataFrame) -> None:
    """Keeps a step's rejected rows: the user's only, whole or not at all. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in folder.glob(f".{number}.*"):  # by a process that was killed
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > LEFT_S:
                left.unlink()
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=f".{number}.")  # 0600, and no other worker's
    with os.fdopen(descriptor, "wb") as file:
        rows.write_parquet(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(name, folder / f"{number}.parquet")


def read_rows(folder: Path, number: int) -> pl.DataFrame | None:
    """The rows of a step that were kept; None when there are none, or they cannot be read."""
    with suppress(OSError, pl.exceptions.PolarsError):
        return pl.read_parquet((folder / f"{number}.parquet").read_bytes())
    return None


def delete(folder: Path) -> bool:
    """Removes what is kept of a run's rows; whether there was anything."""
    there = folder.is_dir()
    shutil.rmtree(folder, ignore_errors=True)
    return there
