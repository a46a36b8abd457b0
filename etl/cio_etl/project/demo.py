"""Writes the demo into a folder: a shop's export, and the shipped job and mappings that load it."""

from __future__ import annotations

import os
from pathlib import Path

from cio_etl.config.new_files import unwritable, write_files
from cio_etl.errors import ConfigError
from cio_etl.project.shipped import shipped

DEMO_JOB = Path("jobs/demo.yaml")
DATA = Path(".etl/demo")  # where the job reads
FILES = (str(DEMO_JOB), "mappings/customers.yaml", "mappings/orders.yaml")


def write_demo(folder: Path) -> tuple[list[Path], list[Path]]:
    """Writes job, mappings and data; the files that were written, and those that were there and are another text.

    A job or a mapping that is there already stays as it is, so that a reader can change it and run the demo again. The
    data are always the same and are written again. Raises ConfigError when a file cannot be written.
    """
    from cio_etl.project.demo_data import write

    texts = {folder / name: shipped(name).read_bytes() for name in FILES}
    new = {path: text for path, text in texts.items() if not os.path.lexists(path)}
    write_files(new, {})
    try:
        changed = [path for path, text in texts.items() if path not in new and path.read_bytes() != text]
        return [*new, *write(folder / DATA)], changed
    except OSError as error:
        raise ConfigError([unwritable(Path(error.filename or folder / DATA), error)]) from None
