"""Runs all lanes of a step: a thread, a connection and at most one batch in flight for each of them."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType

from cio_etl.apis import APIS, Endpoint
from cio_etl.errors import Interrupted
from cio_etl.load.connection import Connection, Deadlines
from cio_etl.load.lane import Commit, Drained, Lane, LaneSettings
from cio_etl.load.rate import Pace
from cio_etl.log import Thread, about
from cio_etl.model import Batch, Destination, LaneProgress, LaneWatch

FRAMES_AHEAD = 2  # lists of batches that may wait for a lane ...
WAITING_BYTES = 64_000_000  # ... and their bytes that may wait for all lanes together
NEXT_BATCH_S = 0.25  # an acknowledgement waits so long for the next announcement, to share its commit
ABANDONED_S = 0.5  # after a second signal: long enough for answers that have come to be committed


class WaitingBytes:
    """Limits the bytes that wait for all lanes. Any number may wait alone: it may be more than the limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting = 0
        self._changed = threading.Condition()

    def add(self, size: int, timeout_s: float) -> bool:
        """Counts `size` bytes as waiting, as soon as they fit; False when they do not fit within `timeout_s`."""
        with self._changed:
            fits = self._changed.wait_for(lambda: self._fits(size), timeout_s)
            self._waiting += size if fits else 0
            return fits

    def remove(self, size: int) -> None:
        with self._changed:
            self._waiting -= size
            self._changed.notify()

    def _fits(self, size: int) -> bool:
        return self._waiting == 0 or self._waiting + size <= self._limit


class Lanes:
    """All lanes of a step: `put` batches, `finish`, and read `progress` at any time.

    After `drain` the lanes stop when the exchange under way is over; what they have not acknowledged is sent by the
    next run. An exception that leaves the `with` block stops them in the same way. The first error of a lane stops all
    of them, and `finish` raises it. Neither waits longer than `grace_s` for lanes that were asked to stop.
    """

    def __init__(
        self,
        destination: Destination,
        pace: Pace,
        progress: Sequence[LaneProgress],
        commit: Commit,
        too_large: Callable[[int], None],
        grace_s: float,
        endpoint: Endpoint | None = None,
        check: Callable[[], None] = lambda: None,
        waiting_bytes: int = WAITING_BYTES,
        watch: LaneWatch | None = None,
    ) -> None:
        """`check` raises when nothing may be sent any more."""
        endpoint = APIS[destination.api].batch if endpoint is None else endpoint
        settings = LaneSettings(
            pace,
            commit,
            too_large,
            self._sleep,
            destination.batch_budget_s,
            repeatable=endpoint.repeatable,
            watch=watch,
        )
        self._grace_s = grace_s
        self._waiting_bytes = WaitingBytes(waiting_bytes)
        self._draining = threading.Event()
        self._error: BaseException | None = None
        self._deadlines = Deadlines()
        self._lanes: dict[int, Lane] = {}
        self._queues: dict[int, queue.Queue[list[Batch] | None]] = {}
        self._threads: list[threading.Thread] = []
        for each in progress:
            connection = Connection(destination, self._deadlines, endpoint, check)
            self._lanes[each.lane] = Lane(each, connection, settings)
            self._queues[each.lane] = queue.Queue(FRAMES_AHEAD)
            self._threads.append(
                Thread(target=self._work, args=(each.lane, connection), name=f"lane-{each.lane}", daemon=True)
            )

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
    def progress(self) -> list[LaneProgress]:
        """Each lane's progress as committed."""
        return [lane.progress for lane in self._lanes.values()]

    def put(self, batches: Mapping[int, list[Batch]]) -> bool:
        """Hands every lane its batches; waits while a lane is behind. False when the lanes have stopped."""
        return all(self._put(lane, its) for lane, its in batches.items()) and not self._draining.is_set()

    def _put(self, lane: int, batches: list[Batch] | None) -> bool:
        """Puts batches into a lane's queue. A lane takes them whatever the others do, so there will be a place."""
        counted = False
        while not self._draining.is_set():
            counted = counted or self._waiting_bytes.add(_size(batches), 0.1)
            with contextlib.suppress(queue.Full):
                if counted:
                    self._queues[lane].put(batches, timeout=0.1)
                    return True
        return False

    @property
    def is_drained(self) -> bool:
        """Whether the lanes were asked to stop, so that batches may remain."""
        return self._draining.is_set()

    def drain(self) -> None:
        """Asks every lane to stop; returns at once."""
        self._draining.set()

    def finish(self) -> None:
        """Waits for the last acknowledgement, or for the grace once asked to stop. Raises the first error of a lane."""
        for lane in self._lanes:
            self._put(lane, None)
        while any(thread.is_alive() for thread in self._threads) and not self._draining.wait(0.02):
            pass
        self._wait(self._grace_s)
        if self._error is not None:
            raise self._error

    def _wait(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            while thread.is_alive() and time.monotonic() < deadline:
                thread.join(0.1)  # short: signals are handled in the main thread

    # ---- what runs in a lane's thread

    def _work(self, lane: int, connection: Connection) -> None:
        try:
            with about(lane=lane):
                self._lanes[lane].run(self._batches(self._queues[lane]))
        except Drained:
            pass
        except BaseException as error:
            self._error = self._error or error
            self._draining.set()
        finally:
            connection.close()

    def _batches(self, waiting: queue.Queue[list[Batch] | None]) -> Iterator[Batch | None]:
        """A lane's batches until the end, or until the lanes are asked to stop; None where none came for a moment."""
        while not self._draining.is_set():
            try:
                batches = waiting.get(timeout=NEXT_BATCH_S)
            except queue.Empty:
                yield None
                continue
            if batches is None:
                return
            self._waiting_bytes.remove(_size(batches))
            for batch in batches:
                if self._draining.is_set():
                    return
                yield batch

    def _sleep(self, seconds: float) -> None:
        if self._draining.wait(seconds):
            raise Drained


def _size(batches: list[Batch] | None) -> int:
    return sum(len(batch.body) for batch in batches or ())
