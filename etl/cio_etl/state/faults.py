"""Turns errors of the database into errors of this program. Their own messages may quote values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from cio_etl.errors import Interrupted, StateError

SERVER_GONE = "run the same command again when the server is back; the run is resumed"


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction. Raises StateError."""
    try:
        with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise unusable(engine, error) from None


def unusable(engine: Engine, error: SQLAlchemyError) -> StateError | Interrupted:
    """The error to raise when the database cannot be used.

    A signal that arrives while a driver waits makes the driver fail, too. Then this is the signal's error.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, Interrupted):
            return cause
        cause = cause.__context__
    if engine.dialect.name == "sqlite":
        return _file_error(engine, error)
    return _server_error(engine, error)


def place(engine: Engine) -> str:
    """The database's place for a message, without user and password."""
    url = engine.url
    if url.get_backend_name() == "sqlite":
        return url.database or "the state database"
    return f"{url.host or 'localhost'}{f':{url.port}' if url.port else ''}/{url.database or ''}"


@contextmanager
def decoding(engine: Engine) -> Iterator[None]:
    """The block reads texts that this program wrote; one that it cannot read is a damaged state's."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise _damaged(engine) from None


def _damaged(engine: Engine) -> StateError:
    remedy = "put an undamaged copy of it back"
    if engine.dialect.name == "sqlite":
        remedy = "keep the file, move it away, and start again with --restart"
    return StateError(remedy, place=place(engine), what="the state database is damaged")


def is_disconnect(engine: Engine, error: SQLAlchemyError) -> bool:
    """Whether a server's connection failed. Then it is unknown whether the last commit took effect."""
    if engine.dialect.name == "sqlite" or not isinstance(error, DBAPIError):
        return False
    code = _sqlstate(error)
    unknown = not code and isinstance(error, OperationalError)  # no answer, or an incomplete one
    return error.connection_invalidated or unknown or code.startswith(("08", "57P"))


def _sqlstate(error: SQLAlchemyError) -> str:
    return str(getattr(getattr(error, "orig", None), "sqlstate", None) or "")


def _file_error(engine: Engine, error: SQLAlchemyError) -> StateError:
    message = str(getattr(error, "orig", "") or "").lower()
    if "full" in message:
        return StateError(
            "free some space and run the same command again", place=place(engine), what="the disk is full"
        )
    if "i/o" in message:  # also for a quota; the next run checks whether the file is whole
        remedy = "free some space or replace the disk, then run the same command again"
        return StateError(remedy, place=place(engine), what="the disk failed, or a quota is used up")
    if "malformed" in message or "not a database" in message:
        return _damaged(engine)
    if "locked" in message:
        remedy = "end the process that uses it, or run the same command again later"
        return StateError(remedy, place=place(engine), what="another process keeps the state database locked")
    if "readonly" in message or "read-only" in message or "unable to open" in message:
        remedy = "make the file and its folder writable for this user, or name another one with state: in the job file"
        return StateError(remedy, place=place(engine), what="the state database cannot be written")
    return StateError(place=place(engine), what=f"the state database failed ({type(error).__name__})")


def _server_error(engine: Engine, error: SQLAlchemyError) -> StateError:
    code, message = _sqlstate(error), str(getattr(error, "orig", None) or "").lower()
    if not code and "does not exist" in message:  # before there is a connection, the driver has no code, only a message
        code = "3D000" if "database" in message else "28000"
    if not code and ("authentication failed" in message or "pg_hba.conf" in message or "no password" in message):
        code = "28000"
    if code.startswith("28"):
        remedy = "correct user and password in state.database"
        return StateError(remedy, place=place(engine), what="the state database refuses the user or the password")
    if code == "3D000":
        return StateError(
            "create it, or correct state.database", place=place(engine), what="the database does not exist"
        )
    if code == "42501":
        remedy = 'grant CREATE on the database, or create the schema "cio_etl" for this user'
        return StateError(remedy, place=place(engine), what="the user may not write the state")
    if code.startswith("53"):
        return StateError(
            SERVER_GONE, place=place(engine), what="the server has no disk space, memory or connection left"
        )
    if code == "25006":
        what = "the server is read-only: it is a replica, or is being promoted"
        return StateError(SERVER_GONE, place=place(engine), what=what)
    if is_disconnect(engine, error):
        return StateError(SERVER_GONE, place=place(engine), what="the state database is out of reach")
    return StateError(place=place(engine), what=f"the state database failed ({type(error).__name__} {code})".strip())
