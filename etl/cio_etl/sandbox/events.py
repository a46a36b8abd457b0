"""The events of people, repeated events, and events of visitors who are not identified yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cio_etl.sandbox.activity import ActivityLog
from cio_etl.sandbox.identities import Identities, identifier_of
from cio_etl.sandbox.limits import is_timestamp
from cio_etl.sandbox.person import Person

_DAY_S: Final = 86_400
_WAIT_S: Final = 30 * _DAY_S  # an anonymous event can be attached to its person for so long
_LATE_S: Final = 300  # events that arrive so long after the visitor was identified are attached, too
_MERGED_S: Final = 30 * _DAY_S  # the history that a merge carries over


@dataclass(slots=True)
class Event:
    """An event that was recorded. `received` counts its arrivals: repeats of its id are ignored."""

    id: str
    cio_id: str | None  # None: of a visitor who is not identified
    action: str  # event | screen | page
    name: str
    timestamp: float
    attributes: Mapping[str, Any]
    number: int  # its place in the activity log
    received: int = 1
    anonymous_id: str | None = None


class Events:
    """All events by their ids, and the visitors who are not identified yet."""

    def __init__(self, log: ActivityLog, identities: Identities) -> None:
        self.by_id: dict[str, Event] = {}
        self._log = log
        self._identities = identities
        self._waiting: dict[str, list[tuple[Event, float]]] = {}  # anonymous events and their arrival, by visitor
        self._claims: dict[str, tuple[str, float]] = {}  # the person (cio_id) of each identified visitor, and when

    def record(self, item: Mapping[str, Any], now: float, event_id: str | None = None) -> None:
        """Record a person's event. `event_id` is the key by which a repeat is recognised; by default its ULID."""
        if "anonymous_id" in item["identifiers"]:
            self.record_anonymous({**item, "anonymous_id": item["identifiers"]["anonymous_id"]}, now, event_id)
            return
        event_id = event_id or self._id_of(item)
        if event_id in self.by_id:
            self._count_repeat(event_id)
            return
        kind, value = identifier_of(item["identifiers"])
        person = self._identities.find(kind, value) or self._identities.find_or_create("events", kind, value, now)
        if person is None:
            return
        self._log.counts["events"] += 1
        self._add(event_id, item, now, person.cio_id)
        person.event_ids.append(event_id)

    def record_anonymous(self, item: Mapping[str, Any], now: float, event_id: str | None = None) -> None:
        """Record a visitor's event: of their person, if they were identified just now; else it waits for that."""
        event_id = event_id or self._id_of(item)
        if event_id in self.by_id:
            self._count_repeat(event_id)
            return
        self._log.counts["anonymous_events"] += 1
        anonymous_id = item.get("anonymous_id")
        event = self._add(event_id, item, now, None, None if anonymous_id is None else str(anonymous_id))
        if event.anonymous_id is None:  # no visitor, so nobody to identify
            return
        cio_id, since = self._claims.get(event.anonymous_id, ("", 0.0))
        person = self._identities.by_cio_id.get(cio_id)
        if person is not None and now - since <= _LATE_S:
            self._attach(event, person)
        else:
            self._waiting.setdefault(event.anonymous_id, []).append((event, now))

    def _id_of(self, item: Mapping[str, Any]) -> str:
        event_id: str | None = item.get("id")
        return event_id.upper() if event_id else f"unnamed {len(self.by_id)}"

    def _count_repeat(self, event_id: str) -> None:
        self.by_id[event_id].received += 1
        self._log.counts["duplicate_events"] += 1

    def _add(
        self, event_id: str, item: Mapping[str, Any], now: float, cio_id: str | None, anonymous_id: str | None = None
    ) -> Event:
        event = self.by_id[event_id] = Event(
            id=event_id,
            cio_id=cio_id,
            action=item["action"],
            name=item["name"].strip(),
            timestamp=time_of(item, now, self._log),
            attributes=item.get("attributes", {}),
            number=self._log.next_number(),
            anonymous_id=anonymous_id,
        )
        return event

    # ---------------------------------------------------------------- visitors

    def claim(self, anonymous_id: str, person: Person, now: float) -> bool:
        """Attach a visitor's events to this person. False when the visitor was identified as another person."""
        claimed_by, _ = self._claims.get(anonymous_id, (person.cio_id, now))
        if claimed_by != person.cio_id:
            return False
        self._claims[anonymous_id] = (person.cio_id, now)
        for event, arrived_at in self._waiting.pop(anonymous_id, ()):
            if now - arrived_at <= _WAIT_S:
                self._attach(event, person)
        return True

    def claimed_by(self, anonymous_id: str) -> Person | None:
        cio_id, _ = self._claims.get(anonymous_id, ("", 0.0))
        return self._identities.by_cio_id.get(cio_id)

    def _attach(self, event: Event, person: Person) -> None:
        self._log.counts["anonymous_events_attached"] += 1
        event.cio_id = person.cio_id
        person.event_ids.append(event.id)

    def merge(self, secondary: Person, primary: Person, now: float) -> None:
        """Give the primary the last 30 days of the secondary's events, and their visits."""
        for event_id in secondary.event_ids:
            event = self.by_id[event_id]
            if event.timestamp >= now - _MERGED_S:
                event.cio_id = primary.cio_id
                primary.event_ids.append(event_id)
        for anonymous_id, (cio_id, at) in list(self._claims.items()):
            if cio_id == secondary.cio_id:
                self._claims[anonymous_id] = (primary.cio_id, at)


def time_of(item: Mapping[str, Any], now: float, log: ActivityLog) -> float:
    """The item's timestamp in Unix seconds; now, when it has none or one of another form."""
    at = item.get("timestamp")
    if at is None:
        return now
    if is_timestamp(at):
        return float(at)
    reason = "the timestamp is no Unix time, and became now"
    log.drop("timestamps_replaced", "timestamp_replaced", item["action"], reason, now)
    return now
