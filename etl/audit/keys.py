"""Which keys do rows have, and how many of each? Hashes stand for them, in bounded memory.

Past `most` entries every other key is left out, and again, and again; counts are then reckoned from those that are
left. All rows of a key are kept or left out together, so what is said of a key is true of it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.audit.found import FIRST

MOST = 4_000_000  # rows or keys that are held at once: 112 MB

Hashes = npt.NDArray[np.uint64]


class Keys:
    """Rows by the hash of their key, with the hash of what else each says, in order of position."""

    def __init__(self, most: int = MOST) -> None:
        self.every = 1  # of so many keys one is held
        self._most = most
        self._held: list[pl.DataFrame] = []
        self._height = 0

    def add(self, positions: pl.Series, key: pl.Series, of: pl.Series | None = None) -> None:
        """The next rows: the hash of each one's key, and of what is to be told apart among rows of one key."""
        one = pl.Series("rows", [1], dtype=pl.UInt32).new_from_index(0, len(key))
        columns = [key.alias("key"), (key if of is None else of).alias("of"), positions.alias("first"), one]
        rows = pl.DataFrame(columns)
        if self.every > 1:
            rows = rows.filter(pl.col("key") % self.every == 0)
        self._held.append(rows)
        self._height += rows.height
        if self._height > self._most:
            self._make_room()

    def distinct(self) -> int:
        """How many keys there are."""
        return _distinct(self._hashes("key")) * self.every

    def keys(self) -> Hashes:
        """Those that are held."""
        return self._hashes("key")

    def groups(self) -> pl.DataFrame:
        """All keys: key, rows, ofs (how many things the rows say) and firsts, some of the rows; the first key first."""
        rows = pl.concat(self._held) if self._held else pl.DataFrame(schema=_SCHEMA)
        by_key = rows.group_by("key", maintain_order=True)
        some = pl.col("first").head(FIRST).alias("firsts")
        return by_key.agg(pl.col("rows").sum(), pl.col("of").n_unique().alias("ofs"), some)

    def several(self) -> pl.DataFrame:
        """As `groups`, of the keys that have more than one row."""
        if self._rows() == _distinct(self._hashes("key")):
            return _NO_GROUPS
        return self.groups().filter(pl.col("rows") > 1)

    def disagreeing(self) -> pl.DataFrame:
        """As `groups`, of the keys whose rows say more than one thing."""
        pairs = self._hashes("key") * np.uint64(0x9E3779B97F4A7C15) ^ self._hashes("of")
        if _distinct(pairs) == _distinct(self._hashes("key")):
            return _NO_GROUPS
        return self.groups().filter(pl.col("ofs") > 1)

    def _make_room(self) -> None:
        by_pair = pl.concat(self._held).group_by("key", "of", maintain_order=True)
        pairs = by_pair.agg(pl.col("first").first(), pl.col("rows").sum())
        while pairs.height > self._most // 2:
            self.every *= 2
            pairs = pairs.filter(pl.col("key") % self.every == 0)
        self._held, self._height = [pairs], pairs.height

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
