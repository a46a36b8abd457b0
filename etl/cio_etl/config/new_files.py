"""Writes files that did not exist before, and the schemas beside them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from cio_etl.config.json_schema import SchemaKind, is_generated_schema, schema_text
from cio_etl.errors import ConfigError, Problem


def write_new(path: Path, text: str) -> None:
    """Writes a new file, and its folder. Raises ConfigError when it exists already or cannot be written."""
    try:
        os.makedirs(path.parent, exist_ok=True)
        file = path.open("x", encoding="utf-8")  # O_EXCL: another process may have written it meanwhile
    except OSError as error:
        if isinstance(error, FileExistsError) and os.path.lexists(path):
            raise ConfigError([exists_already(path)]) from None
        raise ConfigError([_unwritable(path, error)]) from None
    try:
        with file:
            file.write(text)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ConfigError([_unwritable(path, error)]) from None


def write_schema(path: Path, kind: SchemaKind) -> None:
    """Writes the schema, also over an older one that cio-etl wrote; any other file stays as it is."""
    try:
        if os.path.lexists(path):
            if path.is_symlink() or not is_generated_schema(path.read_text(encoding="utf-8", errors="replace")):
                return
            path.unlink()
    except OSError as error:
        raise ConfigError([_unwritable(path, error)]) from None
    write_new(path, schema_text(kind))


def _unwritable(path: Path, error: OSError) -> Problem:
    reason = os.strerror(error.errno or 0)
    return Problem(str(path), None, "", f"cannot be written: {reason}; {_REMEDIES.get(error.errno or 0, _REMEDY)}")


_REMEDY = "check the folder and who may write to it"
_REMEDIES = {
    errno.ENOSPC: "free some space on its disk",
    errno.EDQUOT: "free some space within the quota",
    errno.ENOTDIR: "a file has the name of the folder: move it",
    errno.EEXIST: "a file has the name of the folder: move it",
}


def exists_already(path: Path) -> Problem:
    """The problem of a file that is not overwritten."""
    return Problem(
        str(path), None, "", "exists already and is not overwritten; give another --name, or move the file away"
    )
