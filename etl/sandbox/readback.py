"""How does the App API show a person and what they did? Attribute values come back as strings there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from etl.sandbox.people import IdentifierKind, People, Person

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
    attributes = {name: _as_string(value) for name, value in person.attributes.items()}
    named = {kind: value for kind in ("id", "email", "phone", "cio_id") if (value := getattr(person, kind)) is not None}
    return {
        "id": person.id or person.cio_id,
        "identifiers": person.identifiers,
        "attributes": attributes | named,
        "timestamps": {name: int(at) for name, at in person.set_at.items()},
        "unsubscribed": attributes.get("unsubscribed", "").lower() in _UNSUBSCRIBED,
        "devices": [],
    }


def activities(people: People, person: Person, query: Mapping[str, str]) -> dict[str, Any]:
    """A page of a person's events, the latest first. `query`: type, name, start, limit (at most 100)."""
    events = [people.events[event_id] for event_id in reversed(person.event_ids)]
    for parameter in ("type", "name"):
        if wanted := query.get(parameter):
            events = [each for each in events if wanted == (each.action if parameter == "type" else each.name)]
    start, limit = (int(text) if text.isdecimal() else 0 for text in (query.get("start", ""), query.get("limit", "")))
    end = start + (min(limit, 100) or 10)
    return {
        "activities": [
            {
                "id": each.id,
                "type": each.action,
                "name": each.name,
                "timestamp": int(each.timestamp),
                "customer_id": person.id or "",
                "customer_identifiers": person.identifiers,
                "data": each.attributes,
            }
            for each in events[start:end]
        ],
        "next": str(end) if end < len(events) else "",
    }


def _as_string(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
