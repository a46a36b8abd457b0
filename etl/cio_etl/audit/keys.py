"""Counts of rows by key, in bounded memory: keys are represented by hashes.

Rows with the same key and content are merged from time to time. Past `most` rows, every second key is dropped, and so
on; totals are then estimated from the sample. A key's rows are sampled together, so counts for one key stay exact.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from cio_etl.audit.findings import FIRST

MOST = 4_000_000  # keys, with a hash of their rows' content: 112 MB
_BUFFER_ROWS = 1_000_000  # rows that are collected before equal ones are merged

Hashes = npt.NDArray[np.uint64]


class Keys:
    """Rows by the hash of their key, with a hash of their other content, in order of position."""

    def __init__(self, most: int = MOST) -> None:
        self.every = 1  # one in this many keys is in the sample
        self._most = most
        self._frames: list[pl.DataFrame] = []  # the first is merged
        self._merged_rows = self._total_rows = 0  # of the first frame, and of all frames

    def add(self, positions: pl.Series, key: pl.Series, content: pl.Series | None = None) -> None:
        """Add the next rows: the hash of each row's key, and of the content that may differ within a key."""
        one = pl.Series("rows", [1], dtype=pl.UInt32).new_from_index(0, len(key))
        columns = [
            key.alias("key"),
            (key if content is None else content).alias("content"),
            positions.alias("first"),
            one,
        ]
        rows = pl.DataFrame(columns)
        if self.every > 1:
            rows = rows.filter(pl.col("key") % self.every == 0)
        self._frames.append(rows)
        self._total_rows += rows.height
        if self._total_rows - self._merged_rows >= max(self._merged_rows, min(_BUFFER_ROWS, self._most)):
            self._merge()

    def distinct(self) -> int:
        """How many keys there are."""
        return _distinct(self._hashes("key")) * self.every

    def keys(self) -> Hashes:
        """The hashes of the keys in the sample."""
        return self._hashes("key")

    def groups(self) -> pl.DataFrame:
        """All keys in the sample: key, rows, contents (how many) and firsts, the first rows; in order."""
        rows = pl.concat(self._frames) if self._frames else pl.DataFrame(schema=_SCHEMA)
        by_key = rows.sort("first").group_by("key", maintain_order=True)
        some = pl.col("first").head(FIRST).alias("firsts")
        return by_key.agg(pl.col("rows").sum(), pl.col("content").n_unique().alias("contents"), some)

    def several(self) -> pl.DataFrame:
        """As `groups`, of the keys that have more than one row."""
        if self._rows() == _distinct(self._hashes("key")):
            return _NO_GROUPS
        return self.groups().filter(pl.col("rows") > 1)

    def disagreeing(self) -> pl.DataFrame:
        """As `groups`, of the keys whose rows have different contents."""
        if _distinct(self._pairs()) == _distinct(self._hashes("key")):
            return _NO_GROUPS
        return self.groups().filter(pl.col("contents") > 1)

    def _merge(self) -> None:
        rows = pl.concat(self._frames)
        pairs = self._pairs()
        order = np.argsort(pairs)
        pairs = pairs[order]
        begins = np.flatnonzero(np.concatenate(([True], pairs[1:] != pairs[:-1])))
        merged = rows[order[begins]].with_columns(
            pl.Series("first", np.minimum.reduceat(rows["first"].to_numpy()[order], begins)),
            pl.Series("rows", np.add.reduceat(rows["rows"].to_numpy()[order], begins, dtype=np.uint32)),
        )
        while merged.height > self._most:
            self.every *= 2
            merged = merged.filter(pl.col("key") % self.every == 0)
        self._frames, self._merged_rows, self._total_rows = [merged], merged.height, merged.height

    def _pairs(self) -> Hashes:
        """A hash of each row's key and content."""
        return self._hashes("key") * np.uint64(0x9E3779B97F4A7C15) ^ self._hashes("content")

    def _hashes(self, column: str) -> Hashes:
        hashes = [frame[column].to_numpy() for frame in self._frames]
        return np.concatenate(hashes) if hashes else np.empty(0, dtype=np.uint64)

    def _rows(self) -> int:
        return sum(int(frame["rows"].sum()) for frame in self._frames)


_SCHEMA = pl.Schema({"key": pl.UInt64, "content": pl.UInt64, "first": pl.Int64, "rows": pl.UInt32})
_NO_GROUPS = pl.DataFrame(
    schema={"key": pl.UInt64, "rows": pl.UInt32, "contents": pl.UInt32, "firsts": pl.List(pl.Int64)}
)


def _distinct(hashes: Hashes) -> int:
    ordered = np.sort(hashes)
    return int(np.count_nonzero(ordered[1:] != ordered[:-1])) + 1 if len(ordered) else 0
