"""Compiles the mapping of a step for the rows of its source; what a run and a dry run have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from cio_etl.audit import columns_of_expectations
from cio_etl.model import CLOSED, Snapshot, Step
from cio_etl.run.prescan import with_duplicates
from cio_etl.transform import Compiled, collect_facts, compile_mapping, plain_rows, with_json


def prepare(
    step: Step,
    snapshot: Snapshot,
    lanes: int,
    api: str,
    run_id: str = "",
    column_facts: dict[str, list[Mapping[str, Any]]] | None = None,
) -> tuple[Snapshot, Compiled]:
    """The snapshot as the step's mapping reads it, and the mapping, compiled for it.

    Facts about whole columns are also written into `column_facts`.
    """
    mapping, again = with_json(step.mapping, snapshot.json), snapshot.replayed
    snapshot = plain_rows(step.mapping, snapshot, columns_of_expectations(step.expectations))
    of_all = None if again is None else again.column_facts
    known = collect_facts(mapping, snapshot.schema, lambda columns: snapshot.read(columns, 0), column_facts, of_all)
    fingerprint = snapshot.fingerprint if again is None else None
    compiled = compile_mapping(mapping, snapshot.schema, known, fingerprint, lanes, api, run_id)
    if again is not None:
        still_open = pl.col(CLOSED).not_()
        compiled = replace(compiled, when=still_open if compiled.when is None else still_open & compiled.when)
    return snapshot, with_duplicates(mapping, snapshot, compiled)


def limited(snapshot: Snapshot, rows: int | None) -> Snapshot:
    """The first `rows` rows of a snapshot; None: all."""
    if rows is None or rows >= snapshot.rows:
        return snapshot

    def read(columns: Sequence[str] | None, start: int) -> Iterator[pl.DataFrame]:
        remaining = rows - start
        for frame in snapshot.read(columns, start):
            if remaining > 0:
                yield frame.head(remaining)
            remaining -= frame.height
            if remaining <= 0:
                return

    return replace(snapshot, rows=rows, read=read)
