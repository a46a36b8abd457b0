"""A snapshot of rows that are held in memory, for tests that need no file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from cio_etl.model import FAULT, POSITION, CsvSource, Mapping, Snapshot, Step
from cio_etl.run import prepare
from cio_etl.transform import Compiled


def held(rows: pl.DataFrame, frame_rows: int = 1_000) -> Snapshot:
    """Rows as a test's `rows()` makes them, in frames of this many; line 1 is a header."""

    def read(columns: Sequence[str] | None, start: int) -> Iterator[pl.DataFrame]:
        names = [name for name in rows.columns if columns is None or name in columns or name in (POSITION, FAULT)]
        yield from rows.slice(start).select(names).iter_slices(frame_rows)

    schema = rows.drop(POSITION, FAULT).schema
    return Snapshot("f" * 64, (), rows.height, schema, read, lambda places: [("rows.csv", at + 2) for at in places])


def step(mapping: Mapping) -> Step:
    return Step("s", CsvSource(("rows.csv",)), mapping)


def compiled(mapping: Mapping, snapshot: Snapshot) -> Compiled:
    """As a run prepares it, with what becomes of repeated keys."""
    return prepare(step(mapping), snapshot, 4, "track")[1]
