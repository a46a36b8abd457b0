"""What survives a kill: runs, steps, lane marks, rejects, counts. SQLAlchemy Core over SQLite; one lock a job.

tables.py   the schema and its version
store.py    runs and steps: begun, resumed, finished, read
marks.py    the commit of a lane's mark, its rejects and its counts: one transaction, shared by lanes that wait
account.py  a run as a report
lock.py     one run of a job at a time
whereabouts.py  whether the folder can hold a state, and the database is still the one that was opened
"""

from etl.state.account import account
from etl.state.lock import hold, running
from etl.state.marks import Again
from etl.state.store import RESUMABLE, Left, RunRecord, StepRecord, Store, open_store
from etl.state.whereabouts import mount_table, require_local

__all__ = [
    "RESUMABLE",
    "Again",
    "Left",
    "RunRecord",
    "StepRecord",
    "Store",
    "account",
    "hold",
    "mount_table",
    "open_store",
    "require_local",
    "running",
]
