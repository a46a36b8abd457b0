"""The events of people, repeated events, and events of visitors that wait for their person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cio_etl.sandbox.activity import ActivityLog
from cio_etl.sandbox.identities import Identities, Person, identifier_of
from cio_etl.sandbox.rules import is_timestamp

_DAY_S: Final = 86_400
_WAIT_S: Final = 30 * _DAY_S  # an anonymous event waits so long for its person
_STILL_ATTACHED_S: Final = 300  # so long after the person is known, events of the visitor still go to them
_MERGED_S: Final = 30 * _DAY_S  # the history that a merge carries over


@dataclass(slots=True)
class Event:
    """An event that counts. `received` is how often it came: more than once when its id made the rest be ignored."""

    id: str
    cio_id: str | None  # None: of a visitor whom nobody has been identified as
    action: str  # event | screen | page
    name: str
    timestamp: float
    attributes: Mapping[str, Any]
    received: int = 1
    anonymous_id: str | None = None


class Events:
    """All events by their ids, and the visitors whose events are not a person's yet."""

    def __init__(self, log: ActivityLog, who: Identities) -> None:
        self.by_id: dict[str, Event] = {}
        self._log = log
        self._who = who
        self._waiting: dict[str, list[tuple[Event, float]]] = {}  # anonymous events and when they came, by visitor
        self._claims: dict[str, tuple[str, float]] = {}  # who a visitor turned out to be (cio_id), and when

    def record(self, item: Mapping[str, Any], now: float, event_id: str | None = None) -> None:
        """A person's event. `event_id` is what it is kept by, and told from a repeat; by default its ULID."""
        event_id = event_id or self._id_of(item)
        if event_id in self.by_id:
            self._repeat(event_id)
            return
        kind, value = identifier_of(item["identifiers"])
        person = self._who.find(kind, value) or self._who.met("events", kind, value, now)
        if person is None:
            return
        self._log.counts["events"] += 1
        self._keep(event_id, item, now, person.cio_id)
        person.event_ids.append(event_id)

    def record_anonymous(self, item: Mapping[str, Any], now: float, event_id: str | None = None) -> None:
        """A visitor's event: of the person they turned out to be just now, or it waits for that."""
        event_id = event_id or self._id_of(item)
        if event_id in self.by_id:
            self._repeat(event_id)
            return
        self._log.counts["anonymous_events"] += 1
        anonymous_id = item.get("anonymous_id")
        event = self._keep(event_id, item, now, None, None if anonymous_id is None else str(anonymous_id))
        if event.anonymous_id is None:  # nobody can be identified as this visitor
            return
        cio_id, since = self._claims.get(event.anonymous_id, ("", 0.0))
        person = self._who.by_cio_id.get(cio_id)
        if person is not None and now - since <= _STILL_ATTACHED_S:
            self._attach(event, person)
        else:
            self._waiting.setdefault(event.anonymous_id, []).append((event, now))

    def _id_of(self, item: Mapping[str, Any]) -> str:
        given: str | None = item.get("id")
        return given.upper() if given else f"unnamed {len(self.by_id)}"

    def _repeat(self, event_id: str) -> None:
        self.by_id[event_id].received += 1
        self._log.counts["duplicate_events"] += 1

    def _keep(
        self, event_id: str, item: Mapping[str, Any], now: float, cio_id: str | None, anonymous_id: str | None = None
    ) -> Event:
        event = self.by_id[event_id] = Event(
            id=event_id,
            cio_id=cio_id,
            action=item["action"],
            name=item["name"].strip(),
            timestamp=time_of(item, now, self._log),
            attributes=item.get("attributes", {}),
            anonymous_id=anonymous_id,
        )
        return event

    # ---------------------------------------------------------------- visitors

    def claim(self, anonymous_id: str, person: Person, now: float) -> bool:
        """The visitor is this person: their events are. False when they were somebody else's."""
        held, _ = self._claims.get(anonymous_id, (person.cio_id, now))
        if held != person.cio_id:
            return False
        self._claims[anonymous_id] = (person.cio_id, now)
        for event, came_at in self._waiting.pop(anonymous_id, ()):
            if now - came_at <= _WAIT_S:
                self._attach(event, person)
        return True

    def claimed_by(self, anonymous_id: str) -> Person | None:
        cio_id, _ = self._claims.get(anonymous_id, ("", 0.0))
        return self._who.by_cio_id.get(cio_id)

    def _attach(self, event: Event, person: Person) -> None:
        self._log.counts["anonymous_events_attached"] += 1
        event.cio_id = person.cio_id
        person.event_ids.append(event.id)

    def hand_over(self, secondary: Person, primary: Person, now: float) -> None:
        """The last 30 days of a merged person's events are the primary's now, and so are their visits."""
        for event_id in secondary.event_ids:
            event = self.by_id[event_id]
            if event.timestamp >= now - _MERGED_S:
                event.cio_id = primary.cio_id
                primary.event_ids.append(event_id)
        for anonymous_id, (cio_id, at) in list(self._claims.items()):
            if cio_id == secondary.cio_id:
                self._claims[anonymous_id] = (primary.cio_id, at)


def time_of(item: Mapping[str, Any], now: float, log: ActivityLog) -> float:
    """When the item says that it was, in Unix seconds; now, where it says nothing or no time."""
    at = item.get("timestamp")
    if at is None:
        return now
    if is_timestamp(at):
        return float(at)
    reason = "the timestamp is no Unix time, and became now"
    log.drop("timestamps_replaced", "timestamp_replaced", item["action"], reason, now)
    return now
