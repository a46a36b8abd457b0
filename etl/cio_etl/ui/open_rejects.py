"""Open rejects over all runs: how many, where, since when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cio_etl.model import OpenRejects
from cio_etl.state import Reader
from cio_etl.ui.refreshed import Refreshed

MOST_LINES = 200  # that a page lists; the sum is that of all of them


@dataclass(slots=True)
class OpenCounts:
    """The open rejects of a state by job, step, reason and field, behind a cache: to count millions takes a while.

    Rejects of runs in the sandbox are not among them, nor those of replays, which stay open in the run before.
    """

    reader: Reader
    _counted: Refreshed[list[OpenRejects]] = field(init=False)

    def __post_init__(self) -> None:
        self._counted = Refreshed(self._count)

    def _count(self) -> list[OpenRejects]:
        counted = self.reader.open_reasons()
        return [each for each in counted if not each.job.endswith((".replay", ".sandbox"))]

    @property
    def counted_at(self) -> datetime:
        """When they were counted."""
        return self._counted.get()[1]

    def rows_by_job(self) -> Counter[str]:
        """How many are open of each job."""
        rows: Counter[str] = Counter()
        for each in self._counted.get()[0]:
            rows[each.job] += each.rows
        return rows

    def of(self, job: str | None) -> Sequence[OpenRejects]:
        """Those of a job, or of all jobs, the most frequent first."""
        found = [each for each in self._counted.get()[0] if job in (None, each.job)]
        return sorted(found, key=lambda each: -each.rows)
