"""Simulates lanes and a server in virtual time: hours of a pace take seconds, and go the same way each time.

A lane is a generator of the seconds it sleeps. Turns and the waits between attempts are the program's own; the server
is a model: a function of the time at which a request starts.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from math import inf

from cio_etl.load.rate import Pace
from cio_etl.load.retry import Backoff
from cio_etl.model import Accepted, Retry, Verdict

TIME_OUT_S = 30.0
LATE_S = 0.002  # threads wake up to so much later than they asked

Answer = tuple[float, Verdict]  # seconds until it comes, and its verdict
Server = Callable[[float, random.Random], Answer]

TOO_MANY = Retry("HTTP 429", throttled=True)
UNAVAILABLE = Retry("HTTP 503")
NO_ANSWER = (TIME_OUT_S, Retry("no answer within 30 s", ambiguous=True))


class Clock:
    """A clock that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request, by seconds since the beginning."""

    lane: int
    started: float
    ended: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Result:
    """All exchanges of a simulation."""

    exchanges: list[Exchange]
    pace: Pace

    def between(self, start: float, stop: float) -> list[Exchange]:
        return [each for each in self.exchanges if start <= each.started < stop]

    def accepted_per_second(self, start: float, stop: float) -> float:
        return sum(isinstance(each.verdict, Accepted) for each in self.between(start, stop)) / (stop - start)

    def refused(self, start: float, stop: float) -> float:
        """The share of requests that did not succeed."""
        requests = self.between(start, stop)
        return sum(not isinstance(each.verdict, Accepted) for each in requests) / max(1, len(requests))

    def busiest_second(self) -> int:
        starts, most, first = sorted(each.started for each in self.exchanges), 0, 0
        for last, at in enumerate(starts):
            while starts[first] <= at - 1.0:
                first += 1
            most = max(most, last - first + 1)
        return most

    def by_lane(self) -> Counter[int]:
        return Counter(each.lane for each in self.exchanges if isinstance(each.verdict, Accepted))

    def back_after(self, moment: float, per_second: float, during_s: float = 5.0) -> float:
        """Seconds from `moment` until so many a second are accepted, over `during_s`; a day when that never happens."""
        last = max(each.started for each in self.exchanges)
        at = moment
        while at + during_s <= last:
            if self.accepted_per_second(at, at + during_s) >= per_second:
                return at - moment
            at += 0.5
        return 86_400.0


def simulate(
    server: Server,
    *,
    per_second: float | None,
    seconds: float,
    lanes: int = 16,
    slower: dict[int, float] | None = None,
    works: Callable[[int, float], float] = lambda lane, at: 0.0,
    seed: int = 1,
) -> Result:
    """Runs so many lanes, which always have a batch, against `server`.

    `slower`: by lane, the seconds that its connection adds to an answer. `works`: by lane and time, the seconds until
    its next batch is there.
    """
    chance, clock, order = random.Random(seed), Clock(), count()
    state = random.getstate()
    random.seed(seed)  # tenacity takes its jitter from the module's generator
    beginning = clock.now
    pace = Pace(per_second, clock, chance.random)
    exchanges: list[Exchange] = []

    def lane(number: int) -> Iterator[float]:
        while True:
            yield works(number, clock.now - beginning)
            backoff = Backoff(inf, clock)
            while True:
                for wait_s in pace.waits():
                    yield wait_s + chance.random() * LATE_S
                started = clock.now
                answer_s, verdict = server(started - beginning, chance)
                yield min(TIME_OUT_S, answer_s + (slower or {}).get(number, 0.0))
                pace.record(started, verdict)
                exchanges.append(Exchange(number, started - beginning, clock.now - beginning, verdict))
                if not isinstance(verdict, Retry):
                    break
                pause_s = backoff.wait_s(verdict)
                assert pause_s is not None
                yield pause_s

    ready = [(beginning, next(order), lane(number)) for number in range(lanes)]
    try:
        while ready and ready[0][0] - beginning < seconds:
            clock.now, _, who = heapq.heappop(ready)
            heapq.heappush(ready, (clock.now + next(who), next(order), who))
    finally:
        random.setstate(state)
    return Result(exchanges, pace)


# ---------------------------------------------------------------- servers


def steady(latency_s: float = 0.1) -> Server:
    """Accepts everything."""
    return lambda at, chance: (latency_s * (0.5 + chance.random()), Accepted())


def bucket(per_second: float, burst: float, server: Server, refuse: Retry = TOO_MANY) -> Server:
    """Accepts so many a second, after a pause `burst` at once, and refuses the others."""
    tokens, then = burst, 0.0

    def take(at: float, chance: random.Random) -> Answer:
        nonlocal tokens, then
        tokens, then = min(burst, tokens + (at - then) * per_second), at
        if tokens < 1.0:
            return 0.02, refuse
        tokens -= 1.0
        return server(at, chance)

    return take


def window(requests: int, window_s: float, server: Server, refuse: Retry = TOO_MANY) -> Server:
    """Accepts so many in each second, or minute, of its clock."""
    taken: Counter[int] = Counter()

    def take(at: float, chance: random.Random) -> Answer:
        taken[int(at / window_s)] += 1
        return server(at, chance) if taken[int(at / window_s)] <= requests else (0.02, refuse)

    return take


def queue(per_second: float, places: float) -> Server:
    """Serves one after the other; a request that finds no place in the queue is never answered."""
    free_at = 0.0

    def take(at: float, chance: random.Random) -> Answer:
        nonlocal free_at
        if (free_at - at) * per_second >= places:
            return NO_ANSWER
        free_at = max(free_at, at) + 1.0 / per_second
        return free_at - at + 0.05, Accepted()

    return take


def failing(share: float, server: Server, answer: Answer = (0.02, UNAVAILABLE)) -> Server:
    """Fails without a reason, for this share of requests."""
    return lambda at, chance: answer if chance.random() < share else server(at, chance)


def outage(start: float, stop: float, server: Server, answer: Answer = (0.02, UNAVAILABLE)) -> Server:
    """Is down from `start` to `stop`."""
    return lambda at, chance: answer if start <= at < stop else server(at, chance)


def sliding(requests: int, window_s: float, server: Server, *, counts: bool = False, refuses_s: float = 0.02) -> Server:
    """Accepts so many in any second; with `counts`, refused requests count too. A refusal takes `refuses_s`."""
    recent: deque[float] = deque()

    def take(at: float, chance: random.Random) -> Answer:
        while recent and recent[0] <= at - window_s:
            recent.popleft()
        full = len(recent) >= requests
        if counts or not full:
            recent.append(at)
        return (refuses_s, TOO_MANY) if full else server(at, chance)

    return take
