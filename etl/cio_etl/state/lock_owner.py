"""Who holds a lock, as others are told."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime

Holder = dict[str, object]  # pid, host, since

UNKNOWN: Holder = {"pid": "?", "host": "?", "since": "?"}  # it has only just taken the lock


def this_process() -> Holder:
    """This process, since now."""
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat(" ", "seconds")}


def read_holder(text: str) -> Holder:
    """Who signed."""
    try:
        said = json.loads(text)
        return {key: said[key] for key in UNKNOWN}
    except (ValueError, KeyError, TypeError):
        return UNKNOWN
