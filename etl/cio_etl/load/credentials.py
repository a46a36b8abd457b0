"""Checks, before anything is sent, that the destination takes the credentials and that the region is theirs."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from cio_etl.apis import APIS, by_status
from cio_etl.errors import DestinationUnavailable, WrongDestination
from cio_etl.load.connection import Connection, Deadlines
from cio_etl.load.retry import Backoff
from cio_etl.model import Accepted, Destination, Retry, Stop, Verdict
from cio_etl.model.records import dataclass


@dataclass(frozen=True, slots=True)
class CredentialCheck:
    """What the destination answered to a request with the credentials."""

    host: str
    region: str | None  # that the credentials belong to; None: the answer does not name one
    clock_ahead_s: float | None  # of this machine's clock before the host's; None: the answer had no date


def resolve(destination: Destination, patience_s: float = 10.0) -> Destination:
    """The destination, once it has answered and accepted the credentials; `region: auto` is filled in.

    Raises CredentialsRefused, WrongDestination, or DestinationUnavailable when nothing answers for `patience_s`.
    """
    return with_region(destination, check_credentials(destination, patience_s, persistent=destination.region == "auto"))


def with_region(destination: Destination, check: CredentialCheck) -> Destination:
    """The destination with the region of its credentials. Raises WrongDestination when the job names another one."""
    region, hosts = check.region, APIS[destination.api].hosts
    if destination.region == "auto" and not destination.base_url:
        if region is None:
            what = "it does not say which region the credentials belong to"
            raise WrongDestination("write `region: us` or `region: eu` in the job file", host=check.host, what=what)
        return replace(destination, region=region, base_url=hosts[region])  # type: ignore[arg-type]
    if region in hosts and destination.base_url in hosts.values() and region != destination.region:
        raise WrongDestination(
            f"write `region: {region}` in the job file",
            host=check.host,
            what=f"the credentials belong to the region {region}, the job says {destination.region}",
        )
    return destination


def check_credentials(destination: Destination, patience_s: float, *, persistent: bool) -> CredentialCheck:
    """Whether the destination accepts the credentials, and their region where its API names one.

    While nothing answers, the request is repeated for `patience_s`. After HTTP 429 or 5xx it is repeated only if
    `persistent`: the host is there, and that may be enough.
    Raises CredentialsRefused, WrongDestination, or DestinationUnavailable.
    """
    api = APIS[destination.api]
    addressed = destination if destination.base_url else replace(destination, base_url=api.hosts["us"])
    request = api.credential_request
    deadlines = Deadlines()
    connection = Connection(addressed, deadlines, replace(api.batch, path=request.path, headers=request.headers))
    check = CredentialCheck(connection.host, None, None)

    def read(status: int, headers: httpx.Headers, body: bytes) -> Verdict:
        nonlocal check
        region = request.region(body) if request.region is not None and status == 200 else None
        check = CredentialCheck(connection.host, region, _clock_ahead_s(headers))
        verdict = by_status(status, headers, connection.host, api.renewal) or Accepted()
        return verdict if persistent or not isinstance(verdict, Retry) else Accepted()

    def attempt() -> Verdict:
        if request.body is None:
            return connection.get(request.path, read)
        return connection.send(request.body, read)

    backoff = Backoff(patience_s, time.monotonic)
    try:
        while isinstance(verdict := attempt(), Retry):
            if (wait_s := backoff.wait_s(verdict)) is None:
                raise DestinationUnavailable(host=connection.host, reason=verdict.reason)
            time.sleep(wait_s)
    finally:
        connection.close()
        deadlines.close()
    if isinstance(verdict, Stop):
        raise verdict.error
    return check


def _clock_ahead_s(headers: httpx.Headers) -> float | None:
    """How far this clock is ahead of the answer's Date, which has whole seconds."""
    try:
        return (datetime.now(UTC) - parsedate_to_datetime(headers["date"])).total_seconds()
    except (KeyError, ValueError, TypeError):
        return None
