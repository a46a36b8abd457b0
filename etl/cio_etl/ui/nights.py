"""The last nights of a job as a strip: its runs, and the times at which one was due and none began."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Literal

from cio_etl.config import times_before
from cio_etl.errors import EXIT_CODES
from cio_etl.model import Counts, EarlierEnds, JobSettings
from cio_etl.model.words import counted, whole_units
from cio_etl.state import RunRecord

MOST = 30  # nights that a strip shows
EARLY = timedelta(minutes=2)  # so much before it is due, a run may begin: clocks differ
LATE = timedelta(minutes=15)  # so long after it was due, nobody misses a run

Kind = Literal["good", "rejects", "failed", "running", "missing"]


@dataclass(frozen=True, slots=True)
class Night:
    """A mark of the strip."""

    kind: Kind
    at: datetime
    words: str
    run_id: str | None = None  # None: there was no run
    has_recovered: bool = False  # it ended before, and has not failed since


def night_of(run: RunRecord, counts: Counts | None, earlier: EarlierEnds | None, *, is_held: bool) -> Night:
    """The mark of a run. `is_held`: a process is at work on it."""
    kind = kind_of(run, counts, is_held=is_held)
    words = f"{outcome(run, earlier, is_held=is_held)}{_rows(counts)}"
    return Night(kind, started(run), words, run.run_id, earlier is not None and kind != "failed")


def kind_of(run: RunRecord, counts: Counts | None, *, is_held: bool) -> Kind:
    """How a run ended, or that it is at work."""
    if run.status == "running" and is_held:
        return "running"
    if run.status != "finished":
        return "failed"
    return "rejects" if run.exit_code == 3 or (counts is not None and counts.rejected) else "good"


def outcome(run: RunRecord, earlier: EarlierEnds | None = None, *, is_held: bool) -> str:
    """How a run ended, in words, and how often before."""
    before = f" (before that {earlier.words})" if earlier is not None else ""
    return f"{_last_end(run, is_held=is_held)}{before}"


def _last_end(run: RunRecord, *, is_held: bool) -> str:
    if run.status == "running":
        return "in progress" if is_held else "killed"
    if run.status in ("finished", "abandoned") or run.exit_code is None:
        return run.status
    why = EXIT_CODES.get(run.exit_code, "").split(";")[0]
    return f"{run.status} with exit code {run.exit_code}{f', {why}' if why else ''}"


def _rows(counts: Counts | None) -> str:
    if counts is None:
        return ""
    return f": {counted(counts.accepted, 'row')} accepted, {counts.rejected:,} rejected"


def started(run: RunRecord) -> datetime:
    """When the run began, in UTC."""
    return datetime.fromisoformat(run.started_at).astimezone(UTC)


def nights(
    job: JobSettings | None,
    runs: Sequence[RunRecord],
    counts: Mapping[str, Counts],
    earlier: Mapping[str, EarlierEnds],
    now: datetime,
    *,
    is_held: bool,
) -> list[Night]:
    """The strip of a job, the oldest night first. `runs` are its newest ones, the newest first."""
    marks = [
        night_of(run, counts.get(run.run_id), earlier.get(run.run_id), is_held=is_held and place == 0)
        for place, run in enumerate(runs[:MOST])
    ]
    marks += missing(job, runs, now)
    return sorted(marks, key=lambda night: night.at)[-MOST:]


def missing(job: JobSettings | None, runs: Sequence[RunRecord], now: datetime) -> list[Night]:
    """The times at which a run was due and none began, by `schedule`, else by `expect_every`."""
    if job is None or not runs:
        return []
    first = started(runs[-1])
    if isinstance(job.schedule, str):
        due = times_before(job.schedule, now, first, MOST + 1)
        ends = [*due[1:], now + EARLY][: len(due)]
        return [
            Night("missing", at, "no run, though one was due")
            for at, end in zip(due, ends, strict=True)
            if now - at > LATE and not any(_covers(run, at - EARLY, end - EARLY) for run in runs)
        ]
    if job.expect_every is None:
        return []
    times = sorted([*(_ended(run) or started(run) for run in runs if run.status == "finished"), now])
    gaps = ((before, after) for before, after in pairwise(times) if after - before > job.expect_every)
    return [
        Night("missing", before + job.expect_every, f"no run finished for {whole_units(after - before)}")
        for before, after in gaps
    ]


def _covers(run: RunRecord, begin: datetime, end: datetime) -> bool:
    """Whether a run began in this time, or was at work when it began."""
    at = started(run)
    return begin <= at < end or (at < begin and (finished := _ended(run)) is not None and finished > begin + EARLY)


def _ended(run: RunRecord) -> datetime | None:
    return None if run.finished_at is None else datetime.fromisoformat(run.finished_at).astimezone(UTC)
