"""Keeps what a later replay of rejected rows needs: the types of the source's columns, and the rows if asked for.

The rows are in the run's folder, `rejects/0.parquet` for its first step: the source's columns, and file and line of
each row. They are written when the step ends; rows that are not stored are read again from the source while it is
unchanged.
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
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl

from cio_etl.model import PLACE_FILE, PLACE_LINE, POSITION, ColumnFacts, Snapshot
from cio_etl.model.records import dataclass

SKIP_ROWS = 100_000  # to the next reject: up to this distance, reading on is as fast as opening the source again


@dataclass(frozen=True, slots=True)
class Columns:
    """What a replay must know of a step's source: its columns, and the facts about whole columns.

    taken: the columns that the mapping's `*` took; None: it has none. expected: which expectations were tested; None:
    it is not known.
    """

    schema: pl.Schema
    json: frozenset[str]
    column_facts: ColumnFacts
    taken: tuple[str, ...] | None = None
    expected: str | None = None

    def to_text(self) -> str:
        """The text that the state stores."""
        empty = BytesIO()
        pl.DataFrame(schema=self.schema).write_ipc(empty)
        facts = {digest: rows for digest, rows in self.column_facts.items() if rows and _is_json(rows)}
        types = base64.b64encode(empty.getvalue()).decode("ascii")
        content = {"types": types, "json": sorted(self.json), "answers": facts, "expected": self.expected}
        return json.dumps(content if self.taken is None else content | {"taken": self.taken})

    @classmethod
    def of_text(cls, text: str) -> Columns:
        """The columns from the text of `to_text`."""
        content = json.loads(text)
        schema = pl.Schema(pl.read_ipc_schema(BytesIO(base64.b64decode(content["types"]))))
        taken = None if "taken" not in content else tuple(content["taken"])
        return cls(schema, frozenset(content["json"]), content["answers"], taken, content.get("expected"))


def _is_json(rows: Any) -> bool:
    """Whether the facts are the same after a round trip through JSON."""
    with suppress(TypeError, ValueError):
        return bool(json.loads(json.dumps(rows)) == rows)
    return False


ORPHANED_S = 3_600  # no file takes so long to be written


def rows_at(snapshot: Snapshot, positions: Sequence[int]) -> pl.DataFrame:
    """The rows at these positions, one or more in rising order: all columns, POSITION and FAULT, file and line of each.

    Raises SourceError.
    """
    parts: list[pl.DataFrame] = []
    wanted, last = pl.Series(positions, dtype=pl.Int64), -1
    frames = snapshot.read(None, positions[0])
    for position in positions:
        if position <= last:
            continue
        if parts and position - last > SKIP_ROWS:
            frames = snapshot.read(None, position)
        for frame in frames:
            here = wanted.filter(wanted.is_between(int(frame[POSITION][0]), int(frame[POSITION][-1])))
            parts.append(frame.filter(pl.col(POSITION).is_in(here.implode())))
            last = int(frame[POSITION][-1])
            if last >= position:
                break
    rows = pl.concat(parts)
    places = snapshot.locate(rows[POSITION].to_list())
    return rows.with_columns(
        pl.Series(PLACE_FILE, [file for file, _ in places], dtype=pl.String),
        pl.Series(PLACE_LINE, [line for _, line in places], dtype=pl.Int64),
    )


def write_rows(folder: Path, number: int, rows: pl.DataFrame) -> None:
    """Writes a step's rejected rows, for their owner only, whole or not at all. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for orphan in folder.glob(f".{number}.*"):  # of a process that was killed
        with suppress(OSError):
            if time.time() - orphan.stat().st_mtime > ORPHANED_S:
                orphan.unlink()
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=f".{number}.")  # 0600, and of this worker alone
    with os.fdopen(descriptor, "wb") as file:
        rows.write_parquet(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(name, folder / f"{number}.parquet")


def read_rows(folder: Path, number: int) -> pl.DataFrame | None:
    """The stored rows of a step; None when there are none, or they cannot be read."""
    with suppress(OSError, pl.exceptions.PolarsError):
        return pl.read_parquet((folder / f"{number}.parquet").read_bytes())
    return None


def delete(folder: Path) -> bool:
    """Removes the stored rows of a run; whether there were any."""
    there = folder.is_dir()
    shutil.rmtree(folder, ignore_errors=True)
    return there
