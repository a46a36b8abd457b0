"""By what a later run finds a reject: the subject of its row, or else the content of the row; salted hashes of 64 bits.

A row has no subject where it does not say whom or what it is about, or where just that is why it is rejected. Nor has
an event without a key of its own, whose id changes with the source; and an event whose key another row has is not that
other event. Such a reject is found by the columns that the mapping reads, as they are written in the source.

Rows of one person may relate that person to several objects, which add up: one that is accepted says nothing of another
one that was rejected. There, the content is the subject and the other ends, and the content alone finds the reject.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from cio_etl.apis import OPERATIONS
from cio_etl.model import FAULT, POSITION, Constant, Mapping
from cio_etl.model.reasons import EVENT_KEY_REPEATED
from cio_etl.model.records import dataclass
from cio_etl.transform import ids, repeats
from cio_etl.transform.compiled import Compiled, Mapped
from cio_etl.transform.parts import Parts

KEYS = pl.Schema({POSITION: pl.Int64, "subject": pl.Int64, "content": pl.Int64})


@dataclass(frozen=True, slots=True)
class RejectKeys:
    """The keys of a mapping's rows."""

    salt: int
    parts: Parts | None  # whose subject the rows have; None: they have none
    ends: tuple[str, ...]  # targets of the other ends of relationships, each of which a row may have or not
    columns: tuple[str, ...]  # of the source, that the mapping reads

    @classmethod
    def of(cls, mapping: Mapping, compiled: Compiled, salt: int) -> RejectKeys:
        """The keys of the rows of a compiled mapping."""
        parts = compiled.parts
        is_named = not OPERATIONS[mapping.operation].has_event or mapping.identifies_events
        if parts is None or not parts.subject or not is_named:
            return cls(salt, None, (), compiled.columns)
        ends = tuple(f"{end}." for end in mapping.relationship_ends())
        varying = (target for target, value in mapping.targets.items() if not isinstance(value, Constant))
        others = tuple(target for target in varying if target.startswith(ends) and target not in parts.subject)
        return cls(salt, parts, others, compiled.columns)

    def made_of(self, mapped: Mapped) -> pl.DataFrame:
        """POSITION and the columns of which the keys of these rows are made: small, where rows have a subject."""
        if self.parts is not None:
            return mapped.values.select(POSITION, *self.parts.subject, *self.ends)
        return _rows(mapped).select(POSITION, FAULT, *self._read(mapped.rows))

    def of_made(self, made: pl.DataFrame) -> pl.DataFrame:
        """The keys (KEYS) of rows that were sent, from `made_of`."""
        none = pl.lit(None, pl.Int64)
        if self.parts is not None:
            related = self._related() if self.ends else none
            return made.select(POSITION, self._subject(self.parts).alias("subject"), related.alias("content"))
        return made.select(POSITION, none.alias("subject"), self._content(made).alias("content"))

    def of_rows(self, mapped: Mapped, items: pl.DataFrame) -> pl.DataFrame:
        """The keys (KEYS) of all rows of `mapped.values`; `items` are theirs. Of a row that could not be read: nulls.

        A row that has a subject has no content, but for its relationships.
        """
        if self.parts is None:
            return self.contents(mapped).select(POSITION, pl.lit(None, pl.Int64).alias("subject"), "content")
        is_unfit = _is_of(items, [*self.parts.subject, "identifiers"]) | (items["reason"] == EVENT_KEY_REPEATED)
        subject = pl.when(~pl.lit(is_unfit.fill_null(False))).then(self._subject(self.parts))
        related = pl.when(~pl.lit(_is_of(items, self.ends))).then(self._related()) if self.ends else pl.lit(None)
        keys = mapped.values.select(POSITION, subject.alias("subject"), related.cast(pl.Int64).alias("content"))
        needs_content = keys["content" if self.ends else "subject"].is_null() | keys["subject"].is_null()
        if not needs_content.any():
            return keys
        contents = self.contents(mapped).filter(needs_content)
        return keys.update(contents, on=POSITION, how="left", maintain_order="left")

    def contents(self, mapped: Mapped) -> pl.DataFrame:
        """POSITION and content of all rows of `mapped.values`, also of those that have a subject."""
        rows = _rows(mapped)
        return rows.select(POSITION, self._content(rows).alias("content"))

    def of_text(self, text: str) -> int:
        """The content of a row that could not be read, of which a text says where it is."""
        return int(pl.select(ids.text_hash(pl.lit(text), self.salt).reinterpret(signed=True)).item())

    def _subject(self, parts: Parts) -> pl.Expr:
        return parts.subject_hash(self.salt)[0].reinterpret(signed=True)

    def _related(self) -> pl.Expr:
        """A hash of the subject and of the other ends; null in a row without a subject."""
        assert self.parts is not None
        ends = [repeats.key_text(end).fill_null("") for end in self.ends]
        subject = self._subject(self.parts).cast(pl.String)
        return ids.subject([pl.lit("ends"), subject, *ends], self.salt)[0].reinterpret(signed=True)

    def _content(self, rows: pl.DataFrame) -> pl.Expr:
        texts = [_text(name, rows.schema[name], self.salt) for name in self._read(rows)]
        content = ids.subject([pl.lit("row"), *texts], self.salt)[0].reinterpret(signed=True)
        return pl.when(pl.col(FAULT).is_null()).then(content)

    def _read(self, rows: pl.DataFrame) -> list[str]:
        return [name for name in self.columns if name in rows.columns and name not in (POSITION, FAULT)]


def _is_of(items: pl.DataFrame, targets: Sequence[str]) -> pl.Series:
    """Whether each item is rejected for one of these targets."""
    return items["field"].is_in(list(targets)).fill_null(False)


def _rows(mapped: Mapped) -> pl.DataFrame:
    """The source's rows of `mapped.values`, in the same order."""
    if mapped.rows.height == mapped.values.height:
        return mapped.rows
    return mapped.rows.filter(pl.col(POSITION).is_in(mapped.values[POSITION].implode()))


def _text(name: str, dtype: pl.DataType, salt: int) -> pl.Expr:
    """A column's values as texts that differ where the values do."""
    value = pl.col(name)
    if dtype.is_nested() or dtype == pl.Binary:
        text = value.hash(salt).cast(pl.String)
    elif dtype.is_temporal():
        text = value.to_physical().cast(pl.String)
    else:
        text = value.cast(pl.String)
    return pl.when(value.is_null()).then(pl.lit("")).otherwise(pl.lit("=") + text)
