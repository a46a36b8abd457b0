"""Opens a step: its source is opened, its mapping compiled, and all rows are scanned before the first is sent."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from cio_etl.audit import (
    Audit,
    PathValues,
    ValuesLost,
    event_names,
    events_of_72h,
    expectations_of,
    expected_digest,
    located_findings,
    run_audits,
    stopping,
)
from cio_etl.errors import ChangedSinceStart, ExpectationsFailed, SourceError
from cio_etl.ledger import Delta
from cio_etl.model import Bookmark, Finding, GoneSource, Snapshot, Step
from cio_etl.model.records import dataclass
from cio_etl.run.baseline import Baseline, note_all
from cio_etl.run.changes import source_changes
from cio_etl.run.earlier_rejects import gone_rejects
from cio_etl.run.gone import next_without, open_gone
from cio_etl.run.incremental import (
    bookmark_after,
    check_origin,
    copy_deleted_if_unfit,
    open_step_source,
    origin,
    require_columns_of_step,
    staging,
)
from cio_etl.run.ledger_moves import next_ledger
from cio_etl.run.limits import require_few_events
from cio_etl.run.options import FULL_REFRESH
from cio_etl.run.other_columns import changed_columns, job_of_columns, known_after, with_other_columns
from cio_etl.run.prepared import limited, prepare
from cio_etl.run.prescan import count_omitted, prescan, with_looks
from cio_etl.run.recording import RunContext, note_findings, note_omitted
from cio_etl.run.refresh import step_since
from cio_etl.run.reject_rows import Columns
from cio_etl.run.resume import change_remedy
from cio_etl.run.schema_drift import check_drift
from cio_etl.run.sync import hasher, open_delta, require_delta, require_planned, with_delta, with_scope
from cio_etl.state import GoneRejects, LedgerMove, StepRecord
from cio_etl.transform import Compiled, as_texts


@dataclass(frozen=True, slots=True)
class Files:
    """A snapshot of files, and their state on disk when it was opened."""

    snapshot: Snapshot
    on_disk: tuple[object, ...]

    @classmethod
    def of(cls, snapshot: Snapshot) -> Files:
        return cls(snapshot, _on_disk(snapshot))

    def unless_changed(self) -> Snapshot | None:
        """The snapshot, unless its files were written to or replaced since."""
        return self.snapshot if _on_disk(self.snapshot) == self.on_disk else None


def _on_disk(snapshot: Snapshot) -> tuple[object, ...]:
    files = []
    for file in snapshot.files:
        with suppress(OSError):
            status = os.stat(file.path)
            files.append((file.path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
    return tuple(files)


def open_files(context: RunContext) -> dict[int, Files]:
    """The files of all steps, by the steps' numbers, when the run has sent nothing yet.

    So a file that is missing or lacks a column is reported before the first row is sent, whichever step reads it. A
    source that must be copied first, from a database or another machine, is opened when its step starts.
    """
    if context.store.has_sent(context.run.run_id):
        return {}
    opened = {}
    for number, step in enumerate(context.job.steps):
        if not step.source.is_staged:
            with context.caller.observer.staging(step.name) as report_rows:
                how = staging(context.stage, step, Bookmark(), rows=context.run.row_limit, report_rows=report_rows)
                opened[number] = Files.of(open_step_source(step, how))
            snapshot = opened[number].snapshot
            plain, _ = with_other_columns(step, snapshot, bookmark_of_columns(context, step))
            require_columns_of_step(plain, snapshot.schema)
    return opened


def require_expected_files(context: RunContext, opened: Mapping[int, Files]) -> None:
    """Raises ExpectationsFailed when the files of a later step are not as expected, before the first step is sent.

    The first step is tested when it is opened, in the pass over its rows that a run makes anyway; so are the others,
    once more, since their files may have changed. A source that must be copied is tested when its step starts.
    """
    records = context.store.steps(context.run.run_id)
    for number, files in sorted(opened.items()):
        if number == 0:
            continue
        step, snapshot = context.job.steps[number], as_texts(files.snapshot)
        expectations = expectations_of(step, snapshot, time.time(), whole=context.run.row_limit is None)
        if expectations is not None:
            for _ in with_looks(expectations, len, snapshot.read(expectations.columns, 0)):
                pass
            _require_expected(context, step, records[number], located_findings([expectations], snapshot.places))


def _require_expected(context: RunContext, step: Step, record: StepRecord, findings: Sequence[Finding]) -> None:
    """Raises ExpectationsFailed when there are findings for which a run stops."""
    if (words := stopping(findings)) and not context.options.accept_unexpected:
        note_findings(context.store, context.run.run_id, record, findings)
        page = context.folder / "report.html"
        remedy = f"look at {page}, and fix the source; or, if its rows are right, run once with --accept-unexpected"
        raise ExpectationsFailed(remedy, step=step.name, changes=words)


def _note_untested(context: RunContext, step: Step, record: StepRecord) -> None:
    """Notes that a step which goes on is not tested by expectations that have changed since its first row was sent."""
    tested = None if record.columns is None else Columns.of_text(record.columns).expected
    if tested is not None and tested != expected_digest(step):
        context.caller.observer.note(
            f"step {step.name}: `expect` has changed since this run tested the rows, before it sent the first; the "
            "next run tests by what it says now, and so does `validate`"
        )


@dataclass(frozen=True, slots=True)
class PreparedStep:
    """A step's rows and its compiled mapping; the bookmark is for the next run."""

    snapshot: Snapshot
    compiled: Compiled
    next_bookmark: Bookmark
    next_ledger: Callable[[], LedgerMove | None] | None = None  # moves a ledger when the step has finished
    baseline: Baseline | None = None  # of a first run, whose rows are noted before they are sent
    gone: GoneRejects | None = None  # rejects of earlier runs that are closed when the step has finished


def join_step(context: RunContext, step: Step, record: StepRecord, files: Files | None) -> PreparedStep | None:
    """A step that other workers have started; None when they have finished it since."""
    try:
        return open_step(context, step, record, files, has_started=True)
    except SourceError:
        if context.store.steps(context.run.run_id)[record.number].status == "finished":
            return None
        raise


def open_step(
    context: RunContext, step: Step, record: StepRecord, files: Files | None, *, has_started: bool
) -> PreparedStep:
    """Opens the source and compiles the mapping. Where rows were sent before, the source must be what it was then."""
    store, run_id, number, limit = context.store, context.run.run_id, record.number, context.run.row_limit
    before, here = store.bookmark(context.job.name, step.name), origin(context.destination, step)
    since = step_since(context, step, record, has_started=has_started)
    if not has_started:
        check_origin(step, before, here, since)
    snapshot = _open_rows(context, step, record, files, before, since, has_started=has_started)
    column_facts: dict[str, list[Mapping[str, Any]]] = {}
    with copy_deleted_if_unfit(snapshot, has_started):
        step, found = with_other_columns(step, snapshot, bookmark_of_columns(context, step))
        known = known_after(found, snapshot, before, moves=not limit)
        next_bookmark = bookmark_after(snapshot, before, here, known, moves=not limit)
        rows, compiled = prepare(step, snapshot, context.run.lanes, context.destination.api, run_id, column_facts)
        if not (has_started or context.options.accept_drift):
            check_drift(step, before.columns, next_bookmark.columns, compiled.columns)
    if has_started:
        delta = require_delta(context, step, record, snapshot)
        _note_untested(context, step, record)
    else:
        taken = None if found is None else found.taken
        columns = Columns(snapshot.schema, snapshot.json, column_facts, taken, expected_digest(step))
        store.note_columns(run_id, number, columns.to_text())
        again = since == FULL_REFRESH
        with copy_deleted_if_unfit(snapshot, has_started):
            audits: list[Audit] = [*changed_columns(found), PathValues(step, snapshot)]
            audits.append(ValuesLost(step, snapshot, rows, compiled))
        delta = _decide_and_look(context, step, record, rows, compiled, audits, again=again)
    prepared = PreparedStep(
        rows,
        with_delta(compiled, delta),
        next_bookmark,
        _next_ledger(context, step, record, delta),
        gone=gone_rejects(context, step, number, delta),
    )
    if delta is None or not delta.head.is_baseline:
        return prepared
    compiled = with_scope(step, compiled, rows)
    hashed = hasher(step, compiled, delta.head.salt)
    if has_started:
        note_all(context, number, delta, rows, compiled, hashed)
    return replace(prepared, compiled=compiled, baseline=None if has_started else Baseline(delta, hashed))


def _open_rows(
    context: RunContext,
    step: Step,
    record: StepRecord,
    files: Files | None,
    before: Bookmark,
    since: str | None,
    *,
    has_started: bool,
) -> Snapshot:
    """The rows of the step's source, noted in the state; they must be what they were, where some have been sent."""
    store, run_id, number, limit = context.store, context.run.run_id, record.number, context.run.row_limit
    whole = None if files is None else files.unless_changed()
    if whole is None:
        with context.caller.observer.staging(step.name) as report_rows:
            may_read = not has_started
            how = staging(context.stage, step, before, since, rows=limit, report_rows=report_rows, may_read=may_read)
            if isinstance(step.source, GoneSource):
                whole = open_gone(context.job, context.run, number, how)
            else:
                whole = open_step_source(step, how)
    snapshot = limited(whole, limit)
    if not has_started:
        lease_s = context.job.lease_s if store.is_shared else None
        store.begin_step(
            run_id, number, snapshot.fingerprint, snapshot.files, snapshot.rows, context.run.lanes, lease_s
        )
    elif changed := source_changes(record, snapshot):
        raise ChangedSinceStart(
            change_remedy(store, context.job, context.run), run_id=run_id, changes=f"step {step.name}: {changed}"
        )
    return snapshot


def _decide_and_look(
    context: RunContext,
    step: Step,
    record: StepRecord,
    rows: Snapshot,
    compiled: Compiled,
    known: list[Audit],
    *,
    again: bool,
) -> Delta | None:
    """What is sent of each row, before the first one is; and the findings on all rows, which are noted.

    `known` are audits that have seen the rows. Raises what stops a run before its first request: ExpectationsFailed,
    TooManyChanges, PlanOutdated.
    """
    delta: Delta | None = None
    with copy_deleted_if_unfit(rows, has_started=False):
        if step.sync.has_ledger:
            delta, audit = open_delta(context, step, record, rows, compiled, again=again)
            known += [] if audit is None else [audit]
        else:
            require_planned(context, step, rows, None)
        sending = with_delta(compiled, delta)
        audits = run_audits(step, compiled, context.destination, time.time())
        expectations = expectations_of(step, rows, time.time(), whole=context.run.row_limit is None)
        names = list(event_names(step.mapping))
        findings = prescan(step, rows, sending, [*audits, *names], known, expectations)
        _require_expected(context, step, record, findings)
        if delta is not None and not context.options.accept_changes:
            require_few_events(step, delta, events_of_72h(audits))
    note_findings(context.store, context.run.run_id, record, findings)
    note_omitted(context.store, context.run.run_id, record, count_omitted(step.mapping, rows, sending))
    for counted in names:
        context.store.note_events(context.run.run_id, record.number, counted.counts())
    return delta


def _next_ledger(
    context: RunContext, step: Step, record: StepRecord, delta: Delta | None
) -> Callable[[], LedgerMove | None] | None:
    """What moves a ledger when the step has finished; None: the step moves none."""
    if isinstance(step.source, GoneSource):
        return partial(next_without, context, record.number, step.source)
    return None if delta is None else partial(next_ledger, context, step, record, delta)


def bookmark_of_columns(context: RunContext, step: Step) -> Bookmark:
    """The bookmark that has the known columns of a step."""
    if step.mapping.other_columns is None:
        return Bookmark()
    return context.store.bookmark(job_of_columns(context.job), step.name)
