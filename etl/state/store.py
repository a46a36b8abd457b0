"""Which runs are there, how far is each, and what does a resume go on from?"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import polars as pl
from sqlalchemy import URL, Connection, Engine, create_engine, delete, event, func, insert, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from etl.errors import StateError
from etl.model import Finding, LaneMark, RejectCount, SourceFile
from etl.sources import Mark
from etl.state import tables
from etl.state.marks import Again, Marks, close, place, unusable
from etl.state.whereabouts import mount_table, require_local

RESUMABLE = ("running", "stopped", "failed")


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as the state knows it."""

    run_id: str
    job: str
    job_file: str
    status: Literal["running", "finished", "stopped", "failed", "abandoned"]
    started_at: str
    finished_at: str | None
    exit_code: int | None
    reason: str | None
    lanes: int
    lane_hash: str
    row_limit: int | None
    destination: str
    since: str | None = None


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step as the state knows it; `fingerprint`, `files` and `rows` are None until it has begun."""

    number: int
    name: str
    status: Literal["waiting", "running", "finished"]
    fingerprint: str | None
    files: tuple[SourceFile, ...] | None
    mapping: str
    rows: int | None
    rows_read: int
    seconds: float
    rejects: tuple[RejectCount, ...]  # as of the last time a process left the step
    findings: tuple[Finding, ...] = ()
    columns: str | None = None  # what was noted of the source's columns before the first row was sent


@dataclass(frozen=True, slots=True)
class Rejected:
    """Rejected rows of one reason and field in a step, and the first few positions."""

    reason: str
    field: str | None
    rows: int
    first: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Left:
    """What a step's last finished run left for the next: its mark, and the kinds of the columns that it read."""

    mark: Mark | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""  # what the mark is of, as a digest


class Store:
    """The state of all runs in one folder."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine = engine
        self._path = path

    def close(self) -> None:
        self._engine.dispose()

    # ---- writing

    def begin(self, run: RunRecord, steps: Sequence[tuple[str, str]]) -> None:
        """Adds a run and its steps, each (name, canonical mapping); their lanes come when a step begins."""
        with self._transaction() as connection:
            connection.execute(insert(tables.run), _values(run))
            rows = [
                {"run_id": run.run_id, "number": number, "name": name, "status": "waiting", "mapping": mapping}
                for number, (name, mapping) in enumerate(steps)
            ]
            connection.execute(insert(tables.step), rows)

    def begin_step(
        self, run_id: str, number: int, fingerprint: str, files: Sequence[SourceFile], rows: int, lanes: int
    ) -> None:
        """Marks a step as running over a snapshot, with its lanes at their start."""
        with self._transaction() as connection:
            here = (tables.lane.c.run_id == run_id, tables.lane.c.step == number)
            connection.execute(delete(tables.lane).where(*here))
            connection.execute(
                _step(run_id, number).values(
                    status="running",
                    fingerprint=fingerprint,
                    files=json.dumps([[file.path, file.bytes, file.sha256, file.rows] for file in files]),
                    rows=rows,
                )
            )
            marks = [{"run_id": run_id, "step": number, **_values(LaneMark(lane))} for lane in range(lanes)]
            connection.execute(insert(tables.lane), marks)

    def note_findings(self, run_id: str, number: int, findings: Sequence[Finding]) -> None:
        """Notes what was found out about a step's rows before the first was sent."""
        noted = json.dumps([list(_values(finding).values()) for finding in findings])
        with self._transaction() as connection:
            connection.execute(_step(run_id, number).values(findings=noted))

    def note_columns(self, run_id: str, number: int, columns: str) -> None:
        """Notes what a later replay must know of the source's columns."""
        with self._transaction() as connection:
            connection.execute(_step(run_id, number).values(columns=columns))

    def marks(self, run_id: str, number: int, again: Again | None = None) -> Marks:
        """What commits the lanes of a step; `again`: its rows are rejects that are sent again."""
        return Marks(self._engine, self._path, run_id, number, again)

    def close_left_out(self, run_id: str, number: int, again: Again) -> None:
        """Closes the rejects of a replay's step that is through, but for those that are rejected once more."""
        if not again.closes:
            return
        rejected = set(self.rejects(run_id, number)["position"])
        closed = [row for position, row in enumerate(again.reject_ids.tolist()) if position not in rejected]
        with self._transaction() as connection:
            close(connection, run_id, closed)

    def leave_step(
        self,
        run_id: str,
        number: int,
        *,
        finished: bool,
        rows_read: int,
        seconds: float,
        rejects: Sequence[RejectCount],
        left: Left | None = None,
    ) -> None:
        """Notes what a step has come to; `seconds` add up over the processes that worked on it.

        What a finished step leaves for the next run is noted in the same transaction: a mark moves with its last row.
        """
        with self._transaction() as connection:
            if finished and left is not None:
                self._leave(connection, run_id, number, left)
            connection.execute(
                _step(run_id, number).values(
                    status="finished" if finished else "running",
                    rows_read=rows_read,
                    seconds=tables.step.c.seconds + seconds,
                    rejects=json.dumps([[each.reason, each.field, each.rows, each.first_rows] for each in rejects]),
                )
            )

    def _leave(self, connection: Connection, run_id: str, number: int, left: Left) -> None:
        of = select(tables.run.c.job, tables.step.c.name).join_from(tables.step, tables.run)
        job, step = connection.execute(of.where(tables.step.c.run_id == run_id, tables.step.c.number == number)).one()
        connection.execute(delete(tables.source).where(tables.source.c.job == job, tables.source.c.step == step))
        mark = None if left.mark is None else left.mark.to_text()
        columns = json.dumps(dict(left.columns))
        connection.execute(
            insert(tables.source).values(
                job=job, step=step, mark=mark, columns=columns, origin=left.origin, run_id=run_id
            )
        )

    def end(self, run_id: str, status: str, exit_code: int | None, reason: str | None) -> None:
        """Notes how a run ended; status running takes a stopped one up again."""
        finished_at = None if status == "running" else datetime.now(UTC).isoformat(timespec="seconds")
        change = update(tables.run).where(tables.run.c.run_id == run_id)
        with self._transaction() as connection:
            connection.execute(
                change.values(status=status, exit_code=exit_code, reason=reason, finished_at=finished_at)
            )

    # ---- reading

    def left(self, job: str, step: str) -> Left:
        """What the last finished run of a step left; empty when there was none."""
        table = tables.source
        query = select(table.c.mark, table.c.columns, table.c.origin).where(table.c.job == job, table.c.step == step)
        with self._transaction() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return Left()
        return Left(None if row.mark is None else Mark.of_text(row.mark), json.loads(row.columns), row.origin)

    def has_sent(self, run_id: str) -> bool:
        """Whether a lane of the run has ever announced a row."""
        announced = (tables.lane.c.run_id == run_id, tables.lane.c.sending_through >= 0)
        with self._transaction() as connection:
            return connection.execute(select(tables.lane.c.lane).where(*announced).limit(1)).first() is not None

    def unfinished(self, job: str) -> RunRecord | None:
        """The job's newest run, when it can be resumed."""
        newest = next(iter(self.runs(job, limit=1)), None)
        return newest if newest is not None and newest.status in RESUMABLE else None

    def runs(self, job: str | None = None, limit: int = 20) -> list[RunRecord]:
        """The newest runs first."""
        query = select(tables.run).order_by(text("rowid DESC")).limit(limit)
        if job is not None:
            query = query.where(tables.run.c.job == job)
        with self._transaction() as connection:
            return [RunRecord(**row._mapping) for row in connection.execute(query)]

    def run(self, run_id: str) -> RunRecord | None:
        with self._transaction() as connection:
            row = connection.execute(select(tables.run).where(tables.run.c.run_id == run_id)).one_or_none()
        return None if row is None else RunRecord(**row._mapping)

    def steps(self, run_id: str) -> list[StepRecord]:
        query = select(tables.step).where(tables.step.c.run_id == run_id).order_by(tables.step.c.number)
        with self._transaction() as connection:
            rows = [dict(row._mapping) for row in connection.execute(query)]
        for row in rows:
            del row["run_id"]
            row["rejects"] = tuple(RejectCount(r, f, n, tuple(first)) for r, f, n, first in json.loads(row["rejects"]))
            row["findings"] = tuple(
                Finding(code, severity, field, rows, words, tuple(first))
                for code, severity, field, rows, words, first in json.loads(row["findings"])
            )
            row["files"] = (
                None if row["files"] is None else tuple(SourceFile(*file) for file in json.loads(row["files"]))
            )
        return [StepRecord(**row) for row in rows]

    def lane_marks(self, run_id: str, number: int) -> list[LaneMark]:
        """The marks of a step's lanes, in order; empty before it has begun."""
        columns = [tables.lane.c[field.name] for field in fields(LaneMark)]
        query = select(*columns).where(tables.lane.c.run_id == run_id, tables.lane.c.step == number)
        with self._transaction() as connection:
            return [LaneMark(*row) for row in connection.execute(query.order_by(tables.lane.c.lane))]

    def reject_counts(self, run_id: str, number: int, first: int = 3) -> list[Rejected]:
        """Rejected rows by reason and field, the most frequent first."""
        table = tables.reject
        here = (table.c.run_id == run_id, table.c.step == number)
        query = (
            select(table.c.reason, table.c.field, func.count().label("rows"))
            .where(*here)
            .group_by(table.c.reason, table.c.field)
            .order_by(func.count().desc(), table.c.reason, table.c.field)
        )
        with self._transaction() as connection:
            found = connection.execute(query).all()
            return [
                Rejected(
                    reason,
                    field,
                    rows,
                    tuple(
                        connection.scalars(
                            select(table.c.position)
                            .where(*here, table.c.reason == reason, table.c.field.is_not_distinct_from(field))
                            .order_by(table.c.position)
                            .limit(first)
                        )
                    ),
                )
                for reason, field, rows in found
            ]

    def rejects(self, run_id: str, number: int) -> pl.DataFrame:
        """Every reject of a step: position and reject_id Int64, reason, field, message and closed_by String; in order
        of position."""
        table = tables.reject
        columns = {"position": pl.Int64, "reason": pl.String, "field": pl.String, "message": pl.String}
        columns |= {"reject_id": pl.Int64, "closed_by": pl.String}
        query = (
            select(*(table.c[name] for name in columns))
            .where(table.c.run_id == run_id, table.c.step == number)
            .order_by(table.c.position)
        )
        with self._transaction() as connection:
            return pl.DataFrame(connection.execute(query).all(), schema=columns, orient="row")

    def open_rejects(self, run_id: str) -> int:
        """How many rejects of a run are still to be mended."""
        query = select(func.count()).where(tables.reject.c.run_id == run_id, tables.reject.c.closed_by.is_(None))
        with self._transaction() as connection:
            return int(connection.execute(query).scalar_one())

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise unusable(self._engine, error) from None


def open_store(folder: Path, mounts: str | None = None) -> Store:
    """The state in `folder`, made if need be (0700, its file 0600), checked when its last run did not end.

    Raises StateError when it is damaged, newer than this program, another user's, or on a network file system, as
    `mounts` tells (None: as it is).
    """
    require_local(folder, mount_table() if mounts is None else mounts)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / "state.db"
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        if path.stat().st_uid != os.geteuid():
            raise StateError(place=path, what="it belongs to another user")
    except OSError as error:
        raise StateError(place=folder, what=error.strerror or "cannot be opened") from None
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"check_same_thread": False, "timeout": 30},
        hide_parameters=True,
    )
    event.listen(engine, "connect", _prepare)
    try:
        _migrate(engine)
    except SQLAlchemyError as error:
        raise unusable(engine, error) from None
    return Store(engine, path)


def _prepare(connection: Any, _record: object) -> None:
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF"):
        connection.execute(f"PRAGMA {pragma}")


def _migrate(engine: Engine) -> None:
    with engine.begin() as connection:
        version = connection.execute(text("PRAGMA user_version")).scalar_one()
        if version > tables.SCHEMA_VERSION:
            what = f"written by a newer version of this program (schema {version})"
            raise StateError("upgrade cio-etl on this machine", place=place(engine), what=what)
        if version and _was_left_running(connection):
            found = connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
            if found != "ok":
                raise StateError(
                    "keep the file, move it away, and start anew with --restart",
                    place=place(engine),
                    what=f"the state database is damaged ({found.splitlines()[0][:80]})",
                )
    if version < tables.SCHEMA_VERSION:
        _raise_version(engine)


def _raise_version(engine: Engine) -> None:
    """Makes the schema, or brings an older one up to date, in one transaction; the older one is kept beside it."""
    with engine.begin() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # one process makes it, the others find it made
        version = connection.execute(text("PRAGMA user_version")).scalar_one()
        if 0 < version < tables.SCHEMA_VERSION:
            _back_up(engine, version)
        for change in chain.from_iterable(_CHANGES[version:] if version else ()):
            connection.execute(text(change))
        tables.metadata.create_all(connection)
        connection.execute(text(f"PRAGMA user_version = {tables.SCHEMA_VERSION}"))


# What leads from each version to the next, where it is more than a new table; nothing leads to the first.
_CHANGES: tuple[tuple[str, ...], ...] = (
    (),
    ("ALTER TABLE run ADD COLUMN since VARCHAR(200)",),
    (
        "ALTER TABLE step ADD COLUMN findings TEXT NOT NULL DEFAULT '[]'",
        "ALTER TABLE reject ADD COLUMN closed_by VARCHAR(120)",
    ),
    ("ALTER TABLE step ADD COLUMN columns TEXT",),
)


def _back_up(engine: Engine, version: int) -> None:
    """A copy of the database as it was, beside it: state.v1.db."""
    copy = Path(place(engine)).with_suffix(f".v{version}.db")
    copy.unlink(missing_ok=True)
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # empty, it is written into
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM INTO :copy"), {"copy": str(copy)})


def _was_left_running(connection: Connection) -> bool:
    """Whether a process died over a run: only then is it worth reading the whole file."""
    running = select(tables.run.c.run_id).where(tables.run.c.status == "running").limit(1)
    return connection.execute(running).first() is not None


def _step(run_id: str, number: int) -> Any:
    return update(tables.step).where(tables.step.c.run_id == run_id, tables.step.c.number == number)


def _values(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}
