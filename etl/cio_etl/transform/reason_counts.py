"""Counts of rejected rows, and of values without which rows are sent, by reason and field, with their first rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import polars as pl

from cio_etl.model import POSITION, Omitted, OmittedCount, RejectCount
from cio_etl.transform.compiled import Mapped
from cio_etl.transform.encode import FAILED

Places = Callable[[Sequence[int]], Mapping[int, str]]  # of positions: `file:line`


def counted_rejects(items: pl.DataFrame) -> pl.DataFrame:
    """Rejects of one frame by reason and field: how many, and the first three positions."""
    return _by_reason(items.filter(pl.col("reason").is_not_null()))


def located_rejects(counted: pl.DataFrame | None, places: Places) -> list[RejectCount]:
    """The rejects of all frames by reason and field, each with the places of its first rows."""
    return [RejectCount(*count) for count in _located(counted, places)]


def omitted_values(mapped: Mapped) -> pl.DataFrame:
    """The values that cannot be sent, of the rows that are sent without them: position, field and reason."""
    names = [name for name in mapped.values.columns if name.startswith(FAILED)]
    values = mapped.values.select(pl.col(POSITION).alias("position"), *names)
    each = values.unpivot(names, index="position", variable_name="field", value_name="reason").drop_nulls("reason")
    sent = mapped.items.filter(pl.col("item").is_not_null()).select("position")
    return each.with_columns(pl.col("field").str.strip_prefix(FAILED)).join(sent, on="position", how="semi")


class OmittedCounter:
    """Counts the omitted values of all frames."""

    def __init__(self) -> None:
        self._rows = 0
        self._counted: list[pl.DataFrame] = []

    def add(self, mapped: Mapped) -> None:
        """Counts those of one frame."""
        if any(name.startswith(FAILED) for name in mapped.values.columns):
            omitted = omitted_values(mapped)
            self._rows += omitted["position"].n_unique()
            self._counted.append(_by_reason(omitted))

    def omitted(self, places: Places) -> Omitted:
        """The counts, each with the places of its first rows."""
        counted = pl.concat(self._counted) if self._counted else None
        return Omitted(self._rows, tuple(OmittedCount(*count) for count in _located(counted, places)))


def _by_reason(rows: pl.DataFrame) -> pl.DataFrame:
    first = pl.col("position").sort().head(3).alias("first")
    return rows.group_by("reason", "field").agg(pl.len().alias("rows"), first)


def _located(counted: pl.DataFrame | None, places: Places) -> Iterator[tuple[str, str | None, int, tuple[str, ...]]]:
    """Reason, field, rows and first rows; the most rows first."""
    if counted is None or counted.is_empty():
        return
    total = (
        counted.group_by("reason", "field")
        .agg(pl.col("rows").sum(), pl.col("first").explode().sort().head(3))
        .sort("rows", "reason", "field", descending=[True, False, False])
    )
    where = places(sorted({position for first in total["first"].to_list() for position in first}))
    for reason, field, rows, first in total.iter_rows():
        yield reason, field, rows, tuple(where[position] for position in first)
