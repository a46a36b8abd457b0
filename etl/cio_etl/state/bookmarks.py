"""Stores how far each step's source was read, by the last run that finished the step."""

from __future__ import annotations

import json

from sqlalchemy import Connection, bindparam, delete, insert, select

from cio_etl.model import Bookmark, Watermark
from cio_etl.state import tables
from cio_etl.state.database import Database
from cio_etl.state.faults import decoding

# Statements of each run, built once: to build one takes several times as long as to execute it.
_THIS = (tables.source.c.job == bindparam("of_job"), tables.source.c.step == bindparam("of_step"))
_BOOKMARK = select(*(tables.source.c[name] for name in ("mark", "columns", "origin", "known_columns"))).where(*_THIS)
_DELETE, _INSERT = delete(tables.source).where(*_THIS), insert(tables.source)
_NAMES = (
    select(tables.run.c.job, tables.step.c.name)
    .join_from(tables.step, tables.run)
    .where(tables.step.c.run_id == bindparam("run_id"), tables.step.c.number == bindparam("number"))
)


class Bookmarks(Database):
    """The bookmarks of all jobs: a part of the state."""

    def bookmark(self, job: str, step: str) -> Bookmark:
        """The bookmark of a step's last finished run; an empty one when there was none."""
        with self.transaction() as connection:
            row = connection.execute(_BOOKMARK, {"of_job": job, "of_step": step}).one_or_none()
        if row is None:
            return Bookmark()
        with decoding(self._engine):
            watermark = None if row.mark is None else Watermark.of_text(row.mark)
            known = None if row.known_columns is None else tuple(json.loads(row.known_columns))
            return Bookmark(watermark, dict(json.loads(row.columns)), row.origin, known)


def write_bookmark(connection: Connection, run_id: str, number: int, bookmark: Bookmark) -> None:
    """Makes the bookmark that of the job's step; the run is the one that read so far."""
    job, step = connection.execute(_NAMES, {"run_id": run_id, "number": number}).one()
    connection.execute(_DELETE, {"of_job": job, "of_step": step})
    watermark = None if bookmark.watermark is None else bookmark.watermark.to_text()
    columns = json.dumps(dict(bookmark.columns))
    known = None if bookmark.known_columns is None else json.dumps(bookmark.known_columns)
    values = {"mark": watermark, "columns": columns, "origin": bookmark.origin, "known_columns": known}
    connection.execute(_INSERT, {"job": job, "step": step, "run_id": run_id, **values})
