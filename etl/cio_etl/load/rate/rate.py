"""How fast does the destination take it? A rate that falls when it is too much, and feels its way up again.

It falls to a share at once, and comes back along a cubic: quickly at first, slowly around the rate that was too much
the last time, then faster and faster above it. (The curve is CUBIC's, RFC 9438.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

SLOWED = 0.8  # of the rate that was too much, when few requests were refused
HALVED = 0.5  # of it, when most of them were
RESUMED = 0.1  # of the rate before, after an outage: everybody comes back at once
BACK_S = 10.0  # until the rate that was too much is reached again ...
BACK_REQUESTS = 30.0  # ... but not before so many requests at that rate
LOWEST = 1.0  # a second; a tenth of a lower ceiling


@dataclass(frozen=True, slots=True)
class Speed:
    """The rate of now, as a function of time."""

    ceiling: float  # infinite: none
    too_much: float = inf  # the rate at which it was last too much
    slowed_to: float = inf
    since: float = -inf  # when the way back begins
    back_s: float = BACK_S

    def rate(self, now: float) -> float:
        if self.too_much == inf:
            return self.ceiling
        way = max(0.0, now - self.since) / self.back_s - 1.0
        slope = self.too_much - self.slowed_to if way < 0 else self.too_much * (1.0 - SLOWED)
        return min(self.ceiling, self.too_much + slope * way**3)

    def slowed(self, now: float, used: float, share: float, news_s: float) -> Speed:
        """Slower, by this share of the rate of now, or of the rate that was really `used` when that is lower.

        `news_s` is how long it took to hear of it: the way back takes as long, or it would overshoot meanwhile.
        """
        return self._back(now, min(self.rate(now), used), share, news_s)

    def resumed(self, now: float, used: float) -> Speed:
        """On the way back from an outage to the rate that was `used` before."""
        return self._back(now, min(self.ceiling, used), RESUMED, 0.0)

    def paused(self, until: float) -> Speed:
        """Not on the way back before `until`."""
        return self if self.too_much == inf else replace(self, since=max(self.since, until))

    def _back(self, now: float, before: float, share: float, news_s: float) -> Speed:
        lowest = min(LOWEST, self.ceiling / 10.0)
        too_much = max(lowest, before)
        back_s = max(BACK_S, BACK_REQUESTS / too_much, news_s)
        return Speed(self.ceiling, too_much, max(lowest, too_much * share), now, back_s)
