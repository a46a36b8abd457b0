"""What would a run over these rows come to?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cio_etl.audit.found import Audit
from cio_etl.audit.identity import Identity
from cio_etl.model import Destination, Forecast

ASSUMED_LATENCY_S = 0.25  # of a request with a full body; what it is, only a run tells


def forecast(
    audits: Sequence[Audit], events: int, requests: Mapping[int, int], bytes_sent: int, destination: Destination
) -> Forecast:
    """The sums, and the time at the job's own rate. `requests` are by lane: each lane has one under way."""
    people = next(audit.people for audit in audits if isinstance(audit, Identity))
    rate, total = destination.requests_per_second, sum(requests.values())
    by_rate = 0.0 if rate is None else total / rate
    by_lane = max(requests.values(), default=0) * ASSUMED_LATENCY_S
    return Forecast(
        people=people.distinct(),
        people_exact=people.every == 1,
        events=events,
        requests=total,
        bytes=bytes_sent,
        seconds=round(max(by_rate, by_lane), 1),
        requests_per_second=rate,
        lanes=destination.lanes,
        latency_s=ASSUMED_LATENCY_S,
    )
