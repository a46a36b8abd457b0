"""The activity log: what was changed, what was answered with 200 and had no effect, and counts of both."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, NamedTuple

from cio_etl.sandbox.person import Person

_MAX_ENTRIES: Final = 10_000  # of each kind, the latest; the counts include all


@dataclass(frozen=True, slots=True)
class Activity:
    """One thing that did not happen. `type` is a word of the App API where it has one for it."""

    number: int  # in the order of the whole log, with changes and events
    type: str  # failed_attribute_change | skipped_update | failed_event | …
    about: str  # who or what: `id 42`, `object 1/acme`, `message m-7`
    reason: str
    at: float  # Unix seconds
    cio_id: str | None = None  # of the person, when there is one


class Change(NamedTuple):
    """One thing that happened to a person. `data` is what the App API shows; of attributes, old and new values."""

    number: int
    type: str  # profile_create | attribute_change | profile_delete | profile_merge
    person: Person
    at: float
    data: Mapping[str, Any]


class ActivityLog:
    """The activities without effect in order, the latest last; the latest changes; and the counts (see `People`)."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.dropped = 0  # how many entries without effect there were; the log has the latest
        self.changes: deque[Change] = deque(maxlen=_MAX_ENTRIES)
        self._without_effect: deque[Activity] = deque(maxlen=_MAX_ENTRIES)
        self._numbers = count(1)

    def __len__(self) -> int:
        return len(self._without_effect)

    def __iter__(self) -> Iterator[Activity]:
        return iter(self._without_effect)

    def __reversed__(self) -> Iterator[Activity]:
        return reversed(self._without_effect)

    def of_type(self, kind: str) -> list[Activity]:
        return [each for each in self._without_effect if each.type == kind]

    def next_number(self) -> int:
        """The place of the next entry or event in the log."""
        return next(self._numbers)

    def drop(self, counted: str, kind: str, about: str, reason: str, at: float, cio_id: str | None = None) -> None:
        """Count something that was answered with 200 and has no effect, and note why."""
        self.counts[counted] += 1
        self.dropped += 1
        self._without_effect.append(Activity(self.next_number(), kind, about, reason, at, cio_id))

    def note(self, kind: str, person: Person, at: float, data: Mapping[str, Any]) -> None:
        """Note a change of a person."""
        self.changes.append(Change(self.next_number(), kind, person, at, data))
