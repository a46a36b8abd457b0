"""Columns whose source gives text that means JSON, or decimals whose digits are not known beforehand.

Readers give such a column as a struct with one text, whose name says which it is: the name survives Parquet. A day or
a time with a day has no form in JSON: in a column of JSON text it is its ISO 8601 text without quotes, which no JSON
is, so that it stays a day.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from cio_etl.errors import SourceError
from cio_etl.extract.frames import in_query

JSON_TEXT = pl.Struct({"json_text": pl.String})
DECIMAL_TEXT = pl.Struct({"decimal_text": pl.String})

DIGITS = 38  # that a decimal can have
_NOT_FINITE = {"NaN": ["nan"], "Infinity": ["inf", "infinity"], "-Infinity": ["-inf", "-infinity"]}  # in small letters


@dataclass(slots=True)
class Decimals:
    """The digits that a column's decimals need, as its frames come."""

    place: str
    name: str
    before: int = 0  # the point
    after: int = 0
    odd: list[str] = field(default_factory=list)  # its values that are not decimals of 38 digits, in words

    def add(self, column: pl.Series) -> None:
        """Counts in a frame's column, of type DECIMAL_TEXT."""
        text = column.struct.field("decimal_text")
        if text.str.contains("[^0-9.-]").any():
            small = text.str.to_lowercase()
            found = [odd for odd, texts in _NOT_FINITE.items() if small.is_in(texts).any()]
            without = self.written
            for odd in found:
                without = f"nullif({without}, '{odd}')"
            self.odd.append(
                f"{' and '.join(found)}, which JSON has not; write {without} as {self.written} in the query"
            )
            return
        length, point = text.str.len_bytes(), text.str.find(".", literal=True)
        self.after = max(self.after, _most(length - point - 1))
        before = _most(point.fill_null(length) - text.str.starts_with("-"))
        if max(self.before, before) + self.after > DIGITS:  # unless the first of them are zeros
            before = _most(text.str.strip_chars_start("-0").str.extract("^([0-9]*)").str.len_bytes())
        self.before = max(self.before, before)
        if self.before + self.after > DIGITS:
            remedy = f"cast {self.written} to numeric with fewer, or to text, in the query"
            self.odd.append(f"more than {DIGITS} digits; {remedy}")

    @property
    def written(self) -> str:
        """The column as a query writes it."""
        return in_query(self.name)

    @property
    def fits(self) -> bool:
        return not self.odd

    def check(self) -> None:
        """Raises SourceError when a value so far is no decimal of 38 digits."""
        if self.odd:
            what, _, remedy = self.odd[0].partition("; ")
            raise SourceError(remedy, place=self.place, what=f"column {self.name!r} holds {what}")


def as_decimals(column: pl.Series, place: str) -> pl.Series:
    """A column of type DECIMAL_TEXT as decimals. Raises SourceError when one does not fit."""
    needs = Decimals(place, column.name)
    needs.add(column)
    needs.check()
    return column.struct.field("decimal_text").cast(pl.Decimal(DIGITS, needs.after)).alias(column.name)


def as_json_texts(column: pl.Series) -> pl.Series:
    """The column as one of type JSON_TEXT, in which each value keeps its own kind: 5, 1.5, "5", true."""
    value, frame = pl.col("value"), column.alias("value").to_frame()
    if column.dtype == JSON_TEXT:
        return column
    if column.dtype == DECIMAL_TEXT:
        text = value.struct.field("decimal_text")
    elif isinstance(column.dtype, pl.Date | pl.Datetime):
        text = value.dt.to_string("iso")
    elif column.dtype.is_temporal():
        text = pl.format('"{}"', value.dt.to_string("iso"))
    elif column.dtype.is_decimal() or column.dtype.is_integer():
        text = value.cast(pl.String)
    else:
        encoded = pl.struct(v=value).struct.json_encode()
        text = pl.when(value.is_not_null()).then(encoded.str.strip_prefix('{"v":').str.strip_suffix("}"))
    if column.dtype.is_float():  # of what JSON has not, the names in Python's JSON; as null they would be unseen
        odd = pl.when(value.is_nan()).then(pl.lit("NaN")).when(value > 0).then(pl.lit("Infinity"))
        text = pl.when(value.is_finite()).then(text).when(value.is_not_null()).then(odd.otherwise(pl.lit("-Infinity")))
    return frame.select(text.cast(pl.String).alias("json_text")).to_struct(column.name)


def _most(counts: pl.Series) -> int:
    most = counts.max()
    return most if isinstance(most, int) else 0
