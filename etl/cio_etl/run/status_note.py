"""Notes in status.json how far a run has come, and refuses a state that is older than its notes.

A state is older when a part of it was removed, damaged or replaced by a copy after a kill: SQLite opens what remains
without a word, and a run would send again what is settled.
"""

from __future__ import annotations

import contextlib
import glob
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cio_etl.errors import StateError
from cio_etl.model import JobSettings
from cio_etl.report import Commands, write_status, write_status_json
from cio_etl.run.folders import runs_folder
from cio_etl.run.throughput import Throughput
from cio_etl.state import RunRecord, Store, report_of_record

NOTE_EVERY_S = 5.0

REMEDY = (
    "put the state of that time back, with state.db-wal beside state.db, and run the same command again; "
    "or send every row again by adding --restart"
)


class StatusNote:
    """Writes the status of a run in progress, with the rows that are settled; any thread may call `refresh`."""

    def __init__(
        self, folder: Path, store: Store, run: RunRecord, commands: Commands, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._store, self._run, self._commands = store, run, commands
        self._now, self._due_at = now, now()
        self._writing = threading.Lock()
        self._throughput = Throughput(folder)

    def refresh(self) -> None:
        """Writes the note when it is due. A failure is ignored: it does not affect the run, and the next may work."""
        if self._now() < self._due_at or not self._writing.acquire(blocking=False):
            return
        try:
            self._due_at = self._now() + NOTE_EVERY_S
            with contextlib.suppress(OSError, StateError):  # both are reported by the next commit, or at the end
                self._write()
        finally:
            self._writing.release()

    def _write(self) -> None:
        report = report_of_record(self._run)
        resume = self._commands.resume_command(report)
        settled = self._store.settled(self._run.run_id)
        write_status(report, self._folder, resume, settled)
        self._throughput.add(time.time(), settled)

    def close(self) -> None:
        """Notes how far the run is now that this process ends; its report is the last status. Failures are ignored."""
        with self._writing, contextlib.suppress(OSError, StateError):
            self._throughput.add(time.time(), self._store.settled(self._run.run_id))


def require_current(store: Store | None, job: JobSettings) -> None:
    """Raises StateError when a run of the job that may go on is not in the state, or was further than it is there.

    None: there is no state.
    """
    for path, note in _resumable_notes(job):
        run_id, settled = str(note.get("run_id")), note.get("settled")
        settled_in_note = settled if isinstance(settled, int) else 0
        run = None if store is None else store.run(run_id)
        settled_in_state = 0 if store is None or run is None else store.settled(run_id)
        if run is None or settled_in_state < settled_in_note:
            what = (
                f"the state has {settled_in_state:,} settled rows of this run"
                if run
                else "the state does not have this run"
            )
            what += f", and {settled_in_note:,} were settled; a part of the state was removed, damaged or replaced"
            raise StateError(REMEDY, place=path, what=what)


def close_notes(store: Store, job: JobSettings, current: str) -> None:
    """Rewrites the notes of the job's runs that will not go on, so that nobody takes them for runs in progress."""
    for path, note in _resumable_notes(job):
        run_id = str(note.get("run_id"))
        run = store.run(run_id)
        if run_id != current and (run is None or run.status == "abandoned"):
            reason = "abandoned by --restart" if run is None else run.reason
            over = {"status": "abandoned", "reason": reason, "resumable": False, "resume_command": None}
            with contextlib.suppress(OSError):
                write_status_json(path.parent, note | over)


def _resumable_notes(job: JobSettings) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The notes of the job's runs that may go on, the oldest first."""
    for path in sorted(runs_folder(job.state).glob(f"{glob.escape(job.name)}-*/status.json")):
        try:
            note = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(note, dict) and note.get("job") == job.name and note.get("resumable") is True:
            yield path, note
