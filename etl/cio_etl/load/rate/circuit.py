"""Decides whether the destination is down. Then one lane at a time probes it, and all others wait.

Failures are paid from a budget. A request that succeeds refills it by a quarter of a failure, so one failure in five
may go on for ever; time refills it, too. When the budget is empty, the circuit is open: there is an outage.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf

from cio_etl.model.records import dataclass

FULL = 50.0  # the budget, in failures
TIME_OUT_COST = 2.0  # a failure that took long costs more
REFILL = 0.25  # failures, for each request that succeeds
REFILL_PER_S = 2.0  # failures a second ...
RECOVERY_S = 10.0  # ... for so long after the last success
DEGRADED = FULL / 2  # below it, failures are more than occasional: the rate is lowered
FIRST_PROBE_S, PROBE_S = 1.0, 10.0  # between two probes: at first, and at most; it doubles each time
JITTER = 0.5  # up to this share is added, so that many processes don't probe together


@dataclass(frozen=True, slots=True)
class Circuit:
    """What remains of the budget, or since when there is an outage. Times are seconds of a monotonic clock."""

    counted_at: float  # when `remaining` was right
    success_at: float  # when a request last succeeded
    remaining: float = FULL
    open_since: float = inf
    probe_at: float = inf  # the first lane that comes then may probe
    pause_s: float = FIRST_PROBE_S

    @property
    def is_open(self) -> bool:
        return self.open_since < inf

    @property
    def is_degraded(self) -> bool:
        return self.remaining < DEGRADED

    def succeeded(self, started: float, now: float) -> Circuit:
        """After the success of a request that started then.

        A success ends an outage only if the request started during it: an older one proves nothing.
        """
        if not self.is_open:
            return Circuit(max(self.counted_at, now), now, min(FULL, self._remaining_at(now) + REFILL))
        return Circuit(now, now, DEGRADED) if started >= self.open_since else self

    def failed(self, now: float, cost: float, jitter: float, *, throttled: bool) -> Circuit:
        """After a failure. `jitter` is from 0 to 1. `throttled` is no outage while other requests succeed."""
        if self.is_open:
            return self
        before = self._remaining_at(now)
        remaining = before - cost
        if throttled and now - self.success_at < RECOVERY_S:
            remaining = max(remaining, min(before, 1.0))
        counted = Circuit(max(self.counted_at, now), self.success_at, max(0.0, remaining))
        return counted if remaining > 0 else replace(counted, open_since=now)._with_next_probe(now, jitter)

    def probed(self, now: float, jitter: float) -> Circuit:
        """After a lane has started a probe: the next one comes later."""
        return replace(self, pause_s=min(PROBE_S, self.pause_s * 2.0))._with_next_probe(now, jitter)

    def _with_next_probe(self, now: float, jitter: float) -> Circuit:
        return replace(self, probe_at=now + self.pause_s * (1.0 + JITTER * jitter))

    def _remaining_at(self, now: float) -> float:
        """The budget, with what time has refilled."""
        seconds = max(0.0, min(now, self.success_at + RECOVERY_S) - self.counted_at)
        return min(FULL, self.remaining + REFILL_PER_S * seconds)
