"""Counts of rows by key, in bounded memory: keys are represented by hashes.

Rows with the same key and content are merged from time to time; the others wait in a file. Past `most` of them, every
second key is dropped, and so on; totals are then estimated from the sample. A key's rows are sampled together, so
counts for one key stay exact.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from cio_etl.audit.findings import FIRST
from cio_etl.model.records import dataclass
from cio_etl.transform.by_hash import IN_MEMORY, RowsByHash, sampled, together

MOST = 16_000_000  # keys, with a hash of their rows' content: 450 MB of the temporary folder
_AT_ONCE = 250_000  # rows that are collected before equal ones are merged, and keys that stay in memory: 7 MB

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Groups:
    """Keys of some kind in the sample: how many, with how many rows and different contents.

    `first` has the first rows of the key that occurs first.
    """

    keys: int = 0
    rows: int = 0
    contents: int = 0
    first: tuple[int, ...] = ()

    def with_part(self, groups: pl.DataFrame) -> Groups:
        """These, and the groups of one more part."""
        if groups.is_empty():
            return self
        first = tuple(groups["firsts"][0].to_list())
        return Groups(
            self.keys + groups.height,
            self.rows + int(groups["rows"].sum()),
            self.contents + int(groups["contents"].sum()),
            min(self.first or first, first),
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """What there is to say of all keys in the sample."""

    distinct: int = 0
    several: Groups = Groups()  # keys that have more than one row
    disagreeing: Groups = Groups()  # keys whose rows have different contents


class Keys:
    """Rows by the hash of their key, with a hash of their other content, in order of position."""

    def __init__(self, most: int = MOST, in_memory: int = IN_MEMORY) -> None:
        self._most = most
        self._held = RowsByHash(in_memory=in_memory)
        self._at_once = max(min(_AT_ONCE, most, in_memory), 1)
        self._frames: list[pl.DataFrame] = []  # the first is merged
        self._merged_rows = self._total_rows = 0  # of the first frame, and of all frames
        self._summary: Summary | None = None

    @property
    def every(self) -> int:
        """One in this many keys is in the sample."""
        return self._held.every

    def add(self, positions: pl.Series, key: pl.Series, content: pl.Series | None = None) -> None:
        """Add the next rows: the hash of each row's key, and of the content that may differ within a key."""
        one = pl.Series("rows", [1], dtype=pl.UInt32).new_from_index(0, len(key))
        columns = [
            key.alias("key"),
            (key if content is None else content).alias("content"),
            positions.alias("first"),
            one,
        ]
        rows = sampled(pl.DataFrame(columns), self.every)
        self._frames.append(rows)
        self._total_rows += rows.height
        self._summary = None
        if self._total_rows - self._merged_rows >= max(self._merged_rows, self._at_once):
            self._merge()

    def distinct(self) -> int:
        """How many keys there are."""
        return self.summary().distinct * self.every

    def summary(self) -> Summary:
        """The counts of all keys in the sample."""
        if self._summary is None:
            self._summary = Summary()
            for (rows,) in parts_of(self):
                self._summary = _with_part(self._summary, rows)
        return self._summary

    def settled(self) -> RowsByHash:
        """All rows in the sample, with `key`, `content`, `first` and `rows`; equal ones may be in several rows."""
        if self._frames:
            self._hold()
        return self._held

    def _merge(self) -> None:
        merged = _merged(pl.concat(self._frames, rechunk=True))  # rows are taken from one chunk twice as fast
        while self._held.rows + merged.height > self._most:
            self._held.drop()
            merged = sampled(merged, self.every)
        self._frames, self._merged_rows, self._total_rows = [merged], merged.height, merged.height
        if merged.height > _AT_ONCE or self._held.in_file:
            self._hold()

    def _hold(self) -> None:
        self._held.add(pl.concat(self._frames))
        self._frames, self._merged_rows, self._total_rows = [], 0, 0


def parts_of(*keys: Keys) -> Iterator[tuple[pl.DataFrame, ...]]:
    """The rows of several, part by part; a key is in the same part of each."""
    yield from together(*(one.settled() for one in keys))


def hashed_text(values: pl.Series) -> pl.Series:
    """A hash of each identifier, whatever its type is."""
    return values.cast(pl.String).hash()


def groups(rows: pl.DataFrame) -> pl.DataFrame:
    """The keys of these rows: key, rows, contents (how many) and firsts, the first rows; in order."""
    by_key = rows.sort("first").group_by("key", maintain_order=True)
    some = pl.col("first").head(FIRST).alias("firsts")
    return by_key.agg(pl.col("rows").sum(), pl.col("content").n_unique().alias("contents"), some)


def distinct(hashes: Hashes) -> int:
    """How many different hashes there are."""
    ordered = np.sort(hashes)
    return int(np.count_nonzero(ordered[1:] != ordered[:-1])) + 1 if len(ordered) else 0


def _with_part(summary: Summary, rows: pl.DataFrame) -> Summary:
    if rows.is_empty():
        return summary
    here = distinct(rows["key"].to_numpy())
    several, disagreeing = summary.several, summary.disagreeing
    if int(rows["rows"].sum()) > here:
        of_part = groups(rows)
        several = several.with_part(of_part.filter(pl.col("rows") > 1))
        disagreeing = disagreeing.with_part(of_part.filter(pl.col("contents") > 1))
    return Summary(summary.distinct + here, several, disagreeing)


def _merged(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows, one for each key and content."""
    pairs = _pairs(rows)
    order = np.argsort(pairs)
    pairs = pairs[order]
    begins = np.flatnonzero(np.concatenate(([True], pairs[1:] != pairs[:-1]))) if len(pairs) else order
    if len(begins) == len(pairs):
        return rows
    return rows[order[begins]].with_columns(
        pl.Series("first", np.minimum.reduceat(rows["first"].to_numpy()[order], begins)),
        pl.Series("rows", np.add.reduceat(rows["rows"].to_numpy()[order], begins, dtype=np.uint32)),
    )


def _pairs(rows: pl.DataFrame) -> Hashes:
    """A hash of each row's key and content."""
    pairs: Hashes = rows["key"].to_numpy() * np.uint64(0x9E3779B97F4A7C15) ^ rows["content"].to_numpy()
    return pairs
