"""The sandbox's own documents of people and events: a page of each, the newest first."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final, TypeVar

from cio_etl.sandbox.people import Event, People, Person

_T = TypeVar("_T")
_USUALLY: Final = 25  # entries of a page
_AT_MOST: Final = 100


def people_listed(people: People, query: Mapping[str, str]) -> dict[str, Any]:
    """A page of profiles. `query`: before, limit."""
    page, bounds = _page(people.identities.by_cio_id, query)
    return {"people": [_person(each) for each in page]} | bounds


def events_listed(people: People, query: Mapping[str, str]) -> dict[str, Any]:
    """A page of events. `query`: before, limit."""
    page, bounds = _page(people.events, query)
    return {"events": [_event(people, each) for each in page]} | bounds


def _page(every: dict[str, _T], query: Mapping[str, str]) -> tuple[list[_T], dict[str, int]]:
    """The entries with a smaller number than `before`, where the oldest has 0: new ones do not move a page."""
    total = len(every)
    end = min(_number(query, "before", total), total)
    begin = max(end - min(_number(query, "limit", _USUALLY), _AT_MOST), 0)
    page = islice(reversed(every.values()), total - end, total - begin)
    return list(page), {"total": total, "from": begin, "to": end}


def _number(query: Mapping[str, str], name: str, otherwise: int) -> int:
    text = query.get(name, "")
    return int(text) if text.isdecimal() else otherwise


def _person(person: Person) -> dict[str, Any]:
    return {
        "cio_id": person.cio_id,
        "identifiers": {kind: value for kind in ("id", "email", "phone") if (value := getattr(person, kind))},
        "attributes": person.attributes,
        "events": len(person.event_ids),
        "updated": person.edited_at,
    }


def _event(people: People, event: Event) -> dict[str, Any]:
    """Of a visitor who is not identified, or of a person who was deleted, `cio_id` is null."""
    person = people.find("cio_id", event.cio_id) if event.cio_id else None
    return {
        "type": event.action,
        "name": event.name,
        "cio_id": person and person.cio_id,
        "attributes": event.attributes,
        "received": event.received,
        "timestamp": event.timestamp,
    }
