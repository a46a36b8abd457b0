"""People and their events: the workspace's state, from which tests read what happened to each row.

Only the server's thread writes it. Another thread can read it once its own requests are answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cio_etl.sandbox.activity import ActivityLog
from cio_etl.sandbox.events import Event, Events, time_of
from cio_etl.sandbox.identities import Identities, identifier_of
from cio_etl.sandbox.objects import Objects
from cio_etl.sandbox.person import Device, IdentifierKind, Person
from cio_etl.sandbox.relationships import Relationships
from cio_etl.sandbox.rules import MAX_ATTRIBUTES, PREFERENCES
from cio_etl.sandbox.segments import Segments

__all__ = ["Event", "IdentifierKind", "Merge", "People", "Person"]

# Attributes with a meaning of their own; `cio_subscription_preferences.…` is another.
_IDENTIFIERS: Final[tuple[IdentifierKind, ...]] = ("id", "email", "phone")  # an identify can set them
_INSTRUCTIONS: Final = frozenset({"cio_id", "anonymous_id", "_update"})


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
        calls_failed                         accepted by Pipelines, but over a limit of the workspace
        calls_forwarded                      of Pipelines, for other destinations only
        repeated_messages                    of Pipelines, repeats of a messageId
    """

    def __init__(self, trace: str | None = None, segments: Iterable[int] = (), now: float = 0.0) -> None:
        self.activity = ActivityLog()
        self.counts: Counter[str] = self.activity.counts
        self.objects = Objects()
        self.merges: list[Merge] = []
        self._trace = trace
        self._drop = self.activity.drop
        self.identities = Identities(self.activity)
        self.segments = Segments(self.activity, self.identities, segments, now)
        self.add_to_segment, self.remove_from_segment = self.segments.add, self.segments.remove
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

    # ---------------------------------------------------------------- identify

    def _identify(self, item: Mapping[str, Any], now: float) -> None:
        attributes = item.get("attributes", {})
        person = self._target(item, attributes, now)
        if person is None:
            return
        at = time_of(item, now, self.activity)
        if person.edited_at is not None and at < person.edited_at:  # dropped, and the answer is 200 all the same
            reason = "older than the profile's newest edit"
            self._drop("identifies_out_of_date", "skipped_update", person.name, reason, now, person.cio_id)
            return
        self.counts["identifies"] += 1
        person.edited_at = at
        changes: dict[str, tuple[Any, Any]] = {}
        for name, value in attributes.items():
            if name in _IDENTIFIERS:
                old = getattr(person, name)
                self._change_identifier(person, name, value, item["identifiers"], now)
                if (new := getattr(person, name)) != old:
                    changes[name] = (old, new)
            elif name in _INSTRUCTIONS:
                self._follow(person, name, value, now)
            else:
                self._set_attribute(person, name, value, at, now, changes)
        if changes:
            self.activity.note("attribute_change", person, now, changes)
        if self._trace is not None and self._trace in attributes:
            person.trace.append(attributes[self._trace])
        if "cio_relationships" in item:
            self._relationships.relate_to_objects(person, item, now)

    def _set_attribute(
        self, person: Person, name: str, value: Any, at: float, now: float, changes: dict[str, tuple[Any, Any]]
    ) -> None:
        """Set an attribute that is no identifier, or remove it, and note a change of its value in `changes`."""
        attributes, set_at = person.attributes, person.set_at
        if len(name) > len(PREFERENCES) and name.startswith(PREFERENCES):
            old = attributes.get(PREFERENCES)
            attributes[PREFERENCES] = _with_preference(old, name, value)
            set_at[PREFERENCES] = at
            changes[PREFERENCES] = (old, attributes[PREFERENCES])
            return
        old = attributes.get(name)
        if value is None or value == "":
            # Removal is documented for objects; for people it is what loaders in the field rely on.
            attributes.pop(name, None)
            set_at.pop(name, None)
            value = None
        elif old is None and len(attributes) >= MAX_ATTRIBUTES:
            self._refuse_attribute(person, f"{name}: the profile has {MAX_ATTRIBUTES} attributes already", now)
            return
        else:
            attributes[name] = value
            set_at[name] = at
        if old != value:
            changes[name] = (old, value)

    def _target(self, item: Mapping[str, Any], attributes: Mapping[str, Any], now: float) -> Person | None:
        """The person whom an identify changes, created if need be."""
        kind, value = identifier_of(item["identifiers"])
        if person := self.identities.find(kind, value):
            return person
        if kind != "cio_id":
            if self.identities.ignores(kind, value, now):
                return None
            if known := self._named_in(attributes):
                self._assign(known, kind, value, now)
                return known
        if kind == "cio_id" or attributes.get("_update") is True:
            reason = "there is no such person, and none is created"
            self._drop("identifies_of_nobody", "failed_attribute_change", f"{kind} {value}", reason, now)
            return None
        return self.identities.create(kind, value, now)

    def _named_in(self, attributes: Mapping[str, Any]) -> Person | None:
        """The person whose identifier is among the attributes."""
        for kind in _IDENTIFIERS:
            value = _text_of(kind, attributes.get(kind))
            if isinstance(value, str) and value and (person := self.identities.find(kind, value)):
                return person
        return None

    def _assign(self, person: Person, kind: str, value: str, now: float) -> None:
        """Give a person, whom another identifier named, the identifier of the call.

        The document says both that such a call assigns the identifier, and that one which is set can be changed by
        cio_id only. The stricter reading: it is assigned if none is set. An e-mail address can be changed without a
        cio_id, by a setting of the workspace that most have on.
        """
        if getattr(person, kind) is None or kind == "email":
            self.activity.note("attribute_change", person, now, {kind: (getattr(person, kind), value)})
            self.identities.set_identifier(person, kind, value, now)
        else:
            reason = (
                f"{kind}: another identifier of the call belongs to this person, whose {kind} is set already. "
                "Customer.io documents that it changes, and that only a call by cio_id changes it. It is left as it is"
            )
            self._refuse_attribute(person, reason, now)

    def _follow(self, person: Person, name: str, value: Any, now: float) -> None:
        """Do what an attribute of _INSTRUCTIONS says. `_target` has followed `_update`."""
        if name == "anonymous_id" and value not in (None, ""):
            self._claim(str(value), person, now)
        elif name == "cio_id" and value != person.cio_id:
            self._refuse_attribute(person, "cio_id: cannot be changed", now)

    def _change_identifier(
        self, person: Person, kind: str, value: Any, identifiers: Mapping[str, Any], now: float
    ) -> None:
        """Set an identifier that came among the attributes. `identifiers` are those of the call.

        One that is set already can be changed by a call with a cio_id only; an e-mail address by any call, by a setting
        of the workspace that most have on.
        """
        value = _text_of(kind, value)
        old = getattr(person, kind)
        if value in (None, "") or old == value:
            return
        if not isinstance(value, str):
            self._refuse_attribute(person, f"{kind}: must be text", now)
        elif old is not None and kind != "email" and "cio_id" not in identifiers:
            self._refuse_attribute(person, f"{kind}: is set already; only a call by cio_id can change it", now)
        elif self.identities.find(kind, value) not in (None, person):
            self._refuse_attribute(person, f"{kind}: belongs to another person", now)
        elif self.identities.is_suppressed(kind, value):
            self._refuse_attribute(person, f"{kind}: is suppressed", now)
        else:
            self.identities.set_identifier(person, kind, value, now)

    def _claim(self, anonymous_id: str, person: Person, now: float) -> None:
        """Attach what the visitor did to this person."""
        if not self._events.claim(anonymous_id, person, now):
            self._refuse_attribute(person, "anonymous_id: belongs to another person", now)
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
        for kind in _IDENTIFIERS:
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


def _text_of(kind: str, value: Any) -> Any:
    """An id that is a whole number as its text; any other value as it is."""
    return str(value) if kind == "id" and isinstance(value, int) and not isinstance(value, bool) else value


def _with_preference(preferences: Any, name: str, value: Any) -> dict[str, Any]:
    """The preferences with one changed, or reset to its default: `cio_subscription_preferences.topics.topic_1`."""
    _, group, topic = name.split(".")
    groups = dict(preferences) if isinstance(preferences, dict) else {}
    choices = {each: choice for each, choice in groups.get(group, {}).items() if each != topic}
    return groups | {group: choices if value in (None, "") else choices | {topic: value}}
