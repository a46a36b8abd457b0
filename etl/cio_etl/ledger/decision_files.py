"""The decisions of a delta on the disk: noted in the order of subjects, and read in the order of positions.

    codes   the code of each row, a byte
    masks   the masks of the rows that are sent in part, in order of position
    refused.parquet   why Customer.io refused rows before, in order of position; not there without any

In memory are the decisions of some rows at a time. So they wait in files by position until all have been made.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from cio_etl.errors import DeltaDamaged
from cio_etl.ledger.files import GroupWriter, reporting, sync_file
from cio_etl.ledger.spill import Spill
from cio_etl.model import POSITION
from cio_etl.transform.decisions import PARTIAL, SAME, Decisions, words

if TYPE_CHECKING:
    from cio_etl.transform.decisions import Codes, Masks

WORDS_AT_ONCE = 1 << 19  # 64-bit words of masks that are in memory at a time

CODES, MASKS, REFUSALS = "codes", "masks", "refused.parquet"  # in a delta's folder
_REFUSED = {"position": pl.Int64, "reason": pl.String, "field": pl.String}


class DecisionWriter:
    """Writes the decisions about `rows` rows, with masks of so many 64-bit words, to files of a folder."""

    def __init__(self, folder: Path, rows: int, width: int) -> None:
        self._folder, self._rows, self._width = folder, rows, width
        self._at_once = max(WORDS_AT_ONCE // width, 1)
        several = rows > self._at_once

        def waiting(name: str, position: str) -> Spill:
            part = (pl.col(position) // self._at_once).cast(pl.UInt32)
            return Spill(folder / name, part if several else None)

        self._changes, self._refused = waiting("decided", POSITION), waiting("refused", "position")
        self._codes = open(folder / CODES, "w+b", buffering=0)  # noqa: SIM115 # closed by `finish`, or with this

    def begin(self, positions: npt.NDArray[np.int64]) -> None:
        """Notes rows as SAME, unless they are decided otherwise; all that are noted are in order of position."""
        if len(positions):
            first = int(positions[0])
            codes = np.zeros(int(positions[-1]) + 1 - first, np.uint8)
            codes[positions - first] = SAME
            self._write_codes(first, codes)

    def decide(self, rows: pl.DataFrame, masks: Masks) -> None:
        """Notes other decisions: POSITION and code UInt8 of rows in any order, and their masks."""
        words = [pl.Series(f"mask.{place}", masks[:, place]) for place in range(self._width)]
        self._changes.add(rows.select(POSITION, "code").hstack(words))

    def refuse(self, rows: pl.DataFrame) -> None:
        """Notes why rows are REFUSED: position, reason and field, in any order."""
        if rows.height:
            self._refused.add(rows)

    def finish(self) -> None:
        """Puts the decisions in order of position, and synchronises them to the disk. Raises OSError."""
        refusals = GroupWriter(self._folder / REFUSALS, found_by="position")
        self._refused.finish()
        self._changes.finish()
        with self._codes, refusals, open(self._folder / MASKS, "wb") as masks:
            self._codes.truncate(self._rows)
            for number, start in enumerate(range(0, self._rows, self._at_once)):
                if (refused := self._refused.part(number)) is not None:
                    refusals.write(refused.sort("position"))
                rows = self._changes.part(number)
                if rows is None or not rows.height:
                    continue
                codes = np.fromfile(self._folder / CODES, np.uint8, self._at_once, offset=start)
                codes[rows[POSITION].to_numpy() - start] = rows["code"].to_numpy()
                self._write_codes(start, codes)
                partial = rows.filter(pl.col("code") == PARTIAL).sort(POSITION).select(pl.col("^mask[.].*$"))
                masks.write(np.ascontiguousarray(partial.to_numpy().reshape(-1, self._width)).data)
        for name in (CODES, MASKS):
            sync_file(self._folder / name)

    def _write_codes(self, start: int, codes: Codes) -> None:
        self._codes.seek(start)
        left = memoryview(codes.data)
        while left:
            left = left[self._codes.write(left) :]


def read_decisions(folder: Path, rows: int, parts: tuple[str, ...]) -> Decisions:
    """The decisions that a DecisionWriter has written. Raises DeltaDamaged."""
    width = words(len(parts))

    def codes(start: int, count: int) -> Codes:
        return np.frombuffer(_read(folder / CODES, start, count), np.uint8)

    def masks(start: int, count: int) -> Masks:
        size = width * 8
        return np.frombuffer(_read(folder / MASKS, start * size, count * size), np.uint64).reshape(count, width)

    def refused(first: int, last: int) -> pl.DataFrame:
        path = folder / REFUSALS
        with reporting(folder, DeltaDamaged):
            if not path.exists():
                return pl.DataFrame(schema=_REFUSED)
            return pl.scan_parquet(path, glob=False).filter(pl.col("position").is_between(first, last)).collect()

    _require_size(folder / CODES, rows)
    found = Decisions.of(rows, codes, masks, parts, refused)
    _require_size(folder / MASKS, int(found.partial_before[-1]) * width * 8)
    return found


def _read(path: Path, start: int, size: int) -> bytes:
    with reporting(path.parent, DeltaDamaged), open(path, "rb", buffering=0) as file:
        file.seek(start)
        found = file.read(size)
    if len(found) != size:
        raise DeltaDamaged(place=path, what="the file has become shorter")
    return found


def _require_size(path: Path, size: int) -> None:
    with reporting(path.parent, DeltaDamaged):
        found = path.stat().st_size
    if found != size:
        raise DeltaDamaged(place=path, what=f"the file has {found:,} bytes, and had {size:,}")
