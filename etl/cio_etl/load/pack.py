"""How do items become bodies? A lane's items, in order, as many as fit; what is left over waits for the next frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from cio_etl.model import ARRAY, OUTCOME_UNKNOWN, Batch, Envelope, Reject

REJECTS_A_BATCH = 10_000  # a batch that settles this many rejects is closed, however empty its body: memory is bounded
SMALLEST_BATCH_BYTES = 32_100  # one item of 32,000 bytes and what is around it

Integers = npt.NDArray[np.int64]


@dataclass(slots=True)
class Open:
    """A lane's batch that is still being filled."""

    pieces: list[bytes | memoryview] = field(default_factory=list)
    bytes: int = 0
    positions: list[Integers] = field(default_factory=list)
    ends: list[Integers] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    skipped: int = 0
    through: int = -1


@dataclass(frozen=True, slots=True)
class Sorted:
    """An items frame by lane: the text of all items in one buffer, and where each row's part of it ends."""

    text: memoryview
    offsets: Integers  # of row i: text[offsets[i]:offsets[i + 1]], empty for a row that is not sent
    positions: Integers
    is_item: npt.NDArray[np.bool_]
    reject_rows: Integers  # ascending
    rejects: list[Reject]
    bounds: Integers  # of lane l: rows bounds[l]:bounds[l + 1]

    @classmethod
    def of(cls, items: pl.DataFrame, lanes: int) -> Sorted:
        lane = items["lane"].to_numpy()
        order = np.argsort(lane, kind="stable")  # stable: a lane's rows stay in order of position
        by_lane = items[order]
        text = by_lane["item"].fill_null("").to_arrow()
        _, offsets, data = text.buffers()
        positions = by_lane["position"].to_numpy()
        reject_rows = np.flatnonzero(by_lane["reason"].is_not_null().to_numpy())
        rejected = by_lane[reject_rows].select("position", "reason", "field")
        return cls(
            text=memoryview(data) if data is not None else memoryview(b""),
            offsets=np.frombuffer(offsets, dtype=np.int64, count=len(items) + 1, offset=text.offset * 8),
            positions=positions,
            is_item=by_lane["item"].is_not_null().to_numpy(),
            reject_rows=reject_rows,
            rejects=[Reject(*row) for row in rejected.iter_rows()],
            bounds=np.searchsorted(lane[order], np.arange(lanes + 1)),
        )


class Packer:
    """Packs items frames, which come in order of position, into batches of at most `max_batch_bytes`.

    Rows at or below their lane's mark in `acked` (one position a lane) are settled already and left out. Those at or
    below the one in `announced` may have been sent: where they must not be sent again, they become rejects.
    """

    def __init__(
        self,
        max_batch_bytes: int,
        acked: Integers,
        envelope: Envelope = ARRAY,
        announced: Integers | None = None,
    ) -> None:
        self._max_batch_bytes = max_batch_bytes
        self._acked = acked
        self._envelope = envelope
        self._around = len(envelope.open) + len(envelope.close) - 1  # the last item's comma is not sent
        self._announced = acked if announced is None else np.maximum(acked, announced)
        self._resumed_through = int(self._announced.max())
        self._open = [Open() for _ in acked]

    def add(self, items: pl.DataFrame) -> dict[int, list[Batch]]:
        """The batches that are full now, in order, by lane."""
        if items.height and int(items["position"][0]) <= self._resumed_through:
            lane, position = items["lane"].to_numpy(), items["position"].to_numpy()
            unknown = pl.Series(position <= self._announced[lane]) & items["item"].is_not_null()
            items = items.with_columns(
                pl.when(~unknown).then("item").alias("item"),
                pl.when(unknown).then(pl.lit(OUTCOME_UNKNOWN)).otherwise("reason").alias("reason"),
            ).filter(pl.Series(position > self._acked[lane]))
        if items.is_empty():
            return {}
        frame = Sorted.of(items, len(self._open))
        return {lane: full for lane in range(len(self._open)) if (full := list(self._fill(lane, frame)))}

    def finish(self) -> dict[int, list[Batch]]:
        """The last, unfilled batch of each lane."""
        return {lane: [self._close(lane)] for lane, rest in enumerate(self._open) if rest.through >= 0}

    def too_large(self, body_bytes: int) -> None:
        """The server refused a body of this length: those to come are at most half of it."""
        self._max_batch_bytes = max(SMALLEST_BATCH_BYTES, min(self._max_batch_bytes, body_bytes // 2))

    def _fill(self, lane: int, frame: Sorted) -> Iterator[Batch]:
        first, last = int(frame.bounds[lane]), int(frame.bounds[lane + 1])
        while first < last:
            room = max(self._max_batch_bytes - self._around - self._open[lane].bytes, 0)
            if frame.offsets[last] - frame.offsets[first] <= room:  # nearly always, where there are many lanes
                fits = last - first
            else:
                fits = int(frame.offsets[first + 1 : last + 1].searchsorted(frame.offsets[first] + room, side="right"))
            if self._envelope.max_items is not None:
                places = self._envelope.max_items - sum(map(len, self._open[lane].positions))
                counted = np.cumsum(frame.is_item[first : first + fits])
                fits = int(counted.searchsorted(places, side="right"))
            if fits:
                self._take(lane, frame, first, first + fits)
            first += fits
            if first < last:
                yield self._close(lane)
        rest = self._open[lane]
        if rest.through >= 0 and (rest.bytes == 0 or len(rest.rejects) >= REJECTS_A_BATCH):
            yield self._close(lane)
        elif rest.pieces:
            rest.pieces[-1] = bytes(rest.pieces[-1])  # what is carried over must not hold the whole frame

    def _take(self, lane: int, frame: Sorted, first: int, last: int) -> None:
        rest, is_item = self._open[lane], frame.is_item[first:last]
        start, end = int(frame.offsets[first]), int(frame.offsets[last])
        if end > start:
            rest.pieces.append(frame.text[start:end])
            rest.ends.append((frame.offsets[first + 1 : last + 1] + (rest.bytes - 1 - start))[is_item])
            rest.positions.append(frame.positions[first:last][is_item])
            rest.bytes += end - start
        if others := (last - first) - int(np.count_nonzero(is_item)):
            low, high = frame.reject_rows.searchsorted((first, last))
            rest.rejects += frame.rejects[low:high]
            rest.skipped += others - int(high - low)
        rest.through = int(frame.positions[last - 1])

    def _close(self, lane: int) -> Batch:
        full, self._open[lane] = self._open[lane], Open()
        none, around = np.empty(0, dtype=np.int64), self._envelope
        if full.pieces:
            full.pieces[-1] = full.pieces[-1][:-1]
        return Batch(
            lane=lane,
            through=full.through,
            body=b"".join((around.open, *full.pieces, around.close)) if full.pieces else b"",
            positions=np.concatenate(full.positions) if full.positions else none,
            ends=np.concatenate(full.ends) + len(around.open) if full.ends else none,
            rejects=tuple(full.rejects),
            skipped=full.skipped,
            envelope=around,
        )
