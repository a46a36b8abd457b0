"""Tells a monitor that a run starts and how it ends, so that somebody notices when a run does not take place.

The addresses are those of healthchecks.io and of services with the same interface: `URL/start`, `URL` after a success,
and `URL/CODE`, with the exit code, after a failure. The monitor's answer does not matter: it can neither stop a run nor
delay it for long.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from pydantic import SecretStr

from cio_etl.errors import EtlError
from cio_etl.log import get_logger

log = get_logger()

TIMEOUT_S = 5.0
ATTEMPTS = 2
SUCCESS = (0, 3)  # exit codes; rejects within max_rejects are no reason to wake somebody


@contextmanager
def monitored(url: SecretStr | None, timeout_s: float = TIMEOUT_S) -> Iterator[None]:
    """Tells the monitor at `url` that a run starts, and how it ends: the exit code of an EtlError, else 0 or 1.

    Each message is tried twice, for `timeout_s` at most. None: there is no monitor.
    """
    if url is None:
        yield
        return
    _ping(url, "/start", timeout_s)
    code = 1
    try:
        yield
        code = 0
    except EtlError as error:
        code = error.exit_code
        raise
    finally:
        _ping(url, "" if code in SUCCESS else f"/{code}", timeout_s)


def _ping(url: SecretStr, suffix: str, timeout_s: float) -> None:
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
            return
    log.warning("ping_failed", reason=failure)


def _failure(address: str, timeout_s: float) -> str:
    """Asks once for the address; what went wrong, "" for nothing."""
    try:
        with httpx.Client(timeout=timeout_s, trust_env=False) as client, client.stream("GET", address) as answer:
            return f"HTTP {answer.status_code}" if answer.status_code >= 400 else ""
    except Exception as error:  # of any kind: its message holds the address, and so its secret
        return type(error).__name__
