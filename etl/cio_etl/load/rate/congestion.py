"""Decides from the answers whether the present rate is too high for the destination."""

from __future__ import annotations

from math import inf

from cio_etl.model import Retry, Unknown, Verdict

SERVER_WINDOW_S = 1.1  # a server that counts by the second, refused requests included, refuses at any rate so long
SLOWDOWN_GAP_S = 1.5  # from one slow-down to the next
SLOW_EXCHANGE_S = 10.0  # a third of an exchange's deadline: what takes so long may yet be cut, and counts as a time-out
QUEUE_FACTOR = 3.0  # ... if the fastest exchange was so many times faster: else the destination is merely slow
NEWEST_WEIGHT = 1.0 / 32.0  # of the newest answer in the average duration
TOLERATED_REFUSALS = 1.0 / 16.0  # share of requests that may be answered 429 for ever: others use the limit, too
TOLERANCE_S, MAX_TOLERANCE = (
    0.05,
    20.0,
)  # besides, the requests of so many seconds may be; at least one, at most so many
MIN_ANSWERS = 3  # of fewer answers, "most have failed" says nothing


def took_too_long(seconds: float) -> bool:
    """Whether an exchange took so long that it was cut, or nearly."""
    return seconds >= SLOW_EXCHANGE_S


class Congestion:
    """Counts the answers to requests that were sent at the present rate. Times are seconds of a monotonic clock."""

    def __init__(self, rate_limit: float, now: float) -> None:
        """`rate_limit` is in requests a second."""
        self._full_tolerance = min(MAX_TOLERANCE, max(1.0, rate_limit * TOLERANCE_S))
        self._tolerance = self._full_tolerance  # answers of 429 that are still tolerated
        self._fastest_s, self._average_s = inf, 0.0
        self._rate_since = now - SLOWDOWN_GAP_S
        self._answers = self._failures = 0

    def restart(self, now: float) -> None:
        """Counts from zero, since the rate has changed: what was sent before says nothing about it."""
        self._rate_since = now
        self._answers = self._failures = 0
        self._average_s = 0.0
        self._tolerance = max(self._full_tolerance / 2, self._tolerance)

    def add(self, started: float, now: float, verdict: Verdict) -> None:
        """Counts the answer to a request that started then."""
        self._fastest_s = min(self._fastest_s, now - started)
        failed = isinstance(verdict, Retry | Unknown)
        if started >= self._rate_since:
            self._average_s += (now - started - self._average_s) * NEWEST_WEIGHT
            self._answers += 1
            self._failures += failed
        if isinstance(verdict, Retry) and verdict.throttled:
            if verdict.after_s is not None:  # it names a time: once is enough
                self._tolerance -= self._full_tolerance
            elif started >= self._rate_since + SERVER_WINDOW_S:
                self._tolerance -= 1.0
        elif not failed:
            regained = TOLERATED_REFUSALS / (1.0 - TOLERATED_REFUSALS)
            self._tolerance = min(self._full_tolerance, self._tolerance + regained)

    def is_too_much(self, started: float, now: float) -> bool:
        """Whether the answers say so: too many are refused, or a queue grows."""
        is_queue = took_too_long(self._average_s) and self._average_s > QUEUE_FACTOR * self._fastest_s
        return self.is_about_present_rate(started, now) and (self._tolerance <= 0 or is_queue)

    def is_about_present_rate(self, started: float, now: float) -> bool:
        """Whether the answer to a request that started then may change the rate."""
        return started >= self._rate_since and now - self._rate_since >= SLOWDOWN_GAP_S

    @property
    def mostly_failures(self) -> bool:
        return self._answers >= MIN_ANSWERS and self._failures > self._answers / 2
