"""Runs a job. Read run.py first: the line from source to acknowledgement.

run.py            the line: each step is opened, mapped, packed, sent and recorded
start.py          what the command, the Python API and Airflow call: a job file is loaded, checked and run
ended.py          what is known of a run that has ended
ending.py         what is done then, on every door
chosen_steps.py   loads a job file with the steps that are asked for
options.py        every run option, declared once
shares.py         the lanes that one of several workers takes
open_step.py      opens a step's source, and decides what is sent of its rows
prepared.py       compiles a step's mapping for the rows of its source
prescan.py        finds duplicates and warnings in all rows before the first is sent
caller.py         what a run gets from the door that starts it
comparison.py     compares a report with the one of the last run
reports.py        writes the report of a run, or of a validation
recording.py      records how a run and its steps end, and writes the report
resume.py         decides which run to work on: the unfinished one, or a new one
changes.py        what has changed since an unfinished run started
incremental.py    where a step starts reading, and what it leaves for the next run
sync.py           sends only what changed: a step's delta against its ledger
gone.py           removes who is gone, in a step of its own
gone_steps.py     the steps of a job as it runs, with those
baseline.py       notes the rows of a first run while they are sent
limits.py         how much may change at once
ledger_moves.py   moves a ledger by what was acknowledged
refresh.py        when a step sends everything again
ledgers.py        what the ledgers of a job are: subjects, sizes, times
schema_drift.py   compares the kinds of columns with the last run's
reject_rows.py    keeps rejected rows for a later replay
earlier_rejects.py  which open rejects of earlier runs a step closes
measuring.py      what a collector and Prometheus are told at the end of a run
signals.py        stops a run on request
status_note.py    notes how far a run is in status.json, and refuses a state that is older
throughput.py     notes how many rows were settled when
forget.py         removes a person from the state
person.py         whom forget is to remove, found in ledgers and rows
folders.py        the folders of a run in the state's folder
newest_runs.py    the newest runs of every job in a state
pinging.py        tells the monitor of a job that a run begins, and how it has ended
notices.py        tells the channels of a job how its runs end
verifying.py      which people are read back after a run, and by `cio-etl verify`
verify/           people read back from Customer.io, and compared with what was sent
status.py         what a job's newest run is, whether it is stale, and what is next
what_next.py      what the next `run` of a job does with its newest run

Other rooms import from here. Names are loaded on first use, because the line needs polars and `--help` does not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cio_etl.run.caller import Caller
    from cio_etl.run.changes import changes_since
    from cio_etl.run.chosen_steps import load_steps, note_stand_ins
    from cio_etl.run.comparison import compared
    from cio_etl.run.ending import ending_run
    from cio_etl.run.folders import (
        ledger_folder,
        private_files,
        rejects_folder,
        run_folder,
        runs_folder,
        stage_folder,
        validation_folder,
    )
    from cio_etl.run.incremental import load_bookmarks, open_step_source, require_columns_of_step, staging
    from cio_etl.run.ledgers import LedgerStatus, ledger_statuses, ledger_words, stored_ledgers
    from cio_etl.run.newest_runs import open_words, recent_runs
    from cio_etl.run.notices import tell_stale, try_channels
    from cio_etl.run.options import FULL_REFRESH, ReadOptions, RunOptions, made_of, options_of, repeated_words
    from cio_etl.run.prepared import limited, prepare
    from cio_etl.run.reject_rows import Columns, delete, read_rows, rows_at
    from cio_etl.run.reports import write_reports
    from cio_etl.run.resume import change_remedy
    from cio_etl.run.run import run_job, run_locked
    from cio_etl.run.schema_drift import check_drift, kind, kinds
    from cio_etl.run.shares import Share, share
    from cio_etl.run.signals import Signals
    from cio_etl.run.start import (
        load_run,
        load_to_run,
        loading,
        run_file,
        run_loaded,
        sandboxed,
    )
    from cio_etl.run.status import (
        JobStatus,
        as_started,
        first_run_words,
        job_status,
        newest_sandbox_run,
        options_to_resume,
        staleness,
        unfinished_since,
    )
    from cio_etl.run.status_note import require_current
    from cio_etl.run.throughput import Point, read_throughput
    from cio_etl.run.what_next import NextStep, next_step, next_words

_FILES = {
    "chosen_steps": ("load_steps", "note_stand_ins"),
    "comparison": ("compared",),
    "ending": ("ending_run",),
    "folders": (
        "private_files",
        "ledger_folder",
        "rejects_folder",
        "run_folder",
        "runs_folder",
        "stage_folder",
        "validation_folder",
    ),
    "incremental": (
        "load_bookmarks",
        "open_step_source",
        "require_columns_of_step",
        "staging",
    ),
    "ledgers": (
        "LedgerStatus",
        "ledger_statuses",
        "ledger_words",
        "stored_ledgers",
    ),
    "newest_runs": ("open_words", "recent_runs"),
    "notices": ("tell_stale", "try_channels"),
    "options": (
        "FULL_REFRESH",
        "ReadOptions",
        "RunOptions",
        "made_of",
        "options_of",
        "repeated_words",
    ),
    "prepared": (
        "limited",
        "prepare",
    ),
    "caller": ("Caller",),
    "reports": ("write_reports",),
    "reject_rows": (
        "Columns",
        "delete",
        "read_rows",
        "rows_at",
    ),
    "changes": ("changes_since",),
    "resume": ("change_remedy",),
    "run": (
        "run_job",
        "run_locked",
    ),
    "start": (
        "load_run",
        "load_to_run",
        "loading",
        "run_file",
        "run_loaded",
        "sandboxed",
    ),
    "schema_drift": (
        "check_drift",
        "kind",
        "kinds",
    ),
    "shares": (
        "Share",
        "share",
    ),
    "signals": ("Signals",),
    "status": (
        "JobStatus",
        "as_started",
        "first_run_words",
        "job_status",
        "newest_sandbox_run",
        "options_to_resume",
        "staleness",
        "unfinished_since",
    ),
    "status_note": ("require_current",),
    "throughput": ("Point", "read_throughput"),
    "what_next": ("NextStep", "next_step", "next_words"),
}
_FILE_OF = {name: file for file, names in _FILES.items() for name in names}

__all__ = [
    "FULL_REFRESH",
    "Caller",
    "Columns",
    "JobStatus",
    "LedgerStatus",
    "NextStep",
    "Point",
    "ReadOptions",
    "RunOptions",
    "Share",
    "Signals",
    "as_started",
    "change_remedy",
    "changes_since",
    "check_drift",
    "compared",
    "delete",
    "ending_run",
    "first_run_words",
    "job_status",
    "kind",
    "kinds",
    "ledger_folder",
    "ledger_statuses",
    "ledger_words",
    "limited",
    "load_bookmarks",
    "load_run",
    "load_steps",
    "load_to_run",
    "loading",
    "made_of",
    "newest_sandbox_run",
    "next_step",
    "next_words",
    "note_stand_ins",
    "open_step_source",
    "open_words",
    "options_of",
    "options_to_resume",
    "prepare",
    "private_files",
    "read_rows",
    "read_throughput",
    "recent_runs",
    "rejects_folder",
    "repeated_words",
    "require_columns_of_step",
    "require_current",
    "rows_at",
    "run_file",
    "run_folder",
    "run_job",
    "run_loaded",
    "run_locked",
    "runs_folder",
    "sandboxed",
    "share",
    "stage_folder",
    "staging",
    "staleness",
    "stored_ledgers",
    "tell_stale",
    "try_channels",
    "unfinished_since",
    "validation_folder",
    "write_reports",
]


def __getattr__(name: str) -> Any:
    if name in _FILE_OF:
        return getattr(import_module(f"cio_etl.run.{_FILE_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
