"""Objects (companies, courses, …) and the people that they are related to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cio_etl.sandbox.limits import MAX_ATTRIBUTES
from cio_etl.sandbox.person import Person


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
    """Objects by either identifier. An object and a person share the dictionary of their relationship's attributes."""

    def __init__(self) -> None:
        self.by_cio_object_id: dict[str, Object] = {}  # the oldest first
        self.relationships = 0  # between people and objects
        self._by_id: dict[tuple[str, str], Object] = {}
        self._visits: dict[str, list[Object]] = {}  # by anonymous_id
        self._number = 0  # of objects that were ever created

    def __len__(self) -> int:
        return len(self.by_cio_object_id)

    def everything(self) -> list[Object]:
        """All objects, the oldest first."""
        return list(self.by_cio_object_id.values())

    def find(self, object_type_id: str | int, object_id: str | int) -> Object | None:
        return self._by_id.get((str(object_type_id), str(object_id)))

    def identified(self, identifiers: Mapping[str, Any]) -> Object | None:
        """The object with the identifiers of a valid item."""
        if "cio_object_id" in identifiers:
            return self.by_cio_object_id.get(identifiers["cio_object_id"])
        return self.find(identifiers["object_type_id"], identifiers["object_id"])

    def create(self, identifiers: Mapping[str, Any]) -> Object | None:
        """A new object; None for a cio_object_id, which only Customer.io assigns."""
        if "cio_object_id" in identifiers:
            return None
        self._number += 1
        what = Object(f"ob{self._number:010x}", str(identifiers["object_type_id"]), str(identifiers["object_id"]))
        self.by_cio_object_id[what.cio_object_id] = self._by_id[what.object_type_id, what.object_id] = what
        return what

    def set_attributes(self, what: Object, attributes: Mapping[str, Any], at: float) -> int:
        """Set the attributes, and remove those that are null or empty. Returns how many exceeded the limit."""
        refused = 0
        for name, value in attributes.items():
            if value is None or value == "":
                what.attributes.pop(name, None)
                what.set_at.pop(name, None)
            elif len(what.attributes) >= MAX_ATTRIBUTES and name not in what.attributes:
                refused += 1
            else:
                what.attributes[name] = value
                what.set_at[name] = at
        return refused

    def relate(self, what: Object, person: Person, attributes: Mapping[str, Any]) -> None:
        if person.cio_id not in what.people:
            self.relationships += 1
        shared = what.people.setdefault(person.cio_id, {})
        person.relationships[what.cio_object_id] = shared
        _update(shared, attributes)

    def relate_visitor(self, what: Object, anonymous_id: str, attributes: Mapping[str, Any]) -> None:
        if anonymous_id not in what.visitors:
            self._visits.setdefault(anonymous_id, []).append(what)
        _update(what.visitors.setdefault(anonymous_id, {}), attributes)

    def claim(self, anonymous_id: str, person: Person) -> None:
        """Give the person the relationships of the visitor as whom they were identified."""
        for what in self._visits.pop(anonymous_id, ()):
            self.relate(what, person, what.visitors.pop(anonymous_id))

    def unrelate(self, what: Object, person: Person) -> bool:
        """Delete their relationship. False when there was none."""
        if what.people.pop(person.cio_id, None) is None:
            return False
        del person.relationships[what.cio_object_id]
        self.relationships -= 1
        return True

    def forget_person(self, person: Person) -> None:
        for cio_object_id in list(person.relationships):
            self.unrelate(self.by_cio_object_id[cio_object_id], person)

    def forget(self, what: Object, people: Mapping[str, Person]) -> None:
        """Remove the object; `people` are all by cio_id."""
        for cio_id in list(what.people):
            self.unrelate(what, people[cio_id])
        for anonymous_id in what.visitors:
            self._visits[anonymous_id].remove(what)
        del self.by_cio_object_id[what.cio_object_id]
        del self._by_id[what.object_type_id, what.object_id]


def name_of_object(identifiers: Mapping[str, Any]) -> str:
    """How the activity log refers to an object: `object 1/acme` or `object ob…`."""
    return "object " + "/".join(str(identifiers[kind]) for kind in sorted(identifiers, reverse=True))


def _update(attributes: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        if value is None or value == "":
            attributes.pop(name, None)
        else:
            attributes[name] = value
