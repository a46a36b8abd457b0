"""A job's lock in a folder: a file lock, which the kernel takes back when its holder dies, kill -9 or not."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from pathlib import Path

from cio_etl.errors import StateError
from cio_etl.state.lock_owner import UNKNOWN, Holder, read_holder


class FileLock:
    """The lock of one job; raises StateError when the folder cannot hold it."""

    def __init__(self, folder: Path, job: str) -> None:
        self._path = folder / f"{job}.lock"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(place=folder, what=error.strerror or "cannot be opened") from None

    def take(self) -> bool:
        """Whether it is this process's now."""
        try:
            _take(self._file)
        except BlockingIOError:
            return False
        return True

    def sign(self, holder: Holder) -> None:
        """Writes down who has it."""
        with contextlib.suppress(OSError):  # a full disk will be told of by what matters more
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, json.dumps(holder).encode(), 0)

    def holder(self) -> Holder:
        """Who has it, as far as that is written down."""
        try:
            return read_holder(self._path.read_text())
        except OSError:
            return UNKNOWN

    def close(self) -> None:
        """Gives the lock back."""
        os.close(self._file)


def _take(file: int) -> None:
    """Takes the lock, or raises BlockingIOError; `running` holds it for an instant, so there is a second try."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(0.1)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
