"""Creates the tables of a state, or migrates those of an older schema to the current one.

One process does it, in one transaction; the others wait and use the result. Before a file is changed, it is copied to
`state.v4.db`, where 4 is its schema.
"""

from __future__ import annotations

import functools
import os
import secrets
from pathlib import Path

from sqlalchemy import Connection, Dialect, Engine, insert, inspect, select, text
from sqlalchemy.schema import CreateIndex, CreateSchema, CreateTable

from cio_etl.errors import StateError
from cio_etl.state import tables
from cio_etl.state.faults import place

_LOCK_KEY = 0x63696F65746C  # "cioetl": the advisory lock of the process that migrates

# Schema 11 says since when each open reject is open. Under schema 10, each night closed the reject of the night before
# and opened its own: the way back, by step and key, ends at the run that rejected the row first.
_FIRST_REJECTED = (
    "CREATE INDEX reject_again ON reject (closed_by, coalesce(subject, content)) WHERE closed_as = 'rejected'",
    """CREATE TABLE first_rejected AS
    WITH RECURSIVE chain (run_id, step, reject_key, name, at_run) AS (
        SELECT DISTINCT reject.run_id, reject.step, coalesce(reject.subject, reject.content), step.name, reject.run_id
        FROM reject JOIN step ON step.run_id = reject.run_id AND step.number = reject.step
        WHERE reject.closed_by IS NULL AND coalesce(reject.subject, reject.content) IS NOT NULL
        UNION
        SELECT chain.run_id, chain.step, chain.reject_key, chain.name, earlier.run_id
        FROM chain
        JOIN reject AS earlier ON earlier.closed_by = chain.at_run AND earlier.closed_as = 'rejected'
            AND coalesce(earlier.subject, earlier.content) = chain.reject_key
        JOIN step ON step.run_id = earlier.run_id AND step.number = earlier.step AND step.name = chain.name
    )
    SELECT chain.run_id, chain.step, chain.reject_key, min(run.started_at) AS since
    FROM chain JOIN run ON run.run_id = chain.at_run
    GROUP BY chain.run_id, chain.step, chain.reject_key
    HAVING count(*) > 1""",
    "CREATE INDEX first_rejected_key ON first_rejected (reject_key, run_id, step)",
    """UPDATE reject SET since = (
        SELECT first_rejected.since FROM first_rejected
        WHERE first_rejected.reject_key = coalesce(reject.subject, reject.content)
            AND first_rejected.run_id = reject.run_id AND first_rejected.step = reject.step
    )
    WHERE closed_by IS NULL AND (subject IS NOT NULL OR content IS NOT NULL)""",
    "DROP TABLE first_rejected",
    "DROP INDEX reject_again",
)

# The statements that lead from each schema to the next one. New tables need none: `_migrate` creates missing tables.
# Older schemas than these were never released.
MIGRATIONS: dict[int, tuple[str, ...]] = {
    4: (
        "ALTER TABLE run ADD COLUMN sequence BIGINT",
        "UPDATE run SET sequence = rowid",
        "ALTER TABLE lane ADD COLUMN owner TEXT",
        "ALTER TABLE lane ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE lane ADD COLUMN until DOUBLE NOT NULL DEFAULT 0",
        "ALTER TABLE lane ADD COLUMN done BOOLEAN NOT NULL DEFAULT 0",
    ),
    5: ("ALTER TABLE step ADD COLUMN delta TEXT",),
    6: ("ALTER TABLE step ADD COLUMN omitted TEXT",),
    7: ("ALTER TABLE source ADD COLUMN known_columns TEXT",),
    8: ("ALTER TABLE run ADD COLUMN notices TEXT",),
    9: (
        "ALTER TABLE reject ADD COLUMN closed_as TEXT",
        "ALTER TABLE reject ADD COLUMN closed_note TEXT",
        "ALTER TABLE reject ADD COLUMN subject BIGINT",
        "ALTER TABLE reject ADD COLUMN content BIGINT",
        "CREATE INDEX reject_open ON reject (run_id, step, reason, field, closed_by, subject, content) "
        "WHERE closed_by IS NULL",
        "CREATE INDEX reject_closed ON reject (closed_by, closed_as, run_id, step) WHERE closed_by IS NOT NULL",
    ),
    10: (
        "ALTER TABLE reject ADD COLUMN since TEXT",
        "DROP INDEX reject_open",
        "CREATE INDEX reject_open ON reject (run_id, step, reason, field, closed_by, subject, content, since) "
        "WHERE closed_by IS NULL",
        "UPDATE reject SET closed_as = 'replay' "
        "WHERE closed_by IS NOT NULL AND closed_by <> run_id AND closed_as IS NULL",
        "CREATE INDEX reject_closed_of ON reject (run_id, closed_as, closed_by, step) WHERE closed_by IS NOT NULL",
        *_FIRST_REJECTED,
    ),
    11: (),  # the table of earlier ends is new
}

_RUNNING = select(tables.run.c.run_id).where(tables.run.c.status == "running").limit(1)


def migrate(engine: Engine) -> None:
    """Brings the tables to the current schema. Raises StateError when the state is damaged or of another program."""
    if engine.dialect.name == "sqlite":
        _migrate_file(engine)
    else:
        _migrate_server(engine)


def schema_version(engine: Engine) -> int:
    """The schema of the tables on a server; 0: there are none. Raises StateError when it is newer than this program."""
    with engine.begin() as connection:
        if not inspect(connection).has_table("version", schema=tables.SCHEMA):
            return 0
        version = int(connection.execute(select(tables.version.c.number)).scalar_one())
    _check_version(engine, version)
    return version


def require_current_schema(engine: Engine) -> None:
    """Changes nothing. Raises StateError for tables that this program would have to migrate, or cannot use."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            version = _version_of_file(connection)
        _check_version(engine, version)
    else:
        version = schema_version(engine)
    if version == 0:
        raise StateError("run a job that has its state there", place=place(engine), what="it holds no state")
    if version < tables.SCHEMA_VERSION:
        what = f"written by an older version of this program (schema {version})"
        remedy = "run `cio-etl status` over this state once, while no run is at work: it converts the tables"
        raise StateError(remedy, place=place(engine), what=what)


def _migrate_file(engine: Engine) -> None:
    with engine.begin() as connection:
        version = _version_of_file(connection)
        _check_version(engine, version)
        if version and _has_running_run(connection):
            result = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
            if result != "ok":
                raise StateError(
                    "keep the file, move it away, and start again with --restart",
                    place=place(engine),
                    what=f"the state database is damaged ({result.splitlines()[0][:80]})",
                )
    if version == tables.SCHEMA_VERSION:
        return
    with engine.begin() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # one process migrates, the others wait here
        version = _version_of_file(connection)
        if 0 < version < tables.SCHEMA_VERSION:
            _back_up(engine, version)
        _migrate(connection, version)
        connection.exec_driver_sql(f"PRAGMA user_version = {tables.SCHEMA_VERSION}")


def _version_of_file(connection: Connection) -> int:
    """The schema of the tables in a file; 0: there are none."""
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())


def _back_up(engine: Engine, version: int) -> None:
    """Copies the database as it is to a file beside it."""
    copy = Path(place(engine)).with_suffix(f".v{version}.db")
    copy.unlink(missing_ok=True)
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # VACUUM INTO takes an empty file
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM INTO :copy"), {"copy": str(copy)})


def _has_running_run(connection: Connection) -> bool:
    """Whether a process died during a run. Only then is it worth reading the whole file to check it."""
    return connection.execute(_RUNNING).first() is not None


def _migrate_server(engine: Engine) -> None:
    if schema_version(engine) == tables.SCHEMA_VERSION:
        return
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        if not inspect(connection).has_schema(tables.SCHEMA):  # an administrator may have created it for this user
            connection.execute(CreateSchema(tables.SCHEMA))
        has_tables = inspect(connection).has_table("version", schema=tables.SCHEMA)
        version = connection.execute(select(tables.version.c.number)).scalar_one() if has_tables else 0
        _check_version(engine, version)
        _migrate(connection, version)
        connection.execute(tables.version.delete())
        connection.execute(tables.version.insert().values(number=tables.SCHEMA_VERSION))


def _check_version(engine: Engine, version: int) -> None:
    """Raises StateError for tables that this program can neither use nor migrate."""
    if version > tables.SCHEMA_VERSION:
        what = f"written by a newer version of this program (schema {version})"
        raise StateError("upgrade cio-etl on this machine", place=place(engine), what=what)
    if 0 < version < min(MIGRATIONS):
        what = f"written by a version of this program before its first release (schema {version})"
        raise StateError("move it away; the next run then sends every row", place=place(engine), what=what)


def _migrate(connection: Connection, version: int) -> None:
    """Creates the tables, or migrates those of `version`, in the current transaction."""
    is_file = connection.dialect.name == "sqlite"
    if not is_file:  # the statements name tables without their schema
        connection.execute(text(f"SET LOCAL search_path TO {tables.SCHEMA}"))
    for old in range(version or tables.SCHEMA_VERSION, tables.SCHEMA_VERSION):
        for statement in MIGRATIONS[old]:
            connection.execute(text(statement))
    if is_file:
        for statement in _missing_of_file(connection.dialect):
            connection.exec_driver_sql(statement)
    else:
        tables.metadata.create_all(connection)
    if connection.execute(select(tables.salt.c.number)).first() is None:
        connection.execute(insert(tables.salt).values(number=secrets.randbits(63)))


@functools.cache
def _missing_of_file(dialect: Dialect) -> tuple[str, ...]:
    """What creates the tables and indexes of a file that it has not. Many states may be created in one process."""
    creating: list[CreateTable | CreateIndex] = []
    for table in tables.metadata.sorted_tables:
        if table is not tables.version:
            indexes = sorted(table.indexes, key=lambda index: str(index.name))
            creating.append(CreateTable(table, if_not_exists=True))
            creating.extend(CreateIndex(index, if_not_exists=True) for index in indexes)
    return tuple(str(each.compile(dialect=dialect)) for each in creating)
