"""Rejected rows: written to a file, fixed by a person, and sent again.

original_rows.py  the rows as they were rejected: kept by the run, or read again from the unchanged source
export.py         writes rejects and their rows to a file
csv_cells.py      values as cells of text, and back
fixed_file.py     reads a fixed file and checks it
step_rows.py      makes the rows of one step ready to be sent again
replay.py         runs the job that sends them
"""

from cio_etl.rejects.export import export, rejected_rows, separator_of
from cio_etl.rejects.fixed_file import ENDINGS
from cio_etl.rejects.replay import ReplayRequest, replay, request_for_file, request_for_run

__all__ = [
    "ENDINGS",
    "ReplayRequest",
    "export",
    "rejected_rows",
    "replay",
    "request_for_file",
    "request_for_run",
    "separator_of",
]
