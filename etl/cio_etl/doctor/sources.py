"""Can a step's source be read, and does the mapping fit it?"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from cio_etl.doctor.check import Check, Machine, lasting, of_error, tried
from cio_etl.errors import (
    EtlError,
    SourceError,
    TooManyRejects,
)
from cio_etl.extract import estimate_rows, first_wanted, open_source
from cio_etl.model import Job, Snapshot, Source, Staging, Step, WatermarkValue
from cio_etl.report.words import counted
from cio_etl.run.incremental import staging
from cio_etl.run.open_step import limited, prepare
from cio_etl.run.schema_drift import check_drift, kinds
from cio_etl.state import Bookmark
from cio_etl.transform import columns_of, reason_words

SAMPLE_ROWS = 1_000  # of each step that are mapped


def step_source(job: Job, step: Step, left: Bookmark, machine: Machine) -> Iterator[Check]:
    """What the first rows of the step's source, and the mapping over them, show."""
    subject = f"step {step.name}"
    if step.source.lacks_secrets:
        remedy = "set what is missing, as said above, and look again"
        yield Check(subject, "warning", "not looked at, since its address or keys are missing", remedy)
        return
    with tempfile.TemporaryDirectory(prefix="cio-etl-") as folder:
        snapshot, how = _opened(step, staging(Path(folder), step, left, rows=SAMPLE_ROWS))
        rows = _rows(step.source, snapshot, how)
        if missing := [name for name in columns_of(step.mapping) if name not in snapshot.schema]:
            found = f"{rows}, but no column {', '.join(_near(name, snapshot.schema.names()) for name in missing)}"
            remedy = f"mend {step.mapping.file}, or the source"
            yield Check(subject, "wrong", found, remedy, SourceError.exit_code)
        elif snapshot.rows == 0 and how.watermark is None:
            yield Check(subject, "warning", "readable, but without a row", "see whether that is meant")
        else:
            yield Check(subject, "ok", f"readable, {rows}; no column that the mapping reads is missing")
        yield from _drifted(step, left, snapshot)
        if not missing:
            yield from tried(subject, _mapped(job, step, snapshot, how))
        yield from tried(subject, _marked(step, left, snapshot, how, machine.now()))


def _opened(step: Step, how: Staging) -> tuple[Snapshot, Staging]:
    """The source's first rows, with all columns of a table that lacks some which the mapping reads."""
    try:
        return open_source(step.source, how), how
    except SourceError as error:
        everything = replace(how, columns=None)
        if step.source.asks_for_columns:
            try:
                snapshot = open_source(step.source, everything)
            except EtlError:
                raise error from None
            if set(columns_of(step.mapping)) - set(snapshot.schema):
                return snapshot, everything
        raise


def _near(name: str, names: Sequence[str]) -> str:
    """The name of a column that is not there, and the one that may be meant."""
    folded = {each.lower(): each for each in names}
    near = get_close_matches(name.lower(), folded, 1)
    return f"{name!r} (is it {folded[near[0]]!r}?)" if near else repr(name)


def _rows(source: Source, snapshot: Snapshot, how: Staging) -> str:
    """How many rows a run would read, as exactly as can be told without reading them."""
    cut = snapshot.rows == SAMPLE_ROWS  # or there are just so many
    if cut or how.watermark is not None:
        guess = estimate_rows(source, how)
        if guess is not None and guess.exact:
            return counted(guess.rows, "row")
        if guess is not None and guess.rows >= snapshot.rows:
            return f"some {counted(guess.rows, 'row')} by the planner's estimate"
        return f"at least {counted(snapshot.rows, 'row')}"
    return f"at least {counted(snapshot.rows, 'row')}" if cut else counted(snapshot.rows, "row")


def _mapped(job: Job, step: Step, snapshot: Snapshot, how: Staging) -> Iterator[Check]:
    """Whether the mapping fits the columns' types, and what becomes of the first rows."""
    compiled = prepare(step, snapshot, job.destination.lanes, job.destination.api)
    sample = limited(snapshot, SAMPLE_ROWS)
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
        found = f"`when` leaves out all of {rows}"
        yield Check(f"step {step.name}", "warning", found, f"see whether {step.mapping.file} means that")
    if not rejected:
        return
    said = ", ".join(
        f"{rows:,} {reason}{f' in {field}' if field else ''}" for reason, field, rows in counts.iter_rows()
    )
    too_many = rejected > job.max_rejects.limit(frame.height)
    certain = too_many and all_read
    verdict = f"; that is more than max_rejects allows ({job.max_rejects})" if too_many else ""
    most = counts["reason"][0]
    yield Check(
        f"step {step.name}",
        "wrong" if certain else "warning",
        f"of {rows} {rejected:,} would be rejected: {said}{verdict}",
        f"{reason_words().get(most, most)}; `cio-etl validate` names the rows",
        TooManyRejects.exit_code if certain else 0,
    )


def _drifted(step: Step, left: Bookmark, snapshot: Snapshot) -> Iterator[Check]:
    try:
        check_drift(step, left.columns, kinds(snapshot), columns_of(step.mapping))
    except SourceError as error:
        yield of_error(f"step {step.name}", error)


def _marked(step: Step, left: Bookmark, snapshot: Snapshot, how: Staging, now: datetime) -> Iterator[Check]:
    """Where an incremental source's next run begins, and how new its rows are."""
    if step.source.incremental is None:
        return
    wanted = first_wanted(step.source.incremental, how)
    asks = "asks for all rows" if wanted is None else f"asks for rows from {_shown(wanted)} on"
    last = (
        "no run has left a mark yet"
        if left.watermark is None
        else f"the last run's mark is {_shown(left.watermark.value, now)}"
    )
    found = f"{last}; the next run {asks}"
    if snapshot.watermark is not None and snapshot.rows:
        found += f"; the newest of the rows looked at is of {_shown(snapshot.watermark.value, now)}"
    yield Check(f"step {step.name}", "ok", found)


def _shown(value: WatermarkValue, now: datetime | None = None) -> str:
    """A watermark, and how old it is; a text may be anybody's name, and is not shown."""
    if isinstance(value, str):
        return "a text, which is not shown"
    if not isinstance(value, date):
        return f"{value:,}"
    moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
    shown = value.isoformat(" ", "seconds") if isinstance(value, datetime) else value.isoformat()
    if now is None:
        return shown
    age = (now - (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))).total_seconds()
    return f"{shown}, {lasting(max(age, 0.0))} ago"
