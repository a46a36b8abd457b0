"""Rejected rows that are sent again."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from typing import TYPE_CHECKING, Any

from cio_etl.model.records import dataclass
from cio_etl.model.sources.source import Dataset, Source

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True, eq=False)
class ReplaySource(Source):
    """Rejected rows that are sent again, fixed or not: `replay` makes it, no job file can name it.

    `rows` has the columns that the mapping reads, and those that extract/replayed.py names.
    """

    rows: pl.DataFrame
    digest: str  # of the rows that `replay` was given: a copy of other rows is not resumed
    json: frozenset[str]
    column_facts: MappingOf[str, Any]  # see model.ColumnFacts
    closes: bool

    @property
    def place(self) -> str:
        return "the rejected rows"

    def datasets(self) -> list[Dataset]:
        return []
