"""When a step sends everything again: with --full-refresh, and when its `full_refresh_every` has passed."""

from __future__ import annotations

from datetime import datetime

from cio_etl.ledger import Delta, Generation
from cio_etl.model import Job, Step
from cio_etl.model.words import whole_units
from cio_etl.run.folders import delta_folder, ledger_job
from cio_etl.run.options import FULL_REFRESH
from cio_etl.run.recording import RunContext
from cio_etl.state import StepRecord, Store


def step_since(context: RunContext, step: Step, record: StepRecord, *, has_started: bool) -> str | None:
    """Where the step starts reading, see ReadOptions.since; FULL_REFRESH when everything is due to be sent again.

    A step whose rows are being sent goes on as it began. Raises StateError.
    """
    run = context.run
    if run.since is not None or run.row_limit is not None or not step.sync.has_ledger:
        return run.since
    if has_started:
        delta = Delta.open(delta_folder(context.job, run.run_id, record.number))
        return FULL_REFRESH if delta is not None and delta.head.again else None
    words = refresh_due(context.store, context.job, step, run.started_at)
    if words is None:
        return None
    context.caller.observer.note(f"step {step.name}: {words}")
    return FULL_REFRESH


def refresh_due(store: Store | None, job: Job, step: Step, at: str) -> str | None:
    """That a run that starts `at` (ISO 8601, UTC) sends everything again, in words; None when it does not.

    Raises StateError for a ledger of a newer version of this program.
    """
    every = step.sync.full_refresh_every
    text = None if store is None or every is None else store.ledger(ledger_job(job), step.ledger_name)
    if text is None or every is None:
        return None
    age = datetime.fromisoformat(at) - datetime.fromisoformat(Generation.of_text(text).started_at)
    return f"{whole_units(age)} since everything was sent; this run sends every row" if age >= every else None
