"""Counts the changes of a delta from value to value, where the ledger stores values."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from cio_etl.ledger.decide import SENT, VALUE, Rules
from cio_etl.model import NOT_KNOWN, NOTHING

MOST = 200_000  # different changes of a part that are counted; beyond, the rarest are forgotten


@dataclass(slots=True)
class Changes:
    """The changes of known subjects, by part: how many go from which value to which."""

    most: int = MOST
    _counted: dict[str, pl.DataFrame] = field(default_factory=dict)

    def add(self, rows: pl.DataFrame, rules: Rules) -> None:
        """Counts the changes of decided rows; a subject's rows are all in one call."""
        for name in rules.values:
            before = pl.when(pl.col(f"before.{name}").is_null()).then(pl.lit(NOTHING))
            here = rows.filter(pl.col(f"{SENT}{name}") & pl.col("is_known")).select(
                before.otherwise(pl.col(f"before.{VALUE}{name}").fill_null(NOT_KNOWN)).alias("before"),
                pl.col(f"{VALUE}{name}").alias("after"),
                pl.lit(1, pl.UInt32).alias("subjects"),
            )
            if here.height:
                every = pl.concat([here, *([self._counted[name]] if name in self._counted else [])])
                self._counted[name] = _summed(every).head(self.most)

    def top(self, count: int) -> dict[str, list[tuple[str, str, int]]]:
        """The most frequent changes of each part: before, after (JSON texts, NOTHING or NOT_KNOWN) and subjects."""
        return {name: counted.head(count).rows() for name, counted in self._counted.items()}


def _summed(changes: pl.DataFrame) -> pl.DataFrame:
    sums = changes.group_by("before", "after").agg(pl.col("subjects").sum())
    return sums.sort("subjects", "before", "after", descending=[True, False, False])
