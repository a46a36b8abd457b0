"""How is a copy of rows written so that it counts only once it is whole? Into a folder, its manifest last.

Files are the user's only (0600) and on the disk before the manifest names them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from cio_etl.errors import SourceError, StateError

_MANIFEST = "manifest.json"


def begin(folder: Path) -> None:
    """Makes the empty folder, in place of what a process left there that did not come to its end."""
    shutil.rmtree(folder, ignore_errors=True)
    with on_disk(folder):
        folder.mkdir(mode=0o700, parents=True)


def end(folder: Path, manifest: object) -> None:
    """Makes the copy count: from now on it is whole."""
    with on_disk(folder):
        with created(folder / "manifest.new") as file:
            file.write(json.dumps(manifest).encode())
        os.rename(folder / "manifest.new", folder / _MANIFEST)
        _sync_folder(folder)


def manifest_of(folder: Path) -> Any | None:
    """What `end` was told; None: there is no whole copy."""
    try:
        return json.loads((folder / _MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None


def forget(folder: Path) -> None:
    """Makes the copy count no longer: the next one that is asked for is made anew."""
    with on_disk(folder):
        (folder / _MANIFEST).unlink(missing_ok=True)


def nothing_left(place: str) -> SourceError:
    """Why a source of which rows are sent already is not copied again: it may hold other rows by now."""
    return SourceError(
        "undo that, or give the run up and start anew with --restart",
        place=place,
        what="some of its rows are sent, and the staged rest is gone, or the source's settings have changed",
    )


@contextmanager
def created(path: Path) -> Iterator[BinaryIO]:
    """A new file of the user's only, which is on the disk when the block ends."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def on_disk(folder: Path) -> Iterator[None]:
    """A full or failing disk in our words."""
    try:
        yield
    except (OSError, pl.exceptions.ComputeError) as error:
        what = getattr(error, "strerror", None) or "the staged rows cannot be written"
        raise StateError("make room there and run the same command again", place=folder, what=what) from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
