"""What went wrong with the state database, in our words: its own may quote the values."""

from __future__ import annotations

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from cio_etl.errors import Interrupted, StateError

SERVER_GONE = "run the same command again when it is back; what it holds is where it goes on"


def unusable(engine: Engine, error: SQLAlchemyError) -> StateError | Interrupted:
    """The error that stops a run over a database that cannot be used.

    A signal that came while a driver waited makes it complain, too: then it is the signal that stops the run.
    """
    before: BaseException | None = error
    while before is not None:
        if isinstance(before, Interrupted):
            return before
        before = before.__context__
    if engine.dialect.name == "sqlite":
        return _of_a_file(engine, error)
    return _of_a_server(engine, error)


def place(engine: Engine) -> str:
    """Where the state lies, for a message: neither user nor password."""
    url = engine.url
    if url.get_backend_name() == "sqlite":
        return url.database or "the state database"
    return f"{url.host or 'localhost'}{f':{url.port}' if url.port else ''}/{url.database or ''}"


def is_cut_off(engine: Engine, error: SQLAlchemyError) -> bool:
    """Whether a server's connection broke, or none was had: nobody knows whether the last commit took effect."""
    if engine.dialect.name == "sqlite" or not isinstance(error, DBAPIError):
        return False
    code = _sqlstate(error)
    unknown = not code and isinstance(error, OperationalError)  # the server has said nothing, or nothing to the end
    return error.connection_invalidated or unknown or code.startswith(("08", "57P"))


def _sqlstate(error: SQLAlchemyError) -> str:
    return str(getattr(getattr(error, "orig", None), "sqlstate", None) or "")


def _of_a_file(engine: Engine, error: SQLAlchemyError) -> StateError:
    said = str(getattr(error, "orig", "") or "").lower()
    if "full" in said:
        return StateError(
            "free some space and run the same command again", place=place(engine), what="the disk is full"
        )
    if "i/o" in said:  # a quota reads like this, too; whether the file is whole is looked at before the next run
        remedy = "make room or mend the disk, and run the same command again"
        return StateError(remedy, place=place(engine), what="the disk failed, or a quota is used up")
    if "malformed" in said or "not a database" in said:
        remedy = "keep the file, move it away, and start anew with --restart"
        return StateError(remedy, place=place(engine), what="the state database is damaged")
    if "locked" in said:
        return StateError(place=place(engine), what="another process keeps the state database locked")
    if "readonly" in said or "read-only" in said or "unable to open" in said:
        return StateError(place=place(engine), what="the state database cannot be written")
    return StateError(place=place(engine), what=f"the state database failed ({type(error).__name__})")


def _of_a_server(engine: Engine, error: SQLAlchemyError) -> StateError:
    code, said = _sqlstate(error), str(getattr(error, "orig", None) or "").lower()
    if not code and "does not exist" in said:  # before there is a connection the driver has no code, just words
        code = "3D000" if "database" in said else "28000"
    if not code and ("authentication failed" in said or "pg_hba.conf" in said or "no password" in said):
        code = "28000"
    if code.startswith("28"):
        remedy = "mend user and password in state.database"
        return StateError(remedy, place=place(engine), what="the state database refuses the user or the password")
    if code == "3D000":
        return StateError("make it, or mend state.database", place=place(engine), what="there is no such database")
    if code == "42501":
        remedy = 'grant it: CREATE on the database, once, or the schema "cio_etl" made by somebody else'
        return StateError(remedy, place=place(engine), what="the user may not write the state")
    if code.startswith("53"):
        return StateError(SERVER_GONE, place=place(engine), what="the server has no disk, memory or connection left")
    if code == "25006":
        what = "the server only reads: it is a replica, or on its way to take over"
        return StateError(SERVER_GONE, place=place(engine), what=what)
    if is_cut_off(engine, error):
        return StateError(SERVER_GONE, place=place(engine), what="the state database is out of reach")
    return StateError(place=place(engine), what=f"the state database failed ({type(error).__name__} {code})".strip())
