"""When may the next request start? One schedule of slots for all lanes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

WINDOW_S = 1.02  # the second in which the ceiling holds, and what a request may be late on its way to the wire
RECOVERY_S = 30.0  # from standstill back to the ceiling, evenly


class Pace:
    """Hands out turns: at most `per_second` in any second, evenly spaced, and fewer for a while after a slow-down.

    `per_second` None is no ceiling; a slow-down then only makes everybody wait. `now` is a monotonic clock in seconds.
    """

    def __init__(self, per_second: float | None, now: Callable[[], float]) -> None:
        self._ceiling = per_second
        self._now = now
        self._lock = threading.Lock()
        self._slowed_at = now() - WINDOW_S
        self._slowed_to = per_second or 0.0
        self._closed_until = self._next_at = now()
        self._slots: deque[float] = deque(maxlen=max(1, int(per_second or 1)))

    @property
    def per_second(self) -> float | None:
        """The rate of now: the ceiling, or what a slow-down has left of it."""
        return None if self._ceiling is None else self._rate(self._now())

    def turn(self, sleep: Callable[[float], None]) -> None:
        """Returns when a request may start. `sleep` may raise to leave the queue; its slot is then lost."""
        while True:
            slot = self._reserve()
            if (wait := slot - self._now()) > 0:
                sleep(wait)
            if self._closed_until <= slot:  # nobody asked for a pause while this one slept
                return

    def slow_down(self, after_s: float | None) -> None:
        """Halves the rate, at most once a second, and lets nobody start before `after_s` seconds from now."""
        with self._lock:
            now = self._now()
            self._closed_until = max(self._closed_until, now + (after_s or 0.0))
            if self._ceiling is not None and now - self._slowed_at >= WINDOW_S:
                self._slowed_to = max(self._rate(now) / 2, min(1.0, self._ceiling))
                self._slowed_at = now

    def _rate(self, now: float) -> float:
        ceiling = self._ceiling or 0.0
        return min(ceiling, self._slowed_to + ceiling * (now - self._slowed_at) / RECOVERY_S)

    def _reserve(self) -> float:
        with self._lock:
            now = self._now()
            slot = max(now, self._closed_until)
            if self._ceiling is None:
                return slot
            slot = max(slot, self._next_at)
            if len(self._slots) == self._slots.maxlen:
                slot = max(slot, self._slots[0] + WINDOW_S * max(1.0, 1.0 / self._ceiling))
            self._slots.append(slot)
            self._next_at = slot + 1.0 / self._rate(now)
            return slot
