"""Which operations are there, and what does Customer.io ask of each? One table; a new operation is one row."""

from __future__ import annotations

from dataclasses import dataclass

# Names with a meaning of their own at Customer.io (reserved attributes; Track v2 reference). A column that happens to
# bear one changes who gets mail, or is dropped in silence, so a mapping must say that it means it.
RESERVED_OF_PEOPLE = frozenset(
    {"cio_id", "anonymous_id", "cio_subscription_preferences", "_update", "_timestamp", "_created_in_customerio_at"}
)
RESERVED_OF_EVENTS = frozenset({"recipient", "from_address", "reply_to"})

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
    """One row of the table: what goes into the item, and which limits of Track v2 hold for it."""

    type: str
    action: str
    has_event: bool  # carries a name, a timestamp that says when, and an id
    reserved: frozenset[str]
    max_attributes: int | None
    max_value_bytes: int | None  # of one attribute's value

    @property
    def literal(self) -> str:
        """The constant beginning of an item's JSON text, open for more."""
        return f'{{"type":"{self.type}","action":"{self.action}",'


OPERATIONS: dict[str, Operation] = {
    # 300 attributes a call, 1,000 B a value: documented for people; events are bound by the 32,000 B of an item alone
    "identify": Operation("person", "identify", False, RESERVED_OF_PEOPLE, 300, 1_000),
    "track": Operation("person", "event", True, RESERVED_OF_EVENTS, None, None),
}
