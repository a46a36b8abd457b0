"""Who are the people now, and which events did they have? The workspace's memory, and the tests' oracle.

Written by the server's thread only. Another thread may read what it likes once its own requests are answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from etl.sandbox.rules import MAX_ATTRIBUTES, is_timestamp

IdentifierKind = Literal["id", "email", "phone", "cio_id"]
_CHANGEABLE: Final = ("id", "email", "phone")  # identifiers that an identify can carry among its attributes


@dataclass(slots=True)
class Person:
    """A profile as it stands."""

    cio_id: str
    id: str | None = None
    email: str | None = None
    phone: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)  # identifiers are not among them
    set_at: dict[str, float] = field(default_factory=dict)  # Unix seconds of each attribute's last change
    edited_at: float | None = None  # newest of the identifies applied; None: known by events only
    event_ids: list[str] = field(default_factory=list)  # in order of arrival
    trace: list[Any] = field(default_factory=list)  # the traced attribute of each identify applied, in order

    @property
    def identifiers(self) -> dict[str, str | None]:
        return {"cio_id": self.cio_id, "id": self.id, "email": self.email}


@dataclass(slots=True)
class Event:
    """An event that counts. `received` is how often it came: more than once when its id made the rest be ignored."""

    id: str
    cio_id: str
    action: str  # event | screen | page
    name: str
    timestamp: float
    attributes: Mapping[str, Any]
    received: int = 1


class People:
    """People and their events, changed by applying valid items.

    `trace` names an attribute (say, a row number) of which each profile keeps every value that an applied identify
    gave it, in order: the proof that a person's rows did not overtake each other.

    `counts` says what happened how often:

        identifies, deletes, events          items applied
        identifies_out_of_date               dropped: their timestamp was older than the profile's newest edit
        identifies_of_nobody                 dropped: `_update` or a cio_id, and no such person
        events_of_nobody                     dropped: a cio_id, and no such person
        duplicate_events                     ignored: their id had been seen
        people_made_by_events                somebody sent events before their people
        timestamps_replaced                  were no Unix time, became now
        failed_attribute_changes             an identifier of somebody else, or one that is set already, or no text;
                                             a 301st attribute
    """

    def __init__(self, trace: str | None = None) -> None:
        self.events: dict[str, Event] = {}
        self.counts: Counter[str] = Counter()
        self._trace = trace
        self._people: dict[str, Person] = {}
        self._by: dict[str, dict[str, Person]] = {"id": {}, "email": {}, "phone": {}, "cio_id": self._people}
        self._made = 0

    def __len__(self) -> int:
        return len(self._people)

    def everybody(self) -> list[Person]:
        """All profiles, the oldest first."""
        return list(self._people.values())

    def find(self, kind: IdentifierKind, value: str) -> Person | None:
        """The person with this identifier. E-mail addresses are found in any case, ids in their own only."""
        return self._by[kind].get(_key(kind, value))

    def apply(self, item: Mapping[str, Any], now: float) -> None:
        """Do what a valid item says. `now` is in Unix seconds."""
        match item["action"]:
            case "identify":
                self._identify(item, now)
            case "delete":
                self._delete(item)
            case _:
                self._record(item, now)

    # ---------------------------------------------------------------- identify and delete

    def _identify(self, item: Mapping[str, Any], now: float) -> None:
        attributes = item.get("attributes", {})
        person = self._meant(item, attributes)
        if person is None:
            self.counts["identifies_of_nobody"] += 1
            return
        at = self._time_of(item, now)
        if person.edited_at is not None and at < person.edited_at:  # dropped, and the answer is 200 all the same
            self.counts["identifies_out_of_date"] += 1
            return
        self.counts["identifies"] += 1
        person.edited_at = at
        kept, set_at = person.attributes, person.set_at
        for name, value in attributes.items():
            if name in _CHANGEABLE:
                self._change_identifier(person, name, value, item["identifiers"])
            elif name == "_update":
                continue
            elif value is None or value == "":
                # Removal is documented for objects; for people it is what loaders in the field rely on.
                kept.pop(name, None)
                set_at.pop(name, None)
            elif len(kept) >= MAX_ATTRIBUTES and name not in kept:
                self.counts["failed_attribute_changes"] += 1
            else:
                kept[name] = value
                set_at[name] = at
        if self._trace is not None and self._trace in attributes:
            person.trace.append(attributes[self._trace])

    def _meant(self, item: Mapping[str, Any], attributes: Mapping[str, Any]) -> Person | None:
        """The person an identify is about, made if need be."""
        ((kind, value),) = item["identifiers"].items()
        if person := self.find(kind, value):
            return person
        if kind == "cio_id" or attributes.get("_update") is True:
            return None
        email = attributes.get("email")
        known = self.find("email", email) if kind == "id" and isinstance(email, str) else None
        if known is not None and known.id is None:  # a new id with a known address: that profile gets the id
            known.id = value
            self._by["id"][value] = known
            return known
        return self._make(kind, value)

    def _make(self, kind: str, value: str) -> Person:
        self._made += 1
        person = Person(cio_id=f"{self._made:012x}")
        setattr(person, kind, value)
        self._people[person.cio_id] = self._by[kind][_key(kind, value)] = person
        return person

    def _change_identifier(self, person: Person, kind: str, value: Any, named_by: Mapping[str, str]) -> None:
        """Set an identifier that came among the attributes.

        One that is set already gives way to a call by cio_id only; an e-mail address to any, which is a switch of the
        workspace that most have on.
        """
        held = getattr(person, kind)
        if value in (None, "") or held == value:
            return
        if not isinstance(value, str) or (held is not None and kind != "email" and "cio_id" not in named_by):
            self.counts["failed_attribute_changes"] += 1
            return
        if self.find(kind, value) not in (None, person):  # type: ignore[arg-type]
            self.counts["failed_attribute_changes"] += 1
            return
        if held is not None:
            del self._by[kind][_key(kind, held)]
        setattr(person, kind, value)
        self._by[kind][_key(kind, value)] = person

    def _delete(self, item: Mapping[str, Any]) -> None:
        self.counts["deletes"] += 1
        ((kind, value),) = item["identifiers"].items()
        person = self.find(kind, value)
        if person is None:
            return
        for each in ("id", "email", "phone", "cio_id"):
            held = getattr(person, each)
            if held is not None:
                del self._by[each][_key(each, held)]

    # ---------------------------------------------------------------- events, screens and pages

    def _record(self, item: Mapping[str, Any], now: float) -> None:
        given = item.get("id")
        event_id = given.upper() if given else f"unnamed {len(self.events)}"
        if known := self.events.get(event_id):
            known.received += 1
            self.counts["duplicate_events"] += 1
            return
        person = self._visitor(item["identifiers"])
        if person is None:
            self.counts["events_of_nobody"] += 1
            return
        self.counts["events"] += 1
        person.event_ids.append(event_id)
        self.events[event_id] = Event(
            id=event_id,
            cio_id=person.cio_id,
            action=item["action"],
            name=item["name"].strip(),
            timestamp=self._time_of(item, now),
            attributes=item.get("attributes", {}),
        )

    def _visitor(self, identifiers: Mapping[str, str]) -> Person | None:
        ((kind, value),) = identifiers.items()
        person = self.find(kind, value)  # type: ignore[arg-type]
        if person is None and kind != "cio_id":
            self.counts["people_made_by_events"] += 1
            person = self._make(kind, value)
        return person

    def _time_of(self, item: Mapping[str, Any], now: float) -> float:
        at = item.get("timestamp")
        if at is None:
            return now
        if is_timestamp(at):
            return float(at)
        self.counts["timestamps_replaced"] += 1
        return now


def _key(kind: str, value: str) -> str:
    return value.casefold() if kind == "email" else value
