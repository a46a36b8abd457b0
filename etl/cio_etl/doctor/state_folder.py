"""Checks the place of the state, and which run the next `run` would resume."""

from __future__ import annotations

import shlex
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from cio_etl import state
from cio_etl.doctor.check import Check, Level, Machine
from cio_etl.errors import ConfigError, JobLocked, StateError
from cio_etl.model import Job
from cio_etl.run import (
    as_started,
    change_remedy,
    first_run_words,
    newest_sandbox_run,
    next_step,
    next_words,
    repeated_words,
)

LITTLE_BYTES = 1_000_000_000  # of free space: less is a warning


def state_folder(job: Job, command: str, machine: Machine) -> Iterator[Check]:
    """Checks the disk, the file system, the lock, the database and the newest run."""
    folder = next(each for each in (job.state, *job.state.absolute().parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4_096))
    except OSError as error:
        raise StateError.of_file(job.state, error) from None
    if job.database is None:
        try:
            state.require_local(folder, machine.mounts())
        except StateError as error:
            yield Check("state", "wrong", str(error), error.remedy, error.exit_code)
    free = machine.free_bytes(folder)
    writable = "is writable" if job.state.exists() else "does not exist yet, and can be created"
    remedy = "free some space: databases and compressed files are copied there before they are sent"
    level: Level = "ok" if free >= LITTLE_BYTES else "warning"
    yield Check(
        "state", level, f"{job.state} {writable}; {free / 1e9:,.1f} GB are free", remedy if level != "ok" else ""
    )
    exists = state.exists(job.state_location)
    if job.database is not None:
        known = "contains the state" if exists else "can be reached, and will contain the state"
        yield Check("state", "ok", f"the database {known}")
    lock = _lock(job)
    if lock is not None:
        yield Check("state", "warning", str(lock), lock.remedy)
    if exists:
        yield from _runs(job, command, lock is not None)


def _lock(job: Job) -> JobLocked | None:
    """The error that says which process runs the job; None: no process does. Creates no lock."""
    if job.database is None and not (job.state / f"{job.name}.lock").exists():
        return None
    if job.database is not None and not state.exists(job.database):
        return None
    try:
        state.require_free(job.state_location, job.name)
    except JobLocked as error:
        return error
    return None


def _runs(job: Job, command: str, is_running: bool) -> Iterator[Check]:
    """Checks that the state database is not damaged, and says what the next `run` would do."""
    if job.database is None:
        _check_whole(job.state / "state.db")
    store = state.open_store(job.state_location)
    try:
        newest = next(iter(store.runs(job.name, limit=1)), None)
        if newest is None:
            yield Check("state", "ok", first_run_words(job, newest_sandbox_run(store, job), command))
            return
        job, options = as_started(job, newest, store.steps(newest.run_id))
        more = repeated_words(replace(options, target=None))  # the command has the target already
        command = " ".join([command, *map(shlex.quote, more)])
        unfinished = newest.status in state.RESUMABLE and not is_running
        step = next_step(store, job, newest, is_running)
        stuck = unfinished and step.kind == "refuse"
        undo = change_remedy(store, job, newest)
        text = f"{newest.run_id} {newest.status}: {next_words(step, command)}"
    finally:
        store.close()
    level: Level = "wrong" if stuck else "warning" if unfinished else "ok"
    remedy = undo if stuck else "resume it, or abandon it with --restart" if unfinished else ""
    if step.kind == "stop":
        remedy = "`cio-etl status` shows the reasons of its rejects"
    yield Check("state", level, text, remedy, ConfigError.exit_code if stuck else 0)


def _check_whole(path: Path) -> None:
    """Raises StateError when the database is damaged. A run checks that only after a run that did not end."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as connection:
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:
        return  # it cannot be opened, or is locked: `open_store` reports that
    except sqlite3.DatabaseError:
        answer = "no database"
    if answer != "ok":
        remedy = "move the file away, keep it, and start again with --restart"
        raise StateError(remedy, place=path, what="the state database is damaged")
