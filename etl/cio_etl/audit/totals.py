"""The forecast of a run: people, events, requests, bytes and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cio_etl.audit.findings import Audit
from cio_etl.audit.identity import Identity
from cio_etl.model import Destination, Forecast
from cio_etl.model.report import ASSUMED_LATENCY_S


def forecast(
    audits: Sequence[Audit], events: int, requests: Mapping[int, int], bytes_sent: int, destination: Destination
) -> Forecast:
    """The totals, and the time at the job's own rate. `requests` are by lane: each lane has one in flight."""
    people = next(audit.people for audit in audits if isinstance(audit, Identity))
    return Forecast(
        people=people.distinct(),
        people_exact=people.every == 1,
        events=events,
        requests=sum(requests.values()),
        bytes=bytes_sent,
        seconds=seconds_to_send(requests, destination),
        requests_per_second=destination.requests_per_second,
        lanes=destination.lanes,
        latency_s=ASSUMED_LATENCY_S,
    )


def seconds_to_send(requests: Mapping[int, int], destination: Destination) -> float:
    """How long these requests take, by lane: at the rate of the destination, or one after the other in a lane."""
    rate = destination.requests_per_second
    by_rate = 0.0 if rate is None else sum(requests.values()) / rate
    by_lane = max(requests.values(), default=0) * ASSUMED_LATENCY_S
    return round(max(by_rate, by_lane), 1)
