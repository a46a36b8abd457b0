"""Who notices that a run did not come? A monitor that is told of each run, and tells when it hears nothing.

The addresses are those of healthchecks.io, and of others that speak alike: `URL/start`, `URL` when all went well, and
`URL/CODE`, the exit code, when not. What it answers does not matter, and it can neither stop nor delay a run for long.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import structlog
from pydantic import SecretStr

from cio_etl.errors import EtlError

log = structlog.get_logger()

PATIENCE_S = 5.0
TRIES = 2
FINE = (0, 3)  # rejects within max_rejects are no reason to wake somebody


@contextmanager
def monitored(url: SecretStr | None, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Tells the monitor at `url` that a run begins, and how it ends: by an EtlError's exit code, else 0 or 1.

    Each is tried twice, for `patience_s` at most.
    """
    if url is None:
        yield
        return
    _ping(url, "/start", patience_s)
    code = 1
    try:
        yield
        code = 0
    except EtlError as error:
        code = error.exit_code
        raise
    finally:
        _ping(url, "" if code in FINE else f"/{code}", patience_s)


def _ping(url: SecretStr, what: str, patience_s: float) -> None:
    path, mark, query = url.get_secret_value().partition("?")
    address = f"{path.rstrip('/')}{what}{mark}{query}"
    failed = ""
    for _ in range(TRIES):
        answered: queue.SimpleQueue[str] = queue.SimpleQueue()
        # Of a thread's own, since no time-out of httpx holds for a name that is looked up, or an answer that drips.
        threading.Thread(target=lambda to=answered: to.put(_asked(address, patience_s)), daemon=True).start()
        try:
            failed = answered.get(timeout=patience_s)
        except queue.Empty:
            failed = "no answer"
        if not failed:
            return
    log.warning("ping_failed", reason=failed)


def _asked(address: str, patience_s: float) -> str:
    """What was wrong with the answer, or the address; "": nothing."""
    try:
        with httpx.Client(timeout=patience_s, trust_env=False) as client, client.stream("GET", address) as answer:
            return f"HTTP {answer.status_code}" if answer.status_code >= 400 else ""
    except Exception as error:  # whatever it is: its words hold the address, and so its secret
        return type(error).__name__
