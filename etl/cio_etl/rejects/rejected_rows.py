"""Reads the rejects of a run with their rows, as the table that an export writes."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from cio_etl.model import Job, closed_words
from cio_etl.model.words import counted
from cio_etl.reject_files import CLOSED_COLUMN, HEAD, concatenated, step_frame
from cio_etl.rejects.original_rows import original_rows
from cio_etl.state import RunRecord, Store


def rejected_rows(
    store: Store, state: Path, run: RunRecord, job: Job | None, *, closed: bool = False
) -> tuple[pl.DataFrame, list[str]]:
    """The run's open rejects, with `closed` all of them: the columns of HEAD, then the source's as far as it has them.

    The second part is notes for the user: which steps lack the source's columns, and why.
    """
    frames, notes = [], []
    for record in store.steps(run.run_id):
        rejects = store.rejects(run.run_id, record.number)
        rejects = rejects if closed else rejects.filter(pl.col("closed_by").is_null())
        if rejects.is_empty():
            continue
        original = original_rows(state, run, record, job, rejects["position"].to_list())
        if original.missing:
            with_columns = 0 if original.rows is None else original.rows.height
            missing = rejects.height - with_columns
            part = f"{missing:,} of {counted(rejects.height, 'row')} " if with_columns else ""
            notes.append(f"step {record.name}: {part}without the source's columns, because {original.missing}")
        frame = step_frame(rejects, original.rows, record.name, f"{run.run_id}/{record.number}")
        if closed:
            how = rejects.select("closed_as", "closed_by", "closed_note").iter_rows()
            words = pl.Series(CLOSED_COLUMN, [_closed_words(*each) for each in how], dtype=pl.String)
            frame.insert_column(len(HEAD), words)
        frames.append(frame)
    return concatenated(frames), notes


def _closed_words(closed_as: str | None, closed_by: str | None, note: str | None) -> str | None:
    if closed_by is None:
        return None
    return closed_words(closed_as, closed_by) + (f": {note}" if note else "")
