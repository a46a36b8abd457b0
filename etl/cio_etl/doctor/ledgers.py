"""Checks the ledger of a step: its files, who may read them, and whether there is room to merge them."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from cio_etl import state
from cio_etl.doctor.check import Check, Machine
from cio_etl.ledger import Generation, Ledger
from cio_etl.model import Job, Step
from cio_etl.report.words import size
from cio_etl.run import ledger_folder, ledger_statuses, ledger_words
from cio_etl.run.ledgers import while_it_is_current


def step_ledger(job: Job, step: Step, machine: Machine) -> Iterator[Check]:
    """Checks the step's ledger, where it has one. Every file is read, and compared with its SHA-256.

    Raises StateError for a file that is missing or damaged, and for a ledger of a newer version of this program.
    """
    if not step.sync.has_ledger or not state.exists(job.kept_in):
        return
    subject, folder = f"step {step.name}", ledger_folder(job.state, job.name, step.ledger_name)
    with closing(state.open_store(job.kept_in)) as store:
        ledger = _verified(store, job, step, folder)
        words = next(ledger_words(each) for each in ledger_statuses(store, job) if each.step == step.name)
    if ledger is None and any(folder.glob("*.parquet")):
        text = f"{folder} has files of a ledger that the state does not know; the next run sends every row"
        yield Check(subject, "warning", text, "put back the state that belongs to them, or let the next run start anew")
        return
    files = "" if ledger is None else "; its files are as they were written"
    yield Check(subject, "ok", f"ledger: {words}{files}")
    if ledger is not None:
        yield from _open_to_others(subject, ledger)
        yield from _room(subject, ledger, machine)


def _verified(store: state.Store, job: Job, step: Step, folder: Path) -> Ledger | None:
    """The step's ledger, with files that are as they were written; None: the state knows none. Raises StateError."""
    if (text := store.ledger(job.name, step.ledger_name)) is None:
        return None

    def read() -> Ledger:
        return Ledger(folder, Generation.of_text(store.ledger(job.name, step.ledger_name) or text))

    return while_it_is_current(read, Ledger.verify)[0]


def _open_to_others(subject: str, ledger: Ledger) -> Iterator[Check]:
    """Whether other users of this machine may read the ledger: it says who is a customer."""
    files = [ledger.folder / piece.file for piece in ledger.generation.pieces]
    for path, mode in [(ledger.folder, "700"), *((file, "600") for file in files)]:
        permissions = stat.S_IMODE(path.stat().st_mode)
        if permissions & 0o077:
            text = f"{path} is open to other users of this machine (mode {permissions:04o})"
            yield Check(subject, "warning", text, f"chmod {mode} {shlex.quote(str(path))}")


def _room(subject: str, ledger: Ledger, machine: Machine) -> Iterator[Check]:
    """Whether the disk has room for the ledger's files once more: a merge writes them again before it removes them."""
    free, needed = machine.free_bytes(ledger.folder), ledger.generation.bytes
    if free < needed:
        text = f"{ledger.folder} has {size(free)} of free space; to merge the ledger's files, it needs {size(needed)}"
        yield Check(subject, "warning", text, "free some space there, before a run stops for it")
