"""Checks, before anything is sent, that the destination takes the credentials and that the region is theirs."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from cio_etl.apis import APIS, by_status
from cio_etl.errors import DestinationUnavailable, WrongDestination
from cio_etl.load.connection import Connection, Deadlines
from cio_etl.load.retry import Backoff
from cio_etl.model import Accepted, Destination, Retry, Stop, Verdict


@dataclass(frozen=True, slots=True)
class CredentialCheck:
    """What the destination told when it was asked whom the credentials belong to."""

    host: str
    region: str | None  # None: it answers, but does not say
    ahead_s: float | None  # of our clock; None: its answer had no date


def resolve(destination: Destination, patience_s: float = 10.0) -> Destination:
    """The destination, known to be there, to take the credentials, and to be of their region (filled in for `auto`).

    Raises CredentialsRefused, WrongDestination, or DestinationUnavailable when nothing answers for `patience_s`.
    """
    return of_region(destination, check_credentials(destination, patience_s, persistent=destination.region == "auto"))


def of_region(destination: Destination, greeting: CredentialCheck) -> Destination:
    """The destination with the region that was told filled in. Raises WrongDestination when the job says another."""
    region, hosts = greeting.region, APIS[destination.api].hosts
    if destination.region == "auto" and not destination.base_url:
        if region is None:
            what = "it does not say which region the credentials belong to"
            raise WrongDestination("write `region: us` or `region: eu` in the job file", host=greeting.host, what=what)
        return replace(destination, region=region, base_url=hosts[region])  # type: ignore[arg-type]
    if region in hosts and destination.base_url in hosts.values() and region != destination.region:
        raise WrongDestination(
            f"write `region: {region}` in the job file",
            host=greeting.host,
            what=f"the credentials belong to the region {region}, the job says {destination.region}",
        )
    return destination


def check_credentials(destination: Destination, patience_s: float, *, persistent: bool) -> CredentialCheck:
    """Whether the destination accepts the credentials, and their region where its API names one.

    While nothing answers, the request is repeated for `patience_s`. A host that answers HTTP 429 or 5xx is there: the
    request is repeated only if `persistent`.
    Raises CredentialsRefused, WrongDestination, or DestinationUnavailable.
    """
    api = APIS[destination.api]
    asked = destination if destination.base_url else replace(destination, base_url=api.hosts["us"])
    request = api.credential_request
    deadlines = Deadlines()
    wire = Connection(asked, deadlines, replace(api.batch, path=request.path, headers=request.headers))
    told = CredentialCheck(wire.host, None, None)

    def read(status: int, headers: httpx.Headers, body: bytes) -> Verdict:
        nonlocal told
        region = request.region(body) if request.region is not None and status == 200 else None
        told = CredentialCheck(wire.host, region, _ahead_s(headers))
        verdict = by_status(status, headers, wire.host) or Accepted()
        return verdict if persistent or not isinstance(verdict, Retry) else Accepted()

    def ask() -> Verdict:
        return wire.get(request.path, read) if request.body is None else wire.send(request.body, read)

    backoff = Backoff(patience_s, time.monotonic)
    try:
        while isinstance(verdict := ask(), Retry):
            if (wait_s := backoff.wait_s(verdict)) is None:
                raise DestinationUnavailable(host=wire.host, reason=verdict.reason)
            time.sleep(wait_s)
    finally:
        wire.close()
        deadlines.close()
    if isinstance(verdict, Stop):
        raise verdict.error
    return told


def _ahead_s(headers: httpx.Headers) -> float | None:
    """How far our clock is ahead of the answer's Date, which has whole seconds."""
    try:
        return (datetime.now(UTC) - parsedate_to_datetime(headers["date"])).total_seconds()
    except (KeyError, ValueError, TypeError):
        return None
