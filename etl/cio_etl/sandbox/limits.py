"""The documented limits of identifiers, attributes and sizes, as pure functions.

Sources: the Track API's OpenAPI document (sizes), and the page on invalid requests (sizes of names and values).
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

PERSON_IDENTIFIERS: Final = ("id", "email", "phone", "cio_id")
# The document has no visitors here; Segment and RudderStack send their events so.
EVENT_IDENTIFIERS: Final = (*PERSON_IDENTIFIERS, "anonymous_id")
RELATED_IDENTIFIERS: Final = ("id", "email", "cio_id")  # of a merge, and of the people that an object is related to
PREFERENCES: Final = "cio_subscription_preferences"


@dataclass(frozen=True, slots=True)
class Violation:
    """One fault of an item, with the three members of an error of the API."""

    reason: str  # required | invalid
    field: str  # dotted path in the item; "" for the item as a whole
    message: str


def is_timestamp(value: Any) -> bool:
    """Is this a time that the Track API stores? Unix seconds, whole or decimal; anything else becomes "now"."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_person(path: str, identifiers: Any, kinds: tuple[str, ...], problems: list[Violation]) -> None:
    """Checks that the identifiers at `path` are exactly one, of one of `kinds`, and within its limits."""
    if not isinstance(identifiers, dict):
        problems.append(Violation("required", path, f"{path} must be an object"))
    elif len(identifiers) != 1:
        message = f"exactly one identifier is needed, not {len(identifiers)}"
        problems.append(Violation("required", path, message))
    else:
        ((kind, value),) = identifiers.items()
        if kind not in kinds:
            message = f"a person is identified by {', '.join(kinds[:-1])} or {kinds[-1]}"
            if kinds is RELATED_IDENTIFIERS:
                message += " here"
            problems.append(Violation("invalid", path, message))
        elif complaint := identifier_complaint(kind, value):
            problems.append(Violation("invalid", f"{path}.{kind}", complaint))


def identifier_complaint(kind: str, value: Any) -> str | None:
    """What is wrong with an identifier; None when it is valid."""
    if not isinstance(value, str):
        # The document's ids are strings. Many programs send whole numbers, which mean the same text.
        if kind in _MAY_BE_NUMBERS and isinstance(value, int) and not isinstance(value, bool):
            return None
        return "an identifier must be a string" + (" or a whole number" if kind in _MAY_BE_NUMBERS else "")
    if not value.strip():
        return "an identifier cannot be blank"
    if is_longer_than(MAX_IDENTIFIER_BYTES, value):
        return f"an identifier cannot be longer than {MAX_IDENTIFIER_BYTES} bytes"
    if kind == "email" and not _EMAIL(value):
        return "not an e-mail address"
    if kind == "phone" and not _E164(value):
        return "a phone number must be in E.164 form"
    return None


def check_attributes(path: str, attributes: Any, problems: list[Violation]) -> bool:
    """Checks the limits of attributes. Returns whether they are an object."""
    if not isinstance(attributes, dict):
        problems.append(Violation("invalid", path, "attributes must be an object"))
        return False
    if len(attributes) > MAX_ATTRIBUTES:
        message = f"cannot set more than {MAX_ATTRIBUTES} attributes at once"
        problems.append(Violation("invalid", path, message))
    for name, value in attributes.items():
        if not name:
            problems.append(Violation("invalid", path, "an attribute's name cannot be empty"))
        elif len(name) > _SURELY_SHORT_NAME and is_longer_than(MAX_NAME_BYTES, name):
            message = f"a name cannot be longer than {MAX_NAME_BYTES} bytes"
            problems.append(Violation("invalid", path, message))
        if isinstance(value, _MEASURED) and _is_too_long(value):
            message = f"a value cannot be longer than {MAX_VALUE_BYTES} bytes"
            problems.append(Violation("invalid", f"{path}.{name[:50]}", message))
    return True


def _is_too_long(value: str | dict[str, Any] | list[Any]) -> bool:
    if isinstance(value, str):
        return len(value) > _SURELY_SHORT_VALUE and is_longer_than(MAX_VALUE_BYTES, value)
    # How an object or array is measured is not documented. Here it is the length of its compact JSON text.
    return is_longer_than(MAX_VALUE_BYTES, json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def is_longer_than(limit: int, text: str) -> bool:
    """Is the text's UTF-8 longer than `limit` bytes?"""
    return len(text) > limit or len(text.encode()) > limit


# So many characters cannot be too many bytes, since each has 1 to 4: a quick answer for nearly all texts.
_SURELY_SHORT_NAME = MAX_NAME_BYTES // 4
_SURELY_SHORT_VALUE = MAX_VALUE_BYTES // 4

_MAY_BE_NUMBERS = frozenset({"id", "object_id", "object_type_id"})
_MEASURED = (str, dict, list)  # values of other types cannot be too long
NOTHING: Mapping[str, Any] = {}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+").fullmatch
_E164 = re.compile(r"\+[1-9][0-9]{1,14}").fullmatch
