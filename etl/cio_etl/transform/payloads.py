"""Builds the tree of the item that a mapping makes of each row, from the payload that an API takes."""

from __future__ import annotations

from dataclasses import replace

from cio_etl.apis import Payload
from cio_etl.model import Constant, Mapping, Nulls
from cio_etl.model.records import dataclass
from cio_etl.transform.encode import Entries, Fixed, Leaf, Members, Node, literal

# Columns that are made for every row, where a payload has the parts `event_id`, `message_id`, `timestamp_iso`,
# `user_id`.
ULID, MESSAGE_ID, ISO, USER = "_ulid", "_message_id", "_iso", "_user"
OWN_ID = "event_id"  # the target of the id that an event has in its source
TOPIC = "cio_subscription_preferences.topics.topic_"  # one topic; the whole object would replace all of them
_OBJECT_KEYS = {"type": "object_type_id", "id": "object_id", "cio_object_id": "cio_object_id"}


def tree(mapping: Mapping, payload: Payload, verbatim: frozenset[str]) -> Node:
    """The item that a mapping makes for a payload, as a tree of columns; `verbatim` are columns of JSON text."""
    parts = _Parts(mapping, payload, verbatim)
    if payload.whole is not None:
        return parts.of(payload.whole) or Fixed(None)
    members: dict[str, Node] = {name: Fixed(value) for name, value in payload.fixed.items()}
    for path, part in payload.members.items():
        if (node := parts.of(part)) is not None:
            _put(members, path.split("."), node)
    optional = {path for path, part in payload.members.items() if part in mapping.alternatives}
    return Members(members, nulls_of=dict.fromkeys(optional, "omit"))


UPDATE = "_update"  # Track v2: true changes a person who exists, and creates nobody


def nodes_of(mapping: Mapping, payload: Payload, verbatim: frozenset[str]) -> dict[str, Node]:
    """Each value of the mapping by its target, and each relationship of a person or object as one node."""
    parts = _Parts(mapping, payload, verbatim)
    nodes: dict[str, Node] = {}
    for target in mapping.targets:
        if (node := parts.leaf(target)) is not None:
            nodes[target] = node
    for end in mapping.relationship_ends():
        nodes[end.rpartition(".")[0]] = parts.relationship(end)
    return nodes


def partial(whole: Node, mapping: Mapping, flag: dict[str, str]) -> Node:
    """The tree of the items that carry only some parts: `flag` names a Boolean column for each part, and for UPDATE."""
    assert isinstance(whole, Members)
    members = dict(whole.of)
    attributes = members.get("attributes", Members({}, mapping.nulls))
    assert isinstance(attributes, Members)
    flags = {name: flag[f"attributes.{name}"] for name in mapping.part("attributes")}
    flags |= {f"{TOPIC}{topic}": flag[f"topics.{topic}"] for topic in mapping.part("topics")}
    below = dict(attributes.of)
    if mapping.operation == "identify" and not mapping.existing_only:
        below[UPDATE], flags[UPDATE] = Fixed(True), flag[UPDATE]
    members["attributes"] = replace(attributes, of=below, sent=flags)
    if isinstance(relationships := members.get("cio_relationships"), Entries):
        ends = mapping.relationship_ends()
        sent = tuple(flag[end.rpartition(".")[0]] for end in ends)
        members["cio_relationships"] = replace(relationships, sent=sent)
    return replace(whole, of=members)


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

    mapping: Mapping
    payload: Payload
    verbatim: frozenset[str]

    def of(self, part: str) -> Node | None:
        """The part of this name; None when the mapping has no such part."""
        mapping = self.mapping
        match part.split("."):
            case ["identifiers" | "primary" | "secondary"]:
                of = {kind: Leaf(f"{part}.{kind}") for kind in mapping.part(part)}
                return Members(of, "required" if len(of) == 1 else "omit")
            case ["identifiers", kind]:
                return self.leaf(f"identifiers.{kind}")
            case ["identifier"]:
                return Leaf(f"identifiers.{next(iter(mapping.part('identifiers')))}")
            case ["user_id"]:  # Pipelines reference: with an empty userId, the e-mail among the traits identifies
                if "identifiers.id" in mapping.alternatives:
                    return Leaf(USER)
                return Fixed("") if "identifiers.email" in mapping.targets else self.of("identifier")
            case ["event"]:
                name = mapping.targets.get("event")
                return Fixed(name.value) if isinstance(name, Constant) else Leaf("event")
            case ["event_id"]:
                return Leaf(ULID, plain=True)
            case ["event_message_id"]:
                return Leaf(OWN_ID) if OWN_ID in mapping.targets else Leaf(ULID, plain=True)
            case ["message_id"]:
                return Leaf(MESSAGE_ID)
            case ["timestamp"]:
                return Leaf("timestamp") if "timestamp" in mapping.targets else None
            case ["timestamp_iso"]:
                return Leaf(ISO) if "timestamp" in mapping.targets else None
            case ["attributes"]:
                return self._attributes()
            case ["relationships"]:
                return self._relationships()
            case ["device"]:
                return self._device()
            case ["device", name]:
                return self.leaf(f"device.{name}")
            case ["object"]:
                return Members({_OBJECT_KEYS[name]: Leaf(f"object.{name}") for name in mapping.part("object")})
            case ["object", "type"]:
                return Leaf("object.type", verbatim=True)  # digits: there it is a number
            case ["object", name]:
                return Leaf(f"object.{name}")
            case ["visitor_named_after_object"]:  # a call about an object alone needs a person or a visitor
                return None if mapping.relationship_ends() else Leaf("object.id")
            case ["relationship", "person"]:
                return self._person_of_relationship()
            case ["relationship", "attributes"]:
                return self._relationship_attributes("relationships[0]")
            case ["relationship", "object", "type"]:
                return self.leaf("relationships[0].object.type", number=True)
            case ["relationship", "object", name]:
                return self.leaf(f"relationships[0].object.{name}")
        raise AssertionError(part)

    def leaf(self, target: str, number: bool = False) -> Node | None:
        value = self.mapping.targets.get(target)
        if isinstance(value, Constant):
            return Fixed(int(value.value) if number else value.value)
        if value is None:
            return None
        instead = self.mapping.on_error.get(target)
        text = None if instead is None else literal(instead.value)
        return Leaf(target, verbatim=number or target in self.verbatim, instead=text)

    def _all(self, path: str) -> dict[str, Node]:
        nodes = {name: self.leaf(f"{path}.{name}") for name in self.mapping.part(path)}
        fixed = {name: node for name, node in nodes.items() if isinstance(node, Fixed)}
        return fixed | {name: node for name, node in nodes.items() if node is not None and name not in fixed}

    def _attributes(self) -> Node:
        mapping = self.mapping
        members, nulls_of = self._all("attributes"), self._nulls_of("attributes")
        if mapping.existing_only:
            members["_update"] = Fixed(True)
        for topic in mapping.part("topics"):
            members[f"{TOPIC}{topic}"] = self.leaf(f"topics.{topic}") or Fixed(None)
        for kind in self.payload.identifiers_in_attributes:
            if f"identifiers.{kind}" in mapping.targets:
                members[kind], nulls_of[kind] = Leaf(f"identifiers.{kind}"), "omit"
        return Members(members, mapping.nulls, nulls_of)

    def _nulls_of(self, path: str) -> dict[str, Nulls]:
        nulls_of, prefix = self.mapping.nulls_of, f"{path}."
        return {target.removeprefix(prefix): nulls for target, nulls in nulls_of.items() if target.startswith(prefix)}

    def _relationships(self) -> Node | None:
        ends = self.mapping.relationship_ends()
        return Entries(tuple(self.relationship(end) for end in ends)) if ends else None

    def relationship(self, end: str) -> Node:
        names = _OBJECT_KEYS if end.endswith(".object") else {}
        to = {names.get(name, name): self.leaf(f"{end}.{name}") or Fixed(None) for name in self.mapping.part(end)}
        members: dict[str, Node] = {"identifiers": Members(to)}
        if (attributes := self._relationship_attributes(end.rpartition(".")[0])) is not None:
            members["relationship_attributes"] = attributes
        return Members(members)

    def _relationship_attributes(self, relationship: str) -> Node | None:
        path = f"{relationship}.attributes"
        members = self._all(path)
        return Members(members, self.mapping.nulls, self._nulls_of(path)) if members else None

    def _person_of_relationship(self) -> Node | None:
        """The person, or visitor, at the other end of the relationship: the call is theirs."""
        persons = (target for target in self.mapping.targets if target.startswith("relationships[0].person."))
        return next((self.leaf(target) for target in persons), None)

    def _device(self) -> Node | None:
        parts = {name: self.leaf(f"device.{name}") for name in ("token", "platform", "last_used")}
        members = {name: node for name, node in parts.items() if node is not None}
        if attributes := self._all("device.attributes"):
            members["attributes"] = Members(attributes, "omit")
        return Members(members, "omit") if members else None
