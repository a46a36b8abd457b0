"""The App API's documents about people, objects and segments. Attribute values are strings there.

Source: the App API's OpenAPI document. activities.py has the documents of the activity log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar, cast

from cio_etl.sandbox.objects import Object
from cio_etl.sandbox.people import IdentifierKind, People, Person
from cio_etl.sandbox.segments import Segment

_T = TypeVar("_T")
ID_TYPES: Final = ("id", "email", "phone", "cio_id")
OBJECT_ID_TYPES: Final = ("object_id", "cio_object_id")
_UNSUBSCRIBED: Final = ("true", "1")


def find(people: People, id_type: str, value: str) -> Person | None:
    """The person with this value of an `id_type` of ID_TYPES; a cio_id may have its prefix."""
    if id_type not in ID_TYPES:
        return None
    return people.find(cast(IdentifierKind, id_type), value.removeprefix("cio_") if id_type == "cio_id" else value)


def find_object(people: People, id_type: str, object_type_id: str, value: str) -> Object | None:
    """The object of this type with this value of an `id_type` of OBJECT_ID_TYPES."""
    if id_type == "object_id":
        return people.objects.find(object_type_id, value)
    what = people.objects.by_cio_object_id.get(value)
    return what if what and what.object_type_id == object_type_id else None


def by_email(people: People, email: str) -> list[dict[str, Any]]:
    """The identifiers of the person with this address: none or one."""
    person = people.find("email", email)
    return [dict(person.identifiers)] if person else []


def customer(person: Person) -> dict[str, Any]:
    """A profile, with the Unix second at which each identifier and attribute was last set."""
    attributes = as_strings(person.attributes)
    identifiers = {kind: value for kind in ID_TYPES if (value := getattr(person, kind)) is not None}
    return {
        "id": person.id or person.cio_id,
        "identifiers": person.identifiers,
        "attributes": attributes | identifiers,
        "timestamps": {name: int(at) for name, at in (person.identified_at | person.set_at).items()},
        "unsubscribed": attributes.get("unsubscribed", "").lower() in _UNSUBSCRIBED,
        "devices": [
            {
                "id": device.token,
                "platform": device.platform,
                "last_used": int(device.last_used),
                "attributes": as_strings(device.attributes),
            }
            for device in person.devices.values()
        ],
    }


def relationships_of_person(people: People, person: Person, query: Mapping[str, str]) -> dict[str, Any]:
    """A page of the objects that a person is related to. `query`: start, limit."""
    objects = people.objects.by_cio_object_id
    related = [(objects[name], attributes) for name, attributes in person.relationships.items()]
    shown, following = page_of(related, query)
    return {
        "cio_relationships": [
            {
                "object_type_id": int(what.object_type_id),
                "identifiers": {"object_id": what.object_id, "cio_object_id": what.cio_object_id},
                "attributes": as_strings(attributes),
                "timestamps": _timestamps(what),
            }
            for what, attributes in shown
        ],
        "next": following,
    }


def segments_of(people: People, person: Person) -> dict[str, Any]:
    """The manual segments that a person is in; there are no others here."""
    return {"segments": [segment(each) for each in people.segments.of(person)]}


def thing(what: Object) -> dict[str, Any]:
    """An object, with the Unix second at which each attribute was last set."""
    return {
        "object": {
            "object_type_id": what.object_type_id,
            "identifiers": {"object_id": what.object_id, "cio_object_id": what.cio_object_id},
            "attributes": as_strings(what.attributes),
            "timestamps": _timestamps(what),
        }
    }


def relationships_of_object(people: People, what: Object, query: Mapping[str, str]) -> dict[str, Any]:
    """A page of the people that an object is related to. `query`: start, limit."""
    shown, following = page_of([people.identities.by_cio_id[cio_id] for cio_id in what.people], query)
    return {
        "cio_relationships": [
            {
                "identifiers": person.identifiers,
                "object_type_id": what.object_type_id,
                "object_type_disabled": False,
            }
            for person in shown
        ],
        "next": following,
    }


def segment(each: Segment) -> dict[str, Any]:
    """A manual segment. It is never updated, so both its times are that of its creation."""
    created_at = int(each.created_at)
    return {
        "id": each.id,
        "deduplicate_id": f"{each.id}:{created_at}",
        "name": each.name,
        "description": each.description,
        "state": "finished",
        "progress": None,
        "type": "manual",
        "tags": None,
        "created_at": created_at,
        "updated_at": created_at,
    }


def new_segment(body: Any) -> tuple[str, str] | None:
    """Name and description of the segment that a body asks for; None when it has another form."""
    members = body.get("segment") if isinstance(body, dict) else None
    if not isinstance(members, dict):
        return None
    name, description = members.get("name"), members.get("description") or ""
    return (name, description) if isinstance(name, str) and name.strip() and isinstance(description, str) else None


def membership(people: People, segment_id: int, query: Mapping[str, str]) -> dict[str, Any]:
    """A page of the members of a segment, in the order in which they were added. `query`: start, limit."""
    members, following = page_of(people.segment(segment_id), query, at_most=30_000, usually=1_000)
    return {
        "segment_id": segment_id,
        "ids": [person.id or "" for person in members],
        "identifiers": [person.identifiers for person in members],
        "next": following,
    }


def page_of(
    every: Sequence[_T], query: Mapping[str, str], *, at_most: int = 100, usually: int = 10
) -> tuple[Sequence[_T], str]:
    """The requested part of a list, and where the next part starts: "" after the last."""
    start, limit = page_bounds(query, at_most=at_most, usually=usually)
    end = start + limit
    return every[start:end], str(end) if end < len(every) else ""


def page_bounds(query: Mapping[str, str], *, at_most: int = 100, usually: int = 10) -> tuple[int, int]:
    """Start and length of the requested page."""
    start, limit = (int(text) if text.isdecimal() else 0 for text in (query.get("start", ""), query.get("limit", "")))
    return start, min(limit, at_most) or usually


def as_strings(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Attributes as the App API shows them."""
    return {name: as_string(value) for name, value in attributes.items()}


def as_string(value: Any) -> str:
    """A value as the App API shows it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _timestamps(what: Object) -> dict[str, int]:
    return {name: int(at) for name, at in what.set_at.items()}
