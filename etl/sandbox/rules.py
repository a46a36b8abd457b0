"""What is wrong with an item? The documented rules of Track v2, as a pure function.

Sources: the Track API's OpenAPI document (operations, required fields, sizes) and the page on invalid requests (sizes
of names and values). Where they are silent, the stricter reading is taken, so that what passes here passes there; each
such place says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

MAX_BODY_BYTES: Final = 500_000  # "500 kb", read as the smaller of its meanings
MAX_ITEM_BYTES: Final = 32_000  # "32 kb", likewise; also the limit of an entity request
MAX_IDENTIFIER_BYTES: Final = 150
MAX_ATTRIBUTES: Final = 300
MAX_NAME_BYTES: Final = 150
MAX_VALUE_BYTES: Final = 1_000
MAX_EVENT_NAME_BYTES: Final = 100


@dataclass(frozen=True, slots=True)
class Operation:
    """A row of the table of operations: what an item of this type and action must have besides `identifiers`."""

    has_name: bool = False  # it is an event of some kind: name, id, timestamp
    has_limited_attributes: bool = False  # attributes are kept on the profile, whose limits are documented


OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("person", "identify"): Operation(has_limited_attributes=True),
    ("person", "delete"): Operation(),
    ("person", "event"): Operation(has_name=True),
    ("person", "screen"): Operation(has_name=True),
    ("person", "page"): Operation(has_name=True),
}
_TYPES = frozenset(kind for kind, _ in OPERATIONS)
PERSON_IDENTIFIERS: Final = ("id", "email", "phone", "cio_id")


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
    operation = _operation_of(item)
    if isinstance(operation, Violation):
        return [operation]
    found: list[Violation] = []
    _check_identifiers(item.get("identifiers"), found)
    if operation.has_name:
        _check_event(item, found)
    if "attributes" in item:
        _check_attributes(item["attributes"], operation.has_limited_attributes, found)
    return found


def is_timestamp(value: Any) -> bool:
    """Is this a time the Track API keeps? Unix seconds, whole or decimal; anything else becomes "now"."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _operation_of(item: Mapping[str, Any]) -> Operation | Violation:
    kind, action = item.get("type"), item.get("action")
    for field, value in (("type", kind), ("action", action)):
        if value is None:
            return Violation("required", field, f"{field} is missing")
    if not isinstance(kind, str) or kind not in _TYPES:
        return Violation("invalid", "type", "type is none of the known ones")
    operation = OPERATIONS.get((kind, action)) if isinstance(action, str) else None
    return operation or Violation("invalid", "action", f"a {kind} has no such action")


def _check_identifiers(identifiers: Any, found: list[Violation]) -> None:
    if not isinstance(identifiers, dict):
        found.append(Violation("required", "identifiers", "identifiers must be an object"))
    elif len(identifiers) != 1:
        message = f"exactly one identifier is needed, not {len(identifiers)}"
        found.append(Violation("required", "identifiers", message))
    else:
        ((kind, value),) = identifiers.items()
        if kind not in PERSON_IDENTIFIERS:
            message = "a person is identified by id, email, phone or cio_id"
            found.append(Violation("invalid", "identifiers", message))
        elif complaint := _identifier_complaint(kind, value):
            found.append(Violation("invalid", f"identifiers.{kind}", complaint))


def _identifier_complaint(kind: str, value: Any) -> str | None:
    if not isinstance(value, str):
        return "an identifier must be a string"
    if not value.strip():
        return "an identifier cannot be blank"
    if _longer_than(MAX_IDENTIFIER_BYTES, value):
        return f"an identifier cannot be longer than {MAX_IDENTIFIER_BYTES} bytes"
    if kind == "email" and not _EMAIL(value):
        return "not an e-mail address"
    if kind == "phone" and not _E164(value):
        return "a phone number must be in E.164 form"
    return None


def _check_event(item: Mapping[str, Any], found: list[Violation]) -> None:
    name = item.get("name")
    if name is None:
        found.append(Violation("required", "name", "an event needs a name"))
    elif not isinstance(name, str) or not name.strip():
        found.append(Violation("invalid", "name", "an event's name must be text and cannot be blank"))
    elif _longer_than(MAX_EVENT_NAME_BYTES, name.strip()):
        message = f"an event's name cannot be longer than {MAX_EVENT_NAME_BYTES} bytes"
        found.append(Violation("invalid", "name", message))
    # What becomes of an id that is no ULID is not documented. Refused, or de-duplication would fail unnoticed.
    if "id" in item and not (isinstance(item["id"], str) and _ULID(item["id"])):
        found.append(Violation("invalid", "id", "an event's id must be a ULID"))


def _check_attributes(attributes: Any, limited: bool, found: list[Violation]) -> None:
    if not isinstance(attributes, dict):
        found.append(Violation("invalid", "attributes", "attributes must be an object"))
        return
    if not limited:  # an event's data is bounded by the item's size
        return
    if not isinstance(attributes.get("_update", False), bool):
        found.append(Violation("invalid", "attributes._update", "_update must be true or false"))
    if len(attributes) > MAX_ATTRIBUTES:
        message = f"cannot set more than {MAX_ATTRIBUTES} attributes at once"
        found.append(Violation("invalid", "attributes", message))
    for name, value in attributes.items():
        if not name:
            found.append(Violation("invalid", "attributes", "an attribute's name cannot be empty"))
        elif len(name) > _SURELY_SHORT_NAME and _longer_than(MAX_NAME_BYTES, name):
            message = f"a name cannot be longer than {MAX_NAME_BYTES} bytes"
            found.append(Violation("invalid", "attributes", message))
        if _is_too_long(value):
            message = f"a value cannot be longer than {MAX_VALUE_BYTES} bytes"
            found.append(Violation("invalid", f"attributes.{name[:50]}", message))


def _is_too_long(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) > _SURELY_SHORT_VALUE and _longer_than(MAX_VALUE_BYTES, value)
    if isinstance(value, dict | list):
        # How an object or array is measured is not documented; its compact JSON text is what it costs to keep.
        return _longer_than(MAX_VALUE_BYTES, json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    return False


def _longer_than(limit: int, text: str) -> bool:
    """Is the text's UTF-8 longer than `limit` bytes?"""
    return len(text) > limit or len(text.encode()) > limit


# So many characters cannot be too many bytes, as each has 1 to 4; that settles nearly everything.
_SURELY_SHORT_NAME = MAX_NAME_BYTES // 4
_SURELY_SHORT_VALUE = MAX_VALUE_BYTES // 4

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+").fullmatch
_E164 = re.compile(r"\+[1-9][0-9]{1,14}").fullmatch
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.IGNORECASE | re.ASCII).fullmatch
