"""Makes plain attributes of all other columns of a source, when it is open and its columns are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import polars as pl

from cio_etl.audit import OtherColumnsChanged
from cio_etl.config import SourceColumns, require_other_columns, source_columns, with_columns
from cio_etl.model import Bookmark, Job, Snapshot, Step

SANDBOX = ".sandbox"


def with_other_columns(step: Step, snapshot: Snapshot, before: Bookmark) -> tuple[Step, SourceColumns | None]:
    """The step with the plain form of its mapping, and what became of the source's columns; None: it has no `*`.

    before: the bookmark of the step's last finished run. Raises SourceError when the columns do not fit the mapping.
    """
    if step.mapping.other_columns is None:
        return step, None
    of = step.mapping.other_columns.of
    columns = [name for name in snapshot.schema if name not in snapshot.paths] if of is None else [*snapshot.members]
    require_other_columns(step.mapping, columns)
    found = source_columns(step.mapping, columns, before.known_columns)
    in_json = of is not None and not isinstance(snapshot.schema[of], pl.Struct)
    if snapshot.loose or in_json:  # its columns are those that some row has
        found = replace(found, gone=())
    return replace(step, mapping=with_columns(step.mapping, found.taken)), found


def changed_columns(found: SourceColumns | None) -> Iterator[OtherColumnsChanged]:
    """The audit of the columns that are new or gone."""
    if found is not None:
        yield OtherColumnsChanged(found.new, found.gone, found.taken)


def known_after(
    found: SourceColumns | None, snapshot: Snapshot, before: Bookmark, *, moves: bool
) -> tuple[str, ...] | None:
    """The columns that the next run compares with. A run over some rows only does not know all columns."""
    if found is None:
        return None
    return found.known if moves and snapshot.rows else before.known_columns


def job_of_columns(job: Job) -> str:
    """The job whose runs say which columns are known: a run with a sandbox sends what the job itself would."""
    return job.name.removesuffix(SANDBOX)
