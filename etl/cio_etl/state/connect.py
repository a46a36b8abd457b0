"""How is a state opened, and made or brought up to date if need be? A file of SQLite, or tables of PostgreSQL.

A folder holds `state.db`; processes of one machine share it, one run of a job at a time. A database's address names a
server that several machines share; the tables are in its schema `cio_etl`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, select, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.schema import CreateSchema

from cio_etl.errors import StateError
from cio_etl.state import tables
from cio_etl.state.faults import place, unusable
from cio_etl.state.filesystem import identity, mount_table, require_local, require_same

Where = Path | SecretStr  # the folder that holds the state, or the address of the database that does

# How a server is spoken to, unless its address says otherwise: one that is gone is found out in a minute, not in hours.
_CONNECTING = {
    "application_name": "cio-etl",
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
_MIGRATING = 0x63696F65746C  # "cioetl": the advisory lock of who makes or changes the tables


def exists(where: Where) -> bool:
    """Whether there is a state; asking makes none. Raises StateError when a server cannot be asked."""
    if isinstance(where, Path):
        return (where / "state.db").exists()
    engine = _connected(server_address(where))
    try:
        return _version(engine) > 0
    except SQLAlchemyError as error:
        raise unusable(engine, error) from None
    finally:
        engine.dispose()


def open_engine(where: Where, mounts: str | None = None) -> Engine:
    """The state's database, made and brought up to date. Raises StateError, see open_store."""
    if isinstance(where, SecretStr):
        return _ready(_connected(server_address(where)), _migrate_server)
    return _ready(_of_file(where, mount_table() if mounts is None else mounts), _migrate_file)


def _ready(engine: Engine, migrate: Callable[[Engine], None]) -> Engine:
    try:
        migrate(engine)
    except BaseException as error:
        engine.dispose()
        if isinstance(error, SQLAlchemyError):
            raise unusable(engine, error) from None
        raise
    return engine


def server_address(where: SecretStr) -> URL:
    """The address, with the driver that is used. Raises StateError, without showing it, when it is not PostgreSQL's."""
    url = None
    with suppress(ArgumentError, ValueError):
        url = make_url(where.get_secret_value())
    if url is None or url.get_backend_name() not in ("postgresql", "postgres"):
        remedy = "write postgresql://user:password@host:port/database, with signs in the password as %40 for @"
        raise StateError(remedy, place="state.database", what="it is not the address of a PostgreSQL database")
    return url.set(drivername="postgresql+psycopg").set(query={**_CONNECTING, **url.query})


def guard(engine: Engine) -> Callable[[], None]:
    """What raises StateError when the database is no more the one that was opened: what is written would be lost."""
    if engine.dialect.name != "sqlite":
        return lambda: None
    path = Path(str(engine.url.database))
    known = identity(path)
    return lambda: require_same(path, known)


# ---------------------------------------------------------------- a file


def _of_file(folder: Path, mounts: str) -> Engine:
    require_local(folder, mounts)
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
    return engine


def _prepare(connection: Any, _record: object) -> None:
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF"):
        connection.execute(f"PRAGMA {pragma}")


def _migrate_file(engine: Engine) -> None:
    with engine.begin() as connection:
        version = connection.execute(text("PRAGMA user_version")).scalar_one()
        _refuse_newer(engine, version)
        if version and _was_left_running(connection):
            found = connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
            if found != "ok":
                raise StateError(
                    "keep the file, move it away, and start anew with --restart",
                    place=place(engine),
                    what=f"the state database is damaged ({found.splitlines()[0][:80]})",
                )
    if version == tables.SCHEMA_VERSION:
        return
    with engine.begin() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # one process makes it, the others find it made
        version = connection.execute(text("PRAGMA user_version")).scalar_one()
        if 0 < version < tables.SCHEMA_VERSION:
            _back_up(engine, version)
        _change(connection, version)
        connection.execute(text(f"PRAGMA user_version = {tables.SCHEMA_VERSION}"))


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


# ---------------------------------------------------------------- a server


def _connected(url: URL) -> Engine:
    """Which connects when it is first asked."""
    try:
        engine = create_engine(url, hide_parameters=True, pool_pre_ping=True, pool_size=4, max_overflow=8)
    except ImportError:
        remedy = "pip install 'cio-etl[postgres]'"
        raise StateError(remedy, place="state.database", what="the driver for PostgreSQL is not installed") from None
    return engine.execution_options(schema_translate_map={None: tables.SCHEMA})


def _migrate_server(engine: Engine) -> None:
    if _version(engine) == tables.SCHEMA_VERSION:
        return
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})
        if not inspect(connection).has_schema(tables.SCHEMA):  # who may not make one may have been given one
            connection.execute(CreateSchema(tables.SCHEMA))
        made = inspect(connection).has_table("version", schema=tables.SCHEMA)
        version = connection.execute(select(tables.version.c.number)).scalar_one() if made else 0
        _refuse_newer(engine, version)
        _change(connection, version)
        connection.execute(tables.version.delete())
        connection.execute(tables.version.insert().values(number=tables.SCHEMA_VERSION))


def _version(engine: Engine) -> int:
    """Of the tables that are there; 0: none."""
    with engine.begin() as connection:
        if not inspect(connection).has_table("version", schema=tables.SCHEMA):
            return 0
        found = int(connection.execute(select(tables.version.c.number)).scalar_one())
    _refuse_newer(engine, found)
    return found


# ---------------------------------------------------------------- either


def _refuse_newer(engine: Engine, version: int) -> None:
    if version > tables.SCHEMA_VERSION:
        what = f"written by a newer version of this program (schema {version})"
        raise StateError("upgrade cio-etl on this machine", place=place(engine), what=what)


def _change(connection: Connection, version: int) -> None:
    """Makes the tables, or leads those of an older version to this one; in the transaction that is under way."""
    for change in chain.from_iterable(_CHANGES[version:] if version else ()):
        connection.execute(text(change))
    metadata = tables.metadata
    there = [each for each in metadata.sorted_tables if each is not tables.version or _is_server(connection)]
    metadata.create_all(connection, tables=there)


def _is_server(connection: Connection) -> bool:
    return connection.dialect.name != "sqlite"


# What leads from each version to the next, where it is more than a new table; nothing leads to the first. Up to the
# fifth there was SQLite only.
_CHANGES: tuple[tuple[str, ...], ...] = (
    (),
    ("ALTER TABLE run ADD COLUMN since VARCHAR(200)",),
    (
        "ALTER TABLE step ADD COLUMN findings TEXT NOT NULL DEFAULT '[]'",
        "ALTER TABLE reject ADD COLUMN closed_by VARCHAR(120)",
    ),
    ("ALTER TABLE step ADD COLUMN columns TEXT",),
    (
        "ALTER TABLE run ADD COLUMN sequence BIGINT",
        "UPDATE run SET sequence = rowid",
        "ALTER TABLE lane ADD COLUMN owner TEXT",
        "ALTER TABLE lane ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE lane ADD COLUMN until DOUBLE NOT NULL DEFAULT 0",
        "ALTER TABLE lane ADD COLUMN done BOOLEAN NOT NULL DEFAULT 0",
    ),
)
