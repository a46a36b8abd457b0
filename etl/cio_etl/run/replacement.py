"""Decides whether a new run replaces one that had too many rejects, so that the stopped run does not hold later ones.

The new run reads the source again. It starts only where nothing can be done twice by that: people and objects are set
to the same values, and events with an `event_key` have the same ids.
"""

from __future__ import annotations

from collections.abc import Sequence

from cio_etl import extract
from cio_etl.apis import OPERATIONS, endpoint
from cio_etl.errors import SourceError, TooManyChanges
from cio_etl.model import GoneSource, Job, Mapping, Staging, Step, total_counts
from cio_etl.run.folders import stage_folder
from cio_etl.state import RunRecord, StepRecord, Store
from cio_etl.transform import exploded_fingerprint


def done_twice(api: str, mapping: Mapping) -> str:
    """What a second sending of rows does twice, in words; "" when it changes nothing."""
    operation = OPERATIONS[mapping.operation]
    if operation.has_event and not mapping.identifies_events:
        return "its events have no event_key, so those that were accepted would be sent twice"
    if not endpoint(api, mapping).repeatable:
        return f"{mapping.operation} must not be done twice"
    return ""


def may_be_replaced(
    store: Store, job: Job, run: RunRecord, records: Sequence[StepRecord], *, mapping_changed: bool
) -> bool:
    """Whether a new run may replace this one.

    Either it still has too many rejects, and its rows or mapping may differ now; or it has stopped before a step that
    would have changed too much, which a new run compares again.
    """
    if restart_repeats(store, job, run, records):
        return False
    if not has_too_many_rejects(store, job, run, records):
        return run.exit_code == TooManyChanges.exit_code and any(
            step.sync.has_ledger and record.delta is None and record.status == "running"
            for record, step in zip(records, job.steps, strict=True)
        )
    steps = zip(records, job.steps, strict=True)
    return mapping_changed or any(
        _may_differ(record, step, job, run) for record, step in steps if record.status != "finished"
    )


def has_too_many_rejects(store: Store, job: Job, run: RunRecord, records: Sequence[StepRecord]) -> bool:
    """Whether a step of the run has more rejects than the job allows now."""
    return any(store.rejected(run.run_id, step.number) > job.max_rejects.limit(step.rows or 0) for step in records)


def restart_repeats(store: Store, job: Job, run: RunRecord, records: Sequence[StepRecord]) -> str:
    """What a new run in place of this one does twice, in words; "" when it changes nothing."""
    steps = zip(records, job.steps, strict=False)  # the job may have other steps now
    twice = (
        (record, done_twice(job.destination.api, step.mapping))
        for record, step in steps
        if not isinstance(step.source, GoneSource)  # who is gone stays gone
    )
    return next((words for record, words in twice if words and _accepted(store, run, record)), "")


def accepted(store: Store, run: RunRecord) -> int:
    """The rows of a run that Customer.io has accepted."""
    return sum(_accepted(store, run, record) for record in store.steps(run.run_id))


def _accepted(store: Store, run: RunRecord, record: StepRecord) -> int:
    """The accepted rows of a step; those whose answer is not known count, too."""
    lanes = store.lane_progress(run.run_id, record.number)
    in_flight = sum(lane.sending_through > lane.acked_through for lane in lanes)
    return total_counts(lane.counts for lane in lanes).accepted + in_flight


def _may_differ(record: StepRecord, step: Step, job: Job, run: RunRecord) -> bool:
    """Whether the step's source may have other rows now; files are read to find out."""
    if step.source.is_staged:
        return True
    if record.fingerprint is None:
        return False
    try:
        how = Staging(stage_folder(job, run.run_id), rows=run.row_limit)
        now = exploded_fingerprint(extract.open_source(step.source, how).fingerprint, step.mapping)
        return now != record.fingerprint
    except SourceError:  # the run reports it when it opens the source
        return False
