"""The rate at which requests may start, as a function of time: it falls at once, and comes back along a curve.

The curve is cubic: the rate rises quickly at first, slowly around the rate that was too high the last time, then ever
faster above it. (It is CUBIC's, RFC 9438.)
"""

from __future__ import annotations

from dataclasses import replace
from math import inf

from cio_etl.model.records import dataclass

SLOWED = 0.8  # share of the rate that was too high, when few requests failed
HALVED = 0.5  # ... when most of them did
RESUMED = 0.1  # share of the rate before an outage, when it ends: everybody comes back at once
RETURN_S = 10.0  # until the rate that was too high is reached again ...
RETURN_REQUESTS = 30.0  # ... but not before so many requests at that rate
LOWEST = 1.0  # requests a second; or a tenth of a lower limit


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests a second, at any time. Times are seconds of a monotonic clock."""

    limit: float  # the rate limit; infinite when there is none
    too_high: float = inf  # the rate that was too high the last time
    slowed_to: float = inf
    rises_from: float = -inf  # when the way back begins
    return_s: float = RETURN_S

    def at(self, now: float) -> float:
        """The rate at this time."""
        if self.too_high == inf:
            return self.limit
        way = max(0.0, now - self.rises_from) / self.return_s - 1.0
        slope = self.too_high - self.slowed_to if way < 0 else self.too_high * (1.0 - SLOWED)
        return min(self.limit, self.too_high + slope * way**3)

    def slowed(self, now: float, peak: float, share: float, delay_s: float) -> Rate:
        """Lower: this share of the present rate, or of the rate really used (`peak`) if that is lower.

        `delay_s` is how long the answer took. The way back takes at least as long, or the rate would overshoot before
        the next answer.
        """
        return self._returning(now, min(self.at(now), peak), share, delay_s)

    def resumed(self, now: float, peak: float) -> Rate:
        """At the end of an outage: on the way back to the rate that was used before (`peak`)."""
        return self._returning(now, min(self.limit, peak), RESUMED, 0.0)

    def paused(self, until: float) -> Rate:
        """With a way back that does not begin before `until`."""
        return self if self.too_high == inf else replace(self, rises_from=max(self.rises_from, until))

    def _returning(self, now: float, before: float, share: float, delay_s: float) -> Rate:
        lowest = min(LOWEST, self.limit / 10.0)
        too_high = max(lowest, before)
        return_s = max(RETURN_S, RETURN_REQUESTS / too_high, delay_s)
        return Rate(self.limit, too_high, max(lowest, too_high * share), now, return_s)
