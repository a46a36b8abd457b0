"""Decides which run to work on: the job's unfinished one, if nothing has changed since it started; else a new one."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cio_etl.config import canonical
from cio_etl.errors import ChangedSinceStart, SourceError
from cio_etl.log import get_logger
from cio_etl.model import GoneSource, Job
from cio_etl.model.words import counted
from cio_etl.run.changes import changes_since, is_replaced
from cio_etl.run.folders import run_folder
from cio_etl.run.gone import fold_removals
from cio_etl.run.ledger_moves import fold_abandoned
from cio_etl.run.options import RunOptions
from cio_etl.run.recording import report_of
from cio_etl.run.replacement import accepted, has_too_many_rejects, restart_repeats
from cio_etl.run.reports import write_reports
from cio_etl.state import RunRecord, Store
from cio_etl.transform.ids import LANE_HASH

log = get_logger()

_REMEDY = "undo the change and run the same command again, or abandon the run and start a new one with --restart"


def begin_or_resume(store: Store, job: Job, options: RunOptions, note: Callable[[str], None]) -> RunRecord:
    """The run to work on, recorded as running. Raises ChangedSinceStart when the unfinished one no longer fits.

    A run that was named and has finished is returned as it is: nothing is left to do. A run that too many rejects
    stopped is replaced by a new one where that is safe, and `note` is called with a sentence that says so.
    """
    named = None if options.run_id is None else _named(store, run_name(job, options.run_id))
    if named is not None and named.status == "finished":
        return named
    unfinished = store.unfinished(job.name)
    is_own = unfinished is not None and named is not None and unfinished.run_id == named.run_id
    if unfinished is not None and options.restart and not is_own:
        _abandon(store, job, unfinished, "abandoned by --restart", note)
        log.info("run_abandoned", run_id=unfinished.run_id)
        unfinished = None
    if unfinished is None:
        if (other := _other_file(store, job)) is not None:
            note(
                f"{other} has the name {job.name} and this state, too: both have the same runs, watermarks and ledgers;"
                " give one of the two job files another name"
            )
        return _started(store, job, options)
    sent = store.has_sent(unfinished.run_id)
    worked_on = options.share is not None and (sent or store.is_in_progress(unfinished.run_id))
    by_others = options.share is not None and (is_own or store.is_in_progress(unfinished.run_id))
    if not by_others and is_replaced(store, job, unfinished, options.limit, options.since):
        return _replaced(store, job, options, unfinished, note)
    changes = changes_since(unfinished, store.steps(unfinished.run_id), job, options.limit, options.since)
    if options.share is not None and options.share.of != unfinished.lanes:
        changes.append(f"it has {counted(unfinished.lanes, 'lane')}, and now would have {options.share.of}")
    if changes and (sent or worked_on):
        raise ChangedSinceStart(
            change_remedy(store, job, unfinished), run_id=unfinished.run_id, changes="; ".join(changes)
        )
    unread = unfinished.since is not None and unfinished.exit_code == SourceError.exit_code and not sent
    if changes or (unread and options.since is None):
        why = "changed before any row was sent" if changes else "its watermark could not be read"
        _abandon(store, job, unfinished, why, note)
        return _started(store, job, options)
    asked = [name for name in ("retry_refused", "rebuild_ledger") if getattr(options, name)]
    if asked and sent:
        flags = " and ".join(f"--{name.replace('_', '-')}" for name in asked)
        note(f"the run {unfinished.run_id} goes on with what it began to send; later steps and runs follow {flags}")
    store.end(unfinished.run_id, "running", None, None, was_killed=options.share is None)
    log.info("run_joined" if worked_on else "run_resumed", run_id=unfinished.run_id)
    return unfinished


def _replaced(
    store: Store, job: Job, options: RunOptions, stopped: RunRecord, note: Callable[[str], None]
) -> RunRecord:
    """A new run in place of one that had too many rejects."""
    accepted_rows = accepted(store, stopped)
    _abandon(store, job, stopped, f"{stopped.reason}; replaced by a new run", note)
    run = _started(store, job, options)
    log.info("run_replaced", run_id=run.run_id, stopped=stopped.run_id, accepted=accepted_rows)
    has_ledgers = all(step.sync.has_ledger or isinstance(step.source, GoneSource) for step in job.steps)
    again = (
        ("if it changes", "if they change") if has_ledgers else ("with its present values", "with their present values")
    )
    rows = accepted_rows and counted(
        accepted_rows,
        f"row that was accepted then stays in Customer.io, and is sent again {again[0]}",
        f"rows that were accepted then stay in Customer.io, and are sent again {again[1]}",
    )
    rejects = has_too_many_rejects(store, job, stopped, store.steps(stopped.run_id))
    why = "had too many rejects" if rejects else "stopped before a step that would have changed too much"
    note(f"the run {stopped.run_id} {why}; this run reads the source again{f'. {rows}' if rows else ''}")
    return run


def change_remedy(store: Store, job: Job, run: RunRecord) -> str:
    """What to do about an unfinished run whose job or source has changed, and what --restart does twice."""
    records = store.steps(run.run_id)
    if not (twice := restart_repeats(store, job, run, records)):
        return _REMEDY
    undo = "undo the change and run the same command again"
    if has_too_many_rejects(store, job, run, records):
        undo = "undo the change, raise max_rejects, run the same command again, then fix and replay the rejects"
    return f"{undo}; or abandon the run and start a new one with --restart, but {twice}"


def _abandon(store: Store, job: Job, run: RunRecord, why: str, note: Callable[[str], None]) -> None:
    """Ends a run for good, and writes its report again, which showed how to resume it."""
    fold_abandoned(store, job, run, note)
    fold_removals(store, job, run, note)
    store.end(run.run_id, "abandoned", run.exit_code, why, was_killed=True)
    write_reports(report_of(store, run.run_id), run_folder(job, run.run_id))


def run_name(job: Job, name: str) -> str:
    """The id of the job's run of this name, which is its folder's name too."""
    return f"{job.name}-{name}"


def is_named(run_id: str, job: Job, name: str) -> bool:
    """Whether a run is the job's run of this name, or replaced an abandoned one of this name."""
    return re.fullmatch(rf"{re.escape(run_name(job, name))}(\.\d+)?", run_id) is not None


def _named(store: Store, name: str) -> RunRecord | None:
    """The run of this name; the last one where abandoned runs were replaced."""
    run, number = store.run(name), 2
    while (later := store.run(f"{name}.{number}")) is not None:
        run, number = later, number + 1
    return run


def _started(store: Store, job: Job, options: RunOptions) -> RunRecord:
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


def _other_file(store: Store, job: Job) -> str | None:
    """The job file of the job's last run, where it is another one and still there."""
    for last in store.runs(job.name, limit=1):
        file, other = Path(job.file), Path(last.job_file)
        if other.is_file() and file.is_file() and not file.samefile(other):
            return last.job_file
    return None


def _unused(store: Store, job: Job, options: RunOptions, now: datetime) -> str:
    name, separator = (f"{now:%Y%m%dT%H%M%SZ}", "-") if options.run_id is None else (options.run_id, ".")
    run_id, number = run_name(job, name), 2
    while store.run(run_id) is not None:
        run_id, number = f"{run_name(job, name)}{separator}{number}", number + 1
    return run_id
