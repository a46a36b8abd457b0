"""People and their events: the workspace's memory, and the tests' oracle.

Written by the server's thread only. Another thread may read what it likes once its own requests are answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cio_etl.sandbox.activity import ActivityLog
from cio_etl.sandbox.events import Event, Events, time_of
from cio_etl.sandbox.identities import Device, IdentifierKind, Identities, Person, identifier_of
from cio_etl.sandbox.objects import Objects
from cio_etl.sandbox.relationships import Relationships
from cio_etl.sandbox.rules import MAX_ATTRIBUTES, PREFERENCES

__all__ = ["Event", "IdentifierKind", "Merge", "People", "Person"]

# Attributes that are more than kept; `cio_subscription_preferences.…` is another.
_CHANGEABLE: Final = frozenset({"id", "email", "phone"})  # identifiers that an identify can carry
_HEEDED: Final = frozenset({"cio_id", "anonymous_id", "_update"})


@dataclass(frozen=True, slots=True)
class Merge:
    """A merge that was done: there is no way back."""

    primary: str  # cio_id
    secondary: Mapping[str, str | None]  # identifiers of the person who is no more
    at: float


class People:
    """People, events, objects and manual segments, changed by applying valid items.

    `trace` names an attribute (say, a row number) of which each profile keeps every value that an applied identify
    gave it, in order: the proof that a person's rows did not overtake each other.

    `counts` says what happened how often. What came to nothing is in `activity`, too, with its reason:

        identifies, deletes, events          items applied
        devices_added, devices_deleted, relationships_added, relationships_deleted, merges, suppressions,
        unsuppressions, objects_identified, objects_deleted, segment_additions, segment_removals, delivery_events,
        anonymous_events                     the same, of the other operations
        anonymous_events_attached            of them, those whose person became known
        duplicate_events                     ignored: their id had been seen
        people_made_by_events, …_by_devices, …_by_relationships; objects_made_by_relationships
                                             they were named before their own rows came
        identifies_out_of_date               dropped: their timestamp was older than the profile's newest edit
        identifies_of_nobody                 dropped: `_update` or a cio_id, and no such person
        identifies_of_no_object              dropped: a cio_object_id, and no such object
        events_of_nobody, devices_of_nobody, relationships_of_nobody, merges_of_nobody
                                             dropped: no such person or object
        suppressed_calls                     dropped: nobody may be called this
        segment_ids_ignored                  nobody is called this
        failed_attribute_changes             an identifier of somebody else, or one that is set already, or no text;
                                             a 301st attribute
        timestamps_replaced                  were no time, became now
        calls_dropped, requests_dropped      by a permissive Pipelines API, for a fault that strict mode would name
        calls_failed                         let in by Pipelines, but over a limit of the workspace
        calls_forwarded                      of Pipelines, for other destinations only
        repeated_messages                    of Pipelines, with a messageId that had been seen
    """

    def __init__(self, trace: str | None = None) -> None:
        self.activity = ActivityLog()
        self.counts: Counter[str] = self.activity.counts
        self.objects = Objects()
        self.segments: dict[int, dict[str, None]] = {}  # cio_ids in order of their coming in, by segment
        self.merges: list[Merge] = []
        self._trace = trace
        self._drop = self.activity.drop
        self.identities = Identities(self.activity)
        self._events = Events(self.activity, self.identities)
        self._relationships = Relationships(self.activity, self.identities, self._events, self.objects)
        self.events = self._events.by_id
        self.record, self.record_anonymous = self._events.record, self._events.record_anonymous
        self._do: dict[tuple[str, str], Callable[[Mapping[str, Any], float], None]] = {
            ("person", "identify"): self._identify,
            ("person", "delete"): self._delete,
            ("person", "event"): self.record,
            ("person", "screen"): self.record,
            ("person", "page"): self.record,
            ("person", "add_relationships"): self._relationships.relate_person,
            ("person", "delete_relationships"): self._relationships.part_person,
            ("person", "add_device"): self._add_device,
            ("person", "delete_device"): self._delete_device,
            ("person", "merge"): self._merge,
            ("person", "suppress"): self._suppress,
            ("person", "unsuppress"): self._unsuppress,
            ("object", "identify"): self._relationships.identify,
            ("object", "identify_anonymous"): self._relationships.identify,
            ("object", "delete"): self._relationships.delete,
            ("object", "add_relationships"): self._relationships.relate_object,
            ("object", "delete_relationships"): self._relationships.part_object,
            ("delivery", "event"): self._note_delivery,
        }

    def __len__(self) -> int:
        return len(self.identities.by_cio_id)

    def everybody(self) -> list[Person]:
        """All profiles, the oldest first."""
        return list(self.identities.by_cio_id.values())

    def find(self, kind: IdentifierKind, value: str) -> Person | None:
        """The person with this identifier. E-mail addresses are found in any case, ids in their own only."""
        return self.identities.find(kind, value)

    @property
    def anonymous_events(self) -> list[Event]:
        """Those whose person is not known, in order of arrival."""
        return [each for each in list(self.events.values()) if each.cio_id is None]

    @property
    def suppressed(self) -> list[tuple[str, str]]:
        """Kind and value of each identifier that nobody may have."""
        return sorted(self.identities.suppressed)

    def segment(self, segment_id: int) -> list[Person]:
        """The members of a manual segment, in order of their coming in."""
        return [self.identities.by_cio_id[cio_id] for cio_id in list(self.segments.get(segment_id, ()))]

    def segments_of(self, person: Person) -> list[int]:
        return [number for number, members in sorted(self.segments.items()) if person.cio_id in members]

    def apply(self, item: Mapping[str, Any], now: float) -> None:
        """Do what a valid item says. `now` is in Unix seconds."""
        self._do[item["type"], item["action"]](item, now)

    # ---------------------------------------------------------------- identify

    def _identify(self, item: Mapping[str, Any], now: float) -> None:
        attributes = item.get("attributes", {})
        person = self._meant(item, attributes, now)
        if person is None:
            return
        at = time_of(item, now, self.activity)
        if person.edited_at is not None and at < person.edited_at:  # dropped, and the answer is 200 all the same
            reason = "older than the profile's newest edit"
            self._drop("identifies_out_of_date", "skipped_update", person.name, reason, now, person.cio_id)
            return
        self.counts["identifies"] += 1
        person.edited_at = at
        kept, set_at = person.attributes, person.set_at
        for name, value in attributes.items():
            if name in _CHANGEABLE:
                self._change_identifier(person, name, value, item["identifiers"], now)
            elif name in _HEEDED:
                self._heed(person, name, value, now)
            elif len(name) > len(PREFERENCES) and name.startswith(PREFERENCES):
                kept[PREFERENCES] = _with_preference(kept.get(PREFERENCES), name, value)
                set_at[PREFERENCES] = at
            elif value is None or value == "":
                # Removal is documented for objects; for people it is what loaders in the field rely on.
                kept.pop(name, None)
                set_at.pop(name, None)
            elif len(kept) >= MAX_ATTRIBUTES and name not in kept:
                self._refuse_attribute(person, f"{name}: the profile has {MAX_ATTRIBUTES} attributes already", now)
            else:
                kept[name] = value
                set_at[name] = at
        if self._trace is not None and self._trace in attributes:
            person.trace.append(attributes[self._trace])
        if "cio_relationships" in item:
            self._relationships.relate_to_objects(person, item, now)

    def _meant(self, item: Mapping[str, Any], attributes: Mapping[str, Any], now: float) -> Person | None:
        """The person an identify is about, made if need be."""
        kind, value = identifier_of(item["identifiers"])
        if person := self.identities.find(kind, value):
            return person
        if kind == "cio_id" or attributes.get("_update") is True:
            reason = "there is no such person, and none is made"
            self._drop("identifies_of_nobody", "failed_attribute_change", f"{kind} {value}", reason, now)
            return None
        if self.identities.ignores(kind, value, now):
            return None
        email = attributes.get("email")
        known = self.identities.find("email", email) if kind == "id" and isinstance(email, str) else None
        if known is not None and known.id is None:  # a new id with a known address: that profile gets the id
            self.identities.call(known, "id", value)
            return known
        return self.identities.make(kind, value)

    def _heed(self, person: Person, name: str, value: Any, now: float) -> None:
        """An attribute that means something to Customer.io. `_update` was heeded before."""
        if name == "anonymous_id" and value not in (None, ""):
            self._claim(str(value), person, now)
        elif name == "cio_id" and value != person.cio_id:
            self._refuse_attribute(person, "cio_id: cannot be changed", now)

    def _change_identifier(
        self, person: Person, kind: str, value: Any, named_by: Mapping[str, Any], now: float
    ) -> None:
        """Set an identifier that came among the attributes.

        One that is set already gives way to a call by cio_id only; an e-mail address to any, which is a switch of the
        workspace that most have on.
        """
        if kind == "id" and isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        held = getattr(person, kind)
        if value in (None, "") or held == value:
            return
        if not isinstance(value, str):
            self._refuse_attribute(person, f"{kind}: must be text", now)
        elif held is not None and kind != "email" and "cio_id" not in named_by:
            self._refuse_attribute(person, f"{kind}: is set already; only a call by cio_id can change it", now)
        elif self.identities.find(kind, value) not in (None, person):
            self._refuse_attribute(person, f"{kind}: belongs to somebody else", now)
        elif self.identities.is_suppressed(kind, value):
            self._refuse_attribute(person, f"{kind}: is suppressed", now)
        else:
            self.identities.call(person, kind, value)

    def _claim(self, anonymous_id: str, person: Person, now: float) -> None:
        """The visitor is this person."""
        if not self._events.claim(anonymous_id, person, now):
            self._refuse_attribute(person, "anonymous_id: was somebody else's", now)
            return
        person.attributes["anonymous_id"] = anonymous_id
        person.set_at["anonymous_id"] = now
        self.objects.claim(anonymous_id, person)

    def _refuse_attribute(self, person: Person, reason: str, now: float) -> None:
        kind = "failed_attribute_change"
        self._drop("failed_attribute_changes", kind, person.name, reason, now, person.cio_id)

    # ---------------------------------------------------------------- delete, suppress, merge

    def _delete(self, item: Mapping[str, Any], now: float) -> None:
        self.counts["deletes"] += 1
        if person := self.identities.find(*identifier_of(item["identifiers"])):
            self._remove(person)

    def _remove(self, person: Person) -> None:
        self.identities.forget(person)
        self.objects.forget_person(person)
        for members in self.segments.values():
            members.pop(person.cio_id, None)

    def _suppress(self, item: Mapping[str, Any], now: float) -> None:
        self.counts["suppressions"] += 1
        kind, value = identifier_of(item["identifiers"])
        person = self.identities.find(kind, value)
        self.identities.suppress(kind, value, person)
        if person is not None:
            self._remove(person)

    def _unsuppress(self, item: Mapping[str, Any], now: float) -> None:
        self.counts["unsuppressions"] += 1
        self.identities.unsuppress(*identifier_of(item["identifiers"]))

    def _merge(self, item: Mapping[str, Any], now: float) -> None:
        """What is documented to be carried over is; relationships and devices are not in that list."""
        primary, secondary = (self.identities.find(*identifier_of(item[member])) for member in ("primary", "secondary"))
        if primary is None or secondary is None or primary is secondary:
            about = " into ".join(" ".join(identifier_of(item[member])) for member in ("secondary", "primary"))
            reason = "both are the same person" if primary and secondary else "one of the two is not there"
            self._drop("merges_of_nobody", "failed_merge", about, reason, now)
            return
        self.counts["merges"] += 1
        self.merges.append(Merge(primary.cio_id, secondary.identifiers | {"phone": secondary.phone}, now))
        memberships = [members for members in self.segments.values() if secondary.cio_id in members]
        self._remove(secondary)
        for kind in ("id", "email", "phone"):
            if getattr(primary, kind) is None and (value := getattr(secondary, kind)) is not None:
                self.identities.call(primary, kind, value)
        for name, value in secondary.attributes.items():
            if name not in primary.attributes:
                primary.attributes[name] = value
                primary.set_at[name] = now
        for members in memberships:
            members[primary.cio_id] = None
        self._events.hand_over(secondary, primary, now)

    # ---------------------------------------------------------------- devices

    def _add_device(self, item: Mapping[str, Any], now: float) -> None:
        kind, value = identifier_of(item["identifiers"])
        person = self.identities.met("devices", kind, value, now)
        if person is None:
            return
        self.counts["devices_added"] += 1
        given = item["device"]
        token = given["token"]
        known = person.devices.get(token)
        attributes = dict(known.attributes if known else {}) | given.get("attributes", {})
        person.devices[token] = Device(token, given["platform"], float(given.get("last_used", now)), attributes)

    def _delete_device(self, item: Mapping[str, Any], now: float) -> None:
        kind, value = identifier_of(item["identifiers"])
        person = self.identities.find(kind, value)
        if person is None or person.devices.pop(item["device"]["token"], None) is None:
            reason = "there is no such person" if person is None else "the person has no such device"
            self._drop("devices_of_nobody", "failed_device", f"{kind} {value}", reason, now)
        else:
            self.counts["devices_deleted"] += 1

    # ---------------------------------------------------------------- manual segments

    def add_to_segment(self, segment_id: int, kind: IdentifierKind, ids: Sequence[Any], now: float) -> None:
        """Those of `ids` who are somebody's; the others are ignored."""
        members = self.segments.setdefault(segment_id, {})
        for person in self._segment_people(segment_id, kind, ids, now):
            self.counts["segment_additions"] += person.cio_id not in members
            members[person.cio_id] = None

    def remove_from_segment(self, segment_id: int, kind: IdentifierKind, ids: Sequence[Any], now: float) -> None:
        members = self.segments.setdefault(segment_id, {})
        for person in self._segment_people(segment_id, kind, ids, now):
            self.counts["segment_removals"] += person.cio_id in members
            members.pop(person.cio_id, None)

    def _segment_people(self, segment_id: int, kind: IdentifierKind, ids: Sequence[Any], now: float) -> list[Person]:
        found = []
        for value in ids:
            is_name = isinstance(value, str | int) and not isinstance(value, bool)
            if is_name and (person := self.identities.find(kind, str(value))):
                found.append(person)
            else:
                about, reason = f"{kind} {value}", f"segment {segment_id}: nobody is called this"
                self._drop("segment_ids_ignored", "ignored_segment_id", about, reason, now)
        return found

    # ---------------------------------------------------------------- deliveries

    def _note_delivery(self, item: Mapping[str, Any], now: float) -> None:
        self.counts["delivery_events"] += 1


def _with_preference(held: Any, name: str, value: Any) -> dict[str, Any]:
    """The preferences with one changed, or left to its default: `cio_subscription_preferences.topics.topic_1`."""
    _, group, topic = name.split(".")
    preferences = dict(held) if isinstance(held, dict) else {}
    chosen = {each: choice for each, choice in preferences.get(group, {}).items() if each != topic}
    return preferences | {group: chosen if value in (None, "") else chosen | {topic: value}}
