"""Finds the local files that a source names, and reads them while noticing any change."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import stat
from collections.abc import Iterable
from types import TracebackType

from cio_etl.errors import SourceError, did_you_mean_file
from cio_etl.model.records import dataclass


def named_files(paths: Iterable[str]) -> tuple[str, ...]:
    """The files that paths and globs name, sorted, each once.

    Raises SourceError for a glob without a match; whether a plain path exists shows when it is opened.
    """
    named: set[str] = set()
    for path in paths:
        # A file whose own name has brackets is meant literally.
        matches = [path] if os.path.lexists(path) or not glob.has_magic(path) else glob.glob(path, recursive=True)
        if not matches:
            raise SourceError(did_you_mean_file(path), place=path, what="no file matches")
        named.update(os.path.normpath(match) for match in matches)
    if not named:
        raise SourceError("name at least one path", place="source", what="no file matches")
    return tuple(sorted(named))


@dataclass(frozen=True, slots=True)
class Identity:
    """Facts about a file that change when its content changes."""

    device: int
    inode: int
    bytes: int
    modified_ns: int
    changed_ns: int  # of the inode: unlike the time before, nobody can put it back

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class RegularFile:
    """A local file, open for reading at any offset, that notices when it is written to, cut or replaced.

    Every failure is a SourceError. With `expected`, the file on disk must still be that one.
    """

    def __init__(self, path: str, expected: Identity | None = None) -> None:
        self.path = path
        try:
            # Without O_NONBLOCK, opening a FIFO waits for its writer for ever.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as error:
            raise _unreadable(path, error) from None
        except ValueError:  # a NUL in the path
            raise SourceError("name a local file", place=repr(path), what="is not a path") from None
        status = os.fstat(self._descriptor)
        self.identity = expected or Identity.of(status)
        try:
            _require_regular(path, status)
            self.check_unchanged()
        except SourceError:
            self.close()
            raise

    def read_at(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on; fewer only where the file ended when it was opened."""
        size = max(0, min(size, self.identity.bytes - offset))
        pieces: list[bytes] = []
        while size > 0:
            try:
                piece = os.pread(self._descriptor, size, offset)
            except OSError as error:
                raise _unreadable(self.path, error) from None
            if not piece:
                raise _changed(self.path)
            pieces.append(piece)
            offset += len(piece)
            size -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def sha256(self, block_bytes: int = 4 << 20) -> str:
        """The SHA-256 of the whole file, in hexadecimal."""
        digest = hashlib.sha256()
        for offset in range(0, self.identity.bytes, block_bytes):
            digest.update(self.read_at(offset, block_bytes))
        return digest.hexdigest()

    def check_unchanged(self) -> None:
        """Raises SourceError when the path no longer leads to the file that was opened, as it was."""
        try:
            status = os.stat(self.path)
        except OSError:
            raise _changed(self.path) from None
        if Identity.of(status) != self.identity:
            raise _changed(self.path)

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> RegularFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def fingerprint(settings: object, digests: Iterable[str]) -> str:
    """SHA-256 over the files' contents, in order, and what decides how they are read. Paths don't count."""
    return hashlib.sha256(json.dumps([settings, list(digests)]).encode()).hexdigest()


def _require_regular(path: str, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise SourceError(f"name its files, like {os.path.join(path, '*')}", place=path, what="is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise SourceError("write the rows to a file first", place=path, what="is a pipe or device, not a regular file")


def _unreadable(path: str, error: OSError) -> SourceError:
    remedy = did_you_mean_file(path) if isinstance(error, FileNotFoundError) else ""
    return SourceError(remedy, place=path, what=f"cannot be read: {os.strerror(error.errno or 0)}")


def _changed(path: str) -> SourceError:
    return SourceError(
        "wait until its writer has finished; give each run a file that nobody writes to",
        place=path,
        what="changed while it was being read",
    )
