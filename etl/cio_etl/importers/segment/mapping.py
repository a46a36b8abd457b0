"""Makes a mapping of the fields of an action of Segment: identifiers, event, attributes, object, relationship."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from cio_etl.importers.definitions import Node
from cio_etl.importers.lost import Lost
from cio_etl.importers.segment.rows import ALL, Rows
from cio_etl.importers.segment.values import ValueReader
from cio_etl.importers.values import Value, timestamp_of

_NOT_TRAITS = (
    *("id", "received_at", "sent_at", "original_timestamp", "timestamp", "user_id", "anonymous_id", "group_id"),
    *("event", "event_text", "context_*", "uuid*"),
)


@dataclass(frozen=True, slots=True)
class Action:
    """An action of the destination: the operation, the type of call that triggers it, and its fields by their part."""

    operation: str
    call: str
    person: str = "id"
    name: str | None = None
    attributes: str | None = None


ACTIONS = {
    "createUpdatePerson": Action("identify", "identify", attributes="custom_attributes"),
    "trackEvent": Action("track", "track", name="name", attributes="data"),
    "trackPageView": Action("page", "page", name="url", attributes="data"),
    "trackScreenView": Action("screen", "screen", name="name", attributes="data"),
    "createUpdateObject": Action("identify_object", "group", person="user_id", attributes="custom_attributes"),
    "deletePerson": Action("delete", "track", person="person_id"),
    "suppressPerson": Action("suppress", "track", person="person_id"),
    "unsuppressPerson": Action("unsuppress", "track", person="person_id"),
}
_EVENTS = ("track", "page", "screen")


def mapping_of(settings: Node, action: Action, rows: Rows, lost: list[Lost]) -> dict[str, Any] | Lost:
    """The mapping of an action, or why there is none."""
    made = _Maker(settings, action, ValueReader(rows, lost))
    return made.object_mapping() if action.operation == "identify_object" else made.mapping()


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes one mapping."""

    settings: Node
    action: Action
    read: ValueReader

    def mapping(self) -> dict[str, Any] | Lost:
        """The mapping of a person or an event."""
        read, settings, action = self.read, self.settings, self.action
        person = self.person()
        mapping: dict[str, Any] = {"operation": action.operation}
        if not person:
            why = "no column of the rows is the person's id, email or anonymous id"
            return settings.lost("the mapping", why, "write it by hand")
        mapping["identifiers"] = person[0] if len(person) == 1 else {"first": person}
        if action.operation in _EVENTS:
            if any("anonymous_id" in each for each in person):
                mapping["visitor_events"] = "batch"
            name = read.value(settings[action.name or "name"])
            mapping["event"] = name if name not in (None, ALL) else {"value": action.operation}
            if name in (None, ALL):
                why = "the field is empty or cannot be read"
                read.lost.append(Lost(settings.place, "the name of the event", why, "write it under `event`"))
            if (own := read.column(settings["event_id"])) is not None:
                mapping["event_id"] = own
            elif not read.rows.model:
                mapping["event_id"] = "id"
        if action.attributes is None:
            return mapping
        if (time := read.column(settings["timestamp"])) is not None:
            mapping["timestamp"] = timestamp_of(time)
        mapping["attributes"] = self.attributes(settings[action.attributes])
        if action.operation == "identify":
            for key in ("created_at", "email"):
                value = read.value(settings[key])
                if value not in (None, ALL) and person != [{key: value}]:
                    first = {key: timestamp_of(value) if key == "created_at" else value}
                    mapping["attributes"] = first | mapping["attributes"]
            if isinstance(visitor := read.value(settings["anonymous_id"]), str) and visitor != ALL:
                mapping["attributes"] = {**mapping["attributes"], "anonymous_id": visitor}
                mapping["allow_reserved"] = ["anonymous_id"]
            self.relationship(mapping)
        self.no_convert()
        return mapping

    def person(self) -> list[dict[str, Value]]:
        """The identifiers in their order, as Segment chooses: the id, an address, and for events the anonymous id."""
        columns = self.read.choices(self.settings[self.action.person])
        email = None if self.action.operation == "identify_object" else self.read.peek(self.settings["email"])
        if isinstance(email, str):
            columns.append(email)
        found: dict[str, Value] = {}
        for column in columns:
            found.setdefault("email" if re.search(r"(^|[_.])email$", column) else "id", column)
        if columns:
            why = "Segment looks at each id: one that is an address is an email, one that begins with cio_ a cio_id"
            by_hand = "here the kind is written; change it if your ids are addresses"
            self.read.lost.append(Lost(self.settings[self.action.person].place, "the kind of identifier", why, by_hand))
        visitor = self.read.peek(self.settings["anonymous_id"])
        if self.action.operation in _EVENTS and isinstance(visitor, str):
            found["anonymous_id"] = visitor
            self.settings["anonymous_id"].take()
        elif visitor is not None and self.action.operation != "identify":
            why = "the anonymous id ties what a visitor did before to the person"
            by_hand = "send it with the person: the attribute anonymous_id, and allow_reserved: [anonymous_id]"
            self.read.lost.append(self.settings["anonymous_id"].lost("anonymous_id", why, by_hand))
        return [{kind: column} for kind, column in found.items()]

    def attributes(self, node: Node) -> dict[str, Value]:
        """The attributes: all traits or properties, or an object of fields."""
        if isinstance(node.value, dict) and not any(key.startswith("@") for key in node.value):
            found = {each.key: self.read.value(each) for each in node.items()}
            return {key: value for key, value in found.items() if value not in (None, ALL)}
        if self.read.rows.table == "tracks" and node.value == {"@path": "$.properties"}:
            why = "the table tracks has no properties; each event has a table of its own, as order_completed"
            self.read.lost.append(node.lost(node.key, why, "write a step for each event, with its table"))
            return {}
        value = self.read.value(node)
        if value == ALL:
            return {ALL: {} if self.read.rows.model else {"except": list(_NOT_TRAITS)}}
        if value is not None:
            why = "one value where an object is read"
            self.read.lost.append(Lost(node.place, node.key, why, "write the attributes one by one"))
        return {}

    def object_mapping(self) -> dict[str, Any] | Lost:
        """The mapping of an object, with its person."""
        person = self.person()
        mapping: dict[str, Any] = {"operation": self.action.operation}
        identifier = self.read.value(self.settings["id"])
        if not isinstance(identifier, str) or identifier == ALL:
            return self.settings.lost("the mapping", "no column is the object's id", "write it by hand")
        mapping["object"] = {"type": self.object_type(), "id": identifier}
        mapping["attributes"] = self.attributes(self.settings["custom_attributes"])
        if (created := self.read.value(self.settings["created_at"])) not in (None, ALL):
            mapping["attributes"] = {"created_at": timestamp_of(created)} | mapping["attributes"]
        if person:
            mapping["relationships"] = [{"person": person[0]}]
        self.no_convert()
        return mapping

    def object_type(self) -> Value:
        """The type of object: a constant, else 1, which Segment takes when the rows say nothing."""
        node = self.settings["object_type_id"]
        value = self.read.peek(node)
        if isinstance(value, dict) and "value" in value:
            return int(node.take()) if str(node.value).isdigit() else 1
        if node.value is not None:
            why = "the type of the object is read from a field there; here it is 1, which Segment takes without one"
            self.read.lost.append(node.lost("object_type_id", why, "write the number of the type under `object`"))
        return 1

    def relationship(self, mapping: dict[str, Any]) -> None:
        """The relationship of a person to an object, unless it is the default of every mapping."""
        node = self.settings["group_id"]
        if node.value is None:
            self.settings["object_type_id"].take()
            return
        if node.value == {"@path": "$.traits.objectId"}:
            why = "it is Segment's default: a relationship, for calls that have the trait objectId"
            by_hand = "if yours have, write relationships: [{object: {type: 1, id: object_id}}]"
            self.read.lost.append(node.lost("group_id", why, by_hand))
            for key in ("object_type_id", "relationship_attributes"):
                self.settings[key].take()
            return
        if isinstance(column := self.read.value(node), str) and column != ALL:
            mapping["relationships"] = [{"object": {"type": self.object_type(), "id": column}}]

    def no_convert(self) -> None:
        if self.settings["convert_timestamp"].take() is False:
            why = "dates of typed columns are sent as Unix seconds"
            place = self.settings["convert_timestamp"].place
            self.read.lost.append(Lost(place, "convert_timestamp: false", why, "cast them to text in the query"))
