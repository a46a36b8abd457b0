"""Shows the rejected rows of a run: where each is, and its cells, masked, where the job stores rejected rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from cio_etl.apis import masked
from cio_etl.audit.mask import shown
from cio_etl.audit.shown_rows import columns_of_field
from cio_etl.model import FAULT, PLACE_FILE, PLACE_LINE, POSITION, Job, JobOutline, ShownRow, closed_words
from cio_etl.run import rejects_folder
from cio_etl.state import Reader, RejectRow, RunRecord, StepRecord

ROWS_A_PAGE = 50
MOST_COLUMNS = 12
OWN = (POSITION, FAULT, PLACE_FILE, PLACE_LINE)

Cells = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A rejected row as a page shows it."""

    row: ShownRow
    message: str  # of Customer.io, masked; "": none
    closed_by: str | None
    closed: str  # how; "": it is open
    since: str  # when it was rejected first, ISO 8601


@dataclass(frozen=True, slots=True)
class RejectedRows:
    """Some rejected rows of one reason and field."""

    rows: tuple[RejectedRow, ...]
    next_after: int | None  # after which the next ones begin; None: there are no more


def rejected_rows(
    reader: Reader,
    state: Path,
    run: RunRecord,
    step: StepRecord,
    job: Job | JobOutline | None,
    reason: str,
    field: str | None,
    after: int,
) -> RejectedRows:
    """The rejects of a reason and field, from the one after `after` on."""
    found = reader.rejects_after(run.run_id, step.number, reason, field, after, ROWS_A_PAGE + 1)
    page = found[:ROWS_A_PAGE]
    file = rejects_folder(state, run.run_id) / f"{step.number}.parquet"
    cells = _cells(file, page, lambda schema: _columns(job, step, field, schema))
    rows = tuple(
        RejectedRow(
            ShownRow(reason, field, *cells.get(each.position, (f"row {each.position + 1:,}", ()))),
            masked(each.message, field),
            each.closed_by,
            closed_words(each.closed_as, each.closed_by) if each.closed_by else "",
            each.since or run.started_at,
        )
        for each in page
    )
    return RejectedRows(rows, page[-1].reject_id if len(found) > len(page) else None)


def _columns(job: Job | JobOutline | None, step: StepRecord, field: str | None, schema: pl.Schema) -> list[str]:
    """Which columns of the stored rows are shown: the identifiers and those of the field; else the first ones."""
    names = [name for name in schema if name not in OWN]
    steps = job.steps if isinstance(job, Job) else ()  # else its mappings are wrong
    mapping = next((each.mapping for each in steps if each.name == step.name), None)
    relevant = [] if mapping is None else [name for name in columns_of_field(mapping, field, schema) if name in names]
    return (relevant or names)[:MOST_COLUMNS]


def _cells(
    file: Path, rows: Sequence[RejectRow], columns: Callable[[pl.Schema], list[str]]
) -> dict[int, tuple[str, Cells]]:
    """By position: the row's place, and its cells; those that the run has not stored are left out."""
    with suppress(OSError, pl.exceptions.PolarsError):
        stored = pl.scan_parquet(file)
        names = columns(stored.collect_schema())
        positions = pl.Series([row.position for row in rows], dtype=pl.Int64)
        frame = (
            stored.filter(pl.col(POSITION).is_in(positions.implode()))
            .select(POSITION, PLACE_FILE, PLACE_LINE, *map(pl.col, names))
            .collect()
        )
        return {
            row[POSITION]: (
                f"{row[PLACE_FILE]}:{row[PLACE_LINE]}",
                tuple((name, None if row[name] is None else shown(str(row[name]), False)) for name in names),
            )
            for row in frame.iter_rows(named=True)
        }
    return {}
