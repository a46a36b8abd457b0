"""What survives a kill: runs, steps, lane marks, rejects, counts. SQLAlchemy Core, over SQLite or PostgreSQL.

tables.py   the schema and its version
connect.py  the database opened: a file in a folder, or a server that several machines share; made, brought up to date
store.py    runs and steps: begun, resumed, finished, read
leases.py   whose a lane is, for how long; who was away for too long finds out
marks.py    the commit of a lane's mark, its rejects and its counts: one transaction, shared by lanes that wait
run_report.py  a run as a report
budget.py   the slots of one ceiling for all machines, by the database's clock
lock.py     one run of a job at a time: lock_file.py in a folder, lock_server.py on a server, lock_owner.py who has it
faults.py   what went wrong with the database, in our words
filesystem.py  whether the folder can hold a state, and the database is still the one that was opened
"""

from cio_etl.state.budget import Budget
from cio_etl.state.connect import Where, exists
from cio_etl.state.filesystem import mount_table, require_local
from cio_etl.state.leases import Leases, new_owner, renewing
from cio_etl.state.lock import hold, require_free, running
from cio_etl.state.marks import Again
from cio_etl.state.run_report import account
from cio_etl.state.store import RESUMABLE, Bookmark, RunRecord, StepRecord, Store, open_store

__all__ = [
    "RESUMABLE",
    "Again",
    "Bookmark",
    "Budget",
    "Leases",
    "RunRecord",
    "StepRecord",
    "Store",
    "Where",
    "account",
    "exists",
    "hold",
    "mount_table",
    "new_owner",
    "open_store",
    "renewing",
    "require_free",
    "require_local",
    "running",
]
