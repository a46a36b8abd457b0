"""Objects (companies, courses, …) and the people that they are related to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cio_etl.sandbox.identities import Person
from cio_etl.sandbox.rules import MAX_ATTRIBUTES


@dataclass(slots=True)
class Object:
    """An object as it stands."""

    cio_object_id: str
    object_type_id: str
    object_id: str
    attributes: dict[str, Any] = field(default_factory=dict)
    set_at: dict[str, float] = field(default_factory=dict)  # Unix seconds of each attribute's last change
    people: dict[str, dict[str, Any]] = field(default_factory=dict)  # attributes of the relationship, by cio_id
    visitors: dict[str, dict[str, Any]] = field(default_factory=dict)  # the same, by anonymous_id

    @property
    def identifiers(self) -> dict[str, str]:
        return {
            "cio_object_id": self.cio_object_id,
            "object_type_id": self.object_type_id,
            "object_id": self.object_id,
        }


class Objects:
    """Objects by either of their names. A relationship's attributes are one dictionary, held by both its ends."""

    def __init__(self) -> None:
        self.by_cio_object_id: dict[str, Object] = {}  # the oldest first
        self.relationships = 0  # between people and objects
        self._by_id: dict[tuple[str, str], Object] = {}
        self._visits: dict[str, list[Object]] = {}  # by anonymous_id
        self._made = 0

    def __len__(self) -> int:
        return len(self.by_cio_object_id)

    def everything(self) -> list[Object]:
        """All objects, the oldest first."""
        return list(self.by_cio_object_id.values())

    def find(self, object_type_id: str | int, object_id: str | int) -> Object | None:
        return self._by_id.get((str(object_type_id), str(object_id)))

    def named(self, identifiers: Mapping[str, Any]) -> Object | None:
        """The object that a valid item names."""
        if "cio_object_id" in identifiers:
            return self.by_cio_object_id.get(identifiers["cio_object_id"])
        return self.find(identifiers["object_type_id"], identifiers["object_id"])

    def make(self, identifiers: Mapping[str, Any]) -> Object | None:
        """A new object of this name; none of a cio_object_id, which is given by Customer.io only."""
        if "cio_object_id" in identifiers:
            return None
        self._made += 1
        made = Object(f"ob{self._made:010x}", str(identifiers["object_type_id"]), str(identifiers["object_id"]))
        self.by_cio_object_id[made.cio_object_id] = self._by_id[made.object_type_id, made.object_id] = made
        return made

    def set_attributes(self, what: Object, given: Mapping[str, Any], at: float) -> int:
        """Set them, or remove those that are null or empty. Answers how many were not kept: a 301st and so on."""
        not_kept = 0
        for name, value in given.items():
            if value is None or value == "":
                what.attributes.pop(name, None)
                what.set_at.pop(name, None)
            elif len(what.attributes) >= MAX_ATTRIBUTES and name not in what.attributes:
                not_kept += 1
            else:
                what.attributes[name] = value
                what.set_at[name] = at
        return not_kept

    def relate(self, what: Object, person: Person, attributes: Mapping[str, Any]) -> None:
        if person.cio_id not in what.people:
            self.relationships += 1
        held = what.people.setdefault(person.cio_id, {})
        person.relationships[what.cio_object_id] = held
        _change(held, attributes)

    def relate_visitor(self, what: Object, anonymous_id: str, attributes: Mapping[str, Any]) -> None:
        if anonymous_id not in what.visitors:
            self._visits.setdefault(anonymous_id, []).append(what)
        _change(what.visitors.setdefault(anonymous_id, {}), attributes)

    def claim(self, anonymous_id: str, person: Person) -> None:
        """The visitor is known now: what they are related to, the person is."""
        for what in self._visits.pop(anonymous_id, ()):
            self.relate(what, person, what.visitors.pop(anonymous_id))

    def part(self, what: Object, person: Person) -> bool:
        """Were they related?"""
        if what.people.pop(person.cio_id, None) is None:
            return False
        del person.relationships[what.cio_object_id]
        self.relationships -= 1
        return True

    def forget_person(self, person: Person) -> None:
        for cio_object_id in list(person.relationships):
            self.part(self.by_cio_object_id[cio_object_id], person)

    def forget(self, what: Object, people: Mapping[str, Person]) -> None:
        """Remove the object; `people` are all by cio_id."""
        for cio_id in list(what.people):
            self.part(what, people[cio_id])
        for anonymous_id in what.visitors:
            self._visits[anonymous_id].remove(what)
        del self.by_cio_object_id[what.cio_object_id]
        del self._by_id[what.object_type_id, what.object_id]


def name_of_object(identifiers: Mapping[str, Any]) -> str:
    """What an object is called in lists: `object 1/acme` or `object ob…`."""
    return "object " + "/".join(str(identifiers[kind]) for kind in sorted(identifiers, reverse=True))


def _change(held: dict[str, Any], given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if value is None or value == "":
            held.pop(name, None)
        else:
            held[name] = value
