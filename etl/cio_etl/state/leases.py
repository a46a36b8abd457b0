"""Whose is a lane? Its row says so: an owner, an epoch that grows with every change of hands, and a time until when.

Time is the database's, so machines need not agree on theirs. An owner that is alive moves the time on; one that is
not loses its lanes to whoever asks next, and finds that out at its next commit, since it names an epoch that is over.
A state in a folder has one run of a job at a time, by a file lock: there, whoever held a lane before is gone.
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

import structlog
from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Engine,
    bindparam,
    func,
    literal,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from cio_etl.errors import LanesTaken, StateError
from cio_etl.state import tables
from cio_etl.state.faults import place, unusable

log = structlog.get_logger()

CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while a machine sleeps, where there is such one


def new_owner() -> str:
    """A name that nobody has had before: a process that is started again is somebody else."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def database_now(engine: Engine) -> ColumnElement[float]:
    """The database's clock in Unix seconds, also within a transaction."""
    if engine.dialect.name == "sqlite":
        return literal_column("(julianday('now') - 2440587.5) * 86400.0", Double)
    return func.extract("epoch", func.clock_timestamp()).cast(Double)


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the lanes of a step are: all of them, those without a row left, and those that may be taken now."""

    lanes: int
    done: int
    free: tuple[int, ...]


@dataclass(slots=True)
class Leases:
    """The lanes of one step that this process holds. `seconds` is how long a lease lasts; None: the lock is enough.

    Whoever writes to lane rows holds `writing`, so one process never waits for itself in the database.
    """

    engine: Engine
    run_id: str
    step: int
    owner: str
    seconds: float | None
    writing: threading.Lock = field(default_factory=threading.Lock)
    epochs: dict[int, int] = field(default_factory=dict)  # of the lanes held
    _good_until: float = 0.0  # by this machine's clock, on the safe side

    @property
    def until(self) -> ColumnElement[float]:
        """What to write as the end of a lease that is made or renewed now."""
        return literal(0.0, Double) if self.seconds is None else database_now(self.engine) + self.seconds

    def claim(self, wanted: Collection[int], fingerprint: str) -> list[int]:
        """Takes those of the wanted lanes that have rows left and that nobody else holds; in order.

        Raises StateError, also when the step is not of the snapshot with this fingerprint any more.
        """
        lane = tables.lane.c
        now = database_now(self.engine)
        free = [self._here(), lane.lane.in_(sorted(wanted)), lane.done.is_(False)]
        if self.seconds is not None:
            free.append(or_(lane.until < now, lane.owner.is_(None), lane.owner == self.owner))
        with self.writing, self._transaction() as connection:
            self._require_snapshot(connection, fingerprint)
            asked = time.clock_gettime(CLOCK)
            rows = connection.execute(
                select(lane.lane, lane.epoch).where(*free).order_by(lane.lane).with_for_update()
            ).all()
            taken = {number: epoch + 1 for number, epoch in rows}
            if taken:
                change = update(tables.lane).where(self._here(), lane.lane.in_(list(taken)))
                connection.execute(change.values(owner=self.owner, epoch=lane.epoch + 1, until=self.until))
        self.epochs = taken
        self._renewed(asked)
        return list(taken)

    def standing(self) -> Standing:
        """How far the step's lanes are."""
        lane = tables.lane.c
        free = lane.done.is_(False) if self.seconds is None else (lane.until < database_now(self.engine))
        with self._transaction() as connection:
            rows = connection.execute(select(lane.lane, lane.done, free).where(self._here()).order_by(lane.lane)).all()
        return Standing(
            len(rows), sum(done for _, done, _ in rows), tuple(n for n, done, is_free in rows if is_free and not done)
        )

    def renew(self) -> None:
        """Moves the end of the leases on. Raises LanesTaken when somebody else has one of the lanes; StateError."""
        if self.seconds is None:
            return
        with self.writing:
            if not self.epochs:
                return
            with self._transaction() as connection:
                asked = time.clock_gettime(CLOCK)
                self.require_held(connection, sorted(self.epochs))
                change = update(tables.lane).where(self._here(), tables.lane.c.lane.in_(list(self.epochs)))
                connection.execute(change.values(until=self.until))
            self._renewed(asked)

    def check(self) -> None:
        """Raises LanesTaken when the lanes may be somebody else's by now: nothing may be sent of them."""
        if self.seconds is None:
            return
        if not self.epochs:  # given back, while somebody was still about to send
            raise lanes_taken([], None)
        if time.clock_gettime(CLOCK) > self._good_until:
            self.renew()

    def finish(self, lanes: Sequence[int]) -> None:
        """Notes that no row of these lanes is left, and gives them back."""
        self._give_back(lanes, done=True)

    def release(self) -> None:
        """Gives all lanes back that are still held, so that nobody needs to wait for their end."""
        self._give_back(list(self.epochs), done=False)

    def require_held(self, connection: Connection, lanes: Sequence[int]) -> None:
        """Raises LanesTaken unless these lanes are this process's own; keeps them so until the transaction ends."""
        lane = tables.lane.c
        rows = connection.execute(
            select(lane.lane, lane.epoch, lane.owner)
            .where(self._here(), lane.lane.in_(lanes))
            .order_by(lane.lane)
            .with_for_update()
        ).all()
        now = {number: epoch for number, epoch, _ in rows}
        if others := [number for number in lanes if now.get(number) != self.epochs.get(number)]:
            owner = next((owner for number, _, owner in rows if number == others[0]), None)
            raise lanes_taken(others, owner)

    def _require_snapshot(self, connection: Connection, fingerprint: str) -> None:
        step = tables.step.c
        query = select(step.fingerprint).where(step.run_id == self.run_id, step.number == self.step)
        if connection.scalar(query.with_for_update(read=True)) != fingerprint:
            what = "the step was begun anew by another worker, over other rows"
            raise StateError("run the same command again", place=place(self.engine), what=what)

    def _give_back(self, lanes: Sequence[int], *, done: bool) -> None:
        with self.writing:
            mine = [lane for lane in lanes if lane in self.epochs]
            if not mine:
                return
            with self._transaction() as connection:
                if done:
                    self.require_held(connection, sorted(mine))
                change = update(tables.lane).where(
                    self._here(),
                    tables.lane.c.lane == bindparam("of_lane"),
                    tables.lane.c.epoch == bindparam("of_epoch"),
                )
                rows = [{"of_lane": lane, "of_epoch": self.epochs[lane]} for lane in sorted(mine)]
                connection.execute(change.values(until=0.0, done=done), rows)
            for lane in mine:
                del self.epochs[lane]

    def _renewed(self, asked: float) -> None:
        self._good_until = asked + (self.seconds or 0.0)

    def renewed_by_commit(self, asked: float, lanes: int) -> None:
        """A commit of so many marks moves the end of their leases on; it counts when those are all that are held."""
        if lanes == len(self.epochs):
            self._renewed(asked)

    def _here(self) -> ColumnElement[bool]:
        return (tables.lane.c.run_id == self.run_id) & (tables.lane.c.step == self.step)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self.engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise unusable(self.engine, error) from None


@contextlib.contextmanager
def renewing(leases: Leases, stop: Callable[[], None], may_go_on: Callable[[], bool]) -> Iterator[None]:
    """Renews the leases while the block lasts. `stop` is called once a lane is lost or `may_go_on` says no.

    What made it stop is not raised here: a lane that is lost is found out by the commit, a run that was ended by
    whoever asks for it.
    """
    if leases.seconds is None:
        yield
        return
    over, every_s = threading.Event(), leases.seconds / 3

    def keep() -> None:
        while not over.wait(every_s):
            try:
                leases.renew()
                if may_go_on():
                    continue
            except LanesTaken:
                pass
            except StateError as error:  # out of reach for a moment; nothing is sent once the leases may have ended
                log.warning("leases_not_renewed", reason=str(error))
                continue
            return stop()

    thread = threading.Thread(target=keep, name="leases", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(1.0)


def lanes_taken(lanes: Sequence[int], owner: str | None) -> LanesTaken:
    """What to raise when lanes are somebody else's."""
    host, _, rest = (owner or "?:?").rpartition(":")[0].rpartition(":")
    listed = ", ".join(map(str, lanes[:8])) + (" …" if len(lanes) > 8 else "") or "?"
    return LanesTaken(lanes=listed, pid=rest or "?", host=host or "?")
