"""Calls of the Pipelines API, validated and converted to items of Track; pure functions.

Sources: the Pipelines API's OpenAPI document (calls, required members, semantic events), and the page that compares it
with Track (a userId that is an e-mail address). The document requires little of a call. Whether a workspace can store
it is checked later, when the call has become an item, and then only the activity log shows a failure. This module
checks in the same two steps: `complaints`, then `item_of` and the rules of Track.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

MAX_CALL_BYTES: Final = 32_000  # "32KB", read as the smaller of its meanings

CALLS: Final = ("identify", "track", "page", "screen", "group", "alias")
DEFAULT_OBJECT_TYPE: Final = "1"

Call = Mapping[str, Any]
Item = dict[str, Any]


# ---------------------------------------------------------------- what strict mode reports


def without_nulls(call: Call) -> dict[str, Any]:
    """The call without its null members, which count as absent: customerio-cdp-analytics sends them on each call.

    Nulls within traits, properties and context stay. A trait that is null removes the attribute.

    >>> without_nulls({"userId": "42", "anonymousId": None, "traits": {"plan": None}})
    {'userId': '42', 'traits': {'plan': None}}
    """
    return {name: value for name, value in call.items() if value is not None}


def complaints(call: Any, kind: str | None, call_bytes: int) -> list[str]:
    """Everything that is wrong with a call of `call_bytes` bytes; nothing, when strict mode would let it in.

    `kind` is that of the endpoint, and None for a batch's, whose calls name theirs.

    >>> complaints({"type": "track", "userId": "42"}, None, 40)
    ['event: is required']
    """
    if call_bytes > MAX_CALL_BYTES:
        return [f"a call cannot be larger than {MAX_CALL_BYTES} bytes"]
    if not isinstance(call, dict):
        return ["a call must be an object"]
    named = call.get("type", kind)
    if named is None:
        return ["type: is required"]
    # The document's batch has no alias; the vendor's own libraries send it there all the same.
    if named not in CALLS or (kind is not None and named != kind):
        return [f"type: must be {kind}" if kind else "type: is none of the known ones"]
    problems = [f"{member}: must be text" for member in _TEXTS if not _is_text(call.get(member, ""))]
    problems += [f"{member}: must be an object" for member in _OBJECTS if not isinstance(call.get(member, {}), dict)]
    return problems or [*_MISSING[named](call)]


def _missing_of_identify(call: Call) -> Iterable[str]:
    # An address is enough here, and an empty userId counts as none.
    if not _has_identity(call) and not call.get("traits", {}).get("email"):
        yield _NO_IDENTITY


def _missing_of_track(call: Call) -> Iterable[str]:
    if not call.get("event"):
        yield "event: is required"
    elif call["event"] in SEMANTIC:
        yield from SEMANTIC[call["event"]][0](call)
    # A custom event needs no id: in the document's batch, the event of an anonymous user requires its name only.


def _missing_of_view(call: Call) -> Iterable[str]:
    if not _has_identity(call):
        yield _NO_IDENTITY


def _missing_of_group(call: Call) -> Iterable[str]:
    if not _has_identity(call):
        yield _NO_IDENTITY
    if not call.get("groupId"):
        yield "groupId: is required"


def _missing_of_alias(call: Call) -> Iterable[str]:
    yield from (f"{member}: is required" for member in ("userId", "previousId") if not call.get(member))


_MISSING: Final[Mapping[str, Callable[[Call], Iterable[str]]]] = {
    "identify": _missing_of_identify,
    "track": _missing_of_track,
    "page": _missing_of_view,
    "screen": _missing_of_view,
    "group": _missing_of_group,
    "alias": _missing_of_alias,
}
_NO_IDENTITY: Final = "userId or anonymousId: is required"
_TEXTS: Final = ("userId", "anonymousId", "groupId", "previousId", "event", "messageId", "name")
_OBJECTS: Final = ("traits", "properties", "context", "integrations")


def _has_identity(call: Call) -> bool:
    return bool(call.get("userId") or call.get("anonymousId"))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and (not value or bool(value.strip()))


# ---------------------------------------------------------------- semantic events


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
    if not _has_identity(call):
        yield _NO_IDENTITY
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
    return lambda call: {"type": "person", "action": action, "identifiers": _person_of(call)}


def _person_of(call: Call) -> dict[str, str]:
    """The identifier of the call's userId, by its shape: an e-mail address, or else an id."""
    user: str = call["userId"]
    return {"email" if _EMAIL(user) else "id": user}


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


# ---------------------------------------------------------------- what a valid call becomes


def item_of(call: Call, kind: str) -> Item | None:
    """The item of a call that has no complaints; None for a call that no workspace takes.

    An event of a visitor has the type "anonymous", which Track v2 does not have.
    """
    if not _is_for_customerio(call.get("integrations", {})):
        return None
    item = _BECOMES[kind](call)
    if item is None:
        return None
    timestamp = seconds_of(call.get("timestamp"))
    return item if timestamp is None else item | {"timestamp": timestamp}


def _is_for_customerio(integrations: Mapping[str, Any]) -> bool:
    """`All: false` excludes every destination that is not named. The document does not list Customer.io's names."""
    named = [value for name, value in integrations.items() if name.lower().startswith(_OWN_NAME)]
    return any(named) if named else integrations.get("All") is not False


_OWN_NAME: Final = "customer.io"  # "Customer.io Journeys", "Customer.io Data Pipelines", …


def _identified(call: Call) -> Item | None:
    attributes = {_RENAMED.get(name, name): value for name, value in call.get("traits", {}).items()}
    if (created := seconds_of(attributes.get("created_at"))) is not None:
        attributes["created_at"] = int(created)
    if call.get("userId"):
        identifiers = _person_of(call)
    elif attributes.get("email"):
        identifiers = {"email": attributes.pop("email")}
    else:  # a visitor has no profile before they are identified
        return None
    if call.get("anonymousId"):
        attributes["anonymous_id"] = call["anonymousId"]
    return {"type": "person", "action": "identify", "identifiers": identifiers, "attributes": attributes}


def _tracked(call: Call) -> Item | None:
    if call["event"] in SEMANTIC:
        _, operation = SEMANTIC[call["event"]]
        return operation(call)
    return _event(call, "event", call["event"])


def _viewed(action: str) -> Callable[[Call], Item | None]:
    def viewed(call: Call) -> Item | None:
        # The document requires neither a name nor a url, and does not say how such a page is called.
        return _event(call, action, call.get("name") or call.get("properties", {}).get("url") or action)

    return viewed


def _event(call: Call, action: str, name: Any) -> Item | None:
    item = {"action": action, "name": name, "attributes": call.get("properties", {})}
    if call.get("userId"):
        return {"type": "person", "identifiers": _person_of(call)} | item
    if call.get("anonymousId"):
        return {"type": "anonymous", "anonymous_id": call["anonymousId"]} | item
    return None if call.get("groupId") else {"type": "anonymous"} | item  # a workspace has no events of groups


def _grouped(call: Call) -> Item:
    traits = dict(call.get("traits", {}))
    types = [traits.pop(name, None) for name in ("objectTypeId", "object_type_id")] + [call.get("objectTypeId")]
    object_type_id = next((each for each in types if each not in (None, "")), DEFAULT_OBJECT_TYPE)
    relationship = {"relationship_attributes": traits.pop("relationshipAttributes", None) or {}}
    person = _person_of(call) if call.get("userId") else {"anonymous_id": call["anonymousId"]}
    return {
        "type": "object",
        "action": "identify_anonymous" if "anonymous_id" in person else "identify",
        "identifiers": {"object_type_id": object_type_id, "object_id": call["groupId"]},
        "attributes": traits,
        "cio_relationships": [{"identifiers": person} | relationship],
    }


def _aliased(call: Call) -> Item | None:
    return None  # for other destinations, such as Mixpanel; profiles are not merged


_BECOMES: Final[Mapping[str, Callable[[Call], Item | None]]] = {
    "identify": _identified,
    "track": _tracked,
    "page": _viewed("page"),
    "screen": _viewed("screen"),
    "group": _grouped,
    "alias": _aliased,
}
_RENAMED: Final = {"createdAt": "created_at"}


def seconds_of(timestamp: Any) -> float | None:
    """Unix seconds of an ISO 8601 time; None of anything else. Without a zone it is UTC.

    >>> seconds_of("1970-01-01T00:01:00.500Z"), seconds_of("60"), seconds_of(60)
    (60.5, None, None)
    """
    if not isinstance(timestamp, str) or not _ISO(timestamp):
        return None
    try:
        at = datetime.fromisoformat(timestamp)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        return None


_EMAIL = re.compile(r"[^@\s]+@[^@\s]+").fullmatch
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].+)?", re.ASCII).fullmatch
