"""Events of people whose own row was rejected: Customer.io makes a profile of nothing but the identifier for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from cio_etl.apis import OPERATIONS
from cio_etl.audit.findings import PositionedFinding, RejectedPeople, StepContext, Tally, finding_kind, sent
from cio_etl.model import POSITION, Step
from cio_etl.model.words import counted
from cio_etl.transform import Mapped

EVENTS_OF_REJECTED_PEOPLE = finding_kind(
    "events_of_rejected_people",
    "warning",
    "fix the rejected rows of people first, or leave their events out with `when`",
)

MOST = 4_000_000  # hashes, of accepted and of rejected rows: 32 MB
Hashes = npt.NDArray[np.uint64]


def ghosts(step: Step, context: StepContext) -> Iterator[RejectedRows | GhostEvents]:
    """The audits of a step about people whose row is rejected, in this step or an earlier one."""
    who = step.mapping.from_columns("identifiers")
    if len(who) != 1:
        return
    if step.mapping.operation == "identify":
        yield RejectedRows(step.name, who[0], context)
    elif OPERATIONS[step.mapping.operation].has_event and who[0] in context.rejected_people:
        yield GhostEvents(who[0], context.rejected_people[who[0]])


class RejectedRows:
    """Notes, for the steps after this one, the people whose row is rejected and who have no accepted one.

    Beyond `most` rows it notes the people of a sample: one in `every`.
    """

    def __init__(self, step: str, target: str, context: StepContext, most: int = MOST) -> None:
        self._step, self._target, self._context, self._most = step, target, context, most
        self._rejected, self._accepted = np.empty(0, np.uint64), np.empty(0, np.uint64)
        self._every = 1

    def observe(self, mapped: Mapped) -> None:
        accepted = mapped.items["item"].is_not_null()
        rejected = mapped.items["reason"].is_not_null()
        self._accepted = self._with(self._accepted, mapped, accepted)
        self._rejected = self._with(self._rejected, mapped, rejected)
        while len(self._accepted) + len(self._rejected) > self._most:
            self._every *= 2
            self._accepted, self._rejected = (
                hashes[hashes % self._every == 0] for hashes in (self._accepted, self._rejected)
            )

    def _with(self, hashes: Hashes, mapped: Mapped, rows: pl.Series) -> Hashes:
        if not rows.any():
            return hashes
        positions = mapped.items["position"].filter(rows)
        here = mapped.values.filter(pl.col(POSITION).is_in(positions.implode())) if not rows.all() else mapped.values
        more = _hashes(here, self._target).drop_nulls().unique().to_numpy()
        return np.concatenate([hashes, more[more % self._every == 0]])

    def findings(self) -> Iterable[PositionedFinding]:
        """None of its own."""
        if len(alone := np.setdiff1d(self._rejected, self._accepted)):
            self._context.rejected_people[self._target] = RejectedPeople(self._step, alone, self._every)
        return ()


class GhostEvents:
    """Counts events of people whom an earlier step of the job rejects."""

    def __init__(self, target: str, people: RejectedPeople) -> None:
        self._target, self._people = target, people
        self._events = Tally()

    def observe(self, mapped: Mapped) -> None:
        rows = sent(mapped, [self._target])
        theirs = pl.Series(np.isin(_hashes(rows, self._target).to_numpy(), self._people.hashes))
        self._events.add(rows[POSITION], theirs)

    def findings(self) -> Iterable[PositionedFinding]:
        if rows := self._events.rows * self._people.every:
            of = f"of people whose row step {self._people.step} rejects; they get a profile without attributes"
            about = "about " if self._people.every > 1 else ""
            words = f"{about}{counted(rows, f'event is {of}', f'events are {of}')}"
            yield EVENTS_OF_REJECTED_PEOPLE.finding(self._target, rows, words, self._events.first)


def _hashes(rows: pl.DataFrame, target: str) -> pl.Series:
    """A hash of each person that is named, null for nobody; case does not count in an e-mail address."""
    text = rows[target].cast(pl.String)
    hashes = (text.str.to_lowercase() if target.endswith(".email") else text).hash()
    return hashes.zip_with(text.is_not_null(), pl.Series([None], dtype=pl.UInt64))
