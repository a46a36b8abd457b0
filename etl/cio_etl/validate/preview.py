"""Makes the payloads of a step's first rows, as a run would send them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cio_etl.log.temporary import temporary_folder
from cio_etl.model import ALSO, Bookmark, Snapshot, Step
from cio_etl.model.records import dataclass
from cio_etl.report import Observer
from cio_etl.run import limited, open_step_source, prepare, staging
from cio_etl.run.chosen_steps import Environment, load_steps, note_stand_ins
from cio_etl.run.incremental import load_bookmarks
from cio_etl.run.options import ReadOptions
from cio_etl.run.other_columns import with_other_columns
from cio_etl.transform import omitted_values, outcome

NO_BOOKMARK = Bookmark()
EVIDENCE_ROWS = 10_000  # are read at least, of a source with so many: enough to know a column's format
MOST_ROWS = 100_000  # are looked at, of files with more


@dataclass(frozen=True, slots=True)
class PreviewedRow:
    """A row of a step, and its payload as it would be sent, or why there is none."""

    number: int  # from 1
    item: str | None  # ends in a comma, as in a body
    reason: str | None
    field: str | None
    also: str | None  # further reasons
    omitted: Mapping[str, str]  # attributes whose value cannot be sent, with the reason

    def result(self) -> dict[str, Any]:
        """The row's number, and its payload as Python values, or why there is none."""
        more: dict[str, Any] = {"omitted": dict(self.omitted)} if self.omitted and self.item is not None else {}
        if self.also is not None and self.reason is not None:
            more["also"] = self.also.removeprefix(ALSO)
        return {"row": self.number, **outcome(self.item, self.reason, self.field), **more}

    def line(self, step: str | None = None) -> str:
        """One JSON line. The payload in it is the text that would be sent, byte for byte: no reader has changed it."""
        named = {} if step is None else {"step": step}
        if self.item is None:
            return json.dumps({**named, **self.result()}, ensure_ascii=False)
        row = json.dumps({**named, "row": self.number}, ensure_ascii=False)
        omitted = f', "omitted": {json.dumps(self.omitted, ensure_ascii=False)}' if self.omitted else ""
        return f'{row[:-1]}, "payload": {self.item[:-1]}{omitted}}}'


def previewed(
    step: Step, rows: int, api: str, before: Bookmark = NO_BOOKMARK, note: Callable[[str], None] = lambda line: None
) -> Iterator[PreviewedRow]:
    """The first rows of a step; `before` is the bookmark of its last finished run, for the columns of `*`.

    Of large files only the beginning is read, whatever their size, and `note` is called with a sentence that says so.
    """
    with temporary_folder() as stage:
        how = staging(Path(stage), step, Bookmark(), rows=max(rows, EVIDENCE_ROWS), first_only=True)
        snapshot = open_step_source(step, how)
        if snapshot.is_part:
            snapshot = limited(snapshot, max(rows, MOST_ROWS))
            note(_part_words(step, snapshot))
        step, _ = with_other_columns(step, snapshot, before)
        yield from sent_rows(step, snapshot, api, rows)


def _part_words(step: Step, snapshot: Snapshot) -> str:
    """What the first rows of a source cannot show."""
    what = "formats of dates, repeated keys and ids of events without a key"
    return (
        f"step {step.name}: only the first {snapshot.rows:,} rows were read; {what} depend on all rows, so a run may "
        "send others; `cio-etl validate` reads all rows"
    )


def sent_rows(step: Step, snapshot: Snapshot, api: str, rows: int | None = None) -> Iterator[PreviewedRow]:
    """The first rows of a snapshot, or all, each with what a run over the whole snapshot would send."""
    all_rows, compiled = prepare(step, snapshot, 1, api)  # over all rows: they decide how the first ones are read
    for frame in limited(all_rows, rows).read(compiled.columns, 0):
        mapped = compiled.mapped(frame)
        omitted: defaultdict[int, dict[str, str]] = defaultdict(dict)
        for position, target, why in omitted_values(mapped).iter_rows():
            omitted[position][target] = why
        columns = mapped.items.select("position", "item", "reason", "field", "also")
        for position, item, reason, field, also in columns.iter_rows():
            yield PreviewedRow(position + 1, item, reason, field, also, omitted.get(position, {}))


def preview(step: Step, rows: int, api: str) -> Iterator[dict[str, Any]]:
    """The first rows of a step: for each its row number, and its payload, or why there is none."""
    return (row.result() for row in previewed(step, rows, api))


def preview_file(
    path: Path, rows: int, options: ReadOptions, observer: Observer, environment: Environment | None = None
) -> Iterator[dict[str, Any]]:
    """The first rows of each step of a job: its name, the row number, and the payload, or why there is none."""
    for step, row in _of_steps(path, rows, options, observer, environment):
        yield {"step": step, **row.result()}


def preview_lines(path: Path, rows: int, options: ReadOptions, observer: Observer) -> Iterator[str]:
    """The first rows of each step of a job, one JSON line each, with the payloads as they would be sent."""
    for step, row in _of_steps(path, rows, options, observer, None):
        yield row.line(step)


def _of_steps(
    path: Path, rows: int, options: ReadOptions, observer: Observer, environment: Environment | None
) -> Iterator[tuple[str, PreviewedRow]]:
    job = load_steps(path, options, environment, secrets=False)
    note_stand_ins(job, observer)
    takes_others = any(step.mapping.other_columns is not None for step in job.steps)
    bookmarks = load_bookmarks(job) if takes_others else {}
    for step in job.steps:
        before = bookmarks.get(step.name, NO_BOOKMARK)
        for row in previewed(step, rows, job.destination.api, before, observer.note):
            yield step.name, row
