"""Stores how far each step's source was read, by the last run that finished the step."""

from __future__ import annotations

import json

from sqlalchemy import Connection, delete, insert, select

from cio_etl.model import Bookmark, Watermark
from cio_etl.state import tables
from cio_etl.state.database import Database
from cio_etl.state.faults import decoding


class Bookmarks(Database):
    """The bookmarks of all jobs: a part of the state."""

    def bookmark(self, job: str, step: str) -> Bookmark:
        """The bookmark of a step's last finished run; an empty one when there was none."""
        table = tables.source
        wanted = (table.c.mark, table.c.columns, table.c.origin, table.c.known_columns)
        query = select(*wanted).where(table.c.job == job, table.c.step == step)
        with self.transaction() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return Bookmark()
        with decoding(self._engine):
            watermark = None if row.mark is None else Watermark.of_text(row.mark)
            known = None if row.known_columns is None else tuple(json.loads(row.known_columns))
            return Bookmark(watermark, dict(json.loads(row.columns)), row.origin, known)


def write_bookmark(connection: Connection, run_id: str, number: int, bookmark: Bookmark) -> None:
    """Makes the bookmark that of the job's step; the run is the one that read so far."""
    names = select(tables.run.c.job, tables.step.c.name).join_from(tables.step, tables.run)
    job, step = connection.execute(names.where(tables.step.c.run_id == run_id, tables.step.c.number == number)).one()
    connection.execute(delete(tables.source).where(tables.source.c.job == job, tables.source.c.step == step))
    watermark = None if bookmark.watermark is None else bookmark.watermark.to_text()
    columns = json.dumps(dict(bookmark.columns))
    known = None if bookmark.known_columns is None else json.dumps(bookmark.known_columns)
    connection.execute(
        insert(tables.source).values(
            job=job,
            step=step,
            mark=watermark,
            columns=columns,
            origin=bookmark.origin,
            run_id=run_id,
            known_columns=known,
        )
    )
