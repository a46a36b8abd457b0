"""Tells all lanes when the next request may start: below the rate limit, at the rate that the destination takes.

limiter.py has the limit, congestion.py and rate.py the rate below it, circuit.py the outages. Here they meet, under one
lock.
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
from cio_etl.load.rate.congestion import Congestion, took_too_long
from cio_etl.load.rate.limiter import LocalRateLimiter, RateLimiter
from cio_etl.load.rate.rate import HALVED, SLOWED, Rate
from cio_etl.model import Retry, Stop, Unknown, Verdict

RESERVE_AHEAD_S = 0.1  # a slot is reserved so long before its time: a lane that wakes up late then delays nobody else
RECHECK_S = 1.0  # a lane that waits looks at least so often whether the rate has changed or the outage is over
PEAK_S = 300  # for so long it is remembered how many requests really started in each second

Change = Literal["waiting", "resumed"]


class Pace:
    """Gives out turns to all lanes, and learns from the answers. `now` is a monotonic clock in seconds.

    `limit` is the rate limit in requests a second, None for none, or a limiter that is shared with other processes.
    """

    def __init__(
        self,
        limit: float | RateLimiter | None,
        now: Callable[[], float],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._limiter = LocalRateLimiter(limit) if limit is None or isinstance(limit, int | float) else limit
        self._now = now
        self._jitter = jitter
        self._lock = threading.Lock()
        start = now()
        self._rate = Rate(self._limiter.per_second)
        self._congestion = Congestion(self._limiter.per_second, start)
        self._circuit = Circuit(start, start)
        self._next_at = start  # of the next request, by the rate
        self._paused_at = self._paused_until = start  # by a Retry-After
        self._peak_before_outage = inf
        self._starts: deque[list[int]] = deque(maxlen=PEAK_S)  # [second, requests that started in it]
        self._queue: list[object] = []  # tickets of lanes that wait for a slot that is far away, in order

    @property
    def per_second(self) -> float:
        """The present rate in requests a second; infinite when there is no limit and none was found."""
        return self._rate.at(self._now())

    @property
    def waited_s(self) -> float | None:
        """How long all lanes have been waiting for the destination; None when they are not."""
        now = self._now()
        since = min(self._circuit.open_since, self._paused_at if now < self._paused_until else inf)
        return None if since == inf else now - since

    # ---- before a request

    def wait_for_turn(self, sleep: Callable[[float], None]) -> float:
        """Returns when a request may start; the time then. `sleep` may raise, to stop waiting; a slot is then lost."""
        with closing(self.waits()) as waits:
            for seconds in waits:
                sleep(seconds)
        return self._now()

    def waits(self) -> Generator[float, None, None]:
        """Yields seconds to sleep, until a request may start."""
        ticket = object()
        try:
            while True:
                with self._lock:
                    now, is_probe = self._now(), self._circuit.is_open
                    slot = self._probe(now) if is_probe else self._reserve(now, ticket)
                    until = self._recheck_at(now, ticket) if slot is None else slot
                if until > now:
                    yield until - now
                # The slot holds unless, while this lane slept, a pause or an outage began.
                if slot is not None and self._paused_until <= slot and (is_probe or not self._circuit.is_open):
                    return
        finally:
            with self._lock:
                self._leave_queue(ticket)

    def _reserve(self, now: float, ticket: object) -> float | None:
        """A slot for this lane; None when it would be far away: the rate may change until then."""
        at = max(now, self._paused_until, self._next_at)
        gap_s = 1.0 / self._rate.at(now)
        if at + gap_s * self._place(ticket) - now > RESERVE_AHEAD_S:
            return None
        self._leave_queue(ticket)
        slot = self._limiter.reserve(at)
        self._next_at = slot + gap_s
        self._count_start(slot)
        return slot

    def _probe(self, now: float) -> float | None:
        """A slot in which to probe whether the outage is over; None when it is too early, or another lane's turn."""
        if now < max(self._paused_until, self._circuit.probe_at):
            return None
        self._circuit = self._circuit.probed(now, self._jitter())
        return self._limiter.reserve(now)

    def _recheck_at(self, now: float, ticket: object) -> float:
        """When a lane without a slot asks again. A pause never gets shorter; all else may."""
        if self._circuit.is_open:
            at = self._circuit.probe_at
        else:
            at = max(now, self._next_at) + self._place(ticket) / self._rate.at(now) - RESERVE_AHEAD_S / 2
            if ticket not in self._queue:
                self._queue.append(ticket)
        return max(self._paused_until, min(now + RECHECK_S, max(at, now + RESERVE_AHEAD_S / 20)))

    def _place(self, ticket: object) -> int:
        return self._queue.index(ticket) if ticket in self._queue else len(self._queue)

    def _leave_queue(self, ticket: object) -> None:
        if ticket in self._queue:
            self._queue.remove(ticket)

    # ---- after a request

    def record(self, started: float, verdict: Verdict) -> Change | None:
        """Learns from the answer to a request that started then; returns whether an outage began or ended by it."""
        with self._lock:
            now, was_open = self._now(), self._circuit.is_open
            failed = isinstance(verdict, Retry | Unknown)
            self._congestion.add(started, now, verdict)
            if isinstance(verdict, Retry | Unknown):
                self._record_failure(started, now, verdict)
            elif not isinstance(verdict, Stop):
                self._circuit = self._circuit.succeeded(started, now)
            if was_open and not self._circuit.is_open:
                self._change_rate(self._rate.resumed(now, self._peak_before_outage), now)
                self._next_at = now
                return "resumed"
            if not was_open and self._circuit.is_open:
                self._peak_before_outage = self._peak()
                return "waiting"
            degraded = failed and self._circuit.is_degraded and self._congestion.is_about_present_rate(started, now)
            if degraded or self._congestion.is_too_much(started, now):
                share = HALVED if self._congestion.mostly_failures else SLOWED
                self._change_rate(self._rate.slowed(now, self._peak(), share, now - started), now)
            return None

    def _record_failure(self, started: float, now: float, verdict: Retry | Unknown) -> None:
        after_s, throttled = (verdict.after_s, verdict.throttled) if isinstance(verdict, Retry) else (None, False)
        if after_s:
            self._paused_at = now if self._paused_until <= now else self._paused_at
            self._paused_until = max(self._paused_until, now + after_s)
        cost = TIME_OUT_COST if took_too_long(now - started) else 1.0
        self._circuit = self._circuit.failed(now, cost, self._jitter(), throttled=throttled)

    def _change_rate(self, rate: Rate, now: float) -> None:
        self._rate = rate.paused(self._paused_until)
        self._congestion.restart(now)

    def _count_start(self, slot: float) -> None:
        second = int(slot)
        if self._starts and self._starts[-1][0] == second:
            self._starts[-1][1] += 1
        else:
            self._starts.append([second, 1])

    def _peak(self) -> float:
        """Requests in the busiest second of the last PEAK_S in which some succeeded: the rate that was really used."""
        since = self._circuit.success_at - PEAK_S
        return float(max((count for second, count in self._starts if second >= since), default=1))
