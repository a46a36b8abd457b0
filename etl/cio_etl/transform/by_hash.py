"""Rows by the hash of their key, in bounded memory: what they share is found when all of them have been added.

Some rows stay in memory, the others wait in a file of the temporary folder that has no name, so that it is gone with
the process. They come back part by part, and all rows of a hash are in the same part. Without a limit of rows that is
exact at any size; past the limit every second key is dropped, and so on, and totals are estimated from the sample.
"""

from __future__ import annotations

import io
import os
import tempfile
import weakref
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

import polars as pl

from cio_etl.errors import StateError
from cio_etl.transform.arrays import np

if TYPE_CHECKING:
    import numpy.typing as npt

    Hashes = npt.NDArray[np.uint64]

KEY = "key"  # the column UInt64 of hashes
PARTS = 64
IN_MEMORY = 8 << 20  # bytes of rows that wait in memory
_SPREAD, _SHIFT = 0x9E3779B97F4A7C15, 58  # a part is the first 6 bits of the product


class RowsByHash:
    """Rows of one schema, among whose columns is KEY; within a part they are in the order in which they were added."""

    def __init__(self, most: int | None = None, in_memory: int = IN_MEMORY) -> None:
        """`most` is the number of rows past which keys are dropped; None: none is."""
        self.every = 1  # one in this many keys is in the sample
        self.rows = 0  # those in the file are reckoned once keys have been dropped
        self._most, self._in_memory = most, in_memory
        self._frames: list[pl.DataFrame] = []
        self._bytes = 0
        self._file: IO[bytes] | None = None
        self._pieces: list[list[tuple[int, int]]] = [[] for _ in range(PARTS)]  # of the file: from, bytes

    def add(self, rows: pl.DataFrame) -> None:
        """Add the next rows. Raises StateError when the temporary folder has no room."""
        rows = sampled(rows, self.every)
        self._frames.append(rows)
        self.rows += rows.height
        while self._most is not None and self.rows > self._most:
            self.drop()
        self._bytes += int(rows.estimated_size())
        if self._bytes > self._in_memory:
            self._write()

    def drop(self) -> None:
        """Drop every second key of the sample. What is in the file is left out when it is read."""
        self.every *= 2
        waiting = sum(frame.height for frame in self._frames)
        self._frames = [sampled(frame, self.every) for frame in self._frames]
        self.rows = (self.rows - waiting) // 2 + sum(frame.height for frame in self._frames)

    def parts(self) -> Iterator[pl.DataFrame]:
        """All rows, the same hashes in the same part; there is at least one row in each."""
        for (part,) in together(self):
            if part.height:
                yield part

    def part(self, number: int) -> pl.DataFrame:
        """The rows of one of PARTS parts. Raises StateError when the temporary folder has no room."""
        if self._bytes:  # the rows in memory are sorted into the parts once, not looked through for each
            self._write()
        return sampled(pl.concat([*self._written(number), *self._frames]), self.every) if self._frames else _nothing()

    @property
    def in_file(self) -> bool:
        """Whether some rows are in the file, so that they come back in several parts."""
        return self._file is not None

    def whole(self) -> pl.DataFrame:
        """All rows, where none is in the file."""
        return pl.concat(self._frames) if self._frames else _nothing()

    def _write(self) -> None:
        rows = pl.concat(self._frames, rechunk=True)  # rows are taken from one chunk twice as fast as from many
        parts = _part_of(rows)
        order = np.argsort(parts, kind="stable")
        rows, bounds = rows[order], np.searchsorted(parts[order], np.arange(PARTS + 1))
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="cio-etl-")  # noqa: SIM115 # open as long as this lives
                weakref.finalize(self, self._file.close)
            for number, (start, end) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
                if start < end:
                    piece = io.BytesIO()
                    rows.slice(start, end - start).write_ipc_stream(piece)
                    self._pieces[number].append((self._file.tell(), self._file.write(piece.getbuffer())))
        except OSError as error:
            raise _failed(error) from None
        self._frames, self._bytes = [rows.clear()], 0

    def _written(self, number: int) -> Iterator[pl.DataFrame]:
        if self._file is None:
            return
        try:
            end = self._file.seek(0, os.SEEK_END)
            for start, size in self._pieces[number]:
                self._file.seek(start)
                yield pl.read_ipc_stream(io.BytesIO(self._file.read(size)))
            self._file.seek(end)
        except OSError as error:
            raise _failed(error) from None


def together(*those: RowsByHash) -> Iterator[tuple[pl.DataFrame, ...]]:
    """The parts of several, side by side: a hash is in the same part of each. A part may have no rows."""
    if not any(one.in_file for one in those):
        yield tuple(one.whole() for one in those)
        return
    for number in range(PARTS):
        yield tuple(one.part(number) for one in those)


def sampled(rows: pl.DataFrame, every: int) -> pl.DataFrame:
    """The rows of one key in so many."""
    return rows if every == 1 else rows.filter(pl.col(KEY) % every == 0)


def _part_of(rows: pl.DataFrame) -> npt.NDArray[np.uint8]:
    parts: npt.NDArray[np.uint8] = ((rows[KEY].to_numpy() * _SPREAD) >> _SHIFT).astype(np.uint8)
    return parts


def _failed(error: OSError) -> StateError:
    what = f"cannot hold what all rows are compared by: {os.strerror(error.errno or 0)}"
    return StateError("free space there, or name another folder by TMPDIR", place=tempfile.gettempdir(), what=what)


def _nothing() -> pl.DataFrame:
    return pl.DataFrame(schema={KEY: pl.UInt64})
