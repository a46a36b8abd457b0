"""Scans all rows of a step before the first is sent: for duplicates, and for what a person should be warned of.

It reads only the columns that it needs. Duplicates are part of the mapping, so `validate` and `preview` look for them,
too. Warnings are collected once, when a run starts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import polars as pl

from cio_etl.apis import OPERATION, OPERATIONS
from cio_etl.audit import Audit, Empty, EventKeys, Expectations, RepeatedRows, located_findings, sent
from cio_etl.audit.expectations import Look
from cio_etl.model import POSITION, Finding, Mapping, Omitted, Snapshot, Step
from cio_etl.transform import Compiled, Mapped, OmittedCounter, order, repeats
from cio_etl.transform.chains import chains
from cio_etl.transform.compiled import Stage
from cio_etl.transform.encode import FAILED, Leaf, Members
from cio_etl.transform.mapping import is_date
from cio_etl.transform.prefetch import prefetch
from cio_etl.transform.repeats import FirstWins, Hashes, LastWins, RepeatDecision, Repeats
from cio_etl.transform.row_sql import columns_of

T = TypeVar("T")

KEYS_AT_ONCE = 32_000_000  # 256 MB of hashes; a snapshot of more rows is read once for each such part


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
        tree=Members({"position": Leaf(POSITION)}),
        partial=None,
        trees={},
        lane=(pl.col(POSITION) * 0).cast(pl.UInt8),
    )


# ---------------------------------------------------------------- rows of one key


def with_duplicates(
    mapping: Mapping, snapshot: Snapshot, compiled: Compiled, keys_at_once: int = KEYS_AT_ONCE
) -> Compiled:
    """The compiled mapping with its decision about rows that repeat another row's key, where the mapping asks for one.

    Raises SourceError when the columns of `order_by` cannot be put in order.
    """
    if not repeats.finds_repeats(mapping):
        return compiled
    narrow = _narrowed(mapping, compiled, repeats.targets(mapping), (*mapping.event_key, *mapping.order_by))
    parts = -(-snapshot.rows // keys_at_once) or 1
    looked = [_look(mapping, narrow, snapshot, part, parts) for part in range(parts)]
    repeated = np.sort(np.concatenate([hashes for hashes, _ in looked]))
    readings = order.readings(mapping, snapshot.schema, looked[0][1])
    if not len(repeated):
        return compiled

    def candidates(frame: pl.DataFrame) -> pl.DataFrame:
        # of people: a row that is rejected for its identifiers supersedes no other row
        right = sent(narrow.mapped(frame), repeats.targets(mapping)) if mapping.order_by else narrow.unchecked(frame)
        keys = repeats.keyed(right, mapping)
        return keys.filter(pl.Series(repeats.among(repeats.hashes(keys), repeated)))

    if mapping.order_by:
        by = order.keys(readings, snapshot.schema)

        def ordered(frame: pl.DataFrame) -> pl.DataFrame:
            keys = candidates(frame)
            return keys.join(frame.select(POSITION, *by), on=POSITION, how="left", maintain_order="left")

        return replace(compiled, repeats=_decided(LastWins(snapshot.rows), snapshot, narrow.columns, ordered))

    def outcomes(frame: pl.DataFrame) -> pl.DataFrame:
        those = candidates(frame).select(POSITION)
        if those.is_empty():
            return those
        mapped = compiled.mapped(frame.join(those, on=POSITION, how="semi", maintain_order="left"))
        return repeats.key_and_content(mapped.values, mapped.items)

    decided = _decided(FirstWins(snapshot.rows), snapshot, compiled.columns, outcomes)
    field = "event_key" if mapping.event_key else "event_id"
    return replace(compiled, repeats=replace(decided, field=field))


def subjects_differ(mapping: Mapping, snapshot: Snapshot, compiled: Compiled) -> bool:
    """Whether each row of a snapshot is known to be about another subject; only their columns are read."""
    if repeats.finds_repeats(mapping):
        return compiled.repeats is None
    parts = compiled.parts
    if parts is None or not parts.subject or OPERATIONS[mapping.operation].has_event or snapshot.rows > KEYS_AT_ONCE:
        return False
    narrow = _narrowed(mapping, compiled, parts.subject)
    hashed = parts.subject_in_memory()

    def hashes(frame: pl.DataFrame) -> Hashes:
        found: Hashes = narrow.unchecked(frame).select(hashed).to_series().drop_nulls().to_numpy()
        return found

    return not len(_twice(snapshot.rows, prefetch(hashes, snapshot.read(narrow.columns, 0))))


def _twice(rows: int, parts: Iterable[Hashes]) -> Hashes:
    """The hashes that occur more than once in all parts, which have at most `rows` in all."""
    every, filled = np.empty(rows, dtype=np.uint64), 0  # pages that are not filled take no memory
    for hashes in parts:
        every[filled : filled + len(hashes)] = hashes
        filled += len(hashes)
    return repeats.twice(every[:filled])


def _look(
    mapping: Mapping, narrow: Compiled, snapshot: Snapshot, part: int, parts: int
) -> tuple[Hashes, list[dict[str, Any]]]:
    """The hashes in this part that occur more than once; and facts about the columns of `order_by`."""
    queries = order.queries(mapping, snapshot.schema)

    def look(frame: pl.DataFrame) -> tuple[Hashes, dict[str, Any]]:
        hashes = repeats.hashes(repeats.keyed(narrow.unchecked(frame), mapping))
        mine = hashes if parts == 1 else hashes[hashes % np.uint64(parts) == part]
        return mine, frame.select(**queries).row(0, named=True) if queries else {}

    answers: list[dict[str, Any]] = []

    def parts_of_rows() -> Iterator[Hashes]:
        for hashes, answer in prefetch(look, snapshot.read(narrow.columns, 0)):
            answers.append(answer)
            yield hashes

    return _twice(snapshot.rows, parts_of_rows()), answers


def _decided(
    decision: RepeatDecision,
    snapshot: Snapshot,
    columns: Sequence[str],
    candidates: Callable[[pl.DataFrame], pl.DataFrame],
) -> Repeats:
    for rows in prefetch(candidates, snapshot.read(columns, 0)):
        if rows.height:
            decision.add(rows)
    return decision.repeats()
