"""Scans all rows of a step before the first is sent: for duplicates, and for what a person should be warned of.

It reads only the columns that it needs. Duplicates are part of the mapping, so `validate` and `preview` look for them,
too. Warnings are collected once, when a run starts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from cio_etl.apis import OPERATION, OPERATIONS
from cio_etl.audit import Audit, Empty, EventKeys, Expectations, RepeatedRows, located_findings, sent
from cio_etl.audit.expectations import Look
from cio_etl.model import POSITION, Finding, Mapping, Omitted, Snapshot, Step
from cio_etl.transform import Compiled, Mapped, OmittedCounter, order, repeats
from cio_etl.transform.by_hash import IN_MEMORY, KEY, RowsByHash
from cio_etl.transform.chains import chains
from cio_etl.transform.compiled import Stage
from cio_etl.transform.encode import FAILED, Fixed
from cio_etl.transform.mapping import is_date
from cio_etl.transform.prefetch import prefetch
from cio_etl.transform.repeats import FirstWins, LastWins, RepeatDecision, Repeated, Repeats
from cio_etl.transform.row_sql import columns_of

if TYPE_CHECKING:
    from cio_etl.transform.by_hash import Hashes

T = TypeVar("T")

MOST_SUBJECTS = 32_000_000  # rows of a snapshot that are read once more to see whether their subjects differ


def prescan(
    step: Step,
    snapshot: Snapshot,
    compiled: Compiled,
    audits: Sequence[Audit],
    known: Sequence[Audit] = (),
    expectations: Expectations | None = None,
) -> tuple[Finding, ...]:
    """The findings on these rows before the first is sent: rows that repeat a key, and those of the audits.

    The audits observe only the rows' times, other dates and events' names, so that it costs little; rows that are
    rejected for another reason are included, unless a ledger has decided which rows are sent. The expectations observe
    all rows of the source, in the same pass. Without both, no row is read. The audits `known` have seen the rows
    before.
    """
    if audits or expectations is not None:
        narrow = _dates_and_names(step.mapping, snapshot, compiled) if audits else None
        columns = [*(() if narrow is None else narrow.columns), *(() if expectations is None else expectations.columns)]

        def sending(frame: pl.DataFrame) -> Mapped | None:
            if narrow is None:
                return None
            return narrow.sending(frame if narrow.decisions is None else narrow.decisions.accepted(frame))

        for mapped in with_looks(expectations, sending, snapshot.read(list(dict.fromkeys(columns)), 0)):
            if mapped is not None:
                for audit in audits:
                    audit.observe(mapped)
    known = [Empty(step.source, snapshot), EventKeys(step), RepeatedRows(compiled.repeats), *known]
    return located_findings([*known, *audits, *([] if expectations is None else [expectations])], snapshot.places)


def with_looks(
    expectations: Expectations | None, made: Callable[[pl.DataFrame], T], frames: Iterable[pl.DataFrame]
) -> Iterator[T]:
    """What is `made` of each frame, in order, while the expectations look at the frames as the source has them."""

    def both(frame: pl.DataFrame) -> tuple[T, list[Look]]:
        looks = [] if expectations is None else expectations.look(frame)
        return made(frame), looks

    for each, looks in prefetch(both, frames):
        if expectations is not None:
            expectations.add(looks)
        yield each


def count_omitted(mapping: Mapping, snapshot: Snapshot, compiled: Compiled) -> Omitted:
    """The values without which rows are sent, as the mapping's `on_error` says; no row is read where it says nothing.

    Only rows with such a value are mapped as a whole, to see whether they are sent.
    """
    counter = OmittedCounter()
    if not mapping.on_error:
        return counter.omitted(snapshot.places)
    narrow = replace(_narrowed(mapping, compiled, mapping.on_error), decisions=None, repeats=None)

    def omitting(frame: pl.DataFrame) -> Mapped | None:
        values = narrow.mapped(frame).values
        failed = [pl.col(name).is_not_null() for name in values.columns if name.startswith(FAILED)]
        if not failed:
            return None
        here = values.filter(pl.any_horizontal(failed)).select(POSITION)
        return compiled.sending(frame.join(here, on=POSITION, how="semi", maintain_order="left"))

    for mapped in prefetch(omitting, snapshot.read(compiled.columns, 0)):
        if mapped is not None:
            counter.add(mapped)
    return counter.omitted(snapshot.places)


def _dates_and_names(mapping: Mapping, snapshot: Snapshot, compiled: Compiled) -> Compiled:
    """The mapping reduced to the item's timestamp and other dates, and the name of its event."""
    dates = {chain.target for chain in chains(mapping) if is_date(chain, snapshot.schema)}
    names = mapping.from_columns("event")
    return _narrowed(mapping, compiled, {"timestamp", OPERATION, *dates, *names})


def _narrowed(mapping: Mapping, compiled: Compiled, targets: Collection[str], more: Sequence[str] = ()) -> Compiled:
    """The compiled mapping reduced to these targets; it also reads the columns `more`.

    Its items are not payloads, but are null where a check of these targets rejects the row; all are in one lane.
    """
    wanted = {POSITION, *targets}

    def those(values: Sequence[pl.Expr]) -> tuple[pl.Expr, ...]:
        return tuple(value for value in values if value.meta.output_name() in wanted)

    def stage(stage: Stage) -> Stage:
        return Stage(
            those(stage.values),
            {target: reason for target, reason in stage.reasons.items() if target in wanted},
            {target: meant for target, meant in stage.meant.items() if target in wanted},
        )

    in_when = () if mapping.when is None else columns_of(mapping.when)  # not of the expression: it may name none
    of_targets = [name for chain in chains(mapping) if chain.target in wanted for name in chain.sources]
    return replace(
        compiled,
        columns=tuple(dict.fromkeys([*of_targets, *more, *in_when])),
        odd_values=tuple(check for check in compiled.odd_values if check.field in wanted),
        first=those(compiled.first),
        stages=tuple(made for made in map(stage, compiled.stages) if made.values),
        checks=tuple(check for check in compiled.checks if set(check.broken.meta.root_names()) <= wanted),
        checks_of_items=(),
        tree=Fixed(None),
        partial=None,
        trees={},
        lane=(pl.col(POSITION) * 0).cast(pl.UInt8),
    )


# ---------------------------------------------------------------- rows of one key


def with_duplicates(mapping: Mapping, snapshot: Snapshot, compiled: Compiled, in_memory: int = IN_MEMORY) -> Compiled:
    """The compiled mapping with its decision about rows that repeat another row's key, where the mapping asks for one.

    So many bytes of keys, and of rows that may repeat one, wait in memory; the others wait in the temporary folder.
    Raises SourceError when the columns of `order_by` cannot be put in order.
    """
    if not repeats.finds_repeats(mapping):
        return compiled
    narrow = _narrowed(mapping, compiled, repeats.targets(mapping), (*mapping.event_key, *mapping.order_by))
    repeated, facts = _look(mapping, narrow, snapshot, in_memory)
    readings = order.readings(mapping, snapshot.schema, facts)
    if not repeated.any:
        return compiled

    def candidates(frame: pl.DataFrame) -> pl.DataFrame:
        # of people: a row that is rejected for its identifiers supersedes no other row
        right = sent(narrow.mapped(frame), repeats.targets(mapping)) if mapping.order_by else narrow.unchecked(frame)
        keys = repeats.keyed(right, mapping)
        return keys.filter(pl.Series(repeated.among(repeats.hashes(keys))))

    if mapping.order_by:
        by = order.keys(readings, snapshot.schema)

        def ordered(frame: pl.DataFrame) -> pl.DataFrame:
            keys = candidates(frame)
            keys = keys.with_columns(pl.Series(KEY, repeats.hashes(keys)))
            return keys.join(frame.select(POSITION, *by), on=POSITION, how="left", maintain_order="left")

        return replace(
            compiled, repeats=_decided(LastWins(snapshot.rows), snapshot, narrow.columns, ordered, in_memory)
        )

    def outcomes(frame: pl.DataFrame) -> pl.DataFrame:
        those = candidates(frame).select(POSITION)
        if those.is_empty():
            return those
        mapped = compiled.mapped(frame.join(those, on=POSITION, how="semi", maintain_order="left"))
        rows = repeats.key_and_content(mapped.values, mapped.items)
        return rows.with_columns(pl.col("digest.0").alias(KEY))

    decided = _decided(FirstWins(snapshot.rows), snapshot, compiled.columns, outcomes, in_memory)
    field = "event_key" if mapping.event_key else "event_id"
    return replace(compiled, repeats=replace(decided, field=field))


def subjects_differ(mapping: Mapping, snapshot: Snapshot, compiled: Compiled) -> bool:
    """Whether each row of a snapshot is known to be about another subject; only their columns are read."""
    if repeats.finds_repeats(mapping):
        return compiled.repeats is None
    parts = compiled.parts
    if parts is None or not parts.subject or OPERATIONS[mapping.operation].has_event or snapshot.rows > MOST_SUBJECTS:
        return False
    narrow = _narrowed(mapping, compiled, parts.subject)
    hashed = parts.subject_in_memory()

    def hashes(frame: pl.DataFrame) -> Hashes:
        found: Hashes = narrow.unchecked(frame).select(hashed).to_series().drop_nulls().to_numpy()
        return found

    repeated = repeats.Repeated()
    for found in prefetch(hashes, snapshot.read(narrow.columns, 0)):
        repeated.add(found)
    return not repeated.found().any


def _look(
    mapping: Mapping, narrow: Compiled, snapshot: Snapshot, in_memory: int
) -> tuple[Repeated, list[dict[str, Any]]]:
    """The hashes of keys that occur more than once; and facts about the columns of `order_by`."""
    queries = order.queries(mapping, snapshot.schema)

    def look(frame: pl.DataFrame) -> tuple[Hashes, dict[str, Any]]:
        hashes = repeats.hashes(repeats.keyed(narrow.unchecked(frame), mapping))
        return hashes, frame.select(**queries).row(0, named=True) if queries else {}

    repeated, answers = Repeated(in_memory), list[dict[str, Any]]()
    for hashes, answer in prefetch(look, snapshot.read(narrow.columns, 0)):
        repeated.add(hashes)
        answers.append(answer)
    return repeated.found(), answers


def _decided(
    decision: RepeatDecision,
    snapshot: Snapshot,
    columns: Sequence[str],
    candidates: Callable[[pl.DataFrame], pl.DataFrame],
    in_memory: int,
) -> Repeats:
    """The decision about the candidates, which have the column KEY."""
    held = RowsByHash(in_memory=in_memory)
    for rows in prefetch(candidates, snapshot.read(columns, 0)):
        if rows.height:
            held.add(rows)
    for rows in held.parts():
        decision.add(rows.drop(KEY))
        decision.next_part()
    return decision.repeats()
