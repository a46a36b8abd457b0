"""How do several processes keep to one ceiling? They take their slots from one schedule.

Those of one machine have it in a file, which holds one number, the time of the next free slot, by the clock that all
processes of a machine share (CLOCK_MONOTONIC). A slot is taken under a file lock, which the kernel takes back from
whoever dies: some microseconds, no disk is waited for. A schedule of before the machine was started lies far ahead, and
is begun anew.

Those of several machines have it in the state database, and are told how long from now their slots are. To ask costs
a way to the server and back, so who uses all of its slots is given several at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import Protocol

import structlog

from cio_etl.load.rate.limiter import WINDOW_S, LocalRateLimiter, RateLimiter
from cio_etl.model import Destination

log = structlog.get_logger()

PATIENCE_S = 0.25  # for the lock: longer than this somebody was stopped while holding it
TAKEN_AHEAD_S = 0.05  # so many seconds of slots are taken at once from a schedule that lies elsewhere
FAR_S = 60.0  # ahead of now: nobody reserves so far, so it is a schedule of before the machine was started


class FileRateLimiter:
    """Slots of one schedule for all processes that name the same file: at most `per_second` in any second together.

    A process whose ceiling is lower than another's takes more of the schedule for each of its slots. Where the lock is
    not to be had in time, the process keeps to its own ceiling, and says so once.
    """

    def __init__(self, path: Path, per_second: float) -> None:
        self._own = LocalRateLimiter(per_second)
        self._gap_s = WINDOW_S / per_second
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._alone = False

    @property
    def per_second(self) -> float:
        return self._own.per_second

    def reserve(self, at: float) -> float:
        """Takes the first free slot that is not before `at`."""
        at = self._own.reserve(at)
        if not self._locked():
            return at
        try:
            stored = os.pread(self._file, 8, 0)
            free = struct.unpack("<d", stored)[0] if len(stored) == 8 else at
            slot = at if free > at + max(FAR_S, 4 * self._gap_s) else max(at, free)
            os.pwrite(self._file, struct.pack("<d", slot + self._gap_s), 0)
            return slot
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._file)

    def _locked(self) -> bool:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except OSError:  # BlockingIOError; or a file system without locks
                if time.monotonic() > deadline:
                    break
            time.sleep(0.001)
        if not self._alone:
            self._alone = True
            log.warning("budget_not_shared", reason="its file is locked by a process that has stopped")
        return False


class Schedule(Protocol):
    """A schedule that lies elsewhere."""

    def take(self, count: int, gap_s: float, ahead_s: float) -> float:
        """Takes `count` slots, `gap_s` apart, none before `ahead_s` from now; how far the first one is from now."""

    def close(self) -> None:
        """Nothing more is taken."""


class DatabaseRateLimiter:
    """Slots of a schedule that lies elsewhere: at most `per_second` in any second, for all who take from it together.

    Who wants one slot after the other is given as many at once as a twentieth of a second has; else one.
    """

    def __init__(self, schedule: Schedule, per_second: float, now: Callable[[], float] = time.monotonic) -> None:
        self._schedule = schedule
        self._own = LocalRateLimiter(per_second)
        self._gap_s = WINDOW_S / per_second
        self._most = max(1, int(per_second * TAKEN_AHEAD_S))
        self._count = 1
        self._now = now
        self._taken: deque[float] = deque()
        self._last = -inf  # of the slots that were taken

    @property
    def per_second(self) -> float:
        return self._own.per_second

    def reserve(self, at: float) -> float:
        """Takes the first free slot that is not before `at`."""
        at = self._own.reserve(at)
        while self._taken and self._taken[0] < at - self._gap_s:  # a slot used so late is in nobody's way
            self._taken.popleft()
        if not self._taken:
            self._count = min(self._most, 2 * self._count) if at < self._last + 2 * self._gap_s else 1
            # one that is a little too early is used when it may be; asked for later, the way there would open gaps
            wait_s = self._schedule.take(self._count, self._gap_s, max(at - self._now() - self._gap_s, 0.0))
            first = self._now() + wait_s  # by now, since an answer that takes long must not make it earlier
            self._taken.extend(first + place * self._gap_s for place in range(self._count))
            self._last = self._taken[-1]
        return max(at, self._taken.popleft())


@contextlib.contextmanager
def rate_limiter(
    destination: Destination, folder: Path, schedule: Callable[[str], Schedule] | None
) -> Iterator[RateLimiter]:
    """The slots of a destination's ceiling, shared by all that go to the same workspace.

    They are in `folder`, for processes of this machine, or in what `schedule` gives by the workspace's digest.
    """
    if destination.requests_per_second is None:
        yield LocalRateLimiter(None)
        return
    account = destination.site_id if destination.api == "track" else destination.write_key
    of = f"{destination.base_url} {account.get_secret_value()}"
    name = hashlib.sha256(of.encode()).hexdigest()[:16]
    if schedule is None:
        with contextlib.closing(FileRateLimiter(folder / f"budget-{name}", destination.requests_per_second)) as shared:
            yield shared
    else:
        with contextlib.closing(schedule(name)) as distant:
            yield DatabaseRateLimiter(distant, destination.requests_per_second)
