"""Records how a run and its steps end: counts, rejects, the reason, and the report."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from cio_etl import state
from cio_etl.apis import masked
from cio_etl.audit import newest_rejected, with_places
from cio_etl.errors import (
    Bug,
    CredentialsRefused,
    EndedElsewhere,
    EtlError,
    Interrupted,
    LanesTaken,
    StateError,
    TooManyChanges,
    TooManyRejects,
    WrongDestination,
    failure_of,
)
from cio_etl.log import get_logger
from cio_etl.model import (
    Bookmark,
    Destination,
    Finding,
    Job,
    LaneProgress,
    Omitted,
    Reject,
    RejectCount,
    Report,
    Snapshot,
)
from cio_etl.model.records import dataclass
from cio_etl.model.words import counted
from cio_etl.run.caller import Caller
from cio_etl.run.comparison import compared
from cio_etl.run.folders import rejects_folder, run_folder, stage_folder
from cio_etl.run.options import RunOptions
from cio_etl.run.reject_rows import rows_at, write_rows
from cio_etl.run.replacement import done_twice
from cio_etl.run.reports import write_reports
from cio_etl.run.status_note import StatusNote
from cio_etl.state import Closed, GoneRejects, Leases, LedgerMove, ReplayedRejects, RunRecord, StepRecord, Store
from cio_etl.telemetry import Watch
from cio_etl.transform.repeats import Repeats

if TYPE_CHECKING:
    from cio_etl.load import Pace

log = get_logger()

FOR_ALL = (TooManyRejects, TooManyChanges, CredentialsRefused, WrongDestination)  # end a run for all of its workers

Positions = npt.NDArray[np.int64]
Commit = Callable[[LaneProgress, Sequence[Reject], Positions], None]


@dataclass(frozen=True, slots=True)
class RunContext:
    """One run in progress, and what its steps share."""

    job: Job
    run: RunRecord
    store: Store
    destination: Destination
    pace: Pace
    options: RunOptions
    caller: Caller
    note: StatusNote  # of how far the run is, outside of the state
    owner: str = ""  # the name of this process in its leases
    watch: Watch = field(default_factory=Watch)  # follows the run for a collector, if the job asks for it

    @property
    def lanes(self) -> Collection[int]:
        """The lanes to start with: all, or the worker's share."""
        return range(self.run.lanes) if self.options.share is None else self.options.share.lanes

    @property
    def ended(self) -> RunRecord | None:
        """The run, when another worker has ended it; None while it is running."""
        if not self.store.is_shared:
            return None
        run = self.store.run(self.run.run_id)
        return None if run is None or run.status == "running" else run

    def require_running(self) -> None:
        """Raises Interrupted after a signal, and EndedElsewhere when another worker has ended the run."""
        if self.caller.signals.received:
            raise Interrupted(self.caller.signals.received)
        if (run := self.ended) is not None:
            raise EndedElsewhere(exit_code=run.exit_code or 1, reason=run.reason or run.status)

    @property
    def folder(self) -> Path:
        return run_folder(self.job, self.run.run_id)

    @property
    def stage(self) -> Path:
        """This run's, see stage_folder."""
        return stage_folder(self.job, self.run.run_id)


def remove_old_copies(job: Job, store: Store, current: str) -> None:
    """Removes the copied sources of other runs that are over: abandoned, or killed right after they had finished.

    With `keep_snapshots`, those of finished runs stay.
    """
    over = {"abandoned"} if job.keep_snapshots else {"abandoned", "finished"}
    for run in store.runs(job.name, limit=100):
        if run.run_id != current and run.status in over:
            shutil.rmtree(stage_folder(job, run.run_id), ignore_errors=True)


def report_of(store: Store, run_id: str) -> Report:
    """The report of a run so far; when it has finished, beside the last one."""
    run = store.run(run_id)
    assert run is not None
    return compared(store, state.build_report(store, run))


class EarlierRejects(Protocol):
    """What a commit must know of rejects; see earlier_rejects.py."""

    def committed(
        self, rejects: Sequence[Reject], accepted: Positions, places: Callable[[Sequence[int]], dict[int, str]]
    ) -> tuple[list[Reject], list[Closed]]:
        """The rejects with what a later run finds them by, and the rejects of earlier runs that these rows close."""

    def settled(self, progress: LaneProgress) -> None:
        """Is called after a commit."""


def commit_within_limit(
    context: RunContext,
    number: int,
    progress: Sequence[LaneProgress],
    snapshot: Snapshot,
    leases: Leases,
    earlier: EarlierRejects | None = None,
) -> Commit:
    """A step's commit, which raises TooManyRejects after the reject that exceeds max_rejects, or at once after that.

    It closes rejects of earlier runs. The commit raises what Committer.commit raises, too.
    """
    step, mapping = context.job.steps[number].name, context.job.steps[number].mapping
    store, run_id, max_rejects, rows = context.store, context.run.run_id, context.job.max_rejects, snapshot.rows
    commit = store.committer(leases, _again(snapshot)).commit
    rejected = {lane.lane: lane.counts.rejected for lane in progress}

    def check() -> None:
        total = sum(rejected.values()) if context.options.share is None else store.rejected(run_id, number)
        if total > max_rejects.limit(rows):
            first = store.reject_counts(run_id, number)[0]
            row = _places(snapshot, first.first[:1]).get(first.first[0], "") if first.first else ""
            most = first.reason + (f" in {first.field}" if first.field else "") + (f", as at {row}" if row else "")
            page = context.folder / "report.html"
            remedy = f"look at {page}, fix the mapping or the rows, or raise max_rejects"
            if twice := done_twice(context.destination.api, mapping):
                remedy = (
                    f"look at {page}, and raise max_rejects, so that the run ends, then fix and replay its rejects; "
                )
                remedy += f"if you change the mapping or the rows instead, --restart is needed, but {twice}"
            rejected_rows = f"step {step}: {counted(total, 'row')}"
            raise TooManyRejects(remedy, rejected=rejected_rows, limit=max_rejects.of(rows), most=most)

    def commit_and_check(lane: LaneProgress, rejects: Sequence[Reject], accepted: Positions) -> None:
        if context.job.rejects != "rows":  # the state then holds no value of a row, also none that a message quotes
            rejects = [replace(each, message=masked(each.message, each.field)) for each in rejects]
        closed: Sequence[Closed] = ()
        if earlier is not None:
            rejects, closed = earlier.committed(rejects, accepted, lambda rows: _places(snapshot, rows))
        commit(lane, rejects, accepted, closed)
        if earlier is not None:
            earlier.settled(lane)
        rejected[lane.lane] = lane.counts.rejected
        context.note.refresh()
        if rejects:
            check()

    check()
    return commit_and_check


def _again(snapshot: Snapshot) -> ReplayedRejects | None:
    """The rejects that the snapshot's rows replay; None: it is not a replay."""
    again = snapshot.replayed
    if again is None:
        return None
    return ReplayedRejects(again.reject_ids[: snapshot.rows], again.closes)


@contextmanager
def releasing(leases: Leases) -> Iterator[None]:
    """Releases the leases at the block's end, so that the next worker need not wait until they expire."""
    try:
        yield
    finally:
        with suppress(StateError):  # the database is out of reach: the leases expire
            leases.release()


@contextmanager
def recording_step(
    context: RunContext,
    record: StepRecord,
    snapshot: Snapshot,
    bookmark: Bookmark,
    repeats: Repeats | None,
    next_ledger: Callable[[], LedgerMove | None] | None = None,
    gone: GoneRejects | None = None,
) -> Iterator[Callable[[int], int]]:
    """Records at the block's end how many rows the step has read, its time and its rejects.

    The block calls the function with the rows read. When it ends without an error the step is finished, the bookmark
    and the ledger are recorded for the next run, and rejects that are gone are closed.
    """
    began, read, finished, ledger = time.monotonic(), record.rows_read, False, None

    def note(rows_read: int) -> int:
        nonlocal read
        read = rows_read
        return read

    try:
        yield note
        ledger = None if next_ledger is None else next_ledger()
        finished = True
    finally:
        rejects = _located(context.store, context.run.run_id, record.number, snapshot)
        if repeats is not None and rejects:
            _note_newest_rejected(context, record, snapshot, repeats)
        again = _again(snapshot)
        if again is not None and finished:
            context.store.close_skipped(context.run.run_id, record.number, again)
        elif again is None and rejects and context.job.rejects == "rows":
            _keep_rejects(context, record, snapshot)
        context.store.end_step(
            context.run.run_id,
            record.number,
            finished=finished,
            rows_read=read,
            seconds=time.monotonic() - began,
            rejects=rejects,
            bookmark=bookmark,
            ledger=ledger,
            gone=gone,
        )


def note_findings(store: Store, run_id: str, record: StepRecord, findings: Sequence[Finding]) -> None:
    """Records the findings about the step's rows, and logs the warnings, before anything is sent."""
    store.note_findings(run_id, record.number, findings)
    _log_warnings(record, findings)


def note_omitted(store: Store, run_id: str, record: StepRecord, omitted: Omitted) -> None:
    """Records the values without which the step's rows are sent, and logs them, before anything is sent."""
    if omitted.rows:
        store.note_omitted(run_id, record.number, omitted)
    for count in omitted.counts:
        log.warning("values_omitted", step=record.name, reason=count.reason, field=count.field, rows=count.rows)


def _log_warnings(record: StepRecord, findings: Sequence[Finding]) -> None:
    for finding in findings:
        if finding.severity != "notice":
            log.warning("finding_noted", step=record.name, code=finding.code, rows=finding.rows, found=finding.words)


def _note_newest_rejected(context: RunContext, record: StepRecord, snapshot: Snapshot, repeats: Repeats) -> None:
    """Adds the finding on people that are not sent since their newest row is rejected."""
    store, run_id = context.store, context.run.run_id
    rejected = store.rejects(run_id, record.number)["position"].to_numpy()
    added = with_places(list(newest_rejected(repeats, rejected)), lambda rows: _places(snapshot, rows))
    codes = {finding.code for finding in added}
    before = [finding for finding in store.steps(run_id)[record.number].findings if finding.code not in codes]
    if added:
        store.note_findings(run_id, record.number, [*added, *before])
        _log_warnings(record, added)


def _keep_rejects(context: RunContext, record: StepRecord, snapshot: Snapshot) -> None:
    """Keeps the step's rejected rows; when that fails, the run is not affected, and they may be read again later."""
    positions = context.store.rejects(context.run.run_id, record.number)["position"].to_list()
    try:
        rows = rows_at(snapshot, positions)
        write_rows(rejects_folder(context.job.state, context.run.run_id), record.number, rows)
    except (EtlError, OSError, pl.exceptions.PolarsError) as error:
        log.warning("rejected_rows_not_kept", step=record.name, reason=type(error).__name__)


def _located(store: Store, run_id: str, number: int, snapshot: Snapshot) -> list[RejectCount]:
    """The step's rejects by reason and field, each with its first rows by file and line."""
    counts = store.reject_counts(run_id, number)
    places = _places(snapshot, sorted({position for count in counts for position in count.first}))
    since = store.first_rejected(run_id, number) if counts else {}
    return [
        RejectCount(c.reason, c.field, c.rows, tuple(places[row] for row in c.first), since.get((c.reason, c.field)))
        for c in counts
    ]


def _places(snapshot: Snapshot, positions: Sequence[int]) -> dict[int, str]:
    try:
        return snapshot.places(positions)
    except EtlError:  # the file has disappeared, and the run has stopped for that
        return {position: f"row {position + 1}" for position in positions}


@contextmanager
def recording_run(context: RunContext) -> Iterator[list[Report]]:
    """Records how the run ends, whichever way, and writes its report; the list has it after the block."""
    store, run_id, commands = context.store, context.run.run_id, context.caller.commands
    context.note.refresh()
    reports: list[Report] = []
    try:
        yield reports
        rejected = any(
            lane.counts.rejected for step in store.steps(run_id) for lane in store.lane_progress(run_id, step.number)
        )
        store.end(run_id, "finished", 3 if rejected else 0, None)
        if not context.job.keep_snapshots:
            shutil.rmtree(context.stage, ignore_errors=True)
    except (EndedElsewhere, LanesTaken):
        raise  # another worker has the run
    except KeyboardInterrupt:  # of a program that uses the Python API: the command handles the signal
        _end_for(context, Interrupted("SIGINT"))
        raise
    except BaseException as error:
        failure = failure_of(error)
        if isinstance(failure, Bug):
            store.end(run_id, "failed", 1, f"unexpected {type(error).__name__}")
        else:
            _end_for(context, failure)
        raise
    finally:
        context.note.close()
        report = report_of(store, run_id)
        reports.append(report)
        write_reports(report, context.folder, commands)
        context.caller.reported(report)
        log.info(f"run_{report.status}", run_id=run_id, exit_code=report.exit_code)


def _end_for(context: RunContext, error: EtlError) -> None:
    """Records that the run has ended with this error, unless other workers go on with it."""
    store, run_id = context.store, context.run.run_id
    if isinstance(error, FOR_ALL) or context.options.share is None or not store.is_in_progress(run_id):
        store.end(run_id, "stopped" if error.resumable else "failed", error.exit_code, str(error))
