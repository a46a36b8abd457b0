"""Checks that a step's source can be read, and that the mapping fits its first rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from cio_etl.doctor.check import Check, Machine, duration_words, failed_check, with_errors
from cio_etl.errors import SourceError, TooManyRejects
from cio_etl.extract import estimate_rows, first_wanted
from cio_etl.log.temporary import temporary_folder
from cio_etl.model import Bookmark, Job, Snapshot, Source, Staging, Step, WatermarkValue, reason_words
from cio_etl.model.words import counted
from cio_etl.run import (
    check_drift,
    kinds,
    limited,
    open_step_source,
    prepare,
    require_columns_of_step,
    staging,
)
from cio_etl.run.other_columns import with_other_columns
from cio_etl.transform import columns_of

SAMPLE_ROWS = 1_000  # the rows of each step that are mapped


def step_source(job: Job, step: Step, before: Bookmark, machine: Machine) -> Iterator[Check]:
    """Checks the first rows of the step's source, and the mapping over them."""
    subject = f"step {step.name}"
    if step.source.lacks_secrets:
        remedy = "set the missing variables that are reported above, and run doctor again"
        yield Check(subject, "warning", "not checked, because its address or keys are missing", remedy)
        return
    with temporary_folder() as folder:
        how = staging(Path(folder), step, before, rows=SAMPLE_ROWS)
        snapshot = open_step_source(step, how)
        fits = True
        try:
            step, _ = with_other_columns(step, snapshot, before)
            require_columns_of_step(step, snapshot.schema)
        except SourceError as error:
            fits = False
            yield failed_check(subject, error)
        else:
            yield _readable(step, snapshot, how)
        yield from _drifted(step, before, snapshot)
        if fits:
            yield from with_errors(subject, _mapped(job, step, snapshot, how))
        yield from with_errors(subject, _watermark(step, before, snapshot, how, machine.now()))


def _readable(step: Step, snapshot: Snapshot, how: Staging) -> Check:
    if snapshot.rows == 0 and how.watermark is None:
        return Check(f"step {step.name}", "warning", "readable, but without rows", "check whether that is intended")
    rows = _rows(step.source, snapshot, how)
    return Check(f"step {step.name}", "ok", f"readable, {rows}; no column that the mapping reads is missing")


def _rows(source: Source, snapshot: Snapshot, how: Staging) -> str:
    """How many rows a run would read, as exactly as possible without reading them."""
    is_copy_of_entries = snapshot.copy is not None and snapshot.entries is not None
    cut = snapshot.rows == SAMPLE_ROWS or (is_copy_of_entries and snapshot.rows > SAMPLE_ROWS)  # or it has just as many
    if cut or how.watermark is not None:
        guess = estimate_rows(source, how)
        if guess is not None and guess.exact:
            return counted(guess.rows, "row")
        if guess is not None and guess.rows >= snapshot.rows:
            return f"some {counted(guess.rows, 'row')} by the planner's estimate"
        return f"at least {counted(snapshot.rows, 'row')}"
    return f"at least {counted(snapshot.rows, 'row')}" if cut else counted(snapshot.rows, "row")


def _mapped(job: Job, step: Step, snapshot: Snapshot, how: Staging) -> Iterator[Check]:
    """Checks that the mapping fits the columns' types, and counts the rejects among the first rows."""
    rows_read, compiled = prepare(step, snapshot, job.destination.lanes, job.destination.api)
    sample = limited(rows_read, SAMPLE_ROWS)
    items = [compiled.items(frame).select("item", "reason", "field") for frame in sample.read(compiled.columns, 0)]
    if not items:
        return
    frame = pl.concat(items)
    counts = frame.filter(pl.col("reason").is_not_null()).group_by("reason", "field").len("rows")
    counts = counts.sort("rows", "reason", "field", descending=[True, False, False], nulls_last=True)
    rejected, skipped = int(counts["rows"].sum()), frame.filter(pl.col("item").is_null()).height
    all_read = frame.height == snapshot.rows < SAMPLE_ROWS and how.watermark is None
    rows = f"its {counted(frame.height, 'row')}" if all_read else f"its first {frame.height:,} rows"
    if skipped == frame.height and not rejected:
        text = f"`when` skips all of {rows}"
        yield Check(f"step {step.name}", "warning", text, f"check whether {step.mapping.file} intends that")
    if not rejected:
        return
    reasons = ", ".join(
        f"{rows:,} {reason}{f' in {field}' if field else ''}" for reason, field, rows in counts.iter_rows()
    )
    too_many = rejected > job.max_rejects.limit(frame.height)
    certain = too_many and all_read
    verdict = f"; that is more than max_rejects allows ({job.max_rejects.of(frame.height)})" if too_many else ""
    most = counts["reason"][0]
    yield Check(
        f"step {step.name}",
        "wrong" if certain else "warning",
        f"of {rows} {rejected:,} would be rejected: {reasons}{verdict}",
        f"{reason_words().get(most, most)}; `cio-etl validate` names the rows",
        TooManyRejects.exit_code if certain else 0,
    )


def _drifted(step: Step, before: Bookmark, snapshot: Snapshot) -> Iterator[Check]:
    try:
        check_drift(step, before.columns, kinds(snapshot), columns_of(step.mapping))
    except SourceError as error:
        yield failed_check(f"step {step.name}", error)


def _watermark(step: Step, before: Bookmark, snapshot: Snapshot, how: Staging, now: datetime) -> Iterator[Check]:
    """Says where the next run of an incremental source begins, and how new its rows are."""
    if step.source.incremental is None:
        return
    wanted = first_wanted(step.source.incremental, how)
    reads = "reads all rows" if wanted is None else f"reads rows from {_shown(wanted)} on"
    last = (
        "there is no watermark yet"
        if before.watermark is None
        else f"the watermark of the last run is {_shown(before.watermark.value, now)}"
    )
    text = f"{last}; the next run {reads}"
    if snapshot.watermark is not None and snapshot.rows:
        text += f"; the newest row of the sample has {_shown(snapshot.watermark.value, now)}"
    yield Check(f"step {step.name}", "ok", text)


_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?", re.ASCII)


def _shown(value: WatermarkValue, now: datetime | None = None) -> str:
    """A watermark and its age. A text is only shown if it is a date or time, since it may be personal data."""
    if isinstance(value, str):
        return value if _TIME.fullmatch(value) else "a text, which is not shown"
    if not isinstance(value, date):
        return f"{value:,}"
    moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
    shown = value.isoformat(" ", "seconds") if isinstance(value, datetime) else value.isoformat()
    if now is None:
        return shown
    age = (now - (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))).total_seconds()
    return f"{shown}, {duration_words(max(age, 0.0))} ago"
