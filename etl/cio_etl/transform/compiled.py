"""A compiled mapping: it turns a frame of rows into a frame of items.

A frame passes through stages, each one select over all values at once: the columns, then the first function of every
`apply`, then the second, and so on. Each stage and check first tests the whole frame for a bad row; only a frame that
has one pays for finding which.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Mapping as MappingOf
from collections.abc import Set as AbstractSet
from dataclasses import field, replace
from decimal import Decimal
from typing import Any

import polars as pl

from cio_etl.apis import OPERATION
from cio_etl.errors import SourceError
from cio_etl.model import ALSO, FAULT, POSITION
from cio_etl.model.records import dataclass
from cio_etl.transform import encode, ids, payloads
from cio_etl.transform.checks import Check
from cio_etl.transform.decisions import Decisions, Portion
from cio_etl.transform.parts import Parts
from cio_etl.transform.repeats import Repeats

DIGEST = "_digest"

# Columns of an items frame, one row for each source row, in order of position:
#   position Int64 · lane UInt8 · item String (JSON text and a trailing comma; null: rejected or skipped)
#   · reason String (null: not rejected) · field String (null: the row as a whole)
#   · also String (further reasons with their fields, `also email_malformed in attributes.email; …`; null: none)
ITEMS_SCHEMA = pl.Schema(
    {
        "position": pl.Int64,
        "lane": pl.UInt8,
        "item": pl.String,
        "reason": pl.String,
        "field": pl.String,
        "also": pl.String,
    }
)


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: an expression per value, and the reason with which each may turn a value into null.

    `meant` is true where a null result is correct, such as a JSON document without that key.
    """

    values: tuple[pl.Expr, ...]
    reasons: MappingOf[str, str]  # target -> reason
    meant: MappingOf[str, pl.Expr] = field(default_factory=dict)  # target -> Boolean, over the values before the stage


@dataclass(frozen=True, slots=True)
class Mapped:
    """A frame of the source's rows, the mapped values of the rows that `when` selects, and the items of all rows.

    `values` has the row's POSITION and a column for every target of the mapping that comes from a column
    (`identifiers.id`, `attributes.plan`, `event`, `timestamp`), in the type in which it is sent: times are Unix
    seconds. Rejected rows are included. Where values of a target cannot be sent, and its `on_error` lets their rows be
    sent, there is a column FAILED and its name, with the reasons; the values are null.
    """

    rows: pl.DataFrame
    values: pl.DataFrame
    items: pl.DataFrame
    # The different texts of the rows that are sent, by target, once an audit has asked; None: there are many.
    distinct: dict[str, frozenset[str | None] | None] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A mapping, ready for frames of one schema. Call `items`, or `mapped` for the values too."""

    place_of_when: str  # for messages
    columns: tuple[str, ...]  # to read from the source
    when: pl.Expr | None
    odd_values: tuple[Check, ...]  # over the source's columns
    first: tuple[pl.Expr, ...]  # every value as its column or constant has it
    stages: tuple[Stage, ...]
    checks: tuple[Check, ...]
    checks_of_items: tuple[Check, ...]
    tree: encode.Node
    lane: pl.Expr
    only: frozenset[int] | None = None  # lanes: rows of other lanes are dropped as soon as their lane is known
    repeats: Repeats | None = None  # rows that repeat a key, from run/prescan.py
    parts: Parts | None = None  # what the ledger compares
    partial: encode.Node | None = None  # the tree of items with some parts only; None: items are sent whole
    decisions: Decisions | None = None  # what is sent of each row, from the ledger; None: all of it
    on_error: frozenset[str] = frozenset()  # targets of which a value that cannot be sent does not reject its row
    needed: MappingOf[str, pl.Expr] = field(default_factory=dict)  # target -> Boolean: the rows that need its value
    trees: MappingOf[str, encode.Node] = field(default_factory=dict)  # of change records: by their operation

    def items(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The items frame (ITEMS_SCHEMA) of a frame of the source's rows.

        Raises SourceError when `when` cannot be computed for a row.
        """
        return self.sending(frame).items

    def sending(self, frame: pl.DataFrame) -> Mapped:
        """The items of a frame, with the values of those rows of which something is sent. Raises as `items` does."""
        return self.mapped(frame) if self.decisions is None else self.sending_portion(self.decisions.split(frame))

    def portions(self, frames: Iterable[pl.DataFrame]) -> Iterator[Portion]:
        """The frames of a snapshot as they are sent; those of which few rows are sent come together."""
        if self.decisions is None:
            return (Portion(frame.height, frame) for frame in frames)
        return self.decisions.portions(frames)

    def sending_portion(self, portion: Portion) -> Mapped:
        """As `sending` of frames that `portions` gave."""
        mapped = self.mapped(portion.frame)
        if self.decisions is None:
            return mapped
        items = self.decisions.applied(mapped.items)
        return replace(mapped, items=items if portion.same is None else self._with_skipped(items, portion.same))

    def mapped(self, frame: pl.DataFrame) -> Mapped:
        """The items of a frame with the values that they are made of. Raises as `items` does."""
        selected = frame if self.when is None else self._selected(frame, self.when)
        values, items = self._mapped(selected)
        if selected.height < frame.height:
            skipped = frame.join(selected, on=POSITION, how="anti").select(pl.col(POSITION).alias("position"))
            items = self._with_skipped(items, skipped)
        return Mapped(frame, values, items if self.repeats is None else self.repeats.applied(items))

    def _with_skipped(self, items: pl.DataFrame, skipped: pl.DataFrame) -> pl.DataFrame:
        """The items and the skipped rows, which count in lane 0, in order of position."""
        if self.only is not None and 0 not in self.only:
            return items
        return pl.concat([items, skipped], how="diagonal").with_columns(pl.col("lane").fill_null(0)).sort("position")

    def unchecked(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The values of the readable rows that `when` selects; null: a value is missing or cannot be converted."""
        readable = frame.filter(pl.col(FAULT).is_null()) if frame[FAULT].null_count() < frame.height else frame
        values = (readable if self.when is None else self._selected(readable, self.when)).rechunk().select(self.first)
        for stage in self.stages:
            values = values.with_columns(stage.values)
        return values

    def _selected(self, frame: pl.DataFrame, when: pl.Expr) -> pl.DataFrame:
        """The rows that `when` selects, and all rows with a fault."""
        try:
            return frame.filter(when.fill_null(False) | pl.col(FAULT).is_not_null())
        except pl.exceptions.PolarsError:  # its message quotes values
            what = "it cannot be computed for some row; write try_cast for cast, and such a row is skipped"
            raise SourceError(place=self.place_of_when, what=what) from None

    def _mapped(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        frame = frame.rechunk()  # polars' `format` panics at a chunk of which a filter has left no row
        rejects = Rejects(self.on_error, self.needed.keys())
        if frame[FAULT].null_count() < frame.height:
            rejects.note(pl.col(FAULT), None, frame[FAULT].is_not_null(), frame)
        if self.odd_values:
            rejects.check(frame, self.odd_values)
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
        rejects.decide(values, self.needed)
        if self.only is not None:
            in_lanes = values.select(self.lane.is_in(sorted(self.only))).to_series()
            values = values.filter(in_lanes)
            rejects.filter(in_lanes)
        if DIGEST in values.columns:
            values = values.hstack([_event_ids(values)])
        (lane,) = rejects.check(values, self.checks, self.lane.alias("lane"))
        values = rejects.with_reasons(rejects.without_failed(values))  # `default` may have replaced them since
        text = self._texts(values)
        rejects.check(text.to_frame(), self.checks_of_items)
        return values, rejects.removed_from(pl.DataFrame([values[POSITION].alias("position"), lane, text]))

    def _texts(self, values: pl.DataFrame) -> pl.Series:
        """The text of every row's item: with all of its parts, or with those that the decisions name."""
        if self.trees:
            return self._texts_of_changes(values)
        if self.decisions is None or self.partial is None:
            return encode.items(values, self.tree)
        partial = self.decisions.is_partial(values[POSITION])
        if not partial.any():
            return encode.items(values, self.tree)
        whole, some = values.filter(~partial), values.filter(partial)
        some = some.hstack(self.decisions.flags(some[POSITION]))
        texts = [
            pl.DataFrame([rows[POSITION], encode.items(rows, tree)])
            for rows, tree in ((whole, self.tree), (some, self.partial))
        ]
        return pl.concat(texts).sort(POSITION)["item"]

    def _texts_of_changes(self, values: pl.DataFrame) -> pl.Series:
        """The text of every row's item, each as its operation has it; null where there is no such operation."""
        rows_of = {name: values.filter(pl.col(OPERATION) == name) for name in self.trees}
        texts = [
            pl.DataFrame([rows[POSITION], encode.items(rows, tree)], schema={POSITION: pl.Int64, "item": pl.String})
            for rows, tree in ((rows_of[name], tree) for name, tree in self.trees.items())
            if rows.height
        ]
        if not texts:
            return pl.Series("item", [None], dtype=pl.String).new_from_index(0, values.height)
        return values.select(POSITION).join(pl.concat(texts), on=POSITION, how="left", maintain_order="left")["item"]


class Rejects:
    """The rows of one frame that cannot be sent; the first reason of a row counts, and the others are kept.

    Of each field a row has one reason. What follows from another reason is no reason: a field that is missing because
    its value, or a part of it, could not be converted, or whatever a row lacks that could not be read at all.

    Of the targets `on_error`, it is the values that cannot be sent: they reject no row. Nor does a value of the targets
    `later`, until `decide` says which rows need it.
    """

    def __init__(self, on_error: AbstractSet[str], later: AbstractSet[str] = frozenset()) -> None:
        self._on_error, self._later = on_error, later
        self._undecided: list[tuple[pl.Expr, str, pl.Series, pl.DataFrame]] = []
        self._reason: pl.Series | None = None
        self._field: pl.Series | None = None
        self._also: pl.Series | None = None  # the further reasons; "" where there are none
        self._noted: dict[str, pl.Series] = {}  # by field: Boolean, the rows that have a reason for it
        self._failed: dict[str, pl.Series] = {}  # by target: the reason in each row, or null

    def check(self, values: pl.DataFrame, rules: Sequence[Check], *more: pl.Expr) -> list[pl.Series]:
        """Reject the rows that break a rule; returns `more`, computed in the same select to save time."""
        broken = [rule.broken.fill_null(False).alias(str(place)) for place, rule in enumerate(rules)]
        columns = values.select(*broken, *more).get_columns()
        for rule, rows in zip(rules, columns, strict=False):
            if rows.any():
                self.note(pl.lit(rule.reason), rule.field, rows, values)
        return columns[len(rules) :]

    def note(self, reason: pl.Expr, field: str | None, rows: pl.Series, frame: pl.DataFrame) -> None:
        """Reject `rows` (Boolean) for `reason`, an expression over the frame, in `field`; or their values there."""
        if field is not None and field in self._later:
            self._undecided.append((reason, field, rows, frame))
            return
        if field is not None and field in self._on_error:
            reasons = frame.select(pl.when(rows).then(reason).alias(f"{encode.FAILED}{field}")).to_series()
            before = self._failed.get(field)
            self._failed[field] = reasons if before is None else before.zip_with(before.is_not_null(), reasons)
            return
        here = frame.select(
            pl.when(rows).then(reason).alias("reason"),
            pl.when(rows).then(pl.lit(field, dtype=pl.String)).alias("field"),
        )
        if self._reason is None or self._field is None or self._also is None:
            self._reason, self._field = here["reason"], here["field"]
            self._also = pl.repeat("", len(rows), eager=True)
        else:
            first = self._reason.is_null()
            self._also = self._with_further(here, field, rows & ~first)
            self._field = here["field"].zip_with(first, self._field)
            self._reason = here["reason"].zip_with(first, self._reason)
        if field is not None:
            noted = self._noted.get(field)
            self._noted[field] = rows if noted is None else noted | rows

    def decide(self, values: pl.DataFrame, needed: MappingOf[str, pl.Expr]) -> None:
        """Reject the rows that need a value that could not be converted; a value that no row needs has not failed."""
        self._later, undecided = frozenset(), self._undecided
        for reason, target, rows, frame in undecided:
            if set(needed[target].meta.root_names()) <= set(values.columns):
                rows &= values.select(needed[target].fill_null(False)).to_series()
            self.note(reason, target, rows, frame)

    def _with_further(self, here: pl.DataFrame, field: str | None, further: pl.Series) -> pl.Series:
        """The further reasons, with those of the rows `further` (Boolean) that have no reason for this field yet."""
        assert self._also is not None and self._field is not None
        further &= self._field.is_not_null()  # else the row could not be read
        for known, rows in self._noted.items():
            if field is not None and (known == field or known.startswith((f"{field}[", f"{field}."))):
                further &= ~rows
        if not further.any():
            return self._also
        text = pl.col("reason") if field is None else pl.format("{} in {}", "reason", "field")
        added = pl.format(
            "{}{}{}", "also", pl.when(pl.col("also") == "").then(pl.lit("")).otherwise(pl.lit("; ")), text
        )
        both = here.with_columns(self._also.alias("also"), further.alias("further"))
        return both.select(pl.when("further").then(added).otherwise("also").alias("also")).to_series()

    def filter(self, rows: pl.Series) -> None:
        """Continue with some of the frame's rows (Boolean)."""
        if self._reason is not None and self._field is not None and self._also is not None:
            self._reason, self._field, self._also = (
                each.filter(rows) for each in (self._reason, self._field, self._also)
            )
        self._noted = {field: noted.filter(rows) for field, noted in self._noted.items()}
        self._failed = {field: reasons.filter(rows) for field, reasons in self._failed.items()}

    def without_failed(self, values: pl.DataFrame) -> pl.DataFrame:
        """The values, null where they cannot be sent."""
        if not self._failed:
            return values
        sent = (pl.when(reasons.is_null()).then(field).alias(field) for field, reasons in self._failed.items())
        return values.with_columns(sent)

    def with_reasons(self, values: pl.DataFrame) -> pl.DataFrame:
        """The values, with the reasons of those that cannot be sent, of each target that has some."""
        return values.hstack([reasons for reasons in self._failed.values() if reasons.null_count() < len(reasons)])

    def removed_from(self, items: pl.DataFrame) -> pl.DataFrame:
        """The items frame, where rejected rows have no item but a reason and a field."""
        if self._reason is None or self._field is None or self._also is None:
            none = pl.Series("reason", [None], dtype=pl.String).new_from_index(0, items.height)
            return items.hstack([none, none.alias("field"), none.alias("also")])
        sent = pl.when(self._reason.is_null()).then(pl.col("item")).alias("item")
        also = pl.lit(self._also)
        return items.with_columns(
            sent,
            self._reason.alias("reason"),
            self._field.alias("field"),
            pl.when(also != "").then(pl.lit(ALSO) + also).alias("also"),
        )


def _event_ids(values: pl.DataFrame) -> pl.Series:
    """The ULIDs of a frame's events: their own, or those of their times and digests."""
    made = ids.ulids(_seconds(values), values[DIGEST]).alias(payloads.ULID)
    if payloads.OWN_ID not in values.columns:
        return made
    own = pl.col(payloads.OWN_ID)
    return values.select(pl.when(own.str.contains(ids.IS_ULID)).then(own).otherwise(pl.lit(made)).alias(payloads.ULID))[
        payloads.ULID
    ]


def _seconds(values: pl.DataFrame) -> pl.Series:
    """The times of a frame's events, for their ids; 0 where the mapping has none."""
    return values["timestamp"] if "timestamp" in values.columns else pl.repeat(0, values.height, eager=True)


def _exact(text: str) -> float | Decimal:
    """The number in a JSON text as a float, if that is the same number."""
    number = float(text)
    return number if Decimal(repr(number)) == Decimal(text) else Decimal(text)


def outcome(item: str | None, reason: str | None, field: str | None) -> dict[str, Any]:
    """The result for one row, from its cells of an items frame: its payload, or why there is none.

    A number of the payload that a float would change is a Decimal.
    """
    if item is not None:
        return {"payload": json.loads(item[:-1], parse_float=_exact)}
    return {"skipped": True} if reason is None else {"rejected": reason, "field": field}
