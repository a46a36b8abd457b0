"""Packs items into bodies: a lane's items in order, as many as fit; the last body stays open for the next frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from cio_etl.model import ARRAY, OUTCOME_UNKNOWN, Batch, Envelope, Reject

REJECTS_A_BATCH = 10_000  # a batch with this many rejects is closed, however empty its body: memory is bounded
SMALLEST_BATCH_BYTES = 32_100  # one item of 32,000 bytes and its envelope

Integers = npt.NDArray[np.int64]


@dataclass(slots=True)
class OpenBatch:
    """A lane's batch that is still being filled."""

    pieces: list[bytes | memoryview] = field(default_factory=list)
    bytes: int = 0
    positions: list[Integers] = field(default_factory=list)
    ends: list[Integers] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    skipped: int = 0
    through: int = -1


@dataclass(frozen=True, slots=True)
class ItemsByLane:
    """An items frame sorted by lane: the text of all items in one buffer, and where each row's part of it ends."""

    text: memoryview  # empty where no bodies are made
    offsets: Integers  # of row i: text[offsets[i]:offsets[i + 1]], empty for a row that is not sent
    positions: Integers
    is_item: npt.NDArray[np.bool_]
    reject_rows: Integers  # ascending
    rejects: list[Reject]
    bounds: Integers  # of lane l: rows bounds[l]:bounds[l + 1]

    @classmethod
    def of(cls, items: pl.DataFrame, lanes: int, *, with_text: bool = True) -> ItemsByLane:
        lane = items["lane"].to_numpy()
        order = np.argsort(lane, kind="stable")  # stable: a lane's rows stay in order of position
        text = items["item"][order]
        is_item = np.ones(len(items), dtype=np.bool_)
        reject_rows, rejects = np.empty(0, dtype=np.int64), list[Reject]()
        if text.null_count():  # few frames have a row that is not sent
            is_item, text = text.is_not_null().to_numpy(), text.fill_null("")
            reject_rows = np.flatnonzero(items["reason"].is_not_null().to_numpy()[order])
            rows = items[order[reject_rows]].select("position", "reason", "field", pl.col("also").fill_null(""))
            rejects = [Reject(*row) for row in rows.iter_rows()]
        if with_text:
            array = text.to_arrow()
            _, ends, data = array.buffers()
            offsets = np.frombuffer(ends, dtype=np.int64, count=len(items) + 1, offset=array.offset * 8)
        else:
            data, offsets = None, np.zeros(len(items) + 1, dtype=np.int64)
            np.cumsum(text.str.len_bytes().to_numpy(), out=offsets[1:])
        return cls(
            text=memoryview(data) if data is not None else memoryview(b""),
            offsets=offsets,
            positions=items["position"].to_numpy()[order],
            is_item=is_item,
            reject_rows=reject_rows,
            rejects=rejects,
            bounds=np.searchsorted(lane[order], np.arange(lanes + 1)),
        )


class Packer:
    """Packs items frames, which come in order of position, into batches of at most `max_batch_bytes`.

    `acked` and `announced` have one position for each lane. Rows up to their lane's `acked` are settled already and are
    left out. Rows up to its `announced` may have been sent: give it where those must not be sent again, and they become
    rejects. A dry run makes no bodies: its batches have their `size` only.
    """

    def __init__(
        self,
        max_batch_bytes: int,
        acked: Integers,
        envelope: Envelope = ARRAY,
        announced: Integers | None = None,
        *,
        makes_bodies: bool = True,
    ) -> None:
        self._max_batch_bytes = max_batch_bytes
        self._acked = acked
        self._envelope = envelope
        self._makes_bodies = makes_bodies
        self._envelope_bytes = len(envelope.open) + len(envelope.close) - 1  # the last item's comma is not sent
        self._announced = acked if announced is None else np.maximum(acked, announced)
        self._resumed_through = int(self._announced.max())
        self._open = [OpenBatch() for _ in acked]

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
        frame = ItemsByLane.of(items, len(self._open), with_text=self._makes_bodies)
        return {lane: full for lane in range(len(self._open)) if (full := list(self._fill(lane, frame)))}

    def finish(self) -> dict[int, list[Batch]]:
        """The last, unfilled batch of each lane."""
        return {lane: [self._close(lane)] for lane, batch in enumerate(self._open) if batch.through >= 0}

    def too_large(self, body_bytes: int) -> None:
        """Makes the next bodies at most half as large as this one, which the server refused for its size."""
        self._max_batch_bytes = max(SMALLEST_BATCH_BYTES, min(self._max_batch_bytes, body_bytes // 2))

    def _fill(self, lane: int, frame: ItemsByLane) -> Iterator[Batch]:
        """Adds a lane's rows to its open batch; yields each batch that is full."""
        first, last = int(frame.bounds[lane]), int(frame.bounds[lane + 1])
        while first < last:
            free_bytes = max(self._max_batch_bytes - self._envelope_bytes - self._open[lane].bytes, 0)
            if frame.offsets[last] - frame.offsets[first] <= free_bytes:  # nearly always, where there are many lanes
                fits = last - first
            else:
                ends = frame.offsets[first + 1 : last + 1]
                fits = int(ends.searchsorted(frame.offsets[first] + free_bytes, side="right"))
            if self._envelope.max_items is not None:
                free_items = self._envelope.max_items - sum(map(len, self._open[lane].positions))
                items_so_far = np.cumsum(frame.is_item[first : first + fits])
                fits = int(items_so_far.searchsorted(free_items, side="right"))
            if fits:
                self._take(lane, frame, first, first + fits)
            first += fits
            if first < last:
                yield self._close(lane)
        batch = self._open[lane]
        if batch.through >= 0 and (batch.bytes == 0 or len(batch.rejects) >= REJECTS_A_BATCH):
            yield self._close(lane)
        elif batch.pieces:
            batch.pieces[-1] = bytes(batch.pieces[-1])  # a copy: a view would keep the whole frame in memory

    def _take(self, lane: int, frame: ItemsByLane, first: int, last: int) -> None:
        """Adds rows first:last of a frame to the lane's open batch."""
        batch, is_item = self._open[lane], frame.is_item[first:last]
        start, end = int(frame.offsets[first]), int(frame.offsets[last])
        if end > start:
            if self._makes_bodies:
                batch.pieces.append(frame.text[start:end])
            batch.ends.append((frame.offsets[first + 1 : last + 1] + (batch.bytes - 1 - start))[is_item])
            batch.positions.append(frame.positions[first:last][is_item])
            batch.bytes += end - start
        if not_sent := (last - first) - int(np.count_nonzero(is_item)):
            first_reject, last_reject = frame.reject_rows.searchsorted((first, last))
            batch.rejects += frame.rejects[first_reject:last_reject]
            batch.skipped += not_sent - int(last_reject - first_reject)
        batch.through = int(frame.positions[last - 1])

    def _close(self, lane: int) -> Batch:
        full, self._open[lane] = self._open[lane], OpenBatch()
        none, envelope = np.empty(0, dtype=np.int64), self._envelope
        if full.pieces:
            full.pieces[-1] = full.pieces[-1][:-1]
        return Batch(
            lane=lane,
            through=full.through,
            body=b"".join((envelope.open, *full.pieces, envelope.close)) if full.pieces else b"",
            positions=np.concatenate(full.positions) if full.positions else none,
            ends=np.concatenate(full.ends) + len(envelope.open) if full.ends else none,
            rejects=tuple(full.rejects),
            skipped=full.skipped,
            envelope=envelope,
        )
