"""What a mapping or a step expects of the rows of its source."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from dataclasses import field, replace
from datetime import timedelta
from typing import Any, Literal

from cio_etl.model.records import dataclass

Check = Literal["not_null", "unique", "accepted_values", "range", "regex", "row_count", "freshness"]


@dataclass(frozen=True, slots=True)
class Limit:
    """A share of something that is counted, or a number of it."""

    share: float | None = None  # 0.01 is 1 %
    number: int | None = None

    def of(self, known: int) -> int:
        """The number that is allowed; a share is rounded down."""
        return self.number if self.number is not None else int((self.share or 0.0) * known)

    def __str__(self) -> str:
        return f"{self.number:,}" if self.number is not None else f"{(self.share or 0.0) * 100:g} %"


NONE = Limit(number=0)
ONE_PERCENT = Limit(share=0.01)


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation. `columns` has one column; several for `unique`, whose key they are; none for `row_count`.

    Arguments: `values` of accepted_values; `min` and `max` of range and row_count; `pattern` of regex; `within`
    (timedelta), `format` and `timezone` of freshness.
    """

    check: Check
    columns: tuple[str, ...]
    arguments: MappingOf[str, Any] = field(default_factory=dict)
    where: str | None = None  # SQL over the row's columns: only rows for which it is true
    allow: Limit = NONE  # rows that may break it
    stops: bool = True  # a run stops before its first request; else it is a warning
    place: str = ""  # where it is written: `mappings/people.yaml:7: expect[0]`

    @property
    def what(self) -> str:
        """The expectation without the place where it is written, as a text."""
        return repr(replace(self, place="", arguments=dict(sorted(self.arguments.items()))))

    @property
    def field(self) -> str | None:
        """The columns as a report names them."""
        return ", ".join(self.columns) or None

    @property
    def within(self) -> timedelta:
        """Of freshness: how old the newest time may be."""
        within = self.arguments["within"]
        assert isinstance(within, timedelta)
        return within
