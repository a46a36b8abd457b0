"""Reads, maps, checks and packs every row, and sends nothing: what a run would do."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as MappingOf
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from cio_etl.apis import OPERATIONS, endpoint
from cio_etl.audit import (
    Audit,
    Empty,
    FrameProfile,
    PathValues,
    Profiler,
    RejectedPeople,
    StepContext,
    audits,
    columns_to_read,
    event_names,
    expectations_of,
    forecast,
    located_findings,
    shown_rows,
    stopping,
)
from cio_etl.load import Packer
from cio_etl.model import (
    VALIDATION,
    Batch,
    Bookmark,
    Constant,
    Counts,
    EventCount,
    Job,
    MaxRejects,
    Report,
    Step,
    StepReport,
)
from cio_etl.model.words import counted
from cio_etl.run import kinds, limited, open_step_source, prepare, staging
from cio_etl.run.other_columns import changed_columns, with_other_columns
from cio_etl.transform import Mapped, OmittedCounter, counted_rejects, located_rejects
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
    people: dict[str, RejectedPeople] = {}  # whose rows are rejected: later steps are told
    reports = tuple(
        _validate_step(job, step, limit, bookmarks.get(step.name, Bookmark()), since, reveal, people, number, file)
        for number, step in enumerate(steps)
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


def _validate_step(
    job: Job,
    step: Step,
    limit: int | None,
    bookmark: Bookmark,
    since: str | None,
    reveal: bool,
    people: dict[str, RejectedPeople],
    number: int,
    file: RejectedFile | None,
) -> StepReport:
    began = time.monotonic()
    lanes = job.destination.lanes
    with tempfile.TemporaryDirectory(prefix="cio-etl-") as stage:
        snapshot = limited(open_step_source(step, staging(Path(stage), step, bookmark, since, rows=limit)), limit)
        step, found = with_other_columns(step, snapshot, bookmark)
        rows, compiled = prepare(step, snapshot, lanes, job.destination.api)
        to = endpoint(job.destination.api, step.mapping)
        packer = Packer(job.destination.max_batch_bytes, np.full(lanes, -1), to.envelope)
        rows_read = accepted = sent = 0
        requests: Counter[int] = Counter()  # by lane
        rejects: list[pl.DataFrame] = []
        rejected_items: list[pl.DataFrame] = []  # for the file
        omitted_values = OmittedCounter()
        reported = set() if found is None else set(found.new)  # columns about which there is a finding already
        now = {name: kind for name, kind in kinds(snapshot).items() if name not in reported}
        steps = tuple(step if other.name == step.name else other for other in job.steps)
        context = StepContext(steps, tuple(snapshot.schema), bookmark.columns, now, people)
        audits_of_step: list[Audit] = [Empty(step.source, snapshot), *changed_columns(found)]
        audits_of_step.append(PathValues(step, snapshot))
        if (expectations := expectations_of(step, rows, time.time(), whole=limit is None)) is not None:
            audits_of_step.append(expectations)
        audits_of_step += audits(step, compiled, job.destination, time.time(), context)
        names = list(event_names(step.mapping))
        audits_of_step += names
        columns = tuple(dict.fromkeys([*compiled.columns, *columns_to_read(audits_of_step)]))
        profiler = Profiler(step.mapping, snapshot.schema, reveal)

        def profiled(frame: pl.DataFrame) -> tuple[Mapped, FrameProfile]:
            mapped = compiled.mapped(frame)
            return mapped, profiler.count(mapped)

        for mapped, frame_profile in prefetch(profiled, rows.read(columns, 0)):
            profiler.add(frame_profile)
            for audit in audits_of_step:
                audit.observe(mapped)
            items = mapped.items
            rows_read += items.height
            accepted += items.height - items["item"].null_count()
            rejects.append(counted_rejects(items))
            if file is not None:
                rejected_items.append(items.filter(pl.col("reason").is_not_null()).drop("item"))
            omitted_values.add(mapped)
            sent += packed(packer.add(items), requests)
        sent += packed(packer.finish(), requests)
        position_of: dict[str, int] = {}

        def places(positions: Sequence[int]) -> dict[int, str]:
            where = snapshot.places(positions)
            position_of.update({place: position for position, place in where.items()})
            return where

        counts = located_rejects(pl.concat(rejects) if rejects else None, places)
        findings = located_findings(audits_of_step, places)
        omitted = omitted_values.omitted(places)
        shown = shown_rows([*findings, *counts, *omitted.counts], position_of, step.mapping, snapshot, reveal)
        profile = profiler.profile(places, tuple(shown))
        if file is not None and rejected_items:
            file.add(step, number, pl.concat(rejected_items), snapshot)
    rejected = sum(count.rows for count in counts)
    events = accepted if OPERATIONS[step.mapping.operation].has_event else 0
    return StepReport(
        name=step.name,
        status="finished",
        rows_read=rows_read,
        rows=rows_read,
        counts=Counts(
            accepted=accepted,
            rejected=rejected,
            skipped=rows_read - accepted - rejected,
            batches=requests.total(),
            requests=requests.total(),
            bytes_sent=sent,
        ),
        seconds=round(time.monotonic() - began, 3),
        rejects=tuple(counts),
        findings=findings,
        forecast=forecast(audits_of_step, events, requests, sent, job.destination),
        profile=profile,
        omitted=omitted,
        events=tuple(event for counts in names for event in counts.counts()) or _of_constant(step, accepted),
    )


def _of_constant(step: Step, accepted: int) -> tuple[EventCount, ...]:
    event = step.mapping.targets.get("event")
    is_constant = isinstance(event, Constant) and not step.mapping.operations
    return (EventCount(str(event.value), accepted),) if isinstance(event, Constant) and is_constant else ()


def packed(full: MappingOf[int, Sequence[Batch]], requests: Counter[int]) -> int:
    """The bytes of the batches that have a body; those batches are counted by lane."""
    bodies = {lane: [len(batch.body) for batch in batches if batch.body] for lane, batches in full.items()}
    requests.update({lane: len(sizes) for lane, sizes in bodies.items()})
    return sum(map(sum, bodies.values()))
