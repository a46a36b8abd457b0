"""Files of rejected rows: what they look like, and how their values are written and read back.

write.py          rejects and their rows as a table, and the table as a file
csv_cells.py      values as cells of text, and back
"""

from cio_etl.reject_files.csv_cells import as_text, from_text, unguarded
from cio_etl.reject_files.write import (
    CLOSED_COLUMN,
    HEAD,
    KEY,
    OF_VALIDATION,
    OURS,
    ROW_FAULTS,
    concatenated,
    export,
    require_ending,
    separator_of,
    source_name,
    step_frame,
)

__all__ = [
    "CLOSED_COLUMN",
    "HEAD",
    "KEY",
    "OF_VALIDATION",
    "OURS",
    "ROW_FAULTS",
    "as_text",
    "concatenated",
    "export",
    "from_text",
    "require_ending",
    "separator_of",
    "source_name",
    "step_frame",
    "unguarded",
]
