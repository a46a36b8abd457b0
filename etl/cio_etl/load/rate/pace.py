"""When may the next request start? One answer for all lanes: below the ceiling, as fast as the destination takes it.

slots.py has the ceiling, speed.py the rate below it, circuit.py what an outage is; here they meet, under one lock.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from math import inf
from typing import Literal

from cio_etl.load.rate.circuit import TIME_OUT_COST, Circuit
from cio_etl.load.rate.congestion import Signs, took_too_long
from cio_etl.load.rate.limiter import LocalRateLimiter, RateLimiter
from cio_etl.load.rate.rate import HALVED, SLOWED, Speed
from cio_etl.model import Retry, Stop, Unknown, Verdict

AHEAD_S = 0.1  # a slot is taken so long before it comes: who is late then costs nobody else time
LOOK_AGAIN_S = 1.0  # who waits for a rate or an outage to change
BUSY_S = 300  # for so long it is remembered how many requests really started in a second

Change = Literal["waiting", "resumed"]


class Pace:
    """Hands out turns and is told of the answers. `now` is a monotonic clock in seconds.

    `per_second` is the ceiling, None for none, or where its slots come from.
    """

    def __init__(
        self,
        per_second: float | RateLimiter | None,
        now: Callable[[], float],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._slots = (
            LocalRateLimiter(per_second) if per_second is None or isinstance(per_second, int | float) else per_second
        )
        self._now = now
        self._jitter = jitter
        self._lock = threading.Lock()
        began = now()
        self._speed = Speed(self._slots.per_second)
        self._circuit = Circuit(began, began)
        self._next_at = self._closed_at = self._closed_until = began
        self._signs = Signs(self._slots.per_second, began)
        self._used_before = inf  # the outage
        self._busy: deque[list[int]] = deque(maxlen=BUSY_S)  # [second, requests that started in it]
        self._line: list[object] = []  # who waits for a slot that is far away, in order

    @property
    def per_second(self) -> float:
        """The rate of now: the ceiling, or less; infinite when there is neither."""
        return self._speed.rate(self._now())

    @property
    def waited_s(self) -> float | None:
        """How long all lanes have been waiting for the destination; None while they are not."""
        now = self._now()
        since = min(self._circuit.open_since, self._closed_at if now < self._closed_until else inf)
        return None if since == inf else now - since

    # ---- before a request

    def turn(self, sleep: Callable[[float], None]) -> float:
        """Returns when a request may start, and that time. `sleep` may raise to leave; a slot is then lost."""
        with closing(self.waits()) as waits:
            for seconds in waits:
                sleep(seconds)
        return self._now()

    def waits(self) -> Generator[float, None, None]:
        """The seconds to sleep, one time after the other, until a request may start."""
        place = object()
        try:
            while True:
                with self._lock:
                    now, asks = self._now(), self._circuit.is_open
                    slot = self._probe(now) if asks else self._reserve(now, place)
                    until = self._look_again(now, place) if slot is None else slot
                if until > now:
                    yield until - now
                # ... and nobody was told to pause, and no outage began, while this one slept
                if slot is not None and self._closed_until <= slot and (asks or not self._circuit.is_open):
                    return
        finally:
            with self._lock:
                self._leave(place)

    def _reserve(self, now: float, place: object) -> float | None:
        """A slot of its own, unless the one that it would get is far away: the rate may change until then."""
        at = max(now, self._closed_until, self._next_at)
        gap_s = 1.0 / self._speed.rate(now)
        if at + gap_s * self._place(place) - now > AHEAD_S:
            return None
        self._leave(place)
        slot = self._slots.reserve(at)
        self._next_at = slot + gap_s
        self._count(slot)
        return slot

    def _probe(self, now: float) -> float | None:
        """The turn to ask whether an outage is over, if nobody else has it."""
        if now < max(self._closed_until, self._circuit.probe_at):
            return None
        self._circuit = self._circuit.probed(now, self._jitter())
        return self._slots.reserve(now)

    def _look_again(self, now: float, place: object) -> float:
        """When to come back. A pause never gets shorter; all else may."""
        if self._circuit.is_open:
            at = self._circuit.probe_at
        else:
            at = max(now, self._next_at) + self._place(place) / self._speed.rate(now) - AHEAD_S / 2
            if place not in self._line:
                self._line.append(place)
        return max(self._closed_until, min(now + LOOK_AGAIN_S, max(at, now + AHEAD_S / 20)))

    def _place(self, place: object) -> int:
        return self._line.index(place) if place in self._line else len(self._line)

    def _leave(self, place: object) -> None:
        if place in self._line:
            self._line.remove(place)

    # ---- after it

    def answered(self, started: float, verdict: Verdict) -> Change | None:
        """Learns from what came of a request that `started` then; says so when an outage begins or ends."""
        with self._lock:
            now, was_open = self._now(), self._circuit.is_open
            self._signs.add(started, now, verdict)
            if isinstance(verdict, Retry | Unknown):
                self._failed(started, now, verdict)
            elif not isinstance(verdict, Stop):
                self._circuit = self._circuit.taken(started, now)
            if was_open and not self._circuit.is_open:
                self._change(self._speed.resumed(now, self._used_before), now)
                self._next_at = now
                return "resumed"
            if not was_open and self._circuit.is_open:
                self._used_before = self._used()
                return "waiting"
            strained = self._circuit.is_degraded and isinstance(verdict, Retry | Unknown)
            if self._signs.too_much(started, now) or (strained and self._signs.count(started, now)):
                share = HALVED if self._signs.mostly_failures else SLOWED
                self._change(self._speed.slowed(now, self._used(), share, now - started), now)
            return None

    def _failed(self, started: float, now: float, verdict: Retry | Unknown) -> None:
        after_s, throttled = (verdict.after_s, verdict.throttled) if isinstance(verdict, Retry) else (None, False)
        if after_s:
            self._closed_at = now if self._closed_until <= now else self._closed_at
            self._closed_until = max(self._closed_until, now + after_s)
        cost = TIME_OUT_COST if took_too_long(now - started) else 1.0
        self._circuit = self._circuit.failed(now, cost, self._jitter(), throttled=throttled)

    def _change(self, speed: Speed, now: float) -> None:
        self._speed = speed.paused(self._closed_until)
        self._signs.begin_anew(now)

    def _count(self, slot: float) -> None:
        second = int(slot)
        if self._busy and self._busy[-1][0] == second:
            self._busy[-1][1] += 1
        else:
            self._busy.append([second, 1])

    def _used(self) -> float:
        """Requests a second in the busiest second of late, when some were still taken: what was really asked for."""
        late = self._circuit.taken_at - BUSY_S
        return float(max((count for second, count in self._busy if second >= late), default=1))
