"""Profiles by each of their identifiers, and the suppressed identifiers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from cio_etl.sandbox.activity import ActivityLog

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
    edited_at: float | None = None  # newest of the identifies applied; None: known by other calls only
    event_ids: list[str] = field(default_factory=list)  # in order of arrival
    trace: list[Any] = field(default_factory=list)  # the traced attribute of each identify applied, in order
    devices: dict[str, Device] = field(default_factory=dict)  # by token
    relationships: dict[str, dict[str, Any]] = field(default_factory=dict)  # attributes by cio_object_id; see Objects

    @property
    def identifiers(self) -> dict[str, str | None]:
        return {"cio_id": self.cio_id, "id": self.id, "email": self.email}

    @property
    def name(self) -> str:
        """What the activity log calls them: `id 42`."""
        for kind in ("id", "email", "phone"):
            if held := getattr(self, kind):
                return f"{kind} {held}"
        return f"cio_id {self.cio_id}"


class Identities:
    """Finds people by what they are called.

    `suppressed` has what nobody may be called: kind and value, and with each the group it is freed with.
    """

    def __init__(self, log: ActivityLog) -> None:
        self._log = log
        self.by_cio_id: dict[str, Person] = {}  # the oldest first
        self.suppressed: dict[tuple[str, str], frozenset[tuple[str, str]]] = {}
        self._by: dict[str, dict[str, Person]] = {"id": {}, "email": {}, "phone": {}, "cio_id": self.by_cio_id}
        self._made = 0

    def find(self, kind: str, value: str) -> Person | None:
        return self._by[kind].get(value.casefold() if kind == "email" else value)

    def make(self, kind: str, value: str) -> Person:
        self._made += 1
        person = Person(cio_id=f"{self._made:012x}")
        setattr(person, kind, value)
        self.by_cio_id[person.cio_id] = self._by[kind][_key(kind, value)] = person
        return person

    def met(self, by: str, kind: str, value: str, now: float) -> Person | None:
        """The person, made if need be by their events, devices or relationships.

        Nobody is made of a cio_id, or of a suppressed identifier. That calls which name an id can make a person is
        documented; that a device or a relationship does is not.
        """
        if person := self.find(kind, value):
            return person
        if kind == "cio_id":
            about, reason = f"{kind} {value}", "there is no such person"
            self._log.drop(f"{by}_of_nobody", f"failed_{by.removesuffix('s')}", about, reason, now)
            return None
        if self.ignores(kind, value, now):
            return None
        self._log.counts[f"people_made_by_{by}"] += 1
        return self.make(kind, value)

    def call(self, person: Person, kind: str, value: str) -> None:
        """Let the person be found by this identifier, and no longer by the one they had of this kind."""
        held = getattr(person, kind)
        if held is not None:
            del self._by[kind][_key(kind, held)]
        setattr(person, kind, value)
        self._by[kind][_key(kind, value)] = person

    def forget(self, person: Person) -> None:
        """Let the person be found by nothing."""
        for kind in KINDS:
            if (held := getattr(person, kind)) is not None:
                del self._by[kind][_key(kind, held)]

    # ---------------------------------------------------------------- suppression

    def is_suppressed(self, kind: str, value: str) -> bool:
        return bool(self.suppressed) and (kind, _key(kind, value)) in self.suppressed

    def ignores(self, kind: str, value: str, now: float) -> bool:
        """May nobody be called this? Then the call is dropped."""
        if not self.is_suppressed(kind, value):
            return False
        about, reason = f"{kind} {value}", "the identifier is suppressed"
        self._log.drop("suppressed_calls", "ignored_suppressed", about, reason, now)
        return True

    def suppress(self, kind: str, value: str, person: Person | None) -> None:
        """This identifier, and all that the person has: they are freed together."""
        names = {kind: value}
        if person is not None:
            names = {each: held for each in KINDS if (held := getattr(person, each)) is not None}
        group = frozenset((each, _key(each, name)) for each, name in names.items())
        self.suppressed |= dict.fromkeys(group, group)

    def unsuppress(self, kind: str, value: str) -> None:
        for each in self.suppressed.get((kind, _key(kind, value)), ()):
            self.suppressed.pop(each, None)


def identifier_of(identifiers: Mapping[str, Any]) -> tuple[str, str]:
    """Kind and value of the one identifier; a number is its text."""
    ((kind, value),) = identifiers.items()
    return kind, value if isinstance(value, str) else str(value)


def _key(kind: str, value: str) -> str:
    """What an identifier is found by: e-mail addresses have no case, ids do."""
    return value.casefold() if kind == "email" else value
