"""How is an operation said to an API? A table for each, and the item's tree that a mapping makes of a row of it.

Sources: Customer.io's Track API reference (`/api/v2/batch`; of v1 `/api/v1/events` and the manual segments) and its
Pipelines API reference (`/v1/batch`, and the semantic events, by which it deletes, suppresses and knows devices).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from cio_etl.model import Api, Constant, Value
from cio_etl.model import Mapping as Rules
from cio_etl.transform.encode import Entries, Fixed, Leaf, Members, Node
from cio_etl.transform.operations import OPERATIONS

Endpoint = Literal["batch", "anonymous_event", "segment"]

ULID, MESSAGE_ID, ISO = "_ulid", "_message_id", "_iso"  # columns that are made for every row, where a shape has them
TOPIC = "cio_subscription_preferences.topics.topic_"  # one topic; the whole object would replace all of them


@dataclass(frozen=True, slots=True)
class Shape:
    """The item of one operation: members that are always the same, and which part of the mapping fills the others.

    `members` has dotted paths, and parts by the names that `_part` knows. `lacks` are keys of a mapping that this API
    has no place for, with what to do instead. With `whole` the item is that part alone, and no object.
    """

    head: Mapping[str, Any] = field(default_factory=dict)
    members: Mapping[str, str] = field(default_factory=dict)
    endpoint: Endpoint = "batch"
    whole: str | None = None
    kinds: tuple[str, ...] | None = None  # of identifiers, where the API takes fewer than the operation
    lacks: Mapping[str, str] = field(default_factory=dict)
    ties: int | None = None  # relationships that an item can say, at most


_EVENT = {"identifiers": "who", "name": "event", "id": "ulid", "timestamp": "timestamp", "attributes": "attributes"}
_TIES = {"identifiers": "who", "cio_relationships": "relationships"}
_OBJECT = {"identifiers": "object", "attributes": "attributes", "cio_relationships": "relationships"}
_OBJECT_TIES = {"identifiers": "object", "cio_relationships": "relationships"}


def _person(action: str, members: Mapping[str, str] = {"identifiers": "who"}) -> Shape:
    return Shape({"type": "person", "action": action}, members)


def _object(action: str, members: Mapping[str, str]) -> Shape:
    return Shape({"type": "object", "action": action}, members)


TRACK: dict[str, Shape] = {
    "identify": _person(
        "identify",
        {
            "identifiers": "who",
            "timestamp": "timestamp",
            "attributes": "attributes",
            "cio_relationships": "relationships",
        },
    ),
    "track": _person("event", _EVENT),
    "page": _person("page", _EVENT),
    "screen": _person("screen", _EVENT),
    "delete": _person("delete"),
    "suppress": _person("suppress"),
    "unsuppress": _person("unsuppress"),
    "merge": _person("merge", {"primary": "primary", "secondary": "secondary"}),
    "add_device": _person("add_device", {"identifiers": "who", "device": "device"}),
    "delete_device": _person("delete_device", {"identifiers": "who", "device": "device"}),
    "add_relationships": _person("add_relationships", _TIES),
    "delete_relationships": _person("delete_relationships", _TIES),
    "identify_object": _object("identify", _OBJECT),
    "identify_object_anonymous": _object("identify_anonymous", _OBJECT),
    "delete_object": _object("delete", {"identifiers": "object"}),
    "add_object_relationships": _object("add_relationships", _OBJECT_TIES),
    "delete_object_relationships": _object("delete_relationships", _OBJECT_TIES),
    "add_to_segment": Shape(endpoint="segment", whole="who.id"),
    "remove_from_segment": Shape(endpoint="segment", whole="who.id"),
}

# v2 knows no anonymous people in its reference, so events of visitors go to v1, one a request.
_ANONYMOUS = {"name": "event", "anonymous_id": "who.id", "id": "ulid", "timestamp": "timestamp", "data": "attributes"}
TRACK_ANONYMOUS: dict[str, Shape] = {
    "track": Shape({"type": "event"}, _ANONYMOUS, "anonymous_event"),
    "page": Shape({"type": "page"}, _ANONYMOUS, "anonymous_event"),
    "screen": Shape({"type": "screen"}, _ANONYMOUS, "anonymous_event"),
}

_ID = ("id",)
_USER = {"userId": "who.id", "messageId": "message_id"}
_AFTER = {"messageId": "ulid", "timestamp": "iso", "properties": "attributes"}
_TIE = {"groupId": "tie.object.id", "traits.objectTypeId": "tie.object.type"}
_UNTIE = {"properties.objectId": "tie.object.id", "properties.objectTypeId": "tie.object.type"}
_GROUP = {
    "messageId": "message_id",
    "groupId": "object.id",
    "traits": "attributes",
    "traits.objectTypeId": "object.type",
}
_OF_OBJECT = {"properties.objectId": "object.id", "properties.objectTypeId": "object.type"}
_NO_CIO_OBJECT = {"object.cio_object_id": "it knows objects by type and id only"}


def _semantic(event: str, members: Mapping[str, str], **more: Any) -> Shape:
    return Shape({"type": "track", "event": event}, members, **more)


PIPELINES: dict[str, Shape] = {
    "identify": Shape(
        {"type": "identify"},
        {"userId": "who.user", "messageId": "message_id", "timestamp": "iso", "traits": "attributes"},
        kinds=("id", "email"),
        lacks={
            "existing_only": "it makes the person who is not there; leave it out, or write api: track",
            "relationships": "write a second mapping with operation: add_relationships, or api: track",
        },
    ),
    "track": Shape({"type": "track"}, {"userId": "who.id", "event": "event", **_AFTER}, kinds=_ID),
    "page": Shape({"type": "page"}, {"userId": "who.id", "name": "event", **_AFTER}, kinds=_ID),
    "screen": Shape({"type": "screen"}, {"userId": "who.id", "name": "event", **_AFTER}, kinds=_ID),
    "delete": _semantic("User Deleted", _USER, kinds=_ID),
    "suppress": _semantic("User Suppressed", _USER, kinds=_ID),
    "unsuppress": _semantic("User Unsuppressed", _USER, kinds=_ID),
    "add_device": _semantic(
        "Device Created or Updated",
        _USER | {"context.device.token": "device.token", "context.device.type": "device.platform"},
        kinds=_ID,
        lacks={
            "device.last_used": "it takes the moment of the call; leave it out, or write api: track",
            "device.attributes": "it takes token and platform; leave them out, or write api: track",
        },
    ),
    "delete_device": _semantic("Device Deleted", _USER | {"context.device.token": "device.token"}, kinds=_ID),
    "add_relationships": Shape(
        {"type": "group"},
        _USER | _TIE | {"traits.relationshipAttributes": "tie.attributes"},
        kinds=_ID,
        ties=1,
        lacks=_NO_CIO_OBJECT,
    ),
    "delete_relationships": _semantic("Relationship Deleted", _USER | _UNTIE, kinds=_ID, ties=1, lacks=_NO_CIO_OBJECT),
    "identify_object": Shape(
        {"type": "group"},
        {"userId": "tie.person", "anonymousId": "nobody", **_GROUP, "traits.relationshipAttributes": "tie.attributes"},
        ties=1,
        lacks=_NO_CIO_OBJECT,
    ),
    "identify_object_anonymous": Shape(
        {"type": "group"},
        {"anonymousId": "tie.person", **_GROUP, "traits.relationshipAttributes": "tie.attributes"},
        ties=1,
        lacks=_NO_CIO_OBJECT,
    ),
    "delete_object": _semantic(
        "Object Deleted", {"anonymousId": "nobody", "messageId": "message_id", **_OF_OBJECT}, lacks=_NO_CIO_OBJECT
    ),
    "add_object_relationships": Shape(
        {"type": "group"},
        {"userId": "tie.person", **_GROUP, "traits.relationshipAttributes": "tie.attributes"},
        ties=1,
        lacks=_NO_CIO_OBJECT,
    ),
    "delete_object_relationships": _semantic(
        "Relationship Deleted",
        {"userId": "tie.person", "messageId": "message_id", **_OF_OBJECT},
        ties=1,
        lacks=_NO_CIO_OBJECT,
    ),
}

PIPELINES_ANONYMOUS: dict[str, Shape] = {
    name: replace(PIPELINES[name], members=_renamed, kinds=("anonymous_id",))
    for name in ("track", "page", "screen")
    for _renamed in [
        {"anonymousId" if path == "userId" else path: part for path, part in PIPELINES[name].members.items()}
    ]
}

SHAPES: dict[Api, dict[str, Shape]] = {"track": TRACK, "pipelines": PIPELINES}
_OF_VISITORS: dict[Api, dict[str, Shape]] = {"track": TRACK_ANONYMOUS, "pipelines": PIPELINES_ANONYMOUS}


def shape_of(mapping: Rules, api: Api) -> Shape:
    """How the mapping's operation is said to an API. Raises KeyError where `problems` has told why not."""
    table = _OF_VISITORS if "anonymous_id" in mapping.identifiers else SHAPES
    return table[api][mapping.operation]


def problems(mapping: Rules, api: Api) -> Iterator[tuple[str, str]]:
    """What of a mapping an API has no place for: (dotted path, what and what to do)."""
    if mapping.operation not in SHAPES[api]:
        yield "operation", f"the {_NAMES[api]} API has no {mapping.operation}; write api: {_OTHER[api]} in the job"
        return
    shape = shape_of(mapping, api)
    for kind in mapping.identifiers:
        if shape.kinds is not None and kind not in shape.kinds:
            takes = " or ".join(shape.kinds)
            yield f"identifiers.{kind}", f"for {mapping.operation} the {_NAMES[api]} API takes {takes}"
    if "email" in mapping.identifiers and "email" in mapping.attributes and api == "pipelines":
        yield "attributes.email", f"the {_NAMES[api]} API has the e-mail from identifiers; leave it out here"
    there = {path.split(".")[0] for path in mapping.values()} | ({"existing_only"} if mapping.existing_only else set())
    there |= {path.rpartition(".")[0] for path in mapping.values()} | set(mapping.values())
    there |= {"relationships"} if mapping.relationships else set()
    for part, advice in shape.lacks.items():
        if part in there or any(path.endswith(f".{part}") for path in there):
            yield part.partition(".")[0], f"the {_NAMES[api]} API has no place for {part}: {advice}"
    if shape.ties is not None and len(mapping.relationships) > shape.ties:
        yield (
            "relationships",
            f"the {_NAMES[api]} API takes one a call; write a mapping for each, or api: {_OTHER[api]}",
        )
    for place, tie in enumerate(mapping.relationships):
        if shape.ties is not None and tie.kind == "person" and not {"id", "anonymous_id"} & tie.to.keys():
            yield f"relationships[{place}].person", f"the {_NAMES[api]} API knows people by id"


_NAMES: dict[Api, str] = {"track": "Track", "pipelines": "Pipelines"}
_OTHER: dict[Api, Api] = {"track": "pipelines", "pipelines": "track"}


# ---------------------------------------------------------------- the tree


def tree(mapping: Rules, api: Api, verbatim: frozenset[str]) -> Node:
    """The item that a mapping makes for an API, as a tree of columns; `verbatim` are columns of JSON text."""
    shape, parts = shape_of(mapping, api), _Parts(mapping, api, verbatim)
    if shape.whole is not None:
        return parts.of(shape.whole) or Fixed(None)
    members: dict[str, Node] = {name: Fixed(value) for name, value in shape.head.items()}
    for path, part in shape.members.items():
        if (node := parts.of(part)) is not None:
            _put(members, path.split("."), node)
    return Members(members)


def _put(members: dict[str, Node], path: list[str], node: Node) -> None:
    first, *rest = path
    if not rest:
        members[first] = node
        return
    inner = members.get(first, Members({}))
    assert isinstance(inner, Members)
    below = dict(inner.of)
    _put(below, rest, node)
    members[first] = replace(inner, of=below)


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts of a mapping, as nodes."""

    mapping: Rules
    api: Api
    verbatim: frozenset[str]

    def of(self, part: str) -> Node | None:
        """The part of this name; None when the mapping has no such part."""
        mapping = self.mapping
        match part.split("."):
            case ["who"]:
                return Members({kind: Leaf(f"identifiers.{kind}") for kind in mapping.identifiers})
            case ["who", "id"]:
                return Leaf(f"identifiers.{next(iter(mapping.identifiers))}")
            case ["who", "user"]:  # Pipelines reference: with an empty userId, the e-mail among the traits says who
                return Fixed("") if "email" in mapping.identifiers else self.of("who.id")
            case ["event"]:
                return Leaf("event")
            case ["ulid"]:
                return Leaf(ULID)
            case ["message_id"]:
                return Leaf(MESSAGE_ID)
            case ["timestamp"]:
                return None if mapping.timestamp is None else Leaf("timestamp")
            case ["iso"]:
                return None if mapping.timestamp is None else Leaf(ISO)
            case ["attributes"]:
                return self._attributes()
            case ["relationships"]:
                return self._relationships()
            case ["device"]:
                return self._device()
            case ["device", name]:
                return self._leaf(f"device.{name}")
            case ["primary" | "secondary"]:
                return Members({kind: Leaf(f"{part}.{kind}") for kind in getattr(mapping, part)})
            case ["object"]:
                return Members({_OBJECT_KEYS[name]: Leaf(f"object.{name}") for name in mapping.object})
            case ["object", "type"]:
                return Leaf("object.type", verbatim=True)  # digits: there it is a number
            case ["object", name]:
                return Leaf(f"object.{name}")
            case ["tie", "person"]:
                return self._person_of_tie()
            case [
                "nobody"
            ]:  # a call about an object alone must be somebody's all the same: a visitor's of its own name
                return None if mapping.relationships else Leaf("object.id")
            case ["tie", "attributes"]:
                return (
                    self._tie_attributes(0) if mapping.relationships and mapping.relationships[0].attributes else None
                )
            case ["tie", "object", "type"]:
                return self._leaf("relationships[0].object.type", number=True)
            case ["tie", "object", name]:
                return self._leaf(f"relationships[0].object.{name}")
        raise AssertionError(part)

    def _leaf(self, target: str, number: bool = False) -> Node | None:
        value = self.mapping.values().get(target)
        if isinstance(value, Constant):
            return Fixed(int(value.value) if number else value.value)
        return None if value is None else Leaf(target, verbatim=number or target in self.verbatim)

    def _all(self, prefix: str, values: Mapping[str, Value]) -> dict[str, Node]:
        nodes = {name: self._leaf(f"{prefix}.{name}") for name in values}
        fixed = {name: node for name, node in nodes.items() if isinstance(node, Fixed)}
        return fixed | {name: node for name, node in nodes.items() if node is not None and name not in fixed}

    def _attributes(self) -> Node:
        mapping = self.mapping
        members = self._all("attributes", mapping.attributes)
        if mapping.existing_only:
            members["_update"] = Fixed(True)
        for topic in mapping.topics:
            members[f"{TOPIC}{topic}"] = self._leaf(f"topics.{topic}") or Fixed(None)
        if self.api == "pipelines" and mapping.operation == "identify" and "email" in mapping.identifiers:
            members["email"] = Leaf("identifiers.email")
        return Members(members, mapping.nulls)

    def _relationships(self) -> Node | None:
        if not self.mapping.relationships:
            return None
        return Entries(tuple(self._relationship(place) for place in range(len(self.mapping.relationships))))

    def _relationship(self, place: int) -> Node:
        tie = self.mapping.relationships[place]
        names = _OBJECT_KEYS if tie.kind == "object" else {}
        to = {
            names.get(name, name): self._leaf(f"relationships[{place}].{tie.kind}.{name}") or Fixed(None)
            for name in tie.to
        }
        members: dict[str, Node] = {"identifiers": Members(to)}
        if tie.attributes:
            members["relationship_attributes"] = self._tie_attributes(place)
        return Members(members)

    def _tie_attributes(self, place: int) -> Node:
        tie = self.mapping.relationships[place]
        return Members(self._all(f"relationships[{place}].attributes", tie.attributes), self.mapping.nulls)

    def _person_of_tie(self) -> Node | None:
        """Whose call it is: the person's, or visitor's, whom the tie leads to."""
        kinds = self.mapping.relationships[0].to if self.mapping.relationships else ()
        return next((self._leaf(f"relationships[0].person.{kind}") for kind in kinds), None)

    def _device(self) -> Node | None:
        device = self.mapping.device
        if device is None:
            return None
        parts = {name: self._leaf(f"device.{name}") for name in ("token", "platform", "last_used")}
        members = {name: node for name, node in parts.items() if node is not None}
        if device.attributes:
            members["attributes"] = Members(self._all("device.attributes", device.attributes), "omit")
        return Members(members, "omit")


_OBJECT_KEYS = {"type": "object_type_id", "id": "object_id", "cio_object_id": "cio_object_id"}


def endpoint_of(mapping: Rules, api: Api) -> Endpoint:
    """Where the mapping's items go."""
    return shape_of(mapping, api).endpoint


def is_repeatable(mapping: Rules) -> bool:
    """Whether an item may be sent again when nobody knows whether it was taken."""
    return OPERATIONS[mapping.operation].repeatable or mapping.retry_unknown
