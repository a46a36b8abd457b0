"""The first run of a step with a ledger: nobody is known, so nothing is compared, and rows are noted as they are sent.

It needs that no two rows are about the same subject. Rows of one subject are compared with each other, see sync.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import polars as pl

from cio_etl.errors import DeltaDamaged
from cio_etl.ledger import BaselineWriter, Delta, DeltaHead, Ledger, Rules, begin_baseline, whole_counts
from cio_etl.ledger.files import partition_bits
from cio_etl.model import DeltaCounts, Snapshot, Step
from cio_etl.model.records import dataclass
from cio_etl.run.prescan import subjects_differ
from cio_etl.run.recording import RunContext
from cio_etl.transform import Compiled, Mapped
from cio_etl.transform.prefetch import prefetch

Hash = Callable[[Mapped], pl.DataFrame]  # -> the subjects and parts of rows, see Parts.hashes
Note = Callable[[int, pl.DataFrame], None]  # notes the next rows, and their hashes


def baseline_of(
    step: Step, snapshot: Snapshot, compiled: Compiled, ledger: Ledger, rules: Rules, folder: Path
) -> Delta | None:
    """The delta of a first run, written to a folder; None: some rows have to be compared. Raises StateError."""
    if rules.since is not None or not subjects_differ(step.mapping, snapshot, compiled):
        return None
    head = DeltaHead(
        generation=ledger.generation.number,
        salt=rules.salt,
        belongs_to=ledger.generation.belongs_to,
        fingerprint=snapshot.fingerprint,
        mapping=step.mapping.digest,
        parts=rules.parts,
        keys=rules.keys,
        rows=snapshot.rows,
        rows_to_send=snapshot.rows,
        again=rules.again,
        counts=asdict(DeltaCounts()),
        values=rules.values,
        is_first=True,
        is_baseline=True,
        bits=partition_bits(snapshot.rows),
    )
    return begin_baseline(folder, head)


@dataclass(frozen=True, slots=True)
class Baseline:
    """A first run of which no row has been sent: how its rows are noted."""

    delta: Delta
    hashed: Hash


@contextmanager
def noting(context: RunContext, number: int, delta: Delta | None) -> Iterator[Note]:
    """Notes the rows that the block gives, from the first row on, before they are sent; None: notes nothing.

    Raises StateError.
    """
    if delta is None:
        yield lambda rows, hashed: None
        return
    writer = BaselineWriter(delta.folder, delta.head.rows, delta.head.bits)
    try:
        yield writer.add
        writer.finish()
    finally:
        context.store.note_delta(context.run.run_id, number, writer.counts)


def note_all(
    context: RunContext, number: int, delta: Delta, snapshot: Snapshot, compiled: Compiled, hashed: Hash
) -> None:
    """Notes all rows of a first run that was stopped, unless they have been: it is done before more are sent."""

    def mapped(frame: pl.DataFrame) -> tuple[int, pl.DataFrame]:
        return frame.height, hashed(compiled.mapped(frame))

    with context.store.exclusive(context.job.name):
        if whole_counts(delta.folder) is None:
            with noting(context, number, delta) as note:
                for rows, hashes in prefetch(mapped, snapshot.read(compiled.columns, 0)):
                    note(rows, hashes)


def require_whole(delta: Delta) -> None:
    """Raises DeltaDamaged when the rows of a first run are not all noted."""
    if delta.head.is_baseline and whole_counts(delta.folder) is None:
        raise DeltaDamaged(place=delta.folder, what="some rows that were sent are missing")
