"""People and their events: the workspace's state, from which tests read what happened to each row.

Only the server's thread writes it. Another thread can read it once its own requests are answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cio_etl.sandbox.activity import ActivityLog
from cio_etl.sandbox.events import Event, Events
from cio_etl.sandbox.identify import IDENTIFIERS, Identifies
from cio_etl.sandbox.identities import Identities, identifier_of
from cio_etl.sandbox.objects import Objects
from cio_etl.sandbox.person import Device, IdentifierKind, Person
from cio_etl.sandbox.relationships import Relationships
from cio_etl.sandbox.segments import Segments

__all__ = ["Event", "IdentifierKind", "Merge", "People", "Person"]


@dataclass(frozen=True, slots=True)
class Merge:
    """A merge that was done. It cannot be reversed."""

    primary: str  # cio_id
    secondary: Mapping[str, str | None]  # identifiers of the person who was deleted
    at: float


class People:
    """People, events, objects and manual segments, changed by applying valid items.

    `trace` names an attribute (say, a row number). Each profile stores every value of it that an applied identify set,
    in order: this proves that no row of a person overtook another. `segments` are the numbers of the manual segments
    that exist from the start.

    `counts` says how often each thing happened. What had no effect is also in `activity`, with its reason:

        identifies, deletes, events          items applied
        devices_added, devices_deleted, relationships_added, relationships_deleted, merges, suppressions,
        unsuppressions, objects_identified, objects_deleted, segment_additions, segment_removals, delivery_events,
        content_events, anonymous_events     the same, of the other operations
        anonymous_events_attached            of them, those whose person was identified
        duplicate_events                     ignored: repeats of an id
        people_made_by_events, …_by_devices, …_by_relationships; objects_made_by_relationships
                                             created because another item named them before their own came
        identifies_out_of_date               dropped: their timestamp was older than the profile's newest edit
        identifies_of_nobody                 dropped: `_update` or a cio_id, and no such person
        identifies_of_no_object              dropped: a cio_object_id, and no such object
        events_of_nobody, devices_of_nobody, relationships_of_nobody, merges_of_nobody, unsubscribes_of_nobody
                                             dropped: no such person or object
        suppressed_calls                     dropped: the identifier is suppressed
        segment_ids_ignored                  no person has this identifier
        failed_attribute_changes             an identifier of another person, or one that is set already, or no text;
                                             a 301st attribute
        timestamps_replaced                  had another form, and became now
        calls_dropped, requests_dropped      by the permissive Pipelines API, for a fault that strict mode reports
        items_dropped                        accepted and dropped, on demand
        calls_failed                         accepted by Pipelines, but over a limit of the workspace
        calls_forwarded                      of Pipelines, for other destinations only
        repeated_messages                    of Pipelines, repeats of a messageId
    """

    def __init__(self, trace: str | None = None, segments: Iterable[int] = (), now: float = 0.0) -> None:
        self.activity = ActivityLog()
        self.counts: Counter[str] = self.activity.counts
        self.objects = Objects()
        self.merges: list[Merge] = []
        self._drop = self.activity.drop
        self.identities = Identities(self.activity)
        self.segments = Segments(self.activity, self.identities, segments, now)
        self.add_to_segment, self.remove_from_segment = self.segments.add, self.segments.remove
        self._events = Events(self.activity, self.identities)
        self._relationships = Relationships(self.activity, self.identities, self._events, self.objects)
        self.events = self._events.by_id
        self.record, self.record_anonymous = self._events.record, self._events.record_anonymous
        identifies = Identifies(self.activity, self.identities, self._events, self.objects, self._relationships, trace)
        self._do: dict[tuple[str, str], Callable[[Mapping[str, Any], float], None]] = {
            ("person", "identify"): identifies.apply,
            ("person", "delete"): self._delete,
            ("person", "event"): self.record,
            ("person", "screen"): self.record,
            ("person", "page"): self.record,
            ("person", "add_relationships"): self._relationships.relate_person,
            ("person", "delete_relationships"): self._relationships.unrelate_person,
            ("person", "add_device"): self._add_device,
            ("person", "delete_device"): self._delete_device,
            ("person", "merge"): self._merge,
            ("person", "suppress"): self._suppress,
            ("person", "unsuppress"): self._unsuppress,
            ("object", "identify"): self._relationships.identify,
            ("object", "identify_anonymous"): self._relationships.identify,
            ("object", "delete"): self._relationships.delete,
            ("object", "add_relationships"): self._relationships.relate_object,
            ("object", "delete_relationships"): self._relationships.unrelate_object,
            ("delivery", "event"): self._count_delivery,
            ("delivery", "content"): self._count_content,
            ("delivery", "unsubscribe"): self._note_unsubscribe,
        }

    def __len__(self) -> int:
        return len(self.identities.by_cio_id)

    def everybody(self) -> list[Person]:
        """All profiles, the oldest first."""
        return list(self.identities.by_cio_id.values())

    def find(self, kind: IdentifierKind, value: str) -> Person | None:
        """The person with this identifier. The case of e-mail addresses does not matter, that of ids does."""
        return self.identities.find(kind, value)

    @property
    def anonymous_events(self) -> list[Event]:
        """Events whose person is not identified, in order of arrival."""
        return [each for each in list(self.events.values()) if each.cio_id is None]

    @property
    def suppressed(self) -> list[tuple[str, str]]:
        """Kind and value of each suppressed identifier."""
        return sorted(self.identities.suppressed)

    def segment(self, segment_id: int) -> list[Person]:
        """The members of a manual segment, in the order in which they were added."""
        return self.segments.members(segment_id)

    def segments_of(self, person: Person) -> list[int]:
        """The numbers of the manual segments that a person belongs to."""
        return [segment.id for segment in self.segments.of(person)]

    def apply(self, item: Mapping[str, Any], now: float) -> None:
        """Apply a valid item. `now` is in Unix seconds."""
        self._do[item["type"], item["action"]](item, now)

    # ---------------------------------------------------------------- delete, suppress, merge

    def _delete(self, item: Mapping[str, Any], now: float) -> None:
        self.counts["deletes"] += 1
        if person := self.identities.find(*identifier_of(item["identifiers"])):
            self._remove(person)
            self.activity.note("profile_delete", person, now, {})

    def _remove(self, person: Person) -> None:
        self.identities.forget(person)
        self.objects.forget_person(person)
        self.segments.forget(person)

    def _suppress(self, item: Mapping[str, Any], now: float) -> None:
        self.counts["suppressions"] += 1
        kind, value = identifier_of(item["identifiers"])
        person = self.identities.find(kind, value)
        self.identities.suppress(kind, value, person)
        if person is not None:
            self._remove(person)
            self.activity.note("profile_delete", person, now, {})

    def _unsuppress(self, item: Mapping[str, Any], now: float) -> None:
        self.counts["unsuppressions"] += 1
        self.identities.unsuppress(*identifier_of(item["identifiers"]))

    def _merge(self, item: Mapping[str, Any], now: float) -> None:
        """Carry over what the document lists; relationships and devices are not in its list."""
        primary, secondary = (self.identities.find(*identifier_of(item[member])) for member in ("primary", "secondary"))
        if primary is None or secondary is None or primary is secondary:
            about = " into ".join(" ".join(identifier_of(item[member])) for member in ("secondary", "primary"))
            reason = "both are the same person" if primary and secondary else "one of the two does not exist"
            self._drop("merges_of_nobody", "failed_merge", about, reason, now)
            return
        self.counts["merges"] += 1
        self.merges.append(Merge(primary.cio_id, secondary.identifiers | {"phone": secondary.phone}, now))
        segments = self.segments.of(secondary)
        self._remove(secondary)
        for kind in IDENTIFIERS:
            if getattr(primary, kind) is None and (value := getattr(secondary, kind)) is not None:
                self.identities.set_identifier(primary, kind, value, now)
        for name, value in secondary.attributes.items():
            if name not in primary.attributes:
                primary.attributes[name] = value
                primary.set_at[name] = now
        for segment in segments:
            segment.members[primary.cio_id] = None
        self._events.merge(secondary, primary, now)
        self.activity.note("profile_merge", primary, now, {"merged": secondary.identifiers})

    # ---------------------------------------------------------------- devices

    def _add_device(self, item: Mapping[str, Any], now: float) -> None:
        kind, value = identifier_of(item["identifiers"])
        person = self.identities.find_or_create("devices", kind, value, now)
        if person is None:
            return
        self.counts["devices_added"] += 1
        members = item["device"]
        token = members["token"]
        known = person.devices.get(token)
        attributes = dict(known.attributes if known else {}) | members.get("attributes", {})
        person.devices[token] = Device(token, members["platform"], float(members.get("last_used", now)), attributes)

    def _delete_device(self, item: Mapping[str, Any], now: float) -> None:
        kind, value = identifier_of(item["identifiers"])
        person = self.identities.find(kind, value)
        if person is None or person.devices.pop(item["device"]["token"], None) is None:
            reason = "there is no such person" if person is None else "the person has no such device"
            self._drop("devices_of_nobody", "failed_device", f"{kind} {value}", reason, now)
        else:
            self.counts["devices_deleted"] += 1

    # ---------------------------------------------------------------- deliveries

    def _count_delivery(self, item: Mapping[str, Any], now: float) -> None:
        self.counts["delivery_events"] += 1

    def _count_content(self, item: Mapping[str, Any], now: float) -> None:
        self.counts["content_events"] += 1

    def _note_unsubscribe(self, item: Mapping[str, Any], now: float) -> None:
        about, reason = f"delivery {item['identifiers']['id']}", "the sandbox sends no messages, so nobody received it"
        self._drop("unsubscribes_of_nobody", "ignored_unsubscribe", about, reason, now)
