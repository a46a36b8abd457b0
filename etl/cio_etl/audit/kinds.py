"""Values of mixed kinds, and columns whose kind has changed since the last run.

To Customer.io 7 and "7" are different values: a segment of one does not find the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl

from cio_etl.audit.findings import PositionedFinding, StepContext, Tally, TextCondition, finding_kind, sent
from cio_etl.model import POSITION, Mapping
from cio_etl.model.words import counted
from cio_etl.transform import Compiled, Mapped, columns_of, encode

KINDS_MIXED = finding_kind("kinds_mixed", "warning", "make them one kind: a segment of numbers does not find text")
NUMBERS_MIXED = finding_kind(
    "numbers_mixed",
    "notice",
    "nothing for codes; for numbers, write null_values or `map` for what stands for nothing, and `cast`",
)
COLUMN_CHANGED = finding_kind(
    "column_changed", "warning", "fix the source, or run with --accept-drift to accept the change"
)
COLUMNS_APPEARED = finding_kind("columns_appeared", "notice", "nothing, unless the mapping should read them")
UNSUBSCRIBED_UNCLEAR = finding_kind(
    "unsubscribed_unclear", "warning", "write `map`, to make true and false of them: such people would get mail"
)


MOSTLY = 0.5  # of a text attribute's values must be numbers before the others are reported

_JSON = {  # kinds by how the JSON text begins
    "numbers": r"^[-0-9]",
    "text": '^"',
    "true or false": "^[tf]",
    "objects": r"^\{",
    "lists": r"^\[",
}


class Kinds:
    """Counts the kinds of value in attributes that are JSON text, and numbers among those that are text."""

    def __init__(self, mapping: Mapping, compiled: Compiled, context: StepContext) -> None:
        self._mapping, self._context = mapping, context
        columns = mapping.from_columns("attributes")
        verbatim = set(encode.verbatim(compiled.tree))
        self._json = {target: {kind: Tally() for kind in _JSON} for target in columns if target in verbatim}
        self._text = {target: (Tally(), Tally()) for target in columns if target not in self._json}  # numbers, others
        self._is_number = TextCondition(lambda text: text.cast(pl.Float64, strict=False).is_finite())
        self._is_code = TextCondition(lambda text: text.str.contains("^[+-]?0[0-9]"))
        self._codes: set[str] = set()  # targets with leading zeros, as in postal codes: no numbers

    def observe(self, mapped: Mapped) -> None:
        texts = [target for target in self._text if mapped.values[target].dtype == pl.String]
        rows = sent(mapped, [*self._json, *texts])
        for target, kinds in self._json.items():
            holds = rows.select(pl.col(target).str.contains(begins).alias(kind) for kind, begins in _JSON.items())
            for kind, tally in kinds.items():
                tally.add(rows[POSITION], holds[kind].fill_null(False))
        for target in texts:
            numbers, others = self._text[target]
            is_number = self._is_number.met(mapped, rows, target)
            if target not in self._codes and (codes := self._is_code.met(mapped, rows, target)) is not None:
                self._codes |= {target} if codes.any() else set()
            before = numbers.rows
            numbers.add(rows[POSITION], is_number)
            if numbers.rows >= others.rows * MOSTLY:  # else the column is text, and its numbers are text too
                has_text = rows[target].is_not_null()
                others.add(rows[POSITION], has_text if is_number is None else has_text & ~is_number)
            else:
                others.rows += rows.height - rows[target].null_count() - (numbers.rows - before)

    def findings(self) -> Iterable[PositionedFinding]:
        yield from self._changes_since_last_run()
        for target, kinds in self._json.items():
            present = {kind: tally for kind, tally in kinds.items() if tally.rows}
            if len(present) > 1:
                fewest = min(present.values(), key=lambda tally: tally.rows)
                words = ", ".join(f"{kind} in {counted(tally.rows, 'row')}" for kind, tally in present.items())
                yield KINDS_MIXED.finding(target, fewest.rows, words, fewest.first)
        for target, (numbers, others) in self._text.items():
            if target not in self._codes and others.rows and numbers.rows > (numbers.rows + others.rows) * MOSTLY:
                values = counted(others.rows, "value is not a number", "values are not numbers")
                others_are = counted(numbers.rows, "other is", "others are")
                words = f"{values}, but {others_are}; all are sent as text"
                yield NUMBERS_MIXED.finding(target, others.rows, words, others.first)

    def _changes_since_last_run(self) -> Iterator[PositionedFinding]:
        before, now = self._context.kinds_before, self._context.kinds
        for name in columns_of(self._mapping):
            if name in before and name in now and before[name] != now[name]:
                words = (
                    f"column {name!r} contained {before[name]} in the last run, and now {now[name]}; a run would stop"
                )
                yield COLUMN_CHANGED.finding(None, 0, words)
        if before and (new := [name for name in now if name not in before]):
            words = f"the source has columns that it did not have in the last run: {', '.join(map(repr, sorted(new)))}"
            yield COLUMNS_APPEARED.finding(None, 0, words)


class Subscriptions:
    """Observes `unsubscribed`: whatever is not true, or 1, leaves a person subscribed (Track API reference)."""

    TARGET = "attributes.unsubscribed"

    def __init__(self) -> None:
        self._unclear = Tally()

    def observe(self, mapped: Mapped) -> None:
        rows = sent(mapped, [self.TARGET])
        values = rows[self.TARGET]
        if values.dtype == pl.Boolean or values.dtype.is_nested():
            return
        text = values.cast(pl.String).str.to_lowercase()
        clear = text.is_in(["true", "false", "1", "0", "1.0", "0.0", ""])
        self._unclear.add(rows[POSITION], text.is_not_null() & ~clear)

    def findings(self) -> Iterable[PositionedFinding]:
        if rows := self._unclear.rows:
            values = counted(rows, "value is", "values are")
            words = f"{values} neither true nor false, nor 1 or 0; Customer.io treats such people as subscribed"
            yield UNSUBSCRIBED_UNCLEAR.finding(self.TARGET, rows, words, self._unclear.first)
