"""Where a step's source begins in this run, and the bookmark for the next run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import polars as pl

from cio_etl import state
from cio_etl.apis import APIS
from cio_etl.audit import columns_of_expectations, require_expected
from cio_etl.config import rows_of
from cio_etl.errors import ColumnOfBytes, EtlError, PlanOutdated, SourceError, TooManyChanges
from cio_etl.extract import delete_copy, open_source, origin_of
from cio_etl.log.temporary import temporary_folder
from cio_etl.model import Bookmark, Destination, Job, Snapshot, Staging, Step, watermark_value
from cio_etl.run.options import FULL_REFRESH
from cio_etl.run.schema_drift import kinds
from cio_etl.transform import columns_of_source, columns_to_read, exploded, require_columns


def staging(
    folder: Path,
    step: Step,
    before: Bookmark,
    since: str | None = None,
    *,
    rows: int | None = None,
    first_only: bool = False,
    report_rows: Callable[[int], None] = lambda rows: None,
    may_read: bool = True,
) -> Staging:
    """How the step's source is copied, if it is.

    before: the bookmark of its last finished run.
    since: a value of the command line that replaces the watermark.
    first_only: nothing is sent: the first rows of files are enough, and are not fingerprinted.
    """
    return Staging(
        folder,
        columns=None if step.mapping.other_columns is not None else columns_to_read(_columns_read(step)),
        watermark=None if since == FULL_REFRESH else before.watermark,
        since=None if since in (None, FULL_REFRESH) else watermark_value(str(since)),
        rows=rows,
        first_only=first_only,
        report_rows=report_rows,
        may_read=may_read,
    )


def _columns_read(step: Step) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*columns_of_source(step.mapping), *columns_of_expectations(step.expectations)]))


def open_step_source(step: Step, how: Staging) -> Snapshot:
    """The step's source. A column that a table lacks is reported as one of a file is: with its place in the mapping.

    Raises SourceError.
    """
    try:
        return rows_of(open_source(step.source, how), step.mapping, _columns_read(step))
    except ColumnOfBytes:
        raise  # the table has the column, and lists it as none that can be read
    except SourceError:
        if step.source.asks_for_columns and how.may_read:
            _require_columns_of_table(step, how)
        raise


def _require_columns_of_table(step: Step, how: Staging) -> None:
    with temporary_folder() as folder:
        one_row = replace(how, folder=Path(folder), columns=None, rows=1, report_rows=lambda rows: None)
        try:
            schema = exploded(open_source(step.source, one_row), step.mapping).schema
        except EtlError:
            return
    require_columns_of_step(step, schema)


def require_columns_of_step(step: Step, schema: pl.Schema) -> None:
    """Raises SourceError when the mapping or an expectation of the step reads a column that the source lacks."""
    require_columns(step.mapping, schema)
    require_expected(step.expectations, schema)


def origin(destination: Destination, step: Step) -> str:
    """A digest of what a watermark of the step belongs to: destination, database, table and watermark column."""
    source = step.source
    if source.incremental is None:
        return ""
    account = destination.credentials[APIS[destination.api].workspace_key]
    parts = [destination.base_url, account.get_secret_value(), *origin_of(source)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def check_origin(step: Step, before: Bookmark, now: str, since: str | None) -> None:
    """Raises SourceError when the watermark belongs to something else: all rows before it would be skipped."""
    if before.watermark is not None and since is None and before.origin != now:
        raise SourceError(
            "read everything with --full-refresh, or continue from a value with --watermark",
            place=f"step {step.name}",
            what="its watermark belongs to another destination, database, table or column",
        )


def load_bookmarks(job: Job) -> dict[str, Bookmark]:
    """The bookmark of each step of the job, from its last finished run. Creates no state."""
    if not state.exists(job.state_location):
        return {}
    store = state.open_store(job.state_location)
    try:
        return {step.name: store.bookmark(job.name, step.name) for step in job.steps}
    finally:
        store.close()


def bookmark_after(
    snapshot: Snapshot,
    before: Bookmark,
    origin: str,
    known_columns: tuple[str, ...] | None = None,
    *,
    moves: bool,
) -> Bookmark:
    """The bookmark of a step over this snapshot, once it has finished. `moves`: its watermark moves as well."""
    known = {name: kind for name, kind in before.columns.items() if name in snapshot.schema and not snapshot.loose}
    columns = {**known, **kinds(snapshot)}
    return (
        Bookmark(snapshot.watermark or before.watermark, columns, origin, known_columns)
        if moves
        else Bookmark(before.watermark, columns, before.origin, known_columns)
    )


@contextmanager
def copy_deleted_if_unfit(snapshot: Snapshot, has_started: bool) -> Iterator[None]:
    """Deletes the copy when the block refuses its rows and none was sent: the next run copies the fixed source."""
    try:
        yield
    except (SourceError, TooManyChanges, PlanOutdated):
        if not has_started:
            delete_copy(snapshot)
        raise
