"""Counts of operations, and the activity log of requests answered with 200 that had no effect."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final

_KEPT: Final = 10_000  # the latest; how many there were is in the counts


@dataclass(frozen=True, slots=True)
class Activity:
    """One thing that did not happen. `type` is a word of the App API where it has one for it."""

    id: str
    type: str  # failed_attribute_change | skipped_update | failed_event | …
    about: str  # who or what: `id 42`, `object 1/acme`, `message m-7`
    reason: str
    at: float  # Unix seconds
    cio_id: str | None = None  # of the person, when there is one


class ActivityLog:
    """The activities in order, the latest last; and what was counted, done or not done (see `People`)."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._kept: deque[Activity] = deque(maxlen=_KEPT)
        self._numbers = count(1)

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Activity]:
        return iter(self._kept)

    def __reversed__(self) -> Iterator[Activity]:
        return reversed(self._kept)

    def of_type(self, kind: str) -> list[Activity]:
        return [each for each in self._kept if each.type == kind]

    def drop(self, counted: str, kind: str, about: str, reason: str, at: float, cio_id: str | None = None) -> None:
        """Something was answered with 200 and has no effect: count it, and note why."""
        self.counts[counted] += 1
        self._kept.append(Activity(f"{next(self._numbers):012x}", kind, about, reason, at, cio_id))
