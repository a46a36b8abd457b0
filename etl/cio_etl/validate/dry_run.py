"""Reads, maps, checks and packs every row, and sends nothing: what a run would do."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from cio_etl.apis import OPERATIONS, endpoint
from cio_etl.audit import (
    Audit,
    Empty,
    EventNames,
    FrameProfile,
    PathValues,
    Profiler,
    RejectedPeople,
    StepContext,
    ValuesLost,
    audits,
    columns_to_read,
    event_names,
    expectations_of,
    forecast,
    located_findings,
    shown_rows,
    stopping,
)
from cio_etl.config import SourceColumns
from cio_etl.load import Packer
from cio_etl.log.temporary import temporary_folder
from cio_etl.model import (
    VALIDATION,
    Batch,
    Bookmark,
    Constant,
    Counts,
    EventCount,
    Finding,
    Job,
    MaxRejects,
    ReasonCount,
    Report,
    Snapshot,
    Step,
    StepReport,
)
from cio_etl.model.words import counted
from cio_etl.run import kinds, limited, open_step_source, prepare, staging
from cio_etl.run.other_columns import changed_columns, with_other_columns
from cio_etl.transform import Compiled, Mapped, OmittedCounter, counted_rejects, located_rejects
from cio_etl.transform.prefetch import prefetch
from cio_etl.validate.rejected_file import RejectedFile


def validate(
    job: Job,
    steps: Sequence[Step],
    limit: int | None,
    bookmarks: MappingOf[str, Bookmark],
    since: str | None = None,
    *,
    reveal: bool = False,
    file: RejectedFile | None = None,
) -> Report:
    """The report of a dry run over these steps: the rejected rows, and the requests and bytes that a run would send.

    `bookmarks` are from each step's last finished run, by name. With `reveal` the report holds values of rows. `file`
    takes the rejected rows. Which rows Customer.io would reject is not known. Raises SourceError as a run does.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    asked = _Asked(job, limit, since, reveal, file)
    reports = tuple(
        _validate_step(asked, step, number, bookmarks.get(step.name, Bookmark())) for number, step in enumerate(steps)
    )
    too_many = [
        f"a run would stop in step {step.name}: {words}"
        for step in reports
        for words in (
            *too_many_rejected(step.counts.rejected, step.rows_read, job.max_rejects),
            *filter(None, [stopping(step.findings)]),
        )
    ]
    return Report(
        run_id=VALIDATION,
        job=job.name,
        status="finished",
        started_at=started,
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        steps=reports,
        exit_code=4 if too_many else 3 if any(step.counts.rejected for step in reports) else 0,
        reason=too_many[0] if too_many else None,
        row_limit=limit,
    )


def too_many_rejected(rejected: int, rows: int, max_rejects: MaxRejects) -> Iterator[str]:
    """Why a run over a step of `rows` rows would stop for its rejected rows; nothing when it would not."""
    if rejected > max_rejects.limit(rows):
        yield f"{counted(rejected, 'row')} rejected, more than max_rejects allows ({max_rejects.of(rows)})"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked of every step."""

    job: Job
    limit: int | None
    since: str | None
    reveal: bool
    file: RejectedFile | None  # takes the rejected rows
    people: dict[str, RejectedPeople] = field(default_factory=dict)  # whose rows are rejected: later steps are told


@dataclass(frozen=True, slots=True)
class _Opened:
    """A step with its source open, and its mapping compiled for it."""

    step: Step
    snapshot: Snapshot
    rows: Snapshot  # as the mapping reads them
    compiled: Compiled
    other_columns: SourceColumns | None
    bookmark: Bookmark


def _validate_step(asked: _Asked, step: Step, number: int, bookmark: Bookmark) -> StepReport:
    began = time.monotonic()
    with temporary_folder() as stage:
        opened = _opened(asked, step, bookmark, Path(stage))
        audits_of_step = _audits(asked, opened)
        profiler = Profiler(opened.step.mapping, opened.snapshot.schema, asked.reveal)
        totals = _totals(asked, opened, audits_of_step, profiler)
        report = _report(asked, opened, audits_of_step, profiler, totals, began)
        if asked.file is not None and totals.rejected_items:
            asked.file.add(opened.step, number, pl.concat(totals.rejected_items), opened.snapshot)
    return report


def _opened(asked: _Asked, step: Step, bookmark: Bookmark, stage: Path) -> _Opened:
    source = open_step_source(step, staging(stage, step, bookmark, asked.since, rows=asked.limit))
    snapshot = limited(source, asked.limit)
    step, other_columns = with_other_columns(step, snapshot, bookmark)
    rows, compiled = prepare(step, snapshot, asked.job.destination.lanes, asked.job.destination.api)
    return _Opened(step, snapshot, rows, compiled, other_columns, bookmark)


def _audits(asked: _Asked, opened: _Opened) -> list[Audit]:
    """What observes every frame of the step."""
    job, step, snapshot, others = asked.job, opened.step, opened.snapshot, opened.other_columns
    reported = set() if others is None else set(others.new)  # columns about which there is a finding already
    now = {name: kind for name, kind in kinds(snapshot).items() if name not in reported}
    steps = tuple(step if other.name == step.name else other for other in job.steps)
    context = StepContext(steps, tuple(snapshot.schema), opened.bookmark.columns, now, asked.people)
    expectations = expectations_of(step, opened.rows, time.time(), whole=asked.limit is None)
    return [
        Empty(step.source, snapshot),
        *changed_columns(others),
        PathValues(step, snapshot),
        ValuesLost(step, snapshot, opened.rows, opened.compiled),
        *(() if expectations is None else (expectations,)),
        *audits(step, opened.compiled, job.destination, time.time(), context),
        *event_names(step.mapping),
    ]


@dataclass(slots=True)
class _Totals:
    """What has been counted over the frames so far."""

    rows: int = 0
    accepted: int = 0
    bytes: int = 0
    requests: Counter[int] = field(default_factory=Counter)  # by lane
    rejects: list[pl.DataFrame] = field(default_factory=list)  # counts, a frame each
    rejected_items: list[pl.DataFrame] = field(default_factory=list)  # for the file
    omitted: OmittedCounter = field(default_factory=OmittedCounter)

    def add(self, mapped: Mapped) -> None:
        """Count the rows of a frame."""
        items = mapped.items
        self.rows += items.height
        self.accepted += items.height - items["item"].null_count()
        self.rejects.append(counted_rejects(items))
        self.omitted.add(mapped)


def _totals(asked: _Asked, opened: _Opened, audits_of_step: Sequence[Audit], profiler: Profiler) -> _Totals:
    """The counts, once all rows have been mapped, observed and packed."""
    destination, compiled = asked.job.destination, opened.compiled
    envelope = endpoint(destination.api, opened.step.mapping).envelope
    packer = Packer(destination.max_batch_bytes, np.full(destination.lanes, -1), envelope, makes_bodies=False)
    totals = _Totals()

    def profiled(frame: pl.DataFrame) -> tuple[Mapped, FrameProfile]:
        mapped = compiled.mapped(frame)
        return mapped, profiler.count(mapped)

    columns = tuple(dict.fromkeys([*compiled.columns, *columns_to_read(audits_of_step)]))
    for mapped, frame_profile in prefetch(profiled, opened.rows.read(columns, 0)):
        profiler.add(frame_profile)
        for audit in audits_of_step:
            audit.observe(mapped)
        totals.add(mapped)
        if asked.file is not None:
            totals.rejected_items.append(mapped.items.filter(pl.col("reason").is_not_null()).drop("item"))
        totals.bytes += packed(packer.add(mapped.items), totals.requests)
    totals.bytes += packed(packer.finish(), totals.requests)
    return totals


def _report(
    asked: _Asked,
    opened: _Opened,
    audits_of_step: Sequence[Audit],
    profiler: Profiler,
    totals: _Totals,
    began: float,
) -> StepReport:
    """The report of a step whose rows have all been observed; some are read once more, to be shown.

    It took the time since `began`, by the monotonic clock.
    """
    step, snapshot, accepted = opened.step, opened.snapshot, totals.accepted
    position_of: dict[str, int] = {}

    def places(positions: Sequence[int]) -> dict[int, str]:
        where = snapshot.places(positions)
        position_of.update({place: position for position, place in where.items()})
        return where

    rejects = located_rejects(pl.concat(totals.rejects) if totals.rejects else None, places)
    findings = located_findings(audits_of_step, places)
    omitted = totals.omitted.omitted(places)
    problems: list[ReasonCount | Finding] = [*findings, *rejects, *omitted.counts]
    shown = shown_rows(problems, position_of, step.mapping, snapshot, asked.reveal)
    profile = profiler.profile(places, tuple(shown))
    rejected, requests = sum(count.rows for count in rejects), totals.requests
    events = accepted if OPERATIONS[step.mapping.operation].has_event else 0
    named = [event for audit in audits_of_step if isinstance(audit, EventNames) for event in audit.counts()]
    return StepReport(
        name=step.name,
        status="finished",
        rows_read=totals.rows,
        rows=totals.rows,
        counts=Counts(
            accepted=accepted,
            rejected=rejected,
            skipped=totals.rows - accepted - rejected,
            batches=requests.total(),
            requests=requests.total(),
            bytes_sent=totals.bytes,
        ),
        seconds=round(time.monotonic() - began, 3),
        rejects=tuple(rejects),
        findings=findings,
        forecast=forecast(audits_of_step, events, requests, totals.bytes, asked.job.destination),
        profile=profile,
        omitted=omitted,
        events=tuple(named) or _of_constant(step, accepted),
    )


def _of_constant(step: Step, accepted: int) -> tuple[EventCount, ...]:
    event = step.mapping.targets.get("event")
    is_constant = isinstance(event, Constant) and not step.mapping.operations
    return (EventCount(str(event.value), accepted),) if isinstance(event, Constant) and is_constant else ()


def packed(full: MappingOf[int, Sequence[Batch]], requests: Counter[int]) -> int:
    """The bytes of the bodies that a run would send; the batches that have one are counted by lane."""
    bodies = {lane: [batch.size for batch in batches if batch.size] for lane, batches in full.items()}
    requests.update({lane: len(sizes) for lane, sizes in bodies.items()})
    return sum(map(sum, bodies.values()))
