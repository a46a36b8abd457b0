"""How does a lane's progress reach the disk? Mark, counts and rejects in one transaction, shared by lanes that wait.

The first lane to come waits for others for two milliseconds, then commits for all; they find it done. Under load
sixteen lanes share two transactions a frame, and each still returns only when its own mark is on the disk.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog
from sqlalchemy import Connection, Row, bindparam, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from cio_etl.errors import LanesTaken, StateError
from cio_etl.model import Counts, LaneProgress, Reject
from cio_etl.state import tables
from cio_etl.state.connect import replacement_check
from cio_etl.state.faults import is_cut_off, unusable
from cio_etl.state.leases import CLOCK, Leases

log = structlog.get_logger()

NOTHING_ACCEPTED: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
GATHER_S = 0.002  # most lanes come within it, since a frame's batches are handed over together
CUT_OFF_S = 60.0  # a database that is out of reach is asked again for so long: servers are started anew, or replaced

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

_CLOSE = (
    update(tables.reject)
    .where(tables.reject.c.reject_id == bindparam("of_reject"), tables.reject.c.closed_by.is_(None))
    .values(closed_by=bindparam("by"))
)
_STILL_WRONG = (
    update(tables.reject)
    .where(tables.reject.c.reject_id == bindparam("of_reject"), tables.reject.c.closed_by.is_(None))
    .values({name: bindparam(f"new_{name}") for name in ("reason", "field", "message")})
)


@dataclass(frozen=True, slots=True)
class Again:
    """A step's rows are rejects that are sent again: which ones, by position, as the state numbers them."""

    reject_ids: npt.NDArray[np.int64]
    closes: bool = True  # False: they stay as they are, whatever comes


@dataclass(slots=True)
class Ticket:
    """A lane's wish to have its mark committed."""

    mark: LaneProgress
    rejects: Sequence[Reject]
    accepted: npt.NDArray[np.int64]
    done: bool = False


class Marks:
    """Commits the marks of those lanes of a step that this process holds. `commit` may be called from any thread.

    Of rejects that are sent again, those that are accepted are closed in the transaction that acknowledges them, and
    the others get their new reason in it.
    """

    def __init__(self, leases: Leases, again: Again | None = None) -> None:
        self._leases = leases
        self._engine = leases.engine
        self._require_same = replacement_check(leases.engine)
        self._update = _UPDATE if leases.seconds is None else _UPDATE.values(until=leases.until)
        self._key = {"run_id": leases.run_id, "step": leases.step}
        self._again = again
        self._arriving = threading.Lock()
        self._waiting: list[Ticket] = []
        self._failed: StateError | LanesTaken | None = None

    def commit(
        self, mark: LaneProgress, rejects: Sequence[Reject], accepted: npt.NDArray[np.int64] = NOTHING_ACCEPTED
    ) -> None:
        """Returns when the mark and the rejects are on the disk. Raises StateError when they cannot get there, and
        LanesTaken when the lane is another process's by now.

        `accepted` are the positions that Customer.io took since the last commit of this lane.
        """
        ticket = Ticket(mark, rejects, accepted)
        with self._arriving:
            self._waiting.append(ticket)
        with self._leases.writing:
            if ticket.done:
                return
            if self._failed is not None:  # never again on a handle that failed once: an fsync's error is told only once
                raise self._failed
            time.sleep(GATHER_S)
            with self._arriving:
                together, self._waiting = self._waiting, []
            try:
                self._write(sorted(together, key=lambda each: each.mark.lane))
            except (StateError, LanesTaken) as error:
                self._failed = error
                raise
            for each in together:
                each.done = True

    def _write(self, tickets: Sequence[Ticket]) -> None:
        """Writes them all. After a connection broke nobody knows whether it did, so it looks before it writes again."""
        self._require_same()
        deadline = time.monotonic() + CUT_OFF_S
        in_doubt = False
        while True:
            try:
                with self._engine.begin() as connection:
                    if in_doubt and self._are_there(connection, tickets):
                        return
                    self._write_in(connection, tickets)
                return
            except SQLAlchemyError as error:
                if not is_cut_off(self._engine, error) or time.monotonic() > deadline:
                    raise unusable(self._engine, error) from None
                if not in_doubt:
                    log.warning("state_out_of_reach", asking_again_for_s=CUT_OFF_S)
                in_doubt = True
            time.sleep(1.0)

    def _are_there(self, connection: Connection, tickets: Sequence[Ticket]) -> bool:
        """Whether the transaction that ended in doubt had taken effect: all of it has, or nothing."""
        first = tickets[0].mark
        lane = tables.lane.c
        here = (lane.run_id == self._key["run_id"], lane.step == self._key["step"], lane.lane == first.lane)
        found = connection.execute(select(*PROGRESS).where(*here, lane.epoch == self._epoch(first.lane))).one_or_none()
        return found is not None and progress_of(found) == first

    def _write_in(self, connection: Connection, tickets: Sequence[Ticket]) -> None:
        run, step = self._key["run_id"], self._key["step"]
        marks = []
        for ticket in tickets:
            values = progress_values(ticket.mark)
            lane = values.pop("lane")
            marks.append(
                {"of_run": run, "of_step": step, "of_lane": lane, "of_epoch": self._epoch(ticket.mark.lane), **values}
            )
        asked = time.clock_gettime(CLOCK)
        moved = connection.execute(self._update, marks).rowcount
        if moved != len(marks):
            self._leases.require_held(connection, [ticket.mark.lane for ticket in tickets])
            raise StateError(place="the state database", what=f"{len(marks)} lanes were to be moved, {moved} were")
        rejects = [
            {**self._key, **_reject_values(reject), "closed_by": None if self._again is None else run}
            for ticket in tickets
            for reject in ticket.rejects
        ]
        if rejects:
            connection.execute(insert(tables.reject), rejects)
        if self._again is not None and self._again.closes:
            self._settle(connection, self._again, tickets)
        self._leases.renewed_by_commit(asked, len(tickets))

    def _epoch(self, lane: int) -> int:
        return self._leases.epochs.get(lane, -1)

    def _settle(self, connection: Connection, again: Again, tickets: Sequence[Ticket]) -> None:
        """What became of the rejects that were sent again."""
        close(
            connection,
            str(self._key["run_id"]),
            [row for ticket in tickets for row in again.reject_ids[ticket.accepted].tolist()],
        )
        still_wrong = [
            {
                "of_reject": int(again.reject_ids[reject.position]),
                **{f"new_{name}": getattr(reject, name) for name in ("reason", "field", "message")},
            }
            for ticket in tickets
            for reject in ticket.rejects
        ]
        if still_wrong:
            connection.execute(_STILL_WRONG, still_wrong)


def close(connection: Connection, run_id: str, reject_ids: Sequence[int]) -> None:
    """Closes rejects that are open: the run has settled their rows."""
    if reject_ids:
        connection.execute(_CLOSE, [{"of_reject": row, "by": run_id} for row in reject_ids])


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
    return {name: getattr(reject, name) for name in Reject.__slots__}
