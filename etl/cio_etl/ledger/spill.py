"""Rows that wait for all others, by partition: added in one order, and taken in another."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from cio_etl.ledger.files import Streams, reporting, stream_path

_BUFFER_ROWS = 200_000  # rows that are collected before they are written to their partitions


class Spill:
    """Rows by partition, on the disk when there is more than one partition; `of` gives the number of a row's."""

    def __init__(self, folder: Path, of: pl.Expr | None) -> None:
        self._folder, self._of = folder, of
        self._waiting: list[pl.DataFrame] = []
        self._rows = 0
        self._streams: Streams | None = None

    def add(self, frame: pl.DataFrame) -> None:
        self._waiting.append(frame)
        self._rows += frame.height
        if self._of is not None and self._rows >= _BUFFER_ROWS:
            self._flush()

    def finish(self) -> None:
        """All rows have been added."""
        if self._of is not None:
            self._flush()
            if self._streams is not None:
                self._streams.close()

    def part(self, number: int) -> pl.DataFrame | None:
        """The rows of a partition, in the order in which they were added, after `finish`; None: there are none.

        It may be called in threads.
        """
        if self._of is None:
            return pl.concat(self._waiting, rechunk=True) if self._waiting else None
        path = stream_path(self._folder, number)
        with reporting(self._folder):
            if not path.exists():
                return None
            frame = pl.read_ipc_stream(path)
            path.unlink()
        return frame.rechunk()

    def _flush(self) -> None:
        if not self._waiting:
            return
        rows = pl.concat(self._waiting)
        self._waiting, self._rows = [], 0
        self._streams = self._streams or Streams(self._folder, self._of)
        self._streams.write(rows)
