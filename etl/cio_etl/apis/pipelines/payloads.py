"""The item that the Pipelines API takes for each operation.

Source: Customer.io's Pipelines API reference: `/v1/batch`, and the semantic events, by which it deletes and suppresses
people, and stores devices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cio_etl.apis.api import Payload

_ID = ("id",)
_USER = {"userId": "identifier", "messageId": "message_id"}
_EVENT = {"messageId": "event_message_id", "timestamp": "timestamp_iso", "properties": "attributes"}
_RELATIONSHIP = {"groupId": "relationship.object.id", "traits.objectTypeId": "relationship.object.type"}
_RELATIONSHIP_TO_DELETE = {
    "properties.objectId": "relationship.object.id",
    "properties.objectTypeId": "relationship.object.type",
}
_GROUP = {
    "messageId": "message_id",
    "groupId": "object.id",
    "traits": "attributes",
    "traits.objectTypeId": "object.type",
}
_OBJECT_TO_DELETE = {"properties.objectId": "object.id", "properties.objectTypeId": "object.type"}
_NO_CIO_OBJECT = {"object.cio_object_id": "it knows objects by type and id only"}


def _semantic(event: str, members: Mapping[str, str], **more: Any) -> Payload:
    return Payload({"type": "track", "event": event}, members, **more)


PAYLOADS: dict[str, Payload] = {
    "identify": Payload(
        {"type": "identify"},
        {"userId": "user_id", "messageId": "message_id", "timestamp": "timestamp_iso", "traits": "attributes"},
        identifier_kinds=("id", "email"),
        identifiers_in_attributes=("email",),
        unsupported={
            "existing_only": "it makes the person who is not there; leave it out, or write api: track",
            "relationships": "write a second mapping with operation: add_relationships, or api: track",
        },
    ),
    "track": Payload({"type": "track"}, {"userId": "identifier", "event": "event", **_EVENT}, identifier_kinds=_ID),
    "page": Payload({"type": "page"}, {"userId": "identifier", "name": "event", **_EVENT}, identifier_kinds=_ID),
    "screen": Payload({"type": "screen"}, {"userId": "identifier", "name": "event", **_EVENT}, identifier_kinds=_ID),
    "delete": _semantic("User Deleted", _USER, identifier_kinds=_ID),
    "suppress": _semantic("User Suppressed", _USER, identifier_kinds=_ID),
    "unsuppress": _semantic("User Unsuppressed", _USER, identifier_kinds=_ID),
    "add_device": _semantic(
        "Device Created or Updated",
        _USER | {"context.device.token": "device.token", "context.device.type": "device.platform"},
        identifier_kinds=_ID,
        unsupported={
            "device.last_used": "it takes the moment of the call; leave it out, or write api: track",
            "device.attributes": "it takes token and platform; leave them out, or write api: track",
        },
    ),
    "delete_device": _semantic(
        "Device Deleted", _USER | {"context.device.token": "device.token"}, identifier_kinds=_ID
    ),
    "add_relationships": Payload(
        {"type": "group"},
        _USER | _RELATIONSHIP | {"traits.relationshipAttributes": "relationship.attributes"},
        identifier_kinds=_ID,
        max_relationships=1,
        unsupported=_NO_CIO_OBJECT,
    ),
    "delete_relationships": _semantic(
        "Relationship Deleted",
        _USER | _RELATIONSHIP_TO_DELETE,
        identifier_kinds=_ID,
        max_relationships=1,
        unsupported=_NO_CIO_OBJECT,
    ),
    "identify_object": Payload(
        {"type": "group"},
        {
            "userId": "relationship.person",
            "anonymousId": "visitor_named_after_object",
            **_GROUP,
            "traits.relationshipAttributes": "relationship.attributes",
        },
        max_relationships=1,
        unsupported=_NO_CIO_OBJECT,
    ),
    "identify_object_anonymous": Payload(
        {"type": "group"},
        {"anonymousId": "relationship.person", **_GROUP, "traits.relationshipAttributes": "relationship.attributes"},
        max_relationships=1,
        unsupported=_NO_CIO_OBJECT,
    ),
    "delete_object": _semantic(
        "Object Deleted",
        {"anonymousId": "visitor_named_after_object", "messageId": "message_id", **_OBJECT_TO_DELETE},
        unsupported=_NO_CIO_OBJECT,
    ),
    "add_object_relationships": Payload(
        {"type": "group"},
        {"userId": "relationship.person", **_GROUP, "traits.relationshipAttributes": "relationship.attributes"},
        max_relationships=1,
        unsupported=_NO_CIO_OBJECT,
    ),
    "delete_object_relationships": _semantic(
        "Relationship Deleted",
        {"userId": "relationship.person", "messageId": "message_id", **_OBJECT_TO_DELETE},
        max_relationships=1,
        unsupported=_NO_CIO_OBJECT,
    ),
}


def _of_visitors(payload: Payload) -> Payload:
    members = {"anonymousId" if path == "userId" else path: part for path, part in payload.members.items()}
    return replace(payload, members=members, identifier_kinds=("anonymous_id",))


VISITOR_PAYLOADS: dict[str, Payload] = {name: _of_visitors(PAYLOADS[name]) for name in ("track", "page", "screen")}


def _mixed(payload: Payload) -> Payload:
    who = {"userId": "identifiers.id", "anonymousId": "identifiers.anonymous_id"}
    members = who | {path: part for path, part in payload.members.items() if path != "userId"}
    return replace(payload, members=members, identifier_kinds=("id", "anonymous_id"))


MIXED_PAYLOADS: dict[str, Payload] = {name: _mixed(PAYLOADS[name]) for name in VISITOR_PAYLOADS}
