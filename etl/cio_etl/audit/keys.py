"""Which keys do rows have, and how many of each? Hashes stand for them, in bounded memory.

Rows that say the same are put together from time to time. Past `most` of them every other key is left out, and again,
and again; counts are then reckoned from those that are left. All rows of a key are kept or left out together, so what
is said of a key is true of it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from cio_etl.audit.found import FIRST

MOST = 4_000_000  # keys, with what their rows say: 112 MB
_AT_ONCE = 1_000_000  # rows that are gathered before those that say the same are put together

Hashes = npt.NDArray[np.uint64]


class Keys:
    """Rows by the hash of their key, with the hash of what else each says, in order of position."""

    def __init__(self, most: int = MOST) -> None:
        self.every = 1  # of so many keys one is held
        self._most = most
        self._held: list[pl.DataFrame] = []  # the first of them put together
        self._together = self._height = 0  # rows of the first, and of all of them

    def add(self, positions: pl.Series, key: pl.Series, of: pl.Series | None = None) -> None:
        """The next rows: the hash of each one's key, and of what is to be told apart among rows of one key."""
        one = pl.Series("rows", [1], dtype=pl.UInt32).new_from_index(0, len(key))
        columns = [key.alias("key"), (key if of is None else of).alias("of"), positions.alias("first"), one]
        rows = pl.DataFrame(columns)
        if self.every > 1:
            rows = rows.filter(pl.col("key") % self.every == 0)
        self._held.append(rows)
        self._height += rows.height
        if self._height - self._together >= max(self._together, min(_AT_ONCE, self._most)):
            self._put_together()

    def distinct(self) -> int:
        """How many keys there are."""
        return _distinct(self._hashes("key")) * self.every

    def keys(self) -> Hashes:
        """Those that are held."""
        return self._hashes("key")

    def groups(self) -> pl.DataFrame:
        """All keys: key, rows, ofs (how many things the rows say) and firsts, some of the rows; the first key first."""
        rows = pl.concat(self._held) if self._held else pl.DataFrame(schema=_SCHEMA)
        by_key = rows.sort("first").group_by("key", maintain_order=True)
        some = pl.col("first").head(FIRST).alias("firsts")
        return by_key.agg(pl.col("rows").sum(), pl.col("of").n_unique().alias("ofs"), some)

    def several(self) -> pl.DataFrame:
        """As `groups`, of the keys that have more than one row."""
        if self._rows() == _distinct(self._hashes("key")):
            return _NO_GROUPS
        return self.groups().filter(pl.col("rows") > 1)

    def disagreeing(self) -> pl.DataFrame:
        """As `groups`, of the keys whose rows say more than one thing."""
        if _distinct(self._pairs()) == _distinct(self._hashes("key")):
            return _NO_GROUPS
        return self.groups().filter(pl.col("ofs") > 1)

    def _put_together(self) -> None:
        rows = pl.concat(self._held)
        pairs = self._pairs()
        order = np.argsort(pairs)
        pairs = pairs[order]
        begins = np.flatnonzero(np.concatenate(([True], pairs[1:] != pairs[:-1])))
        together = rows[order[begins]].with_columns(
            pl.Series("first", np.minimum.reduceat(rows["first"].to_numpy()[order], begins)),
            pl.Series("rows", np.add.reduceat(rows["rows"].to_numpy()[order], begins, dtype=np.uint32)),
        )
        while together.height > self._most:
            self.every *= 2
            together = together.filter(pl.col("key") % self.every == 0)
        self._held, self._together, self._height = [together], together.height, together.height

    def _pairs(self) -> Hashes:
        """A hash of each row's key and what it says."""
        return self._hashes("key") * np.uint64(0x9E3779B97F4A7C15) ^ self._hashes("of")

    def _hashes(self, column: str) -> Hashes:
        held = [frame[column].to_numpy() for frame in self._held]
        return np.concatenate(held) if held else np.empty(0, dtype=np.uint64)

    def _rows(self) -> int:
        return sum(int(frame["rows"].sum()) for frame in self._held)


_SCHEMA = pl.Schema({"key": pl.UInt64, "of": pl.UInt64, "first": pl.Int64, "rows": pl.UInt32})
_NO_GROUPS = pl.DataFrame(schema={"key": pl.UInt64, "rows": pl.UInt32, "ofs": pl.UInt32, "firsts": pl.List(pl.Int64)})


def _distinct(hashes: Hashes) -> int:
    ordered = np.sort(hashes)
    return int(np.count_nonzero(ordered[1:] != ordered[:-1])) + 1 if len(ordered) else 0
