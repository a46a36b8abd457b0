"""Writes the files of a proposal, none over another one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from cio_etl.config import SCHEMA_FILE
from cio_etl.config.new_files import exists_already, write_new, write_schema
from cio_etl.errors import ConfigError


def write_proposal(job_file: Path, job: str, mappings: Mapping[Path, str]) -> None:
    """Writes the job and its mappings, and into each folder the schema that editors read.

    Raises ConfigError when a file exists already; then none is written.
    """
    files = {job_file: job, **mappings}
    existing = [path for path in files if os.path.lexists(path)]
    if existing:
        raise ConfigError(exists_already(path) for path in existing)
    written: list[Path] = []
    try:
        for path, text in files.items():
            write_new(path, text)
            written.append(path)
        write_schema(job_file.parent / SCHEMA_FILE, "job")
        for folder in dict.fromkeys(path.parent for path in mappings):
            write_schema(folder / SCHEMA_FILE, "mapping")
    except ConfigError:
        for path in written:
            path.unlink(missing_ok=True)
        raise
