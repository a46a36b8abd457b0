"""Writes the files of a proposal, none over another one."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from cio_etl.config import SCHEMA_FILE, SchemaKind, is_generated_schema, schema_text
from cio_etl.errors import ConfigError, Problem


def write_proposal(job_file: Path, job: str, mappings: Mapping[Path, str]) -> None:
    """Writes the job and its mappings, and into each folder the schema that editors read.

    Raises ConfigError when a file exists already; then none is written.
    """
    files = {job_file: job, **mappings}
    existing = [path for path in files if os.path.lexists(path)]
    if existing:
        raise ConfigError(_exists(path) for path in existing)
    written: list[Path] = []
    try:
        for path, text in files.items():
            _write(path, text)
            written.append(path)
        _write_schema(job_file.parent / SCHEMA_FILE, "job")
        for folder in dict.fromkeys(path.parent for path in mappings):
            _write_schema(folder / SCHEMA_FILE, "mapping")
    except ConfigError:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def _write(path: Path, text: str) -> None:
    try:
        os.makedirs(path.parent, exist_ok=True)
        file = path.open("x", encoding="utf-8")  # O_EXCL: another process may have written it meanwhile
    except OSError as error:
        if isinstance(error, FileExistsError) and os.path.lexists(path):
            raise ConfigError([_exists(path)]) from None
        raise ConfigError([_unwritable(path, error)]) from None
    try:
        with file:
            file.write(text)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ConfigError([_unwritable(path, error)]) from None


def _write_schema(path: Path, kind: SchemaKind) -> None:
    """Writes the schema, also over an older one that cio-etl wrote; any other file stays as it is."""
    try:
        if os.path.lexists(path):
            if path.is_symlink() or not is_generated_schema(path.read_text(encoding="utf-8", errors="replace")):
                return
            path.unlink()
    except OSError as error:
        raise ConfigError([_unwritable(path, error)]) from None
    _write(path, schema_text(kind))


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


def _exists(path: Path) -> Problem:
    return Problem(
        str(path), None, "", "exists already and is not overwritten; give another --name, or move the file away"
    )
