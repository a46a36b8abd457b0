"""Builds the tree of the item that a mapping makes of each row, from the payload that an API takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cio_etl.apis import Payload
from cio_etl.model import Constant, Value
from cio_etl.model import Mapping as Rules
from cio_etl.transform.encode import Entries, Fixed, Leaf, Members, Node

# Columns that are made for every row, where a payload has the parts `event_id`, `message_id`, `timestamp_iso`.
ULID, MESSAGE_ID, ISO = "_ulid", "_message_id", "_iso"
TOPIC = "cio_subscription_preferences.topics.topic_"  # one topic; the whole object would replace all of them
_OBJECT_KEYS = {"type": "object_type_id", "id": "object_id", "cio_object_id": "cio_object_id"}


def tree(mapping: Rules, payload: Payload, verbatim: frozenset[str]) -> Node:
    """The item that a mapping makes for a payload, as a tree of columns; `verbatim` are columns of JSON text."""
    parts = _Parts(mapping, payload, verbatim)
    if payload.whole is not None:
        return parts.of(payload.whole) or Fixed(None)
    members: dict[str, Node] = {name: Fixed(value) for name, value in payload.fixed.items()}
    for path, part in payload.members.items():
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
    """The parts of a mapping that a payload can name, as nodes."""

    mapping: Rules
    payload: Payload
    verbatim: frozenset[str]

    def of(self, part: str) -> Node | None:
        """The part of this name; None when the mapping has no such part."""
        mapping = self.mapping
        match part.split("."):
            case ["identifiers"]:
                return Members({kind: Leaf(f"identifiers.{kind}") for kind in mapping.identifiers})
            case ["identifier"]:
                return Leaf(f"identifiers.{next(iter(mapping.identifiers))}")
            case ["user_id"]:  # Pipelines reference: with an empty userId, the e-mail among the traits identifies
                return Fixed("") if "email" in mapping.identifiers else self.of("identifier")
            case ["event"]:
                return Leaf("event")
            case ["event_id"]:
                return Leaf(ULID)
            case ["message_id"]:
                return Leaf(MESSAGE_ID)
            case ["timestamp"]:
                return None if mapping.timestamp is None else Leaf("timestamp")
            case ["timestamp_iso"]:
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
            case ["visitor_named_after_object"]:  # a call about an object alone needs a person or a visitor
                return None if mapping.relationships else Leaf("object.id")
            case ["relationship", "person"]:
                return self._person_of_relationship()
            case ["relationship", "attributes"]:
                has_attributes = mapping.relationships and mapping.relationships[0].attributes
                return self._relationship_attributes(0) if has_attributes else None
            case ["relationship", "object", "type"]:
                return self._leaf("relationships[0].object.type", number=True)
            case ["relationship", "object", name]:
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
        for kind in self.payload.identifiers_in_attributes:
            if kind in mapping.identifiers:
                members[kind] = Leaf(f"identifiers.{kind}")
        return Members(members, mapping.nulls)

    def _relationships(self) -> Node | None:
        if not self.mapping.relationships:
            return None
        return Entries(tuple(self._relationship(place) for place in range(len(self.mapping.relationships))))

    def _relationship(self, place: int) -> Node:
        relationship = self.mapping.relationships[place]
        names = _OBJECT_KEYS if relationship.kind == "object" else {}
        to = {
            names.get(name, name): self._leaf(f"relationships[{place}].{relationship.kind}.{name}") or Fixed(None)
            for name in relationship.to
        }
        members: dict[str, Node] = {"identifiers": Members(to)}
        if relationship.attributes:
            members["relationship_attributes"] = self._relationship_attributes(place)
        return Members(members)

    def _relationship_attributes(self, place: int) -> Node:
        values = self.mapping.relationships[place].attributes
        return Members(self._all(f"relationships[{place}].attributes", values), self.mapping.nulls)

    def _person_of_relationship(self) -> Node | None:
        """The person, or visitor, at the other end of the relationship: the call is theirs."""
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
