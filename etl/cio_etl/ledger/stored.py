"""The ledger of a step as its last finished run left it: a base and small additions.

    <state>/ledger/<job>/<step>/base-….parquet, more-….parquet

A file is written under another name, synchronised to the disk and renamed; it never changes afterwards. Which files are
the current generation is in the state, and moves in the transaction in which a step finishes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import polars as pl

from cio_etl.errors import LedgerDamaged
from cio_etl.ledger.decide import SUBJECT, VALUE, column_of
from cio_etl.ledger.files import GroupWriter, partition_bits, read_partition, reporting, sync_folder
from cio_etl.ledger.generation import Generation, Piece
from cio_etl.model.records import dataclass
from cio_etl.transform.prefetch import prefetch

COMPACT_SHARE = 0.2  # additions beyond this share of the base are merged into a new one
LEAST_MERGED = 1_000  # rows of additions, which stay beside a base however small it is
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

    def known(self, number: int, bits: int, among: pl.Series | None = None) -> pl.DataFrame:
        """The subjects of one partition, as their last piece has them; `among`: only those with one of these `hi`."""
        return self._newest(self.generation.pieces, number, bits, among).filter(~pl.col("is_gone"))

    def _newest(self, pieces: Sequence[Piece], number: int, bits: int, among: pl.Series | None = None) -> pl.DataFrame:
        """The subjects of one partition as the last of these pieces has them; those that are gone are marked."""
        frames = [pl.DataFrame(schema=KNOWN)]
        with reporting(self.folder):
            frames += [read_partition(self.folder / piece.file, number, bits, among) for piece in pieces]
            every = pl.concat(frames, how="diagonal")
        return every.unique(SUBJECT, keep="last", maintain_order=True) if len(frames) > 2 else every

    def _schema(self) -> dict[str, Any]:
        """The columns of all pieces."""
        with reporting(self.folder):
            found = [pl.read_parquet_schema(self.folder / piece.file) for piece in self.generation.pieces]
        return KNOWN | {name: dtype for each in found for name, dtype in each.items()}

    def with_changes(
        self,
        changes: Callable[[int, int], pl.DataFrame],
        rows: int,
        columns: MappingOf[str, Any] = MappingProxyType({}),
        *,
        values: bool | None = None,
        keeps: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
    ) -> Generation:
        """The next generation: `changes(partition, bits)` gives the subjects that change, at most `rows` in all.

        It is called in threads. `columns` of theirs may be new to the ledger: a partition without changes has them too.

        `values`: whether it has the texts of parts; None: as before. Without, those of all files are dropped. When the
        base is written again, `keeps` takes a partition's subjects and returns those that stay; None: all stay.
        """
        before = self.generation
        values = before.values if values is None else values
        drops = before.values and not values
        base = before.base_rows
        added = rows + before.rows - base
        merges = not before.pieces or drops or added > max(COMPACT_SHARE * base, LEAST_MERGED)
        gathers = not merges and len(before.pieces) >= MOST_PIECES
        bits = partition_bits(rows + before.rows)
        schema = {**self._schema(), **columns} if merges or gathers else {}
        wanted = [name for name in schema if not (drops and name.startswith(VALUE))]

        def alike(frame: pl.DataFrame) -> pl.DataFrame:
            return frame.select(column_of(frame, name, schema[name]) for name in wanted)

        def part(number: int) -> pl.DataFrame:
            new = changes(number, bits)
            if gathers:
                additions = self._newest(before.pieces[1:], number, bits)
                return alike(pl.concat([additions, new], how="diagonal").unique(SUBJECT, keep="last"))
            if not merges:
                return new
            if not before.pieces:  # nobody is known, and `new` has each subject once
                return new.filter(~pl.col("is_gone"))
            every = pl.concat([self.known(number, bits), new], how="diagonal")
            merged = every.unique(SUBJECT, keep="last").filter(~pl.col("is_gone"))
            return alike(merged if keeps is None else keeps(merged))

        piece = self._written("base" if merges else "more", part, bits)
        stay = () if merges else before.pieces[:1] if gathers else before.pieces
        pieces = stay + (() if piece is None else (piece,))
        return replace(before, number=before.number + 1, pieces=pieces, values=values)

    def rewritten(self, kept: Callable[[pl.DataFrame], pl.DataFrame]) -> Generation:
        """The next generation, in one file: what `kept` leaves of each partition's subjects, and nobody who is gone."""
        before, bits = self.generation, partition_bits(self.generation.rows)
        piece = self._written("base", lambda number: kept(self.known(number, bits)), bits)
        pieces = () if piece is None else (piece,)
        return replace(before, number=before.number + 1, pieces=pieces, subjects=sum(each.rows for each in pieces))

    def _written(self, kind: str, part: Callable[[int], pl.DataFrame], bits: int) -> Piece | None:
        """A file with these partitions, which are made in threads; None when they have no row."""
        with reporting(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            name = f"{kind}-{self.generation.number + 1:06}-{uuid4().hex[:8]}.parquet"
            written, rows = self.folder / f"{name}.part", 0
            try:
                with GroupWriter(written, compressed=True) as writer:
                    for frame in prefetch(part, range(1 << bits), 2):  # each takes memory
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
