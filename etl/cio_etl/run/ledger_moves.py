"""Moves a step's ledger by what was acknowledged: when the step finishes, and when its run is abandoned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import polars as pl

from cio_etl.errors import DeltaDamaged, LedgerDamaged
from cio_etl.ledger import Delta, Generation, Ledger, moved, new_generation, renewed
from cio_etl.ledger.delta import Outcomes
from cio_etl.model import OUTCOME_UNKNOWN, POSITION, Job, Step
from cio_etl.run.baseline import require_whole
from cio_etl.run.folders import delta_folder, ledger_folder, ledger_job, ledger_name
from cio_etl.run.recording import RunContext
from cio_etl.state import LedgerMove, RunRecord, StepRecord, Store


def next_ledger(context: RunContext, step: Step, record: StepRecord, delta: Delta) -> LedgerMove:
    """The ledger after all rows of a step are settled; its files are on the disk. Raises StateError.

    With --rebuild-ledger, a ledger that cannot be read any more is replaced by one that knows the delta alone.
    """
    store, job, run = context.store, context.job, context.run
    require_whole(delta)
    try:
        move = _moved(store, job, run, step.ledger_name, record.number, delta)
    except LedgerDamaged as error:
        if not context.options.rebuild_ledger or isinstance(error, DeltaDamaged):
            raise
        note_lost(context.caller.observer.note, step.name, error)
        move = _moved(store, job, run, step.ledger_name, record.number, delta, is_new=True)
    if not delta.head.again or run.row_limit is not None:
        return move
    after = renewed(Generation.of_text(move.generation), run.started_at)
    return replace(move, generation=after.to_text())


def note_lost(note: Callable[[str], None], step: str, error: LedgerDamaged) -> None:
    """Notes that a step's ledger is given up, and what that leads to."""
    note(f"step {step}: {error}; a new ledger begins, and every row is sent once more")


@contextmanager
def dropping_damaged(store: Store, job: Job, step: str, note: Callable[[str], None]) -> Iterator[None]:
    """Drops a step's ledger, and notes it, when a file of it is missing or damaged: the next run starts a new one."""
    try:
        yield
    except LedgerDamaged as error:
        note_lost(note, step, error)
        store.drop_ledger(ledger_job(job), ledger_name(job, step))


def fold_abandoned(store: Store, job: Job, run: RunRecord, note: Callable[[str], None]) -> None:
    """Moves the ledgers by what a run that will never be resumed has sent, so far as it was acknowledged.

    Rows whose answer is not known are sent again by the next run. Where a delta or a ledger is missing or damaged, the
    ledger can no longer be trusted, and the next run starts a new one. Raises StateError when the disk fails.
    """
    for record in store.steps(run.run_id):
        sent = record.delta is not None and store.has_started(run.run_id, record.number, by_others=False)
        if record.status == "finished" or not sent:
            continue
        folder = delta_folder(job, run.run_id, record.number)
        with dropping_damaged(store, job, record.name, note):
            delta = Delta.open(folder)
            if delta is None:
                raise DeltaDamaged(place=folder, what="what the abandoned run was to send is missing")
            name = ledger_name(job, record.name)
            store.move_ledger(_moved(store, job, run, name, record.number, delta, is_whole=False))


def _moved(
    store: Store,
    job: Job,
    run: RunRecord,
    name: str,
    number: int,
    delta: Delta,
    *,
    is_whole: bool = True,
    is_new: bool = False,
) -> LedgerMove:
    text = None if is_new else store.ledger(ledger_job(job), name)
    before = None if text is None else Generation.of_text(text)
    if before is None or before.salt != delta.head.salt:
        before = new_generation(delta.head.belongs_to, delta.head.salt, run.started_at)
    ledger = Ledger(ledger_folder(job.state, ledger_job(job), name), before)
    after = moved(ledger, delta, _outcomes(store, run.run_id, number))
    is_whole = is_whole and run.row_limit is None and job.name == ledger_job(job)  # a replay has some rows only
    after = replace(after, is_whole=is_whole or before.is_whole)
    return LedgerMove(ledger_job(job), name, after.to_text(), run.run_id)


def _outcomes(store: Store, run_id: str, number: int) -> Outcomes:
    """How each row that is sent ended, from the lanes' progress and the rejects."""
    progress = store.lane_progress(run_id, number)
    acked, sending = (
        np.array([getattr(lane, name) for lane in progress]) for name in ("acked_through", "sending_through")
    )
    rejects = store.rejects(run_id, number).select(pl.col("position").alias(POSITION), "reason", "field")
    nothing = [pl.lit(None, pl.String).alias(name) for name in ("reason", "field")]

    def outcomes(rows: pl.DataFrame) -> pl.DataFrame:
        position, lane = rows[POSITION].to_numpy(), rows["lane"].to_numpy()
        settled, announced = pl.lit(pl.Series(position <= acked[lane])), pl.lit(pl.Series(position <= sending[lane]))
        is_unknown = pl.col("reason") == OUTCOME_UNKNOWN
        outcome = (
            pl.when(~pl.col("is_sent") | (settled & pl.col("reason").is_null()))
            .then(pl.lit("accepted"))
            .when(announced & (~settled | is_unknown))
            .then(pl.lit("unknown"))
            .when(settled)
            .then(pl.lit("refused"))
        )
        if rejects.is_empty():
            rows = rows.with_columns(nothing)
        else:
            rows = rows.join(rejects, on=POSITION, how="left", maintain_order="left")
        return rows.with_columns(outcome=outcome)

    return outcomes
