"""Is another run of this job at work? A file lock, which the kernel takes back when its holder dies, kill -9 or not."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import structlog

from etl.errors import JobLocked, StateError

log = structlog.get_logger()

LOOK_EVERY_S = 0.5


@contextlib.contextmanager
def hold(folder: Path, job: str, wait_s: float = 0.0) -> Iterator[None]:
    """Holds the job's lock; raises JobLocked, naming the holder, when another process keeps it for `wait_s`."""
    path = folder / f"{job}.lock"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(place=folder, what=error.strerror or "cannot be opened") from None
    try:
        _wait_for(file, job, path, wait_s)
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(" ", "seconds"),
        }
        with contextlib.suppress(OSError):  # a full disk will be told of by what matters more
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps(holder).encode(), 0)
        yield
    finally:
        os.close(file)


def _wait_for(file: int, job: str, path: Path, wait_s: float) -> None:
    deadline, told = time.monotonic() + wait_s, False
    while True:
        try:
            return _take(file)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                remedy = "wait until it has finished, or end that process"
                raise JobLocked(remedy, job=job, **_holder(path)) from None
        if not told:
            log.info("lock_awaited", job=job, **_holder(path))
            told = True
        time.sleep(min(LOOK_EVERY_S, max(deadline - time.monotonic(), 0.0)))


def _take(file: int) -> None:
    """Takes the lock, or raises BlockingIOError; `running` holds it for an instant, so there is a second try."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(0.1)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def running(folder: Path, job: str) -> bool:
    """Whether a process holds the job's lock now."""
    try:
        with hold(folder, job):
            return False
    except JobLocked:
        return True


def _holder(path: Path) -> dict[str, object]:
    try:
        said = json.loads(path.read_text())
        return {key: said[key] for key in ("pid", "host", "since")}
    except (OSError, ValueError, KeyError, TypeError):
        return {"pid": "?", "host": "?", "since": "?"}  # it has only just taken the lock
