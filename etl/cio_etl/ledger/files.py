"""The ledger's files, and the only code that touches them: pieces of a generation, and a step's delta.

    <state>/ledger/<job>/<step>/base-….parquet, more-….parquet    a generation: a base and small additions
    <run>/stage/<step>.delta/                                     what a step sends, decided before its first request

A file is written under another name, synchronised to the disk and renamed; it never changes afterwards. Which files are
the current generation is in the state, and moves in the transaction in which a step finishes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from cio_etl.errors import DeltaDamaged, LedgerDamaged, StateError
from cio_etl.ledger.decide import SUBJECT, VALUE
from cio_etl.transform.decisions import Decisions, words

ROWS_AT_ONCE = 131_072  # rows of one partition, which is what is in memory at a time
_BUFFER_ROWS = 200_000  # rows that are collected before they are written to their partitions
GONE = "gone.parquet"  # in a delta's folder: who is gone
FORMAT = 1  # of the files; a newer one is refused
COMPACT_SHARE = 0.2  # additions beyond this share of the base are merged into a new one
MOST_PIECES = 16  # beyond, the additions become one: each night would read all of a year's nights

KNOWN: dict[str, Any] = {
    "hi": pl.UInt64,
    "lo": pl.UInt64,
    "was_accepted": pl.Boolean,
    "refused": pl.List(pl.UInt64),
    "reason": pl.String,
    "field": pl.String,
    "is_gone": pl.Boolean,
}


def partition_bits(rows: int) -> int:
    """The number of leading bits of a subject's hash that name its partition."""
    return max((rows - 1) // ROWS_AT_ONCE, 0).bit_length()


def read_partition(path: Path, number: int, bits: int) -> pl.DataFrame:
    """The rows of a Parquet file whose `hi` is in this partition; groups of other partitions are not read."""
    if not bits:
        return pl.read_parquet(path, glob=False)
    width = 1 << (64 - bits)
    lowest, highest = (pl.lit(each, dtype=pl.UInt64) for each in (number * width, (number + 1) * width - 1))
    return pl.scan_parquet(path, glob=False).filter(pl.col("hi").is_between(lowest, highest)).collect()


@contextmanager
def reporting(folder: Path, damaged: type[LedgerDamaged] = LedgerDamaged) -> Iterator[None]:
    """Turns the failures of files into StateError; `damaged` is for files that are missing or cannot be read."""
    try:
        yield
    except FileNotFoundError as error:
        raise damaged(place=error.filename or folder, what="the file is missing") from None
    except OSError as error:
        raise StateError.of_file(folder, error) from None
    except (pa.ArrowException, pl.exceptions.PolarsError):
        raise damaged(place=folder, what="a file is damaged") from None


# ---------------------------------------------------------------- a generation


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of a generation."""

    file: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Generation:
    """The ledger as a finished step left it; the state stores its text."""

    number: int
    salt: int
    belongs_to: str  # digest of destination, operation and subject: another one starts a new ledger
    pieces: tuple[Piece, ...] = ()  # the first is the base; later ones replace its subjects
    parts: tuple[str, ...] = ()  # of the mapping that was sent last
    started_at: str = ""  # of the last run that sent everything; ISO 8601, UTC
    is_whole: bool = True  # False: no step that moved it has sent all of its rows
    subjects: int | None = None  # that the ledger knows; None: nobody has counted them
    values: bool = False  # the files have the texts of parts, too
    format: int = FORMAT

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def of_text(cls, text: str) -> Generation:
        """Raises StateError for a ledger of a newer version of this program."""
        found = json.loads(text)
        if found["format"] > FORMAT:
            what = f"the ledger was written by a newer version of this program (format {found['format']})"
            raise LedgerDamaged(
                f"upgrade cio-etl on this machine, or {LedgerDamaged.remedy}", place="the state", what=what
            )
        pieces = tuple(Piece(**piece) for piece in found["pieces"])
        return cls(**found | {"pieces": pieces, "parts": tuple(found["parts"])})

    @property
    def rows(self) -> int:
        """Rows of all pieces; a subject may have several."""
        return sum(piece.rows for piece in self.pieces)

    @property
    def base_rows(self) -> int:
        return self.pieces[0].rows if self.pieces else 0

    @property
    def bytes(self) -> int:
        """The size of all pieces on the disk."""
        return sum(piece.bytes for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Ledger:
    """A generation in its folder."""

    folder: Path
    generation: Generation

    def verify(self) -> None:
        """Raises StateError when a file is missing or is not what was written."""
        with reporting(self.folder):
            for piece in self.generation.pieces:
                try:
                    with open(self.folder / piece.file, "rb") as file:
                        found = hashlib.file_digest(file, "sha256").hexdigest()
                except FileNotFoundError:
                    raise LedgerDamaged(place=self.folder / piece.file, what="the file is missing") from None
                if found != piece.sha256:
                    what = "the file is not what was written (its SHA-256 differs)"
                    raise LedgerDamaged(place=self.folder / piece.file, what=what)

    def known(self, number: int, bits: int) -> pl.DataFrame:
        """The subjects of one partition, as their last piece has them."""
        return self._newest(self.generation.pieces, number, bits).filter(~pl.col("is_gone"))

    def _newest(self, pieces: Sequence[Piece], number: int, bits: int) -> pl.DataFrame:
        """The subjects of one partition as the last of these pieces has them; those that are gone are marked."""
        frames = [pl.DataFrame(schema=KNOWN)]
        with reporting(self.folder):
            frames += [read_partition(self.folder / piece.file, number, bits) for piece in pieces]
            every = pl.concat(frames, how="diagonal")
        return every.unique(SUBJECT, keep="last", maintain_order=True) if len(frames) > 2 else every

    def with_changes(
        self, changes: Callable[[int, int], pl.DataFrame], rows: int, *, values: bool | None = None
    ) -> Generation:
        """The next generation: `changes(partition, bits)` gives the subjects that change, at most `rows` in all.

        `values`: whether it has the texts of parts; None: as before. Without, those of all files are dropped.
        """
        before = self.generation
        values = before.values if values is None else values
        drops = before.values and not values
        base = before.base_rows
        added = rows + before.rows - base
        merges = not before.pieces or drops or added > max(COMPACT_SHARE * base, 1_000)
        gathers = not merges and len(before.pieces) >= MOST_PIECES
        bits = partition_bits(rows + before.rows)

        def part(number: int) -> pl.DataFrame:
            new = changes(number, bits)
            if gathers:
                additions = self._newest(before.pieces[1:], number, bits)
                return pl.concat([additions, new], how="diagonal").unique(SUBJECT, keep="last")
            if not merges:
                return new
            every = pl.concat([self.known(number, bits), new], how="diagonal")
            merged = every.unique(SUBJECT, keep="last").filter(~pl.col("is_gone"))
            return merged.select(pl.exclude(f"^{re.escape(VALUE)}.*$")) if drops else merged

        piece = self._written("base" if merges else "more", (part(number).sort(SUBJECT) for number in range(1 << bits)))
        stay = () if merges else before.pieces[:1] if gathers else before.pieces
        pieces = stay + (() if piece is None else (piece,))
        return replace(before, number=before.number + 1, pieces=pieces, values=values)

    def rewritten(self, kept: Callable[[pl.DataFrame], pl.DataFrame]) -> Generation:
        """The next generation, in one file: what `kept` leaves of each partition's subjects, and nobody who is gone."""
        before, bits = self.generation, partition_bits(self.generation.rows)
        piece = self._written("base", (kept(self.known(number, bits)).sort(SUBJECT) for number in range(1 << bits)))
        pieces = () if piece is None else (piece,)
        return replace(before, number=before.number + 1, pieces=pieces, subjects=sum(each.rows for each in pieces))

    def _written(self, kind: str, frames: Iterable[pl.DataFrame]) -> Piece | None:
        """A file with these frames; None when they have no row."""
        with reporting(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            name = f"{kind}-{self.generation.number + 1:06}-{uuid4().hex[:8]}.parquet"
            written, rows = self.folder / f"{name}.part", 0
            try:
                with GroupWriter(written, compressed=True) as writer:
                    for frame in frames:
                        rows += frame.height
                        writer.write(frame)
                if not rows:
                    return None
                with open(written, "rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                os.replace(written, self.folder / name)
            finally:  # on a full disk, each try would leave one
                written.unlink(missing_ok=True)
            sync_folder(self.folder)
            return Piece(name, rows, (self.folder / name).stat().st_size, digest)

    def remove_others(self) -> None:
        """Removes the files of other generations."""
        wanted = {piece.file for piece in self.generation.pieces}
        with reporting(self.folder):
            for file in self.folder.glob("*.parquet*"):
                if file.name not in wanted:
                    file.unlink(missing_ok=True)


class GroupWriter:
    """Writes frames of the same columns to a Parquet file, a group each, and synchronises it to the disk.

    Compression saves some 40 % of a ledger. A delta is read once and deleted: it is written without.
    """

    def __init__(self, path: Path, *, compressed: bool = False) -> None:
        self._path, self._compressed = path, compressed
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> GroupWriter:
        return self

    def write(self, frame: pl.DataFrame) -> None:
        if not frame.height:
            return
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._path,
                table.schema,
                compression="zstd" if self._compressed else "none",
                use_dictionary=[name for name in frame.columns if self._compressed and name not in SUBJECT],
            )
        self._writer.write_table(table.cast(self._writer.schema), row_group_size=max(table.num_rows, 1))

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
            sync_file(self._path)


def sync_file(path: Path) -> None:
    """Returns when the file's content is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


sync_folder = sync_file  # a folder is synchronised as a file is


# ---------------------------------------------------------------- rows by partition


class Spill:
    """Rows by partition, on the disk when there is more than one partition."""

    def __init__(self, folder: Path, bits: int) -> None:
        self._folder, self._bits = folder, bits
        self._waiting: list[pl.DataFrame] = []
        self._rows = 0
        self._writers: dict[int, pa.RecordBatchStreamWriter] = {}

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
        if (writer := self._writers.pop(number, None)) is None:
            return None
        path = self._path(number)
        with reporting(self._folder):
            writer.close()
            frame = pl.read_ipc_stream(path)
            path.unlink()
        return frame

    def _flush(self) -> None:
        if not self._waiting:
            return
        rows = pl.concat(self._waiting)
        self._waiting, self._rows = [], 0
        place = (rows["hi"] // (1 << (64 - self._bits))).cast(pl.UInt32)
        with reporting(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for (number,), part in (
                rows.with_columns(place.alias("_part")).partition_by("_part", as_dict=True, include_key=False).items()
            ):
                table = part.to_arrow(compat_level=pl.CompatLevel.oldest())
                if number not in self._writers:
                    self._writers[number] = pa.ipc.new_stream(str(self._path(number)), table.schema)
                self._writers[number].write_table(table)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:05}.arrows"


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
    is_first: bool = False  # no step has sent all of its rows before: `limits` do not hold


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
            (self.scratch / "delta.json").write_text(json.dumps(asdict(head)))
            sync_file(self.scratch / "delta.json")
            sync_folder(self.scratch)
            shutil.rmtree(self.folder, ignore_errors=True)
            os.replace(self.scratch, self.folder)
            sync_folder(self.folder.parent)


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
        with reporting(self.folder, DeltaDamaged):
            path = self.folder / "rows.parquet"
            if not path.exists():
                return None
            return read_partition(path, number, bits)

    def gone(self) -> pl.DataFrame:
        """The subjects that are gone: `hi`, `lo` and `key.<target>`."""
        with reporting(self.folder, DeltaDamaged):
            path = self.folder / GONE
            return pl.read_parquet(path) if path.exists() else pl.DataFrame(schema={"hi": pl.UInt64, "lo": pl.UInt64})

    def _frame(self, name: str, schema: dict[str, Any]) -> pl.DataFrame:
        path = self.folder / f"{name}.parquet"
        return pl.read_parquet(path).select(*schema) if path.exists() else pl.DataFrame(schema=schema)
