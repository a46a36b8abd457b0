"""What comes close to a limit, or looks as if it had been cut to one? What is over it is a reject already."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from cio_etl.audit.found import FIRST, Found, firsts, sent
from cio_etl.model import POSITION, Constant, Mapping
from cio_etl.transform import Mapped
from cio_etl.transform.checks import MAX_EVENT_NAME_BYTES, MAX_IDENTIFIER_BYTES, MAX_ITEM_BYTES
from cio_etl.transform.operations import OPERATIONS

NEAR = 0.9  # of a limit

# Lengths, in characters, at which databases and tools cut text without a word: as of varchar(255), a cell of Excel.
CUT_AT = frozenset({50, 60, 64, 80, 100, 120, 128, 140, 150, 160, 200, 250, 254, 255, 256, 500, 512, 1_000, 1_024})
CUT_AT |= {2_000, 2_048, 4_000, 4_096, 8_000, 32_767, 65_535}
_CUT_ROWS = 5  # fewer may be so long by chance


@dataclass(slots=True)
class Near:
    """Rows whose bytes are near a limit, and not over it."""

    limit: int
    rows: int = 0
    first: tuple[int, ...] = ()


@dataclass(slots=True)
class Longest:
    """The longest text of a column, in characters: how many rows are that long, of how many that are not null."""

    length: int = 0
    rows: int = 0
    known: int = 0
    first: tuple[int, ...] = ()


class Limits:
    """Looks at the bytes of values, names, identifiers and items, and at the longest texts of each attribute."""

    def __init__(self, mapping: Mapping) -> None:
        operation = OPERATIONS[mapping.operation]
        self._attributes = [
            f"attributes.{n}" for n, value in mapping.attributes.items() if not isinstance(value, Constant)
        ]
        self._near = {f"identifiers.{kind}": Near(MAX_IDENTIFIER_BYTES) for kind in mapping.identifiers}
        if mapping.event is not None and not isinstance(mapping.event, Constant):
            self._near["event"] = Near(MAX_EVENT_NAME_BYTES)
        if operation.max_value_bytes is not None:
            self._near |= {target: Near(operation.max_value_bytes) for target in self._attributes}
        self._items = Near(MAX_ITEM_BYTES)
        self._longest = {target: Longest() for target in self._attributes}

    def observe(self, mapped: Mapped) -> None:
        values, sizes = mapped.values, pl.col("item").str.len_bytes() - 1
        texts = [name for name in {**self._near, **self._longest} if values[name].dtype == pl.String]
        longest = (
            dict(zip(texts, values.select(pl.col(texts).str.len_bytes().max()).row(0), strict=True)) if texts else {}
        )
        for name in texts:
            bytes_, near = longest[name] or 0, self._near.get(name)
            if near is not None and bytes_ > near.limit * NEAR:
                rows = sent(mapped, [name])
                _note(near, rows[POSITION], rows[name].str.len_bytes())
            if name in self._longest:
                self._note_longest(self._longest[name], values, name, bytes_)
        if (mapped.items.select(sizes.max()).item() or 0) > MAX_ITEM_BYTES * NEAR:
            _note(self._items, mapped.items["position"], mapped.items.select(sizes).to_series())

    def _note_longest(self, longest: Longest, values: pl.DataFrame, name: str, bytes_: int) -> None:
        longest.known += values.height - values[name].null_count()
        if bytes_ < max(longest.length, min(CUT_AT)):  # a text has no more characters than bytes
            return
        lengths = values[name].str.len_chars()
        characters = int(lengths.max() or 0)  # type: ignore[arg-type]
        if characters > longest.length:
            longest.length, longest.rows, longest.first = characters, 0, ()
        if characters == longest.length:
            those = values[POSITION].filter(lengths == characters)
            longest.rows += len(those)
            longest.first = firsts(longest.first, those)

    def findings(self) -> Iterable[Found]:
        for target, near in self._near.items():
            if near.rows:
                words = f"{near.rows:,} values have over {NEAR:.0%} of the {near.limit:,} bytes that they may have"
                yield Found("value_near_limit", "notice", target, near.rows, words, near.first)
        if (items := self._items).rows:
            words = f"{items.rows:,} items have over {NEAR:.0%} of the {items.limit:,} bytes that they may have"
            yield Found("item_near_limit", "notice", None, items.rows, words, items.first)
        for target, longest in self._longest.items():
            if longest.length in CUT_AT and _CUT_ROWS <= longest.rows <= longest.known // 2:
                words = f"{longest.rows:,} values have exactly {longest.length:,} characters, and none has more"
                yield Found("value_cut", "notice", target, longest.rows, words, longest.first)


def _note(near: Near, positions: pl.Series, sizes: pl.Series) -> None:
    """Notes those that are near their limit; the sizes are of what would be sent, so none is over it."""
    those = positions.filter(sizes > near.limit * NEAR)
    near.rows += len(those)
    if len(near.first) < FIRST:
        near.first = firsts(near.first, those)
