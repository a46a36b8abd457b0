"""The item that the Track API takes for each operation.

Source: Customer.io's Track API reference: `/api/v2/batch`; of v1, `/api/v1/events` and the manual segments.
"""

from __future__ import annotations

from collections.abc import Mapping

from cio_etl.apis.api import Payload
from cio_etl.apis.track.endpoints import segment, visitor_event

_EVENT = {
    "identifiers": "identifiers",
    "name": "event",
    "id": "event_id",
    "timestamp": "timestamp",
    "attributes": "attributes",
}
_RELATIONSHIPS = {"identifiers": "identifiers", "cio_relationships": "relationships"}
_OBJECT = {"identifiers": "object", "attributes": "attributes", "cio_relationships": "relationships"}
_OBJECT_RELATIONSHIPS = {"identifiers": "object", "cio_relationships": "relationships"}


def _person(
    action: str, members: Mapping[str, str] = {"identifiers": "identifiers"}, *, divisible: bool = False
) -> Payload:
    return Payload({"type": "person", "action": action}, members, divisible=divisible)


def _object(action: str, members: Mapping[str, str], *, divisible: bool = False) -> Payload:
    return Payload({"type": "object", "action": action}, members, divisible=divisible)


PAYLOADS: dict[str, Payload] = {
    "identify": _person(
        "identify",
        {
            "identifiers": "identifiers",
            "timestamp": "timestamp",
            "attributes": "attributes",
            "cio_relationships": "relationships",
        },
        divisible=True,
    ),
    "track": _person("event", _EVENT),
    "page": _person("page", _EVENT),
    "screen": _person("screen", _EVENT),
    "delete": _person("delete"),
    "suppress": _person("suppress"),
    "unsuppress": _person("unsuppress"),
    "merge": _person("merge", {"primary": "primary", "secondary": "secondary"}),
    "add_device": _person("add_device", {"identifiers": "identifiers", "device": "device"}),
    "delete_device": _person("delete_device", {"identifiers": "identifiers", "device": "device"}),
    "add_relationships": _person("add_relationships", _RELATIONSHIPS),
    "delete_relationships": _person("delete_relationships", _RELATIONSHIPS),
    "identify_object": _object("identify", _OBJECT, divisible=True),
    "identify_object_anonymous": _object("identify_anonymous", _OBJECT, divisible=True),
    "delete_object": _object("delete", {"identifiers": "object"}),
    "add_object_relationships": _object("add_relationships", _OBJECT_RELATIONSHIPS),
    "delete_object_relationships": _object("delete_relationships", _OBJECT_RELATIONSHIPS),
    "add_to_segment": Payload(whole="identifier", endpoint=segment("add_customers")),
    "remove_from_segment": Payload(whole="identifier", endpoint=segment("remove_customers")),
}

# The reference of v2 has no anonymous people, so events of visitors are sent to v1, one a request; or to v2 as those of
# people are, as other products send them.
_VISITOR_EVENT = {
    "name": "event",
    "anonymous_id": "identifier",
    "id": "event_id",
    "timestamp": "timestamp",
    "data": "attributes",
}
VISITOR_PAYLOADS: dict[str, Payload] = {
    "track": Payload({"type": "event"}, _VISITOR_EVENT, endpoint=visitor_event),
    "page": Payload({"type": "page"}, _VISITOR_EVENT, endpoint=visitor_event),
    "screen": Payload({"type": "screen"}, _VISITOR_EVENT, endpoint=visitor_event),
}
MIXED_PAYLOADS: dict[str, Payload] = {name: PAYLOADS[name] for name in VISITOR_PAYLOADS}
