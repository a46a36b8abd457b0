"""Compares what was sent of a person with what Customer.io shows of them, attribute by attribute. Pure.

The App API shows every value as text, so a value that was sent is compared in the form that Customer.io gives it:
numbers by their value, `true` and `false` in any case, JSON by its content. A null, or an empty text, has removed the
attribute.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from cio_etl.apis.app import Profile

# They tell Customer.io what to do, or identify somebody, and are shown otherwise or not at all.
NOT_SHOWN = frozenset({"_update", "_timestamp", "cio_id", "anonymous_id"})
PREFERENCES = "cio_subscription_preferences"


def differences(sent: Mapping[str, Any], profile: Profile) -> list[str]:
    """The names of the attributes of which Customer.io has not what was sent, in the order in which they were sent."""
    return [name for name, value in sent.items() if name not in NOT_SHOWN and not is_same(name, value, profile)]


def shown(name: str, profile: Profile) -> Any:
    """What Customer.io shows of an attribute, as it shows it; None where it has none."""
    if name == "unsubscribed":
        return profile.unsubscribed
    if name.startswith(f"{PREFERENCES}."):
        return _preference(name, profile.attributes.get(PREFERENCES))
    return profile.attributes.get(name, profile.identifiers.get(name))


def is_same(name: str, value: Any, profile: Profile) -> bool:
    """Whether Customer.io has the value of an attribute. Numbers with a fraction are Decimal."""
    there = shown(name, profile)
    if name == "unsubscribed":
        return bool(_is_unsubscribed(value) == there)
    if name.startswith(f"{PREFERENCES}."):
        return there is None if value in (None, "") else _is_preference(value, there)
    there = there or ""
    if value is None or value == "":
        return bool(there == "")
    if name == "email":
        return isinstance(value, str) and value.casefold() == there.casefold()
    return _is_shown_as(value, there) or (name == "created_at" and _is_same_second(value, there))


def parsed(text: str) -> Any:
    """The value of a JSON text, with exact numbers. Raises ValueError."""
    return json.loads(text, parse_float=Decimal)


def _is_shown_as(value: Any, shown: str) -> bool:
    if isinstance(value, bool):
        return shown.lower() == ("true" if value else "false")
    if isinstance(value, int | Decimal):
        return _is_same_number(value, shown)
    if isinstance(value, str):
        return shown == value
    try:
        return _is_same_json(value, parsed(shown))
    except (ValueError, RecursionError):
        return False


def _is_same_number(value: int | Decimal, shown: str) -> bool:
    """Whether a text is the same number: `1`, `1.0` and `1e0` are. A fraction may have gone through a binary float."""
    try:
        number = Decimal(shown)
    except InvalidOperation:
        return False
    if not number.is_finite():
        return False
    return number == value or (isinstance(value, Decimal) and float(number) == float(value))


def _is_same_json(value: Any, shown: Any) -> bool:
    """Whether two JSON values mean the same; a member that is null is none."""
    if isinstance(value, dict) and isinstance(shown, dict):
        left, right = ({key: each for key, each in side.items() if each is not None} for side in (value, shown))
        return left.keys() == right.keys() and all(_is_same_json(left[key], right[key]) for key in left)
    if isinstance(value, list) and isinstance(shown, list):
        return len(value) == len(shown) and all(map(_is_same_json, value, shown))
    if isinstance(value, bool) or isinstance(shown, bool):
        return value is shown
    if isinstance(value, int | Decimal) and isinstance(shown, int | Decimal):
        return _is_same_number(value, str(shown))
    return bool(value == shown)


def _is_same_second(value: Any, shown: str) -> bool:
    """Whether a time in ISO 8601 is shown as its Unix second."""
    if not isinstance(value, str):
        return False
    try:
        at = datetime.fromisoformat(value)
        return at.tzinfo is not None and int(at.timestamp()) == int(Decimal(shown))
    except (ValueError, InvalidOperation, OverflowError):
        return False


def _is_unsubscribed(value: Any) -> bool:
    """What Customer.io takes a value of `unsubscribed` for: everything else than these is subscribed."""
    return value is True or (isinstance(value, str) and value.lower() in ("true", "1")) or value == 1


def _preference(name: str, preferences: str | None) -> Any:
    """One preference, by its name, as `cio_subscription_preferences.topics.topic_1`; None where there is none."""
    try:
        found: Any = parsed(preferences) if preferences else {}
    except (ValueError, RecursionError):
        return preferences
    for part in name.split(".")[1:]:
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _is_preference(value: Any, there: Any) -> bool:
    return isinstance(there, bool | int | str | Decimal) and _is_shown_as(
        value, there if isinstance(there, str) else json.dumps(there, default=str)
    )
