"""Allows one run of a job at a time: a lock for each job, in the state's folder or on its server."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from cio_etl.errors import JobLocked
from cio_etl.log import get_logger
from cio_etl.state import lock_file
from cio_etl.state.connect import Where, open_engine
from cio_etl.state.lock_file import FileLock
from cio_etl.state.lock_owner import this_process
from cio_etl.state.lock_server import ServerLock

log = get_logger()

POLL_S = 0.5


@contextlib.contextmanager
def hold(where: Where, job: str, wait_s: float = 0.0, *, shared: bool = False) -> Iterator[None]:
    """Holds the job's lock for the length of a block. Raises JobLocked when another process holds it after `wait_s`.

    Several processes may hold it `shared` at once; that needs a server.
    """
    with _lock(where, job, shared=shared) as lock:
        _wait_for(lock, job, wait_s)
        lock.write_owner(this_process())
        yield


def running(where: Where, job: str) -> bool:
    """Whether a process holds the job's lock now."""
    if isinstance(where, Path):
        return lock_file.is_held(where, job)
    with _lock(where, job) as lock:
        return not lock.take()


def require_free(where: Where, job: str) -> None:
    """Raises JobLocked, which names the owner, when a process holds the job's lock now."""
    with _lock(where, job) as lock:
        if not lock.take():
            raise _locked(lock, job)


@contextlib.contextmanager
def _lock(where: Where, job: str, *, shared: bool = False) -> Iterator[FileLock | ServerLock]:
    if isinstance(where, Path):
        with contextlib.closing(FileLock(where, job)) as lock:
            yield lock
        return
    engine = open_engine(where)
    try:
        with contextlib.closing(ServerLock(engine, job, shared=shared)) as lock:
            yield lock
    finally:
        engine.dispose()


def _wait_for(lock: FileLock | ServerLock, job: str, wait_s: float) -> None:
    deadline, logged = time.monotonic() + wait_s, False
    while not lock.take():
        if time.monotonic() >= deadline:
            raise _locked(lock, job)
        if not logged:
            log.info("lock_awaited", job=job, **lock.read_owner())
            logged = True
        time.sleep(min(POLL_S, max(deadline - time.monotonic(), 0.0)))


def _locked(lock: FileLock | ServerLock, job: str) -> JobLocked:
    return JobLocked("wait until it has finished, or end that process", job=job, **lock.read_owner())
