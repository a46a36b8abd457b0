"""Locks a job in a folder: a file lock, which the kernel releases when its owner dies, even of kill -9."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from pathlib import Path

from cio_etl.errors import StateError
from cio_etl.state.lock_owner import UNKNOWN, LockOwner, owner_from_text


class FileLock:
    """The lock of one job. Raises StateError when the folder cannot have it."""

    def __init__(self, folder: Path, job: str) -> None:
        self._path = folder / f"{job}.lock"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError.of_file(folder, error) from None

    def take(self) -> bool:
        """Tries to take the lock; whether this process has it now."""
        try:
            _take(self._file)
        except BlockingIOError:
            return False
        return True

    def write_owner(self, owner: LockOwner) -> None:
        """Writes the lock's owner."""
        with contextlib.suppress(OSError):  # on a full disk, the state's next commit fails with a message
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, json.dumps(owner).encode(), 0)

    def read_owner(self) -> LockOwner:
        """The lock's owner; UNKNOWN when none is written."""
        try:
            return owner_from_text(self._path.read_text())
        except OSError:
            return UNKNOWN

    def close(self) -> None:
        """Releases the lock."""
        os.close(self._file)


def is_held(folder: Path, job: str) -> bool:
    """Whether a process holds the job's lock. Creates and writes nothing, and has the lock itself for an instant."""
    try:
        file = os.open(folder / f"{job}.lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _take(file: int) -> None:
    """Takes the lock, or raises BlockingIOError. It tries twice, because `running` holds the lock for an instant."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(0.1)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
