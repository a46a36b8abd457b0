"""Writes the files of a proposal, none over another one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cio_etl.config import SchemaKind
from cio_etl.config.new_files import write_files


def write_proposal(job_file: Path, job: str, mappings: Mapping[Path, str]) -> None:
    """Writes the job and its mappings, and into each folder the schema that editors read.

    Raises ConfigError when a file exists already; then none is written.
    """
    schemas: dict[Path, SchemaKind] = {job_file.parent: "job"}
    write_files({job_file: job, **mappings}, schemas | dict.fromkeys((path.parent for path in mappings), "mapping"))
