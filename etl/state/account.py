"""What has a run done so far, row by row accounted for? The report, made of nothing but the state."""

from __future__ import annotations

from etl.model import LaneMark, Report, StepReport
from etl.state.store import RESUMABLE, RunRecord, StepRecord, Store


def account(store: Store, run: RunRecord, resume_command: str) -> Report:
    """The report of a run, whether it goes on, has stopped or has finished."""
    resumable = run.status in RESUMABLE
    return Report(
        run_id=run.run_id,
        job=run.job,
        status=run.status,
        started_at=run.started_at,
        finished_at=run.finished_at,
        steps=tuple(_step(step, store.lane_marks(run.run_id, step.number)) for step in store.steps(run.run_id)),
        exit_code=run.exit_code,
        reason=run.reason,
        resumable=resumable,
        resume_command=resume_command if resumable else None,
        row_limit=run.row_limit,
    )


def _step(step: StepRecord, marks: list[LaneMark]) -> StepReport:
    total = {name: sum(getattr(mark, name) for mark in marks) for name in _COUNTS}
    return StepReport(
        name=step.name,
        status=step.status,
        rows_read=step.rows_read,
        seconds=round(step.seconds, 3),
        rejects=step.rejects,
        findings=step.findings,
        **total,
    )


_COUNTS = ("accepted", "rejected", "skipped", "possibly_sent_twice", "batches", "requests", "retries", "bytes_sent")
