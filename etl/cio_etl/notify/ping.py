"""Calls the monitor of a job, which notices when a run does not take place.

The addresses are those of healthchecks.io and of services with the same interface: `URL/start`, `URL` after a success,
and `URL/CODE`, with the exit code, after a failure. The monitor's answer does not matter: it can neither stop a run nor
delay it for long.
"""

from __future__ import annotations

import queue
import threading

import httpx
from pydantic import SecretStr

TIMEOUT_S = 5.0
ATTEMPTS = 2


def ping(url: SecretStr, suffix: str, timeout_s: float = TIMEOUT_S) -> str:
    """Calls the address with `suffix` behind its path, twice at most, for `timeout_s` each.

    It returns what went wrong, "" for nothing.
    """
    path, mark, query = url.get_secret_value().partition("?")
    address = f"{path.rstrip('/')}{suffix}{mark}{query}"
    failure = ""
    for _ in range(ATTEMPTS):
        answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        # In a thread, since httpx's time-out limits neither the look-up of a name nor an answer that comes in drips.
        threading.Thread(target=lambda to=answers: to.put(_failure(address, timeout_s)), daemon=True).start()
        try:
            failure = answers.get(timeout=timeout_s)
        except queue.Empty:
            failure = "no answer"
        if not failure:
            break
    return failure


def _failure(address: str, timeout_s: float) -> str:
    """Asks once for the address; what went wrong, "" for nothing."""
    try:
        with httpx.Client(timeout=timeout_s, trust_env=False) as client, client.stream("GET", address) as answer:
            return f"HTTP {answer.status_code}" if answer.status_code >= 400 else ""
    except Exception as error:  # of any kind: its message holds the address, and so its secret
        return type(error).__name__
