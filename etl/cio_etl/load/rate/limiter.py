"""How many requests may start in a second, at most? The configured ceiling, as slots that are taken one by one."""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Protocol

WINDOW_S = 1.02  # the second in which the ceiling holds, and what a request may be late on its way to the wire


class RateLimiter(Protocol):
    """Where a ceiling's slots come from: from this process alone, or from a schedule that several share.

    Who calls holds a lock, so `reserve` is never entered twice; a slot that nobody uses is lost.
    """

    @property
    def per_second(self) -> float:
        """The ceiling; infinite when there is none."""

    def reserve(self, at: float) -> float:
        """Takes the first free slot that is not before `at`, and returns its time."""


class LocalRateLimiter:
    """This process's own slots: at most `per_second` in any second, evenly spaced. None: as many as are asked for."""

    def __init__(self, per_second: float | None) -> None:
        self._per_second = inf if per_second is None else per_second
        self._next_at = -inf
        self._taken: deque[float] = deque(maxlen=max(1, int(per_second or 1)))

    @property
    def per_second(self) -> float:
        return self._per_second

    def reserve(self, at: float) -> float:
        if self._per_second == inf:
            return at
        slot = max(at, self._next_at)
        if len(self._taken) == self._taken.maxlen:
            slot = max(slot, self._taken[0] + WINDOW_S * max(1.0, 1.0 / self._per_second))
        self._taken.append(slot)
        self._next_at = slot + 1.0 / self._per_second
        return slot
