"""Makes the rejected rows of one step ready to be sent again: as they were rejected, or as a fixed file has them.

The rows get the source's types, and each row its reject. A row that is still wrong gets a fault, by which the run
rejects it again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, replace
from typing import Any

import polars as pl
import polars.selectors as cs

from cio_etl.config import canonical, source_columns, with_columns
from cio_etl.errors import EtlError, SourceError
from cio_etl.extract.replayed import FILE, LINE, REJECT_ID, ROW_FAULT
from cio_etl.model import (
    CLOSED,
    FAULT,
    ORIGIN_FINGERPRINT,
    ORIGIN_POSITION,
    PLACE_FILE,
    PLACE_LINE,
    POSITION,
    ColumnFacts,
    Job,
    Step,
)
from cio_etl.model.words import counted
from cio_etl.reject_files import ROW_FAULTS, as_text, from_text
from cio_etl.rejects.fixed_file import AT, NOT_REJECTED, RESTORE_KEY, RUN, STEP, refuse_rows
from cio_etl.rejects.original_rows import OriginalRows, find_step, open_original_source, original_rows
from cio_etl.run.reject_rows import Columns
from cio_etl.run.schema_drift import kind
from cio_etl.state import RunRecord, StepRecord, Store
from cio_etl.transform import (
    collect_facts,
    columns_of,
    path_of,
    plain_rows,
    with_faults_of_entries,
    with_json,
    with_json_columns,
    with_path_columns,
)

Note = Callable[[str], None]  # takes a sentence for the user

OTHER_TYPE = "value_of_other_type"
REPEATED = "event_key_repeated"  # Customer.io ignores the row while it has that key
UNKNOWN = "outcome_unknown"  # it may be done, and cannot be undone: it is sent again only when a person decides so

_REASON = "_cio_etl_reason"
_OWN = (ORIGIN_FINGERPRINT, ORIGIN_POSITION, CLOSED, ROW_FAULT, REJECT_ID, FILE, LINE)


@dataclass(frozen=True, slots=True)
class StepRejects:
    """The rejects of one step of a run, and the step through which their rows are sent now."""

    job: Job
    run: RunRecord
    record: StepRecord
    step: Step
    rejects: pl.DataFrame  # ORIGIN_POSITION, REJECT_ID, CLOSED, and the reason as _REASON
    with_unknown: bool  # rows with an unknown outcome are sent, too
    taken: tuple[str, ...] | None = None  # the columns that `*` took; None: the mapping has none

    @property
    def repeated(self) -> pl.DataFrame:
        """The open rejects whose event key another row had."""
        return self.rejects.filter((pl.col(_REASON) == REPEATED) & ~pl.col(CLOSED))

    @property
    def has_same_key(self) -> bool:
        """Whether the mapping still makes the event key of a row as it did in the run."""
        before, now = json.loads(self.record.mapping), json.loads(canonical(self.step.mapping))
        own_ids = [text.get("more", {}).get("event_id") for text in (before, now)]
        return own_ids[0] == own_ids[1] and all(before[part] == now[part] for part in ("event", "event_key"))

    def columns(self) -> Columns | None:
        """The source's columns as the run noted them, else those of the unchanged source; None: neither is there."""
        if self.record.columns is not None:
            return Columns.of_text(self.record.columns)
        try:
            with open_original_source(self.run, self.record, self.job) as snapshot:
                return Columns(snapshot.schema, snapshot.json, {})
        except EtlError:
            return None

    def original(self, positions: pl.Series) -> OriginalRows:
        """The rows at these positions, in rising order, as they were rejected."""
        return original_rows(self.job.state, self.run, self.record, self.job, positions.to_list())


@dataclass(frozen=True, slots=True)
class StepRows:
    """Rows to be sent again: the columns that the mapping reads, and those of extract/replayed.py."""

    rows: pl.DataFrame
    json: frozenset[str]
    facts: ColumnFacts
    left_out: int = 0  # rows with an unknown outcome
    taken: tuple[str, ...] | None = None  # the columns that `*` took


def step_rejects(
    store: Store, job: Job, run: RunRecord, record: StepRecord, *, with_unknown: bool, follows: bool = False
) -> StepRejects:
    """The rejects of a step. Raises SourceError when the job no longer has the step.

    With `follows`, a reject in whose place another one is open, since a later run rejected its subject again, is that
    other one.
    """
    rejects = store.rejects(run.run_id, record.number)
    if follows and (rejects["closed_as"] == "rejected").any():
        rejects = _followed(rejects, store.ends(run.job, record.name))
    rejects = rejects.select(
        pl.col("position").alias(ORIGIN_POSITION),
        pl.col("reject_id").alias(REJECT_ID),
        pl.col("closed_by").is_not_null().alias(CLOSED),
        pl.col("reason").alias(_REASON),
    )
    found = StepRejects(job, run, record, find_step(job, record.name), rejects, with_unknown)
    return found if found.step.mapping.other_columns is None else _with_taken(found)


def _followed(rejects: pl.DataFrame, ends: pl.DataFrame) -> pl.DataFrame:
    """The rejects, each that was rejected again as the one that is open in its place; `ends` are Rejects.ends."""
    again = rejects.filter(pl.col("closed_as") == "rejected").sort("reject_id")
    found = []
    for key, is_by in (("subject", pl.col("content").is_null()), ("content", pl.col("content").is_not_null())):
        is_by &= pl.col(key).is_not_null()
        later = ends.filter(is_by).select(key, pl.col("reject_id").alias("now"), "is_open")
        named = again.filter(is_by).select(key, "reject_id")
        found.append(
            named.join_asof(
                later, left_on="reject_id", right_on="now", by=key, strategy="forward", check_sortedness=False
            )  # both are sorted, which polars cannot see by `by`, and would warn of
            .filter("is_open")
            .select("reject_id", "now")
        )
    now = rejects.join(pl.concat(found).unique("now"), on="reject_id", how="left", maintain_order="left")
    return now.with_columns(
        pl.coalesce("now", "reject_id").alias("reject_id"),
        pl.when(pl.col("now").is_null()).then("closed_by").alias("closed_by"),
    )


def _with_taken(found: StepRejects) -> StepRejects:
    """The rejects with the plain form of a mapping with `*`, which takes the columns that it took in the run."""
    mapping, columns = found.step.mapping, found.columns()
    if columns is None:
        what = "the columns that `*` took in the run are not known any more"
        raise SourceError("put the source back as it was", place=f"step {found.step.name}", what=what)
    of_members = mapping.other_columns is not None and mapping.other_columns.of is not None
    names = list(columns.taken or ()) if of_members else list(columns.schema)
    taken = source_columns(mapping, names, columns.taken).taken
    return replace(found, step=replace(found.step, mapping=with_columns(mapping, taken)), taken=taken)


# ---------------------------------------------------------------- as they were rejected


def rows_of_run(source: StepRejects) -> StepRows:
    """All rejected rows as they were; none when all rejects are closed. Raises SourceError when rows are missing."""
    if source.rejects[CLOSED].all():
        return _no_rows(source)
    original = source.original(source.rejects[ORIGIN_POSITION])
    if original.missing or original.rows is None:
        raise SourceError(
            "replay a fixed export instead; `rejects: rows` in the job file keeps the rows the next time",
            place=source.run.run_id,
            what=f"the rejected rows of step {source.step.name} cannot be read again: {original.missing}",
        )
    rows = original.rows.rename({PLACE_FILE: FILE, PLACE_LINE: LINE, FAULT: ROW_FAULT, POSITION: ORIGIN_POSITION})
    rows = _with_paths(source, rows)
    if source.has_same_key:
        rows = _reject_again(rows, rows.join(source.repeated, on=ORIGIN_POSITION, how="semi")[ORIGIN_POSITION])
    return _ready(source, rows, source.columns())


def _no_rows(source: StepRejects) -> StepRows:
    """No rows, so the source is not read: it may be gone. A replay that was killed still needs the step."""
    columns = source.columns()
    types = {} if columns is None else columns.schema
    mapped = {name: types.get(name, pl.String()) for name in columns_of(source.step.mapping)}
    own = {name: pl.String() for name in _OWN} | {ORIGIN_POSITION: pl.Int64(), REJECT_ID: pl.Int64()}
    rows = pl.DataFrame(schema={**mapped, **own, CLOSED: pl.Boolean(), LINE: pl.Int64()})
    if columns is None:
        return StepRows(rows, frozenset(), {}, taken=source.taken)
    return StepRows(rows, columns.json, columns.column_facts, taken=source.taken)


# ---------------------------------------------------------------- as a file has them


def rows_of_file(source: StepRejects, rows: pl.DataFrame, note: Note) -> StepRows:
    """The rows of a fixed file. Raises SourceError when a column is missing, or a row was not rejected."""
    rows = rows.rename({AT: ORIGIN_POSITION})
    not_rejected = rows.join(source.rejects, on=ORIGIN_POSITION, how="anti", maintain_order="left")
    refuse_rows(not_rejected, NOT_REJECTED, RESTORE_KEY)
    read = columns_of(source.step.mapping)
    if missing := [name for name in read if name not in rows.columns and path_of(name, rows.columns) is None]:
        what = f"has no column {', '.join(map(repr, missing))}, which {source.step.mapping.file} reads"
        raise SourceError("put the column back, or fix the mapping", place=rows[FILE][0], what=what)
    if twice := rows.height - rows[ORIGIN_POSITION].n_unique():
        step = f"of step {source.step.name}"
        repeated = counted(twice, f"row {step} is", f"rows {step} are")
        note(f"{rows[FILE][0]}: {repeated} in the file again; the last one of each counts")
    rows = rows.unique(ORIGIN_POSITION, keep="last", maintain_order=True)
    columns = source.columns()
    empty = pl.all_horizontal(pl.exclude(RUN, STEP, ORIGIN_POSITION, FILE, LINE).is_null())
    rows = rows.join(
        source.rejects.select(ORIGIN_POSITION, _REASON), on=ORIGIN_POSITION, maintain_order="left"
    ).with_columns(
        pl.when(rows.select(empty.alias("")).to_series() & pl.col(_REASON).is_in(ROW_FAULTS))
        .then(_REASON)
        .alias(ROW_FAULT)
    )
    typed = _with_types(_with_paths(source, rows), source, columns, note)
    typed = with_faults_of_entries(typed, source.step.mapping, ROW_FAULT)
    typed = _reject_again(typed, _with_unfixed_key(source, typed, note))
    return _ready(source, typed.drop(_REASON), columns)


def _with_paths(source: StepRejects, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with a column for each path that the mapping reads, in the types that the run noted."""
    columns = source.columns()
    types, json = ({}, frozenset[str]()) if columns is None else (columns.schema, columns.json)
    paths = (path_of(name, rows.columns) for name in columns_of(source.step.mapping))
    bases = dict.fromkeys(path.column for path in paths if path is not None)
    nested = [name for name in bases if name in types and types[name].is_nested() and rows[name].dtype == pl.String]
    rows = rows.with_columns(from_text(rows[name], types[name]).alias(name) for name in nested)
    fault = FAULT if ROW_FAULT not in rows.columns else ROW_FAULT
    return with_path_columns(rows, source.step.mapping, json, fault)


def _with_types(rows: pl.DataFrame, source: StepRejects, columns: Columns | None, note: Note) -> pl.DataFrame:
    """The columns that the mapping reads, in the source's types. A value that does not fit its type is a fault."""
    types = {} if columns is None else columns.schema
    for name in columns_of(source.step.mapping):
        if name not in types or rows[name].dtype == types[name]:
            continue
        column = from_text(as_text(rows[name]), types[name])
        lost = column.is_null() & rows[name].is_not_null()
        if lost.any():
            lines = ", ".join(map(str, rows.filter(lost)[LINE].head(3)))
            values = counted(int(lost.sum()), "value is", "values are")
            content = "whole numbers" if types[name].is_integer() else kind(types[name])
            what = f"column {name!r} contains {content}, and {values} of another type, at line {lines}"
            note(f"{rows[FILE][0]}: {what}; these rows stay rejected")
        fault = pl.when(lost).then(pl.lit(OTHER_TYPE)).otherwise(ROW_FAULT).alias(ROW_FAULT)
        rows = rows.with_columns(column, fault)
    return rows


def _with_unfixed_key(source: StepRejects, rows: pl.DataFrame, note: Note) -> pl.Series:
    """The positions of a file's rows that still have the event key for which they were rejected."""
    repeated = rows.join(source.repeated, on=ORIGIN_POSITION, how="semi", maintain_order="left").sort(ORIGIN_POSITION)
    positions = repeated[ORIGIN_POSITION]
    if repeated.is_empty() or not source.has_same_key:
        return positions.clear()
    original = source.original(positions)
    if original.missing or original.rows is None:
        what = f"the rows with {REPEATED} cannot be compared with the source ({original.missing})"
        note(f"{rows[FILE][0]}: {what}; Customer.io ignores those whose key was not changed")
    if original.rows is None:
        return positions.clear()
    index = repeated.select(ORIGIN_POSITION).join(
        original.rows.select(pl.col(POSITION).alias(ORIGIN_POSITION)).with_row_index("_index"),
        on=ORIGIN_POSITION,
        how="left",
        maintain_order="left",
    )["_index"]
    targets = source.step.mapping.targets
    read = [name for target in ("event", "event_id") if target in targets for name in targets[target].sources]
    same = index.is_not_null()
    for name in (*read, *source.step.mapping.event_key):
        same &= as_text(repeated[name]).eq_missing(as_text(original.rows[name].gather(index)))
    return positions.filter(same)


# ---------------------------------------------------------------- both


def _reject_again(rows: pl.DataFrame, positions: pl.Series) -> pl.DataFrame:
    """Rejects the rows at these positions for a repeated key: a replay does not see the other row that has it."""
    repeated = pl.col(ORIGIN_POSITION).is_in(positions.implode())
    return rows.with_columns(pl.when(repeated).then(pl.lit(REPEATED)).otherwise(ROW_FAULT).alias(ROW_FAULT))


def _ready(source: StepRejects, rows: pl.DataFrame, columns: Columns | None) -> StepRows:
    """The rows without those whose outcome is unknown, with their rejects and the facts about the whole source."""
    rows = rows.join(source.rejects, on=ORIGIN_POSITION, maintain_order="left")
    unknown = (pl.col(_REASON) == UNKNOWN) & ~pl.col(CLOSED)
    left_out = 0 if source.with_unknown or source.step.mapping.retry_unknown else rows.filter(unknown).height
    rows = rows.filter(~unknown) if left_out else rows
    rows = rows.with_columns(pl.lit(source.record.fingerprint, dtype=pl.String).alias(ORIGIN_FINGERPRINT))
    mapped = [name for name in columns_of(source.step.mapping) if name in rows.columns]
    rows = rows.select(*map(cs.by_name, mapped), *_OWN)
    if columns is None:
        return StepRows(rows, frozenset(), {}, left_out, source.taken)
    return StepRows(rows, columns.json, _facts(source, columns), left_out, source.taken)


def _facts(source: StepRejects, columns: Columns) -> ColumnFacts:
    """The facts that the mapping needs about whole columns: as noted, or collected again for a changed mapping."""
    try:
        mapping, schema = with_json(source.step.mapping, columns.json), with_json_columns(columns.schema, columns.json)
        collect_facts(mapping, schema, lambda names: (), None, columns.column_facts)
        return columns.column_facts
    except EtlError:
        pass
    try:
        facts: dict[str, list[MappingOf[str, Any]]] = {}
        with open_original_source(source.run, source.record, source.job) as snapshot:
            mapping, rows = with_json(source.step.mapping, snapshot.json), plain_rows(source.step.mapping, snapshot)
            collect_facts(mapping, rows.schema, lambda names: rows.read(names, 0), facts)
        return facts
    except EtlError:
        return columns.column_facts  # where a fact matters, the run's error names it
