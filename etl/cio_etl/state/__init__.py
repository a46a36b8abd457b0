"""What survives a kill: runs, steps, lane progress, rejects, counts. SQLAlchemy Core, over SQLite or PostgreSQL.

tables.py      the tables and their schema's version
connect.py     opens the database: a file in a folder, or a server that several machines share
existing.py    whether there is a state
migrate.py     creates the tables, or migrates older ones
database.py    the database: its transactions
store.py       opens a state with all that it stores:
runs.py        runs: begun, ended, and which are the newest
steps.py       steps: begun, what is known of their rows, ended
lanes.py       lanes: claimed, committed, and how far they are
bookmarks.py   how far the source of a step was read
ledgers.py     which generation of a ledger is the current one
rejects.py     rejects: counted, read, closed; which are open over all runs of a job
reader.py      reads all of it for pages, without writing
leases.py      which process holds a lane, and until when
commit.py      commits progress, rejects and counts of a lane in one transaction, shared by lanes that wait
run_report.py  the report of a run
notices.py     what of a job is not as it should be, and who was told
budget.py      the slots of one rate limit for all machines, by the database's clock
lock.py        one run of a job at a time: lock_file.py in a folder, lock_server.py on a server, lock_owner.py its owner
faults.py      errors of the database as errors of this program
filesystem.py  whether a folder can hold a state, and whether its file is still the same

Names are loaded on first use: `preview` and `validate` know what this room is called, and rarely need SQLAlchemy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cio_etl.state.budget import Budget
    from cio_etl.state.commit import Closed, ReplayedRejects
    from cio_etl.state.connect import Where
    from cio_etl.state.existing import exists
    from cio_etl.state.filesystem import mount_table, require_local
    from cio_etl.state.leases import Leases, new_owner, renewing
    from cio_etl.state.ledgers import LedgerMove
    from cio_etl.state.lock import hold, require_free, running
    from cio_etl.state.notices import conditions, note_notices, telling, write_conditions
    from cio_etl.state.reader import Reader, RejectRow, is_read_only, open_to_read
    from cio_etl.state.rejects import GoneRejects
    from cio_etl.state.run_report import build_report, report_of_record, step_reports
    from cio_etl.state.runs import RESUMABLE, RunRecord
    from cio_etl.state.steps import StepRecord
    from cio_etl.state.store import Store, open_store

_FILES = {
    "budget": ("Budget",),
    "commit": ("Closed", "ReplayedRejects"),
    "connect": ("Where",),
    "existing": ("exists",),
    "filesystem": ("mount_table", "require_local"),
    "leases": ("Leases", "new_owner", "renewing"),
    "ledgers": ("LedgerMove",),
    "lock": ("hold", "require_free", "running"),
    "reader": ("Reader", "RejectRow", "is_read_only", "open_to_read"),
    "notices": ("conditions", "note_notices", "telling", "write_conditions"),
    "rejects": ("GoneRejects",),
    "run_report": ("build_report", "report_of_record", "step_reports"),
    "runs": ("RESUMABLE", "RunRecord"),
    "steps": ("StepRecord",),
    "store": ("Store", "open_store"),
}
_FILE_OF = {name: file for file, names in _FILES.items() for name in names}

__all__ = [
    "RESUMABLE",
    "Budget",
    "Closed",
    "GoneRejects",
    "Leases",
    "LedgerMove",
    "Reader",
    "RejectRow",
    "ReplayedRejects",
    "RunRecord",
    "StepRecord",
    "Store",
    "Where",
    "build_report",
    "conditions",
    "exists",
    "hold",
    "is_read_only",
    "mount_table",
    "new_owner",
    "note_notices",
    "open_store",
    "open_to_read",
    "renewing",
    "report_of_record",
    "require_free",
    "require_local",
    "running",
    "step_reports",
    "telling",
    "write_conditions",
]


def __getattr__(name: str) -> Any:
    if name not in _FILE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILE_OF[name]}"), name)
