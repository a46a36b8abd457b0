"""Rejected rows: written to a file, fixed by a person, and sent again.

original_rows.py  the rows as they were rejected: kept by the run, or read again from the unchanged source
export.py         writes rejects and their rows to a file
csv_cells.py      values as cells of text, and back
fixed_file.py     reads a fixed file and checks it
step_rows.py      makes the rows of one step ready to be sent again
replay.py         runs the job that sends them
"""

from cio_etl.rejects.export import (
    OF_VALIDATION,
    concatenated,
    export,
    rejected_rows,
    require_ending,
    separator_of,
    step_frame,
)
from cio_etl.rejects.fixed_file import ENDINGS, read_fixed_file
from cio_etl.rejects.replay import ReplayRequest, replay, request_for_file, request_for_run

__all__ = [
    "ENDINGS",
    "OF_VALIDATION",
    "ReplayRequest",
    "concatenated",
    "export",
    "read_fixed_file",
    "rejected_rows",
    "replay",
    "request_for_file",
    "request_for_run",
    "require_ending",
    "separator_of",
    "step_frame",
]
