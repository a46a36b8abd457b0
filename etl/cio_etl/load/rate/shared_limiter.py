"""Makes several processes keep to one rate limit: their slots come from one schedule.

The processes of one machine share a file. It holds one number, the time of the next free slot, by the clock that all
processes of a machine share (CLOCK_MONOTONIC). A slot is reserved under a file lock, which the kernel releases when a
process dies. It takes some microseconds, and nothing waits for a disk. A schedule from before the machine was started
lies far ahead; it is ignored.

The processes of several machines share a row of the state database, and learn how long from now their slots are. A
request to the server takes time, so a process that uses all of its slots gets several at once.
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

from cio_etl.apis import APIS
from cio_etl.load.rate.limiter import WINDOW_S, LocalRateLimiter, RateLimiter
from cio_etl.log import get_logger
from cio_etl.model import Destination

log = get_logger()

LOCK_TIMEOUT_S = 0.25  # a lock that is held for longer belongs to a process that was stopped
BATCH_S = 0.05  # so many seconds of slots are reserved at once in the database
MAX_AHEAD_S = 60.0  # nobody reserves slots further from now: such a schedule is from before the machine was started


class FileRateLimiter:
    """Slots for all processes that name the same file: at most `per_second` in any second together.

    A process with a lower limit than another's takes more of the schedule for each of its slots. When the file cannot
    be locked in time, the process keeps to its own limit, and logs that once.
    """

    def __init__(self, path: Path, per_second: float) -> None:
        self._local = LocalRateLimiter(per_second)
        self._gap_s = WINDOW_S / per_second
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._has_warned = False

    @property
    def per_second(self) -> float:
        return self._local.per_second

    def reserve(self, at: float) -> float:
        """Reserves the first free slot that is not before `at`, and returns its time."""
        at = self._local.reserve(at)
        if not self._lock():
            return at
        try:
            stored = os.pread(self._file, 8, 0)
            free_at = struct.unpack("<d", stored)[0] if len(stored) == 8 else at
            slot = at if free_at > at + max(MAX_AHEAD_S, 4 * self._gap_s) else max(at, free_at)
            os.pwrite(self._file, struct.pack("<d", slot + self._gap_s), 0)
            return slot
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._file)

    def _lock(self) -> bool:
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except OSError:  # BlockingIOError; or a file system without locks
                if time.monotonic() > deadline:
                    break
            time.sleep(0.001)
        if not self._has_warned:
            self._has_warned = True
            log.warning("budget_not_shared", reason="its file is locked by a process that has stopped")
        return False


class Schedule(Protocol):
    """A schedule on another machine."""

    def take(self, count: int, gap_s: float, ahead_s: float) -> float:
        """Reserves `count` slots, `gap_s` apart, none before `ahead_s` from now; seconds from now to the first one."""

    def close(self) -> None:
        """Nothing more is reserved."""


class DatabaseRateLimiter:
    """Slots for all processes that share `schedule`: at most `per_second` in any second together.

    A process that reserves one slot right after the other gets as many at once as BATCH_S has; others get one.
    """

    def __init__(self, schedule: Schedule, per_second: float, now: Callable[[], float] = time.monotonic) -> None:
        self._schedule = schedule
        self._local = LocalRateLimiter(per_second)
        self._gap_s = WINDOW_S / per_second
        self._max_count = max(1, int(per_second * BATCH_S))
        self._count = 1
        self._now = now
        self._slots: deque[float] = deque()  # reserved in the schedule, and not used yet
        self._last_slot = -inf

    @property
    def per_second(self) -> float:
        return self._local.per_second

    def reserve(self, at: float) -> float:
        """Reserves the first free slot that is not before `at`, and returns its time."""
        at = self._local.reserve(at)
        while self._slots and self._slots[0] < at - self._gap_s:  # used so late, a slot could coincide with another's
            self._slots.popleft()
        if not self._slots:
            self._count = min(self._max_count, 2 * self._count) if at < self._last_slot + 2 * self._gap_s else 1
            # A slot that is a little early is used when it may be; asked for later, the time of the query opens gaps.
            wait_s = self._schedule.take(self._count, self._gap_s, max(at - self._now() - self._gap_s, 0.0))
            first = self._now() + wait_s  # measured now: a slow answer must not make the slot earlier
            self._slots.extend(first + place * self._gap_s for place in range(self._count))
            self._last_slot = self._slots[-1]
        return max(at, self._slots.popleft())


@contextlib.contextmanager
def rate_limiter(
    destination: Destination, folder: Path, schedule: Callable[[str], Schedule] | None
) -> Iterator[RateLimiter]:
    """The destination's rate limit, shared by all processes that send to the same workspace.

    They share a file in `folder`, or what `schedule` returns for the digest of the workspace's address and key.
    """
    if destination.requests_per_second is None:
        yield LocalRateLimiter(None)
        return
    key = destination.credentials[APIS[destination.api].workspace_key]
    workspace = f"{destination.base_url} {key.get_secret_value()}"
    name = hashlib.sha256(workspace.encode()).hexdigest()[:16]
    if schedule is None:
        path = folder / f"budget-{name}"
        with contextlib.closing(FileRateLimiter(path, destination.requests_per_second)) as in_file:
            yield in_file
    else:
        with contextlib.closing(schedule(name)) as in_database:
            yield DatabaseRateLimiter(in_database, destination.requests_per_second)
