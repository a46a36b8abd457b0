"""The documented rules of Track v2 for an item, as a pure function.

Sources: the Track API's OpenAPI document (operations, required fields, sizes) and the page on invalid requests (sizes
of names and values). Where they are silent, the stricter reading applies, so that what passes here passes there, too;
each such place says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from cio_etl.sandbox.limits import (
    EVENT_IDENTIFIERS,
    MAX_EVENT_NAME_BYTES,
    MAX_ITEM_BYTES,
    NOTHING,
    PERSON_IDENTIFIERS,
    PREFERENCES,
    RELATED_IDENTIFIERS,
    Violation,
    check_attributes,
    check_person,
    identifier_complaint,
    is_longer_than,
    is_timestamp,
)

_PLATFORMS: Final = ("ios", "android")
_DELIVERY_METRICS: Final = ("opened", "converted", "delivered")


def violations(item: Any, item_bytes: int) -> list[Violation]:
    """The violations of an item of `item_bytes` bytes; none, when it would be accepted.

    >>> violations({"type": "person", "action": "delete", "identifiers": {}}, 60)
    [Violation(reason='required', field='identifiers', message='exactly one identifier is needed, not 0')]
    """
    if item_bytes > MAX_ITEM_BYTES:
        return [Violation("invalid", "", f"an item cannot be larger than {MAX_ITEM_BYTES} bytes")]
    if not isinstance(item, dict):
        return [Violation("invalid", "", "an item must be an object")]
    checks = _checks_of(item)
    if isinstance(checks, Violation):
        return [checks]
    problems: list[Violation] = []
    for check in checks:
        check(item, problems)
    return problems


# ---------------------------------------------------------------- people


def _person(item: Mapping[str, Any], problems: list[Violation]) -> None:
    check_person("identifiers", item.get("identifiers"), PERSON_IDENTIFIERS, problems)


def _person_or_visitor(item: Mapping[str, Any], problems: list[Violation]) -> None:
    check_person("identifiers", item.get("identifiers"), EVENT_IDENTIFIERS, problems)


def _both_people(item: Mapping[str, Any], problems: list[Violation]) -> None:
    for member in ("primary", "secondary"):
        check_person(member, item.get(member), RELATED_IDENTIFIERS, problems)


def _event(item: Mapping[str, Any], problems: list[Violation]) -> None:
    name = item.get("name")
    if name is None:
        problems.append(Violation("required", "name", "an event needs a name"))
    elif not isinstance(name, str) or not name.strip():
        problems.append(Violation("invalid", "name", "an event's name must be text and cannot be blank"))
    elif len(name) > _SURELY_SHORT_EVENT_NAME and is_longer_than(MAX_EVENT_NAME_BYTES, name.strip()):
        message = f"an event's name cannot be longer than {MAX_EVENT_NAME_BYTES} bytes"
        problems.append(Violation("invalid", "name", message))
    # The document does not say what happens to an id that is no ULID. It is refused here: events with it would not be
    # de-duplicated, and nobody would notice.
    if "id" in item and not (isinstance(item["id"], str) and _ULID(item["id"])):
        problems.append(Violation("invalid", "id", "an event's id must be a ULID"))
    # An event's data is bounded by the item's size.
    if not isinstance(item.get("attributes", NOTHING), dict):
        problems.append(Violation("invalid", "attributes", "attributes must be an object"))


def _visitor(item: Mapping[str, Any], problems: list[Violation]) -> None:
    """The visitor of an anonymous event of Track v1. It may have none."""
    if "anonymous_id" in item and (complaint := identifier_complaint("anonymous_id", item["anonymous_id"])):
        problems.append(Violation("invalid", "anonymous_id", complaint))


def _added_device(item: Mapping[str, Any], problems: list[Violation]) -> None:
    device = _check_token(item, problems)
    if device is None:
        return
    if "platform" not in device:
        problems.append(Violation("required", "device.platform", "a device needs a platform"))
    elif device["platform"] not in _PLATFORMS:
        problems.append(Violation("invalid", "device.platform", "a device's platform is ios or android"))
    if "last_used" in device and not is_timestamp(device["last_used"]):
        problems.append(Violation("invalid", "device.last_used", "a device's last_used must be Unix seconds"))
    if "attributes" in device and check_attributes("device.attributes", device["attributes"], problems):
        enabled = device["attributes"].get("push_enabled", "true")
        if enabled not in ("true", "false"):
            message = 'push_enabled must be the text "true" or "false"'
            problems.append(Violation("invalid", "device.attributes.push_enabled", message))


def _check_token(item: Mapping[str, Any], problems: list[Violation]) -> dict[str, Any] | None:
    """The item's device, if it is an object."""
    device = item.get("device")
    if not isinstance(device, dict):
        problems.append(Violation("required", "device", "device must be an object"))
        return None
    token = device.get("token")
    if token is None:
        problems.append(Violation("required", "device.token", "a device needs a token"))
    elif not isinstance(token, str) or not token.strip():
        problems.append(Violation("invalid", "device.token", "a device's token must be text and cannot be blank"))
    return device


def _token(item: Mapping[str, Any], problems: list[Violation]) -> None:
    _check_token(item, problems)


# ---------------------------------------------------------------- attributes


def _profile(item: Mapping[str, Any], problems: list[Violation]) -> None:
    """A person's attributes, including those with a meaning of their own."""
    if "attributes" not in item or not check_attributes("attributes", attributes := item["attributes"], problems):
        return
    if not isinstance(attributes.get("_update", False), bool):
        problems.append(Violation("invalid", "attributes._update", "_update must be true or false"))
    if PREFERENCES not in attributes and max(map(len, attributes), default=0) <= len(PREFERENCES):
        return  # no name can begin with it: a quick answer for nearly all items
    for name, value in attributes.items():
        if name.startswith(PREFERENCES) and (complaint := _preferences_complaint(name, value)):
            problems.append(Violation("invalid", f"attributes.{name}", complaint))


def _attributes(item: Mapping[str, Any], problems: list[Violation]) -> None:
    if "attributes" in item:
        check_attributes("attributes", item["attributes"], problems)


def _preferences_complaint(name: str, value: Any) -> str | None:
    """Preferences are an object, or one topic by its dotted name. Null and empty text mean the topic's default."""
    if name == PREFERENCES:
        if value in (None, ""):
            return None
        topics = value.get("topics", NOTHING) if isinstance(value, dict) else None
        if not isinstance(topics, dict):
            return "subscription preferences must be an object, and its topics another"
        chosen = list(topics.values())
    elif _ONE_PREFERENCE(name):
        chosen = [value]
    else:
        return "no such subscription preference"
    if all(each in (None, "") or isinstance(each, bool) for each in chosen):
        return None
    return "a subscription preference must be true or false"


# ---------------------------------------------------------------- objects and relationships


def _object(item: Mapping[str, Any], problems: list[Violation]) -> None:
    _check_object("identifiers", item.get("identifiers"), problems)


def _check_object(path: str, identifiers: Any, problems: list[Violation]) -> None:
    if not isinstance(identifiers, dict):
        problems.append(Violation("required", path, f"{path} must be an object"))
        return
    if identifiers.keys() not in ({"object_type_id", "object_id"}, {"cio_object_id"}):
        message = "an object is identified by object_type_id and object_id, or by cio_object_id"
        problems.append(Violation("required", path, message))
        return
    for kind, value in identifiers.items():
        if complaint := identifier_complaint(kind, value):
            problems.append(Violation("invalid", f"{path}.{kind}", complaint))
        elif kind == "object_type_id" and not _OBJECT_TYPE(str(value)):
            problems.append(Violation("invalid", f"{path}.{kind}", "an object type is a whole number from 1"))


def _objects_if_any(item: Mapping[str, Any], problems: list[Violation]) -> None:
    if "cio_relationships" in item:
        _objects(item, problems)


def _objects(item: Mapping[str, Any], problems: list[Violation]) -> None:
    for path, each in _relationships(item, problems):
        _check_object(f"{path}.identifiers", each.get("identifiers"), problems)


def _people_if_any(item: Mapping[str, Any], problems: list[Violation]) -> None:
    if "cio_relationships" in item:
        _people(item, problems)


def _people(item: Mapping[str, Any], problems: list[Violation]) -> None:
    for path, each in _relationships(item, problems):
        check_person(f"{path}.identifiers", each.get("identifiers"), RELATED_IDENTIFIERS, problems)


def _visitors_if_any(item: Mapping[str, Any], problems: list[Violation]) -> None:
    """The document's schema has a visitor's id in `cio_relationships`, and its example at the top of the item."""
    _visitor(item, problems)
    if "cio_relationships" not in item:
        return
    for path, each in _relationships(item, problems):
        identifiers = each.get("identifiers")
        if not isinstance(identifiers, dict) or identifiers.keys() != {"anonymous_id"}:
            problems.append(Violation("required", f"{path}.identifiers", "an anonymous_id is needed, and nothing else"))
        elif complaint := identifier_complaint("anonymous_id", identifiers["anonymous_id"]):
            problems.append(Violation("invalid", f"{path}.identifiers.anonymous_id", complaint))


def _relationships(item: Mapping[str, Any], problems: list[Violation]) -> list[tuple[str, dict[str, Any]]]:
    """Path and members of each relationship that is an object; a violation for each of the others."""
    relationships = item.get("cio_relationships")
    if not isinstance(relationships, list) or not relationships:
        message = "cio_relationships must be an array of at least one relationship"
        problems.append(Violation("required", "cio_relationships", message))
        return []
    objects = []
    for number, each in enumerate(relationships):
        path = f"cio_relationships[{number}]"
        if not isinstance(each, dict):
            problems.append(Violation("invalid", path, "a relationship must be an object"))
            continue
        if "relationship_attributes" in each:  # their limits are not documented; those of an object's apply
            check_attributes(f"{path}.relationship_attributes", each["relationship_attributes"], problems)
        objects.append((path, each))
    return objects


# ---------------------------------------------------------------- deliveries


def _delivery(item: Mapping[str, Any], problems: list[Violation]) -> None:
    identifiers, attributes = item.get("identifiers"), item.get("attributes")
    if not isinstance(identifiers, dict) or not isinstance(identifiers.get("id"), str) or not identifiers["id"]:
        problems.append(Violation("required", "identifiers.id", "the id of a delivery is needed"))
    if item.get("name") not in _DELIVERY_METRICS:
        message = f"a delivery's event is {', '.join(_DELIVERY_METRICS[:-1])} or {_DELIVERY_METRICS[-1]}"
        problems.append(Violation("invalid", "name", message))
    if not isinstance(attributes, dict) or not isinstance(attributes.get("device_token"), str):
        problems.append(Violation("required", "attributes.device_token", "the token of a device is needed"))


# ---------------------------------------------------------------- the table of operations

Check = Callable[[Mapping[str, Any], list[Violation]], None]

# The checks of an item, by its type and action.
OPERATIONS: Final[Mapping[tuple[str, str], tuple[Check, ...]]] = {
    ("person", "identify"): (_person, _profile, _objects_if_any),
    ("person", "delete"): (_person,),
    ("person", "event"): (_person_or_visitor, _event),
    ("person", "screen"): (_person_or_visitor, _event),
    ("person", "page"): (_person_or_visitor, _event),
    ("person", "add_relationships"): (_person, _objects),
    ("person", "delete_relationships"): (_person, _objects),
    ("person", "add_device"): (_person, _added_device),
    ("person", "delete_device"): (_person, _token),
    ("person", "merge"): (_both_people,),
    ("person", "suppress"): (_person,),
    ("person", "unsuppress"): (_person,),
    ("object", "identify"): (_object, _attributes, _people_if_any),
    ("object", "identify_anonymous"): (_object, _attributes, _visitors_if_any),
    ("object", "delete"): (_object,),
    ("object", "add_relationships"): (_object, _people),
    ("object", "delete_relationships"): (_object, _people),
    ("delivery", "event"): (_delivery,),
}
_TYPES = frozenset(kind for kind, _ in OPERATIONS)


def visitor_violations(item: Mapping[str, Any]) -> list[Violation]:
    """The violations of an anonymous event, for which v2 has no type."""
    problems: list[Violation] = []
    _visitor(item, problems)
    _event(item, problems)
    return problems


def _checks_of(item: Mapping[str, Any]) -> tuple[Check, ...] | Violation:
    kind, action = item.get("type"), item.get("action")
    if isinstance(kind, str) and isinstance(action, str) and (checks := OPERATIONS.get((kind, action))):
        return checks
    for field, value in (("type", kind), ("action", action)):
        if value is None:
            return Violation("required", field, f"{field} is missing")
    if not isinstance(kind, str) or kind not in _TYPES:
        return Violation("invalid", "type", "type is none of the known ones")
    return Violation("invalid", "action", f"{'an' if kind == 'object' else 'a'} {kind} has no such action")


_SURELY_SHORT_EVENT_NAME = MAX_EVENT_NAME_BYTES // 4  # so many characters cannot be too many bytes
_ONE_PREFERENCE = re.compile(rf"{PREFERENCES}\.(topics\.topic_[0-9]+|channels\.[a-z_]+)").fullmatch
_OBJECT_TYPE = re.compile(r"[1-9][0-9]*").fullmatch
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.IGNORECASE | re.ASCII).fullmatch
