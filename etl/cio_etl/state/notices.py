"""What of a job is not as it should be, by channel, and whether the channel was told.

Whoever changes it holds the lock of the job's notices, which ends with its process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple, fields

from sqlalchemy import delete, insert, select, update

from cio_etl.model import Condition, ConditionKind, Conditions, NoticeSent
from cio_etl.state import tables
from cio_etl.state.connect import Where
from cio_etl.state.lock import hold
from cio_etl.state.store import Store


@contextmanager
def telling(where: Where, job: str, wait_s: float) -> Iterator[None]:
    """Lets one process at a time into the block, which tells the channels of a job. Raises JobLocked after `wait_s`."""
    with hold(where, f"{job}.notices", wait_s):
        yield


def conditions(store: Store, job: str, channel: str) -> dict[ConditionKind, Condition]:
    """The conditions of a job, as one of its channels knows them or is to know them."""
    table = tables.notice
    query = select(table).where(table.c.job == job, table.c.channel == channel)
    with store.transaction() as connection:
        rows = [dict(row._mapping) for row in connection.execute(query)]
    return {row.pop("kind"): Condition(**{each.name: row[each.name] for each in fields(Condition)}) for row in rows}


def write_conditions(store: Store, job: str, channel: str, conditions: Conditions) -> None:
    """Replaces the conditions of a job and a channel."""
    table = tables.notice
    rows = [{"job": job, "channel": channel, "kind": kind, **asdict(each)} for kind, each in conditions.items()]
    with store.transaction() as connection:
        connection.execute(delete(table).where(table.c.job == job, table.c.channel == channel))
        if rows:
            connection.execute(insert(table), rows)


def note_notices(store: Store, run_id: str, notices: tuple[NoticeSent, ...]) -> None:
    """Notes what was sent at a run's end."""
    text = json.dumps([astuple(each) for each in notices]) if notices else None
    with store.transaction() as connection:
        connection.execute(update(tables.run).where(tables.run.c.run_id == run_id).values(notices=text))


def notices_of(text: str | None) -> tuple[NoticeSent, ...]:
    """What was sent at a run's end, of its record."""
    return tuple(NoticeSent(*each) for each in json.loads(text or "[]"))
