"""Is a value of the same kind in every row, and of the kind that it was of in the last run?

To Customer.io 7 and "7" are different values: a segment of one does not find the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl

from cio_etl.audit.found import Found, StepContext, Tally, sent
from cio_etl.model import POSITION, Constant, Mapping
from cio_etl.transform import Compiled, Mapped, columns_of, encode

MOSTLY = 0.5  # of a text attribute's values that must be numbers before the others are worth a word

_JSON = {  # by how its text begins
    "numbers": r"^[-0-9]",
    "text": '^"',
    "true or false": "^[tf]",
    "objects": r"^\{",
    "lists": r"^\[",
}


class Kinds:
    """Counts the kinds of value in attributes that are JSON text, and numbers among those that are text."""

    def __init__(self, mapping: Mapping, compiled: Compiled, beside: StepContext) -> None:
        self._mapping, self._beside = mapping, beside
        columns = [
            f"attributes.{name}" for name, value in mapping.attributes.items() if not isinstance(value, Constant)
        ]
        verbatim = set(encode.verbatim(compiled.tree))
        self._json = {target: {kind: Tally() for kind in _JSON} for target in columns if target in verbatim}
        self._text = {target: (Tally(), Tally()) for target in columns if target not in self._json}  # numbers, others

    def observe(self, mapped: Mapped) -> None:
        texts = [target for target in self._text if mapped.values[target].dtype == pl.String]
        rows = sent(mapped, [*self._json, *texts])
        for target, kinds in self._json.items():
            holds = rows.select(pl.col(target).str.contains(begins).alias(kind) for kind, begins in _JSON.items())
            for kind, seen in kinds.items():
                seen.add(rows[POSITION], holds[kind].fill_null(False))
        if texts:
            number = pl.col(texts).cast(pl.Float64, strict=False).is_finite().fill_null(False)
            for target, is_number in zip(texts, rows.select(number).get_columns(), strict=True):
                numbers, others = self._text[target]
                numbers.add(rows[POSITION], is_number)
                if numbers.rows >= others.rows * MOSTLY:  # else it is text, and a number is text, too
                    others.add(rows[POSITION], rows[target].is_not_null() & ~is_number)
                else:
                    others.rows += rows.height - rows[target].null_count() - int(is_number.sum() or 0)

    def findings(self) -> Iterable[Found]:
        yield from self._since_the_last_run()
        for target, kinds in self._json.items():
            found = {kind: seen for kind, seen in kinds.items() if seen.rows}
            if len(found) > 1:
                fewest = min(found.values(), key=lambda seen: seen.rows)
                said = ", ".join(f"{kind} in {seen.rows:,}" for kind, seen in found.items())
                yield Found("kinds_mixed", "warning", target, fewest.rows, f"rows hold {said}", fewest.first)
        for target, (numbers, others) in self._text.items():
            if others.rows and numbers.rows > (numbers.rows + others.rows) * MOSTLY:
                words = f"{others.rows:,} values are no numbers, as {numbers.rows:,} others are; all are sent as text"
                yield Found("numbers_mixed", "notice", target, others.rows, words, others.first)

    def _since_the_last_run(self) -> Iterator[Found]:
        before, now = self._beside.kinds_before, self._beside.kinds
        for name in columns_of(self._mapping):
            if name in before and name in now and before[name] != now[name]:
                words = f"column {name!r} held {before[name]} in the last run and now {now[name]}; a run would stop"
                yield Found("column_changed", "warning", None, 0, words)
        if before and (new := [name for name in now if name not in before]):
            words = f"the source has columns that the last run did not see: {', '.join(map(repr, sorted(new)))}"
            yield Found("columns_appeared", "notice", None, 0, words)


class Subscriptions:
    """Looks at `unsubscribed`: whatever is not true, or 1, leaves a person subscribed (Track API reference)."""

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

    def findings(self) -> Iterable[Found]:
        if seen := self._unclear.rows:
            words = f"{seen:,} values are neither true nor false, nor 1 or 0; Customer.io takes them for subscribed"
            yield Found("unsubscribed_unclear", "warning", self.TARGET, seen, words, self._unclear.first)
