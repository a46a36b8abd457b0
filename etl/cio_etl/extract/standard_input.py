"""Copies standard input first, so that its rows can be read twice, and again after a kill.

The copy stays in the stage folder until the run has finished; a resumed run, which has no pipe any more, reads it. It
gets its name when its last byte is on the disk, so that a copy of that name is complete.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from cio_etl.errors import SourceError, StateError
from cio_etl.extract import copies
from cio_etl.model import Snapshot, Staging

_PLACE = "standard input"
_COPY = "standard-input"
_BLOCK_BYTES = 1 << 20


def open_standard_input(
    staging: Staging, open_copy: Callable[[str], Snapshot], stream: BinaryIO | None = None
) -> Snapshot:
    """The snapshot that `open_copy` makes of the copy at a path; messages call it "standard input".

    The stream is read once (None: the process's own), to its end, and not at all when there is a copy. Raises
    SourceError for a terminal, for nothing, and when there is no copy and none may be made.
    """
    path = staging.folder / _COPY
    if not path.exists():
        if not staging.may_read:
            raise SourceError(
                "abandon the run and start again with --restart, and pipe the rows in again",
                place=_PLACE,
                what="some of its rows are sent, and the copy of the rest is gone",
            )
        _copy(sys.stdin.buffer if stream is None else stream, path, staging)
    elif _other_rows_wait(sys.stdin.buffer if stream is None else stream, path):
        raise SourceError(
            "finish that run first, with </dev/null in place of the pipe, or abandon it with --restart",
            place=_PLACE,
            what="has other rows than the unfinished run, which would not be sent",
        )
    try:
        snapshot = open_copy(str(path))
    except SourceError as error:
        place = str(error.facts["place"]).replace(str(path), _PLACE)
        raise SourceError(error.remedy, place=place, what=error.facts["what"]) from None

    def locate(positions: Sequence[int]) -> list[tuple[str, int]]:
        return [(_PLACE, line) for _, line in snapshot.locate(positions)]

    return replace(snapshot, locate=locate)


def _other_rows_wait(stream: BinaryIO, path: Path) -> bool:
    """Whether the pipe has bytes that differ from the beginning of the copy; an idle pipe does not."""
    with suppress(OSError, ValueError, AttributeError):  # closed, or no file at all
        if stream.isatty() or not select.select([stream], [], [], 0)[0]:
            return False
        with path.open("rb") as copy:
            begin = os.read(stream.fileno(), _BLOCK_BYTES)
            return bool(begin) and copy.read(len(begin)) != begin
    return False


def _copy(stream: BinaryIO, path: Path, staging: Staging) -> None:
    if stream.isatty():
        raise SourceError(
            "pipe the rows in, as `zcat rows.csv.gz | cio-etl run job.yaml`, or name a file",
            place=_PLACE,
            what="is a terminal",
        )
    unfinished = path.with_suffix(".new")
    lines = 0
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished.unlink(missing_ok=True)
        with copies.created(unfinished) as file:
            while block := _block(stream):
                file.write(block)
                lines += block.count(b"\n")
                staging.report_rows(lines)
            size = file.tell()
        if size:
            os.rename(unfinished, path)
    except OSError as error:
        raise StateError.of_file(path.parent, error, f"cannot hold the copy of {_PLACE}") from None
    if not size:
        unfinished.unlink()
        raise SourceError("does the command before the pipe write anything?", place=_PLACE, what="is empty")


def _block(stream: BinaryIO) -> bytes:
    try:
        return stream.read(_BLOCK_BYTES)
    except OSError as error:
        raise SourceError(place=_PLACE, what=f"cannot be read: {os.strerror(error.errno or 0)}") from None
