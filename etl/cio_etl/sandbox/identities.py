"""Profiles by each of their identifiers, and the suppressed identifiers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cio_etl.sandbox.activity import ActivityLog
from cio_etl.sandbox.person import KINDS, Person


class Identities:
    """Finds people by their identifiers.

    `suppressed` has the identifiers that no person may have: kind and value, and with each the group with which it is
    unsuppressed.
    """

    def __init__(self, log: ActivityLog) -> None:
        self._log = log
        self.by_cio_id: dict[str, Person] = {}  # the oldest first
        self.suppressed: dict[tuple[str, str], frozenset[tuple[str, str]]] = {}
        self._by: dict[str, dict[str, Person]] = {"id": {}, "email": {}, "phone": {}, "cio_id": self.by_cio_id}
        self._number = 0  # of people that were ever created

    def find(self, kind: str, value: str) -> Person | None:
        return self._by[kind].get(value.casefold() if kind == "email" else value)

    def create(self, kind: str, value: str, now: float) -> Person:
        self._number += 1
        person = Person(cio_id=f"{self._number:012x}")
        person.identified_at = {"cio_id": now, kind: now}
        setattr(person, kind, value)
        self.by_cio_id[person.cio_id] = self._by[kind][_key(kind, value)] = person
        self._log.note("profile_create", person, now, {})
        return person

    def find_or_create(self, by: str, kind: str, value: str, now: float) -> Person | None:
        """The person whom events, devices or relationships name, created if need be.

        No person is created from a cio_id, or from a suppressed identifier. That calls with an id can create a person
        is documented; that a device or a relationship does is not.
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
        return self.create(kind, value, now)

    def set_identifier(self, person: Person, kind: str, value: str, now: float) -> None:
        """Give the person this identifier, in place of the one that they had of this kind."""
        old = getattr(person, kind)
        if old is not None:
            del self._by[kind][_key(kind, old)]
        setattr(person, kind, value)
        person.identified_at[kind] = now
        self._by[kind][_key(kind, value)] = person

    def forget(self, person: Person) -> None:
        """Remove all identifiers of the person, so that no call finds them."""
        for kind in KINDS:
            if (value := getattr(person, kind)) is not None:
                del self._by[kind][_key(kind, value)]

    # ---------------------------------------------------------------- suppression

    def is_suppressed(self, kind: str, value: str) -> bool:
        return bool(self.suppressed) and (kind, _key(kind, value)) in self.suppressed

    def ignores(self, kind: str, value: str, now: float) -> bool:
        """Is the identifier suppressed? Then its call is dropped, and this says so in the log."""
        if not self.is_suppressed(kind, value):
            return False
        about, reason = f"{kind} {value}", "the identifier is suppressed"
        self._log.drop("suppressed_calls", "ignored_suppressed", about, reason, now)
        return True

    def suppress(self, kind: str, value: str, person: Person | None) -> None:
        """Suppress this identifier with all others of the person; they are unsuppressed together."""
        identifiers = {kind: value}
        if person is not None:
            identifiers = {each: text for each in KINDS if (text := getattr(person, each)) is not None}
        group = frozenset((each, _key(each, text)) for each, text in identifiers.items())
        self.suppressed |= dict.fromkeys(group, group)

    def unsuppress(self, kind: str, value: str) -> None:
        for each in self.suppressed.get((kind, _key(kind, value)), ()):
            self.suppressed.pop(each, None)


def identifier_of(identifiers: Mapping[str, Any]) -> tuple[str, str]:
    """Kind and value of the one identifier; a number becomes its text."""
    ((kind, value),) = identifiers.items()
    return kind, value if isinstance(value, str) else str(value)


def _key(kind: str, value: str) -> str:
    """The key of an identifier in the index: case does not matter in e-mail addresses, and matters in ids."""
    return value.casefold() if kind == "email" else value
