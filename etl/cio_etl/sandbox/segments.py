"""Manual segments and their members."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from cio_etl.sandbox.activity import ActivityLog
from cio_etl.sandbox.identities import Identities
from cio_etl.sandbox.person import IdentifierKind, Person


@dataclass(slots=True)
class Segment:
    """A manual segment. `members` are cio_ids in the order in which they were added."""

    id: int
    name: str
    description: str
    created_at: float  # Unix seconds
    members: dict[str, None] = field(default_factory=dict)


class Segments:
    """The manual segments of a workspace. People can be added only to one that exists."""

    def __init__(self, log: ActivityLog, identities: Identities, ids: Iterable[int], now: float) -> None:
        self._log = log
        self._identities = identities
        self.by_id = {number: Segment(number, f"segment {number}", "", now) for number in ids}

    def __contains__(self, segment_id: object) -> bool:
        return segment_id in self.by_id

    def __iter__(self) -> Iterator[Segment]:
        """The segments by number."""
        return iter([segment for _, segment in sorted(self.by_id.items())])

    def create(self, name: str, description: str, now: float) -> Segment:
        """A new, empty segment with the next free number."""
        number = max(self.by_id, default=0) + 1
        segment = self.by_id[number] = Segment(number, name, description, now)
        return segment

    def of(self, person: Person) -> list[Segment]:
        """The segments that a person belongs to."""
        return [segment for segment in self if person.cio_id in segment.members]

    def members(self, segment_id: int) -> list[Person]:
        """The people of a segment, in the order in which they were added."""
        segment = self.by_id.get(segment_id)
        return [self._identities.by_cio_id[cio_id] for cio_id in list(segment.members)] if segment else []

    def add(self, segment_id: int, kind: IdentifierKind, ids: Sequence[Any], now: float) -> None:
        """Add the people whom `ids` identify. An id of nobody is ignored."""
        members = self.by_id[segment_id].members
        for person in self._people(segment_id, kind, ids, now):
            self._log.counts["segment_additions"] += person.cio_id not in members
            members[person.cio_id] = None

    def remove(self, segment_id: int, kind: IdentifierKind, ids: Sequence[Any], now: float) -> None:
        """Remove the people whom `ids` identify. An id of nobody is ignored."""
        members = self.by_id[segment_id].members
        for person in self._people(segment_id, kind, ids, now):
            self._log.counts["segment_removals"] += person.cio_id in members
            members.pop(person.cio_id, None)

    def forget(self, person: Person) -> None:
        """Remove a person from all segments."""
        for segment in self.by_id.values():
            segment.members.pop(person.cio_id, None)

    def _people(self, segment_id: int, kind: IdentifierKind, ids: Sequence[Any], now: float) -> list[Person]:
        people = []
        for value in ids:
            is_identifier = isinstance(value, str | int) and not isinstance(value, bool)
            if is_identifier and (person := self._identities.find(kind, str(value))):
                people.append(person)
            else:
                about, reason = f"{kind} {value}", f"segment {segment_id}: no person has this identifier"
                self._log.drop("segment_ids_ignored", "ignored_segment_id", about, reason, now)
        return people
