"""What an audit is, what it says, and what it may look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import polars as pl

from cio_etl.model import POSITION, Step
from cio_etl.transform import Mapped

FIRST = 3  # positions that a finding names


@dataclass(frozen=True, slots=True)
class Found:
    """A finding whose rows are still positions, the first few of them, in order."""

    code: str
    severity: Literal["warning", "notice"]
    field: str | None
    rows: int
    words: str
    first: tuple[int, ...] = ()


class Audit(Protocol):
    """One question about a step's rows."""

    def observe(self, mapped: Mapped) -> None:
        """Looks at a frame; frames come in order of position."""

    def findings(self) -> Iterable[Found]:
        """What there is to say, when all frames have been seen."""


@dataclass(frozen=True, slots=True)
class StepContext:
    """What is known of a step beside its rows."""

    steps: tuple[Step, ...] = ()  # of the job, this one among them
    columns: tuple[str, ...] = ()  # of the source, those that the mapping does not read too
    kinds_before: Mapping[str, str] = field(default_factory=dict)  # of columns, in the last finished run
    kinds: Mapping[str, str] = field(default_factory=dict)  # and now


def sent(mapped: Mapped, targets: Sequence[str]) -> pl.DataFrame:
    """POSITION and these values of the rows that would be sent."""
    values, items = mapped.values.select(POSITION, *targets), mapped.items
    if items["item"].null_count() == 0:
        return values
    positions = items.filter(pl.col("item").is_not_null())["position"]
    return values.filter(pl.col(POSITION).is_in(positions.implode()))


def firsts(before: Sequence[int], positions: pl.Series) -> tuple[int, ...]:
    """The first few positions that have come up, these after those."""
    return (*before, *positions.head(FIRST - len(before)).to_list())


@dataclass(slots=True)
class Tally:
    """Rows: how many, and the first few."""

    rows: int = 0
    first: tuple[int, ...] = ()

    def add(self, positions: pl.Series, holds: pl.Series) -> None:
        """Counts the rows for which it holds."""
        count = int(holds.sum() or 0)
        self.rows += count
        if count and len(self.first) < FIRST:
            self.first = firsts(self.first, positions.filter(holds))
