"""Folders for rows that are copied for one command: they are deleted when it ends, also when a signal ends it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

_open: set[str] = set()
_TRIES = 20  # a thread may still write files into a folder while these are deleted


@contextlib.contextmanager
def temporary_folder() -> Iterator[str]:
    """A folder below TMPDIR for this user only, until the block ends."""
    import tempfile  # here: short commands need none

    folder = tempfile.TemporaryDirectory(prefix="cio-etl-")
    _open.add(folder.name)
    try:
        with folder:
            yield folder.name
    finally:
        _open.discard(folder.name)  # a signal may come while it is deleted


def delete_temporary_folders() -> None:
    """Deletes the folders whose blocks have not ended: the process is about to end."""
    import shutil

    for _ in range(_TRIES if _open else 0):
        for name in tuple(_open):
            shutil.rmtree(name, ignore_errors=True)
        if not any(Path(name).exists() for name in tuple(_open)):
            return
