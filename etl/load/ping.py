"""Who notices that a run did not come? A monitor that is told of each run, and tells when it hears nothing.

The addresses are those of healthchecks.io, and of others that speak alike: `URL/start`, `URL` when all went well, and
`URL/CODE`, the exit code, when not. What it answers does not matter, and it can neither stop nor delay a run for long.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import structlog
from pydantic import SecretStr

from etl.errors import EtlError

log = structlog.get_logger()

PATIENCE_S = 5.0
TRIES = 2
FINE = (0, 3)  # rejects within max_rejects are no reason to wake somebody


@contextmanager
def told(url: SecretStr | None) -> Iterator[None]:
    """Tells the monitor at `url` that a run begins, and how it ends: by an EtlError's exit code, else 0 or 1."""
    if url is None:
        yield
        return
    _ping(url, "/start")
    code = 1
    try:
        yield
        code = 0
    except EtlError as error:
        code = error.exit_code
        raise
    finally:
        _ping(url, "" if code in FINE else f"/{code}")


def _ping(url: SecretStr, what: str) -> None:
    address = url.get_secret_value().rstrip("/") + what
    failed = ""
    for _ in range(TRIES):
        try:
            with httpx.Client(timeout=PATIENCE_S, trust_env=False) as client:
                answer = client.get(address)
        except (httpx.HTTPError, httpx.InvalidURL) as error:  # their words hold the address, and so its secret
            failed = type(error).__name__
            continue
        if answer.status_code < 400:
            return
        failed = f"HTTP {answer.status_code}"
    log.warning("ping_failed", reason=failed)
