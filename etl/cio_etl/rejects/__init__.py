"""Rejected rows: with their rows for a file, fixed by a person, and sent again.

original_rows.py  the rows as they were rejected: stored by the run, or read again from the unchanged source
rejected_rows.py  a run's rejects with their rows, as the table that a file has
fixed_file.py     reads a fixed file and checks it
step_rows.py      makes the rows of one step ready to be sent again
replay.py         runs the job that sends them
"""

from cio_etl.rejects.fixed_file import ENDINGS, read_fixed_file
from cio_etl.rejects.rejected_rows import rejected_rows
from cio_etl.rejects.replay import ReplayRequest, replay, request_for_file, request_for_run

__all__ = [
    "ENDINGS",
    "ReplayRequest",
    "read_fixed_file",
    "rejected_rows",
    "replay",
    "request_for_file",
    "request_for_run",
]
