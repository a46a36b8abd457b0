"""Gives lanes to processes: a lane's row has its owner, an epoch that grows with each new owner, and an expiry.

Times are the database's, so machines need not agree on theirs. A living owner renews its leases. The lanes of a dead
one go to the next process that claims them; if it was only suspended, its next commit fails, because it names an old
epoch. A state in a folder has one run of a job at a time, by a file lock: there, an earlier owner is gone.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Engine,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    update,
)

from cio_etl.errors import LanesTaken, StateError
from cio_etl.log import Thread, get_logger
from cio_etl.state import tables
from cio_etl.state.faults import place, transaction

log = get_logger()

CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # continues while a machine sleeps, where it exists

# Statements of each run, built once: to build one takes several times as long as to execute it.
_LANE = tables.lane.c
_HERE = (_LANE.run_id == bindparam("of_run"), _LANE.step == bindparam("of_step"))
_THESE = (*_HERE, _LANE.lane.in_(bindparam("these", expanding=True)))
_HELD = select(_LANE.lane, _LANE.epoch, _LANE.owner).where(*_THESE).order_by(_LANE.lane).with_for_update()
_CLAIMABLE = (
    select(_LANE.lane, _LANE.epoch).where(*_THESE, _LANE.done.is_(False)).order_by(_LANE.lane).with_for_update()
)
_TAKE = update(tables.lane).where(*_THESE).values(epoch=_LANE.epoch + 1, until=0.0)
_RELEASE = update(tables.lane).where(*_HERE, _LANE.lane == bindparam("of_lane"), _LANE.epoch == bindparam("of_epoch"))
_LANES = select(_LANE.lane, _LANE.done).where(*_HERE).order_by(_LANE.lane)
_LANES_OF_LOCK = _LANES.add_columns(_LANE.done.is_(False))
_SNAPSHOT = (
    select(tables.step.c.fingerprint)
    .where(tables.step.c.run_id == bindparam("of_run"), tables.step.c.number == bindparam("of_step"))
    .with_for_update(read=True)
)


def new_owner() -> str:
    """A new name for this process. A process that is started again has another name."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def database_now(engine: Engine) -> ColumnElement[float]:
    """The database's clock in Unix seconds, also within a transaction."""
    if engine.dialect.name == "sqlite":
        return literal_column("(julianday('now') - 2440587.5) * 86400.0", Double)
    return func.extract("epoch", func.clock_timestamp()).cast(Double)


@dataclass(frozen=True, slots=True)
class LaneSummary:
    """The lanes of a step: how many there are, how many are done, and which ones may be claimed now."""

    lanes: int
    done: int
    free: tuple[int, ...]


@dataclass(slots=True)
class Leases:
    """The lanes of one step that this process holds. `seconds` is the length of a lease; None: the lock is enough.

    Every write to lane rows holds `writing`, so one process never waits for itself in the database.
    """

    engine: Engine
    run_id: str
    step: int
    owner: str
    seconds: float | None
    writing: threading.Lock = field(default_factory=threading.Lock)
    epochs: dict[int, int] = field(default_factory=dict)  # of the lanes that are held
    _expires_at: float = 0.0  # by this machine's clock, a little early

    @property
    def until(self) -> ColumnElement[float]:
        """The expiry of a lease of `seconds` that is made or renewed now."""
        return database_now(self.engine) + (self.seconds or 0.0)

    @property
    def _key(self) -> dict[str, object]:
        """The parameters of `_HERE`."""
        return {"of_run": self.run_id, "of_step": self.step}

    def claim(self, wanted: Collection[int], fingerprint: str) -> list[int]:
        """Takes those of the wanted lanes that are not done and that nobody else holds; returns them in order.

        Raises StateError, also when the step's snapshot no longer has this fingerprint.
        """
        claimable = _CLAIMABLE
        if self.seconds is not None:
            now = database_now(self.engine)
            claimable = claimable.where(or_(_LANE.until < now, _LANE.owner.is_(None), _LANE.owner == self.owner))
        with self.writing, transaction(self.engine) as connection:
            self._require_snapshot(connection, fingerprint)
            started = time.clock_gettime(CLOCK)
            rows = connection.execute(claimable, self._key | {"these": sorted(wanted)}).all()
            taken = {number: epoch + 1 for number, epoch in rows}
            if taken:
                take = _TAKE if self.seconds is None else _TAKE.values(until=self.until)
                connection.execute(take, self._key | {"these": list(taken), "owner": self.owner})
        self.epochs = taken
        self._renewed(started)
        return list(taken)

    def summary(self) -> LaneSummary:
        """The state of all lanes of the step."""
        is_timed = self.seconds is not None
        query = _LANES.add_columns(_LANE.until < database_now(self.engine)) if is_timed else _LANES_OF_LOCK
        with transaction(self.engine) as connection:
            rows = connection.execute(query, self._key).all()
        return LaneSummary(
            len(rows), sum(done for _, done, _ in rows), tuple(n for n, done, is_free in rows if is_free and not done)
        )

    def renew(self) -> None:
        """Renews the leases. Raises LanesTaken when another process has one of the lanes; StateError."""
        if self.seconds is None:
            return
        with self.writing:
            if not self.epochs:
                return
            with transaction(self.engine) as connection:
                started = time.clock_gettime(CLOCK)
                self.require_held(connection, sorted(self.epochs))
                change = update(tables.lane).where(*_THESE).values(until=self.until)
                connection.execute(change, self._key | {"these": list(self.epochs)})
            self._renewed(started)

    def check(self) -> None:
        """Raises LanesTaken when another process may hold the lanes by now: nothing may be sent then."""
        if self.seconds is None:
            return
        if not self.epochs:  # released while a lane was about to send
            raise lanes_taken([], None)
        if time.clock_gettime(CLOCK) > self._expires_at:
            self.renew()

    def finish(self, lanes: Sequence[int]) -> None:
        """Records that these lanes are done, and releases them."""
        self._release(lanes, done=True)

    def release(self) -> None:
        """Releases all lanes that are held, so that nobody needs to wait for their expiry."""
        self._release(list(self.epochs), done=False)

    def require_held(self, connection: Connection, lanes: Sequence[int]) -> None:
        """Raises LanesTaken unless this process holds these lanes; locks their rows until the transaction ends."""
        rows = connection.execute(_HELD, self._key | {"these": lanes}).all()
        epochs = {number: epoch for number, epoch, _ in rows}
        if others := [number for number in lanes if epochs.get(number) != self.epochs.get(number)]:
            owner = next((owner for number, _, owner in rows if number == others[0]), None)
            raise lanes_taken(others, owner)

    def _require_snapshot(self, connection: Connection, fingerprint: str) -> None:
        if connection.scalar(_SNAPSHOT, self._key) != fingerprint:
            what = "another worker started the step again, over other rows"
            raise StateError("run the same command again", place=place(self.engine), what=what)

    def _release(self, lanes: Sequence[int], *, done: bool) -> None:
        with self.writing:
            own = [lane for lane in lanes if lane in self.epochs]
            if not own:
                return
            with transaction(self.engine) as connection:
                if done:
                    self.require_held(connection, sorted(own))
                key = self._key | {"done": done, "until": 0.0}
                rows = [{**key, "of_lane": lane, "of_epoch": self.epochs[lane]} for lane in sorted(own)]
                connection.execute(_RELEASE, rows)
            for lane in own:
                del self.epochs[lane]

    def _renewed(self, started: float) -> None:
        self._expires_at = started + (self.seconds or 0.0)

    def renewed_by_commit(self, started: float, lanes: int) -> None:
        """Notes that a commit of so many lanes renewed their leases, when these are all the lanes that are held."""
        if lanes == len(self.epochs):
            self._renewed(started)


@contextlib.contextmanager
def renewing(leases: Leases, stop: Callable[[], None], may_continue: Callable[[], bool]) -> Iterator[None]:
    """Renews the leases until the block ends. Calls `stop` once a lane is lost, or when `may_continue` returns False.

    It raises nothing for a lost lane: the lane's next commit does.
    """
    if leases.seconds is None:
        yield
        return
    ended, every_s = threading.Event(), leases.seconds / 3

    def renew() -> None:
        while not ended.wait(every_s):
            try:
                leases.renew()
                if may_continue():
                    continue
            except LanesTaken:
                pass
            except StateError as error:  # out of reach for a moment; nothing is sent once the leases may have expired
                log.warning("leases_not_renewed", reason=str(error))
                continue
            return stop()

    thread = Thread(target=renew, name="leases", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(1.0)


def lanes_taken(lanes: Sequence[int], owner: str | None) -> LanesTaken:
    """The error for lanes that another process holds."""
    host, _, rest = (owner or "?:?").rpartition(":")[0].rpartition(":")
    listed = ", ".join(map(str, lanes[:8])) + (" …" if len(lanes) > 8 else "") or "?"
    return LanesTaken(lanes=listed, pid=rest or "?", host=host or "?")
