"""The App API's representation of a workspace. Attribute values are strings there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar, cast

from cio_etl.sandbox.activity import Activity
from cio_etl.sandbox.objects import Object
from cio_etl.sandbox.people import Event, IdentifierKind, People, Person

_T = TypeVar("_T")
ID_TYPES: Final = ("id", "email", "phone", "cio_id")
_UNSUBSCRIBED: Final = ("true", "1")


def find(people: People, id_type: str, value: str) -> Person | None:
    """The person meant by an `id_type` of ID_TYPES and a value; a cio_id may have its prefix."""
    if id_type not in ID_TYPES:
        return None
    return people.find(cast(IdentifierKind, id_type), value.removeprefix("cio_") if id_type == "cio_id" else value)


def by_email(people: People, email: str) -> list[dict[str, Any]]:
    """The identifiers of the person with this address: none or one."""
    person = people.find("email", email)
    return [dict(person.identifiers)] if person else []


def customer(person: Person) -> dict[str, Any]:
    """A profile, with the Unix second at which each attribute was last set."""
    attributes = _as_strings(person.attributes)
    named = {kind: value for kind in ("id", "email", "phone", "cio_id") if (value := getattr(person, kind)) is not None}
    return {
        "id": person.id or person.cio_id,
        "identifiers": person.identifiers,
        "attributes": attributes | named,
        "timestamps": {name: int(at) for name, at in person.set_at.items()},
        "unsubscribed": attributes.get("unsubscribed", "").lower() in _UNSUBSCRIBED,
        "devices": [
            {
                "id": device.token,
                "platform": device.platform,
                "last_used": int(device.last_used),
                "attributes": _as_strings(device.attributes),
            }
            for device in person.devices.values()
        ],
    }


def relationships_of_person(people: People, person: Person) -> dict[str, Any]:
    """The objects that a person is related to."""
    objects = people.objects.by_cio_object_id
    return {
        "cio_relationships": [
            {
                "object_type_id": objects[name].object_type_id,
                "identifiers": objects[name].identifiers,
                "relationship_attributes": _as_strings(attributes),
            }
            for name, attributes in person.relationships.items()
        ],
        "next": "",
    }


def segments_of(people: People, person: Person) -> dict[str, Any]:
    """The manual segments that a person is in; there are no others here."""
    return {"segments": [_segment(number) for number in people.segments_of(person)]}


def thing(what: Object) -> dict[str, Any]:
    """An object, with the Unix second at which each attribute was last set."""
    timestamps = {name: int(at) for name, at in what.set_at.items()}
    attributes = _as_strings(what.attributes)
    return {"object": {"identifiers": what.identifiers, "attributes": attributes, "timestamps": timestamps}}


def relationships_of_object(people: People, what: Object) -> dict[str, Any]:
    """The people that an object is related to."""
    related = ((people.find("cio_id", cio_id), attributes) for cio_id, attributes in what.people.items())
    return {
        "cio_relationships": [
            {"identifiers": person.identifiers, "relationship_attributes": _as_strings(attributes)}
            for person, attributes in related
            if person is not None
        ],
        "next": "",
    }


def segments(people: People) -> dict[str, Any]:
    """All manual segments; each is there from its first use on."""
    return {"segments": [_segment(number) for number in sorted(people.segments)]}


def membership(people: People, number: int, query: Mapping[str, str]) -> dict[str, Any]:
    """A page of the members of a segment, in order of their coming in. `query`: start, limit (at most 30,000)."""
    members, following = _page_of(people.segment(number), query, at_most=30_000, usually=1_000)
    return {
        "ids": [person.id or "" for person in members],
        "identifiers": [person.identifiers for person in members],
        "next": following,
    }


def activities_of(people: People, person: Person, query: Mapping[str, str]) -> dict[str, Any]:
    """A page of a person's events, the latest first. `query`: type, name, start, limit (at most 100)."""
    events = [people.events[event_id] for event_id in reversed(person.event_ids)]
    for parameter in ("type", "name"):
        if wanted := query.get(parameter):
            events = [each for each in events if wanted == (each.action if parameter == "type" else each.name)]
    shown, following = _page_of(events, query)
    whose = {"customer_id": person.id or "", "customer_identifiers": person.identifiers}
    return {"activities": [event(each) | whose for each in shown], "next": following}


def activities(people: People, query: Mapping[str, str]) -> dict[str, Any]:
    """A page of what came to nothing, the latest first. `query`: type, start, limit (at most 100)."""
    wanted = query.get("type")
    found = [each for each in reversed(list(people.activity)) if wanted in (None, "", each.type)]
    shown, following = _page_of(found, query)
    return {"activities": [_activity(people, each) for each in shown], "next": following}


def event(each: Event) -> dict[str, Any]:
    """An event, with its visitor when it was one's."""
    shown = {
        "id": each.id,
        "type": each.action,
        "name": each.name,
        "timestamp": int(each.timestamp),
        "data": each.attributes,
    }
    return shown if each.anonymous_id is None else shown | {"anonymous_id": each.anonymous_id}


def _activity(people: People, each: Activity) -> dict[str, Any]:
    person = people.find("cio_id", each.cio_id) if each.cio_id else None
    return {
        "id": each.id,
        "type": each.type,
        "timestamp": int(each.at),
        "customer_id": (person.id or "") if person else "",
        "customer_identifiers": person.identifiers if person else {},
        "data": {"about": each.about, "reason": each.reason},
    }


def _segment(number: int) -> dict[str, Any]:
    return {"id": number, "name": f"segment {number}", "type": "manual", "state": "finished"}


def _page_of(
    every: Sequence[_T], query: Mapping[str, str], *, at_most: int = 100, usually: int = 10
) -> tuple[Sequence[_T], str]:
    """The part of a list that is asked for, and where the next one starts: "" after the last."""
    start, limit = (int(text) if text.isdecimal() else 0 for text in (query.get("start", ""), query.get("limit", "")))
    end = start + (min(limit, at_most) or usually)
    return every[start:end], str(end) if end < len(every) else ""


def _as_strings(attributes: Mapping[str, Any]) -> dict[str, str]:
    return {name: _as_string(value) for name, value in attributes.items()}


def _as_string(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
