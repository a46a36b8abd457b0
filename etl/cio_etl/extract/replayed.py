"""Makes a snapshot of rejected rows: a copy, so that a killed replay resumes with exactly these rows.

Each row has the fingerprint and position that may be part of its event's id, the number of its reject in the state, and
whether that reject is closed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from cio_etl.extract import copies
from cio_etl.extract.stage import copy_folder, staged
from cio_etl.extract.staged_files import placed, with_places
from cio_etl.model import CLOSED, FAULT, ORIGIN_FINGERPRINT, ORIGIN_POSITION, Replayed, ReplaySource, Snapshot, Staging
from cio_etl.model.records import dataclass

REJECT_ID = "_cio_etl_reject"  # Int64
ROW_FAULT = "_cio_etl_fault"  # String: what becomes the row's FAULT
FILE, LINE = "_cio_etl_file", "_cio_etl_line"  # where a person finds the row

_OWN = (ORIGIN_FINGERPRINT, ORIGIN_POSITION, CLOSED, ROW_FAULT)
_FRAME_ROWS = 25_000


@dataclass(frozen=True, slots=True)
class _Rows:
    """See stage.Reader."""

    source: ReplaySource

    @property
    def place(self) -> str:
        return self.source.place

    @property
    def settings(self) -> object:
        return ["replay 1", self.source.digest]

    def frames(self) -> Iterator[pl.DataFrame]:
        rows = self.source.rows
        for frame in rows.iter_slices(_FRAME_ROWS) if rows.height else (rows,):
            yield placed(frame.drop(FILE, LINE), frame[FILE], frame[LINE])

    def cancel(self) -> None:
        """Nothing to cancel: the rows are in memory."""


def open_replayed(source: ReplaySource, staging: Staging, chunk_rows: int) -> Snapshot:
    """The snapshot of rows that are sent again."""
    copy = with_places(staged(_Rows(source), staging, chunk_rows))
    own = [name for name in copy.schema if name not in (*_OWN, REJECT_ID)]

    def read(columns: Sequence[str] | None, start: int) -> Iterator[pl.DataFrame]:
        for frame in copy.read([*(own if columns is None else columns), *_OWN], start):
            fault = pl.when(pl.col(CLOSED).not_()).then(ROW_FAULT)  # a closed reject is skipped, whatever its fault was
            yield frame.with_columns(fault.alias(FAULT)).drop(ROW_FAULT)

    ids = [frame[REJECT_ID].to_numpy() for frame in copy.read([REJECT_ID], 0)]
    return replace(
        copy,
        schema=pl.Schema({name: copy.schema[name] for name in own}),
        read=read,
        json=source.json,
        replayed=Replayed(np.concatenate([np.empty(0, np.int64), *ids]), source.column_facts, source.closes),
    )


def is_copied(source: ReplaySource, staging: Staging) -> bool:
    """Whether a complete copy of the rows is in the stage already."""
    folder: Path = copy_folder(_Rows(source), staging)
    return copies.manifest_of(folder) is not None
