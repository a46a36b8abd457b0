"""Is the destination down? Failures cost from a budget; when it is empty, one lane at a time asks and all others wait.

What is taken earns: a quarter of a failure for each request, so a fifth of all may fail for ever, and two a second.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

FULL = 50.0  # failures
TIME_OUT_COST = 2.0  # of one that took its time, too
REFILL = 0.25  # for a request that was taken: one in five may fail
REFILL_PER_S = 2.0  # a second ...
RECOVERY_S = 10.0  # ... for so long after one was taken
DEGRADED = FULL / 2  # less than this left: too much fails to be the weather
FIRST_PROBE_S, PROBE_S = 1.0, 10.0  # between two questions: twice as long each time
JITTER = 0.5  # and up to this share more, so that many processes don't ask together


@dataclass(frozen=True, slots=True)
class Circuit:
    """What is left of the budget, or since when there was nothing left. Times are a monotonic clock's seconds."""

    at: float  # when `left` was counted
    taken_at: float  # when something was last taken
    left: float = FULL
    open_since: float = inf
    probe_at: float = inf  # who comes then may ask
    pause_s: float = FIRST_PROBE_S

    @property
    def is_open(self) -> bool:
        return self.open_since < inf

    @property
    def is_degraded(self) -> bool:
        return self.left < DEGRADED

    def taken(self, started: float, now: float) -> Circuit:
        """A request that began at `started` was taken. One that began in an outage ends it, others prove nothing."""
        if not self.is_open:
            earned = self._counted(now)
            return replace(earned, left=min(FULL, earned.left + REFILL), taken_at=now)
        return Circuit(now, now, DEGRADED) if started >= self.open_since else self

    def failed(self, now: float, cost: float, jitter: float, *, throttled: bool) -> Circuit:
        """A request failed. `jitter` is from 0 to 1. Being told to slow down is no outage while others are taken."""
        if self.is_open:
            return self
        counted = self._counted(now)
        left = counted.left - cost
        if throttled and now - self.taken_at < RECOVERY_S:
            left = max(left, min(counted.left, 1.0))
        if left > 0:
            return replace(counted, left=left)
        return replace(counted, left=0.0, open_since=now)._ask_later(now, jitter)

    def probed(self, now: float, jitter: float) -> Circuit:
        """A lane asks now: the next one later."""
        return replace(self, pause_s=min(PROBE_S, self.pause_s * 2.0))._ask_later(now, jitter)

    def _ask_later(self, now: float, jitter: float) -> Circuit:
        return replace(self, probe_at=now + self.pause_s * (1.0 + JITTER * jitter))

    def _counted(self, now: float) -> Circuit:
        hopeful_s = max(0.0, min(now, self.taken_at + RECOVERY_S) - self.at)
        return replace(self, at=max(self.at, now), left=min(FULL, self.left + REFILL_PER_S * hopeful_s))
