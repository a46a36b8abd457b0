"""Opens the database of a state: a file of SQLite in a folder, or PostgreSQL on a server.

A folder has `state.db`; processes of one machine share it, and one run of a job works at a time. Several machines can
share a server; the tables are in its schema `cio_etl`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from cio_etl.errors import StateError, install
from cio_etl.state import tables
from cio_etl.state.faults import unusable
from cio_etl.state.filesystem import identity, is_read_only, mount_table, require_local, require_same
from cio_etl.state.migrate import migrate, require_current_schema, schema_version

Where = Path | SecretStr  # the state's folder, or the address of its database

# Defaults for connections to a server, so that a server that is gone is noticed in a minute, not in hours.
_CONNECTING = {
    "application_name": "cio-etl",
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}


def exists_on_server(address: SecretStr) -> bool:
    """Whether a database has a state; creates nothing. Raises StateError when the server cannot be reached."""
    engine = _server_engine(server_address(address))
    try:
        return schema_version(engine) > 0
    except SQLAlchemyError as error:
        raise unusable(engine, error) from None
    finally:
        engine.dispose()


def open_engine(where: Where, mounts: str | None = None) -> Engine:
    """The state's database, with the current tables. Raises StateError, see open_store."""
    if isinstance(where, SecretStr):
        engine = _server_engine(server_address(where))
    else:
        engine = _file_engine(where, mount_table() if mounts is None else mounts)
    return _checked(engine, migrate)


def read_only_engine(where: Where) -> Engine:
    """The state's database, for reading only: nothing is created, migrated or locked.

    A file is opened anew for each transaction, so that one that has replaced it is seen. Raises StateError when there
    is no state, or when its tables are not the current ones.
    """
    if isinstance(where, SecretStr):
        engine = _server_engine(server_address(where))
        event.listen(engine, "connect", _forbid_writing)
    else:
        path = where / "state.db"
        engine = _engine_of(path, creator=lambda: _read_only(path), poolclass=NullPool)
    return _checked(engine, require_current_schema)


def _checked(engine: Engine, check: Callable[[Engine], object]) -> Engine:
    """The engine, which is closed when the check of its tables fails."""
    try:
        check(engine)
    except BaseException as error:
        engine.dispose()
        if isinstance(error, SQLAlchemyError):
            raise unusable(engine, error) from None
        raise
    return engine


def _read_only(path: Path) -> sqlite3.Connection:
    if not path.exists():
        raise StateError("run a job that has its state there", place=path.parent, what="it holds no state")
    # Where nobody can write, SQLite cannot make the files by which readers and writers know of each other.
    mode = "immutable=1" if is_read_only(path.parent) and not _has_log(path) else "mode=ro"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=5, check_same_thread=False)


def _has_log(path: Path) -> bool:
    """Whether transactions are in the log beside the database: it is at work, or was not closed."""
    log = path.with_name(f"{path.name}-wal")
    return log.exists() and log.stat().st_size > 0


def _forbid_writing(connection: Any, _record: object) -> None:
    connection.execute("SET default_transaction_read_only = on")
    connection.commit()


def server_address(where: SecretStr) -> URL:
    """The address, with the driver to use. Raises StateError, which does not show it, when it is not PostgreSQL's."""
    url = None
    with suppress(ArgumentError, ValueError):
        url = make_url(where.get_secret_value())
    if url is None or url.get_backend_name() not in ("postgresql", "postgres"):
        remedy = "write postgresql://user:password@host:port/database, and in the password %40 for @"
        raise StateError(remedy, place="state.database", what="it is not the address of a PostgreSQL database")
    return url.set(drivername="postgresql+psycopg").set(query={**_CONNECTING, **url.query})


def replacement_check(engine: Engine) -> Callable[[], None]:
    """A function that raises StateError when another file has replaced the database: what is written would be lost."""
    if engine.dialect.name != "sqlite":
        return lambda: None
    path = Path(str(engine.url.database))
    known = identity(path)
    return lambda: require_same(path, known)


# ---------------------------------------------------------------- a file


def _file_engine(folder: Path, mounts: str) -> Engine:
    require_local(folder, mounts)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / "state.db"
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        if path.stat().st_uid != os.geteuid():
            raise StateError("run as that user, or name another folder", place=path, what="it belongs to another user")
    except OSError as error:
        raise StateError.of_file(folder, error) from None
    engine = _engine_of(path, connect_args={"check_same_thread": False, "timeout": 30})
    event.listen(engine, "connect", _prepare)
    return engine


def _engine_of(path: Path, **options: Any) -> Engine:
    """An engine that shares compiled statements with the others of this process."""
    from cio_etl.state import statements  # a state on a server has no use for SQLite's dialect

    address = URL.create(statements.DRIVER, database=str(path))
    shared = {"compiled_cache": statements.COMPILED}
    return create_engine(address, hide_parameters=True, execution_options=shared, **options)


def _prepare(connection: Any, _record: object) -> None:
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF"):
        connection.execute(f"PRAGMA {pragma}")


# ---------------------------------------------------------------- a server


def _server_engine(url: URL) -> Engine:
    """An engine that connects on first use."""
    try:
        engine = create_engine(url, hide_parameters=True, pool_pre_ping=True, pool_size=4, max_overflow=8)
    except ImportError:
        what = "the driver for PostgreSQL is not installed"
        raise StateError(install("postgres"), place="state.database", what=what) from None
    return engine.execution_options(schema_translate_map={None: tables.SCHEMA})
