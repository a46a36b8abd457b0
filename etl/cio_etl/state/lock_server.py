"""Locks a job on a server: an advisory lock of a session, which ends with the session.

A killed process loses its session at once, a suspended one after a minute: the server ends idle sessions, and a thread
here sends a statement every ten seconds. Leases protect the lanes as well, so a broken session harms no row.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading

from sqlalchemy import Connection, Engine, delete, insert, select, text
from sqlalchemy.exc import SQLAlchemyError

from cio_etl.log import Thread
from cio_etl.state import tables
from cio_etl.state.faults import unusable
from cio_etl.state.lock_owner import UNKNOWN, LockOwner, owner_from_text

IDLE_S = 60  # the server ends a session that is idle for so long
PING_EVERY_S = 10.0


class ServerLock:
    """The lock of one job, or of a part of it that workers do one at a time. Several processes may hold it `shared`.

    Raises StateError when the server cannot be reached.
    """

    def __init__(self, engine: Engine, job: str, *, shared: bool = False) -> None:
        self._engine = engine
        self._job = job
        self._key = _key(job)
        self._take = text(f"SELECT pg_try_advisory_lock{'_shared' if shared else ''}(:key)")
        self._session_lock = threading.Lock()  # a connection has one statement at a time
        self._closed = threading.Event()
        try:
            self._session = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            with contextlib.suppress(SQLAlchemyError):  # unknown before PostgreSQL 14
                self._session.execute(text(f"SET idle_session_timeout = '{IDLE_S}s'"))
        except SQLAlchemyError as error:
            raise unusable(engine, error) from None
        Thread(target=self._ping, name=f"lock {job}", daemon=True).start()

    def take(self) -> bool:
        """Tries to take the lock; whether this process has it now."""
        try:
            with self._session_lock:
                return bool(self._session.execute(self._take, {"key": self._key}).scalar_one())
        except SQLAlchemyError as error:
            raise unusable(self._engine, error) from None

    def write_owner(self, owner: LockOwner) -> None:
        """Writes the lock's owner."""
        with contextlib.suppress(SQLAlchemyError), self._engine.begin() as connection:
            connection.execute(delete(tables.lock).where(tables.lock.c.job == self._job))
            connection.execute(insert(tables.lock).values(job=self._job, holder=json.dumps(owner)))

    def read_owner(self) -> LockOwner:
        """The lock's owner; UNKNOWN when none is written."""
        with contextlib.suppress(SQLAlchemyError), self._engine.begin() as connection:
            text_of_owner = connection.scalar(select(tables.lock.c.holder).where(tables.lock.c.job == self._job))
            return UNKNOWN if text_of_owner is None else owner_from_text(text_of_owner)
        return UNKNOWN

    def close(self) -> None:
        """Releases the lock."""
        self._closed.set()
        with self._session_lock, contextlib.suppress(SQLAlchemyError):
            self._session.invalidate()  # closes it, because the lock would stay in a pooled session
            self._session.close()

    def _ping(self) -> None:
        while not self._closed.wait(PING_EVERY_S):
            try:
                with self._session_lock:
                    if self._closed.is_set():
                        return
                    self._session.execute(text("SELECT 1"))
            except SQLAlchemyError:
                return  # the session is gone, and the lock with it


def is_held(connection: Connection, job: str) -> bool:
    """Whether a session holds the job's lock; takes no lock itself."""
    key = _key(job) % 2**64
    query = text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND classid::bigint = :high AND objid::bigint = :low"
    )
    return bool(connection.execute(query, {"high": key >> 32, "low": key % 2**32}).scalar_one())


def _key(job: str) -> int:
    """The number of a job's advisory lock."""
    return int.from_bytes(hashlib.sha256(f"cio-etl {job}".encode()).digest()[:8], signed=True)
