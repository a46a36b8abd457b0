"""The documented rules of Track v2 for an item, as a pure function.

Sources: the Track API's OpenAPI document (operations, required fields, sizes) and the page on invalid requests (sizes
of names and values). Where they are silent, the stricter reading is taken, so that what passes here passes there; each
such place says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

MAX_BODY_BYTES: Final = 500_000  # "500 kb", read as the smaller of its meanings
MAX_ITEM_BYTES: Final = 32_000  # "32 kb", likewise; also the limit of an entity request
MAX_IDENTIFIER_BYTES: Final = 150
MAX_ATTRIBUTES: Final = 300
MAX_NAME_BYTES: Final = 150
MAX_VALUE_BYTES: Final = 1_000
MAX_EVENT_NAME_BYTES: Final = 100

PERSON_IDENTIFIERS: Final = ("id", "email", "phone", "cio_id")
RELATED_IDENTIFIERS: Final = ("id", "email", "cio_id")  # of a merge, and of the people that an object is related to
PREFERENCES: Final = "cio_subscription_preferences"
_PLATFORMS: Final = ("ios", "android")
_DELIVERY_METRICS: Final = ("opened", "converted", "delivered")


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with an item, in the three words of an error of the API."""

    reason: str  # required | invalid
    field: str  # dotted path in the item; "" for the item as a whole
    message: str


def violations(item: Any, item_bytes: int) -> list[Violation]:
    """Everything that is wrong with an item of `item_bytes` bytes; nothing, when it would be accepted.

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
    found: list[Violation] = []
    for check in checks:
        check(item, found)
    return found


def is_timestamp(value: Any) -> bool:
    """Is this a time the Track API keeps? Unix seconds, whole or decimal; anything else becomes "now"."""
    return isinstance(value, int | float) and not isinstance(value, bool)


# ---------------------------------------------------------------- people


def _person(item: Mapping[str, Any], found: list[Violation]) -> None:
    _check_person("identifiers", item.get("identifiers"), PERSON_IDENTIFIERS, found)


def _both_people(item: Mapping[str, Any], found: list[Violation]) -> None:
    for member in ("primary", "secondary"):
        _check_person(member, item.get(member), RELATED_IDENTIFIERS, found)


def _check_person(path: str, identifiers: Any, kinds: tuple[str, ...], found: list[Violation]) -> None:
    if not isinstance(identifiers, dict):
        found.append(Violation("required", path, f"{path} must be an object"))
    elif len(identifiers) != 1:
        message = f"exactly one identifier is needed, not {len(identifiers)}"
        found.append(Violation("required", path, message))
    else:
        ((kind, value),) = identifiers.items()
        if kind not in kinds:
            message = f"a person is identified by {', '.join(kinds[:-1])} or {kinds[-1]}"
            if kinds is RELATED_IDENTIFIERS:
                message += " here"
            found.append(Violation("invalid", path, message))
        elif complaint := _identifier_complaint(kind, value):
            found.append(Violation("invalid", f"{path}.{kind}", complaint))


def _identifier_complaint(kind: str, value: Any) -> str | None:
    if not isinstance(value, str):
        # The document's ids are strings; whole numbers are sent in the field, and mean the same text.
        if kind in _MAY_BE_NUMBERS and isinstance(value, int) and not isinstance(value, bool):
            return None
        return "an identifier must be a string" + (" or a whole number" if kind in _MAY_BE_NUMBERS else "")
    if not value.strip():
        return "an identifier cannot be blank"
    if _longer_than(MAX_IDENTIFIER_BYTES, value):
        return f"an identifier cannot be longer than {MAX_IDENTIFIER_BYTES} bytes"
    if kind == "email" and not _EMAIL(value):
        return "not an e-mail address"
    if kind == "phone" and not _E164(value):
        return "a phone number must be in E.164 form"
    return None


def _event(item: Mapping[str, Any], found: list[Violation]) -> None:
    name = item.get("name")
    if name is None:
        found.append(Violation("required", "name", "an event needs a name"))
    elif not isinstance(name, str) or not name.strip():
        found.append(Violation("invalid", "name", "an event's name must be text and cannot be blank"))
    elif len(name) > _SURELY_SHORT_EVENT_NAME and _longer_than(MAX_EVENT_NAME_BYTES, name.strip()):
        message = f"an event's name cannot be longer than {MAX_EVENT_NAME_BYTES} bytes"
        found.append(Violation("invalid", "name", message))
    # What becomes of an id that is no ULID is not documented. Refused, or de-duplication would fail unnoticed.
    if "id" in item and not (isinstance(item["id"], str) and _ULID(item["id"])):
        found.append(Violation("invalid", "id", "an event's id must be a ULID"))
    # An event's data is bounded by the item's size.
    if not isinstance(item.get("attributes", _NOTHING), dict):
        found.append(Violation("invalid", "attributes", "attributes must be an object"))


def _visitor(item: Mapping[str, Any], found: list[Violation]) -> None:
    """Who an anonymous event of Track v1 is of. It may be of nobody in particular."""
    if "anonymous_id" in item and (complaint := _identifier_complaint("anonymous_id", item["anonymous_id"])):
        found.append(Violation("invalid", "anonymous_id", complaint))


def _added_device(item: Mapping[str, Any], found: list[Violation]) -> None:
    device = _check_token(item, found)
    if device is None:
        return
    if "platform" not in device:
        found.append(Violation("required", "device.platform", "a device needs a platform"))
    elif device["platform"] not in _PLATFORMS:
        found.append(Violation("invalid", "device.platform", "a device's platform is ios or android"))
    if "last_used" in device and not is_timestamp(device["last_used"]):
        found.append(Violation("invalid", "device.last_used", "a device's last_used must be Unix seconds"))
    if "attributes" in device and _check_attributes("device.attributes", device["attributes"], found):
        enabled = device["attributes"].get("push_enabled", "true")
        if enabled not in ("true", "false"):
            message = 'push_enabled must be the text "true" or "false"'
            found.append(Violation("invalid", "device.attributes.push_enabled", message))


def _check_token(item: Mapping[str, Any], found: list[Violation]) -> dict[str, Any] | None:
    """The item's device, if it is one."""
    device = item.get("device")
    if not isinstance(device, dict):
        found.append(Violation("required", "device", "device must be an object"))
        return None
    token = device.get("token")
    if token is None:
        found.append(Violation("required", "device.token", "a device needs a token"))
    elif not isinstance(token, str) or not token.strip():
        found.append(Violation("invalid", "device.token", "a device's token must be text and cannot be blank"))
    return device


def _token(item: Mapping[str, Any], found: list[Violation]) -> None:
    _check_token(item, found)


# ---------------------------------------------------------------- attributes


def _profile(item: Mapping[str, Any], found: list[Violation]) -> None:
    """A person's attributes, with those that mean something to Customer.io."""
    if "attributes" not in item or not _check_attributes("attributes", attributes := item["attributes"], found):
        return
    if not isinstance(attributes.get("_update", False), bool):
        found.append(Violation("invalid", "attributes._update", "_update must be true or false"))
    if PREFERENCES not in attributes and max(map(len, attributes), default=0) <= len(PREFERENCES):
        return  # no name can begin with it: that settles nearly everything
    for name, value in attributes.items():
        if name.startswith(PREFERENCES) and (complaint := _preferences_complaint(name, value)):
            found.append(Violation("invalid", f"attributes.{name}", complaint))


def _attributes(item: Mapping[str, Any], found: list[Violation]) -> None:
    if "attributes" in item:
        _check_attributes("attributes", item["attributes"], found)


def _check_attributes(path: str, attributes: Any, found: list[Violation]) -> bool:
    """The limits of attributes that are kept. Answers whether they are an object at all."""
    if not isinstance(attributes, dict):
        found.append(Violation("invalid", path, "attributes must be an object"))
        return False
    if len(attributes) > MAX_ATTRIBUTES:
        message = f"cannot set more than {MAX_ATTRIBUTES} attributes at once"
        found.append(Violation("invalid", path, message))
    for name, value in attributes.items():
        if not name:
            found.append(Violation("invalid", path, "an attribute's name cannot be empty"))
        elif len(name) > _SURELY_SHORT_NAME and _longer_than(MAX_NAME_BYTES, name):
            message = f"a name cannot be longer than {MAX_NAME_BYTES} bytes"
            found.append(Violation("invalid", path, message))
        if isinstance(value, _MEASURED) and _is_too_long(value):
            message = f"a value cannot be longer than {MAX_VALUE_BYTES} bytes"
            found.append(Violation("invalid", f"{path}.{name[:50]}", message))
    return True


def _preferences_complaint(name: str, value: Any) -> str | None:
    """Preferences are an object, or one topic by its dotted name. Null and empty text mean the topic's default."""
    if name == PREFERENCES:
        if value in (None, ""):
            return None
        topics = value.get("topics", _NOTHING) if isinstance(value, dict) else None
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


def _object(item: Mapping[str, Any], found: list[Violation]) -> None:
    _check_object("identifiers", item.get("identifiers"), found)


def _check_object(path: str, identifiers: Any, found: list[Violation]) -> None:
    if not isinstance(identifiers, dict):
        found.append(Violation("required", path, f"{path} must be an object"))
        return
    if identifiers.keys() not in ({"object_type_id", "object_id"}, {"cio_object_id"}):
        message = "an object is identified by object_type_id and object_id, or by cio_object_id"
        found.append(Violation("required", path, message))
        return
    for kind, value in identifiers.items():
        if complaint := _identifier_complaint(kind, value):
            found.append(Violation("invalid", f"{path}.{kind}", complaint))
        elif kind == "object_type_id" and not _OBJECT_TYPE(str(value)):
            found.append(Violation("invalid", f"{path}.{kind}", "an object type is a whole number from 1"))


def _objects_if_any(item: Mapping[str, Any], found: list[Violation]) -> None:
    if "cio_relationships" in item:
        _objects(item, found)


def _objects(item: Mapping[str, Any], found: list[Violation]) -> None:
    for path, each in _relationships(item, found):
        _check_object(f"{path}.identifiers", each.get("identifiers"), found)


def _people_if_any(item: Mapping[str, Any], found: list[Violation]) -> None:
    if "cio_relationships" in item:
        _people(item, found)


def _people(item: Mapping[str, Any], found: list[Violation]) -> None:
    for path, each in _relationships(item, found):
        _check_person(f"{path}.identifiers", each.get("identifiers"), RELATED_IDENTIFIERS, found)


def _visitors_if_any(item: Mapping[str, Any], found: list[Violation]) -> None:
    """The document's schema has a visitor's id in `cio_relationships`, and its example at the top of the item."""
    _visitor(item, found)
    if "cio_relationships" not in item:
        return
    for path, each in _relationships(item, found):
        identifiers = each.get("identifiers")
        if not isinstance(identifiers, dict) or identifiers.keys() != {"anonymous_id"}:
            found.append(Violation("required", f"{path}.identifiers", "an anonymous_id is needed, and nothing else"))
        elif complaint := _identifier_complaint("anonymous_id", identifiers["anonymous_id"]):
            found.append(Violation("invalid", f"{path}.identifiers.anonymous_id", complaint))


def _relationships(item: Mapping[str, Any], found: list[Violation]) -> list[tuple[str, dict[str, Any]]]:
    """Path and members of each relationship that is an object; the others are found to be wrong."""
    given = item.get("cio_relationships")
    if not isinstance(given, list) or not given:
        message = "cio_relationships must be an array of at least one relationship"
        found.append(Violation("required", "cio_relationships", message))
        return []
    good = []
    for number, each in enumerate(given):
        path = f"cio_relationships[{number}]"
        if not isinstance(each, dict):
            found.append(Violation("invalid", path, "a relationship must be an object"))
            continue
        if "relationship_attributes" in each:  # their limits are not documented; those of an object's are taken
            _check_attributes(f"{path}.relationship_attributes", each["relationship_attributes"], found)
        good.append((path, each))
    return good


# ---------------------------------------------------------------- deliveries


def _delivery(item: Mapping[str, Any], found: list[Violation]) -> None:
    identifiers, attributes = item.get("identifiers"), item.get("attributes")
    if not isinstance(identifiers, dict) or not isinstance(identifiers.get("id"), str) or not identifiers["id"]:
        found.append(Violation("required", "identifiers.id", "the id of a delivery is needed"))
    if item.get("name") not in _DELIVERY_METRICS:
        message = f"a delivery's event is {', '.join(_DELIVERY_METRICS[:-1])} or {_DELIVERY_METRICS[-1]}"
        found.append(Violation("invalid", "name", message))
    if not isinstance(attributes, dict) or not isinstance(attributes.get("device_token"), str):
        found.append(Violation("required", "attributes.device_token", "the token of a device is needed"))


# ---------------------------------------------------------------- the table of operations

Check = Callable[[Mapping[str, Any], list[Violation]], None]

# What is checked of an item, by its type and action.
OPERATIONS: Final[Mapping[tuple[str, str], tuple[Check, ...]]] = {
    ("person", "identify"): (_person, _profile, _objects_if_any),
    ("person", "delete"): (_person,),
    ("person", "event"): (_person, _event),
    ("person", "screen"): (_person, _event),
    ("person", "page"): (_person, _event),
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
    """Everything that is wrong with an anonymous event, which v2 has no type for."""
    found: list[Violation] = []
    _visitor(item, found)
    _event(item, found)
    return found


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


# ---------------------------------------------------------------- sizes and shapes


def _is_too_long(value: str | dict[str, Any] | list[Any]) -> bool:
    if isinstance(value, str):
        return len(value) > _SURELY_SHORT_VALUE and _longer_than(MAX_VALUE_BYTES, value)
    # How an object or array is measured is not documented; its compact JSON text is what it costs to keep.
    return _longer_than(MAX_VALUE_BYTES, json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _longer_than(limit: int, text: str) -> bool:
    """Is the text's UTF-8 longer than `limit` bytes?"""
    return len(text) > limit or len(text.encode()) > limit


# So many characters cannot be too many bytes, as each has 1 to 4; that settles nearly everything.
_SURELY_SHORT_NAME = MAX_NAME_BYTES // 4
_SURELY_SHORT_VALUE = MAX_VALUE_BYTES // 4
_SURELY_SHORT_EVENT_NAME = MAX_EVENT_NAME_BYTES // 4

_MAY_BE_NUMBERS = frozenset({"id", "object_id", "object_type_id"})
_MEASURED = (str, dict, list)  # of the values, the others cannot be too long
_NOTHING: Mapping[str, Any] = {}
_ONE_PREFERENCE = re.compile(rf"{PREFERENCES}\.(topics\.topic_[0-9]+|channels\.[a-z_]+)").fullmatch
_OBJECT_TYPE = re.compile(r"[1-9][0-9]*").fullmatch
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+").fullmatch
_E164 = re.compile(r"\+[1-9][0-9]{1,14}").fullmatch
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.IGNORECASE | re.ASCII).fullmatch
