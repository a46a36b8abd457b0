"""Makes the `source:` section of a job from a source on the command line."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any


def section_of(source: str, table: str | None, query_file: str | None, sheet: str | None) -> dict[str, Any]:
    """The `source:` section for a source on the command line; of a CSV file with its separator and encoding."""
    from cio_etl.config import source_section
    from cio_etl.extract import csv_settings

    section = source_section(source, table=table, query_file=query_file, sheet=sheet)
    if section.keys() == {"csv"} and (files := [source] if Path(source).is_file() else sorted(glob.glob(source))):
        section |= csv_settings(Path(files[0]))
    return section
