"""Checks the ledger of a step: its files, who may read them, and whether there is room to merge them."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from cio_etl import state
from cio_etl.doctor.check import Check, Machine
from cio_etl.model import Job, Step
from cio_etl.model.words import size
from cio_etl.run import ledger_folder, ledger_statuses, ledger_words
from cio_etl.run.ledgers import verified_ledger


def step_ledger(job: Job, step: Step, machine: Machine) -> Iterator[Check]:
    """Checks the step's ledger, where it has one. Every file is read, and compared with its SHA-256.

    Raises StateError for a file that is missing or damaged, and for a ledger of a newer version of this program.
    """
    if not step.sync.has_ledger or not state.exists(job.state_location):
        return
    subject, folder = f"step {step.name}", ledger_folder(job.state, job.name, step.ledger_name)
    with closing(state.open_store(job.state_location)) as store:
        ledger = verified_ledger(store, job, step)
        words = next(ledger_words(each) for each in ledger_statuses(store, job) if each.step == step.name)
    if ledger is None and any(folder.glob("*.parquet")):
        text = f"{folder} has files of a ledger that the state does not know; the next run sends every row"
        yield Check(
            subject, "warning", text, "put back the state that belongs to them, or let the next run start again"
        )
        return
    files = "" if ledger is None else "; its files are as they were written"
    yield Check(subject, "ok", f"ledger: {words}{files}")
    if ledger is not None:
        yield from _open_to_others(subject, folder, [folder / piece.file for piece in ledger.generation.pieces])
        yield from _room(subject, folder, ledger.generation.bytes, machine)


def _open_to_others(subject: str, folder: Path, files: Sequence[Path]) -> Iterator[Check]:
    """Whether other users of this machine may read the ledger: it says who is a customer."""
    for path, mode in [(folder, "700"), *((file, "600") for file in files)]:
        permissions = stat.S_IMODE(path.stat().st_mode)
        if permissions & 0o077:
            text = f"{path} is open to other users of this machine (mode {permissions:04o})"
            yield Check(subject, "warning", text, f"chmod {mode} {shlex.quote(str(path))}")


def _room(subject: str, folder: Path, needed: int, machine: Machine) -> Iterator[Check]:
    """Whether the disk has room for the ledger's files once more: a merge writes them again before it removes them."""
    free = machine.free_bytes(folder)
    if free < needed:
        text = f"{folder} has {size(free)} of free space; to merge the ledger's files, it needs {size(needed)}"
        yield Check(subject, "warning", text, "free some space there, before a run stops for it")
