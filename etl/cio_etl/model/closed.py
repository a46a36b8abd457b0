"""Open and closed rejects, counted: how a reject is closed, by which run, and which are open over all runs of a job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cio_etl.model.records import dataclass

# accepted: Customer.io accepted a row of its subject, sent by a later run or a replay; same: a later run sent nothing,
# since Customer.io has what the row says now; rejected: a later run rejected its subject again, and that reject is open
# in its place; gone: the source of a mirror has it no more; skipped: the `when` of a replay leaves the row out; hand: a
# person closed it and wrote why; replay: a replay of an older version of this program, which did not say how.
ClosedAs = Literal["accepted", "same", "rejected", "gone", "skipped", "hand", "replay"]

BY_HAND = "hand"  # in place of the run that closed a reject

_WORDS = {
    "accepted": "accepted by {by}",
    "same": "as Customer.io has it in {by}",
    "rejected": "rejected again by {by}",
    "gone": "gone from the source in {by}",
    "skipped": "skipped by {by}",
    "hand": "closed by hand",
    "replay": "closed by {by}",
}
_ALONE = {
    "accepted": "accepted",
    "same": "as Customer.io has it",
    "rejected": "rejected again",
    "gone": "gone from the source",
    "skipped": "skipped",
    "hand": "closed by hand",
    "replay": "closed",
}


@dataclass(frozen=True, slots=True)
class ClosedRejects:
    """Closed rejects of one step and run, closed alike and by the same run."""

    run_id: str  # that rejected them
    step: str
    closed_as: ClosedAs
    closed_by: str  # a run, or BY_HAND
    rows: int

    @property
    def words(self) -> str:
        """How they were closed: `accepted by nightly-20261125T030000Z`."""
        return closed_words(self.closed_as, self.closed_by)


@dataclass(frozen=True, slots=True)
class OpenRejects:
    """Open rejects of one step, reason and field of a job, over all of its runs."""

    job: str
    step: str
    reason: str
    field: str | None
    rows: int
    since: str  # when the run started that rejected one of them first, and open since then: ISO 8601, UTC
    runs: tuple[str, ...]  # that have them, the oldest first


@dataclass(frozen=True, slots=True)
class OpenTotal:
    """The open rejects of a job over all of its runs."""

    rows: int = 0
    since: str | None = None  # as in OpenRejects
    runs: tuple[str, ...] = ()

    @classmethod
    def of(cls, parts: Sequence[OpenRejects]) -> OpenTotal:
        """The sum of all parts of one job."""
        since = min((part.since for part in parts), default=None)
        runs = sorted({run for part in parts for run in part.runs})
        return cls(sum(part.rows for part in parts), since, tuple(runs))


def settled_and_again(closed: Sequence[ClosedRejects]) -> tuple[list[ClosedRejects], int]:
    """What is over, and how many are not: they were rejected again, and another reject is open in their place."""
    settled = [each for each in closed if each.closed_as != "rejected"]
    return settled, sum(each.rows for each in closed if each.closed_as == "rejected")


def sums_by_words(closed: Sequence[ClosedRejects], *, by_run: bool) -> list[str]:
    """How many rejects were closed in which way: `3 accepted by nightly-…`; without `by_run`, `3 accepted`."""
    rows: dict[str, int] = {}
    for each in closed:
        words = each.words if by_run else _ALONE[each.closed_as]
        rows[words] = rows.get(words, 0) + each.rows
    return [f"{number:,} {words}" for words, number in sorted(rows.items(), key=lambda item: (-item[1], item[0]))]


def closed_words(closed_as: str | None, closed_by: str) -> str:
    """How a reject was closed, and by which run; None: it is a replay's own."""
    return _WORDS[closed_as or "replay"].format(by=closed_by)
