"""Builds the report of a run from the state alone.

In an unfinished step, settled rows count as read. How far a killed process had read is unknown, and does not matter:
the next process starts after the settled rows.
"""

from __future__ import annotations

import json
from dataclasses import replace

from cio_etl.model import EarlierEnds, EventCount, RejectCount, Report, StepReport, total_counts
from cio_etl.state.notices import notices_of
from cio_etl.state.runs import RESUMABLE, RunRecord
from cio_etl.state.steps import StepRecord
from cio_etl.state.store import Store

EARLIER_ENDS_SHOWN = 20  # of a run that was resumed more often, the newest


def build_report(store: Store, run: RunRecord) -> Report:
    """The report of a run, whether it is running, stopped or finished."""
    return replace(
        report_of_record(run),
        steps=step_reports(store, run.run_id),
        closed=tuple(store.closed_rejects(of_run=run.run_id)),
        closes=tuple(store.closed_rejects(by_run=run.run_id)),
        earlier_ends=store.earlier_ends([run.run_id], EARLIER_ENDS_SHOWN).get(run.run_id, EarlierEnds()),
    )


def report_of_record(run: RunRecord) -> Report:
    """The report of a run without what the state has of its steps and rejects."""
    return Report(
        run_id=run.run_id,
        job=run.job,
        status=run.status,
        started_at=run.started_at,
        finished_at=run.finished_at,
        steps=(),
        exit_code=run.exit_code,
        reason=run.reason,
        resumable=run.status in RESUMABLE,
        row_limit=run.row_limit,
        notices=notices_of(run.notices),
    )


def step_reports(store: Store, run_id: str) -> tuple[StepReport, ...]:
    """The steps of a run's report."""
    return tuple(_step(store, run_id, step) for step in store.steps(run_id))


def _step(store: Store, run_id: str, step: StepRecord) -> StepReport:
    counts = total_counts(lane.counts for lane in store.lane_progress(run_id, step.number))
    rejects, rows_read = step.rejects, step.rows_read
    if step.status != "finished":
        rows_read = counts.settled
        if sum(reject.rows for reject in rejects) != counts.rejected:
            rejects = _without_places(store, run_id, step.number)
    return StepReport(
        name=step.name,
        status=step.status,
        rows_read=rows_read,
        counts=counts,
        rows=step.rows,
        seconds=round(step.seconds, 3),
        rejects=rejects,
        findings=step.findings,
        delta=step.delta,
        omitted=step.omitted,
        events=step.events or _of_constant(step, counts.accepted),
    )


def _of_constant(step: StepRecord, accepted: int) -> tuple[EventCount, ...]:
    """The accepted rows under the name that the mapping gives to each; none where rows differ in what they are."""
    mapping = json.loads(step.mapping)
    event = mapping.get("event") or {}
    return (EventCount(str(event["value"]), accepted),) if "value" in event and "changes" not in mapping else ()


def _without_places(store: Store, run_id: str, number: int) -> tuple[RejectCount, ...]:
    """A step's rejects by row numbers, when no process has ended the step and located them by file and line."""
    counts = store.reject_counts(run_id, number)
    return tuple(
        RejectCount(each.reason, each.field, each.rows, tuple(f"row {position + 1}" for position in each.first))
        for each in counts
    )
