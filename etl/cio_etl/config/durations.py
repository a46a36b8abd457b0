"""How long is `15 minutes`, `2h` or `1 day`?"""

from __future__ import annotations

import re
from datetime import timedelta

_WRITTEN = re.compile(r"(\d{1,6}) ?(s|seconds?|m|min|minutes?|h|hours?|d|days?)", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def duration(text: str) -> timedelta:
    """The duration that a text says. Raises ValueError for any other text."""
    found = _WRITTEN.fullmatch(text.strip())
    if found is None:
        raise ValueError("must be a duration, as 15 minutes, 2h or 1 day")
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2][0]])
