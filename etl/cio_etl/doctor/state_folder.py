"""Can the state be kept where the job says, and what would `run` go on with?"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from cio_etl import state
from cio_etl.doctor.check import Check, Level, Machine
from cio_etl.errors import (
    ConfigError,
    JobLocked,
    StateError,
)
from cio_etl.model import Job
from cio_etl.run import status
from cio_etl.run.resume import REMEDY, changes_since

LITTLE_BYTES = 1_000_000_000  # of free space: less is told


def state_folder(job: Job, command: str, machine: Machine) -> Iterator[Check]:
    """The disk, the file system, the lock, the database and the newest run."""
    folder = next(each for each in (job.state, *job.state.absolute().parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4_096))
    except OSError as error:
        raise StateError(place=job.state, what=error.strerror or "cannot be written") from None
    if job.database is None:
        try:
            state.require_local(folder, machine.mounts())
        except StateError as error:
            yield Check("state", "wrong", str(error), error.remedy, error.exit_code)
    free = machine.free_bytes(folder)
    there = "can be written" if job.state.exists() else "is not there yet, and can be made"
    remedy = "make room there: databases and packed files are copied to it before they are sent"
    level: Level = "ok" if free >= LITTLE_BYTES else "warning"
    yield Check("state", level, f"{job.state} {there}; {free / 1e9:,.1f} GB are free", remedy if level != "ok" else "")
    there_is = state.exists(job.kept_in)
    if job.database is not None:
        known = "holds the state" if there_is else "can be reached, and will hold the state"
        yield Check("state", "ok", f"the database {known}")
    held = _holder(job)
    if held is not None:
        yield Check("state", "warning", str(held), held.remedy)
    if there_is:
        yield from _runs(job, command, held is not None)


def _holder(job: Job) -> JobLocked | None:
    """Who is at work on the job; asking makes no lock."""
    if job.database is None and not (job.state / f"{job.name}.lock").exists():
        return None
    if job.database is not None and not state.exists(job.database):
        return None
    try:
        state.require_free(job.kept_in, job.name)
    except JobLocked as error:
        return error
    return None


def _runs(job: Job, command: str, held: bool) -> Iterator[Check]:
    """Whether the state database is whole, and what `run` would go on with."""
    if job.database is None:
        _check_whole(job.state / "state.db")
    store = state.open_store(job.kept_in)
    try:
        newest = next(iter(store.runs(job.name, limit=1)), None)
        if newest is None:
            yield Check("state", "ok", f"{job.name} has never run; `{command}` starts it")
            return
        job, command = status.as_begun(job, newest, store.steps(newest.run_id), command)
        unfinished = newest.status in state.RESUMABLE and not held
        stuck = unfinished and store.has_sent(newest.run_id)
        stuck = stuck and bool(changes_since(newest, store.steps(newest.run_id), job, newest.row_limit))
        found = f"{newest.run_id} {newest.status}: {status.next_step(store, job, newest, held, command)}"
    finally:
        store.close()
    level: Level = "wrong" if stuck else "warning" if unfinished else "ok"
    remedy = REMEDY if stuck else "let it go on, or give it up with --restart" if unfinished else ""
    yield Check("state", level, found, remedy, ConfigError.exit_code if stuck else 0)


def _check_whole(path: Path) -> None:
    """Raises StateError when the database is damaged; a run looks for that only when the one before did not end."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as connection:
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:
        return  # it cannot be opened, or is locked: `open_store` says so
    except sqlite3.DatabaseError:
        said = "no database"
    if said != "ok":
        remedy = "keep the file, move it away, and start anew with --restart"
        raise StateError(remedy, place=path, what="the state database is damaged")
