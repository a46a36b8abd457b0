"""What has a run done so far, row by row accounted for? The report, made of nothing but the state.

Of a step that is not finished the rows that are settled count as read: where a process was killed, nobody knows how
far it had read, and no matter, since the next one begins where the settled ones end.
"""

from __future__ import annotations

from cio_etl.model import RejectCount, Report, StepReport, total_counts
from cio_etl.state.store import RESUMABLE, RunRecord, StepRecord, Store


def account(store: Store, run: RunRecord, resume_command: str) -> Report:
    """The report of a run, whether it goes on, has stopped or has finished."""
    resumable = run.status in RESUMABLE
    return Report(
        run_id=run.run_id,
        job=run.job,
        status=run.status,
        started_at=run.started_at,
        finished_at=run.finished_at,
        steps=tuple(_step(store, run.run_id, step) for step in store.steps(run.run_id)),
        exit_code=run.exit_code,
        reason=run.reason,
        resumable=resumable,
        resume_command=resume_command if resumable else None,
        row_limit=run.row_limit,
    )


def _step(store: Store, run_id: str, step: StepRecord) -> StepReport:
    counts = total_counts(lane.counts for lane in store.lane_progress(run_id, step.number))
    rejects, rows_read = step.rejects, step.rows_read
    if step.status != "finished":
        rows_read = counts.settled
        if sum(reject.rows for reject in rejects) != counts.rejected:
            rejects = _unplaced(store, run_id, step.number)
    return StepReport(
        name=step.name,
        status=step.status,
        rows_read=rows_read,
        counts=counts,
        rows=step.rows,
        seconds=round(step.seconds, 3),
        rejects=rejects,
        findings=step.findings,
    )


def _unplaced(store: Store, run_id: str, number: int) -> tuple[RejectCount, ...]:
    """A step's rejects, where no process came to say by file and line where the first ones are."""
    counts = store.reject_counts(run_id, number)
    return tuple(
        RejectCount(each.reason, each.field, each.rows, tuple(f"row {position + 1}" for position in each.first))
        for each in counts
    )
