"""Values close to a limit, or that look truncated. A value over a limit is a reject already."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from cio_etl.apis import OPERATIONS
from cio_etl.audit.findings import FIRST, PositionedFinding, finding_kind, firsts, sent
from cio_etl.model import POSITION, Mapping
from cio_etl.model.words import counted
from cio_etl.transform import Mapped
from cio_etl.transform.checks import MAX_EVENT_NAME_BYTES, MAX_IDENTIFIER_BYTES, MAX_ITEM_BYTES

VALUE_NEAR_LIMIT = finding_kind("value_near_limit", "notice", "nothing yet; a value over the limit is rejected")
ITEM_NEAR_LIMIT = finding_kind("item_near_limit", "notice", "nothing yet; an item over the limit is rejected")
VALUE_CUT = finding_kind("value_cut", "notice", "find out whether a database or a tool has truncated these texts")


NEAR = 0.9  # of a limit

# Lengths, in characters, at which databases and tools truncate text without a warning: varchar(255), a cell of Excel.
CUT_AT = frozenset({50, 60, 64, 80, 100, 120, 128, 140, 150, 160, 200, 250, 254, 255, 256, 500, 512, 1_000, 1_024})
CUT_AT |= {2_000, 2_048, 4_000, 4_096, 8_000, 32_767, 65_535}
_CUT_ROWS = 5  # fewer may have that length by chance


@dataclass(slots=True)
class Near:
    """Rows whose bytes are close to a limit, and not over it."""

    limit: int
    rows: int = 0
    first: tuple[int, ...] = ()


@dataclass(slots=True)
class Longest:
    """The longest text of a column, in characters; the rows that have that length, and all that are not null."""

    length: int = 0
    rows: int = 0
    non_null: int = 0
    first: tuple[int, ...] = ()


class LimitAudit:
    """Observes the bytes of values, names, identifiers and items, and the longest texts of each attribute."""

    def __init__(self, mapping: Mapping) -> None:
        operation = OPERATIONS[mapping.operation]
        self._attributes = mapping.from_columns("attributes")
        self._near = {f"identifiers.{kind}": Near(MAX_IDENTIFIER_BYTES) for kind in mapping.part("identifiers")}
        if mapping.from_columns("event"):
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
        longest.non_null += values.height - values[name].null_count()
        if bytes_ < max(longest.length, min(CUT_AT)):  # a text has no more characters than bytes
            return
        lengths = values[name].str.len_chars()
        characters = int(lengths.max() or 0)  # type: ignore[arg-type]
        if characters > longest.length:
            longest.length, longest.rows, longest.first = characters, 0, ()
        if characters == longest.length:
            rows = values[POSITION].filter(lengths == characters)
            longest.rows += len(rows)
            longest.first = firsts(longest.first, rows)

    def findings(self) -> Iterable[PositionedFinding]:
        for target, near in self._near.items():
            if near.rows:
                values = counted(near.rows, "value has", "values have")
                words = f"{values} over {NEAR:.0%} of the {near.limit:,} bytes allowed"
                yield VALUE_NEAR_LIMIT.finding(target, near.rows, words, near.first)
        if (items := self._items).rows:
            words = (
                f"{counted(items.rows, 'item has', 'items have')} over {NEAR:.0%} of the {items.limit:,} bytes allowed"
            )
            yield ITEM_NEAR_LIMIT.finding(None, items.rows, words, items.first)
        for target, longest in self._longest.items():
            if longest.length in CUT_AT and _CUT_ROWS <= longest.rows <= longest.non_null // 2:
                words = f"{longest.rows:,} values have exactly {longest.length:,} characters, and none has more"
                yield VALUE_CUT.finding(target, longest.rows, words, longest.first)


def _note(near: Near, positions: pl.Series, sizes: pl.Series) -> None:
    """Note the rows close to their limit; the sizes are of rows that would be sent, so none is over it."""
    rows = positions.filter(sizes > near.limit * NEAR)
    near.rows += len(rows)
    if len(near.first) < FIRST:
        near.first = firsts(near.first, rows)
