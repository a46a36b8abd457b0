"""Weighs the evidence whether a source's rows are people or events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from cio_etl.config.yaml_writer import shown
from cio_etl.propose import names
from cio_etl.propose.readings import SAME, Reading
from cio_etl.propose.roles import Roles

Subject = Literal["people", "events"]
Points = tuple[int, str]  # how much a fact counts, and the fact

_DECIDED = 2  # points between the two; with fewer, the author decides
_PERSONAL = ("a name", "a birth date", "a phone number", "an address", "a trait of a person")
_REPEATS = 0.9  # distinct people, as a share of the rows: with fewer, a person has several rows


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rows are, and the evidence for both. `decided` is false where it is too weak, or contradicts itself."""

    subject: Subject
    decided: bool
    for_people: tuple[str, ...] = ()
    for_events: tuple[str, ...] = ()

    @property
    def evidence(self) -> tuple[str, ...]:
        """The evidence for what the rows are taken for."""
        return self.for_people if self.subject == "people" else self.for_events


def weigh(readings: Sequence[Reading], roles: Roles, source: str, stated: Subject | None = None) -> Verdict:
    """Whether the rows are people or events. `stated` is what a person states; it needs no evidence."""
    people, events = list(_for_people(readings, roles, source)), list(_for_events(readings, roles, source))
    facts = tuple(fact for _, fact in people), tuple(fact for _, fact in events)
    if stated is not None:
        return Verdict(stated, True, *facts)
    if roles.person is None and roles.visitor is None:
        return Verdict("people", True, *facts)  # an event must name its person
    margin = sum(points for points, _ in people) - sum(points for points, _ in events)
    if roles.when is None and roles.event is None:
        margin += _DECIDED
    # Of a mistake, the less harmful one: a person's attributes can be set again, an event may start a campaign.
    return Verdict("people" if margin >= 0 else "events", abs(margin) >= _DECIDED, *facts)


def _for_people(readings: Sequence[Reading], roles: Roles, source: str) -> Iterator[Points]:
    if roles.person is not None and _distinct(roles.person) >= SAME and roles.person.look.filled > 1:
        rows = "each row" if _distinct(roles.person) == 1 else "nearly each row"
        yield 2, f"{rows} has another {shown(roles.person.name)}"
    personal = [one for one in readings if _is_personal(one)]
    if personal:
        yield min(len(personal), 2), f"personal columns ({_named(personal)})"
    if states := [one for one in readings if names.says_person_state(one.label)]:
        yield 1, f"states of a person ({_named(states)})"
    if names.source_of_people(source):
        yield 3 if names.is_table_of_identify_calls(source) else 1, "the name of the source"


def _for_events(readings: Sequence[Reading], roles: Roles, source: str) -> Iterator[Points]:
    if roles.event is not None:
        yield 3, f"{shown(roles.event.name)} names what happened"
    person = roles.person or roles.visitor
    if person is not None and person.look.filled and _distinct(person) < _REPEATS:
        yield 2, f"several rows have one {shown(person.name)}"
    if roles.key is not None and names.says_key_of_a_thing(roles.key.label):
        yield 2, f"{shown(roles.key.name)} is the key of what happened"
    if actions := [one for one in readings if one.kind == "time" and names.says_action(one.label)]:
        yield 1, f"times of an action ({_named(actions)})"
    purchase = [one for one in readings if names.says_purchase(one.label)]
    if len(purchase) > 1:
        yield 2, f"parts of a purchase ({_named(purchase)})"
    if names.source_of_events(source):
        yield 1, "the name of the source"


def _distinct(reading: Reading) -> float:
    look = reading.look
    return (look.distinct or 0) / look.filled if look.filled else 0.0


def _is_personal(reading: Reading) -> bool:
    label = reading.label
    return reading.personal in _PERSONAL and not names.says_delivery(label) and bool(reading.look.filled)


def _named(readings: Sequence[Reading]) -> str:
    return ", ".join(shown(one.name) for one in readings[:3]) + (" …" if len(readings) > 3 else "")
