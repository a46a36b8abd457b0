"""The records of a person and of their devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

IdentifierKind = Literal["id", "email", "phone", "cio_id"]
KINDS: Final[tuple[IdentifierKind, ...]] = ("id", "email", "phone", "cio_id")


@dataclass(frozen=True, slots=True)
class Device:
    """A device that messages can be pushed to."""

    token: str
    platform: str
    last_used: float
    attributes: Mapping[str, Any]


@dataclass(slots=True)
class Person:
    """A profile as it stands."""

    cio_id: str
    id: str | None = None
    email: str | None = None
    phone: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)  # identifiers are not among them
    set_at: dict[str, float] = field(default_factory=dict)  # Unix seconds of each attribute's last change
    identified_at: dict[str, float] = field(default_factory=dict)  # Unix seconds at which each identifier was set
    edited_at: float | None = None  # newest of the identifies applied; None: created by other calls only
    event_ids: list[str] = field(default_factory=list)  # in order of arrival
    trace: list[Any] = field(default_factory=list)  # the traced attribute of each identify applied, in order
    devices: dict[str, Device] = field(default_factory=dict)  # by token
    relationships: dict[str, dict[str, Any]] = field(default_factory=dict)  # attributes by cio_object_id; see Objects

    @property
    def identifiers(self) -> dict[str, str | None]:
        return {"cio_id": self.cio_id, "id": self.id, "email": self.email}

    @property
    def name(self) -> str:
        """How the activity log refers to the person: `id 42`."""
        for kind in ("id", "email", "phone"):
            if value := getattr(self, kind):
                return f"{kind} {value}"
        return f"cio_id {self.cio_id}"
