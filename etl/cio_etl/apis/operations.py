"""Which operations are there, and what must a mapping say for each? One table; a new operation is one row.

How each is said to an API is in shapes.py.
"""

from __future__ import annotations

from dataclasses import dataclass

# Names with a meaning of their own at Customer.io (reserved attributes; Track v2 reference). A column that happens to
# bear one changes who gets mail, or is dropped in silence, so a mapping must say that it means it.
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
    """One row of the table: which parts its mapping has, and which limits of Customer.io hold for it.

    Names of parts are keys of a mapping file. `ties` is what its relationships lead to.
    """

    does: str  # for people
    needs: tuple[str, ...]
    may: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ("id", "email", "phone", "cio_id")  # of its identifiers
    ties: tuple[str, ...] = ()  # object; or person, with the kinds that a person of a tie may have
    reserved: frozenset[str] = frozenset()
    max_attributes: int | None = None
    max_value_bytes: int | None = None  # of one attribute's value
    repeatable: bool = (
        True  # doing it twice is as good as doing it once; if not, a lost answer is not followed by a retry
    )

    @property
    def subject(self) -> str:
        """What an operation changes: events, objects, devices, segments or people."""
        return next((f"{part}s" for part in ("event", "object", "device", "segment") if part in self.needs), "people")

    @property
    def has_event(self) -> bool:
        """It carries a name, a timestamp that says when, and an id by which a repetition is known."""
        return "event" in self.needs

    def allows(self, part: str) -> bool:
        """Whether a mapping of this operation may have that key."""
        return part in self.needs or part in self.may


# Keys that only some operations have; every other key of a mapping goes with all of them.
PARTS = (
    "identifiers",
    "event",
    "event_key",
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

_EVENT = ("identifiers", "event"), ("event_key", "timestamp", "attributes")
_ANYBODY = ("id", "email", "phone", "cio_id", "anonymous_id")
_WHO = ("id", "email", "cio_id")
_TO_OBJECT = ("object",)

# 300 attributes a call, 1,000 B a value: documented for people and objects; events are bound by the 32,000 B of an item
OPERATIONS: dict[str, Operation] = {
    "identify": Operation(
        "make or change a person",
        ("identifiers",),
        ("order_by", "timestamp", "attributes", "existing_only", "topics", "relationships"),
        ties=_TO_OBJECT,
        reserved=RESERVED_OF_PEOPLE,
        max_attributes=300,
        max_value_bytes=1_000,
    ),
    "track": Operation("note an event of a person", *_EVENT, kinds=_ANYBODY, reserved=RESERVED_OF_EVENTS),
    "page": Operation(
        "note a page view; `event` is the page's name", *_EVENT, kinds=_ANYBODY, reserved=RESERVED_OF_EVENTS
    ),
    "screen": Operation(
        "note a view of an app's screen; `event` is its name", *_EVENT, kinds=_ANYBODY, reserved=RESERVED_OF_EVENTS
    ),
    "delete": Operation("delete a person", ("identifiers",), ("retry_unknown",), repeatable=False),
    "suppress": Operation("delete a person, and ignore what comes for them from then on", ("identifiers",)),
    "unsuppress": Operation("take notice of a suppressed person again", ("identifiers",)),
    "merge": Operation(
        "merge two people: the secondary one goes", ("primary", "secondary"), ("retry_unknown",), _WHO, repeatable=False
    ),
    "add_device": Operation("add or change a device of a person", ("identifiers", "device"), max_value_bytes=1_000),
    "delete_device": Operation("take a device from a person", ("identifiers", "device")),
    "add_relationships": Operation(
        "tie a person to objects", ("identifiers", "relationships"), ties=_TO_OBJECT, max_value_bytes=1_000
    ),
    "delete_relationships": Operation("untie a person from objects", ("identifiers", "relationships"), ties=_TO_OBJECT),
    "identify_object": Operation(
        "make or change an object",
        ("object",),
        ("order_by", "attributes", "relationships"),
        ties=("person", *_WHO),
        reserved=RESERVED_OF_OBJECTS,
        max_attributes=300,
        max_value_bytes=1_000,
    ),
    "identify_object_anonymous": Operation(
        "make or change an object that an anonymous visitor belongs to",
        ("object", "relationships"),
        ("attributes",),
        ties=("person", "anonymous_id"),
        reserved=RESERVED_OF_OBJECTS,
        max_attributes=300,
        max_value_bytes=1_000,
    ),
    "delete_object": Operation("delete an object", ("object",), ("retry_unknown",), repeatable=False),
    "add_object_relationships": Operation(
        "tie an object to people", ("object", "relationships"), ties=("person", *_WHO), max_value_bytes=1_000
    ),
    "delete_object_relationships": Operation(
        "untie an object from people", ("object", "relationships"), ties=("person", *_WHO)
    ),
    "add_to_segment": Operation("put people into a manual segment", ("identifiers", "segment"), kinds=_WHO),
    "remove_from_segment": Operation("take people out of a manual segment", ("identifiers", "segment"), kinds=_WHO),
}
