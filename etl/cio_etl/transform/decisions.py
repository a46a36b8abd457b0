"""What is sent of each row of a step that sends only what changed: nothing, the whole item, or some of its parts.

The ledger decides it over the whole snapshot before the first row is sent, so a resumed run sends the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import polars as pl

from cio_etl.model import POSITION
from cio_etl.model.records import dataclass
from cio_etl.transform.arrays import np

if TYPE_CHECKING:
    import numpy.typing as npt

    Codes = npt.NDArray[np.uint8]
    Masks = npt.NDArray[np.uint64]  # 64 bits a word: [rows, words]

# Codes. AS_MAPPED: the mapping rejects or skips the row. The rows of the other codes are items.
AS_MAPPED, SAME, WHOLE, PARTIAL, REFUSED = range(5)
FLAG = "_sent."  # prefix of the Boolean columns that say which parts of a row are sent

BLOCK = 1 << 18  # rows whose codes are in memory at a time, where they are not those of a frame
TOGETHER = 100_000  # rows of frames of which few are sent, which are mapped together: each call costs some 10 ms
FEW = 5_000  # rows that are sent: with more, no further frame is added


@dataclass(frozen=True, slots=True, eq=False)
class Portion:
    """One or more frames of a snapshot, in order of position: the rows that are mapped, and the items of the others.

    The others are skipped; None: there are none.
    """

    rows: int
    frame: pl.DataFrame
    same: pl.DataFrame | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """The decision about each row of a snapshot. They are read for a frame at a time, so memory does not grow by rows.

    `read_codes` and `read_masks` give a number of codes from a position on, and of masks, of which only PARTIAL rows
    have one, from a place among them on. They may be called in threads.
    """

    rows: int
    read_codes: Callable[[int, int], Codes]
    read_masks: Callable[[int, int], Masks]
    parts: tuple[str, ...]
    read_refused: Callable[[int, int], pl.DataFrame]  # between two positions: position Int64, reason and field String
    partial_before: npt.NDArray[np.int64]  # how many PARTIAL rows are before each BLOCK, and in all

    @classmethod
    def of(
        cls,
        rows: int,
        read_codes: Callable[[int, int], Codes],
        read_masks: Callable[[int, int], Masks],
        parts: tuple[str, ...],
        read_refused: Callable[[int, int], pl.DataFrame],
    ) -> Decisions:
        """Decisions whose codes have been read once."""
        counts = [np.count_nonzero(read_codes(start, count) == PARTIAL) for start, count in _blocks(rows)]
        return cls(rows, read_codes, read_masks, parts, read_refused, np.cumsum([0, *counts]))

    def codes(self, positions: npt.NDArray[np.int64]) -> Codes:
        """The codes of these rows, in any order."""
        if not len(positions):
            return np.empty(0, np.uint8)
        low, high = int(positions.min()), int(positions.max()) + 1
        if high - low <= BLOCK:
            return self.read_codes(low, high - low)[positions - low]
        codes, block_of = np.empty(len(positions), np.uint8), positions // BLOCK
        for block in np.unique(block_of):
            here = block_of == block
            start = int(block) * BLOCK
            codes[here] = self.read_codes(start, min(BLOCK, self.rows - start))[positions[here] - start]
        return codes

    def masks(self, positions: npt.NDArray[np.int64]) -> Masks:
        """The masks of these rows of a frame, which are PARTIAL."""
        block, high = int(positions.min()) // BLOCK, int(positions.max()) + 1
        start, low = block * BLOCK, int(positions.min())
        is_partial = self.read_codes(start, high - start) == PARTIAL
        before = np.count_nonzero(is_partial[: low - start])
        place = np.cumsum(is_partial[low - start :]) - 1
        masks = self.read_masks(int(self.partial_before[block]) + int(before), int(place[-1]) + 1)
        found: Masks = masks[place[positions - low]]
        return found

    def split(self, frame: pl.DataFrame) -> Portion:
        """The rows of a frame that are mapped, and the items of the others."""
        same = self.codes(frame[POSITION].to_numpy()) == SAME
        if not same.any():
            return Portion(frame.height, frame)
        skipped = frame.filter(pl.Series(same)).select(pl.col(POSITION).alias("position"))
        return Portion(frame.height, frame.filter(pl.Series(~same)), skipped)

    def portions(self, frames: Iterable[pl.DataFrame]) -> Iterator[Portion]:
        """All frames, in order; those of which few rows are mapped come together."""
        waiting: list[Portion] = []
        for frame in frames:
            waiting.append(self.split(frame))
            if sum(each.frame.height for each in waiting) > FEW or sum(each.rows for each in waiting) >= TOGETHER:
                yield _together(waiting)
                waiting = []
        if waiting:
            yield _together(waiting)

    def accepted(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows of which the mapping makes an item."""
        return frame.filter(pl.Series(self.codes(frame[POSITION].to_numpy()) != AS_MAPPED))

    @property
    def same(self) -> int:
        """How many rows are skipped because Customer.io has what they would send."""
        return sum(int(np.count_nonzero(self.read_codes(*block) == SAME)) for block in _blocks(self.rows))

    def is_partial(self, positions: pl.Series) -> pl.Series:
        """Boolean: the rows of which only some parts are sent."""
        return pl.Series(self.codes(positions.to_numpy()) == PARTIAL)

    def flags(self, positions: pl.Series) -> list[pl.Series]:
        """A Boolean column for `_update` and for each part, of rows of which only some parts are sent."""
        masks = self.masks(positions.to_numpy())
        return [pl.Series(name, bit_of(masks, bit)) for bit, name in enumerate(flag_names(self.parts).values())]

    def applied(self, items: pl.DataFrame) -> pl.DataFrame:
        """An items frame where the rows that Customer.io refused before are rejected, with the reason it gave then."""
        refused = items["position"].filter(pl.Series(self.codes(items["position"].to_numpy()) == REFUSED))
        if refused.is_empty():
            return items
        reasons = self.read_refused(int(refused.min()), int(refused.max()))  # type: ignore[arg-type]
        before = items.join(reasons, on="position", how="left", suffix=".before", maintain_order="left")
        again = pl.col("reason.before").is_not_null() & pl.col("item").is_not_null()
        return before.with_columns(
            pl.when(~again).then("item").alias("item"),
            pl.when(again).then("reason.before").otherwise("reason").alias("reason"),
            pl.when(again).then("field.before").otherwise("field").alias("field"),
        ).select(items.columns)


def _together(portions: Sequence[Portion]) -> Portion:
    same = [each.same for each in portions if each.same is not None]
    frame = pl.concat([each.frame for each in portions], rechunk=True)
    return Portion(sum(each.rows for each in portions), frame, pl.concat(same) if same else None)


def _blocks(rows: int) -> Iterator[tuple[int, int]]:
    """The first row and the number of rows of each block."""
    return ((start, min(BLOCK, rows - start)) for start in range(0, rows, BLOCK))


def flag_names(parts: tuple[str, ...]) -> dict[str, str]:
    """The Boolean column of each part, and of `_update`, in the order of a mask's bits."""
    return {name: f"{FLAG}{name}" for name in ("_update", *parts)}


def bit_of(masks: Masks, bit: int) -> npt.NDArray[np.bool_]:
    """Whether each row's mask has this bit."""
    found: npt.NDArray[np.bool_] = ((masks[:, bit // 64] >> np.uint64(bit % 64)) & np.uint64(1)).astype(np.bool_)
    return found


def words(parts: int) -> int:
    """How many 64-bit words the mask of a row has, for this many parts and `_update`."""
    return -(-(parts + 1) // 64)
