"""The operations: what a mapping can ask Customer.io to do. A new operation is a row of this table.

The item that an API takes for an operation is a row of the API's payloads.py.
"""

from __future__ import annotations

from cio_etl.model.records import dataclass

# Names to which Customer.io gives a meaning (reserved attributes; Track v2 reference). An attribute with such a name
# changes who gets mail, or is dropped silently, so a mapping must list it in allow_reserved.
RESERVED_OF_PEOPLE = frozenset(
    {"cio_id", "anonymous_id", "cio_subscription_preferences", "_update", "_timestamp", "_created_in_customerio_at"}
)
RESERVED_OF_EVENTS = frozenset({"recipient", "from_address", "reply_to"})
RESERVED_OF_OBJECTS = frozenset({"cio_object_id", "object_id", "objectId", "object_type_id", "relationship"})

# Event names that Customer.io's Pipelines API acts on instead of recording them; refused for both APIs, so that a
# mapping means the same wherever it is sent.
SEMANTIC_EVENTS = frozenset(
    {
        "User Deleted",
        "User Suppressed",
        "User Unsuppressed",
        "Device Created or Updated",
        "Device Deleted",
        "Relationship Deleted",
        "Object Deleted",
        "Report Delivery Event",
        "Report Content Event",
    }
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table: the parts that its mapping has, and the limits that Customer.io sets for it.

    Parts are keys of a mapping file. `relationships` names the other end of its relationships.
    """

    does: str  # for people
    needs: tuple[str, ...]
    may: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ("id", "email", "phone", "cio_id")  # of its identifiers
    relationships: tuple[str, ...] = ()  # to `object`; or to `person`, followed by the kinds of its identifiers
    reserved: frozenset[str] = frozenset()
    max_attributes: int | None = None
    max_value_bytes: int | None = None  # of one attribute's value
    repeatable: bool = True  # doing it twice has the effect of doing it once; if not, it is not retried
    inverse: str | None = None  # the operation that undoes it, if there is one that takes away just what it gave

    @property
    def subject(self) -> str:
        """What an operation changes: events, objects, devices, segments or people."""
        return next((f"{part}s" for part in ("event", "object", "device", "segment") if part in self.needs), "people")

    @property
    def nouns(self) -> tuple[str, str]:
        """What one item is about, and what several are: `person`, `people`."""
        if "relationships" in self.needs and not self.allows("attributes"):
            return "relationship", "relationships"
        nouns = {"event": "event", "object": "object", "device": "device", "segment": "membership"}
        noun = next((noun for part, noun in nouns.items() if part in self.needs), None)
        return ("person", "people") if noun is None else (noun, f"{noun}s")

    @property
    def has_event(self) -> bool:
        """It has a name, a time, and an id by which Customer.io recognises a repetition."""
        return "event" in self.needs

    def allows(self, part: str) -> bool:
        """Whether a mapping of this operation may have that key."""
        return part in self.needs or part in self.may


# Keys that only some operations have; all operations have every other key of a mapping.
PARTS = (
    "identifiers",
    "event",
    "event_key",
    "event_id",
    "visitor_events",
    "order_by",
    "timestamp",
    "attributes",
    "existing_only",
    "topics",
    "object",
    "relationships",
    "device",
    "primary",
    "secondary",
    "segment",
    "retry_unknown",
)

_EVENT = ("identifiers", "event"), ("event_key", "event_id", "visitor_events", "timestamp", "attributes")
_ANYBODY = ("id", "email", "phone", "cio_id", "anonymous_id")
_WHO = ("id", "email", "cio_id")
_TO_OBJECT = ("object",)

# 300 attributes a call, 1,000 B a value: documented for people and objects; events are limited by an item's 32,000 B
OPERATIONS: dict[str, Operation] = {
    "identify": Operation(
        "create or change a person",
        ("identifiers",),
        ("order_by", "timestamp", "attributes", "existing_only", "topics", "relationships"),
        relationships=_TO_OBJECT,
        reserved=RESERVED_OF_PEOPLE,
        max_attributes=300,
        max_value_bytes=1_000,
    ),
    "track": Operation("record an event of a person", *_EVENT, kinds=_ANYBODY, reserved=RESERVED_OF_EVENTS),
    "page": Operation(
        "record a page view; `event` is the page's name", *_EVENT, kinds=_ANYBODY, reserved=RESERVED_OF_EVENTS
    ),
    "screen": Operation(
        "record a view of an app's screen; `event` is its name", *_EVENT, kinds=_ANYBODY, reserved=RESERVED_OF_EVENTS
    ),
    "delete": Operation("delete a person", ("identifiers",), ("retry_unknown",), repeatable=False),
    "suppress": Operation(
        "delete a person, and ignore their data from then on", ("identifiers",), inverse="unsuppress"
    ),
    "unsuppress": Operation("accept the data of a suppressed person again", ("identifiers",)),
    "merge": Operation(
        "merge two people: the secondary one is deleted",
        ("primary", "secondary"),
        ("retry_unknown",),
        _WHO,
        repeatable=False,
    ),
    "add_device": Operation(
        "add or change a device of a person", ("identifiers", "device"), max_value_bytes=1_000, inverse="delete_device"
    ),
    "delete_device": Operation("delete a device of a person", ("identifiers", "device")),
    "add_relationships": Operation(
        "relate a person to objects",
        ("identifiers", "relationships"),
        relationships=_TO_OBJECT,
        max_value_bytes=1_000,
        inverse="delete_relationships",
    ),
    "delete_relationships": Operation(
        "end relationships of a person to objects", ("identifiers", "relationships"), relationships=_TO_OBJECT
    ),
    "identify_object": Operation(
        "create or change an object",
        ("object",),
        ("order_by", "attributes", "relationships"),
        relationships=("person", *_WHO),
        reserved=RESERVED_OF_OBJECTS,
        max_attributes=300,
        max_value_bytes=1_000,
        inverse="delete_object",
    ),
    "identify_object_anonymous": Operation(
        "create or change an object that an anonymous visitor belongs to",
        ("object", "relationships"),
        ("attributes",),
        relationships=("person", "anonymous_id"),
        reserved=RESERVED_OF_OBJECTS,
        max_attributes=300,
        max_value_bytes=1_000,
        inverse="delete_object",
    ),
    "delete_object": Operation("delete an object", ("object",), ("retry_unknown",), repeatable=False),
    "add_object_relationships": Operation(
        "relate an object to people",
        ("object", "relationships"),
        relationships=("person", *_WHO),
        max_value_bytes=1_000,
        inverse="delete_object_relationships",
    ),
    "delete_object_relationships": Operation(
        "end relationships of an object to people", ("object", "relationships"), relationships=("person", *_WHO)
    ),
    "add_to_segment": Operation(
        "add people to a manual segment", ("identifiers", "segment"), kinds=_WHO, inverse="remove_from_segment"
    ),
    "remove_from_segment": Operation("remove people from a manual segment", ("identifiers", "segment"), kinds=_WHO),
}
