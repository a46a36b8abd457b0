"""A random sample of the people that rows are about, in one pass over the rows and in bounded memory.

Everybody has a hash of their identifier, and those with the lowest ones are the sample. So all rows of a drawn person
are in it, of every step; the same seed draws the same people; and how far apart the hashes are says how many there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from cio_etl.model import POSITION
from cio_etl.run.verify.compare import parsed
from cio_etl.transform import Mapped, ids, repeats

KINDS = ("id", "email", "phone", "cio_id")  # of identifiers by which the App API finds somebody
NOT_SENT = "not sent yet, or not yet as the source has it now"
REMOVED = "deleted, suppressed or merged into somebody else by a later row"
REJECTED = "rejected by Customer.io"
_ALL = 2**64 - 1
_ROWS_OF_ONE = 100  # of a person and a step that are remembered, the last ones
_REMOVALS = frozenset({"delete", "suppress", "merge", "User Deleted", "User Suppressed"})


@dataclass(slots=True)
class Expected:
    """A drawn person: what Customer.io should have of them."""

    kind: str  # of the identifier
    identifier: str
    attributes: dict[str, Any] = field(default_factory=dict)
    existing_only: bool = True  # nobody was asked to create them
    newest: Any = None  # the timestamp of the newest change


class Sample:
    """The sample while rows go by. `add` is called by one thread, in the order of rows; `drawn` by any."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed = size, seed
        self._limit = _ALL  # hashes up to it may be in the sample
        self._frames: list[pl.DataFrame] = []
        self._rows = 0
        self._existing_only: set[int] = set()

    def drawn(self, mapped: Mapped) -> pl.DataFrame | None:
        """The rows of a frame that may be in the sample: position, key, hash, item. None: they name nobody."""
        values = mapped.values.rename(lambda name: name.replace("secondary.", "identifiers."))  # a merge removes them
        texts = [
            pl.concat_str([pl.lit(f"{kind}:"), repeats.key_text(f"identifiers.{kind}")])
            for kind in KINDS
            if f"identifiers.{kind}" in values.columns
        ]
        if not texts:
            return None
        keys = values.select(pl.col(POSITION).alias("position"), pl.coalesce(texts).alias("key"))
        hashed = keys.with_columns(ids.text_hash(pl.col("key"), self.seed).alias("hash"))
        few = hashed.filter(pl.col("hash") <= pl.lit(self._limit, pl.UInt64))
        return few.join(mapped.items.select("position", "item"), on="position", how="inner")

    def add(self, step: int, rows: pl.DataFrame, *, existing_only: bool = False) -> None:
        """Takes rows that `drawn` gave, of a step of the job, with a column `unsent`: the item that was not sent yet.

        A row without an item was rejected or skipped, and says nothing.
        """
        if existing_only:
            self._existing_only.add(step)
        rows = rows.filter(pl.col("item").is_not_null(), pl.col("hash") <= pl.lit(self._limit, pl.UInt64))
        if rows.is_empty():
            return
        if "unsent" not in rows.columns:
            rows = rows.with_columns(pl.lit(None, pl.String).alias("unsent"))
        self._frames.append(rows.with_columns(pl.lit(step, pl.Int32).alias("step")).select(_COLUMNS))
        self._rows += rows.height
        if self._rows > 4 * self.size + 10_000:
            self._shrink()

    @property
    def people(self) -> int:
        """How many people went by; estimated where they are more than the sample."""
        self._shrink()
        drawn = self._drawn()
        return drawn if self.is_whole else round((drawn - 1) / (self._limit / 2**64))

    @property
    def is_whole(self) -> bool:
        """Whether everybody is in the sample."""
        return self._limit == _ALL

    def expected(self, rejected: Mapping[int, Collection[int]]) -> tuple[list[Expected], Counter[str]]:
        """What Customer.io should have of each drawn person; and those of whom nothing can be said, by the reason.

        `rejected` has, by step, the positions of the rows that Customer.io has rejected.
        """
        self._shrink()
        people: dict[str, Expected] = {}
        out: dict[str, str] = {}
        unsent: dict[str, set[str]] = {}
        rows = pl.concat(self._frames) if self._frames else pl.DataFrame(schema=_SCHEMA)
        for step, position, key, item, not_sent in rows.sort("step", "position").drop("hash").iter_rows():
            if position in rejected.get(step, ()):
                out.setdefault(key, REJECTED)
                continue
            action, attributes, at = _read(item)
            if action in _REMOVALS:
                people.pop(key, None)
                out[key] = REMOVED
                continue
            if action != "identify":
                continue
            kind, _, identifier = key.partition(":")
            person = people.setdefault(key, Expected(kind, identifier))
            if at is not None and type(at) is type(person.newest) and at < person.newest:
                continue  # Customer.io leaves a change out that is older than the newest one
            person.newest = at if at is not None else person.newest
            person.existing_only &= step in self._existing_only
            person.attributes |= attributes
            if not_sent is not None:
                unsent.setdefault(key, set()).update(_read(not_sent)[1] if not_sent else attributes)
        for key, names in unsent.items():
            if key in people:
                left = {name: each for name, each in people[key].attributes.items() if name not in names}
                if left or not people[key].attributes:
                    people[key].attributes = left
                else:
                    people.pop(key)
                    out[key] = NOT_SENT
        reasons = Counter(reason for key, reason in out.items() if key not in people)
        return list(people.values()), reasons

    def _drawn(self) -> int:
        return sum(frame["hash"].n_unique() for frame in self._frames)

    def _shrink(self) -> None:
        """Leaves the people with the lowest hashes, and of each the last rows of each step."""
        if not self._frames:
            return
        rows = pl.concat(self._frames)
        hashes = rows["hash"].unique().sort()
        if len(hashes) > self.size:
            self._limit = hashes[self.size - 1]
            rows = rows.filter(pl.col("hash") <= pl.lit(self._limit, pl.UInt64))
        if rows.height > 2 * self.size + 5_000:
            rows = rows.sort("step", "position").filter(
                pl.int_range(pl.len(), 0, -1).over("step", "hash") <= _ROWS_OF_ONE
            )
        self._frames, self._rows = [rows], rows.height


_SCHEMA = pl.Schema(
    {
        "step": pl.Int32,
        "position": pl.Int64,
        "key": pl.String,
        "hash": pl.UInt64,
        "item": pl.String,
        "unsent": pl.String,
    }
)
_COLUMNS = list(_SCHEMA)


def _read(item: str) -> tuple[str, dict[str, Any], Any]:
    """What an item does, its attributes, and its time; of an item as it is in a body, with a comma."""
    content = parsed(item.rstrip(","))
    action = content.get("action") or (content["event"] if content.get("type") == "track" else content.get("type"))
    attributes = content.get("attributes", content.get("traits")) or {}
    named = {"created_at" if name == "createdAt" else name: value for name, value in attributes.items()}
    return action, named, content.get("timestamp")
