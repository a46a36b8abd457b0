"""Compares a report with the last finished run of the same job and the same steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from cio_etl import state
from cio_etl.errors import StateError
from cio_etl.log import get_logger
from cio_etl.model import (
    OUTCOME_UNKNOWN,
    Comparison,
    Difference,
    Figure,
    Report,
    StepComparison,
    StepReport,
    reason_words,
)

if TYPE_CHECKING:
    from cio_etl.state import RunRecord, Store

log = get_logger()

RUNS = 100  # of a job, in which the last comparable one is sought
LARGE = 0.5  # of the earlier figure: this share more or less is a large difference,
LEAST_ROWS, LEAST_SHARE, LEAST_BYTES = 10, 0.01, 100_000  # unless these are few rows, a small share of all, few bytes

_COUNTS: tuple[Figure, ...] = ("rows_read", "accepted", "rejected", "skipped", "bytes_sent")
_OF_LEDGER: tuple[Figure, ...] = ("new", "changed", "gone")


def compared(store: Store, report: Report, since: str | None = None) -> Report:
    """The report with what is different from the last run, if there is one to compare with.

    Only finished reports over all rows are compared, with runs that began to read as this one: `since` is that of a
    validation. Replays are not compared: their rows are what somebody fixed. An earlier run that cannot be read is no
    reason to fail.
    """
    if report.status != "finished" or report.row_limit is not None or report.job.endswith(".replay"):
        return report
    try:
        return _beside_last_run(store, report, since)
    except StateError as error:
        log.warning("report_not_compared", run_id=report.run_id, reason=str(error))
        return report


def _beside_last_run(store: Store, report: Report, since: str | None) -> Report:
    before = _last_run(store, report, since)
    if before is None:
        return report
    earlier = {step.name: step for step in state.step_reports(store, before.run_id)}
    steps = tuple(
        StepComparison(step.name, tuple(_differences(step, earlier[step.name], report.is_validation)))
        for step in report.steps
        if step.name in earlier
    )
    return replace(report, compared_with=Comparison(before.run_id, before.finished_at, steps))


def _last_run(store: Store, report: Report, since: str | None) -> RunRecord | None:
    """The last run before this one that finished all rows of the same steps."""
    runs = store.runs(report.job, limit=RUNS)
    if not report.is_validation:
        place = next((n for n, run in enumerate(runs) if run.run_id == report.run_id), len(runs))
        since, runs = (runs[place].since if place < len(runs) else None), runs[place + 1 :]
    names = _own_steps([step.name for step in report.steps])
    of_all_rows = (run for run in runs if run.status == "finished" and run.row_limit is None and run.since == since)
    return next(
        (run for run in of_all_rows if _own_steps([step.name for step in store.steps(run.run_id)]) == names), None
    )


def _own_steps(names: list[str]) -> set[str]:
    """The steps of the job file; a run of a mirror adds those that remove who is gone, a validation does not."""
    return {name for name in names if not name.endswith("/gone")}


def _differences(now: StepReport, before: StepReport, is_validation: bool) -> Iterator[Difference]:
    figures: tuple[Figure, ...] = _COUNTS
    if is_validation:
        before = _before_sending(before)
        if before.delta is not None:  # a validation does not ask the ledger, so it skips nothing as unchanged
            figures = ("rows_read", "rejected")
    if _starts_ledger(now) or _starts_ledger(before):
        figures, now = ("rows_read", "rejected"), replace(now, delta=None)
    for figure in figures:
        yield _difference(figure, _count(now, figure), _count(before, figure), now, before)
    if now.delta is not None and before.delta is not None:
        for figure in _OF_LEDGER:
            yield _difference(figure, getattr(now.delta, figure), getattr(before.delta, figure), now, before)
    yield from _by_reason(now, before)
    if figures is _COUNTS:
        yield from _by_event(now, before)


def _starts_ledger(step: StepReport) -> bool:
    """Whether the step has sent everything, because its ledger was empty."""
    return step.delta is not None and not step.delta.known


def _before_sending(step: StepReport) -> StepReport:
    """The step of a run without the rejects of Customer.io, which a validation does not know: as if accepted."""
    known = tuple(each for each in step.rejects if each.reason in reason_words() and each.reason != OUTCOME_UNKNOWN)
    rejected = sum(each.rows for each in known)
    counts = replace(step.counts, accepted=step.accepted + step.rejected - rejected, rejected=rejected)
    return replace(step, counts=counts, rejects=known)


def _count(step: StepReport, figure: Figure) -> int:
    return step.rows_read if figure == "rows_read" else int(getattr(step.counts, figure))


def _by_reason(now: StepReport, before: StepReport) -> Iterator[Difference]:
    """The rejects by reason and field; a new reason is a large difference, however few rows have it."""
    rows, rows_before = ({(each.reason, each.field): each.rows for each in step.rejects} for step in (now, before))
    for reason, field in dict.fromkeys([*rows, *rows_before]):
        counts = rows.get((reason, field), 0), rows_before.get((reason, field), 0)
        difference = _difference("rejects", *counts, now, before, reason, field)
        yield replace(difference, is_large=difference.is_large or counts[1] == 0)


def _by_event(now: StepReport, before: StepReport) -> Iterator[Difference]:
    rows, rows_before = ({each.name: each.rows for each in step.events} for step in (now, before))
    for name in dict.fromkeys([*rows, *rows_before]):
        yield _difference("events", rows.get(name, 0), rows_before.get(name, 0), now, before, name)


def _difference(
    figure: Figure,
    now: int,
    before: int,
    step: StepReport,
    step_before: StepReport,
    name: str | None = None,
    field: str | None = None,
) -> Difference:
    """The difference, large when it is a large share of the earlier figure, and not of few rows or bytes."""
    share = 0 if figure in ("rejected", "rejects") else LEAST_SHARE * max(step.rows_read, step_before.rows_read)
    least = LEAST_BYTES if figure == "bytes_sent" else max(LEAST_ROWS, share)
    change = abs(now - before)
    return Difference(figure, now, before, name, field, is_large=change >= least and change >= LARGE * before)
