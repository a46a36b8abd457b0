"""What all calls of the Pipelines API have in common: who they are about, and when; pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

Call = Mapping[str, Any]
Item = dict[str, Any]

NO_IDENTITY: Final = "userId or anonymousId: is required"
DEFAULT_OBJECT_TYPE: Final = "1"


def has_identity(call: Call) -> bool:
    """Does the call name a person or a visitor?"""
    return bool(call.get("userId") or call.get("anonymousId"))


def person_of(call: Call) -> dict[str, str]:
    """The identifier of the call's userId, by its shape: an e-mail address, or else an id."""
    user: str = call["userId"]
    return {"email" if _EMAIL(user) else "id": user}


def seconds_of(timestamp: Any) -> float | None:
    """Unix seconds of an ISO 8601 time; None of anything else. Without a zone it is UTC.

    >>> seconds_of("1970-01-01T00:01:00.500Z"), seconds_of("60"), seconds_of(60)
    (60.5, None, None)
    """
    if not isinstance(timestamp, str) or not _ISO(timestamp):
        return None
    try:
        at = datetime.fromisoformat(timestamp)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        return None


_EMAIL = re.compile(r"[^@\s]+@[^@\s]+").fullmatch
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].+)?", re.ASCII).fullmatch
