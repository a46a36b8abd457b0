"""Which run does `run` go on with? The job's unfinished one, if nothing has changed since; else a new one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from etl.config import canonical, describe_change
from etl.errors import ChangedSinceStart, SourceError
from etl.model import Job, Snapshot, SourceFile
from etl.state import RunRecord, StepRecord, Store
from etl.transform.ids import LANE_HASH

log = structlog.get_logger()

REMEDY = "undo the change and run the same command again, or give the run up and start anew with --restart"


FULL_REFRESH = "full refresh"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says of one run."""

    limit: int | None = None  # rows of each step
    restart: bool = False
    grace_s: float = 20.0  # for what is under way when a signal comes
    since: str | None = None  # FULL_REFRESH, or the watermark to begin at; None: where the last finished run left off
    accept_drift: bool = False  # columns may be of other kinds than they were in the last run
    wait_s: float = 0.0  # for another run of the job to end


def begin_or_resume(store: Store, job: Job, options: Options) -> RunRecord:
    """The run to work on, noted as running. Raises ChangedSinceStart when the unfinished one no longer fits."""
    unfinished = store.unfinished(job.name)
    if unfinished is not None and options.restart:
        store.end(unfinished.run_id, "abandoned", unfinished.exit_code, "given up by --restart")
        log.info("run_abandoned", run_id=unfinished.run_id)
        unfinished = None
    if unfinished is None:
        return _begun(store, job, options)
    sent = store.has_sent(unfinished.run_id)
    changes = changes_since(unfinished, store.steps(unfinished.run_id), job, options.limit, options.since)
    if changes and sent:
        raise ChangedSinceStart(REMEDY, run_id=unfinished.run_id, changes="; ".join(changes))
    unread = unfinished.since is not None and unfinished.exit_code == SourceError.exit_code and not sent
    if changes or (unread and options.since is None):
        why = "mended before anything had been sent" if changes else "what it was to begin with could not be read"
        store.end(unfinished.run_id, "abandoned", unfinished.exit_code, why)
        return _begun(store, job, options)
    store.end(unfinished.run_id, "running", None, None)
    log.info("run_resumed", run_id=unfinished.run_id)
    return unfinished


def _begun(store: Store, job: Job, options: Options) -> RunRecord:
    now = datetime.now(UTC)
    run = RunRecord(
        run_id=_unused(store, f"{job.name}-{now:%Y%m%dT%H%M%SZ}"),
        job=job.name,
        job_file=job.file,
        status="running",
        started_at=now.isoformat(timespec="seconds"),
        finished_at=None,
        exit_code=None,
        reason=None,
        lanes=job.destination.lanes,
        lane_hash=LANE_HASH,
        row_limit=options.limit,
        destination=job.destination.base_url,
        since=options.since,
    )
    store.begin(run, [(step.name, canonical(step.mapping)) for step in job.steps])
    log.info("run_started", run_id=run.run_id)
    return run


def _unused(store: Store, run_id: str) -> str:
    number, found = 1, run_id
    while store.run(found) is not None:
        number += 1
        found = f"{run_id}-{number}"
    return found


def changes_since(
    run: RunRecord, steps: Sequence[StepRecord], job: Job, limit: int | None, since: str | None = None
) -> list[str]:
    """What of the job is not as it was when the run began, so far as its rows or their place would be others."""
    changes = []
    if [step.name for step in steps] != [step.name for step in job.steps]:
        before, now = (", ".join(step.name for step in listed) for listed in (steps, job.steps))
        return [f"its steps were {before}, and now are {now}"]
    for record, step in zip(steps, job.steps, strict=True):
        if record.status != "finished" and record.mapping != (mapping := canonical(step.mapping)):
            changes.append(f"{step.mapping.file} changed: {describe_change(record.mapping, mapping)}")
    if job.destination.base_url not in ("", run.destination):  # "": the region is not asked for yet
        changes.append(f"it went to {run.destination}, and now would to {job.destination.base_url}")
    if run.row_limit != limit:
        changes.append(f"--limit was {run.row_limit or 'not given'}, and now is {limit or 'not given'}")
    if since is not None and run.since != since:  # what is not said stays as the run began: it may go on from cron
        changes.append(f"it began {_beginning(run.since)}, and now would {_beginning(since)}")
    if run.lane_hash != LANE_HASH:
        changes.append(f"its rows were shared out by {run.lane_hash}, and now would be by {LANE_HASH}")
    return changes


def _beginning(since: str | None) -> str:
    if since is None:
        return "where the last run left off"
    return "with --full-refresh" if since == FULL_REFRESH else "with another --watermark"


def source_changes(record: StepRecord, snapshot: Snapshot) -> str | None:
    """What of a step's source is not as it was when the step began; None when nothing is."""
    if record.fingerprint == snapshot.fingerprint:
        return None
    before = {file.path: file for file in record.files or ()}
    now = {file.path: file for file in snapshot.files}
    said = [
        *(f"{path} is gone" for path in before.keys() - now.keys()),
        *(f"{path} is new" for path in now.keys() - before.keys()),
        *(_difference(before[path], now[path]) for path in before.keys() & now.keys() if before[path] != now[path]),
    ]
    return "; ".join(sorted(said)) or "the source is read with other settings, or in another order"


def _difference(before: SourceFile, now: SourceFile) -> str:
    if before.bytes != now.bytes:
        return f"{now.path} had {before.bytes:,} bytes and now has {now.bytes:,}"
    return f"the content of {now.path} changed"
