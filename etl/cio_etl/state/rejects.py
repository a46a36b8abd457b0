"""Stores rejects: counted, read, and closed; and which are open over all runs of a job, since when.

A run closes rejects of earlier runs in three places: in the commit that acknowledges the row (commit.py), with what the
ledger says of the rows (Store.note_delta), and in the transaction in which a step finishes (Store.end_step).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, get_args

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    Text,
    bindparam,
    delete,
    func,
    literal,
    select,
    true,
    tuple_,
    union_all,
    update,
)

from cio_etl.model import BY_HAND, ClosedAs, ClosedRejects, OpenRejects
from cio_etl.model.records import dataclass
from cio_etl.state import tables
from cio_etl.state.commit import ReplayedRejects, close_rejects
from cio_etl.state.database import Database

if TYPE_CHECKING:
    import polars as pl

_IS_OPEN = tables.reject.c.closed_by.is_(None)
_KEYS = ("reject_id", "subject", "content")

# Queries of each run, built once: to build one takes several times as long as to execute it.
_OF_STEP = (tables.reject.c.run_id == bindparam("run_id"), tables.reject.c.step == bindparam("step"))
_COUNTS = (
    select(tables.reject.c.reason, tables.reject.c.field, func.count().label("rows"))
    .where(*_OF_STEP)
    .group_by(tables.reject.c.reason, tables.reject.c.field)
    .order_by(func.count().desc(), tables.reject.c.reason, tables.reject.c.field)
)
_FIRST = (
    select(tables.reject.c.position)
    .where(*_OF_STEP, tables.reject.c.reason == bindparam("reason"))
    .where(tables.reject.c.field.is_not_distinct_from(bindparam("field")))
    .order_by(tables.reject.c.position)
    .limit(bindparam("first"))
)
_CLOSED = ("closed_by", "closed_as", "closed_note")
_COLUMNS = ("position", "reason", "field", "message", "reject_id", *_CLOSED, "subject", "content")
_NUMBERS = ("position", "reject_id", "subject", "content")
_REJECTS = select(*(tables.reject.c[name] for name in _COLUMNS)).where(*_OF_STEP).order_by(tables.reject.c.position)
_STEPS_OF_NAME = (
    select(tables.step.c.run_id, tables.step.c.number)
    .join_from(tables.step, tables.run)
    .where(tables.run.c.job == bindparam("of_job"), tables.step.c.name == bindparam("of_step"))
)
_IS_OF_STEP = tuple_(tables.reject.c.run_id, tables.reject.c.step).in_(_STEPS_OF_NAME)  # of a job, in whichever run
_OPEN_KEYS = select(*(tables.reject.c[name] for name in _KEYS)).where(_IS_OPEN, _IS_OF_STEP)
_OPEN_KEYS_BUT = _OPEN_KEYS.where(tables.reject.c.run_id != bindparam("but_of"))
_SALT = select(tables.salt.c.number)


@dataclass(frozen=True, slots=True)
class Rejected:
    """Rejected rows of one reason and field in a step, and the first few positions."""

    reason: str
    field: str | None
    rows: int
    first: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GoneRejects:
    """That a step has read all of its source: open rejects of it that this run has not closed are gone from there."""

    job: str
    step: str
    with_subject: bool = True  # False: only rejects that are about no subject, see rejects.close_gone


class Rejects(Database):
    """The rejects of all runs: a part of the state."""

    # ---- of one run

    def reject_counts(self, run_id: str, number: int, first: int = 3) -> list[Rejected]:
        """Rejected rows by reason and field, the most frequent first."""
        here = {"run_id": run_id, "step": number}
        with self.transaction() as connection:
            groups = connection.execute(_COUNTS, here).all()
            return [
                Rejected(
                    reason,
                    field,
                    rows,
                    tuple(connection.scalars(_FIRST, {**here, "reason": reason, "field": field, "first": first})),
                )
                for reason, field, rows in groups
            ]

    def rejects(self, run_id: str, number: int) -> pl.DataFrame:
        """Every reject of a step: position, reject_id, subject and content Int64, reason, field, message, closed_by,
        closed_as and closed_note String; in order of position."""
        import polars as pl

        with self.transaction() as connection:
            rows = connection.execute(_REJECTS, {"run_id": run_id, "step": number}).all()
        schema = {name: pl.Int64 if name in _NUMBERS else pl.String for name in _COLUMNS}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def open_rejects(self, run_id: str) -> int:
        """How many rejects of a run are open."""
        query = select(func.count()).where(tables.reject.c.run_id == run_id, tables.reject.c.closed_by.is_(None))
        with self.transaction() as connection:
            return int(connection.execute(query).scalar_one())

    def open_rejects_by_run(self) -> dict[str, int]:
        """How many rejects of each run are open; a run without one is omitted."""
        run_id = tables.reject.c.run_id
        query = select(run_id, func.count()).where(tables.reject.c.closed_by.is_(None)).group_by(run_id)
        with self.transaction() as connection:
            return {run: int(rejects) for run, rejects in connection.execute(query)}

    # ---- over all runs of a job

    def open_rejects_of(self, job: str) -> int:
        """How many rejects of all runs of a job are open."""
        in_job = tables.reject.c.run_id.in_(select(tables.run.c.run_id).where(tables.run.c.job == job))
        with self.transaction() as connection:
            return int(connection.execute(select(func.count()).where(in_job, _IS_OPEN)).scalar_one())

    def open_reasons(self, job: str | None = None) -> list[OpenRejects]:
        """The open rejects of a job, or of each job, by step, reason and field; the most frequent first."""
        reject, run, step = tables.reject.c, tables.run.c, tables.step.c
        groups = (reject.run_id, reject.step, reject.reason, reject.field)
        counts = select(*groups, func.count().label("rows"), func.min(reject.since).label("since")).where(_IS_OPEN)
        if job is not None:
            counts = counts.where(reject.run_id.in_(select(run.run_id).where(run.job == job)))
        counted = counts.group_by(*groups).subquery()
        since = func.coalesce(counted.c.since, run.started_at)
        query = (
            select(run.job, step.name, counted.c.reason, counted.c.field, counted.c.rows, since, run.run_id)
            .join_from(counted, tables.run, counted.c.run_id == run.run_id)
            .join(tables.step, (step.run_id == counted.c.run_id) & (step.number == counted.c.step))
            .order_by(run.sequence, run.run_id)
        )
        found: dict[tuple[str, str, str, str | None], OpenRejects] = {}
        with self.transaction() as connection:
            for in_job, name, reason, field, rows, first, run_id in connection.execute(query):
                key = (in_job, name, reason, field)
                before = found.get(key, OpenRejects(*key, rows=0, since=first, runs=()))
                found[key] = OpenRejects(*key, before.rows + rows, min(before.since, first), (*before.runs, run_id))
        return sorted(found.values(), key=lambda each: (each.job, -each.rows, each.step, each.reason, each.field or ""))

    def closed_rejects(self, *, of_run: str | None = None, by_run: str | None = None) -> list[ClosedRejects]:
        """The closed rejects of a run, or those of earlier runs that a run has closed, by how they were closed.

        Without what a replay rejected again: that is open in the run whose reject it is, and was never closed.
        """
        return self._closed(closed_of(), [of_run]) if of_run is not None else self._closed(closed_by(), [by_run or ""])

    def _closed(self, query: Select[Any], run_ids: Collection[str]) -> list[ClosedRejects]:
        with self.transaction() as connection:
            found = [ClosedRejects(*row) for row in connection.execute(query, {"run_ids": [*run_ids]})]
        return [each for each in found if each.rows]

    def first_rejected(self, run_id: str, number: int) -> dict[tuple[str, str | None], str]:
        """By reason and field: since when the oldest open reject of a step is open, where an earlier run began it."""
        reject = tables.reject.c
        query = select(reject.reason, reject.field, func.min(reject.since))
        query = query.where(_IS_OPEN, reject.run_id == run_id, reject.step == number, reject.since.is_not(None))
        with self.transaction() as connection:
            groups = connection.execute(query.group_by(reject.reason, reject.field))
            return {(reason, field): since for reason, field, since in groups}

    def open_keys(self, job: str, step: str, but_of: str | None = None) -> pl.DataFrame:
        """The keys of a step's open rejects, in all runs of the job but one: reject_id, subject and content Int64."""
        import polars as pl

        query, wanted = (_OPEN_KEYS, {}) if but_of is None else (_OPEN_KEYS_BUT, {"but_of": but_of})
        with self.transaction() as connection:
            rows = connection.execute(query, {"of_job": job, "of_step": step, **wanted}).all()
        return pl.DataFrame(
            [*zip(*rows, strict=True)] or None, schema=dict.fromkeys(_KEYS, pl.Int64), orient="col"
        ).sort("reject_id")

    def ends(self, job: str, step: str) -> pl.DataFrame:
        """The keys of a step's rejects in whose place no other one is open: as `open_keys`, and is_open Boolean."""
        import polars as pl

        reject = tables.reject
        columns = (*(reject.c[name] for name in _KEYS), _IS_OPEN)
        is_end = _IS_OPEN | reject.c.closed_as.is_distinct_from("rejected")
        query = select(*columns).where(is_end, _IS_OF_STEP).order_by(reject.c.reject_id)
        with self.transaction() as connection:
            rows = connection.execute(query, {"of_job": job, "of_step": step}).all()
        schema = {**dict.fromkeys(_KEYS, pl.Int64), "is_open": pl.Boolean}
        return pl.DataFrame([tuple(row) for row in rows], schema=schema, orient="row")

    def salt(self) -> int:
        """The seed of the hashes by which rejects are found; one for the whole state."""
        with self.transaction() as connection:
            return int(connection.execute(_SALT).scalar_one())

    # ---- closed, and removed

    def close_by_hand(self, run_id: str, note: str, reason: str | None = None) -> int:
        """Closes the open rejects of a run, of one reason if that is given, for what the note says; how many."""
        change = update(tables.reject).where(tables.reject.c.run_id == run_id, _IS_OPEN)
        if reason is not None:
            change = change.where(tables.reject.c.reason == reason)
        with self.transaction() as connection:
            return connection.execute(change.values(closed_by=BY_HAND, closed_as="hand", closed_note=note)).rowcount

    def close_skipped(self, run_id: str, number: int, replayed: ReplayedRejects) -> None:
        """Closes all rejects of a finished step of a replay, except those whose rows were rejected again."""
        if not replayed.closes:
            return
        rejected = set(self.rejects(run_id, number)["position"])
        closed = [row for position, row in enumerate(replayed.reject_ids.tolist()) if position not in rejected]
        with self.transaction() as connection:
            close_rejects(connection, run_id, [(row, "skipped") for row in closed])

    def erase_rejects(self, rejects: Collection[int], messages: Collection[int]) -> None:
        """Removes rejects, and the messages of others, by their reject_id: SQLite's file has neither any more.

        A server keeps removed rows until it cleans its tables and logs.
        """
        table = tables.reject
        with self.transaction() as connection:
            this = table.c.reject_id == bindparam("this")
            for change, wanted in ((delete(table), rejects), (update(table).values(message=""), messages)):
                if wanted:
                    connection.execute(change.where(this), [{"this": each} for each in wanted])
        if not self.is_shared and (rejects or messages):
            self.rewrite_file()


@cache  # a run asks seven times: to build the statement takes longer than to execute it
def closed_of() -> Select[Any]:
    """The rejects of the runs `run_ids` that are closed: the columns of ClosedRejects, also of steps without any."""
    return _closed_groups(tables.reject.c.run_id, tables.reject.c.closed_by, get_args(ClosedAs))


@cache
def closed_by(ways: tuple[ClosedAs, ...] = get_args(ClosedAs)) -> Select[Any]:
    """What the runs `run_ids` have closed in these ways: as `closed_of`."""
    return _closed_groups(tables.reject.c.closed_by, tables.reject.c.run_id, ways)


def _closed_groups(given: Column[Any], other: Column[Any], ways: Sequence[ClosedAs]) -> Select[Any]:
    """Closed rejects by run, step, way and closer, where `given` is one of the runs `run_ids`, a parameter.

    It goes from each run that `other` has to the next one by an index, and counts what is there: to compare a million
    rejects one by one, as GROUP BY does, takes five times as long.
    """
    reject, run, step = tables.reject.c, tables.run.c, tables.step.c
    way = union_all(*(select(literal(each, Text).label("closed_as")) for each in ways)).subquery()

    def first(run_id: ColumnElement[str], way: ColumnElement[str], *after: ColumnElement[bool]) -> ColumnElement[str]:
        here = (given == run_id, reject.closed_as == way, reject.closed_by.is_not(None), *after)
        return select(other).where(*here).order_by(other).limit(1).scalar_subquery()

    begin = select(
        run.run_id.label("given"), way.c.closed_as, first(run.run_id, way.c.closed_as).label("other")
    ).join_from(tables.run, way, true())
    walk = begin.where(run.run_id.in_(bindparam("run_ids", expanding=True))).cte(recursive=True)
    following = first(walk.c.given, walk.c.closed_as, other > walk.c.other)
    walk = walk.union_all(select(walk.c.given, walk.c.closed_as, following).where(walk.c.other.is_not(None)))
    of, by = (walk.c.given, walk.c.other) if given is reject.run_id else (walk.c.other, walk.c.given)
    here = (reject.run_id == of, reject.closed_as == walk.c.closed_as, reject.closed_by == by)
    rows = select(func.count()).where(*here, reject.step == step.number, reject.closed_by.is_not(None))
    columns = (of, step.name, walk.c.closed_as, by, rows.scalar_subquery())
    query = select(*columns).join_from(walk, tables.step, step.run_id == of)
    return query.order_by(of, step.number, walk.c.closed_as, by)


def close_gone(connection: Connection, run_id: str, job: str, step: str, *, with_subject: bool) -> None:
    """Closes the open rejects of a step in all other runs: its source, read as a whole, does not have them any more.

    Without `with_subject`, those stay open that are about a subject: some row of the source says of nobody whom it is
    about, so it may be theirs.
    """
    here = [_IS_OPEN, tables.reject.c.run_id != run_id, _IS_OF_STEP]
    if not with_subject:
        here.append(tables.reject.c.subject.is_(None))
    change = update(tables.reject).where(*here).values(closed_by=run_id, closed_as="gone")
    connection.execute(change, {"of_job": job, "of_step": step})
