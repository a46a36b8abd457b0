"""How does a lane's progress reach the disk? Mark, counts and rejects in one transaction, shared by lanes that wait.

The first lane to come waits for others for two milliseconds, then commits for all; they find it done. Under load
sixteen lanes share two transactions a frame, and each still returns only when its own mark is on the disk.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine, bindparam, insert, update
from sqlalchemy.exc import SQLAlchemyError

from etl.errors import StateError
from etl.model import LaneMark, Reject
from etl.state import tables
from etl.state.whereabouts import identity, require_same

NOTHING_ACCEPTED: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
GATHER_S = 0.002  # most lanes come within it, since a frame's batches are handed over together

_UPDATE = (
    update(tables.lane)
    .where(
        tables.lane.c.run_id == bindparam("of_run"),
        tables.lane.c.step == bindparam("of_step"),
        tables.lane.c.lane == bindparam("of_lane"),
    )
    .values({name: bindparam(name) for name in LaneMark.__slots__ if name != "lane"})
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

    mark: LaneMark
    rejects: Sequence[Reject]
    accepted: npt.NDArray[np.int64]
    done: bool = False


class Marks:
    """Commits the marks of one step's lanes. `commit` may be called from any thread.

    Of rejects that are sent again, those that are accepted are closed in the transaction that acknowledges them, and
    the others get their new reason in it.
    """

    def __init__(self, engine: Engine, path: Path, run_id: str, step: int, again: Again | None = None) -> None:
        self._engine = engine
        self._path = path
        self._file = identity(path)
        self._key = {"run_id": run_id, "step": step}
        self._again = again
        self._arriving = threading.Lock()
        self._committing = threading.Lock()
        self._waiting: list[Ticket] = []
        self._failed: StateError | None = None

    def commit(
        self, mark: LaneMark, rejects: Sequence[Reject], accepted: npt.NDArray[np.int64] = NOTHING_ACCEPTED
    ) -> None:
        """Returns when the mark and the rejects are on the disk. Raises StateError when they cannot get there.

        `accepted` are the positions that Customer.io took since the last commit of this lane.
        """
        ticket = Ticket(mark, rejects, accepted)
        with self._arriving:
            self._waiting.append(ticket)
        with self._committing:
            if ticket.done:
                return
            if self._failed is not None:  # never again on a handle that failed once: an fsync's error is told only once
                raise self._failed
            time.sleep(GATHER_S)
            with self._arriving:
                together, self._waiting = self._waiting, []
            try:
                self._write(together)
            except StateError as error:
                self._failed = error
                raise
            for each in together:
                each.done = True

    def _write(self, tickets: Sequence[Ticket]) -> None:
        require_same(self._path, self._file)
        run, step = self._key["run_id"], self._key["step"]
        rejects = [
            {**self._key, **_values(reject), "closed_by": None if self._again is None else run}
            for ticket in tickets
            for reject in ticket.rejects
        ]
        marks = []
        for ticket in tickets:
            values = _values(ticket.mark)
            marks.append({"of_run": run, "of_step": step, "of_lane": values.pop("lane"), **values})
        try:
            with self._engine.begin() as connection:
                connection.execute(_UPDATE, marks)
                if rejects:
                    connection.execute(insert(tables.reject), rejects)
                if self._again is not None and self._again.closes:
                    self._settle(connection, self._again, tickets)
        except SQLAlchemyError as error:
            raise unusable(self._engine, error) from None

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


def _values(record: LaneMark | Reject) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__slots__}


def unusable(engine: Engine, error: SQLAlchemyError) -> StateError:
    """A database's error in our words: its own may quote the values."""
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


def place(engine: Engine) -> str:
    """Where the state lies, for a message."""
    return engine.url.database or "the state database"
