"""Batches, verdicts on answers, and the progress of a lane."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import field, fields
from typing import TYPE_CHECKING, Protocol

from cio_etl.model.records import dataclass
from cio_etl.model.rows import Reject

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Envelope:
    """The text before and after the items of a body, and how many items it may have; None: as many as fit."""

    open: bytes = b'{"batch":['
    close: bytes = b"]}"
    max_items: int | None = None


ARRAY = Envelope()  # of batches, on both APIs


@dataclass(frozen=True, slots=True)
class Batch:
    """A lane's rows from the end of the batch before up to `through`, and the body that sends those that are items.

    `positions[i]` is the row of item i. Its text ends before byte `ends[i]` of `body`; a comma or the closing bracket
    follows. `body` is empty when every row was rejected or skipped, and in a dry run.
    """

    lane: int
    through: int
    body: bytes
    positions: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    rejects: tuple[Reject, ...]
    skipped: int
    envelope: Envelope = ARRAY

    @property
    def size(self) -> int:
        """The bytes of the body, also of one that a dry run does not make."""
        return int(self.ends[-1]) + len(self.envelope.close) if len(self.ends) else 0


@dataclass(frozen=True, slots=True)
class ItemError:
    """Customer.io's error for one item of a batch."""

    index: int
    reason: str
    field: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """The batch was accepted, except for the items named."""

    errors: tuple[ItemError, ...] = ()


@dataclass(frozen=True, slots=True)
class Retry:
    """Send the same bytes again, after `after_s` seconds when the answer named a time."""

    reason: str
    after_s: float | None = None
    ambiguous: bool = False  # the batch may have been accepted, and its answer lost
    throttled: bool = False  # the rate is too high: all lanes slow down


@dataclass(frozen=True, slots=True)
class Unknown:
    """The batch may be done, and cannot be undone: its items are not sent again, a person must check them."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was accepted, because of the items named: reject those and send the rest again."""

    errors: tuple[ItemError, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """The batch was refused without naming an item: send each half. A batch of one item is rejected with the reason."""

    reason: str
    message: str = ""
    too_large: bool = False  # 413: later bodies are made smaller, too
    ambiguous: bool = False  # some items may have been accepted; the answer does not name them


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing more may be sent: raise `error`."""

    error: Exception


Verdict = Accepted | Retry | Unknown | Refused | Split | Stop


@dataclasses.dataclass(slots=True)
class Delivery:
    """What was done for a batch so far. In the end each of its items is accepted or among `rejects`."""

    batch: Batch
    in_doubt: npt.NDArray[np.bool_]  # items that may have been accepted twice: an answer was lost, or did not name them
    rejects: list[Reject] = field(default_factory=list)
    accepted: int = 0
    refused_alone: int = 0  # items that were refused in a body of their own
    requests: int = 0
    retries: int = 0
    bytes_sent: int = 0
    may_have_arrived: bool = False  # False: nothing of it can have been done


class LaneWatch(Protocol):
    """Follows what lanes do, for measurements. Lanes call it in their own threads; it raises nothing."""

    def answered(self, seconds: float, verdict: Verdict) -> None:
        """A request was answered, or has failed, after `seconds`."""

    def delivered(self, delivery: Delivery, seconds: float) -> None:
        """The lane has ended its work on a batch, whether all its items are settled or not."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows ended how, and what was sent for them.

    Everything that counts takes its names from these fields: the columns of the state, the keys of report.json, sums.
    """

    accepted: int = 0
    rejected: int = 0
    skipped: int = 0
    possibly_sent_twice: int = 0
    batches: int = 0
    requests: int = 0
    retries: int = 0
    bytes_sent: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Counts)))

    @property
    def settled(self) -> int:
        """Rows that are done: they are never sent again."""
        return self.accepted + self.rejected + self.skipped


def total_counts(counts: Iterable[Counts]) -> Counts:
    """The sum of all counts."""
    return sum(counts, Counts())


@dataclass(frozen=True, slots=True)
class LaneProgress:
    """How far a lane has come, and what it counted on the way: one row of the state.

    Rows at or below `acked_through` are settled and never sent again. Rows above it, up to `sending_through`, may have
    been sent when a run is killed.
    """

    lane: int
    acked_through: int = -1
    sending_through: int = -1
    counts: Counts = Counts()
