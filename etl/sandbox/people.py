"""Who are the people now, and which events did they have? The workspace's memory, and the tests' oracle.

Written by the server's thread only. Another thread may read what it likes once its own requests are answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from etl.sandbox.activity import ActivityLog
from etl.sandbox.identities import Device, IdentifierKind, Identities, Person, identifier_of
from etl.sandbox.objects import Object, Objects, name_of_object
from etl.sandbox.rules import MAX_ATTRIBUTES, PREFERENCES, is_timestamp

__all__ = ["Event", "IdentifierKind", "Merge", "People", "Person"]

DAY_S: Final = 86_400
_KEPT_ANONYMOUS_S: Final = 30 * DAY_S  # an anonymous event waits so long for its person
_STILL_ATTACHED_S: Final = 300  # so long after the person is known, events of the visitor still go to them
_MERGED_S: Final = 30 * DAY_S  # the history that a merge carries over

# Attributes that are more than kept; `cio_subscription_preferences.…` is another.
_SPECIAL: Final = frozenset({"id", "email", "phone", "cio_id", "anonymous_id", "_update"})


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
        self.events: dict[str, Event] = {}
        self.objects = Objects()
        self.segments: dict[int, dict[str, None]] = {}  # cio_ids in order of their coming in, by segment
        self.merges: list[Merge] = []
        self.activity = ActivityLog()
        self.counts: Counter[str] = Counter()
        self._trace = trace
        self._who = Identities()
        self._waiting: dict[str, list[tuple[Event, float]]] = {}  # anonymous events and when they came, by visitor
        self._claims: dict[str, tuple[str, float]] = {}  # who a visitor turned out to be (cio_id), and when
        self._do: dict[tuple[str, str], Callable[[Mapping[str, Any], float], None]] = {
            ("person", "identify"): self._identify,
            ("person", "delete"): self._delete,
            ("person", "event"): self.record,
            ("person", "screen"): self.record,
            ("person", "page"): self.record,
            ("person", "add_relationships"): self._relate_person,
            ("person", "delete_relationships"): self._part_person,
            ("person", "add_device"): self._add_device,
            ("person", "delete_device"): self._delete_device,
            ("person", "merge"): self._merge,
            ("person", "suppress"): self._suppress,
            ("person", "unsuppress"): self._unsuppress,
            ("object", "identify"): self._identify_object,
            ("object", "identify_anonymous"): self._identify_object,
            ("object", "delete"): self._delete_object,
            ("object", "add_relationships"): self._relate_object,
            ("object", "delete_relationships"): self._part_object,
            ("delivery", "event"): self._note_delivery,
        }

    def __len__(self) -> int:
        return len(self._who.by_cio_id)

    def everybody(self) -> list[Person]:
        """All profiles, the oldest first."""
        return list(self._who.by_cio_id.values())

    def find(self, kind: IdentifierKind, value: str) -> Person | None:
        """The person with this identifier. E-mail addresses are found in any case, ids in their own only."""
        return self._who.find(kind, value)

    @property
    def anonymous_events(self) -> list[Event]:
        """Those whose person is not known, in order of arrival."""
        return [each for each in list(self.events.values()) if each.cio_id is None]

    @property
    def suppressed(self) -> list[tuple[str, str]]:
        """Kind and value of each identifier that nobody may have."""
        return sorted(self._who.suppressed)

    def segment(self, segment_id: int) -> list[Person]:
        """The members of a manual segment, in order of their coming in."""
        return [self._who.by_cio_id[cio_id] for cio_id in list(self.segments.get(segment_id, ()))]

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
        at = self._time_of(item, now)
        if person.edited_at is not None and at < person.edited_at:  # dropped, and the answer is 200 all the same
            self._drop("identifies_out_of_date", "skipped_update", person, "older than the profile's newest edit", now)
            return
        self.counts["identifies"] += 1
        person.edited_at = at
        kept, set_at = person.attributes, person.set_at
        for name, value in attributes.items():
            if name in _SPECIAL:
                self._heed(person, name, value, item, now)
            elif value is None or value == "":
                # Removal is documented for objects; for people it is what loaders in the field rely on.
                kept.pop(name, None)
                set_at.pop(name, None)
            elif name.startswith(PREFERENCES) and name != PREFERENCES:
                kept[PREFERENCES] = _with_preference(kept.get(PREFERENCES), name, value)
                set_at[PREFERENCES] = at
            elif len(kept) >= MAX_ATTRIBUTES and name not in kept:
                self._refuse_attribute(person, f"{name}: the profile has {MAX_ATTRIBUTES} attributes already", now)
            else:
                kept[name] = value
                set_at[name] = at
        if self._trace is not None and self._trace in attributes:
            person.trace.append(attributes[self._trace])
        if "cio_relationships" in item:
            self._relate_to_objects(person, item, now)

    def _meant(self, item: Mapping[str, Any], attributes: Mapping[str, Any], now: float) -> Person | None:
        """The person an identify is about, made if need be."""
        kind, value = identifier_of(item["identifiers"])
        if person := self._who.find(kind, value):
            return person
        if kind == "cio_id" or attributes.get("_update") is True:
            reason = "there is no such person, and none is made"
            self._drop("identifies_of_nobody", "failed_attribute_change", f"{kind} {value}", reason, now)
            return None
        if self._ignores(kind, value, now):
            return None
        email = attributes.get("email")
        known = self._who.find("email", email) if kind == "id" and isinstance(email, str) else None
        if known is not None and known.id is None:  # a new id with a known address: that profile gets the id
            self._who.call(known, "id", value)
            return known
        return self._who.make(kind, value)

    def _heed(self, person: Person, name: str, value: Any, item: Mapping[str, Any], now: float) -> None:
        """An attribute that means something to Customer.io."""
        if name == "anonymous_id":
            if value not in (None, ""):
                self._claim(str(value), person, now)
        elif name in ("id", "email", "phone"):
            self._change_identifier(person, name, value, item["identifiers"], now)
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
        elif self._who.find(kind, value) not in (None, person):
            self._refuse_attribute(person, f"{kind}: belongs to somebody else", now)
        elif self._who.is_suppressed(kind, value):
            self._refuse_attribute(person, f"{kind}: is suppressed", now)
        else:
            self._who.call(person, kind, value)

    # ---------------------------------------------------------------- delete, suppress, merge

    def _delete(self, item: Mapping[str, Any], now: float) -> None:
        self.counts["deletes"] += 1
        if person := self._who.find(*identifier_of(item["identifiers"])):
            self._remove(person)

    def _remove(self, person: Person) -> None:
        self._who.forget(person)
        self.objects.forget_person(person)
        for members in self.segments.values():
            members.pop(person.cio_id, None)

    def _suppress(self, item: Mapping[str, Any], now: float) -> None:
        self.counts["suppressions"] += 1
        kind, value = identifier_of(item["identifiers"])
        person = self._who.find(kind, value)
        self._who.suppress(kind, value, person)
        if person is not None:
            self._remove(person)

    def _unsuppress(self, item: Mapping[str, Any], now: float) -> None:
        self.counts["unsuppressions"] += 1
        self._who.unsuppress(*identifier_of(item["identifiers"]))

    def _merge(self, item: Mapping[str, Any], now: float) -> None:
        """What is documented to be carried over is; relationships and devices are not in that list."""
        primary, secondary = (self._who.find(*identifier_of(item[member])) for member in ("primary", "secondary"))
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
                self._who.call(primary, kind, value)
        for name, value in secondary.attributes.items():
            if name not in primary.attributes:
                primary.attributes[name] = value
                primary.set_at[name] = now
        for members in memberships:
            members[primary.cio_id] = None
        for event_id in secondary.event_ids:
            event = self.events[event_id]
            if event.timestamp >= now - _MERGED_S:
                event.cio_id = primary.cio_id
                primary.event_ids.append(event_id)
        for anonymous_id, (cio_id, at) in list(self._claims.items()):
            if cio_id == secondary.cio_id:
                self._claims[anonymous_id] = (primary.cio_id, at)

    # ---------------------------------------------------------------- events, screens and pages

    def record(self, item: Mapping[str, Any], now: float, event_id: str | None = None) -> None:
        """A person's event. `event_id` is what it is kept by, and told from a repeat; by default its ULID."""
        event_id = event_id or self._event_id(item)
        if self._is_repeat(event_id):
            return
        kind, value = identifier_of(item["identifiers"])
        person = self._who.find(kind, value) or self._made_by("events", "failed_event", kind, value, now)
        if person is None:
            return
        self.counts["events"] += 1
        self._keep(event_id, item, now, person.cio_id)
        person.event_ids.append(event_id)

    def record_anonymous(self, item: Mapping[str, Any], now: float, event_id: str | None = None) -> None:
        """A visitor's event: of the person they turned out to be just now, or it waits for that."""
        event_id = event_id or self._event_id(item)
        if self._is_repeat(event_id):
            return
        self.counts["anonymous_events"] += 1
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

    def _event_id(self, item: Mapping[str, Any]) -> str:
        given: str | None = item.get("id")
        return given.upper() if given else f"unnamed {len(self.events)}"

    def _is_repeat(self, event_id: str) -> bool:
        known = self.events.get(event_id)
        if known is None:
            return False
        known.received += 1
        self.counts["duplicate_events"] += 1
        return True

    def _keep(
        self, event_id: str, item: Mapping[str, Any], now: float, cio_id: str | None, anonymous_id: str | None = None
    ) -> Event:
        event = self.events[event_id] = Event(
            id=event_id,
            cio_id=cio_id,
            action=item["action"],
            name=item["name"].strip(),
            timestamp=self._time_of(item, now),
            attributes=item.get("attributes", {}),
            anonymous_id=anonymous_id,
        )
        return event

    def _claim(self, anonymous_id: str, person: Person, now: float) -> None:
        """The visitor is this person: their events are."""
        held, _ = self._claims.get(anonymous_id, (person.cio_id, now))
        if held != person.cio_id:
            self._refuse_attribute(person, "anonymous_id: was somebody else's", now)
            return
        person.attributes["anonymous_id"] = anonymous_id
        person.set_at["anonymous_id"] = now
        self._claims[anonymous_id] = (person.cio_id, now)
        self.objects.claim(anonymous_id, person)
        for event, came_at in self._waiting.pop(anonymous_id, ()):
            if now - came_at <= _KEPT_ANONYMOUS_S:
                self._attach(event, person)

    def _attach(self, event: Event, person: Person) -> None:
        self.counts["anonymous_events_attached"] += 1
        event.cio_id = person.cio_id
        person.event_ids.append(event.id)

    def _note_delivery(self, item: Mapping[str, Any], now: float) -> None:
        self.counts["delivery_events"] += 1

    # ---------------------------------------------------------------- devices

    def _add_device(self, item: Mapping[str, Any], now: float) -> None:
        kind, value = identifier_of(item["identifiers"])
        person = self._who.find(kind, value) or self._made_by("devices", "failed_device", kind, value, now)
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
        person = self._who.find(kind, value)
        if person is None or person.devices.pop(item["device"]["token"], None) is None:
            reason = "there is no such person" if person is None else "the person has no such device"
            self._drop("devices_of_nobody", "failed_device", f"{kind} {value}", reason, now)
        else:
            self.counts["devices_deleted"] += 1

    # ---------------------------------------------------------------- objects and relationships

    def _identify_object(self, item: Mapping[str, Any], now: float) -> None:
        what = self.objects.named(item["identifiers"]) or self.objects.make(item["identifiers"])
        if what is None:
            about, reason = name_of_object(item["identifiers"]), "there is no such object, and none is made"
            self._drop("identifies_of_no_object", "failed_attribute_change", about, reason, now)
            return
        self.counts["objects_identified"] += 1
        for _ in range(self.objects.set_attributes(what, item.get("attributes", {}), now)):
            reason = f"the object has {MAX_ATTRIBUTES} attributes already"
            about = name_of_object(item["identifiers"])
            self._drop("failed_attribute_changes", "failed_attribute_change", about, reason, now)
        if item["action"] == "identify":
            self._relate_to_people(what, item.get("cio_relationships", ()), now)
        else:
            self._relate_to_visitors(what, item, now)

    def _relate_to_visitors(self, what: Object, item: Mapping[str, Any], now: float) -> None:
        visitors: list[tuple[Any, Mapping[str, Any]]] = [
            (each["identifiers"]["anonymous_id"], each.get("relationship_attributes", {}))
            for each in item.get("cio_relationships", ())
        ]
        if "anonymous_id" in item:
            visitors.append((item["anonymous_id"], {}))
        for anonymous_id, attributes in visitors:
            self.counts["relationships_added"] += 1
            cio_id, _ = self._claims.get(anonymous_id, ("", 0.0))
            if person := self._who.by_cio_id.get(cio_id):
                self.objects.relate(what, person, attributes)
            else:
                self.objects.relate_visitor(what, anonymous_id, attributes)

    def _delete_object(self, item: Mapping[str, Any], now: float) -> None:
        self.counts["objects_deleted"] += 1
        if what := self.objects.named(item["identifiers"]):
            self.objects.forget(what, self._who.by_cio_id)

    def _relate_person(self, item: Mapping[str, Any], now: float) -> None:
        kind, value = identifier_of(item["identifiers"])
        person = self._who.find(kind, value) or self._made_by("relationships", "failed_relationship", kind, value, now)
        if person is not None:
            self._relate_to_objects(person, item, now)

    def _relate_object(self, item: Mapping[str, Any], now: float) -> None:
        if what := self._object(item["identifiers"], now):
            self._relate_to_people(what, item["cio_relationships"], now)

    def _relate_to_objects(self, person: Person, item: Mapping[str, Any], now: float) -> None:
        for each in item["cio_relationships"]:
            if what := self._object(each["identifiers"], now):
                self.counts["relationships_added"] += 1
                self.objects.relate(what, person, each.get("relationship_attributes", {}))

    def _relate_to_people(self, what: Object, relationships: Sequence[Mapping[str, Any]], now: float) -> None:
        for each in relationships:
            kind, value = identifier_of(each["identifiers"])
            person = self._who.find(kind, value) or self._made_by(
                "relationships", "failed_relationship", kind, value, now
            )
            if person is not None:
                self.counts["relationships_added"] += 1
                self.objects.relate(what, person, each.get("relationship_attributes", {}))

    def _object(self, identifiers: Mapping[str, Any], now: float) -> Object | None:
        """The object that a relationship names, made if need be: nothing says that it is, or that it is not."""
        what = self.objects.named(identifiers)
        if what is None and (what := self.objects.make(identifiers)):
            self.counts["objects_made_by_relationships"] += 1
        if what is None:
            about, reason = name_of_object(identifiers), "there is no such object"
            self._drop("relationships_of_nobody", "failed_relationship", about, reason, now)
        return what

    def _part_person(self, item: Mapping[str, Any], now: float) -> None:
        kind, value = identifier_of(item["identifiers"])
        person = self._who.find(kind, value)
        for each in item["cio_relationships"]:
            self._part(person, self.objects.named(each["identifiers"]), f"{kind} {value}", now)

    def _part_object(self, item: Mapping[str, Any], now: float) -> None:
        what = self.objects.named(item["identifiers"])
        for each in item["cio_relationships"]:
            person = self._who.find(*identifier_of(each["identifiers"]))
            self._part(person, what, name_of_object(item["identifiers"]), now)

    def _part(self, person: Person | None, what: Object | None, about: str, now: float) -> None:
        if person is not None and what is not None and self.objects.part(what, person):
            self.counts["relationships_deleted"] += 1
        else:
            reason = "there is no such relationship"
            self._drop("relationships_of_nobody", "failed_relationship", about, reason, now)

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
            if person := self._who.find(kind, str(value)):
                found.append(person)
            else:
                about, reason = f"{kind} {value}", f"segment {segment_id}: nobody is called this"
                self._drop("segment_ids_ignored", "ignored_segment_id", about, reason, now)
        return found

    # ---------------------------------------------------------------- what comes to nothing

    def drop(self, count: str, kind: str, about: str, reason: str, now: float) -> None:
        """Something was answered with 200 and has no effect: count it, and note why."""
        self._drop(count, kind, about, reason, now)

    def _drop(self, count: str, kind: str, about: str | Person, reason: str, now: float) -> None:
        self.counts[count] += 1
        if isinstance(about, Person):
            self.activity.note(kind, _name_of(about), reason, now, about.cio_id)
        else:
            self.activity.note(kind, about, reason, now)

    def _refuse_attribute(self, person: Person, reason: str, now: float) -> None:
        self._drop("failed_attribute_changes", "failed_attribute_change", person, reason, now)

    def _ignores(self, kind: str, value: str, now: float) -> bool:
        """May nobody be called this?"""
        if not self._who.is_suppressed(kind, value):
            return False
        self._drop("suppressed_calls", "ignored_suppressed", f"{kind} {value}", "the identifier is suppressed", now)
        return True

    def _made_by(self, what: str, failure: str, kind: str, value: str, now: float) -> Person | None:
        """A new person, made by their event, device or relationship; nobody of a cio_id, or a suppressed identifier."""
        if kind == "cio_id":
            self._drop(f"{what}_of_nobody", failure, f"{kind} {value}", "there is no such person", now)
            return None
        if self._ignores(kind, value, now):
            return None
        self.counts[f"people_made_by_{what}"] += 1
        return self._who.make(kind, value)

    def _time_of(self, item: Mapping[str, Any], now: float) -> float:
        at = item.get("timestamp")
        if at is None:
            return now
        if is_timestamp(at):
            return float(at)
        reason = "the timestamp is no Unix time, and became now"
        self._drop("timestamps_replaced", "timestamp_replaced", item["action"], reason, now)
        return now


def _with_preference(held: Any, name: str, value: Any) -> dict[str, Any]:
    """The preferences with one of them changed: `cio_subscription_preferences.topics.topic_1`."""
    _, group, topic = name.split(".")
    preferences = dict(held) if isinstance(held, dict) else {}
    return preferences | {group: dict(preferences.get(group, {})) | {topic: value}}


def _name_of(person: Person) -> str:
    for kind in ("id", "email", "phone"):
        if held := getattr(person, kind):
            return f"{kind} {held}"
    return f"cio_id {person.cio_id}"
