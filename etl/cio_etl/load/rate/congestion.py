"""Is it too much? What the answers say, of requests that were sent at the rate of now."""

from __future__ import annotations

from math import inf

from cio_etl.model import Retry, Unknown, Verdict

REMEMBERED_S = 1.1  # a server that counts a second, refused requests too, refuses what comes in it at any rate
AGAIN_S = 1.5  # from one slow-down to the next
SLOW_S = 10.0  # an exchange that takes longer, a third of its deadline, is as bad as none: it may yet be cut
QUEUED = 3.0  # ... when the quickest was so many times quicker: else it is just slow
USUAL = 1.0 / 32.0  # what the newest answer counts in the usual time
REFUSED = 1.0 / 16.0  # of the requests may be answered 429 for ever: others use the limit, too
PATIENCE_S, PATIENCE = 0.05, 20.0  # and so many seconds' requests more, one at least, so many at most
FEW = 3  # answers: of less, most being failures says nothing


def took_too_long(seconds: float) -> bool:
    """Whether an exchange took so long that it was cut, or nearly."""
    return seconds >= SLOW_S


class Signs:
    """Keeps count of answers. `ceiling` is in requests a second; times are a monotonic clock's seconds."""

    def __init__(self, ceiling: float, now: float) -> None:
        self._most_patience = min(PATIENCE, max(1.0, ceiling * PATIENCE_S))
        self._quickest_s, self._usual_s = inf, 0.0
        self._since = now - AGAIN_S
        self._answers = self._failures = 0
        self._patience = self._most_patience

    def begin_anew(self, now: float) -> None:
        """The rate has changed: answers to what was sent before say nothing of it."""
        self._since = now
        self._answers = self._failures = 0
        self._usual_s = 0.0
        self._patience = max(self._most_patience / 2, self._patience)

    def add(self, started: float, now: float, verdict: Verdict) -> None:
        self._quickest_s = min(self._quickest_s, now - started)
        failed = isinstance(verdict, Retry | Unknown)
        if started >= self._since:
            self._usual_s += (now - started - self._usual_s) * USUAL
            self._answers += 1
            self._failures += failed
        if isinstance(verdict, Retry) and verdict.throttled:
            if verdict.after_s is not None:  # who names a time is not asked a second time
                self._patience -= self._most_patience
            elif started >= self._since + REMEMBERED_S:
                self._patience -= 1.0
        elif not failed:
            self._patience = min(self._most_patience, self._patience + REFUSED / (1.0 - REFUSED))

    def too_much(self, started: float, now: float) -> bool:
        """Whether the answers so far say that it is too much: too many refused, or a queue that grows."""
        queued = took_too_long(self._usual_s) and self._usual_s > QUEUED * self._quickest_s
        return self.count(started, now) and (self._patience <= 0 or queued)

    def count(self, started: float, now: float) -> bool:
        """Whether the answer to a request that `started` then can speak of the rate of now."""
        return started >= self._since and now - self._since >= AGAIN_S

    @property
    def mostly_failures(self) -> bool:
        return self._answers >= FEW and self._failures > self._answers / 2
