"""Writes a copy of rows into a folder, its manifest last: a folder without a manifest is not a copy.

Files are readable for the user only (0600) and on the disk before the manifest names them.
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
    """Creates the empty folder, and removes what a killed process wrote there."""
    shutil.rmtree(folder, ignore_errors=True)
    with on_disk(folder):
        folder.mkdir(mode=0o700, parents=True)


def end(folder: Path, manifest: object) -> None:
    """Completes the copy: writes its manifest."""
    with on_disk(folder):
        with created(folder / "manifest.new") as file:
            file.write(json.dumps(manifest).encode())
        os.rename(folder / "manifest.new", folder / _MANIFEST)
        _sync_folder(folder)


def manifest_of(folder: Path) -> Any | None:
    """The manifest that `end` wrote; None: there is no complete copy."""
    try:
        return json.loads((folder / _MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None


def invalidate(folder: Path) -> None:
    """Removes the manifest: the next run copies the source again."""
    with on_disk(folder):
        (folder / _MANIFEST).unlink(missing_ok=True)


def copy_missing(place: str) -> SourceError:
    """The error of a source that must not be copied again, since rows of it are sent: it may have other rows now."""
    return SourceError(
        "undo the change, or abandon the run and start again with --restart",
        place=place,
        what="some of its rows are sent, and the staged rest is gone, or the source's settings have changed",
    )


@contextmanager
def created(path: Path) -> Iterator[BinaryIO]:
    """A new file, readable for the user only, which is on the disk when the block ends."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def on_disk(folder: Path) -> Iterator[None]:
    """Raises StateError in place of errors of a full or failing disk."""
    try:
        yield
    except OSError as error:
        raise StateError.of_file(folder, error) from None
    except pl.exceptions.ComputeError:
        remedy = "free some space there and run the same command again"
        raise StateError(remedy, place=folder, what="the staged rows cannot be written") from None


@contextmanager
def blaming(place: str) -> Iterator[None]:
    """Raises the errors of a copy's files as the source's, whose name a person knows."""
    try:
        yield
    except SourceError as error:
        what = f"the staged copy of its rows {error.facts.get('what')}"
        raise SourceError("start again with --restart", place=place, what=what) from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
