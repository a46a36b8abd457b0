"""Removes a person from what the state of a job stores: ledgers, rejected rows, copies of sources, the last validation.

What was removed is counted and never named. A source that still has the person makes them new for the next run.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import field
from pathlib import Path

import polars as pl

from cio_etl import state
from cio_etl.apis import KEY, OPERATIONS
from cio_etl.errors import RunUnfinished
from cio_etl.ledger import Generation, Ledger, erased
from cio_etl.model import POSITION, Job, Mapping, Step
from cio_etl.model.records import dataclass
from cio_etl.run.folders import ledger_folder, rejects_folder, stage_folder, validation_folder
from cio_etl.run.gone_steps import with_gone_steps
from cio_etl.run.person import Person
from cio_etl.run.reject_rows import read_rows, write_rows
from cio_etl.run.status_note import require_current
from cio_etl.state import LedgerMove, RunRecord, Store

EVERY_RUN = 1_000_000_000


@dataclass(frozen=True, slots=True)
class LedgerErasure:
    """What was removed from a ledger. `note`: what else there is to know of it."""

    step: str
    subjects: int = 0
    is_searched: bool = True  # else the person may be in it
    note: str = ""


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was removed from the state of a job."""

    job: str
    ledgers: tuple[LedgerErasure, ...] = ()
    rejected_rows: int = 0
    messages: int = 0  # of Customer.io about rejected rows, which named the person
    copies: int = 0  # runs whose copies of their sources were removed, whole
    validation: bool = False  # the last report of `validate` was removed
    faults: tuple[str, ...] = field(default=())  # what could not be searched at all

    @property
    def is_complete(self) -> bool:
        return not self.faults and all(ledger.is_searched for ledger in self.ledgers)


def forget(job: Job, person: Person) -> Erasure:
    """Removes a person from the state of a job, whose lock it holds meanwhile.

    After a kill, the same call goes on. Raises RunUnfinished while the job has a run that would bring them back,
    JobLocked, and StateError.
    """
    if not state.exists(job.state_location):
        return Erasure(job.name)
    with ExitStack() as held:
        for name in (job.name, f"{job.name}.sandbox"):
            held.enter_context(state.hold(job.state_location, name))
        store = held.enter_context(closing(state.open_store(job.state_location)))
        require_current(store, job)
        for name in (job.name, f"{job.name}.replay"):
            if (unfinished := store.unfinished(name)) is not None:
                raise RunUnfinished(
                    "let it end first: start it again, or abandon it with --restart; then forget",
                    run_id=unfinished.run_id,
                )
        job = with_gone_steps(job)
        names = [f"{job.name}{ending}" for ending in ("", ".replay", ".sandbox", ".sandbox.replay")]
        runs = [run for name in names for run in store.runs(name, limit=EVERY_RUN)]
        ledgers = tuple(_erase_ledgers(store, job, person))
        _drop_sandbox(store, job)
        rows, messages = _erase_rejects(store, job, runs, person)
        copies = sum(_remove(stage_folder(job, run.run_id)) for run in runs)
        return Erasure(job.name, ledgers, rows, messages, copies, _remove(validation_folder(job)))


def _remove(folder: Path) -> bool:
    """Removes a folder; whether there was one."""
    there = folder.is_dir()
    shutil.rmtree(folder, ignore_errors=True)
    return there


# ---------------------------------------------------------------- ledgers


def _erase_ledgers(store: Store, job: Job, person: Person) -> Iterator[LedgerErasure]:
    """Removes the person from each ledger of the job; ledgers that no step has any more are removed whole."""
    mappings = {step.ledger_name: step.mapping for step in job.steps}
    moves = store.ledgers(job.name)
    for step, move in moves.items():
        if step in mappings:
            yield _erase_ledger(store, job, mappings[step], move, person)
        else:
            store.drop_ledger(job.name, step)
            _remove(ledger_folder(job.state, job.name, step))
            yield LedgerErasure(step, note="no step of the job has this ledger any more: the whole ledger was removed")
    root = job.state / "ledger" / job.name
    for folder in {file.parent for file in root.rglob("*.parquet*")}:
        if (step := str(folder.relative_to(root))) not in moves:
            _remove(folder)
            yield LedgerErasure(step, note="the state does not know this ledger: its files were removed")


def _erase_ledger(store: Store, job: Job, mapping: Mapping, move: LedgerMove, person: Person) -> LedgerErasure:
    ledger = Ledger(ledger_folder(job.state, job.name, move.step), Generation.of_text(move.generation))
    after, subjects = erased(ledger, person.is_in_ledger(mapping, ledger.generation.salt))
    if subjects:
        store.move_ledger(LedgerMove(job.name, move.step, after.to_text(), move.run_id))
    Ledger(ledger.folder, after).remove_others()
    if OPERATIONS[mapping.operation].has_event:
        return LedgerErasure(move.step, note="it has hashes of event keys, and nobody's identifier")
    why = "" if subjects else person.why_not_found(mapping, has_keys=_has_keys(ledger))
    return LedgerErasure(move.step, subjects, not why, why)


def _has_keys(ledger: Ledger) -> bool:
    """Whether every file of the ledger says who its subjects are, as those of a mirror do."""
    files = [ledger.folder / piece.file for piece in ledger.generation.pieces]
    return all(any(name.startswith(KEY) for name in pl.read_parquet_schema(file)) for file in files if file.exists())


def _drop_sandbox(store: Store, job: Job) -> None:
    """Removes the ledgers of runs in the sandbox, which starts empty each time."""
    name = f"{job.name}.sandbox"
    for step in store.ledgers(name):
        store.drop_ledger(name, step)
    _remove(job.state / "ledger" / name)


# ---------------------------------------------------------------- rejected rows


def _erase_rejects(store: Store, job: Job, runs: list[RunRecord], person: Person) -> tuple[int, int]:
    """Removes the rejected rows of a person and their rejects, and messages that name them; how many of each."""
    steps = {step.name: step for step in job.steps}
    subjects = {name: person.subjects(step.mapping, store.salt()) for name, step in steps.items()}
    rows = messages = 0
    for run in runs:
        for record in store.steps(run.run_id):
            rejects = store.rejects(run.run_id, record.number)
            positions = _erase_rows(job, run, record.number, steps.get(record.name), person)
            by_subject = pl.col("subject").is_in(subjects.get(record.name, [])).fill_null(False)
            theirs = rejects.filter(pl.col("position").is_in(positions.implode()) | by_subject)
            others = rejects.join(theirs, on="reject_id", how="anti").filter(person.is_in_text(pl.col("message")))
            store.erase_rejects(theirs["reject_id"].to_list(), others["reject_id"].to_list())
            rows, messages = rows + theirs.height, messages + others.height
    return rows, messages


def _erase_rows(job: Job, run: RunRecord, number: int, step: Step | None, person: Person) -> pl.Series:
    """Removes the person's rows from those that the run has stored of a step; their positions.

    Where the job has no such step any more, nobody knows whom a row is about: all rows are removed.
    """
    folder = rejects_folder(job.state, run.run_id)
    for half_written in folder.glob(f".{number}.*"):
        half_written.unlink(missing_ok=True)
    rows = read_rows(folder, number)
    if rows is None or rows.is_empty():
        (folder / f"{number}.parquet").unlink(missing_ok=True)
        return pl.Series([], dtype=pl.Int64)
    all_of_them = pl.repeat(True, rows.height, eager=True)
    is_theirs = all_of_them if step is None else person.are_in_rows(rows, step.mapping)
    remaining = rows.filter(~is_theirs)
    if remaining.is_empty():
        (folder / f"{number}.parquet").unlink()
    elif remaining.height < rows.height:
        write_rows(folder, number, remaining)
    return rows.filter(is_theirs)[POSITION]
