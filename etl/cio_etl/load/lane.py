"""Sends the batches of one lane, one after the other. Read it from top to bottom: it is in the order of events.

    announce     commit that the batch's rows may be sent from now on
    attempt      wait for a turn (rate/), send the body, tell the pace what came of it
    verdict      what the answer means (accepted, retry, refused, split, unknown, stop)
      wait       the same bytes again after a pause, while the batch's time lasts
      split      each half by itself, the first half first
      reject     the rows that were refused, or whose outcome nobody knows
    acknowledge  commit progress, rejects and accepted rows, together with the next batch's announcement

So at whatever moment a run is killed, at most one batch of a lane was sent and is not acknowledged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cio_etl.errors import CredentialsRefused, DestinationUnavailable, TooManyRejects, WrongDestination
from cio_etl.load.rate import PROBE_S, Pace
from cio_etl.load.retry import Backoff
from cio_etl.log import get_logger
from cio_etl.model import (
    OUTCOME_UNKNOWN,
    Accepted,
    Batch,
    Counts,
    Delivery,
    ItemError,
    LaneProgress,
    LaneWatch,
    Refused,
    Reject,
    Retry,
    Split,
    Stop,
    Unknown,
    Verdict,
)
from cio_etl.model.records import dataclass

log = get_logger()

HOPELESS = 20  # items refused one by one, for one reason, with none accepted: the fault is not in the rows
WORTH_A_WARNING_S = 10.0  # a shorter wait is usual, and the report counts it

ENDS = (CredentialsRefused, WrongDestination, DestinationUnavailable)  # errors by which an answer, or none, ends a run

Positions = npt.NDArray[np.int64]
Indexes = npt.NDArray[np.int64]  # of items in a batch
# Returns when it is on the disk; raises StateError. The last two: rejects, and positions of the rows accepted.
Commit = Callable[[LaneProgress, Sequence[Reject], Positions], None]


class Drained(Exception):
    """The lane was asked to stop before an attempt; its batch stays unacknowledged."""


class Sender(Protocol):
    """What a lane sends with: a Connection."""

    @property
    def host(self) -> str:
        """What messages call the destination."""

    def post(self, body: bytes, items: int) -> Verdict:
        """Sends one body once."""


@dataclass(frozen=True, slots=True)
class LaneSettings:
    """What all lanes of a step share."""

    pace: Pace
    commit: Commit
    too_large: Callable[[int], None]  # is given the length of a body that the server found too large
    sleep: Callable[[float], None]  # raises Drained when the lane must stop
    budget_s: float  # for all attempts to send one body
    repeatable: bool  # False: what may have been done must not be sent again
    now: Callable[[], float] = time.monotonic
    watch: LaneWatch | None = None  # None: nobody measures


@dataclass(frozen=True, slots=True)
class Settled:
    """What one commit writes: how far the lane has come, and what became of the rows since the commit before."""

    progress: LaneProgress
    rejects: Sequence[Reject] = ()
    accepted: Positions = field(default_factory=lambda: np.empty(0, dtype=np.int64))


class Lane:
    """One lane: its progress as committed, and what it sends with."""

    def __init__(self, progress: LaneProgress, sender: Sender, settings: LaneSettings) -> None:
        self.progress = progress
        self._sender = sender
        self._settings = settings
        self._sent_before = progress.sending_through  # rows up to here may have been sent by a run that was killed
        self._unacknowledged: Settled | None = None

    def run(self, batches: Iterable[Batch | None]) -> None:
        """Sends all batches; None among them says that the next one has not come yet.

        Raises what a Stop carries, DestinationUnavailable when the time for a body is over, TooManyRejects when all
        items are refused alike, Drained, and whatever the commit raises.
        """
        for batch in batches:
            if batch is None:
                self._acknowledge()
                continue
            sending_before = self._announce(batch)
            delivery, began = Delivery(batch, np.zeros(len(batch.positions), dtype=np.bool_)), self._settings.now()
            try:
                self._deliver(delivery)
            except (Drained, *ENDS):
                if not delivery.may_have_arrived:  # take it back: the next run need not count it as possibly sent
                    self._save(Settled(replace(self.progress, sending_through=sending_before)))
                raise
            finally:
                if self._settings.watch is not None:
                    self._settings.watch.delivered(delivery, self._settings.now() - began)
            self._unacknowledged = self._settled(delivery)
        self._acknowledge()

    def _announce(self, batch: Batch) -> int:
        """Commits that the batch may be sent from now on, together with what became of the one before.

        Returns how far the lane's announcements reached before.
        """
        settled, self._unacknowledged = self._unacknowledged or Settled(self.progress), None
        before = settled.progress.sending_through
        self._save(replace(settled, progress=replace(settled.progress, sending_through=max(batch.through, before))))
        return before

    def _deliver(self, delivery: Delivery) -> None:
        """Sends the batch, in parts where it is refused as a whole, until each item is accepted or rejected."""
        batch = delivery.batch
        parts: list[Indexes] = [np.arange(len(batch.positions))] if len(batch.positions) else []
        while parts:
            part = parts.pop()
            body = _body(batch, part)
            match self._send(delivery, part, body):
                case Accepted(errors):
                    delivery.accepted += len(part) - len(errors)
                    delivery.rejects += [_reject(batch, part, error) for error in errors]
                case Refused(errors):
                    delivery.rejects += [_reject(batch, part, error) for error in errors]
                    if len(rest := np.delete(part, [error.index for error in errors])):
                        parts.append(rest)
                case Split(too_large=too_large, ambiguous=ambiguous) if len(part) > 1:
                    if too_large:
                        self._settings.too_large(len(body))
                    if ambiguous:
                        delivery.in_doubt[part] = True
                    middle = len(part) // 2
                    parts += [part[middle:], part[:middle]]  # taken from the end, so rows stay in order
                case Split(reason, message):
                    delivery.rejects.append(Reject(int(batch.positions[part[0]]), reason, None, message))
                    delivery.refused_alone += 1
                    _require_some_accepted(delivery)
                case Unknown(reason):
                    delivery.rejects += [Reject(int(batch.positions[i]), OUTCOME_UNKNOWN, None, reason) for i in part]
                case Stop(error):
                    raise error

    def _send(self, delivery: Delivery, part: Indexes, body: bytes) -> Accepted | Refused | Split | Unknown | Stop:
        """Sends a body, again after each Retry while its time lasts; gives the last answer."""
        backoff = Backoff(self._settings.budget_s, self._settings.now)
        while isinstance(verdict := self._attempt(delivery, len(part), body), Retry):
            wait_s = backoff.wait_s(verdict)
            if wait_s is None:
                reason = f"{verdict.reason}, and no batch was accepted within {self._settings.budget_s:g} s"
                raise DestinationUnavailable(host=self._sender.host, reason=reason)
            delivery.retries += 1
            if verdict.ambiguous:
                delivery.in_doubt[part] = True
            write = log.warning if wait_s >= WORTH_A_WARNING_S else log.debug
            write("batch_delayed", lane=self.progress.lane, reason=verdict.reason, wait_s=round(wait_s, 2))
            self._settings.sleep(wait_s)
        return verdict

    def _attempt(self, delivery: Delivery, items: int, body: bytes) -> Verdict:
        """Sends a body once, when it is this lane's turn."""
        pace = self._settings.pace
        started = pace.wait_for_turn(self._settings.sleep)
        delivery.requests += 1
        delivery.bytes_sent += len(body)
        may_have_arrived, delivery.may_have_arrived = delivery.may_have_arrived, True
        verdict = self._sender.post(body, items)
        if self._settings.watch is not None:
            self._settings.watch.answered(self._settings.now() - started, verdict)
        if isinstance(verdict, Stop) or (isinstance(verdict, Retry) and not verdict.ambiguous):
            delivery.may_have_arrived = may_have_arrived
        match pace.record(started, verdict), verdict:
            case "waiting", Retry(reason=reason) | Unknown(reason=reason):
                log.warning("destination_unavailable", host=self._sender.host, reason=reason, asking_every_s=PROBE_S)
            case "resumed", _:
                log.warning("destination_available", host=self._sender.host)
        if isinstance(verdict, Retry) and verdict.ambiguous and not self._settings.repeatable:
            return Unknown(verdict.reason)
        return verdict

    def _settled(self, delivery: Delivery) -> Settled:
        """The lane's progress once the batch is acknowledged, its rejects, and the rows accepted."""
        batch, progress = delivery.batch, self.progress
        refused = [reject.position for reject in delivery.rejects]
        sent_before = int(np.searchsorted(batch.positions, self._sent_before, side="right"))
        counts = Counts(
            accepted=len(batch.positions) - len(refused),
            rejected=len(batch.rejects) + len(refused),
            skipped=batch.skipped,
            possibly_sent_twice=max(sent_before, int(np.count_nonzero(delivery.in_doubt))),
            batches=int(bool(batch.body)),
            requests=delivery.requests,
            retries=delivery.retries,
            bytes_sent=delivery.bytes_sent,
        )
        return Settled(
            replace(
                progress,
                acked_through=batch.through,
                sending_through=max(batch.through, progress.sending_through),
                counts=progress.counts + counts,
            ),
            (*batch.rejects, *delivery.rejects),
            batch.positions[np.isin(batch.positions, refused, invert=True)] if refused else batch.positions,
        )

    def _acknowledge(self) -> None:
        """Commits the batch that was settled last, if that is not done yet."""
        if self._unacknowledged is not None:
            self._save(self._unacknowledged)
            self._unacknowledged = None

    def _save(self, settled: Settled) -> None:
        self._settings.commit(settled.progress, settled.rejects, settled.accepted)
        self.progress = settled.progress


def _require_some_accepted(delivery: Delivery) -> None:
    """Raises TooManyRejects when HOPELESS items were refused by themselves, all alike, and none was accepted."""
    reasons = {reject.reason for reject in delivery.rejects}
    if delivery.refused_alone == HOPELESS and not delivery.accepted and len(reasons) == 1:
        raise TooManyRejects(
            rejected=f"{HOPELESS} rows",
            limit=f"{HOPELESS} one by one with none accepted",
            most=delivery.rejects[0].reason,
        )


def _body(batch: Batch, part: Indexes) -> bytes:
    """The body that sends these items of the batch."""
    if len(part) == len(batch.positions):
        return batch.body
    envelope = batch.envelope
    starts = np.concatenate(([len(envelope.open)], batch.ends[:-1] + 1))
    text = memoryview(batch.body)
    return b"".join((envelope.open, b",".join(text[starts[i] : batch.ends[i]] for i in part), envelope.close))


def _reject(batch: Batch, part: Indexes, error: ItemError) -> Reject:
    return Reject(int(batch.positions[part[error.index]]), error.reason, error.field, error.message)
