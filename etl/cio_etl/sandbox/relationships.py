"""The effects of an item on objects and on relationships between objects and people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cio_etl.sandbox.activity import ActivityLog
from cio_etl.sandbox.events import Events
from cio_etl.sandbox.identities import Identities, identifier_of
from cio_etl.sandbox.limits import MAX_ATTRIBUTES
from cio_etl.sandbox.objects import Object, Objects, name_of_object
from cio_etl.sandbox.person import Person


class Relationships:
    """Applies valid items whose type is object, or whose action is about relationships."""

    def __init__(self, log: ActivityLog, identities: Identities, events: Events, objects: Objects) -> None:
        self._log = log
        self._identities = identities
        self._events = events
        self.objects = objects

    def identify(self, item: Mapping[str, Any], now: float) -> None:
        what = self.objects.identified(item["identifiers"]) or self.objects.create(item["identifiers"])
        if what is None:
            about, reason = name_of_object(item["identifiers"]), "there is no such object, and none is created"
            self._log.drop("identifies_of_no_object", "failed_attribute_change", about, reason, now)
            return
        self._log.counts["objects_identified"] += 1
        for _ in range(self.objects.set_attributes(what, item.get("attributes", {}), now)):
            reason = f"the object has {MAX_ATTRIBUTES} attributes already"
            about = name_of_object(item["identifiers"])
            self._log.drop("failed_attribute_changes", "failed_attribute_change", about, reason, now)
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
            self._log.counts["relationships_added"] += 1
            if person := self._events.claimed_by(anonymous_id):
                self.objects.relate(what, person, attributes)
            else:
                self.objects.relate_visitor(what, anonymous_id, attributes)

    def delete(self, item: Mapping[str, Any], now: float) -> None:
        self._log.counts["objects_deleted"] += 1
        if what := self.objects.identified(item["identifiers"]):
            self.objects.forget(what, self._identities.by_cio_id)

    def relate_person(self, item: Mapping[str, Any], now: float) -> None:
        kind, value = identifier_of(item["identifiers"])
        person = self._identities.find_or_create("relationships", kind, value, now)
        if person is not None:
            self.relate_to_objects(person, item, now)

    def relate_object(self, item: Mapping[str, Any], now: float) -> None:
        if what := self._object(item["identifiers"], now):
            self._relate_to_people(what, item["cio_relationships"], now)

    def relate_to_objects(self, person: Person, item: Mapping[str, Any], now: float) -> None:
        for each in item["cio_relationships"]:
            if what := self._object(each["identifiers"], now):
                self._log.counts["relationships_added"] += 1
                self.objects.relate(what, person, each.get("relationship_attributes", {}))

    def _relate_to_people(self, what: Object, relationships: Sequence[Mapping[str, Any]], now: float) -> None:
        for each in relationships:
            kind, value = identifier_of(each["identifiers"])
            person = self._identities.find_or_create("relationships", kind, value, now)
            if person is not None:
                self._log.counts["relationships_added"] += 1
                self.objects.relate(what, person, each.get("relationship_attributes", {}))

    def _object(self, identifiers: Mapping[str, Any], now: float) -> Object | None:
        """The object that a relationship names, created if need be. Whether it is created is not documented."""
        what = self.objects.identified(identifiers)
        if what is None and (what := self.objects.create(identifiers)):
            self._log.counts["objects_made_by_relationships"] += 1
        if what is None:
            about, reason = name_of_object(identifiers), "there is no such object"
            self._log.drop("relationships_of_nobody", "failed_relationship", about, reason, now)
        return what

    def unrelate_person(self, item: Mapping[str, Any], now: float) -> None:
        kind, value = identifier_of(item["identifiers"])
        person = self._identities.find(kind, value)
        for each in item["cio_relationships"]:
            self._unrelate(person, self.objects.identified(each["identifiers"]), f"{kind} {value}", now)

    def unrelate_object(self, item: Mapping[str, Any], now: float) -> None:
        what = self.objects.identified(item["identifiers"])
        for each in item["cio_relationships"]:
            person = self._identities.find(*identifier_of(each["identifiers"]))
            self._unrelate(person, what, name_of_object(item["identifiers"]), now)

    def _unrelate(self, person: Person | None, what: Object | None, about: str, now: float) -> None:
        if person is not None and what is not None and self.objects.unrelate(what, person):
            self._log.counts["relationships_deleted"] += 1
        else:
            reason = "there is no such relationship"
            self._log.drop("relationships_of_nobody", "failed_relationship", about, reason, now)
