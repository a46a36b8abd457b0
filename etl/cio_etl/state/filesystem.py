"""Checks that a folder can hold a state, and that nobody has replaced the state's file."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from cio_etl.errors import StateError

# File systems, by their names in /proc/mounts, whose locks SQLite cannot rely on.
NETWORK = {"afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"}
NETWORK |= {f"fuse.{name}" for name in ("ceph", "gcsfuse", "glusterfs", "rclone", "s3fs", "sshfs")}


def mount_table() -> str:
    """The mounts of this machine as the lines of /proc/mounts; "" where there is no such file."""
    with suppress(OSError):
        return Path("/proc/mounts").read_text(encoding="utf-8", errors="replace")
    return ""


def require_local(folder: Path, mounts: str) -> None:
    """Raises StateError when the folder is on a network file system."""
    if (kind := file_system(folder, mounts)) in NETWORK:
        raise StateError(
            "keep it on a local disk: write state: with a folder on one in the job file",
            place=folder,
            what=f"is on a network file system ({kind}), whose locks a database cannot rely on",
        )


def file_system(folder: Path, mounts: str) -> str:
    """The kind of file system of a folder, from the lines of /proc/mounts; "" when they do not contain it."""
    within, innermost, kind = f"{folder.resolve()}/", "", ""
    for line in mounts.splitlines():
        _, at, this, *_ = line.split(" ")
        mounted = at.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
        covers = within.startswith(f"{mounted.rstrip('/')}/")
        if covers and len(mounted) >= len(innermost):  # a later line covers earlier ones
            innermost, kind = mounted, this
    return kind


def is_read_only(folder: Path) -> bool:
    """Whether the folder is there and its file system lets nobody write."""
    with suppress(OSError):
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    return False


def identity(path: Path) -> tuple[int, int]:
    """Device and inode of the file at a path. Raises StateError when there is no file."""
    try:
        status = os.stat(path)
    except OSError:
        raise StateError(
            "put it back and run the same command again; without it, every row is sent again",
            place=path,
            what="the state database disappeared while it was in use",
        ) from None
    return status.st_dev, status.st_ino


def require_same(path: Path, known: tuple[int, int]) -> None:
    """Raises StateError when the database was deleted or replaced: what is written would be lost."""
    if identity(path) != known:
        raise StateError(
            "put the first one back and run the same command again",
            place=path,
            what="the state database was replaced by another file while it was in use",
        )
