"""Checks, before anything is sent, that the destination takes the credentials and that the region is theirs."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from cio_etl.errors import DestinationUnavailable, WrongDestination
from cio_etl.load.connection import Connection, Deadlines
from cio_etl.load.destinations import pipelines, track
from cio_etl.load.destinations.answers import by_status
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
    region = greeting.region
    if destination.region == "auto" and not destination.base_url:
        if region not in track.HOSTS:
            what = "it does not say which region the credentials belong to"
            raise WrongDestination("write `region: us` or `region: eu` in the job file", host=greeting.host, what=what)
        return replace(destination, region=region, base_url=track.HOSTS[region])  # type: ignore[arg-type]
    if region in track.HOSTS and destination.base_url in track.HOSTS.values() and region != destination.region:
        raise WrongDestination(
            f"write `region: {region}` in the job file",
            host=greeting.host,
            what=f"the credentials belong to the region {region}, the job says {destination.region}",
        )
    return destination


def check_credentials(destination: Destination, patience_s: float, *, persistent: bool) -> CredentialCheck:
    """Asks which region the credentials belong to; again, for `patience_s`, while nothing answers.

    The Pipelines API does not tell: it is sent a batch of nothing, to see whether it takes the key. A host that answers
    HTTP 429 or 5xx is there: it is asked again only if `persistent`, else it has said nothing.
    Raises CredentialsRefused, WrongDestination, or DestinationUnavailable.
    """
    asked = destination if destination.base_url else replace(destination, base_url=track.HOSTS["us"])
    tells = destination.api == "track"
    deadlines = Deadlines()
    wire = Connection(asked, deadlines, track.BATCH if tells else pipelines.BATCH)
    told = CredentialCheck(wire.host, None, None)

    def read(status: int, headers: httpx.Headers, body: bytes) -> Verdict:
        nonlocal told
        told = CredentialCheck(wire.host, track.region(body) if status == 200 else None, _ahead_s(headers))
        verdict = by_status(status, headers, wire.host) or Accepted()
        return verdict if persistent or not isinstance(verdict, Retry) else Accepted()

    def ask() -> Verdict:
        return wire.get(track.REGION_PATH, read) if tells else wire.send(pipelines.EMPTY_BATCH, read)

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
