"""Makes a step's delta from its rows and the ledger, and moves the ledger when the rows are acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from cio_etl.ledger.changes import Changes
from cio_etl.ledger.decide import (
    SENT,
    SUBJECT,
    VALUE,
    Rules,
    compared,
    content,
    counts_of,
    decided,
    folded,
    gone,
    too_old,
    values_of,
)
from cio_etl.ledger.delta_files import Delta, DeltaHead, DeltaWriter
from cio_etl.ledger.files import ROWS_AT_ONCE, by_subject, partition_bits
from cio_etl.ledger.generation import Generation
from cio_etl.ledger.spill import Spill
from cio_etl.ledger.stored import KNOWN, Ledger
from cio_etl.model import POSITION, DeltaCounts
from cio_etl.model.records import dataclass
from cio_etl.transform import decisions
from cio_etl.transform.prefetch import prefetch

NO_CHANGE = pl.DataFrame(schema=KNOWN)  # of a partition of the ledger, which is not read then
FEW = ROWS_AT_ONCE // 8  # rows of a partition, to which the known subjects are looked up one by one
FIRST = 3  # rows that are shown of those that are counted


@dataclass(frozen=True, slots=True)
class Made:
    """A delta, its counts, and the first rows of events that were accepted with other content."""

    delta: Delta
    counts: DeltaCounts
    changed_after_sent: tuple[int, ...]
    changes: Changes


def make_delta(
    folder: Path,
    ledger: Ledger,
    hashed: Iterable[pl.DataFrame],
    rules: Rules,
    null: int,
    *,
    rows: int,
    finds_gone: bool,
    counts_changes: bool = False,
    **facts: Any,
) -> Made:
    """Compares all rows with the ledger, and writes what is sent of each to `folder`.

    `hashed` are frames of Parts.hashes, in order of position, with is_left_out Boolean (the mapping's `when` does not
    select the row) where gone subjects are found; `null` is the hash of a part that is null; `facts` are the other
    fields of DeltaHead. With `counts_changes`, the changes from value to value are counted. Nobody is gone while the
    subject of some row cannot be read. Raises StateError when the ledger is damaged or the disk is full.
    """
    ledger.verify()
    bits = partition_bits(rows + ledger.generation.rows)
    writer = DeltaWriter(folder, rows, len(rules.parts))
    sent, seen, left_out = (Spill(writer.scratch / name, by_subject(bits)) for name in ("rows", "seen", "left_out"))
    unreadable, scopes = 0, pl.DataFrame(schema=dict.fromkeys(rules.scope, pl.String))
    for frame in hashed:
        has_subject = pl.col("hi").is_not_null()
        if finds_gone:
            scopes = pl.concat([scopes, frame.select(rules.scope)]).unique()
            left_out.add(frame.filter(has_subject & pl.col("is_left_out")).select(*SUBJECT))
            frame = frame.filter(~pl.col("is_left_out")).drop("is_left_out")
            seen.add(frame.filter(has_subject & ~pl.col("is_sent")).select(*SUBJECT))
        unreadable += frame.height - int(frame["hi"].is_not_null().sum())
        frame = frame.filter(has_subject & pl.col("is_sent")).drop("is_sent")
        writer.begin(frame)
        sent.add(frame)
    finds_gone = finds_gone and not unreadable
    counts, to_send = DeltaCounts(unreadable=unreadable), 0
    first: list[int] = []
    changes = Changes()
    for spill in (sent, seen, left_out):
        spill.finish()

    def partition(number: int) -> tuple[pl.DataFrame | None, DeltaCounts, pl.DataFrame | None]:
        """The decided rows of a partition, its counts, and who is gone of it."""
        known, here = ledger.known(number, bits), sent.part(number)
        decided_here, named, counts = None, None, DeltaCounts()
        if here is not None and here.height:
            decided_here = decided(here, known, rules)
            counts += counts_of(decided_here, rules, null)
        if finds_gone:
            missing = gone(known, _subjects(here, seen.part(number)), scopes if rules.scope else None, rules)
            named = missing.drop_nulls()
            left = named.join(_subjects(left_out.part(number)), on=SUBJECT, how="semi")
            counts += DeltaCounts(gone=named.height, left_out=left.height, nameless=missing.height - named.height)
        return decided_here, counts, named

    for rows_here, of_partition, named in prefetch(partition, range(1 << bits), 2):  # each takes memory
        counts += of_partition
        if rows_here is not None:
            if counts_changes:
                changes.add(rows_here, rules)
            to_send += _write(writer, rows_here, rules)
            late = rows_here.filter("is_changed_after_sent")[POSITION].head(FIRST).to_list()
            first = sorted([*first, *late])[:FIRST]
        if named is not None:
            writer.write_gone(named)
    head = DeltaHead(
        generation=ledger.generation.number,
        salt=rules.salt,
        parts=rules.parts,
        keys=rules.keys,
        rows=rows,
        rows_to_send=to_send,
        again=rules.again,
        counts=asdict(counts),
        values=rules.values,
        since=rules.since,
        **facts,
    )
    writer.finish(head)
    return Made(Delta(folder, head), counts, tuple(first), changes)


def _subjects(*parts: pl.DataFrame | None) -> pl.DataFrame:
    """The subjects of these parts of a spill."""
    nobody = pl.DataFrame(schema=dict.fromkeys(SUBJECT, pl.UInt64))
    return pl.concat([nobody, *(part.select(*SUBJECT) for part in parts if part is not None)])


def _write(writer: DeltaWriter, rows: pl.DataFrame, rules: Rules) -> int:
    """Writes a partition's decisions; the number of rows that are sent."""
    others = rows.filter(pl.col("code") != decisions.SAME)
    if others.height:
        writer.decide(others, _masks(others, rules.parts))
    partial = others.filter(pl.col("code") == decisions.PARTIAL)
    refused = others.filter(pl.col("code") == decisions.REFUSED)
    writer.write_refused(refused.select(pl.col(POSITION).alias("position"), "reason", "field"))
    is_sent = pl.col("code").is_in([decisions.WHOLE, decisions.PARTIAL])
    whole = pl.col("code") == decisions.WHOLE
    wanted = rows.filter(is_sent | pl.col("moves_key")).select(
        POSITION,
        "lane",
        *SUBJECT,
        is_sent.alias("is_sent"),
        *(
            pl.when(is_sent & (whole | pl.col(f"{SENT}{name}"))).then(compared(rows, name)).alias(f"part.{name}")
            for name in rules.parts
        ),
        *(
            pl.when(is_sent & (whole | pl.col(f"{SENT}{name}"))).then(f"{VALUE}{name}").alias(f"{VALUE}{name}")
            for name in rules.values
        ),
        *rules.keys,
    )
    writer.write_rows(wanted.join(_contents(partial, rules), on=POSITION, how="left", maintain_order="left"))
    return int(wanted["is_sent"].sum())


def _contents(rows: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """POSITION and the content of rows of which only some parts are sent; of others, it follows from their parts."""
    return rows.select(POSITION, content(rules).alias("content"))


def _masks(rows: pl.DataFrame, parts: tuple[str, ...]) -> npt.NDArray[np.uint64]:
    masks = np.zeros((rows.height, decisions.words(len(parts))), dtype=np.uint64)
    for bit, name in enumerate(["update", *(f"{SENT}{name}" for name in parts)]):
        masks[:, bit // 64] |= rows[name].to_numpy().astype(np.uint64) << np.uint64(bit % 64)
    return masks


# rows with POSITION and lane -> the same rows with outcome (null: nothing was sent), reason and field
Outcomes = Callable[[pl.DataFrame], pl.DataFrame]


def moved(ledger: Ledger, delta: Delta, outcomes: Outcomes) -> Generation:
    """The generation after the delta's rows ended as `outcomes` says. Its files are on the disk; the state moves later.

    Raises StateError.
    """
    head = delta.head
    rules = Rules(
        head.parts, head.salt, divisible=False, values=head.values, since=head.since, distinct=head.is_baseline
    )
    new: list[int] = []  # by partition, in any order; below 0 where some are forgotten

    def changes(number: int, bits: int) -> pl.DataFrame:
        rows = delta.rows(number, bits)
        if rows is None or rows.is_empty():
            return NO_CHANGE
        known = ledger.known(number, bits, rows["hi"] if rows.height < FEW else None)
        if delta.head.again:  # what was not sent now is not known any more: others may have changed it
            parts = [name for name in known.columns if name.startswith(("part.", VALUE))]
            known = known.with_columns(pl.lit(None, known.schema[name]).alias(name) for name in parts)
        ended = outcomes(rows)
        if (ended["outcome"] == "refused").any() or known["refused"].null_count() < known.height:
            ended = ended.with_columns(pl.coalesce("content", content(rules)).alias("content"))
        after = folded(known, ended, rules, delta.head.keys)
        new.append(after.height - (after.join(known, on=SUBJECT, how="semi").height if known.height else 0))
        return after

    def remembered(known: pl.DataFrame) -> pl.DataFrame:
        kept = known.filter(~too_old(rules))
        new.append(kept.height - known.height)
        return kept

    keeps = None if head.since is None else remembered
    texts: dict[str, Any] = dict.fromkeys((*values_of(rules), *head.keys), pl.String)
    columns = {f"part.{name}": pl.UInt64 for name in rules.parts} | texts
    after = ledger.with_changes(changes, head.rows_to_send, columns, values=bool(head.values), keeps=keeps)
    return replace(after, parts=delta.head.parts, subjects=_plus(ledger.generation, sum(new)))


def without(ledger: Ledger, removed: pl.DataFrame, unsure: pl.DataFrame) -> Generation:
    """The generation without the removed subjects (`hi`, `lo`); those that are unsure may have been removed."""
    gone: list[int] = []  # by partition, in any order

    def changes(number: int, bits: int) -> pl.DataFrame:
        if removed.is_empty() and unsure.is_empty():
            return NO_CHANGE
        known = ledger.known(number, bits)
        values = [name for name in known.columns if name.startswith(VALUE)]
        leaving = known.join(removed, on=SUBJECT, how="semi").with_columns(
            pl.lit(True).alias("is_gone"), *(pl.lit(None, pl.String).alias(name) for name in values)
        )
        gone.append(leaving.height)
        staying = known.join(unsure, on=SUBJECT, how="semi")
        return pl.concat([leaving, staying.with_columns(was_accepted=pl.lit(None, dtype=pl.Boolean))])

    after = ledger.with_changes(changes, removed.height + unsure.height)
    return replace(after, subjects=_plus(ledger.generation, -sum(gone)))


def _plus(before: Generation, subjects: int) -> int | None:
    return None if before.subjects is None else before.subjects + subjects


def new_generation(belongs_to: str, salt: int, started_at: str) -> Generation:
    """The generation of a ledger in which nobody is yet."""
    return Generation(0, salt, belongs_to, started_at=started_at, is_whole=False, subjects=0)


def renewed(generation: Generation, started_at: str) -> Generation:
    """The generation after a run that sent everything."""
    return replace(generation, started_at=started_at)
