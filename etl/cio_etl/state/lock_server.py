"""A job's lock on a server: an advisory lock of a session, which ends with the session.

A process that is killed loses its session at once, one that is stopped after a minute: the server ends sessions that
say nothing, and a thread of ours says something every ten seconds. What a lock protects is protected by leases, too,
so a session that breaks costs nothing but the message.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading

from sqlalchemy import Engine, delete, insert, select, text
from sqlalchemy.exc import SQLAlchemyError

from cio_etl.state import tables
from cio_etl.state.faults import unusable
from cio_etl.state.lock_owner import UNKNOWN, Holder, read_holder

SILENT_S = 60  # a session that says nothing for so long is ended by the server
SPEAK_EVERY_S = 10.0


class ServerLock:
    """The lock of one job, or of what a job's workers do one at a time. `shared`: with others that share it.

    Raises StateError when the server cannot be asked.
    """

    def __init__(self, engine: Engine, job: str, *, shared: bool = False) -> None:
        self._engine = engine
        self._job = job
        digest = hashlib.sha256(f"cio-etl {job}".encode()).digest()
        self._key = int.from_bytes(digest[:8], signed=True)
        self._take = text(f"SELECT pg_try_advisory_lock{'_shared' if shared else ''}(:key)")
        self._speaking = threading.Lock()  # a connection has one statement at a time
        self._over = threading.Event()
        try:
            self._session = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            with contextlib.suppress(SQLAlchemyError):  # unknown before PostgreSQL 14
                self._session.execute(text(f"SET idle_session_timeout = '{SILENT_S}s'"))
        except SQLAlchemyError as error:
            raise unusable(engine, error) from None
        threading.Thread(target=self._speak, name=f"lock {job}", daemon=True).start()

    def take(self) -> bool:
        """Whether it is this process's now."""
        try:
            with self._speaking:
                return bool(self._session.execute(self._take, {"key": self._key}).scalar_one())
        except SQLAlchemyError as error:
            raise unusable(self._engine, error) from None

    def sign(self, holder: Holder) -> None:
        """Writes down who has it."""
        with contextlib.suppress(SQLAlchemyError), self._engine.begin() as connection:
            connection.execute(delete(tables.lock).where(tables.lock.c.job == self._job))
            connection.execute(insert(tables.lock).values(job=self._job, holder=json.dumps(holder)))

    def holder(self) -> Holder:
        """Who has it, as far as that is written down."""
        with contextlib.suppress(SQLAlchemyError), self._engine.begin() as connection:
            said = connection.scalar(select(tables.lock.c.holder).where(tables.lock.c.job == self._job))
            return UNKNOWN if said is None else read_holder(said)
        return UNKNOWN

    def close(self) -> None:
        """Gives the lock back."""
        self._over.set()
        with self._speaking, contextlib.suppress(SQLAlchemyError):
            self._session.invalidate()  # not into the pool: the lock would live on there
            self._session.close()

    def _speak(self) -> None:
        while not self._over.wait(SPEAK_EVERY_S):
            try:
                with self._speaking:
                    if self._over.is_set():
                        return
                    self._session.execute(text("SELECT 1"))
            except SQLAlchemyError:
                return  # the session is gone, and the lock with it
