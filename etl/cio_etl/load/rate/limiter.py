"""Limits how many requests may start in a second: gives out slots, one by one."""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Protocol

WINDOW_S = 1.02  # the limit holds in any second: this one is longer by what a request may be late on its way out


class RateLimiter(Protocol):
    """Gives out slots: times at which one request may start.

    The caller holds a lock, so `reserve` is never entered twice. A slot that is not used is lost.
    """

    @property
    def per_second(self) -> float:
        """The rate limit in requests a second; infinite when there is none."""

    def reserve(self, at: float) -> float:
        """Reserves the first free slot that is not before `at`, and returns its time."""


class LocalRateLimiter:
    """The slots of this process alone: at most `per_second` in any second, evenly spaced. None: no limit."""

    def __init__(self, per_second: float | None) -> None:
        self._per_second = inf if per_second is None else per_second
        self._next_at = -inf
        self._reserved: deque[float] = deque(maxlen=max(1, int(per_second or 1)))

    @property
    def per_second(self) -> float:
        return self._per_second

    def reserve(self, at: float) -> float:
        if self._per_second == inf:
            return at
        slot = max(at, self._next_at)
        if len(self._reserved) == self._reserved.maxlen:
            slot = max(slot, self._reserved[0] + WINDOW_S * max(1.0, 1.0 / self._per_second))
        self._reserved.append(slot)
        self._next_at = slot + 1.0 / self._per_second
        return slot
