"""What a mapping says: values, relationships, devices, examples."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from typing import Any, Literal

IdentifierKind = Literal["id", "email", "phone", "cio_id", "anonymous_id"]


@dataclass(frozen=True, slots=True)
class Call:
    """One function of an `apply` list, with its arguments: `{divide: 100}` is Call("divide", {"by": 100})."""

    name: str
    arguments: MappingOf[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Column:
    """A value taken from a column of the row, through functions."""

    name: str
    apply: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class Constant:
    """The same value for every row: anything JSON can hold."""

    value: Any


@dataclass(frozen=True, slots=True)
class Columns:
    """A value made of several columns of the row, in this order, by the first of its functions."""

    names: tuple[str, ...]
    apply: tuple[Call, ...]


Value = Column | Columns | Constant


@dataclass(frozen=True, slots=True)
class Relationship:
    """What a person or an object is tied to, and attributes of the tie.

    `to` says an object by `type` and `id`, or by `cio_object_id`; a person by one identifier.
    """

    kind: Literal["object", "person"]
    to: MappingOf[str, Value]
    attributes: MappingOf[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Device:
    """A device of a person; of one that is to be deleted only the token is known."""

    token: Value
    platform: Value | None = None
    last_used: Value | None = None
    attributes: MappingOf[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Example:
    """A row and what the mapping must make of it: payloads, or a reject with this reason, or `skipped`."""

    row: MappingOf[str, Any]
    payloads: MappingOf[str, Any] = field(default_factory=dict)  # what each API is sent, by the API's name
    rejected: str | None = None
    skipped: bool = False
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Mapping:
    """How a row becomes a call. `digest` is SHA-256 over what it means; comments, key order and examples aren't.

    Which of the parts are there depends on the operation: apis/operations.py.
    """

    file: str
    operation: str  # a row of the table in apis/operations.py: identify, track, …
    identifiers: MappingOf[IdentifierKind, Value]  # one, or none where the operation is about an object or two people
    attributes: MappingOf[str, Value]
    digest: str
    event: Value | None = None
    timestamp: Value | None = None
    event_key: tuple[str, ...] = ()
    order_by: tuple[str, ...] = ()  # columns; of a person's rows the last by them is sent, the others are skipped
    nulls: Literal["omit", "clear"] = "omit"
    when: str | None = None  # SQL expression over the row's columns
    allow_reserved: tuple[str, ...] = ()  # reserved names that this mapping sends on purpose
    examples: tuple[Example, ...] = ()
    object: MappingOf[str, Value] = field(default_factory=dict)  # `type` and `id`, or `cio_object_id`
    relationships: tuple[Relationship, ...] = ()
    device: Device | None = None
    topics: MappingOf[str, Value] = field(default_factory=dict)  # of the subscription centre, by their numbers
    primary: MappingOf[IdentifierKind, Value] = field(default_factory=dict)  # of a merge: who stays
    secondary: MappingOf[IdentifierKind, Value] = field(default_factory=dict)  # of a merge: who goes
    segment: int | None = None
    existing_only: bool = False
    retry_unknown: bool = False  # send again what may have been done, though it cannot be undone

    def values(self) -> dict[str, Value]:
        """Every value of the mapping by its target, a dotted path: `attributes.plan`, `relationships[0].object.id`."""
        made: dict[str, Value] = {f"identifiers.{kind}": value for kind, value in self.identifiers.items()}
        made |= {name: value for name in ("event", "timestamp") if (value := getattr(self, name)) is not None}
        for part in ("object", "primary", "secondary"):
            made |= {f"{part}.{name}": value for name, value in getattr(self, part).items()}
        if self.device is not None:
            parts = {"token": self.device.token, "platform": self.device.platform, "last_used": self.device.last_used}
            made |= {f"device.{name}": value for name, value in parts.items() if value is not None}
            made |= {f"device.attributes.{name}": value for name, value in self.device.attributes.items()}
        for place, tie in enumerate(self.relationships):
            made |= {f"relationships[{place}].{tie.kind}.{name}": value for name, value in tie.to.items()}
            made |= {f"relationships[{place}].attributes.{name}": value for name, value in tie.attributes.items()}
        made |= {f"topics.{topic}": value for topic, value in self.topics.items()}
        return made | {f"attributes.{name}": value for name, value in self.attributes.items()}
