"""Events of people whose own row was rejected: Customer.io makes a profile of nothing but the identifier for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl

from cio_etl.apis import OPERATIONS
from cio_etl.audit.findings import PositionedFinding, RejectedPeople, StepContext, Tally, finding_kind, sent
from cio_etl.audit.keys import Hashes, Keys, hashed_text, parts_of
from cio_etl.model import POSITION, Step
from cio_etl.model.words import counted
from cio_etl.transform import Mapped

EVENTS_OF_REJECTED_PEOPLE = finding_kind(
    "events_of_rejected_people",
    "warning",
    "fix the rejected rows of people first, or leave their events out with `when`",
)

MOST_NOTED = 1_000_000  # people, for the steps after this one: 8 MB of hashes


def rejected_people_audits(
    step: Step, context: StepContext, people: Keys
) -> Iterator[RejectedRows | EventsOfRejectedPeople]:
    """The audits of a step about people whose row is rejected, in this step or an earlier one.

    `people` are those whose row the step accepts, by the hash of the identifier; another audit adds them.
    """
    who = step.mapping.from_columns("identifiers")
    if len(who) != 1:
        return
    if step.mapping.operation == "identify":
        yield RejectedRows(step.name, who[0], context, people)
    elif OPERATIONS[step.mapping.operation].has_event and who[0] in context.rejected_people:
        yield EventsOfRejectedPeople(who[0], context.rejected_people[who[0]])


class RejectedRows:
    """Notes, for the steps after this one, the people whose row is rejected and who have no accepted one.

    Beyond `most` people it notes a sample: one in `every`.
    """

    def __init__(self, step: str, target: str, context: StepContext, accepted: Keys, most: int = MOST_NOTED) -> None:
        self._step, self._target, self._context, self._most = step, target, context, most
        self._rejected, self._accepted = Keys(), accepted

    def observe(self, mapped: Mapped) -> None:
        rejected = mapped.items["reason"].is_not_null()
        if rejected.any():
            positions = mapped.items["position"].filter(rejected)
            here = mapped.values.filter(pl.col(POSITION).is_in(positions.implode()))
            hashes = _hashes(here, self._target)
            self._rejected.add(here[POSITION].filter(hashes.is_not_null()), hashes.drop_nulls())

    def findings(self) -> Iterable[PositionedFinding]:
        """None of its own."""
        if self._rejected.distinct() and len(alone := self._alone()):
            self._context.rejected_people[self._target] = RejectedPeople(self._step, alone, self._every)
        return ()

    def _alone(self) -> Hashes:
        """The people with a rejected row and no accepted one, sorted; `_every` says of how many one is among them."""
        self._every = max(self._rejected.every, self._accepted.every)
        alone = np.empty(0, dtype=np.uint64)
        for rejected, accepted in parts_of(self._rejected, self._accepted):
            here = np.setdiff1d(rejected["key"].to_numpy(), accepted["key"].to_numpy())
            alone = np.concatenate([alone, here[here % self._every == 0]])
            while len(alone) > self._most:
                self._every *= 2
                alone = alone[alone % self._every == 0]
        alone.sort()
        return alone


class EventsOfRejectedPeople:
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
    hashes = hashed_text(text.str.to_lowercase() if target.endswith(".email") else text)
    return hashes.zip_with(text.is_not_null(), pl.Series([None], dtype=pl.UInt64))
