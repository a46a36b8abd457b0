"""A step's rows and its mapping, ready to be sent: the source is opened, the mapping compiled, all rows looked over."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from etl.audit import warnings
from etl.errors import ChangedSinceStart, SourceError
from etl.extract import is_in_place, open_source
from etl.kept import Columns
from etl.model import CLOSED, Api, Snapshot, Step
from etl.record import Line, note_findings
from etl.resume import REMEDY, source_changes
from etl.since import check_drift, check_origin, forgotten_unless_fit, left_after, origin, staging
from etl.state import Left, StepRecord
from etl.survey import survey, with_repeats
from etl.transform import Compiled, compile_mapping, gather, require_columns, with_json


@dataclass(frozen=True, slots=True)
class Files:
    """A snapshot of files as they were when it was opened."""

    snapshot: Snapshot
    seen: tuple[object, ...]

    @classmethod
    def of(cls, snapshot: Snapshot) -> Files:
        return cls(snapshot, _seen(snapshot))

    def unless_changed(self) -> Snapshot | None:
        """The snapshot, while nobody has written to its files or put others in their place."""
        return self.snapshot if _seen(self.snapshot) == self.seen else None


def _seen(snapshot: Snapshot) -> tuple[object, ...]:
    found = []
    for file in snapshot.files:
        with suppress(OSError):
            status = os.stat(file.path)
            found.append((file.path, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)


def open_files(line: Line) -> dict[int, Files]:
    """The files of all steps, by the steps' numbers, when nothing of the run is sent yet.

    A file that is not there, or lacks a column, is told of before the first row goes out, whatever step it is of.
    What must be copied first, from a database or another machine, is opened when its step comes.
    """
    if line.store.has_sent(line.run.run_id):
        return {}
    opened = {}
    for number, step in enumerate(line.job.steps):
        if is_in_place(step.source):
            with line.progress.staging(step.name) as told:
                how = staging(line.stage, step, Left(), rows=line.run.row_limit, told=told)
                opened[number] = Files.of(open_source(step.source, how))
            require_columns(step.mapping, opened[number].snapshot.schema)
    return opened


@dataclass(frozen=True, slots=True)
class Work:
    """A step's rows and its mapping, ready to be sent; `leaves` is for the next run."""

    snapshot: Snapshot
    compiled: Compiled
    leaves: Left


def joined(line: Line, step: Step, record: StepRecord, files: Files | None) -> Work | None:
    """The work of a step that is under way; None when the others have finished it meanwhile."""
    try:
        return opened(line, step, record, files, begun=True)
    except SourceError:
        if line.store.steps(line.run.run_id)[record.number].status == "finished":
            return None
        raise


def opened(line: Line, step: Step, record: StepRecord, files: Files | None, *, begun: bool) -> Work:
    """Opens the source and compiles the mapping. Unless rows have been under way, the step begins with what is found;
    else that must be what it began with."""
    store, run_id, number = line.store, line.run.run_id, record.number
    before, here = store.left(line.job.name, step.name), origin(line.destination, step)
    if not begun:
        check_origin(step, before, here, line.run.since)
    limit = line.run.row_limit
    whole = None if files is None else files.unless_changed()
    if whole is None:
        with line.progress.staging(step.name) as told:
            how = staging(line.stage, step, before, line.run.since, rows=limit, told=told, may_read=not begun)
            whole = open_source(step.source, how)
    snapshot = limited(whole, limit)
    if not begun:
        lease_s = line.job.lease_s if store.is_shared else None
        store.begin_step(run_id, number, snapshot.fingerprint, snapshot.files, snapshot.rows, line.run.lanes, lease_s)
    elif changed := source_changes(record, snapshot):
        raise ChangedSinceStart(REMEDY, run_id=run_id, changes=f"step {step.name}: {changed}")
    leaves = left_after(snapshot, before, here, moves=not limit)
    noted: dict[str, list[Mapping[str, Any]]] = {}
    with forgotten_unless_fit(snapshot, begun):
        compiled = prepare(step, snapshot, line.run.lanes, line.destination.api, run_id, noted)
        if not (begun or line.options.accept_drift):
            check_drift(step, before.columns, leaves.columns, compiled.columns)
    if not begun:
        store.note_columns(run_id, number, Columns(snapshot.schema, snapshot.json, noted).to_text())
        asking = warnings(step, compiled, line.destination, time.time())
        note_findings(store, run_id, record, survey(step, snapshot, compiled, asking))
    return Work(snapshot, compiled, leaves)


def prepare(
    step: Step,
    snapshot: Snapshot,
    lanes: int,
    api: Api,
    run_id: str = "",
    noted: dict[str, list[Mapping[str, Any]]] | None = None,
) -> Compiled:
    """The step's mapping, ready for the snapshot's frames. What it asked of whole columns is written into `noted`."""
    mapping, again = with_json(step.mapping, snapshot.json), snapshot.replayed
    of_all = None if again is None else again.answers
    known = gather(mapping, snapshot.schema, lambda columns: snapshot.read(columns, 0), noted, of_all)
    fingerprint = snapshot.fingerprint if again is None else None
    compiled = compile_mapping(mapping, snapshot.schema, known, fingerprint, lanes, api, run_id)
    if again is not None:
        still_open = pl.col(CLOSED).not_()
        compiled = replace(compiled, when=still_open if compiled.when is None else still_open & compiled.when)
    return with_repeats(mapping, snapshot, compiled)


def limited(snapshot: Snapshot, rows: int | None) -> Snapshot:
    """The first `rows` rows of a snapshot; None: all."""
    if rows is None or rows >= snapshot.rows:
        return snapshot

    def read(columns: Sequence[str] | None, start: int) -> Iterator[pl.DataFrame]:
        left = rows - start
        for frame in snapshot.read(columns, start):
            if left > 0:
                yield frame.head(left)
            left -= frame.height
            if left <= 0:
                return

    return replace(snapshot, rows=rows, read=read)
