"""Calls of the Pipelines API, validated and converted to items of Track; pure functions.

Sources: the Pipelines API's OpenAPI document (calls, required members, semantic events), and the page that compares it
with Track (a userId that is an e-mail address). The document requires little of a call. Whether a workspace can store
it is checked later, when the call has become an item, and then only the activity log shows a failure. This module
checks in the same two steps: `complaints`, then `item_of` and the rules of Track.
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
from cio_etl.sandbox.semantic_events import SEMANTIC

MAX_CALL_BYTES: Final = 32_000  # "32KB", read as the smaller of its meanings

CALLS: Final = ("identify", "track", "page", "screen", "group", "alias")


# ---------------------------------------------------------------- what strict mode reports


def without_nulls(call: Call) -> dict[str, Any]:
    """The call without its null members, which count as absent: customerio-cdp-analytics sends them on each call.

    Nulls within traits, properties and context stay. A trait that is null removes the attribute.

    >>> without_nulls({"userId": "42", "anonymousId": None, "traits": {"plan": None}})
    {'userId': '42', 'traits': {'plan': None}}
    """
    return {name: value for name, value in call.items() if value is not None}


def complaints(call: Any, kind: str | None, call_bytes: int) -> list[str]:
    """The faults of a call of `call_bytes` bytes; none, when strict mode would accept it.

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
    if not has_identity(call) and not call.get("traits", {}).get("email"):
        yield NO_IDENTITY


def _missing_of_track(call: Call) -> Iterable[str]:
    if not call.get("event"):
        yield "event: is required"
    elif call["event"] in SEMANTIC:
        yield from SEMANTIC[call["event"]][0](call)
    # A custom event needs no id: in the document's batch, the event of an anonymous user requires its name only.


def _missing_of_view(call: Call) -> Iterable[str]:
    if not has_identity(call):
        yield NO_IDENTITY


def _missing_of_group(call: Call) -> Iterable[str]:
    if not has_identity(call):
        yield NO_IDENTITY
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
_TEXTS: Final = ("userId", "anonymousId", "groupId", "previousId", "event", "messageId", "name")
_OBJECTS: Final = ("traits", "properties", "context", "integrations")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and (not value or bool(value.strip()))


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
        identifiers = person_of(call)
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
        return {"type": "person", "identifiers": person_of(call)} | item
    if call.get("anonymousId"):
        return {"type": "anonymous", "anonymous_id": call["anonymousId"]} | item
    return None if call.get("groupId") else {"type": "anonymous"} | item  # a workspace has no events of groups


def _grouped(call: Call) -> Item:
    traits = dict(call.get("traits", {}))
    types = [traits.pop(name, None) for name in ("objectTypeId", "object_type_id")] + [call.get("objectTypeId")]
    object_type_id = next((each for each in types if each not in (None, "")), DEFAULT_OBJECT_TYPE)
    relationship = {"relationship_attributes": traits.pop("relationshipAttributes", None) or {}}
    person = person_of(call) if call.get("userId") else {"anonymous_id": call["anonymousId"]}
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
