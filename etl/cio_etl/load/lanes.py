"""Who sends what, and when is it settled? A lane is a thread, a connection, and at most one batch in flight.

A lane's round: announce the next batch together with what became of the one before (one commit), send it, go on.
So whatever moment a run is killed at, at most one batch a lane has been sent and not acknowledged.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType

import numpy as np
import numpy.typing as npt
import structlog

from cio_etl.errors import CredentialsRefused, DestinationUnavailable, Interrupted, WrongDestination
from cio_etl.load import retry
from cio_etl.load.connection import Connection, Deadlines
from cio_etl.load.deliver import Delivery, deliver
from cio_etl.load.destinations import track
from cio_etl.load.destinations.endpoints import Endpoint
from cio_etl.load.rate.circuit import PROBE_S
from cio_etl.load.rate.pace import Change, Pace
from cio_etl.model import Batch, Counts, Destination, LaneProgress, Reject, Retry, Stop, Unknown, Verdict

log = structlog.get_logger()

FRAMES_AHEAD = 2  # lists of batches that may wait for a lane ...
WAITING_BYTES = 64_000_000  # ... and bytes of them that may wait for all lanes together
NEXT_BATCH_S = 0.25  # an acknowledgement waits so long for the next announcement, to share its commit
ABANDONED_S = 0.5  # after a second signal: long enough for acknowledgements that are in to be committed
WORTH_A_WARNING_S = 10.0  # shorter waits are the weather; the report counts them

ENDS = (CredentialsRefused, WrongDestination, DestinationUnavailable)  # what an answer, or none, can end a run with

Positions = npt.NDArray[np.int64]
Settled = tuple[LaneProgress, Sequence[Reject], Positions]  # the mark after a batch, its rejects, and what was accepted
Commit = Callable[
    [LaneProgress, Sequence[Reject], Positions], None
]  # returns when it is on the disk; raises StateError

_NONE: Positions = np.empty(0, dtype=np.int64)


class Drained(Exception):
    """The lane was asked to stop before an attempt; its batch stays unacknowledged."""


class Room:
    """Bytes that may wait for lanes. Any number is let in when nothing waits: it may be more than there is room for."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._waiting_bytes = 0
        self._changed = threading.Condition()

    def enter(self, size: int, patience_s: float) -> bool:
        """Takes room for `size` bytes; False when there is none for so long."""
        with self._changed:
            found = self._changed.wait_for(lambda: self._fits(size), patience_s)
            self._waiting_bytes += size if found else 0
            return found

    def leave(self, size: int) -> None:
        with self._changed:
            self._waiting_bytes -= size
            self._changed.notify()

    def _fits(self, size: int) -> bool:
        return self._waiting_bytes == 0 or self._waiting_bytes + size <= self._most_bytes


@dataclass(slots=True)
class Lane:
    """One lane at work: its mark as committed, and the batches that wait for it."""

    mark: LaneProgress
    sent_before: int  # rows up to here may have been sent by the run that was killed
    waiting: queue.Queue[list[Batch] | None]


class Lanes:
    """All lanes of a step: `put` batches, `finish`, and read `marks` at any time.

    After `drain` the lanes stop when the exchange under way is over; what they have not acknowledged is sent by the
    next run. So they do when the `with` block is left by an exception. The first error of a lane stops all of them,
    and `finish` raises it. Neither waits longer than `grace_s` for lanes that were asked to stop.
    """

    def __init__(
        self,
        destination: Destination,
        pace: Pace,
        marks: Sequence[LaneProgress],
        commit: Commit,
        too_large: Callable[[int], None],
        grace_s: float,
        endpoint: Endpoint = track.BATCH,
        check: Callable[[], None] = lambda: None,
        waiting_bytes: int = WAITING_BYTES,
    ) -> None:
        self._destination = destination
        self._endpoint = endpoint
        self._pace = pace
        self._commit = commit
        self._too_large = too_large
        self._check = check  # raises when nothing may be sent any more
        self._grace_s = grace_s
        self._room = Room(waiting_bytes)
        self._draining = threading.Event()
        self._error: BaseException | None = None
        self._deadlines = Deadlines()
        self._lanes = {mark.lane: Lane(mark, mark.sending_through, queue.Queue(FRAMES_AHEAD)) for mark in marks}
        self._threads = [
            threading.Thread(target=self._work, args=(lane,), name=f"lane-{lane.mark.lane}", daemon=True)
            for lane in self._lanes.values()
        ]

    def __enter__(self) -> Lanes:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None:
            self._draining.set()
            self._wait(ABANDONED_S if isinstance(error, Interrupted) else self._grace_s)
        self._deadlines.close()

    @property
    def marks(self) -> list[LaneProgress]:
        return [lane.mark for lane in self._lanes.values()]

    def put(self, batches: Mapping[int, list[Batch]]) -> bool:
        """Hands every lane its batches; waits while a lane is behind. False when the lanes have stopped."""
        return (
            all(self._put(self._lanes[number], own) for number, own in batches.items()) and not self._draining.is_set()
        )

    def _put(self, lane: Lane, own: list[Batch] | None) -> bool:
        """A lane takes what waits for it whatever the others do, so there will be room, and a place in its queue."""
        entered = False
        while not self._draining.is_set():
            entered = entered or self._room.enter(_size(own), 0.1)
            with contextlib.suppress(queue.Full):
                if entered:
                    lane.waiting.put(own, timeout=0.1)
                    return True
        return False

    @property
    def is_drained(self) -> bool:
        """Whether the lanes were asked to stop, so that there may be batches left."""
        return self._draining.is_set()

    def drain(self) -> None:
        """Asks every lane to stop; returns at once."""
        self._draining.set()

    def finish(self) -> None:
        """Waits until every batch is settled or, once asked to stop, for the grace. Raises a lane's first error."""
        for lane in self._lanes.values():
            self._put(lane, None)
        while any(thread.is_alive() for thread in self._threads) and not self._draining.wait(0.02):
            pass
        self._wait(self._grace_s)
        if self._error is not None:
            raise self._error

    def _wait(self, patience_s: float) -> None:
        deadline = time.monotonic() + patience_s
        for thread in self._threads:
            while thread.is_alive() and time.monotonic() < deadline:
                thread.join(0.1)  # short: the main thread is the one that hears signals

    # ---- what runs in a lane's thread

    def _work(self, lane: Lane) -> None:
        wire = Connection(self._destination, self._deadlines, self._endpoint, self._check)
        try:
            self._send_all(lane, wire)
        except Drained:
            pass
        except BaseException as error:
            self._error = self._error or error
            self._draining.set()
        finally:
            wire.close()

    def _send_all(self, lane: Lane, wire: Connection) -> None:
        settled: Settled | None = None
        while (batches := self._next(lane, settled is not None)) is not None:
            if not batches and settled is not None:
                self._save(lane, *settled)
                settled = None
            for batch in batches:
                if self._draining.is_set():
                    break
                mark, rejects, accepted = settled or (lane.mark, (), _NONE)
                announced = replace(mark, sending_through=max(batch.through, mark.sending_through))
                self._save(lane, announced, rejects, accepted)
                settled = self._settle(lane, batch, wire, mark.sending_through)
        if settled is not None:
            self._save(lane, *settled)

    def _next(self, lane: Lane, hurry: bool) -> list[Batch] | None:
        """The lane's next batches; None at the end; [] when there are none yet and an acknowledgement waits."""
        while not self._draining.is_set():
            try:
                own = lane.waiting.get(timeout=NEXT_BATCH_S if hurry else 0.1)
                self._room.leave(_size(own))
                return own
            except queue.Empty:
                if hurry:
                    return []
        return None

    def _save(
        self, lane: Lane, mark: LaneProgress, rejects: Sequence[Reject] = (), accepted: Positions = _NONE
    ) -> None:
        self._commit(mark, rejects, accepted)
        lane.mark = mark

    def _settle(self, lane: Lane, batch: Batch, wire: Connection, sending_before: int) -> Settled:
        """The lane's mark when `batch` is acknowledged, its rejects, and which of its rows were accepted.

        A batch that was announced, and of which nothing can have been done when the lane must stop, is taken back: it
        was not sent, or refused as a whole.
        """
        touched = False

        def persist(attempt: Callable[[], Verdict], again: Callable[[Retry, float], None]) -> Verdict:
            return retry.persist(
                attempt,
                budget_s=self._destination.batch_budget_s,
                now=time.monotonic,
                sleep=self._sleep,
                before_sleep=lambda verdict, wait_s: self._before_sleep(lane, verdict, wait_s, again),
            )

        def post(body: bytes, items: int) -> Verdict:
            nonlocal touched
            started = self._pace.turn(self._sleep)
            before, touched = touched, True
            verdict = wire.post(body, items)
            if isinstance(verdict, Stop) or (isinstance(verdict, Retry) and not verdict.ambiguous):
                touched = before
            self._tell(self._pace.answered(started, verdict), wire.host, verdict)
            if isinstance(verdict, Retry) and verdict.ambiguous and not self._endpoint.repeatable:
                return Unknown(verdict.reason)
            return verdict

        try:
            delivery = deliver(batch, post, persist, self._too_large, wire.host, self._destination.batch_budget_s)
        except (Drained, *ENDS):
            if not touched:
                self._save(lane, replace(lane.mark, sending_through=sending_before))
            raise
        return _after(lane, batch, delivery), (*batch.rejects, *delivery.rejects), _accepted(batch, delivery)

    def _before_sleep(self, lane: Lane, verdict: Retry, wait_s: float, again: Callable[[Retry, float], None]) -> None:
        tell = log.warning if wait_s >= WORTH_A_WARNING_S else log.debug
        tell("batch_delayed", lane=lane.mark.lane, reason=verdict.reason, wait_s=round(wait_s, 2))
        again(verdict, wait_s)

    def _tell(self, change: Change | None, host: str, verdict: Verdict) -> None:
        if change == "waiting" and isinstance(verdict, Retry | Unknown):
            log.warning("destination_unavailable", host=host, reason=verdict.reason, asking_every_s=PROBE_S)
        elif change == "resumed":
            log.warning("destination_available", host=host)

    def _sleep(self, seconds: float) -> None:
        if self._draining.wait(seconds):
            raise Drained


def _accepted(batch: Batch, delivery: Delivery) -> Positions:
    refused = [reject.position for reject in delivery.rejects]
    return batch.positions[np.isin(batch.positions, refused, invert=True)] if refused else batch.positions


def _size(batches: list[Batch] | None) -> int:
    return sum(len(batch.body) for batch in batches or ())


def _after(lane: Lane, batch: Batch, delivery: Delivery) -> LaneProgress:
    """The lane's mark once `batch` is settled as `delivery` says."""
    before = lane.mark
    resent = int(np.searchsorted(batch.positions, lane.sent_before, side="right"))
    return replace(
        before,
        acked_through=batch.through,
        sending_through=max(batch.through, before.sending_through),
        counts=before.counts
        + Counts(
            accepted=len(batch.positions) - len(delivery.rejects),
            rejected=len(batch.rejects) + len(delivery.rejects),
            skipped=batch.skipped,
            possibly_sent_twice=max(resent, delivery.ambiguous),
            batches=int(bool(batch.body)),
            requests=delivery.requests,
            retries=delivery.retries,
            bytes_sent=delivery.bytes_sent,
        ),
    )
