"""How are rejected rows sent again, mended or not? As a run of their own, whose rows are rejects of runs before it.

    a mended file ───┐
                     ├─▶ rows, each with its reject ─▶ the straight line ─▶ accepted: closed, in that transaction
    a run's rejects ─┘                                                      rejected: open, with the new reason

A replay is a run of the job NAME.replay, so it neither resumes nor disturbs the job's own runs; it holds the job's
lock, since two writers of one person must not overlap. Killed, the same command goes on; given other rows, it begins
anew, which loses nothing: what was accepted is closed, and what is closed is skipped.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import polars.selectors as cs

from cio_etl import state
from cio_etl.config import canonical
from cio_etl.errors import ChangedSinceStart, EtlError, SourceError
from cio_etl.extract import csv_settings, is_copied, open_source
from cio_etl.extract.replayed import FILE, LINE, REJECT_ID, ROW_FAULT
from cio_etl.load import endpoint
from cio_etl.model import (
    CLOSED,
    FAULT,
    ORIGIN_FINGERPRINT,
    ORIGIN_POSITION,
    POSITION,
    Column,
    ColumnFacts,
    CsvSource,
    ExcelSource,
    FileSource,
    Job,
    MaxRejects,
    NdjsonSource,
    ParquetSource,
    ReplaySource,
    Report,
    Staging,
    Step,
)
from cio_etl.model import Columns as ValuesOf
from cio_etl.rejects.csv_cells import as_text, from_text, unguarded
from cio_etl.rejects.export import HEAD, KEY, rows_of, source_name, source_of, step_of
from cio_etl.report import Progress
from cio_etl.report.streams import say
from cio_etl.run.incremental import staging
from cio_etl.run.recording import rejects_folder, stage_folder
from cio_etl.run.reject_rows import PLACE_FILE, PLACE_LINE, Columns, delete
from cio_etl.run.resume import Options, changes_since
from cio_etl.run.run import run_held
from cio_etl.run.schema_drift import kind
from cio_etl.run.signals import Signals
from cio_etl.state import Bookmark, RunRecord, StepRecord, Store
from cio_etl.transform import collect_facts, columns_of, with_json

ENDINGS = (".csv", ".parquet", ".ndjson", ".xlsx")
OF_ROWS = frozenset({"row_ragged", "row_nul", "row_unreadable"})  # faults of a whole row, whose columns are all null
OTHER_TYPE = "value_of_other_type"
REPEATED = "event_key_repeated"  # Customer.io would ignore the row as long as it has that key
UNKNOWN = "outcome_unknown"  # it may have been done, and cannot be undone: sent again only when a person says so

_RUN, _STEP, _AT = (
    "_cio_etl_run",
    "_cio_etl_step",
    "_cio_etl_at",
)  # what KEY says: a run, the number of a step, a position


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What is to be sent again: the rejects of one run, or the rows of a mended file, which may be of several."""

    place: str  # the run or the file, for messages
    digest: str
    runs: tuple[RunRecord, ...]  # the oldest first; all of one job
    rows: pl.DataFrame | None = None  # of a file: its columns, and what KEY, FILE and LINE say
    unknown: bool = False  # rows whose outcome is unknown are sent, too

    @property
    def job(self) -> str:
        return self.runs[-1].job

    @property
    def key(self) -> str:
        """By what an unfinished replay of just this is known."""
        return f"{self.digest}+unknown" if self.unknown else self.digest


def of_run(store: Store, run_id: str) -> ReplayRequest:
    """All rejects of a run, as their rows are. Raises SourceError when the run is no such run."""
    run = store.run(run_id)
    if run is None:
        remedy = f"`cio-etl status` lists the runs; a file's name ends in {', '.join(ENDINGS)}"
        raise SourceError(remedy, place=run_id, what="no run in this state folder, and no file")
    if run.job.endswith(".replay"):
        raise SourceError(
            "name the run whose rejects were replayed, or a file",
            place=run_id,
            what="is a replay, and has none of its own",
        )
    if not any(not store.rejects(run_id, step.number).is_empty() for step in store.steps(run_id)):
        raise SourceError(place=run_id, what="has no rejects")
    return ReplayRequest(run_id, hashlib.sha256(run_id.encode()).hexdigest()[:32], (run,))


# ---------------------------------------------------------------- a mended file


def of_file(store: Store, path: Path) -> ReplayRequest:
    """The rows of a mended file. Raises SourceError for all that is wrong with it, before anything is sent."""
    rows, digest = _read(path)
    if KEY not in rows.columns:
        raise SourceError(
            "mend a file that `cio-etl rejects RUN -o FILE` wrote, and keep that column",
            place=str(path),
            what=f"has no column {KEY!r}, which says of each row which reject it is",
        )
    if rows.is_empty():
        raise SourceError(place=str(path), what="has no rows")
    _refuse(
        rows.filter(pl.col(KEY).is_null()),
        f"has nothing in {KEY!r}: is the row new?",
        "take it out: a replay sends rejected rows only; new ones go with `cio-etl run`",
    )
    key = rows[KEY].cast(pl.String).str.strip_chars().str.extract_groups(r"^([^/]+)/(\d{1,9})/(\d{1,18})$").struct
    said = [
        key.field("1").alias(_RUN),
        key.field("2").cast(pl.Int64).alias(_STEP),
        key.field("3").cast(pl.Int64).alias(_AT),
    ]
    own = {name: source_name(name) for name in rows.columns if name not in HEAD}
    rows = rows.select(cs.by_name(list(own))).rename(own).hstack(said)
    _refuse(rows.filter(pl.col(_RUN).is_null()), f"has in {KEY!r} what no export wrote", _PUT_BACK)
    return ReplayRequest(str(path), digest, _runs_of(store, rows), rows)


_NOT_REJECTED = f"has in {KEY!r} a row that was not rejected"
_PUT_BACK = "put back what the export had there, or take the row out; its reject stays open"


def _read(path: Path) -> tuple[pl.DataFrame, str]:
    """The file's rows, each with its place; and a digest of the file."""
    with tempfile.TemporaryDirectory(prefix="cio-etl-") as stage:
        snapshot = open_source(_source(path), Staging(Path(stage)))
        empty = pl.DataFrame(schema={**snapshot.schema, POSITION: pl.Int64(), FAULT: pl.String()})
        rows = pl.concat([empty, *snapshot.read(None, 0)])
        lines = [line for _, line in snapshot.locate(rows[POSITION].to_list())]
    rows = rows.with_columns(pl.lit(str(path)).alias(FILE), pl.Series(LINE, lines, dtype=pl.Int64))
    _refuse(rows.filter(pl.col(FAULT) == "row_ragged"), "has more or fewer fields than the header", "mend the line")
    _refuse(rows.filter(pl.col(FAULT).is_not_null()), "cannot be read", "mend the line")
    rows = rows.drop(POSITION, FAULT)
    if path.suffix in (".csv", ".xlsx"):
        cells = [unguarded(column) if column.dtype == pl.String else column for column in rows]
        names = unguarded(pl.Series(rows.columns, dtype=pl.String))
        rows = pl.DataFrame([cell.alias(name) for cell, name in zip(cells, names, strict=True)])
    return rows, snapshot.fingerprint[:32]


def _source(path: Path) -> FileSource:
    """How a file of this ending is read; a spreadsheet may have changed the separator and the encoding of CSV."""
    match path.suffix:
        case ".csv":
            found = csv_settings(path)
            separator, encoding = found.get("separator", ","), found.get("encoding", "utf-8")
            return CsvSource((str(path),), separator=separator, encoding=encoding)
        case ".parquet":
            return ParquetSource((str(path),))
        case ".ndjson":
            return NdjsonSource((str(path),))
        case ".xlsx":
            return ExcelSource((str(path),))
    raise SourceError(f"its name ends in {', '.join(ENDINGS)}", place=str(path), what="is no file that can be replayed")


def _refuse(rows: pl.DataFrame, what: str, remedy: str) -> None:
    """Raises SourceError for the first of these rows, if there is one."""
    if rows.height:
        others = "" if rows.height == 1 else f" (so do {rows.height - 1:,} other rows)"
        raise SourceError(remedy, place=f"{rows[FILE][0]}:{rows[LINE][0]}", what=f"{what}{others}")


def _runs_of(store: Store, rows: pl.DataFrame) -> tuple[RunRecord, ...]:
    """The runs that the rows were rejected by, the oldest first."""
    found = {run_id: store.run(run_id) for run_id in rows[_RUN].unique(maintain_order=True)}
    unknown = [run_id for run_id, run in found.items() if run is None]
    _refuse(
        rows.filter(pl.col(_RUN).is_in(unknown)),
        "is of a run that this state folder does not know",
        "name the folder of that run's state with --state",
    )
    runs = [run for run in found.values() if run is not None]
    if len(jobs := sorted({run.job for run in runs})) > 1:
        what = f"has rows of the jobs {' and '.join(jobs)}"
        raise SourceError("replay those of each job by themselves", place=rows[FILE][0], what=what)
    return tuple(sorted(runs, key=lambda run: (run.started_at, run.run_id)))


# ---------------------------------------------------------------- the rows of one step of one run


@dataclass(frozen=True, slots=True)
class Part:
    """Rejected rows of one step of one run: the columns that the mapping reads, and those of extract/replayed.py."""

    rows: pl.DataFrame
    json: frozenset[str]
    answers: ColumnFacts
    left_out: int = 0  # since their outcome is unknown


@dataclass(frozen=True, slots=True)
class StepRejects:
    """Where a part's rows are from, and through what they go now."""

    job: Job
    run: RunRecord
    record: StepRecord
    step: Step
    rejects: pl.DataFrame  # ORIGIN_POSITION, REJECT_ID, CLOSED, and the reason as _REASON
    unknown: bool

    def columns(self) -> Columns | None:
        """What was noted of the source's columns, or what they are now if the source is unchanged."""
        if self.record.columns is not None:
            return Columns.of_text(self.record.columns)
        try:
            with source_of(self.run, self.record, self.job) as snapshot:
                return Columns(snapshot.schema, snapshot.json, {})
        except EtlError:
            return None


_REASON = "_cio_etl_reason"


def _of(store: Store, job: Job, run: RunRecord, record: StepRecord, unknown: bool) -> StepRejects:
    rejects = store.rejects(run.run_id, record.number).select(
        pl.col("position").alias(ORIGIN_POSITION),
        pl.col("reject_id").alias(REJECT_ID),
        pl.col("closed_by").is_not_null().alias(CLOSED),
        pl.col("reason").alias(_REASON),
    )
    return StepRejects(job, run, record, step_of(job, record.name), rejects, unknown)


def _part_of_run(source: StepRejects) -> Part:
    """The rows as they were rejected; none when all are closed. Raises SourceError when they can be had no more."""
    if source.rejects[CLOSED].all():
        return _nothing(source)
    found = rows_of(source.job.state, source.run, source.record, source.job, source.rejects[ORIGIN_POSITION].to_list())
    if found.missing or found.rows is None:
        raise SourceError(
            "replay a mended export instead; `rejects: rows` in the job file keeps the rows the next time",
            place=source.run.run_id,
            what=f"the rejected rows of step {source.step.name} are not to be had again: {found.missing}",
        )
    own = {PLACE_FILE: FILE, PLACE_LINE: LINE, FAULT: ROW_FAULT, POSITION: ORIGIN_POSITION}
    rows = found.rows.rename(own)
    if _has_its_key(source):
        rows = _stay_rejected(rows, rows.join(_repeated(source), on=ORIGIN_POSITION, how="semi")[ORIGIN_POSITION])
    return _part(source, rows, source.columns())


def _repeated(source: StepRejects) -> pl.DataFrame:
    """The open rejects of which another row had the event's key."""
    return source.rejects.filter((pl.col(_REASON) == REPEATED) & ~pl.col(CLOSED))


def _has_its_key(source: StepRejects) -> bool:
    """Whether the mapping makes an event's key of a row as it did in the run."""
    before, now = json.loads(source.record.mapping), json.loads(canonical(source.step.mapping))
    return all(before[part] == now[part] for part in ("event", "event_key"))


def _stay_rejected(rows: pl.DataFrame, positions: pl.Series) -> pl.DataFrame:
    """The rows, of which these say once more that another has their key: nothing tells it to a replay."""
    still = pl.col(ORIGIN_POSITION).is_in(positions.implode())
    return rows.with_columns(pl.when(still).then(pl.lit(REPEATED)).otherwise(ROW_FAULT).alias(ROW_FAULT))


def _with_their_key(source: StepRejects, rows: pl.DataFrame) -> pl.Series:
    """Where those of a file's rows of which another row had the key were, that have it still."""
    those = rows.join(_repeated(source), on=ORIGIN_POSITION, how="semi", maintain_order="left").sort(ORIGIN_POSITION)
    if those.is_empty() or not _has_its_key(source):
        return those[ORIGIN_POSITION].clear()
    found = rows_of(source.job.state, source.run, source.record, source.job, those[ORIGIN_POSITION].to_list())
    if found.missing or found.rows is None:
        what = f"the rows of {REPEATED} are not to be had again ({found.missing})"
        say(f"{rows[FILE][0]}: {what}; Customer.io ignores those whose key is not mended", err=True)
    if found.rows is None:
        return those[ORIGIN_POSITION].clear()
    at = those.select(ORIGIN_POSITION).join(
        found.rows.select(pl.col(POSITION).alias(ORIGIN_POSITION)).with_row_index("_at"),
        on=ORIGIN_POSITION,
        how="left",
        maintain_order="left",
    )["_at"]
    event = source.step.mapping.event
    of_event = (event.name,) if isinstance(event, Column) else event.names if isinstance(event, ValuesOf) else ()
    same = at.is_not_null()
    for name in (*of_event, *source.step.mapping.event_key):
        same &= as_text(those[name]).eq_missing(as_text(found.rows[name].gather(at)))
    return those[ORIGIN_POSITION].filter(same)


def _nothing(source: StepRejects) -> Part:
    """No rows: there is nothing to read that may have gone. A replay that was killed still finds its step."""
    columns = source.columns()
    types = {} if columns is None else columns.schema
    mapped = {name: types.get(name, pl.String()) for name in columns_of(source.step.mapping)}
    own = {name: pl.String() for name in _OWN} | {ORIGIN_POSITION: pl.Int64(), REJECT_ID: pl.Int64()}
    rows = pl.DataFrame(schema={**mapped, **own, CLOSED: pl.Boolean(), LINE: pl.Int64()})
    return Part(rows, frozenset() if columns is None else columns.json, {} if columns is None else columns.answers)


def _part_of_file(source: StepRejects, rows: pl.DataFrame) -> Part:
    """The file's rows, in the types of the source. Raises SourceError when it lacks a column, or names other rows."""
    rows = rows.rename({_AT: ORIGIN_POSITION})
    unknown = rows.join(source.rejects, on=ORIGIN_POSITION, how="anti", maintain_order="left")
    _refuse(unknown, _NOT_REJECTED, _PUT_BACK)
    if missing := [name for name in columns_of(source.step.mapping) if name not in rows.columns]:
        what = f"has no column {', '.join(map(repr, missing))}, which {source.step.mapping.file} reads"
        raise SourceError("put the column back, or mend the mapping", place=rows[FILE][0], what=what)
    if twice := rows.height - rows[ORIGIN_POSITION].n_unique():
        say(
            f"{rows[FILE][0]}: {twice:,} rows of step {source.step.name} are there again; the last of each counts",
            err=True,
        )
    rows = rows.unique(ORIGIN_POSITION, keep="last", maintain_order=True)
    columns = source.columns()
    empty = pl.all_horizontal(pl.exclude(_RUN, _STEP, ORIGIN_POSITION, FILE, LINE).is_null())
    rows = rows.join(
        source.rejects.select(ORIGIN_POSITION, _REASON), on=ORIGIN_POSITION, maintain_order="left"
    ).with_columns(
        pl.when(rows.select(empty.alias("")).to_series() & pl.col(_REASON).is_in(OF_ROWS))
        .then(_REASON)
        .alias(ROW_FAULT)
    )
    typed = _typed(rows, source, columns)
    typed = _stay_rejected(typed, _with_their_key(source, typed))
    return _part(source, typed.drop(_REASON), columns)


def _typed(rows: pl.DataFrame, source: StepRejects, columns: Columns | None) -> pl.DataFrame:
    """The columns that the mapping reads in the types that they had; a value that is none of its type is a fault."""
    types = {} if columns is None else columns.schema
    for name in columns_of(source.step.mapping):
        if name not in types or rows[name].dtype == types[name]:
            continue
        column = from_text(as_text(rows[name]), types[name])
        lost = column.is_null() & rows[name].is_not_null()
        if lost.any():
            first = ", ".join(map(str, rows.filter(lost)[LINE].head(3)))
            held = "whole numbers" if types[name].is_integer() else kind(types[name])
            what = f"{lost.sum():,} values of column {name!r} are not what it holds, {held} (lines {first})"
            say(f"{rows[FILE][0]}: {what}; these rows stay rejected", err=True)
        fault = pl.when(lost).then(pl.lit(OTHER_TYPE)).otherwise(ROW_FAULT).alias(ROW_FAULT)
        rows = rows.with_columns(column, fault)
    return rows


def _part(source: StepRejects, rows: pl.DataFrame, columns: Columns | None) -> Part:
    """The part, with what the functions of the mapping are told of all rows of the source."""
    rows = rows.join(source.rejects, on=ORIGIN_POSITION, maintain_order="left")
    unknown = (pl.col(_REASON) == UNKNOWN) & ~pl.col(CLOSED)
    left_out = 0 if source.unknown or source.step.mapping.retry_unknown else rows.filter(unknown).height
    rows = rows.filter(~unknown) if left_out else rows
    rows = rows.with_columns(pl.lit(source.record.fingerprint, dtype=pl.String).alias(ORIGIN_FINGERPRINT))
    mapped = [name for name in columns_of(source.step.mapping) if name in rows.columns]
    rows = rows.select(*map(cs.by_name, mapped), *_OWN)
    if columns is None:
        return Part(rows, frozenset(), {}, left_out)
    return Part(rows, columns.json, _answers(source, columns), left_out)


_OWN = (ORIGIN_FINGERPRINT, ORIGIN_POSITION, CLOSED, ROW_FAULT, REJECT_ID, FILE, LINE)


def _answers(source: StepRejects, columns: Columns) -> ColumnFacts:
    """What the mapping asks of whole columns: as it was noted, or asked anew when the mapping asks something else."""
    try:
        collect_facts(
            with_json(source.step.mapping, columns.json), columns.schema, lambda names: (), None, columns.answers
        )
        return columns.answers
    except EtlError:
        pass
    try:
        noted: dict[str, list[MappingOf[str, Any]]] = {}
        with source_of(source.run, source.record, source.job) as snapshot:
            mapping = with_json(source.step.mapping, snapshot.json)
            collect_facts(mapping, snapshot.schema, lambda names: snapshot.read(names, 0), noted)
        return noted
    except EtlError:
        return columns.answers  # if it matters, the run will say what is missing


# ---------------------------------------------------------------- the job of a replay


def replay(
    request: ReplayRequest, job: Job, options: Options, command: str, signals: Signals, progress: Progress
) -> Report | None:
    """Sends the rows again; None when there is nothing to send. Raises EtlError, as `run_job` does.

    When the rejects are not of this job but of the one that it rehearses, they are left as they are.
    """
    with state.hold(job.kept_in, job.name):
        store = state.open_store(job.kept_in)
        try:
            steps = tuple(_steps(store, request, job))
            _tell_of_newer(store, request)
            target = replace(job, name=f"{job.name}.replay", steps=steps, max_rejects=MaxRejects(share=1.0))
            options = replace(options, since=request.key, accept_drift=True)
            goes_on = not options.restart and _goes_on(store, target, options)
            if not goes_on:
                if not any(_has_open(step) for step in steps):
                    return None
                if not options.restart:
                    _check_given_up(store, target)
        finally:
            store.close()
        try:
            return run_held(target, replace(options, restart=not goes_on), command, signals, progress)
        finally:
            with contextlib.suppress(EtlError):
                _delete_closed(job, request.runs)


def _steps(store: Store, request: ReplayRequest, job: Job) -> Iterator[Step]:
    """The job's steps that have rows to be sent again, in the job's order."""
    parts: dict[str, list[Part]] = {}
    for run in request.runs:
        records = store.steps(run.run_id)
        rows = None if request.rows is None else request.rows.filter(pl.col(_RUN) == run.run_id)
        if rows is not None:
            _refuse(rows.filter(pl.col(_STEP) >= len(records)), _NOT_REJECTED, _PUT_BACK)
        for record in records:
            here = None if rows is None else rows.filter(pl.col(_STEP) == record.number)
            if store.rejects(run.run_id, record.number).is_empty() if here is None else here.is_empty():
                continue
            if here is None and _is_over(store, job, run, record):
                continue
            source = _of(store, job, run, record, request.unknown)
            parts.setdefault(record.name, []).append(
                _part_of_run(source) if here is None else _part_of_file(source, here)
            )
    if left_out := sum(part.left_out for of_step in parts.values() for part in of_step):
        what = "the answer was lost; look in Customer.io whether it was done, then add --unknown, or leave them"
        say(f"{left_out:,} rows are left out: {what}", err=True)
    closes = job.name == request.job
    for step in job.steps:
        if step.name in parts:
            yield replace(step, source=_joined(parts[step.name], step, request.key, closes))


def _is_over(store: Store, job: Job, run: RunRecord, record: StepRecord) -> bool:
    """Whether the step is no more in the job, and none of its rejects is open: then that is no fault."""
    closed = store.rejects(run.run_id, record.number)["closed_by"].is_not_null().all()
    return closed and record.name not in {step.name for step in job.steps}


def _joined(parts: Sequence[Part], step: Step, digest: str, closes: bool) -> ReplaySource:
    """The rows of one step from all runs, the oldest run's first, each run's as they were in its source."""
    for name in columns_of(step.mapping):
        types = {part.rows.schema.get(name) for part in parts} - {pl.Null()}
        if len(types) > 1:
            what = f"column {name!r} was of another type in another of the runs"
            raise SourceError("replay each run's rejects by themselves", place=f"step {step.name}", what=what)
    answers = {
        request: [row for part in parts for row in part.answers[request]]
        for request in parts[0].answers
        if all(request in part.answers for part in parts)
    }
    rows = pl.concat([part.rows.sort(ORIGIN_POSITION) for part in parts], how="vertical_relaxed")
    return ReplaySource(rows, digest, frozenset().union(*(part.json for part in parts)), answers, closes)


def _tell_of_newer(store: Store, request: ReplayRequest) -> None:
    newest = store.runs(request.job, limit=1)[0]
    if newest.run_id != request.runs[-1].run_id and store.has_sent(newest.run_id):
        what = f"{newest.run_id} has sent rows since; of the same people, what is replayed overwrites what it sent"
        say(what, err=True)


def _has_open(step: Step) -> bool:
    assert isinstance(step.source, ReplaySource)
    return not bool(step.source.rows[CLOSED].all())


def _goes_on(store: Store, target: Job, options: Options) -> bool:
    """Whether there is an unfinished replay of just these rows, whose copies are all there."""
    unfinished = store.unfinished(target.name)
    if unfinished is None:
        return False
    records = store.steps(unfinished.run_id)
    if changes_since(unfinished, records, target, options.limit, options.since):
        return False
    stage = stage_folder(target, unfinished.run_id)
    for record, step in zip(records, target.steps, strict=True):
        assert isinstance(step.source, ReplaySource)
        how = staging(stage, step, Bookmark(), options.since, rows=options.limit)
        if record.status == "running" and not is_copied(step.source, how):
            return False
    return True


def _check_given_up(store: Store, target: Job) -> None:
    """Raises ChangedSinceStart when rows of the replay that is given up may be done, and must not be done twice."""
    unfinished = store.unfinished(target.name)
    if unfinished is None:
        return
    once = {step.name for step in target.steps if not endpoint(target.destination.api, step.mapping).repeatable}
    for record in store.steps(unfinished.run_id):
        marks = store.lane_progress(unfinished.run_id, record.number)
        if record.name in once and any(mark.sending_through > mark.acked_through for mark in marks):
            raise ChangedSinceStart(
                "replay again what it was given; or look in Customer.io whether they are done, then add --restart",
                run_id=unfinished.run_id,
                changes=f"other rows or another mapping are given now, and step {record.name} had rows under way",
            )


def _delete_closed(job: Job, runs: Sequence[RunRecord]) -> None:
    """Rows that were kept to be mended are kept no longer once all of their run are."""
    store = state.open_store(job.kept_in)
    try:
        for run in runs:
            if not store.open_rejects(run.run_id):
                delete(rejects_folder(job.state, run.run_id))
    finally:
        store.close()
