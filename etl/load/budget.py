"""How do several processes of this machine keep to one ceiling? They take their slots from one schedule, in a file.

The file holds one number, the time of the next free slot, by the clock that all processes of a machine share
(CLOCK_MONOTONIC). A slot is taken under a file lock, which the kernel takes back from whoever dies: some microseconds,
no disk is waited for. A schedule of before the machine was started lies far ahead, and is begun anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import structlog

from etl.load.slots import WINDOW_S, Ceiling, Slots
from etl.model import Destination

log = structlog.get_logger()

PATIENCE_S = 0.25  # for the lock: longer than this somebody was stopped while holding it
FAR_S = 60.0  # ahead of now: nobody reserves so far, so it is a schedule of before the machine was started


class SharedCeiling:
    """Slots of one schedule for all processes that name the same file: at most `per_second` in any second together.

    A process whose ceiling is lower than another's takes more of the schedule for each of its slots. Where the lock is
    not to be had in time, the process keeps to its own ceiling, and says so once.
    """

    def __init__(self, path: Path, per_second: float) -> None:
        self._own = Ceiling(per_second)
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


@contextlib.contextmanager
def slots_of(destination: Destination, folder: Path) -> Iterator[Slots]:
    """The slots of a destination's ceiling, shared by all that go to the same workspace and have this state folder."""
    if destination.requests_per_second is None:
        yield Ceiling(None)
        return
    account = destination.site_id if destination.api == "track" else destination.write_key
    of = f"{destination.base_url} {account.get_secret_value()}"
    path = folder / f"budget-{hashlib.sha256(of.encode()).hexdigest()[:16]}"
    shared = SharedCeiling(path, destination.requests_per_second)
    try:
        yield shared
    finally:
        shared.close()
