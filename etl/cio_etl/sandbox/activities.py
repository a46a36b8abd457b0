"""The App API's documents about activities: events, changes of people, and what had no effect.

Source: the App API's OpenAPI document. Of its types there are `event`, `page`, `screen`, `profile_create`,
`attribute_change`, `profile_delete`, `profile_merge`, `failed_attribute_change`, `failed_event` and `skipped_update`;
the sandbox's own types say why a request that was answered with 200 had no effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from heapq import merge
from itertools import islice
from typing import Any

from cio_etl.sandbox.activity import Activity, Change
from cio_etl.sandbox.people import Event, People, Person
from cio_etl.sandbox.readback import as_string, page_bounds

_Entry = Event | Change | Activity


def activities(people: People, query: Mapping[str, str]) -> dict[str, Any]:
    """A page of all activities, the latest first. `query`: type, name, deleted, start, limit."""
    of_deleted = query.get("deleted") == "true"
    entries = merge(
        reversed(people.events.values()),
        reversed(people.activity.changes),
        reversed(people.activity),
        key=lambda entry: entry.number,
        reverse=True,
    )
    return _page(people, (entry for entry in entries if _is_of_deleted(people, entry) is of_deleted), query)


def activities_of(people: People, person: Person, query: Mapping[str, str]) -> dict[str, Any]:
    """A page of a person's activities, the latest first. `query`: type, name, start, limit."""
    entries: list[_Entry] = [people.events[event_id] for event_id in person.event_ids]
    entries += [each for each in people.activity.changes if each.person is person]
    entries += [each for each in people.activity if each.cio_id == person.cio_id]
    entries.sort(key=lambda entry: entry.number, reverse=True)
    return _page(people, entries, query)


def event(each: Event) -> dict[str, Any]:
    """An event, with the visitor if it is one's."""
    document = {
        "id": each.id,
        "type": each.action,
        "url" if each.action == "page" else "name": each.name,
        "timestamp": int(each.timestamp),
        "data": each.attributes,
    }
    return document if each.anonymous_id is None else document | {"anonymous_id": each.anonymous_id}


def _page(people: People, entries: Iterable[_Entry], query: Mapping[str, str]) -> dict[str, Any]:
    kind, name = query.get("type"), query.get("name")
    start, limit = page_bounds(query)
    wanted = (
        entry
        for entry in entries
        if kind in (None, "", _type_of(entry)) and (name in (None, "") or name in _names_of(entry))
    )
    shown = list(islice(wanted, start, start + limit + 1))
    following = str(start + limit) if len(shown) > limit else ""
    return {"activities": [_document(people, entry) for entry in shown[:limit]], "next": following}


def _type_of(entry: _Entry) -> str:
    return entry.action if isinstance(entry, Event) else entry.type


def _names_of(entry: _Entry) -> Iterator[str]:
    """The name of an event, or those of the attributes that changed."""
    if isinstance(entry, Event):
        yield entry.name
    elif isinstance(entry, Change):
        yield from entry.data


def _is_of_deleted(people: People, entry: _Entry) -> bool:
    cio_id = entry.person.cio_id if isinstance(entry, Change) else entry.cio_id
    return cio_id is not None and cio_id not in people.identities.by_cio_id


def _document(people: People, entry: _Entry) -> dict[str, Any]:
    if isinstance(entry, Event):
        return event(entry) | _whose(people.find("cio_id", entry.cio_id) if entry.cio_id else None)
    document: dict[str, Any] = {"id": f"{entry.number:012x}", "type": entry.type, "timestamp": int(entry.at)}
    if isinstance(entry, Change):
        return document | _whose(entry.person) | {"data": _data_of(entry)}
    person = people.find("cio_id", entry.cio_id) if entry.cio_id else None
    return document | _whose(person) | {"data": {"about": entry.about, "reason": entry.reason}}


def _data_of(change: Change) -> Mapping[str, Any]:
    """What changed: of each attribute the old and the new value, where an absent value is empty text."""
    if change.type != "attribute_change":
        return change.data
    return {
        name: {"from": "" if old is None else as_string(old), "to": "" if new is None else as_string(new)}
        for name, (old, new) in change.data.items()
    }


def _whose(person: Person | None) -> dict[str, Any]:
    return {
        "customer_id": (person.id or "") if person else "",
        "customer_identifiers": person.identifiers if person else {},
    }
