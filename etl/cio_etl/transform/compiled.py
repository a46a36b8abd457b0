"""How does a frame of rows become a frame of items, by a mapping that is compiled?

A frame goes through in stages, each one select over all values at once: the columns, then the first function of every
`apply`, then the second, and so on. Whether a stage or a check met a bad row is asked of the whole frame first; only
a frame that has one pays for finding out which.
"""

from __future__ import annotations

import json
from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from cio_etl.errors import SourceError
from cio_etl.model import FAULT, POSITION
from cio_etl.transform import encode, ids, payloads
from cio_etl.transform.checks import Check
from cio_etl.transform.repeats import Repeats

DIGEST = "_digest"


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of all values on their way: the expressions, and with which reason each may turn a value into null.

    `meant` is true where a null that comes out is no failure, as of a JSON document without that key.
    """

    values: tuple[pl.Expr, ...]
    reasons: MappingOf[str, str]  # target -> reason
    meant: MappingOf[str, pl.Expr] = field(default_factory=dict)  # target -> Boolean, over the values before


@dataclass(frozen=True, slots=True)
class Mapped:
    """A frame of the source's rows, the values that the mapping made of those that `when` keeps, and all items.

    `values` has the row's POSITION and a column for every target of the mapping that comes from a column
    (`identifiers.id`, `attributes.plan`, `event`, `timestamp`), in the type in which it is sent: times are Unix
    seconds. Rejected rows are among them.
    """

    rows: pl.DataFrame
    values: pl.DataFrame
    items: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Compiled:
    """A mapping, ready for frames of one schema: `items` is all that there is to call."""

    file: str  # of the mapping
    columns: tuple[str, ...]  # what to read of the source
    when: pl.Expr | None
    first: tuple[pl.Expr, ...]  # every value as its column or constant gives it
    stages: tuple[Stage, ...]
    checks: tuple[Check, ...]
    checks_of_items: tuple[Check, ...]
    tree: encode.Node
    lane: pl.Expr
    only: frozenset[int] | None = None  # lanes: other rows are left out as soon as their lane is known
    repeats: Repeats | None = None  # rows that repeat another one's key: found by survey.py, when the mapping asks

    def items(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The items frame (model.ITEMS_SCHEMA) of a frame of the source's rows.

        Raises SourceError when `when` cannot be worked out for one of them.
        """
        return self.mapped(frame).items

    def mapped(self, frame: pl.DataFrame) -> Mapped:
        """The items of a frame, beside the values that they were made of. Raises as `items` does."""
        kept = frame if self.when is None else self._chosen(frame, self.when)
        values, items = self._mapped(kept)
        if kept.height < frame.height and (self.only is None or 0 in self.only):  # lane 0 counts who is skipped
            skipped = frame.join(kept, on=POSITION, how="anti").select(pl.col(POSITION).alias("position"))
            all_rows = pl.concat([items, skipped], how="diagonal").with_columns(pl.col("lane").fill_null(0))
            items = all_rows.sort("position")
        return Mapped(frame, values, items if self.repeats is None else self.repeats.applied(items))

    def unchecked(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The values of those rows that can be read and `when` keeps; null: a value is missing, or cannot be made."""
        readable = frame.filter(pl.col(FAULT).is_null()) if frame[FAULT].null_count() < frame.height else frame
        values = (readable if self.when is None else self._chosen(readable, self.when)).select(self.first)
        for stage in self.stages:
            values = values.with_columns(stage.values)
        return values

    def _chosen(self, frame: pl.DataFrame, when: pl.Expr) -> pl.DataFrame:
        """The rows that `when` does not leave out; those with a fault are never left out."""
        try:
            return frame.filter(when.fill_null(False) | pl.col(FAULT).is_not_null())
        except pl.exceptions.PolarsError:  # its words quote values
            what = "it cannot be worked out for some row; write try_cast for cast, and such a row is skipped"
            raise SourceError(place=f"{self.file}: when", what=what) from None

    def _mapped(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        rejects = Rejects()
        if frame[FAULT].null_count() < frame.height:
            rejects.note(pl.col(FAULT), None, frame[FAULT].is_not_null(), frame)
        values = frame.select(self.first)
        for stage in self.stages:
            after = values.with_columns(stage.values)
            for target, reason in stage.reasons.items():
                if after[target].null_count() > values[target].null_count():
                    lost = after[target].is_null() & values[target].is_not_null()
                    if target in stage.meant:
                        lost &= ~values.select(stage.meant[target].fill_null(False)).to_series()
                    rejects.note(pl.lit(reason), target, lost, frame)
            values = after
        if self.only is not None:
            mine = values.select(self.lane.is_in(sorted(self.only))).to_series()
            values = values.filter(mine)
            rejects.keep(mine)
        if DIGEST in values.columns:
            values = values.hstack([ids.ulids(_seconds(values), values[DIGEST]).alias(payloads.ULID)])
        (lane,) = rejects.check(values, self.checks, self.lane.alias("lane"))
        text = encode.items(values, self.tree)
        rejects.check(text.to_frame(), self.checks_of_items)
        return values, rejects.taken_out_of(pl.DataFrame([values[POSITION].alias("position"), lane, text]))


class Rejects:
    """The rows of one frame that cannot be sent: the first reason that was noted of each is its reason."""

    def __init__(self) -> None:
        self._reason: pl.Series | None = None
        self._field: pl.Series | None = None

    def check(self, values: pl.DataFrame, rules: Sequence[Check], *more: pl.Expr) -> list[pl.Series]:
        """Rejects the rows that break a rule; answers `more`, made on the way: each select costs what many would."""
        broken = [rule.broken.fill_null(False).alias(str(place)) for place, rule in enumerate(rules)]
        found = values.select(*broken, *more).get_columns()
        for rule, rows in zip(rules, found, strict=False):
            if rows.any():
                self.note(pl.lit(rule.reason), rule.field, rows, values)
        return found[len(rules) :]

    def note(self, reason: pl.Expr, field: str | None, rows: pl.Series, frame: pl.DataFrame) -> None:
        """Rejects `rows` (Boolean) for `reason`, an expression over the frame, in `field`."""
        here = frame.select(
            pl.when(rows).then(reason).alias("reason"),
            pl.when(rows).then(pl.lit(field, dtype=pl.String)).alias("field"),
        )
        if self._reason is None or self._field is None:
            self._reason, self._field = here["reason"], here["field"]
        else:
            first = self._reason.is_null()
            self._field = here["field"].zip_with(first, self._field)
            self._reason = here["reason"].zip_with(first, self._reason)

    def keep(self, rows: pl.Series) -> None:
        """Goes on with some of the frame's rows (Boolean)."""
        if self._reason is not None and self._field is not None:
            self._reason, self._field = self._reason.filter(rows), self._field.filter(rows)

    def taken_out_of(self, items: pl.DataFrame) -> pl.DataFrame:
        """The items frame: rejected rows lose their item and get reason and field."""
        if self._reason is None or self._field is None:
            none = pl.Series("reason", [None], dtype=pl.String).new_from_index(0, items.height)
            return items.hstack([none, none.alias("field")])
        sent = pl.when(self._reason.is_null()).then(pl.col("item")).alias("item")
        return items.with_columns(sent, self._reason.alias("reason"), self._field.alias("field"))


def _seconds(values: pl.DataFrame) -> pl.Series:
    """The times of a frame's events, for their ids; 0 where the mapping has none."""
    return values["timestamp"] if "timestamp" in values.columns else pl.repeat(0, values.height, eager=True)


def outcome(item: str | None, reason: str | None, field: str | None) -> dict[str, Any]:
    """What became of a row, from its cells of an items frame: its payload, or why there is none."""
    if item is not None:
        return {"payload": json.loads(item[:-1])}
    return {"skipped": True} if reason is None else {"rejected": reason, "field": field}
