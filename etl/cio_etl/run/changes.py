"""What has changed in a job or in its source since its unfinished run started, as far as it changes what is sent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cio_etl.config import canonical, changes_by_file
from cio_etl.model import Job, Snapshot, SourceFile
from cio_etl.run.gone_steps import with_gone_steps
from cio_etl.run.options import FULL_REFRESH
from cio_etl.run.replacement import may_be_replaced
from cio_etl.state import RunRecord, StepRecord, Store
from cio_etl.transform.ids import LANE_HASH


def changes_since(
    run: RunRecord, steps: Sequence[StepRecord], job: Job, limit: int | None, since: str | None = None
) -> list[str]:
    """What has changed in the job since the run started, as far as it changes which rows are sent, or where."""
    job = with_gone_steps(job)
    if [step.name for step in steps] != [step.name for step in job.steps]:
        before, now = (", ".join(step.name for step in listed) for listed in (steps, job.steps))
        return [f"its steps were {before}, and now are {now}"]
    return [*_changed_mappings(steps, job), *_changed_settings(run, job, limit, since)]


def is_replaced(store: Store, job: Job, run: RunRecord, limit: int | None, since: str | None = None) -> bool:
    """Whether a new run replaces the unfinished one: see replacement.py."""
    job = with_gone_steps(job)
    steps = store.steps(run.run_id)
    if [step.name for step in steps] != [step.name for step in job.steps]:
        return False
    if _changed_settings(run, job, limit, since):
        return False
    return may_be_replaced(store, job, run, steps, mapping_changed=bool(_changed_mappings(steps, job)))


def _changed_mappings(steps: Sequence[StepRecord], job: Job) -> list[str]:
    return [
        f"{file} changed: {words}"
        for record, step in zip(steps, job.steps, strict=True)
        if record.status != "finished" and record.mapping != (mapping := canonical(step.mapping))
        for file, words in changes_by_file(record.mapping, mapping, Path(step.mapping.file)).items()
    ]


def _changed_settings(run: RunRecord, job: Job, limit: int | None, since: str | None) -> list[str]:
    changes = []
    if job.destination.base_url not in ("", run.destination):  # "": the region is not known yet
        changes.append(f"it went to {run.destination}, and now would go to {job.destination.base_url}")
    if run.row_limit != limit:
        changes.append(f"--limit was {run.row_limit or 'not given'}, and now is {limit or 'not given'}")
    if since is not None and run.since != since:  # an option that is not given stays as the run started
        changes.append(f"it started {_start_words(run.since)}, and now would start {_start_words(since)}")
    if run.lane_hash != LANE_HASH:
        changes.append(f"its rows were assigned to lanes by {run.lane_hash}, and now would be by {LANE_HASH}")
    return changes


def _start_words(since: str | None) -> str:
    if since is None:
        return "where the last run ended"
    return "with --full-refresh" if since == FULL_REFRESH else "with another --watermark"


def source_changes(record: StepRecord, snapshot: Snapshot) -> str | None:
    """What has changed in a step's source since the step started; None when nothing has."""
    if record.fingerprint == snapshot.fingerprint:
        return None
    before = {file.path: file for file in record.files or ()}
    now = {file.path: file for file in snapshot.files}
    differences = [
        *(f"{path} is gone" for path in before.keys() - now.keys()),
        *(f"{path} is new" for path in now.keys() - before.keys()),
        *(_difference(before[path], now[path]) for path in before.keys() & now.keys() if before[path] != now[path]),
    ]
    return "; ".join(sorted(differences)) or "the source is read with other settings, or in another order"


def _difference(before: SourceFile, now: SourceFile) -> str:
    if before.bytes != now.bytes:
        return f"{now.path} had {before.bytes:,} bytes and now has {now.bytes:,}"
    return f"the content of {now.path} changed"
