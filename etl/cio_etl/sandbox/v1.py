"""Requests of the first version of the Track API, converted to items of the second; pure functions.

Sources: the Track API's OpenAPI document, and the page on invalid requests. Where the document says that an identifier
is recognised by its shape, it is here, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from cio_etl.sandbox.limits import Violation, is_timestamp
from cio_etl.sandbox.rules import violations, visitor_violations

MAX_SEGMENT_IDS: Final = 1_000
MAX_EVENT_DATA_BYTES: Final = 100_000
SEGMENT_ID_TYPES: Final = ("id", "email", "cio_id")

_VIEWS: Final = ("page", "screen")
_FORM_RESERVED: Final = frozenset({"form_id", "form_name", "form_type", "form_url", "form_url_param"})
_PUSH_METRICS: Final = ("opened", "converted", "delivered")
# The document lists metrics for each channel. A request does not name its channel, so all of them are accepted.
_METRICS: Final = ("bounced", "clicked", "converted", "deferred", "delivered", "dropped", "opened", "spammed")
Item = dict[str, Any]


class Refused(Exception):
    """A request that is refused, with the messages of its answer."""

    def __init__(self, *errors: str) -> None:
        super().__init__(*errors)
        self.errors = errors


def identifiers_of(identifier: str) -> dict[str, str]:
    """The kind of a path's identifier, recognised by its shape; a phone number counts as an id."""
    if identifier.startswith("cio_"):
        return {"cio_id": identifier.removeprefix("cio_")}
    return {"email" if _EMAIL(identifier) else "id": identifier}


# ---------------------------------------------------------------- people and their events


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
    members = _object(body).get("device")
    if not isinstance(members, dict):
        raise Refused("device: must be an object")
    token = {"token": members["id"]} if "id" in members else {}
    return _checked(
        _person("add_device", identifier)
        | {"device": {name: value for name, value in members.items() if name != "id"} | token}
    )


def device_deleted(token: str) -> Callable[[str, Any], list[Item]]:
    """`DELETE …/devices/{token}`."""
    return lambda identifier, body: _checked(_person("delete_device", identifier) | {"device": {"token": token}})


def merged(_: str, body: Any) -> list[Item]:
    """`POST /merge_customers`."""
    members = _object(body)
    people = {member: members[member] for member in ("primary", "secondary") if member in members}
    return _checked({"type": "person", "action": "merge"} | people)


def anonymous_event(_: str, body: Any) -> list[Item]:
    """`POST /events`. The item's type is "anonymous", which the second version does not have."""
    members = _object(body)
    item = _event_of(members) | {"type": "anonymous"}
    if "anonymous_id" in members:
        item["anonymous_id"] = members["anonymous_id"]
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


# ---------------------------------------------------------------- forms, metrics and unsubscribe links


def form_submitted(_: str, body: Any) -> list[Item]:
    """`POST /forms/{form_id}/submit`: an identify of the person whose id or address the form contains."""
    data = _object(body).get("data")
    if not isinstance(data, dict):
        raise Refused("data: must be an object")
    fields = {name: value for name, value in data.items() if name not in _FORM_RESERVED and value is not None}
    kinds = [kind for kind in ("id", "email") if kind in fields]
    if len(kinds) != 1:
        raise Refused("data: exactly one of id and email is needed")
    # The document's own example has an id that is a number.
    if wrong := [name for name, value in fields.items() if not isinstance(value, str) and name != "id"]:
        raise Refused(*(f"data.{name[:50]}: must be text" for name in wrong))
    kind = kinds[0]
    identifiers = {kind: fields.pop(kind)}
    return _checked({"type": "person", "action": "identify", "identifiers": identifiers, "attributes": fields})


def metric(_: str, body: Any) -> list[Item]:
    """`POST /metrics`: what became of a delivery."""
    return [_delivery(_object(body), "metric", _METRICS)]


def push_event(_: str, body: Any) -> list[Item]:
    """`POST /push/events`: what became of a push notification."""
    return [_delivery(_object(body), "event", _PUSH_METRICS)]


def unsubscribed(identifier: str, body: Any) -> list[Item]:
    """`POST /unsubscribe/{delivery_id}`."""
    if not isinstance(_object(body).get("unsubscribe", True), bool):
        raise Refused("unsubscribe: must be true or false")
    return [{"type": "delivery", "action": "unsubscribe", "identifiers": {"id": identifier}}]


def _delivery(members: Mapping[str, Any], named_by: str, metrics: tuple[str, ...]) -> Item:
    """The item of a delivery's metric. The document declares no 400; the stricter reading is to refuse bad values."""
    errors = []
    if not isinstance(members.get("delivery_id"), str) or not members["delivery_id"].strip():
        errors.append("delivery_id: is required")
    if members.get(named_by) not in metrics:
        errors.append(f"{named_by}: must be {', '.join(metrics[:-1])} or {metrics[-1]}")
    if members.get("timestamp") is not None and not is_timestamp(members["timestamp"]):
        errors.append("timestamp: must be Unix seconds")
    if errors:
        raise Refused(*errors)
    identifiers = {"id": members["delivery_id"]}
    return {"type": "delivery", "action": "event", "identifiers": identifiers, "name": members[named_by]}


# ---------------------------------------------------------------- shared


def _person(action: str, identifier: str) -> Item:
    return {"type": "person", "action": action, "identifiers": identifiers_of(identifier)}


def _event_of(members: Mapping[str, Any]) -> Item:
    kind = members.get("type")
    action = kind if kind in _VIEWS else "event"  # any other type becomes "event"
    data = members.get("data", {})
    if isinstance(data, dict) and len(json.dumps(data, ensure_ascii=False).encode()) > MAX_EVENT_DATA_BYTES:
        raise Refused(f"data: cannot be larger than {MAX_EVENT_DATA_BYTES} bytes")
    copied = {name: members[name] for name in ("name", "id", "timestamp") if name in members}
    return {"action": action, "attributes": data} | copied


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise Refused("the body is not an object")
    return dict(body)


def _checked(*items: Item) -> list[Item]:
    _refuse([each for item in items for each in violations(item, 0)])
    return list(items)


def _refuse(problems: list[Violation]) -> None:
    if problems:
        raise Refused(*(f"{each.field}: {each.message}" if each.field else each.message for each in problems))


_EMAIL = re.compile(r"[^@\s]+@[^@\s]+").fullmatch
