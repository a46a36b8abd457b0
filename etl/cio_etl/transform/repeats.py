"""Rows that repeat another row's key, and which of them are sent.

Of a person's rows the last by `order_by` is sent; the others are skipped. Of the rows with one `event_key` the first is
sent; rows with the same values are skipped, rows with different values are rejected. This is decided over the whole
snapshot before the first row is sent, so a resumed run decides the same.

It takes two passes. The first finds hashes of keys that occur twice, and nearly always there are none. The second
compares the rows that may have such hashes, by the keys themselves, a part of the keys at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import polars as pl
from polars_hash import CryptographicHashingNameSpace

from cio_etl.apis import OPERATIONS
from cio_etl.model import POSITION, Mapping
from cio_etl.model.reasons import EVENT_KEY_REPEATED
from cio_etl.model.records import dataclass
from cio_etl.transform import invisible
from cio_etl.transform.arrays import np
from cio_etl.transform.by_hash import IN_MEMORY, KEY, RowsByHash

if TYPE_CHECKING:
    import numpy.typing as npt

    from cio_etl.transform.by_hash import Hashes


SENT, SUPERSEDED, REPEATED, CONFLICTING, NEWEST = range(5)

_BUFFER_ROWS = 500_000  # rows that are collected before they are compared


@dataclass(frozen=True, slots=True, eq=False)
class Repeats:
    """The decision about each row of a snapshot. NEWEST is sent as SENT is; older rows of its person are skipped."""

    codes: npt.NDArray[np.uint8]  # by position
    keys: int  # people, or events, that have several rows
    field: str = "event_key"  # what identifies an event

    def applied(self, items: pl.DataFrame) -> pl.DataFrame:
        """An items frame where the rows that repeat a key are skipped or rejected."""
        here = self.codes[items["position"].to_numpy()]
        if not here.any():
            return items
        code = pl.lit(pl.Series(here))
        sent, refused = code.is_in([SENT, NEWEST]), code == CONFLICTING
        return items.with_columns(
            pl.when(sent).then("item").alias("item"),
            pl.when(sent).then("reason").when(refused).then(pl.lit(EVENT_KEY_REPEATED)).alias("reason"),
            pl.when(sent).then("field").when(refused).then(pl.lit(self.field)).alias("field"),
        )

    def rows(self, code: int, most: int) -> tuple[int, tuple[int, ...]]:
        """How many rows have this decision, and the positions of at most so many of the first."""
        count, first = 0, list[int]()
        for start in range(0, len(self.codes), _BUFFER_ROWS):
            here = np.flatnonzero(self.codes[start : start + _BUFFER_ROWS] == code)
            count += len(here)
            first += (here[: most - len(first)] + start).tolist()
        return count, tuple(first)


def finds_repeats(mapping: Mapping) -> bool:
    """Whether the mapping defines a key by which rows can repeat."""
    return bool(mapping.order_by) or mapping.identifies_events


def targets(mapping: Mapping) -> list[str]:
    """The values that form a row's key. An event's key does not include the person; constants are left out."""
    if not OPERATIONS[mapping.operation].has_event:
        return [target for target in mapping.targets if target.startswith(_WHO)]
    if "event_id" in mapping.targets:
        return ["event_id"]
    return [*mapping.from_columns("event"), *(f"_key.{place}" for place in range(len(mapping.event_key)))]


_WHO = ("identifiers.", "object.")


def keyed(values: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    """POSITION and the key of each row, as text columns; rows without a key are left out."""
    keys = values.select(POSITION, *(key_text(target) for target in targets(mapping)))
    if mapping.alternatives and not OPERATIONS[mapping.operation].has_event:
        somebody = pl.any_horizontal(pl.col(target).is_not_null() for target in mapping.alternatives)
        keys = keys.filter(somebody).with_columns(pl.col(target).fill_null("") for target in mapping.alternatives)
    return keys if all(count == 0 for count in keys.null_count().row(0)) else keys.drop_nulls()


def key_text(target: str) -> pl.Expr:
    """A part of a key; case does not count in e-mail addresses, see ids.lane."""
    text = pl.col(target).cast(pl.String)
    if not target.startswith((*_WHO, "relationships[")):
        return text
    return pl.when(~invisible.is_blank(text)).then(text.str.to_lowercase() if target.endswith(".email") else text)


def hashes(keys: pl.DataFrame) -> Hashes:
    """A hash of each key. It only selects candidates, so it may differ in another version of polars."""
    hashes: Hashes = keys.drop(POSITION).hash_rows().to_numpy()
    return hashes


class Repeated:
    """Hashes that occur more than once among those that were added.

    Of those it knows the first 24 bits, in 16 MB however many they are; a few others have the same, and count as
    repeated too, until their keys are compared.
    """

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._rows = RowsByHash(in_memory=in_memory)
        self._known = np.zeros(1 << _KNOWN_BITS, dtype=np.bool_)  # pages that are not written take no memory
        self.any = False

    def add(self, hashes: Hashes) -> None:
        """Add the hashes of the next rows."""
        self._rows.add(pl.DataFrame([pl.Series(KEY, hashes)]))

    def found(self) -> Self:
        """This, once all hashes have been added."""
        for rows in self._rows.parts():
            hashes = np.sort(rows[KEY].to_numpy())
            again = hashes[1:][hashes[1:] == hashes[:-1]]
            self._known[again >> _NOT_KNOWN] = True
            self.any |= len(again) > 0
        self._rows = RowsByHash()
        return self

    def among(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """Which of these may be repeated; those that are repeated are."""
        may: npt.NDArray[np.bool_] = self._known[hashes >> _NOT_KNOWN]
        return may


_KNOWN_BITS = 24
_NOT_KNOWN = 64 - _KNOWN_BITS


class RepeatDecision(ABC):
    """Reads the rows whose hash is repeated, in order of position, and decides which row of each key is sent.

    It keeps one row per key in memory until the next part of the keys begins, and one byte per row of the snapshot.
    """

    def __init__(self, rows: int) -> None:
        self._codes = np.zeros(rows, dtype=np.uint8)  # pages that are not written take no memory
        self._keys = 0
        self._pending: list[pl.DataFrame] = []
        self._waiting = 0
        self._best: pl.DataFrame | None = None
        self._several: set[str] = set()

    def add(self, rows: pl.DataFrame) -> None:
        self._pending.append(rows)
        self._waiting += rows.height
        if self._waiting >= max(_BUFFER_ROWS, 0 if self._best is None else self._best.height):
            self._compare()

    def next_part(self) -> None:
        """No row of the keys so far comes any more."""
        self._compare()
        self._keys += 0 if self._best is None else int((self._best["rows"] > 1).sum())
        self._best = None

    def repeats(self) -> Repeats:
        self.next_part()
        return Repeats(self._codes, self._keys)

    def _compare(self) -> None:
        if not self._pending:
            return
        new = pl.concat(self._pending).with_columns(pl.lit(1, dtype=pl.UInt32).alias("rows"))
        rows = new if self._best is None else pl.concat([self._best, new])
        self._pending, self._waiting = [], 0
        keys = [name for name in rows.columns if name.startswith((*_WHO, "digest."))]
        best = self._best_of(rows, keys)
        counts = rows.group_by(keys).agg(pl.col("rows").sum())
        self._best = best.drop("rows").join(counts, on=keys, how="left").select(rows.columns)
        self._note(rows, self._best, keys)

    @abstractmethod
    def _best_of(self, rows: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
        """The row of each key that is sent."""

    @abstractmethod
    def _note(self, rows: pl.DataFrame, best: pl.DataFrame, keys: Sequence[str]) -> None:
        """Write the decision about all these rows."""


class LastWins(RepeatDecision):
    """For rows with POSITION, `identifiers.…` and `order.…`: the last in that order is sent, of equals the later."""

    def _best_of(self, rows: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
        order = [name for name in rows.columns if name.startswith("order.")]
        return rows.sort(*order, POSITION, nulls_last=False).unique(keys, keep="last", maintain_order=True)

    def _note(self, rows: pl.DataFrame, best: pl.DataFrame, keys: Sequence[str]) -> None:
        self._codes[rows[POSITION].to_numpy()] = SUPERSEDED
        self._codes[best[POSITION].to_numpy()] = np.where(best["rows"].to_numpy() > 1, NEWEST, SENT)


class FirstWins(RepeatDecision):
    """For rows with POSITION, `digest.…` of the key and `content.…` of the item: the first is sent."""

    def _best_of(self, rows: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
        return rows.unique(keys, keep="first", maintain_order=True)

    def _note(self, rows: pl.DataFrame, best: pl.DataFrame, keys: Sequence[str]) -> None:
        with_best = rows.join(best.drop("rows"), on=keys, how="left", suffix=".best", maintain_order="left")
        same = pl.all_horizontal(pl.col(f"content.{half}") == pl.col(f"content.{half}.best") for half in range(2))
        code = pl.when(pl.col(POSITION) == pl.col(f"{POSITION}.best")).then(SENT).when(same).then(REPEATED)
        codes = with_best.select(code.otherwise(CONFLICTING).cast(pl.UInt8)).to_series()
        self._codes[rows[POSITION].to_numpy()] = codes.to_numpy()


def key_and_content(values: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """The input of FirstWins, for the rows that would be sent: 128 bits of SHA-256 each for the key and the content."""
    sent = items.filter(pl.col("item").is_not_null()).select(pl.col("position").alias(POSITION), "item")
    both = sent.join(values.select(POSITION, "_digest"), on=POSITION, how="inner", maintain_order="left")
    content = CryptographicHashingNameSpace(pl.col("item")).sha2_256()
    return both.select(POSITION, *_halves(pl.col("_digest"), "digest"), *_halves(content, "content"))


def _halves(digest: pl.Expr, name: str) -> list[pl.Expr]:
    digits = [digest.str.slice(16 * half, 16) for half in range(2)]
    return [part.str.to_integer(base=16, dtype=pl.UInt64).alias(f"{name}.{half}") for half, part in enumerate(digits)]
