"""Identify calls: whom they change, and what they set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cio_etl.sandbox.activity import ActivityLog
from cio_etl.sandbox.events import Events, time_of
from cio_etl.sandbox.identities import Identities, identifier_of
from cio_etl.sandbox.limits import MAX_ATTRIBUTES, PREFERENCES
from cio_etl.sandbox.objects import Objects
from cio_etl.sandbox.person import IdentifierKind, Person
from cio_etl.sandbox.relationships import Relationships

# Attributes with a meaning of their own; `cio_subscription_preferences.…` is another.
IDENTIFIERS: Final[tuple[IdentifierKind, ...]] = ("id", "email", "phone")  # an identify can set them
_INSTRUCTIONS: Final = frozenset({"cio_id", "anonymous_id", "_update"})


class Identifies:
    """Applies valid identify items of people. `trace` is that of `People`."""

    def __init__(
        self,
        log: ActivityLog,
        identities: Identities,
        events: Events,
        objects: Objects,
        relationships: Relationships,
        trace: str | None,
    ) -> None:
        self._log = log
        self._identities = identities
        self._events = events
        self._objects = objects
        self._relationships = relationships
        self._trace = trace

    def apply(self, item: Mapping[str, Any], now: float) -> None:
        attributes = item.get("attributes", {})
        person = self._target(item, attributes, now)
        if person is None:
            return
        at = time_of(item, now, self._log)
        if person.edited_at is not None and at < person.edited_at:  # dropped, and the answer is 200 all the same
            reason = "older than the profile's newest edit"
            self._log.drop("identifies_out_of_date", "skipped_update", person.name, reason, now, person.cio_id)
            return
        self._log.counts["identifies"] += 1
        person.edited_at = at
        changes: dict[str, tuple[Any, Any]] = {}
        for name, value in attributes.items():
            if name in IDENTIFIERS:
                old = getattr(person, name)
                self._change_identifier(person, name, value, item["identifiers"], now)
                if (new := getattr(person, name)) != old:
                    changes[name] = (old, new)
            elif name in _INSTRUCTIONS:
                self._follow(person, name, value, now)
            else:
                self._set_attribute(person, name, value, at, now, changes)
        if changes:
            self._log.note("attribute_change", person, now, changes)
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
        if person := self._identities.find(kind, value):
            return person
        if kind != "cio_id":
            if self._identities.ignores(kind, value, now):
                return None
            if known := self._named_in(attributes):
                self._assign(known, kind, value, now)
                return known
        if kind == "cio_id" or attributes.get("_update") is True:
            reason = "there is no such person, and none is created"
            self._log.drop("identifies_of_nobody", "failed_attribute_change", f"{kind} {value}", reason, now)
            return None
        return self._identities.create(kind, value, now)

    def _named_in(self, attributes: Mapping[str, Any]) -> Person | None:
        """The person whose identifier is among the attributes."""
        for kind in IDENTIFIERS:
            value = _text_of(kind, attributes.get(kind))
            if isinstance(value, str) and value and (person := self._identities.find(kind, value)):
                return person
        return None

    def _assign(self, person: Person, kind: str, value: str, now: float) -> None:
        """Give a person, whom another identifier named, the identifier of the call.

        The document says both that such a call assigns the identifier, and that one which is set can be changed by
        cio_id only. The stricter reading: it is assigned if none is set. An e-mail address can be changed without a
        cio_id, by a setting of the workspace that most have on.
        """
        if getattr(person, kind) is None or kind == "email":
            self._log.note("attribute_change", person, now, {kind: (getattr(person, kind), value)})
            self._identities.set_identifier(person, kind, value, now)
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
        elif self._identities.find(kind, value) not in (None, person):
            self._refuse_attribute(person, f"{kind}: belongs to another person", now)
        elif self._identities.is_suppressed(kind, value):
            self._refuse_attribute(person, f"{kind}: is suppressed", now)
        else:
            self._identities.set_identifier(person, kind, value, now)

    def _claim(self, anonymous_id: str, person: Person, now: float) -> None:
        """Attach what the visitor did to this person."""
        if not self._events.claim(anonymous_id, person, now):
            self._refuse_attribute(person, "anonymous_id: belongs to another person", now)
            return
        person.attributes["anonymous_id"] = anonymous_id
        person.set_at["anonymous_id"] = now
        self._objects.claim(anonymous_id, person)

    def _refuse_attribute(self, person: Person, reason: str, now: float) -> None:
        kind = "failed_attribute_change"
        self._log.drop("failed_attribute_changes", kind, person.name, reason, now, person.cio_id)


def _text_of(kind: str, value: Any) -> Any:
    """An id that is a whole number as its text; any other value as it is."""
    return str(value) if kind == "id" and isinstance(value, int) and not isinstance(value, bool) else value


def _with_preference(preferences: Any, name: str, value: Any) -> dict[str, Any]:
    """The preferences with one changed, or reset to its default: `cio_subscription_preferences.topics.topic_1`."""
    _, group, topic = name.split(".")
    groups = dict(preferences) if isinstance(preferences, dict) else {}
    choices = {each: choice for each, choice in groups.get(group, {}).items() if each != topic}
    return groups | {group: choices if value in (None, "") else choices | {topic: value}}
