"""Which run does `run` go on with? The job's unfinished one, if nothing has changed since; else a new one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from cio_etl.config import canonical, describe_change
from cio_etl.errors import ChangedSinceStart, SourceError
from cio_etl.model import Job, Snapshot, SourceFile
from cio_etl.state import RunRecord, StepRecord, Store
from cio_etl.transform.ids import LANE_HASH

log = structlog.get_logger()

REMEDY = "undo the change and run the same command again, or give the run up and start anew with --restart"


FULL_REFRESH = "full refresh"


@dataclass(frozen=True, slots=True)
class Share:
    """The lanes of a run that one of its workers begins with: `0-7/16` is the first half of sixteen."""

    lanes: frozenset[int]
    of: int

    def __str__(self) -> str:
        return f"{','.join(_ranges(sorted(self.lanes)))}/{self.of}"


MOST_LANES = 256


def share(text: str) -> int | Share:
    """A number of lanes, as `32`, or which of how many, as `0-7/16` or `0,4,8-11/16`. Raises ValueError."""
    if (found := re.fullmatch(r"(?:([\d,-]+)/)?(\d{1,3})", text, re.ASCII)) is None:
        raise ValueError("write a number, as 32, or lanes of all, as 0-7/16")
    of = int(found[2])
    if not 1 <= of <= MOST_LANES:
        raise ValueError(f"there are 1 to {MOST_LANES} lanes")
    if found[1] is None:
        return of
    lanes: set[int] = set()
    for part in found[1].split(","):
        if (ends := re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", part, re.ASCII)) is None:
            raise ValueError("write lanes as 0-7 or 0,4,8")
        lanes |= set(range(int(ends[1]), int(ends[2] or ends[1]) + 1))
    if not lanes or max(lanes) >= of:
        raise ValueError(f"lanes of {of} are 0 to {of - 1}")
    return Share(frozenset(lanes), of)


def _ranges(lanes: Sequence[int]) -> Iterator[str]:
    """Lanes in order, as `0-7` and `9`."""
    first = 0
    for place in range(1, len(lanes) + 1):
        if place == len(lanes) or lanes[place] != lanes[place - 1] + 1:
            yield f"{lanes[first]}" if place - 1 == first else f"{lanes[first]}-{lanes[place - 1]}"
            first = place


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says of one run."""

    limit: int | None = None  # rows of each step
    restart: bool = False
    grace_s: float = 20.0  # for what is under way when a signal comes
    since: str | None = None  # FULL_REFRESH, or the watermark to begin at; None: where the last finished run left off
    accept_drift: bool = False  # columns may be of other kinds than they were in the last run
    wait_s: float = 0.0  # for another run of the job to end
    share: Share | None = None  # of a run that several workers do together; None: one process does it all
    run_id: str | None = None  # the run's own name, by which workers find each other, and which is done once


def begin_or_resume(store: Store, job: Job, options: Options) -> RunRecord:
    """The run to work on, noted as running. Raises ChangedSinceStart when the unfinished one no longer fits.

    A run that was named and has finished comes back as it is: there is nothing left to do of it.
    """
    named = None if options.run_id is None else _named(store, run_name(job, options.run_id))
    if named is not None and named.status == "finished":
        return named
    unfinished = store.unfinished(job.name)
    is_own = unfinished is not None and named is not None and unfinished.run_id == named.run_id
    if unfinished is not None and options.restart and not is_own:
        store.end(unfinished.run_id, "abandoned", unfinished.exit_code, "given up by --restart")
        log.info("run_abandoned", run_id=unfinished.run_id)
        unfinished = None
    if unfinished is None:
        return _begun(store, job, options)
    sent = store.has_sent(unfinished.run_id)
    worked_on = options.share is not None and (sent or store.is_in_progress(unfinished.run_id))
    changes = changes_since(unfinished, store.steps(unfinished.run_id), job, options.limit, options.since)
    if options.share is not None and options.share.of != unfinished.lanes:
        changes.append(f"it has {unfinished.lanes} lanes, and now would have {options.share.of}")
    if changes and (sent or worked_on):
        raise ChangedSinceStart(REMEDY, run_id=unfinished.run_id, changes="; ".join(changes))
    unread = unfinished.since is not None and unfinished.exit_code == SourceError.exit_code and not sent
    if changes or (unread and options.since is None):
        why = "mended before anything had been sent" if changes else "what it was to begin with could not be read"
        store.end(unfinished.run_id, "abandoned", unfinished.exit_code, why)
        return _begun(store, job, options)
    store.end(unfinished.run_id, "running", None, None)
    log.info("run_joined" if worked_on else "run_resumed", run_id=unfinished.run_id)
    return unfinished


def run_name(job: Job, name: str) -> str:
    """How the job's run of this name is called, and its folder."""
    return f"{job.name}-{name}"


def is_named(run_id: str, job: Job, name: str) -> bool:
    """Whether a run is the job's run of this name, or took the place of one that was given up."""
    return re.fullmatch(rf"{re.escape(run_name(job, name))}(\.\d+)?", run_id) is not None


def _named(store: Store, name: str) -> RunRecord | None:
    """The run of this name; of those that took the place of one that was given up, the last."""
    found, number = store.run(name), 2
    while (later := store.run(f"{name}.{number}")) is not None:
        found, number = later, number + 1
    return found


def _begun(store: Store, job: Job, options: Options) -> RunRecord:
    now = datetime.now(UTC)
    run = RunRecord(
        run_id=_unused(store, job, options, now),
        job=job.name,
        job_file=job.file,
        status="running",
        started_at=now.isoformat(timespec="seconds"),
        finished_at=None,
        exit_code=None,
        reason=None,
        lanes=job.destination.lanes if options.share is None else options.share.of,
        lane_hash=LANE_HASH,
        row_limit=options.limit,
        destination=job.destination.base_url,
        since=options.since,
    )
    store.begin(run, [(step.name, canonical(step.mapping)) for step in job.steps])
    log.info("run_started", run_id=run.run_id)
    return run


def _unused(store: Store, job: Job, options: Options, now: datetime) -> str:
    name, sign = (f"{now:%Y%m%dT%H%M%SZ}", "-") if options.run_id is None else (options.run_id, ".")
    found, number = run_name(job, name), 2
    while store.run(found) is not None:
        found, number = f"{run_name(job, name)}{sign}{number}", number + 1
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
