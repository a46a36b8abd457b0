"""What survives a kill: runs, steps, lane marks, rejects, counts. SQLAlchemy Core, over SQLite or PostgreSQL.

tables.py   the schema and its version
opening.py  the database opened: a file in a folder, or a server that several machines share; made, brought up to date
store.py    runs and steps: begun, resumed, finished, read
leases.py   whose a lane is, for how long; who was away for too long finds out
marks.py    the commit of a lane's mark, its rejects and its counts: one transaction, shared by lanes that wait
account.py  a run as a report
budget.py   the slots of one ceiling for all machines, by the database's clock
lock.py     one run of a job at a time: lock_file.py in a folder, lock_server.py on a server, holder.py who has it
faults.py   what went wrong with the database, in our words
whereabouts.py  whether the folder can hold a state, and the database is still the one that was opened
"""

from etl.state.account import account
from etl.state.budget import Budget
from etl.state.leases import Leases, kept, new_owner
from etl.state.lock import hold, require_free, running
from etl.state.marks import Again
from etl.state.opening import Where, exists
from etl.state.store import RESUMABLE, Left, RunRecord, StepRecord, Store, open_store
from etl.state.whereabouts import mount_table, require_local

__all__ = [
    "RESUMABLE",
    "Again",
    "Budget",
    "Leases",
    "Left",
    "RunRecord",
    "StepRecord",
    "Store",
    "Where",
    "account",
    "exists",
    "hold",
    "kept",
    "mount_table",
    "new_owner",
    "open_store",
    "require_free",
    "require_local",
    "running",
]
