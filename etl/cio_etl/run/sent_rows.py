"""Says of a step without a ledger which rows were not sent yet, and which were rejected, by its newest run."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from cio_etl.model import Job, Snapshot, Step
from cio_etl.state import RunRecord, StepRecord, Store
from cio_etl.transform.ids import LANE_HASH

_NEWEST = 20  # runs in which a step is looked for: some have other steps


def last_of_step(store: Store, job: Job, step: Step) -> tuple[RunRecord, StepRecord] | None:
    """The job's newest run that has the step; None: there is none."""
    for run in store.runs(job.name, limit=_NEWEST):
        for record in store.steps(run.run_id):
            if record.name == step.name:
                return run, record
    return None


def unsent_rows(
    store: Store, job: Job, run: RunRecord, record: StepRecord, rows: Snapshot, note: Callable[[str], None]
) -> pl.Expr | None:
    """Whether a row was not sent yet, by the columns `position` and `lane` of a run's items; None: all were.

    `run` is the newest one that has the step, and need not have ended: what it settles from now on counts as not sent.
    """
    if record.status == "finished":
        is_trial = run.row_limit is not None and store.last_success(job.name) is None
        return pl.col("position") >= run.row_limit if is_trial else None
    progress = store.lane_progress(run.run_id, record.number)
    unfinished = f"step {record.name}: the run {run.run_id} has not finished"
    if not progress:
        note(f"{unfinished}, and has sent none of its rows: nobody is compared")
        return pl.lit(True)
    if record.fingerprint != rows.fingerprint or run.lane_hash != LANE_HASH:
        note(f"{unfinished}, and its source is not what it was then: nobody is compared")
        return pl.lit(True)
    settled = sum(lane.counts.settled for lane in progress)
    note(f"{unfinished}: only {settled:,} of {rows.rows:,} rows are settled, and nobody else is compared")
    acked = [lane.acked_through for lane in progress]
    return pl.col("position") > pl.col("lane").replace_strict(
        range(len(acked)), acked, default=-1, return_dtype=pl.Int64
    )


def rejected_rows(store: Store, run: RunRecord, record: StepRecord, rows: Snapshot) -> frozenset[int]:
    """The positions of the rows that the run has rejected and that no replay has sent since."""
    if record.fingerprint != rows.fingerprint:
        return frozenset()
    rejects = store.rejects(run.run_id, record.number)
    return frozenset(rejects.filter(pl.col("closed_by").is_null())["position"].to_list())
