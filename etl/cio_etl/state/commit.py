"""Writes a lane's progress to the disk: progress, counts and rejects in one transaction, shared by lanes that wait.

The first lane waits a millisecond for others, then commits for all of them; those that come meanwhile are the next
transaction's. Under load, sixteen lanes share two transactions for each frame of rows. Each lane returns when its own
progress is on the disk, and does not wait for the transaction after it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from cio_etl.errors import StateError
from cio_etl.log import get_logger
from cio_etl.model import ClosedAs, Counts, LaneProgress, Reject
from cio_etl.state import tables
from cio_etl.state.connect import replacement_check
from cio_etl.state.faults import is_disconnect, unusable
from cio_etl.state.leases import CLOCK, Leases

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

log = get_logger()

GATHER_S = 0.001  # most lanes arrive within it, because a frame's batches are handed over together
RETRY_S = 60.0  # how long a server that is out of reach is tried again: it may restart, or be replaced

PROGRESS = [tables.lane.c[name] for name in ("lane", "acked_through", "sending_through", *tables.COUNTS)]
_UPDATE = (
    update(tables.lane)
    .where(
        tables.lane.c.run_id == bindparam("of_run"),
        tables.lane.c.step == bindparam("of_step"),
        tables.lane.c.lane == bindparam("of_lane"),
        tables.lane.c.epoch == bindparam("of_epoch"),
    )
    .values({column.name: bindparam(column.name) for column in PROGRESS if column.name != "lane"})
)

_OPEN_REJECT = (tables.reject.c.reject_id == bindparam("of_reject"), tables.reject.c.closed_by.is_(None))
_CLOSE = update(tables.reject).where(*_OPEN_REJECT).values(closed_by=bindparam("by"), closed_as=bindparam("how"))
_NEW_REASON = (
    update(tables.reject)
    .where(*_OPEN_REJECT)
    .values({name: bindparam(f"new_{name}") for name in ("reason", "field", "message")})
)


_EARLIER = tables.reject.alias("earlier")
_INSERT = insert(tables.reject)
_INSERT_AGAIN = _INSERT.values(  # in place of an earlier open one, whose first moment it takes over
    since=select(func.coalesce(_EARLIER.c.since, tables.run.c.started_at))
    .join_from(_EARLIER, tables.run, _EARLIER.c.run_id == tables.run.c.run_id)
    .where(_EARLIER.c.reject_id == bindparam("of_earlier"))
    .where(_EARLIER.c.closed_by.is_(None) | (_EARLIER.c.closed_as == "rejected"))
    .scalar_subquery()
)


Closed = tuple[int, ClosedAs]  # a reject_id, and how it is closed


@dataclass(frozen=True, slots=True)
class ReplayedRejects:
    """The rejects that a step's rows are, when a replay sends them again."""

    reject_ids: npt.NDArray[np.int64]  # by the row's position in the replay
    closes: bool = True  # False: a sandbox run, which changes no reject


@dataclass(slots=True)
class Ticket:
    """A lane's request to commit its progress."""

    progress: LaneProgress
    rejects: Sequence[Reject]
    accepted: npt.NDArray[np.int64] | None
    closed: Sequence[Closed] = ()
    done: bool = False


class Committer:
    """Commits the progress of those lanes of a step that this process holds. Any thread may call `commit`.

    In a replay, the same transaction closes the rejects whose rows are accepted, and gives the others their new reason.
    """

    def __init__(self, leases: Leases, replayed: ReplayedRejects | None = None) -> None:
        self._leases = leases
        self._engine = leases.engine
        self._check_database = replacement_check(leases.engine)
        self._update = _UPDATE if leases.seconds is None else _UPDATE.values(until=leases.until)
        self._key = {"run_id": leases.run_id, "step": leases.step}
        self._replayed = replayed
        self._changed = threading.Condition()
        self._waiting: list[Ticket] = []
        self._is_writing = False  # for all lanes that wait, by one of them
        self._failed: BaseException | None = None

    def commit(
        self,
        progress: LaneProgress,
        rejects: Sequence[Reject],
        accepted: npt.NDArray[np.int64] | None = None,
        closed: Sequence[Closed] = (),
    ) -> None:
        """Returns when progress and rejects are on the disk.

        `accepted` are the positions that Customer.io accepted since the lane's last commit; None: none. `closed` are
        the rejects of earlier runs that are closed by what became of the rows. Raises StateError when the disk cannot
        take them, and LanesTaken when another process holds the lane now.
        """
        ticket = Ticket(progress, rejects, accepted, closed)
        with self._changed:
            self._waiting.append(ticket)
            self._changed.wait_for(lambda: ticket.done or not self._is_writing)
            if ticket.done:
                return
            if self._failed is not None:  # a handle that failed is not used again: it reports a failed fsync only once
                raise self._failed
            self._is_writing = True
        try:
            time.sleep(GATHER_S)
            with self._changed:
                tickets, self._waiting = self._waiting, []
            with self._leases.writing:
                self._write(sorted(tickets, key=lambda each: each.progress.lane))
            for each in tickets:
                each.done = True
        except BaseException as error:
            self._failed = error
            raise
        finally:
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()

    def _write(self, tickets: Sequence[Ticket]) -> None:
        """Writes all tickets. A broken connection leaves the outcome open, so the next try looks before it writes."""
        self._check_database()
        deadline = time.monotonic() + RETRY_S
        in_doubt = False
        while True:
            try:
                with self._engine.begin() as connection:
                    if in_doubt and self._are_written(connection, tickets):
                        return
                    self._write_in(connection, tickets)
                return
            except SQLAlchemyError as error:
                if not is_disconnect(self._engine, error) or time.monotonic() > deadline:
                    raise unusable(self._engine, error) from None
                if not in_doubt:
                    log.warning("state_out_of_reach", asking_again_for_s=RETRY_S)
                in_doubt = True
            time.sleep(1.0)

    def _are_written(self, connection: Connection, tickets: Sequence[Ticket]) -> bool:
        """Whether the transaction in doubt took effect. It is all or nothing, so one ticket tells."""
        first = tickets[0].progress
        lane = tables.lane.c
        here = (lane.run_id == self._key["run_id"], lane.step == self._key["step"], lane.lane == first.lane)
        row = connection.execute(select(*PROGRESS).where(*here, lane.epoch == self._epoch(first.lane))).one_or_none()
        return row is not None and progress_of(row) == first

    def _write_in(self, connection: Connection, tickets: Sequence[Ticket]) -> None:
        run, step = self._key["run_id"], self._key["step"]
        rows = []
        for ticket in tickets:
            values = progress_values(ticket.progress)
            lane = values.pop("lane")
            rows.append({"of_run": run, "of_step": step, "of_lane": lane, "of_epoch": self._epoch(lane), **values})
        started = time.clock_gettime(CLOCK)
        updated = connection.execute(self._update, rows).rowcount
        if updated != len(rows):
            self._leases.require_held(connection, [ticket.progress.lane for ticket in tickets])
            raise StateError(place="the state database", what=f"{updated} lanes were updated in place of {len(rows)}")
        rejects = [
            {**self._key, **_reject_values(reject), "closed_by": None if self._replayed is None else run}
            for ticket in tickets
            for reject in ticket.rejects
        ]
        again = [each for each in rejects if each["of_earlier"] is not None]
        new = [each for each in rejects if each["of_earlier"] is None]
        for statement, rows in ((_INSERT, new), (_INSERT_AGAIN, again)):
            if rows:
                connection.execute(statement, rows)
        close_rejects(connection, str(run), sorted(each for ticket in tickets for each in ticket.closed))
        if self._replayed is not None and self._replayed.closes:
            self._update_replayed(connection, self._replayed, tickets)
        self._leases.renewed_by_commit(started, len(tickets))

    def _epoch(self, lane: int) -> int:
        return self._leases.epochs.get(lane, -1)

    def _update_replayed(self, connection: Connection, replayed: ReplayedRejects, tickets: Sequence[Ticket]) -> None:
        """Closes the rejects whose rows are accepted, and gives the others their new reason."""
        positions = [ticket.accepted for ticket in tickets if ticket.accepted is not None]
        accepted: list[Closed] = [(row, "accepted") for each in positions for row in replayed.reject_ids[each].tolist()]
        close_rejects(connection, str(self._key["run_id"]), accepted)
        rejected_again = [
            {
                "of_reject": int(replayed.reject_ids[reject.position]),
                **{f"new_{name}": getattr(reject, name) for name in ("reason", "field", "message")},
            }
            for ticket in tickets
            for reject in ticket.rejects
        ]
        if rejected_again:
            connection.execute(_NEW_REASON, rejected_again)


def close_rejects(connection: Connection, run_id: str, closed: Sequence[Closed]) -> None:
    """Closes those of the rejects that are open; `run_id` is the run that does it."""
    if closed:
        connection.execute(_CLOSE, [{"of_reject": row, "by": run_id, "how": how} for row, how in closed])


def progress_values(progress: LaneProgress) -> dict[str, int]:
    """A lane's progress as values of its row's columns."""
    return {
        "lane": progress.lane,
        "acked_through": progress.acked_through,
        "sending_through": progress.sending_through,
        **{name: getattr(progress.counts, name) for name in tables.COUNTS},
    }


def progress_of(row: Row[Any]) -> LaneProgress:
    """A lane's progress from the columns of `PROGRESS`."""
    lane, acked_through, sending_through = tuple(row)[:3]
    return LaneProgress(lane, acked_through, sending_through, Counts(*row[3:]))


def _reject_values(reject: Reject) -> dict[str, object]:
    return {"of_earlier" if name == "earlier" else name: getattr(reject, name) for name in Reject.__slots__}
