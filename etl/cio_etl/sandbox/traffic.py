"""Figures of the traffic: volume, rate and answers."""

from __future__ import annotations

from array import array
from collections import Counter, deque


class Traffic:
    """Counts of the requests that send data. Times are those of a clock that never goes back."""

    def __init__(self) -> None:
        self.requests = 0
        self.endpoints: Counter[str] = Counter()  # the same, by path
        self.items = 0  # in bodies that could be read; an item that is sent twice counts twice
        self.invalid_items = 0  # that broke a rule
        self.refused_items = 0  # that were valid, and refused on demand
        self.answers: Counter[int] = Counter()  # by status; a connection that was cut counts no answer
        self.faults: Counter[str] = Counter()  # by name
        self.body_sizes = array("Q")  # bytes, in order of arrival
        self.busiest_second = 0  # most requests in any sliding second
        self._last_second: deque[float] = deque()

    def count_request(self, endpoint: str, at: float) -> int:
        """Count a request. Returns how many there were in the second that ends now."""
        self.requests += 1
        self.endpoints[endpoint] += 1
        self._last_second.append(at)
        while self._last_second[0] <= at - 1.0:
            self._last_second.popleft()
        self.busiest_second = max(self.busiest_second, len(self._last_second))
        return len(self._last_second)

    def as_json(self) -> dict[str, object]:
        sizes = self.body_sizes
        return {
            "requests": self.requests,
            "endpoints": dict(sorted(self.endpoints.items())),
            "items": self.items,
            "invalid_items": self.invalid_items,
            "refused_items": self.refused_items,
            "answers": {str(status): number for status, number in sorted(self.answers.items())},
            "faults": dict(sorted(self.faults.items())),
            "max_requests_in_a_second": self.busiest_second,
            "bodies": {"number": len(sizes), "bytes": sum(sizes), "largest": max(sizes, default=0)},
        }
