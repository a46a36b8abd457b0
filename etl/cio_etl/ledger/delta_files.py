"""A step's delta on the disk: what a run sends of each row, decided before its first request.

<run>/stage/<step>.delta/
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from cio_etl.errors import DeltaDamaged
from cio_etl.ledger.baseline import baseline_rows
from cio_etl.ledger.decision_files import DecisionWriter, read_decisions
from cio_etl.ledger.files import GroupWriter, read_partition, reporting, sync_file, sync_folder
from cio_etl.model import POSITION
from cio_etl.model.records import dataclass
from cio_etl.transform.decisions import Decisions, words

if TYPE_CHECKING:
    from cio_etl.transform.decisions import Masks

GONE = "gone.parquet"  # in a delta's folder: who is gone


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
    bits: int = 0  # of a baseline: the leading bits of a subject's hash that name the file in which a row is noted


_TUPLES = ("parts", "keys", "values")


class DeltaWriter:
    """Writes a delta beside its place, and moves it there when it is whole."""

    def __init__(self, folder: Path, rows: int, parts: int) -> None:
        self.folder = folder
        self.scratch = folder.with_name(f"{folder.name}.part")
        with reporting(folder):
            shutil.rmtree(self.scratch, ignore_errors=True)
            self.scratch.mkdir(parents=True, mode=0o700)
            self._decisions = DecisionWriter(self.scratch, rows, words(parts))
            self._rows = GroupWriter(self.scratch / "rows.parquet")
            self._gone = GroupWriter(self.scratch / GONE)
            self._nobody: pl.DataFrame | None = None  # the columns of whoever is gone; None: nobody was looked for

    def begin(self, rows: pl.DataFrame) -> None:
        """Notes the next rows that are compared, in order of position: nothing is sent unless `decide` says so."""
        with reporting(self.folder):
            self._decisions.begin(rows[POSITION].to_numpy())

    def decide(self, rows: pl.DataFrame, masks: Masks) -> None:
        """Notes what is sent: POSITION and code UInt8 of rows that are not the same, each with its mask."""
        with reporting(self.folder):
            self._decisions.decide(rows, masks)

    def write_rows(self, rows: pl.DataFrame) -> None:
        with reporting(self.folder):
            self._rows.write(rows)

    def write_gone(self, rows: pl.DataFrame) -> None:
        self._nobody = rows.clear()
        with reporting(self.folder):
            self._gone.write(rows)

    def write_refused(self, rows: pl.DataFrame) -> None:
        with reporting(self.folder):
            self._decisions.refuse(rows)

    def finish(self, head: DeltaHead) -> None:
        with reporting(self.folder):
            self._decisions.finish()
            with self._rows, self._gone:
                pass
            if self._nobody is not None and not (self.scratch / GONE).exists():
                self._nobody.write_parquet(self.scratch / GONE)
                sync_file(self.scratch / GONE)
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
        return read_decisions(self.folder, self.head.rows, self.head.parts)

    def rows(self, number: int, bits: int) -> pl.DataFrame | None:
        """The rows of one partition that are sent or noted; None: there are none."""
        if self.head.is_baseline:
            return baseline_rows(self.folder, self.head.bits, number, bits)
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
