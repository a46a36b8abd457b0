"""Requests of the first version of the Track API, converted to items of the second; pure functions.

Only what a loader can need of it: anonymous events, manual segments, and people, devices and merges for comparison.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from cio_etl.sandbox.rules import Violation, violations, visitor_violations

MAX_SEGMENT_IDS: Final = 1_000
MAX_EVENT_DATA_BYTES: Final = 100_000
SEGMENT_ID_TYPES: Final = ("id", "email", "cio_id")

_EVENT_TYPES: Final = ("event", "page", "screen")
Item = dict[str, Any]


class Refused(Exception):
    """A request that is not taken, with the words of its answer."""

    def __init__(self, *errors: str) -> None:
        super().__init__(*errors)
        self.errors = errors


def identifiers_of(identifier: str) -> dict[str, str]:
    """The kind of a path's identifier is told by its shape; a phone number is taken for an id."""
    if identifier.startswith("cio_"):
        return {"cio_id": identifier.removeprefix("cio_")}
    return {"email" if _LOOKS_LIKE_EMAIL(identifier) else "id": identifier}


def customer(identifier: str, body: Any) -> list[Item]:
    """`PUT /customers/{identifier}`: attributes, and relationships to add or to delete."""
    attributes = _object(body)
    item = _person("identify", identifier)
    if "_timestamp" in attributes:
        item["timestamp"] = attributes.pop("_timestamp")
    related = attributes.pop("cio_relationships", None)
    item["attributes"] = attributes
    if related is None:
        return _checked(item)
    action = related.get("action") if isinstance(related, dict) else None
    if action not in ("add_relationships", "delete_relationships"):
        raise Refused("cio_relationships.action: must be add_relationships or delete_relationships")
    return _checked(item, _person(action, identifier) | {"cio_relationships": related.get("relationships")})


def deleted(identifier: str, body: Any) -> list[Item]:
    """`DELETE /customers/{identifier}`."""
    return _checked(_person("delete", identifier))


def suppressed(identifier: str, body: Any) -> list[Item]:
    """`POST …/suppress`."""
    return _checked(_person("suppress", identifier))


def unsuppressed(identifier: str, body: Any) -> list[Item]:
    """`POST …/unsuppress`."""
    return _checked(_person("unsuppress", identifier))


def event(identifier: str, body: Any) -> list[Item]:
    """`POST …/events`: a person's event, page or screen."""
    return _checked(_event_of(_object(body)) | {"type": "person", "identifiers": identifiers_of(identifier)})


def device(identifier: str, body: Any) -> list[Item]:
    """`PUT …/devices`. A token is called `id` here."""
    given = _object(body).get("device")
    if not isinstance(given, dict):
        raise Refused("device: must be an object")
    token = {"token": given["id"]} if "id" in given else {}
    return _checked(
        _person("add_device", identifier)
        | {"device": {name: value for name, value in given.items() if name != "id"} | token}
    )


def device_deleted(token: str) -> Callable[[str, Any], list[Item]]:
    """`DELETE …/devices/{token}`."""
    return lambda identifier, body: _checked(_person("delete_device", identifier) | {"device": {"token": token}})


def merged(_: str, body: Any) -> list[Item]:
    """`POST /merge_customers`."""
    given = _object(body)
    people = {member: given[member] for member in ("primary", "secondary") if member in given}
    return _checked({"type": "person", "action": "merge"} | people)


def anonymous_event(_: str, body: Any) -> list[Item]:
    """`POST /events`. The item's type is "anonymous", which the second version has not."""
    given = _object(body)
    item = _event_of(given) | {"type": "anonymous"}
    if "anonymous_id" in given:
        item["anonymous_id"] = given["anonymous_id"]
    _refuse(visitor_violations(item))
    return [item]


def segment_ids(body: Any) -> list[Any]:
    """The ids of a change of a manual segment: 1 to 1,000 of them, of any kind. Raises Refused."""
    ids = _object(body).get("ids")
    if not isinstance(ids, list) or not ids:
        raise Refused("ids: must be an array of at least one id")
    if len(ids) > MAX_SEGMENT_IDS:
        raise Refused(f"ids: cannot be more than {MAX_SEGMENT_IDS}")
    return ids


def _person(action: str, identifier: str) -> Item:
    return {"type": "person", "action": action, "identifiers": identifiers_of(identifier)}


def _event_of(given: Mapping[str, Any]) -> Item:
    action = given.get("type", "event")
    if action not in _EVENT_TYPES:
        raise Refused("type: must be event, page or screen")
    data = given.get("data", {})
    if isinstance(data, dict) and len(json.dumps(data, ensure_ascii=False).encode()) > MAX_EVENT_DATA_BYTES:
        raise Refused(f"data: cannot be larger than {MAX_EVENT_DATA_BYTES} bytes")
    kept = {name: given[name] for name in ("name", "id", "timestamp") if name in given}
    return {"action": action, "attributes": data} | kept


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise Refused("the body is not an object")
    return dict(body)


def _checked(*items: Item) -> list[Item]:
    _refuse([each for item in items for each in violations(item, 0)])
    return list(items)


def _refuse(found: list[Violation]) -> None:
    if found:
        raise Refused(*(f"{each.field}: {each.message}" if each.field else each.message for each in found))


_LOOKS_LIKE_EMAIL = re.compile(r"[^@\s]+@[^@\s]+").fullmatch
