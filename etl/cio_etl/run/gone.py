"""Removes who is gone: a mirror step is followed by a step whose rows are the subjects that its source no longer has.

    people  (sync: mirror)  ─▶ delta ─▶ new and changed people are sent
    people/gone             ─▶ the delta's gone subjects ─▶ the operation of when_gone ─▶ they leave the ledger

It is a step like any other, with its own progress, rejects and counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import polars as pl

from cio_etl.errors import LedgerDamaged
from cio_etl.extract import open_source
from cio_etl.ledger import Delta, Generation, Ledger, new_generation, without
from cio_etl.ledger.delta_files import GONE
from cio_etl.model import (
    OUTCOME_UNKNOWN,
    GoneSource,
    Job,
    ParquetSource,
    Snapshot,
    Staging,
)
from cio_etl.run.folders import delta_folder, ledger_folder, ledger_job, ledger_name
from cio_etl.run.ledger_moves import dropping_damaged, note_lost
from cio_etl.run.recording import RunContext
from cio_etl.state import LedgerMove, RunRecord, Store


def open_gone(job: Job, run: RunRecord, number: int, staging: Staging) -> Snapshot:
    """The rows of the step of this number: the gone subjects of the step before it."""
    folder = delta_folder(job, run.run_id, number - 1)
    file = folder / GONE
    if not file.exists() and (delta := Delta.open(folder)) is not None:  # nobody is looked for, as with --limit
        file = folder / "nobody.parquet"
        delta.gone().write_parquet(file)
    return snapshot_of_gone(file, staging)


def snapshot_of_gone(file: Path, staging: Staging) -> Snapshot:
    """The rows of a delta's file of gone subjects."""
    return replace(open_source(ParquetSource((str(file),)), staging), in_files=False, copy=None)


def next_without(context: RunContext, number: int, source: GoneSource) -> LedgerMove | None:
    """The ledger of a mirror step after all of its gone subjects are settled. Raises StateError.

    With --rebuild-ledger, a ledger that cannot be read any more is replaced by one in which nobody is.
    """
    store, job, run = context.store, context.job, context.run
    try:
        return ledger_without(store, job, run, number, source.ledger)
    except LedgerDamaged as error:
        if not context.options.rebuild_ledger:
            raise
        note_lost(context.caller.observer.note, source.step, error)
        return LedgerMove(ledger_job(job), source.ledger, new_generation("", 0, run.started_at).to_text(), run.run_id)


def ledger_without(
    store: Store, job: Job, run: RunRecord, number: int, name: str, *, finished: bool = True
) -> LedgerMove | None:
    """The ledger of this name, of a mirror, without the subjects that the step after it, of this number, has removed.

    Subjects that Customer.io refused to remove stay in it. So do those whose removal was not answered: they are removed
    again, and sent whole if the source has them again. Returns None where the step has no ledger any more. Raises
    StateError.
    """
    text = store.ledger(ledger_job(job), name)
    delta = None if text is None else Delta.open(delta_folder(job, run.run_id, number - 1))
    if text is None or delta is None:
        return None
    settled = announced = pl.col("reason").is_null()
    if not finished:  # a subject's lane is not stored, so only what all lanes have settled counts as settled
        progress = store.lane_progress(run.run_id, number)
        settled &= pl.col("_row") <= min(lane.acked_through for lane in progress)
        announced &= pl.col("_row") <= max(lane.sending_through for lane in progress)
    rejects = store.rejects(run.run_id, number).select(pl.col("position").alias("_row"), "reason")
    ends = delta.gone().with_row_index("_row").cast({"_row": pl.Int64}).join(rejects, on="_row", how="left")
    removed = ends.filter(settled)
    unsure = ends.filter((announced & ~settled) | (pl.col("reason") == OUTCOME_UNKNOWN))
    ledger = Ledger(ledger_folder(job.state, ledger_job(job), name), Generation.of_text(text))
    after = without(ledger, removed.select("hi", "lo"), unsure.select("hi", "lo"))
    return LedgerMove(ledger_job(job), name, after.to_text(), run.run_id)


def fold_removals(store: Store, job: Job, run: RunRecord, note: Callable[[str], None]) -> None:
    """Moves the ledgers of mirrors by whom a run that will never be resumed has removed.

    Where a file of it is missing or damaged, the next run starts a new ledger. Raises StateError when the disk fails.
    """
    for mirror, record in pairwise(store.steps(run.run_id)):
        is_removal = mirror.delta is not None and record.name == f"{mirror.name}/gone"
        if is_removal and record.status != "finished" and store.has_started(run.run_id, record.number, by_others=False):
            with dropping_damaged(store, job, mirror.name, note):
                name = ledger_name(job, mirror.name)
                move = ledger_without(store, job, run, record.number, name, finished=False)
                if move is not None:
                    store.move_ledger(move)
