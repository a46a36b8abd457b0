"""The rows of a first run, by partition: nothing has to be compared, so they are noted while they are sent.

    <delta>/delta.json, sent.<n>/00000.arrows …, whole.json when all rows have been noted

The rows of a frame are in their files before the first of them is sent. Of what a killed process leaves, each file is
read up to the record that is torn. Only a failure of power can lose rows that were sent; they are sent once more.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import polars as pl
import pyarrow as pa

from cio_etl.errors import DeltaDamaged
from cio_etl.ledger.files import Streams, by_subject, is_in_partition, reporting, stream_path
from cio_etl.model import POSITION, DeltaCounts

_WHOLE = "whole.json"  # in a delta's folder: all rows have been noted, and their counts


class BaselineWriter:
    """Notes the rows of a first run of `rows` rows, from the first row on; `folder` is the delta's.

    `bits` are DeltaHead.bits. `counts` are those of the rows that it has noted.
    """

    def __init__(self, folder: Path, rows: int, bits: int) -> None:
        self._folder, self._rows = folder, rows
        self._noted, self.counts = 0, DeltaCounts()
        with reporting(folder):
            self._place = folder / f"sent.{len(_places(folder)) + 1}"
            self._streams = Streams(self._place, by_subject(bits))

    def add(self, rows: int, hashed: pl.DataFrame) -> None:
        """Notes the next `rows` rows of the snapshot; `hashed` (Parts.hashes) are those that the mapping selects."""
        sent = hashed.filter(pl.col("hi").is_not_null() & pl.col("is_sent"))
        self._streams.write(sent.with_columns(pl.lit(None, dtype=pl.UInt64).alias("content")))
        self._noted += rows
        self.counts += DeltaCounts(new=sent.height, unreadable=hashed["hi"].null_count())

    def finish(self) -> None:
        """Closes the files. When all rows are noted, those that an earlier process has noted are removed."""
        self._streams.close()
        if self._noted < self._rows:
            return
        with reporting(self._folder):
            (self._folder / _WHOLE).write_text(json.dumps(asdict(self.counts)))
            for place in _places(self._folder):
                if place != self._place:
                    shutil.rmtree(place, ignore_errors=True)


def whole_counts(folder: Path) -> DeltaCounts | None:
    """The counts of a first run of which all rows are noted; None: some are not."""
    with reporting(folder, DeltaDamaged):
        path = folder / _WHOLE
        return DeltaCounts.of(json.loads(path.read_text())) if path.exists() else None


def baseline_rows(folder: Path, noted_bits: int, number: int, bits: int) -> pl.DataFrame | None:
    """The noted rows of one partition; None: there are none. `noted_bits` are those by which they were noted.

    The ledger may have other partitions: it knows somebody when an abandoned first run is counted once more.
    """
    deeper = noted_bits - bits
    files = [number >> -deeper] if deeper <= 0 else range(number << deeper, (number + 1) << deeper)
    frames = []
    with reporting(folder, DeltaDamaged):
        may_be_torn = not (folder / _WHOLE).exists()
        for place in _places(folder):
            for file in files:
                path = stream_path(place, file)
                if path.exists() and (frame := _read(path, may_be_torn=may_be_torn)) is not None:
                    frames.append(frame.filter(is_in_partition(number, bits)) if deeper < 0 else frame)
    if not frames:
        return None
    rows = frames[0] if len(frames) == 1 else pl.concat(frames).unique(POSITION, keep="last", maintain_order=True)
    return rows.rechunk()  # it has a chunk for each frame of the run: what follows would work on hundreds of small ones


def _read(path: Path, *, may_be_torn: bool) -> pl.DataFrame | None:
    if not may_be_torn:
        return pl.read_ipc_stream(path)
    batches: list[pa.RecordBatch] = []
    with suppress(pa.ArrowInvalid, OSError), pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
        batches.extend(stream)
    if not batches:
        return None
    frame = pl.from_arrow(pa.Table.from_batches(batches))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _places(folder: Path) -> list[Path]:
    """The folders in which processes have noted rows, the oldest first."""
    return sorted(folder.glob("sent.*"), key=lambda place: int(place.suffix[1:]))
