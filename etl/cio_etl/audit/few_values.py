"""Counts the values of columns that have few different ones, such as plans, countries and statuses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import polars as pl

from cio_etl.model import ValueCount

MOST = 50  # different values of a column
SHOWN = 8  # the most frequent ones
_SAMPLE = 1_000  # rows of a frame: where they have many values, its values are not counted
# Who a row is about, which no count of values describes.
_WHO = ("identifiers.", "primary.", "secondary.", "object.", "attributes.email", "attributes.phone", "event_key")


class FewValues:
    """The values of one column over all frames so far; none as soon as there are more than MOST."""

    def __init__(self, targets: Sequence[str]) -> None:
        self._rows: Counter[str] | None = None if any(target.startswith(_WHO) for target in targets) else Counter()

    def counted(self, column: pl.Series) -> pl.DataFrame | None:
        """The rows of a frame by `value`, without null; None where the frame or the rows before have many values."""
        if self._rows is None or column.head(_SAMPLE).n_unique() > MOST + 1:
            return None
        return column.alias("value").drop_nulls().value_counts(name="rows")

    def of(self, counts: pl.DataFrame | None, texts: Callable[[pl.Series], list[str | None]]) -> dict[str, int]:
        """The rows of a frame by value as text, of what was counted; none when there are many."""
        if counts is None or counts.height > MOST:
            return {}
        return {text or "": rows for text, rows in zip(texts(counts["value"]), counts["rows"], strict=True)}

    def add(self, counts: dict[str, int], rows: int) -> None:
        """Adds the counts of a frame in which so many rows have a value."""
        if self._rows is not None:
            self._rows.update(counts)
            if sum(counts.values()) < rows or len(self._rows) > MOST:
                self._rows = None

    def most_frequent(self, shown: Callable[[str], str]) -> tuple[ValueCount, ...]:
        """The most frequent values as `shown`; none where most values are different, as in a file of a few rows."""
        rows = self._rows or Counter()
        if rows.total() < 2 * len(rows):
            return ()
        ordered = sorted(rows.items(), key=lambda each: (-each[1], each[0]))
        return tuple(ValueCount(shown(text), count) for text, count in ordered[:SHOWN])
