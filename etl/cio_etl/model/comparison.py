"""The comparison of a report with the one of the last run of the same steps."""

from __future__ import annotations

from typing import Literal

from cio_etl.model.records import dataclass

# What is compared, in the order in which a person reads it. `rejects` is by reason and field, `events` by name.
Figure = Literal[
    "rows_read", "accepted", "rejected", "skipped", "bytes_sent", "new", "changed", "gone", "rejects", "events"
]


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of a step: rows, bytes of `bytes_sent`, or people of `new`, `changed` and `gone`."""

    figure: Figure
    now: int
    before: int
    name: str | None = None  # the reason of rejects, the name of events; None of events: those without a shown name
    field: str | None = None  # of rejects
    is_large: bool = False

    @property
    def change(self) -> int:
        return self.now - self.before


@dataclass(frozen=True, slots=True)
class StepComparison:
    """The figures of a step now and before."""

    name: str
    differences: tuple[Difference, ...]

    @property
    def large(self) -> tuple[Difference, ...]:
        """The large differences."""
        return tuple(each for each in self.differences if each.is_large)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The figures of each step beside those of an earlier run."""

    run_id: str
    finished_at: str | None  # ISO 8601, UTC
    steps: tuple[StepComparison, ...]
