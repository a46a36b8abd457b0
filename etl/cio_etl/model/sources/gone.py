"""The subjects that a source no longer has."""

from __future__ import annotations

from typing import ClassVar

from cio_etl.model.records import dataclass
from cio_etl.model.sources.source import Dataset, Source


@dataclass(frozen=True, slots=True)
class GoneSource(Source):
    """The subjects of a step's ledger that its source no longer has: a run makes it, no job file can name it."""

    step: str
    ledger: str  # the name of the step's ledger

    may_be_empty: ClassVar[bool] = True

    @property
    def place(self) -> str:
        return f"who is gone from step {self.step}"

    def datasets(self) -> list[Dataset]:
        return []
