"""Counts the rows to send by the name of their event, where names come from a column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import polars as pl

from cio_etl.audit.findings import PositionedFinding, sent
from cio_etl.model import EventCount, Mapping
from cio_etl.transform import Mapped

NAMES = 200  # a column with more different values has no names of events, or too many to be read
SHOWN = 20
# A name is stored and shown, so it must not be a value about somebody: no address, path, or number of several digits.
_NAME = r"^[\p{L}\p{N} _.:()+&'-]{1,100}$"
_NUMBER = r"\p{N}{5}"


class EventNames:
    """An audit without findings."""

    def __init__(self) -> None:
        self._rows = 0
        self._names: Counter[str] | None = Counter()

    def observe(self, mapped: Mapped) -> None:
        """Counts the names of a frame."""
        names = sent(mapped, ["event"])["event"].drop_nulls().cast(pl.String).alias("name")
        self._rows += names.len()
        if self._names is not None:
            counts = names.value_counts(name="rows")
            if counts.height <= NAMES:
                self._names.update(dict(counts.iter_rows()))
            if counts.height > NAMES or len(self._names) > NAMES:
                self._names = None

    def findings(self) -> Iterable[PositionedFinding]:
        """None."""
        return ()

    def counts(self) -> tuple[EventCount, ...]:
        """The most frequent names, and the rows of all others without one."""
        found = pl.DataFrame(
            list((self._names or {}).items()), schema={"name": pl.String, "rows": pl.Int64}, orient="row"
        )
        is_name = pl.col("name").str.contains(_NAME) & ~pl.col("name").str.contains(_NUMBER)
        shown = found.filter(is_name).sort(["rows", "name"], descending=[True, False]).head(SHOWN)
        counts = tuple(EventCount(name, rows) for name, rows in shown.iter_rows())
        others = self._rows - sum(count.rows for count in counts)
        return (*counts, EventCount(None, others)) if others else counts


def event_names(mapping: Mapping) -> Iterator[EventNames]:
    """The audit, where names come from a column; where it is a constant, all rows have it."""
    if mapping.from_columns("event"):
        yield EventNames()
