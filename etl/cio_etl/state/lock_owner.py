"""Describes the process that holds a lock, for the messages of others."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime

LockOwner = dict[str, object]  # pid, host, since

UNKNOWN: LockOwner = {"pid": "?", "host": "?", "since": "?"}  # it has taken the lock and not written itself yet


def this_process() -> LockOwner:
    """This process, as the owner of a lock since now."""
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat(" ", "seconds")}


def owner_from_text(text: str) -> LockOwner:
    """The owner from the text that it wrote."""
    try:
        owner = json.loads(text)
        return {key: owner[key] for key in UNKNOWN}
    except (ValueError, KeyError, TypeError):
        return UNKNOWN
