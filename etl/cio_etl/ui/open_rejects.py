"""Open rejects over all runs: how many, where, since when, and which later runs have closed others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cio_etl.state import Closing, Reader, RejectGroup, RunRecord
from cio_etl.ui.refreshed import Refreshed

MOST_GROUPS = 200  # that the page lists; of all of them the sum is right
MOST_CLOSINGS = 50


@dataclass(frozen=True, slots=True)
class Open:
    """Open rejects of a job's step with one reason and field."""

    job: str
    step: str
    reason: str
    field: str | None
    rows: int
    runs: tuple[RunRecord, ...]  # the oldest first
    newest: RejectGroup

    @property
    def since(self) -> str:
        """When the oldest of these runs began."""
        return self.runs[0].started_at


@dataclass(frozen=True, slots=True)
class Closed:
    """Rejects that a later run has closed."""

    run_id: str
    step: str
    by: str
    at: str
    rows: int
    words: str = "accepted or skipped by a replay"


@dataclass(frozen=True, slots=True)
class _Counted:
    open: list[RejectGroup]
    closings: list[Closing]
    jobs: dict[str, str]  # of the runs, by their ID


@dataclass(slots=True)
class OpenRejects:
    """Counts all rejects of a state, behind a cache: in a state of millions that takes a while."""

    reader: Reader
    _counted: Refreshed[_Counted] = field(init=False)

    def __post_init__(self) -> None:
        self._counted = Refreshed(self._count)

    def _count(self) -> _Counted:
        groups, closings = self.reader.open_rejects_by_group(), self.reader.closings()
        runs = self.reader.records({group.run_id for group in groups})
        real = {run_id: run.job for run_id, run in runs.items() if not run.job.endswith((".replay", ".sandbox"))}
        return _Counted([group for group in groups if group.run_id in real], closings, real)

    @property
    def counted_at(self) -> datetime:
        """When they were counted."""
        return self._counted.get()[1]

    def rows_by_job(self) -> Counter[str]:
        """How many are open of each job; those of replays and of the sandbox are not counted."""
        counted, rows = self._counted.get()[0], Counter[str]()
        for group in counted.open:
            rows[counted.jobs[group.run_id]] += group.rows
        return rows

    def rows_by_run(self) -> Counter[str]:
        """How many are open of each run."""
        rows: Counter[str] = Counter()
        for group in self._counted.get()[0].open:
            rows[group.run_id] += group.rows
        return rows

    def of_run(self, run_id: str) -> dict[tuple[int, str, str | None], int]:
        """How many are open of a run, by step, reason and field."""
        groups = self._counted.get()[0].open
        return {(group.step, group.reason, group.field): group.rows for group in groups if group.run_id == run_id}

    def listed(self) -> tuple[list[Open], int]:
        """The open rejects by job, step, reason and field, the most frequent first; and how many rows all are."""
        counted = self._counted.get()[0]
        runs = self.reader.records(set(counted.jobs))
        names = self.reader.step_names(set(counted.jobs))
        found: dict[tuple[str, str, str, str | None], list[RejectGroup]] = {}
        for group in counted.open:
            step = names.get((group.run_id, group.step), str(group.step))
            found.setdefault((counted.jobs[group.run_id], step, group.reason, group.field), []).append(group)
        listed = [_open(key, groups, runs) for key, groups in found.items()]
        listed.sort(key=lambda each: (-each.rows, each.job, each.step, each.reason))
        return listed[:MOST_GROUPS], sum(group.rows for group in counted.open)

    def closed(self, of_run: str | None = None) -> list[Closed]:
        """The closings by the newest runs, of all rejects or of those of one run."""
        closings = [each for each in self._counted.get()[0].closings if of_run in (None, each.run_id)]
        by = self.reader.records({each.closed_by for each in closings})
        names = self.reader.step_names({each.run_id for each in closings})
        found = [
            Closed(
                each.run_id,
                names.get((each.run_id, each.step), str(each.step)),
                each.closed_by,
                by[each.closed_by].started_at,
                each.rows,
            )
            for each in closings
            if each.closed_by in by
        ]
        return sorted(found, key=lambda each: each.at, reverse=True)[:MOST_CLOSINGS]


def _open(key: tuple[str, str, str, str | None], groups: Sequence[RejectGroup], runs: dict[str, RunRecord]) -> Open:
    ordered = sorted((group for group in groups if group.run_id in runs), key=lambda each: runs[each.run_id].started_at)
    return Open(*key, sum(group.rows for group in groups), tuple(runs[each.run_id] for each in ordered), ordered[-1])
