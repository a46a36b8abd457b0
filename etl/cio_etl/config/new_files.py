"""Writes files that did not exist before, and the schemas beside them."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Mapping
from pathlib import Path

from cio_etl.config.json_schema import SCHEMA_FILE, SchemaKind, is_generated_schema, schema_text
from cio_etl.errors import ConfigError, Problem

ANOTHER_NAME = "give another --name, or move the file away"


def write_files(
    contents: Mapping[Path, str | bytes], schemas: Mapping[Path, SchemaKind], instead: str = ANOTHER_NAME
) -> None:
    """Writes new files, and into each of the folders `schemas` the schema that editors read.

    instead: what to do where a file exists already. Raises ConfigError then, with all of them, and when one cannot be
    written; then none is there, and no new folder.
    """
    if existing := [path for path in contents if os.path.lexists(path)]:
        raise ConfigError(_exists_already(path, instead) for path in existing)
    folders = {folder for path in contents for folder in path.parents if not os.path.lexists(folder)}
    written: list[Path] = []
    try:
        for path, content in contents.items():
            write_new(path, content, instead)
            written.append(path)
        for folder, kind in schemas.items():
            write_schema(folder / SCHEMA_FILE, kind)
    except ConfigError:
        for path in written:
            path.unlink(missing_ok=True)
        for folder in sorted(folders, reverse=True):  # those within another one first
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def write_new(path: Path, content: str | bytes, instead: str = ANOTHER_NAME) -> None:
    """Writes a new file, and its folder. Raises ConfigError when it exists already or cannot be written."""
    try:
        os.makedirs(path.parent, exist_ok=True)
        file = path.open("xb")  # O_EXCL: another process may have written it meanwhile
    except OSError as error:
        if isinstance(error, FileExistsError) and os.path.lexists(path):
            raise ConfigError([_exists_already(path, instead)]) from None
        raise ConfigError([unwritable(path, error)]) from None
    try:
        with file:
            file.write(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ConfigError([unwritable(path, error)]) from None


def write_schema(path: Path, kind: SchemaKind) -> None:
    """Writes the schema, also over an older one that cio-etl wrote; any other file stays as it is."""
    try:
        if os.path.lexists(path):
            if path.is_symlink() or not is_generated_schema(path.read_text(encoding="utf-8", errors="replace")):
                return
            path.unlink()
    except OSError as error:
        raise ConfigError([unwritable(path, error)]) from None
    write_new(path, schema_text(kind))


def unwritable(path: Path, error: OSError) -> Problem:
    """The problem of a file that cannot be written, and what to do."""
    reason = os.strerror(error.errno or 0)
    return Problem(str(path), None, "", f"cannot be written: {reason}; {_REMEDIES.get(error.errno or 0, _REMEDY)}")


_REMEDY = "check the folder and who may write to it"
_REMEDIES = {
    errno.ENOSPC: "free some space on its disk",
    errno.EDQUOT: "free some space within the quota",
    errno.ENOTDIR: "a file has the name of the folder: move it",
    errno.EEXIST: "a file has the name of the folder: move it",
}


def _exists_already(path: Path, instead: str) -> Problem:
    """The problem of a file that is not overwritten."""
    return Problem(str(path), None, "", f"exists already and is not overwritten; {instead}")
