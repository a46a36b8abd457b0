"""A step's delta on the disk: what a run sends of each row, decided before its first request.

<run>/stage/<step>.delta/
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from cio_etl.errors import DeltaDamaged
from cio_etl.ledger.baseline import baseline_rows
from cio_etl.ledger.files import (
    GroupWriter,
    Streams,
    read_partition,
    reporting,
    stream_path,
    sync_file,
    sync_folder,
)
from cio_etl.transform.decisions import Decisions, words

GONE = "gone.parquet"  # in a delta's folder: who is gone
_BUFFER_ROWS = 200_000  # rows that are collected before they are written to their partitions


# ---------------------------------------------------------------- rows by partition


class Spill:
    """Rows by partition, on the disk when there is more than one partition."""

    def __init__(self, folder: Path, bits: int) -> None:
        self._folder, self._bits = folder, bits
        self._waiting: list[pl.DataFrame] = []
        self._rows = 0
        self._streams: Streams | None = None

    def add(self, frame: pl.DataFrame) -> None:
        self._waiting.append(frame)
        self._rows += frame.height
        if self._bits and self._rows >= _BUFFER_ROWS:
            self._flush()

    def part(self, number: int) -> pl.DataFrame | None:
        """The rows of a partition, in order of position; None: there are none. After the first call none are added."""
        if not self._bits:
            return pl.concat(self._waiting) if self._waiting else None
        self._flush()
        if self._streams is not None:
            self._streams.close()
        path = stream_path(self._folder, number)
        with reporting(self._folder):
            if not path.exists():
                return None
            frame = pl.read_ipc_stream(path)
            path.unlink()
        return frame

    def _flush(self) -> None:
        if not self._waiting:
            return
        rows = pl.concat(self._waiting)
        self._waiting, self._rows = [], 0
        self._streams = self._streams or Streams(self._folder, self._bits)
        self._streams.write(rows)


# ---------------------------------------------------------------- the delta of a step


@dataclass(frozen=True, slots=True)
class DeltaHead:
    """What a delta was made of, and how many of its rows are sent."""

    generation: int
    salt: int
    belongs_to: str
    fingerprint: str
    mapping: str  # digest
    parts: tuple[str, ...]
    keys: tuple[str, ...]  # columns of the rows that say who a subject is; () when they are not stored
    rows: int  # of the snapshot
    rows_to_send: int
    again: bool
    counts: dict[str, Any]
    values: tuple[str, ...] = ()  # parts whose texts are stored
    since: int | None = None  # Unix seconds: events before may leave the ledger
    is_first: bool = False  # no step has sent all of its rows before: `limits` do not hold
    is_baseline: bool = False  # nothing was compared: all rows are sent, and are noted then, see baseline.py


_TUPLES = ("parts", "keys", "values")


class DeltaWriter:
    """Writes a delta beside its place, and moves it there when it is whole."""

    def __init__(self, folder: Path, rows: int, parts: int) -> None:
        self.folder = folder
        self.scratch = folder.with_name(f"{folder.name}.part")
        with reporting(folder):
            shutil.rmtree(self.scratch, ignore_errors=True)
            self.scratch.mkdir(parents=True, mode=0o700)
            self._codes = _array(self.scratch / "codes", np.uint8, (rows,))
            self._masks = _array(self.scratch / "masks", np.uint64, (rows, words(parts)))
            self._rows = GroupWriter(self.scratch / "rows.parquet")
            self._gone: list[pl.DataFrame] = []
            self._refused: list[pl.DataFrame] = []

    def write_codes(self, positions: npt.NDArray[np.int64], codes: npt.NDArray[np.uint8]) -> None:
        self._codes[positions] = codes

    def write_masks(self, positions: npt.NDArray[np.int64], masks: npt.NDArray[np.uint64]) -> None:
        self._masks[positions] = masks

    def write_rows(self, rows: pl.DataFrame) -> None:
        with reporting(self.folder):
            self._rows.write(rows)

    def write_gone(self, rows: pl.DataFrame) -> None:
        self._gone.append(rows)

    def write_refused(self, rows: pl.DataFrame) -> None:
        if rows.height:
            self._refused.append(rows)

    def finish(self, head: DeltaHead) -> None:
        with reporting(self.folder):
            for array, name in ((self._codes, "codes"), (self._masks, "masks")):
                if isinstance(array, np.memmap):
                    array.flush()
                sync_file(self.scratch / name)
            with self._rows:
                pass
            if self._gone:
                pl.concat(self._gone).write_parquet(self.scratch / GONE)
                sync_file(self.scratch / GONE)
            with GroupWriter(self.scratch / "refused.parquet") as refused:
                if self._refused:
                    refused.write(pl.concat(self._refused))
        _finish(self.scratch, self.folder, head)


def begin_baseline(folder: Path, head: DeltaHead) -> Delta:
    """A delta by which all rows are sent: only its head is written now. Raises StateError."""
    scratch = folder.with_name(f"{folder.name}.part")
    with reporting(folder):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True, mode=0o700)
    _finish(scratch, folder, head)
    return Delta(folder, head)


def _finish(scratch: Path, folder: Path, head: DeltaHead) -> None:
    """Moves a delta whose other files are on the disk to its place."""
    with reporting(folder):
        (scratch / "delta.json").write_text(json.dumps(asdict(head)))
        sync_file(scratch / "delta.json")
        sync_folder(scratch)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(scratch, folder)
        sync_folder(folder.parent)


def _array(path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """An array in a file of zeros. Its space is taken at once: a full disk would later end the process by a signal."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    with open(path, "wb") as file:
        if size:
            os.posix_fallocate(file.fileno(), 0, size)
    return np.memmap(path, dtype=dtype, mode="r+", shape=shape) if size else np.zeros(shape, dtype=dtype)


_REFUSED = {"position": pl.Int64, "reason": pl.String, "field": pl.String}


@dataclass(frozen=True, slots=True)
class Delta:
    """A step's delta on the disk."""

    folder: Path
    head: DeltaHead

    @classmethod
    def open(cls, folder: Path) -> Delta | None:
        """The delta in a folder; None: there is none."""
        with reporting(folder, DeltaDamaged):
            try:
                found = json.loads((folder / "delta.json").read_text())
                return cls(folder, DeltaHead(**found | {name: tuple(found[name]) for name in _TUPLES if name in found}))
            except FileNotFoundError:
                return None
            except (ValueError, TypeError, KeyError):
                raise DeltaDamaged(place=folder / "delta.json", what="the file is damaged") from None

    def decisions(self) -> Decisions:
        """What is sent of each row; not of a baseline, which sends all of it."""
        with reporting(self.folder, DeltaDamaged):
            rows, width = self.head.rows, words(len(self.head.parts))
            codes, masks = self._array("codes", np.uint8, (rows,)), self._array("masks", np.uint64, (rows, width))
            return Decisions(codes, masks, self.head.parts, self._frame("refused", _REFUSED))

    def _array(self, name: str, dtype: type[np.generic], shape: tuple[int, ...]) -> npt.NDArray[Any]:
        path, size = self.folder / name, int(np.prod(shape)) * np.dtype(dtype).itemsize
        if path.stat().st_size != size:
            raise DeltaDamaged(place=path, what=f"the file has {path.stat().st_size:,} bytes, and had {size:,}")
        return np.memmap(path, dtype, "r", shape=shape) if size else np.zeros(shape, dtype)

    def rows(self, number: int, bits: int) -> pl.DataFrame | None:
        """The rows of one partition that are sent or noted; None: there are none."""
        if self.head.is_baseline:
            return baseline_rows(self.folder, self.head.rows, number, bits)
        with reporting(self.folder, DeltaDamaged):
            path = self.folder / "rows.parquet"
            if not path.exists():
                return None
            return read_partition(path, number, bits)

    def gone(self) -> pl.DataFrame:
        """The subjects that are gone: `hi`, `lo` and `key.<target>`."""
        with reporting(self.folder, DeltaDamaged):
            path = self.folder / GONE
            nobody = {"hi": pl.UInt64, "lo": pl.UInt64} | dict.fromkeys(self.head.keys, pl.String)
            return pl.read_parquet(path) if path.exists() else pl.DataFrame(schema=nobody)

    def _frame(self, name: str, schema: dict[str, Any]) -> pl.DataFrame:
        path = self.folder / f"{name}.parquet"
        return pl.read_parquet(path).select(*schema) if path.exists() else pl.DataFrame(schema=schema)
