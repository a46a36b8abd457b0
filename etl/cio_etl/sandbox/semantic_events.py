"""Semantic events of the Pipelines API: `track` calls that are operations; pure functions.

Source: the Pipelines API's OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from cio_etl.sandbox.calls import (
    DEFAULT_OBJECT_TYPE,
    NO_IDENTITY,
    Call,
    Item,
    has_identity,
    person_of,
    seconds_of,
)


def _needs_user(call: Call) -> Iterable[str]:
    if not call.get("userId"):
        yield "userId: is required"


def _needs_user_and_device(call: Call) -> Iterable[str]:
    yield from _needs_user(call)
    device = call.get("context", {}).get("device")
    if not isinstance(device, dict) or not device.get("token") or not isinstance(device["token"], str):
        yield "context.device.token: is required"


def _needs_user_and_object(call: Call) -> Iterable[str]:
    yield from _needs_user(call)
    yield from _needs_object_id(call)


def _needs_identity_and_object(call: Call) -> Iterable[str]:
    if not has_identity(call):
        yield NO_IDENTITY
    yield from _needs_object_id(call)


def _needs_object_id(call: Call) -> Iterable[str]:
    if not call.get("properties", {}).get("objectId"):
        yield "properties.objectId: is required"


def _needs_delivery(call: Call) -> Iterable[str]:
    # The document lists these properties and requires none of them. Without them there is nothing to report.
    properties = call.get("properties", {})
    if not properties.get("deliveryId"):
        yield "properties.deliveryId: is required"
    if properties.get("metric") not in DELIVERY_METRICS:
        yield f"properties.metric: must be {', '.join(DELIVERY_METRICS[:-1])} or {DELIVERY_METRICS[-1]}"


def _needs_content_activity(call: Call) -> Iterable[str]:
    # The document declares actionType, and requires activityType.
    properties = call.get("properties", {})
    if not any(properties.get(name) in CONTENT_ACTIVITIES for name in ("actionType", "activityType")):
        yield f"properties.actionType: must be {' or '.join(CONTENT_ACTIVITIES)}"


def _of_user(action: str) -> Callable[[Call], Item]:
    return lambda call: {"type": "person", "action": action, "identifiers": person_of(call)}


def _device_of(call: Call) -> Item:
    attributes = dict(call["context"]["device"])
    device: dict[str, Any] = {"token": attributes.pop("token")}
    if "type" in attributes:
        device["platform"] = attributes.pop("type")
    if (at := seconds_of(call.get("timestamp"))) is not None:
        device["last_used"] = at
    return _of_user("add_device")(call) | {"device": device | {"attributes": attributes}}


def _without_device(call: Call) -> Item:
    return _of_user("delete_device")(call) | {"device": {"token": call["context"]["device"]["token"]}}


def _without_relationship(call: Call) -> Item:
    relationship = {"identifiers": _object_of(call["properties"])}
    return _of_user("delete_relationships")(call) | {"cio_relationships": [relationship]}


def _without_object(call: Call) -> Item:
    return {"type": "object", "action": "delete", "identifiers": _object_of(call["properties"])}


def _delivery_of(call: Call) -> Item:
    properties = call["properties"]
    identifiers = {"id": str(properties["deliveryId"])}
    return {"type": "delivery", "action": "event", "identifiers": identifiers, "name": properties["metric"]}


def _content_of(call: Call) -> Item:
    return {"type": "delivery", "action": "content", "attributes": call["properties"]}


def _object_of(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "object_type_id": properties.get("objectTypeId", DEFAULT_OBJECT_TYPE),
        "object_id": properties["objectId"],
    }


DELIVERY_METRICS: Final = ("delivered", "clicked", "converted", "opened")
CONTENT_ACTIVITIES: Final = ("viewed_content", "clicked_content")

# `track` calls of these names are operations, not events: what each requires, and the item that does it.
SEMANTIC: Final[Mapping[str, tuple[Callable[[Call], Iterable[str]], Callable[[Call], Item]]]] = {
    "User Deleted": (_needs_user, _of_user("delete")),
    "User Suppressed": (_needs_user, _of_user("suppress")),
    "User Unsuppressed": (_needs_user, _of_user("unsuppress")),
    "Device Created or Updated": (_needs_user_and_device, _device_of),
    "Device Deleted": (_needs_user_and_device, _without_device),
    "Relationship Deleted": (_needs_user_and_object, _without_relationship),
    "Object Deleted": (_needs_identity_and_object, _without_object),
    "Report Delivery Event": (_needs_delivery, _delivery_of),
    "Report Content Event": (_needs_content_activity, _content_of),
}
