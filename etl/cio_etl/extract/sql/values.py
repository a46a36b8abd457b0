"""Makes columns from the Python objects that a driver gives for each value.

A column has the type of its values: numbers, text, times, booleans; exact decimals and JSON are texts of their own
types. Values that have only a form as text (times of day, durations, UUIDs) become that text. Where numbers or times
are beside texts, a value is its JSON, which shows its kind. A later frame may have another type than the first: the
copy takes the common one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import takewhile
from types import MappingProxyType
from typing import Any

import polars as pl

from cio_etl.errors import ColumnOfBytes, SourceError
from cio_etl.extract.sql.statement import BYTES_REMEDY
from cio_etl.extract.text_columns import DECIMAL_TEXT, JSON_TEXT

_BYTES = (bytes, bytearray, memoryview)
_LONG = 2**63
_ROWS = 10_000  # of a frame
_AT_ONCE = 500  # rows that become columns while they are in the processor's cache; 10,000 take half as long again
_OF_JSON = {int, float, bool, Decimal}  # numbers and truth values are not text in JSON
_Column = tuple[list[Any], set[type]]  # the values, and their types


class ResultColumns:
    """The columns of one result, frame by frame."""

    def __init__(
        self,
        names: Sequence[str],
        place: str,
        wanted: Sequence[str] | None,
        required: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._names, self._place, self._wanted = names, place, wanted
        self._required = required  # see statement.required_columns
        self._left_out: set[str] | None = None  # columns of bytes, known from the first frame
        self._json: set[str] = set()

    def frames(self, fetch: Callable[[int], Sequence[Sequence[Any]]]) -> Iterator[pl.DataFrame]:
        """Frames of the rows that `fetch` gives, at most as many as asked, until it gives none; at least one frame."""
        yield self._frame(self._next(fetch))
        while (columns := self._next(fetch))[0][0]:
            yield self._frame(columns)

    def frame(self, rows: Sequence[Sequence[Any]]) -> pl.DataFrame:
        """A frame of these rows; without rows, its columns have no type yet."""
        return self._frame(self._columns([rows]))

    def _next(self, fetch: Callable[[int], Sequence[Sequence[Any]]]) -> list[_Column]:
        return self._columns(takewhile(len, (fetch(_AT_ONCE) for _ in range(_ROWS // _AT_ONCE))))

    def _columns(self, parts: Iterable[Sequence[Sequence[Any]]]) -> list[_Column]:
        columns: list[_Column] = [([], set()) for _ in self._names]
        for rows in filter(len, parts):
            for (values, kind), more in zip(columns, zip(*rows, strict=True), strict=True):
                values.extend(more)
                kind.update(map(type, more))
        return columns

    def _frame(self, columns: Sequence[_Column]) -> pl.DataFrame:
        series = list(self._series([values for values, _ in columns], [kind - {type(None)} for _, kind in columns]))
        if not series:
            raise SourceError("ask for some", place=self._place, what="no column that has a JSON form")
        return pl.DataFrame(series)

    def _series(self, columns: Sequence[Sequence[Any]], kinds: Sequence[set[type]]) -> Iterator[pl.Series]:
        if self._left_out is None:
            self._left_out = {name for name, kind in zip(self._names, kinds, strict=True) if _of_bytes(kind)}
            self._refuse(self._left_out.intersection(self._required))
        for name, values, kind in zip(self._names, columns, kinds, strict=True):
            if name in self._left_out:
                continue
            if _of_bytes(kind):
                self._refuse({name} if self._wanted is None or name in self._required else ())
                values = [None if isinstance(value, _BYTES) else value for value in values]
                kind = {each for each in kind if not issubclass(each, _BYTES)}
            if name in self._json or any(issubclass(each, (dict, list, tuple)) for each in kind):
                self._json.add(name)
                yield _typed_texts(name, _mapped(_json_text, values), JSON_TEXT)
            else:
                yield series(name, values, kind)

    def _refuse(self, names: Sequence[str] | set[str] | tuple[()]) -> None:
        if names:
            first = min(names)
            raise ColumnOfBytes(self._required.get(first, BYTES_REMEDY), place=self._place, column=first)


def series(name: str, values: Sequence[Any], kind: set[type]) -> pl.Series:
    """The values as a column; `kind` has their types, without that of None."""
    if not kind:
        return pl.Series(name, values, pl.Null)
    if kind <= {bool}:
        return pl.Series(name, values, pl.Boolean)
    if kind == {str}:
        return pl.Series(name, values, pl.String)
    if kind == {int}:
        with suppress(TypeError, OverflowError):  # of one that is too long
            return pl.Series(name, values, pl.Int64)
    if kind <= {int, bool} and all(value is None or -_LONG <= value < _LONG for value in values):
        return pl.Series(name, values, pl.Int64)
    if kind <= {float}:
        return pl.Series(name, values, pl.Float64)
    if kind <= {int, Decimal}:
        return _typed_texts(name, _mapped(_decimal_text, values), DECIMAL_TEXT)
    if kind <= {int, float} and all(type(value) is not int or abs(value) <= 2**53 for value in values):
        return pl.Series(name, _mapped(float, values), pl.Float64)
    if all(issubclass(each, datetime) for each in kind):
        return _times(name, values)
    if kind <= {date}:
        return pl.Series(name, values, pl.Date)
    if kind.isdisjoint(_OF_JSON) and not any(issubclass(each, date) for each in kind):
        return pl.Series(name, _mapped(_text, values), pl.String)
    return _typed_texts(name, _mapped(_json_value, values), JSON_TEXT)


def _of_bytes(kind: set[type]) -> bool:
    return any(issubclass(each, _BYTES) for each in kind)


def _times(name: str, values: Sequence[datetime | None]) -> pl.Series:
    zoned = {value.tzinfo is not None for value in values if value is not None}
    if zoned == {True}:
        in_utc = [None if value is None else value.astimezone(UTC) for value in values]
        return pl.Series(name, in_utc, pl.Datetime("us", "UTC"))
    if zoned == {False}:
        return pl.Series(name, values, pl.Datetime("us"))
    return _typed_texts(name, _mapped(_json_value, values), JSON_TEXT)


def _mapped(function: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    return [None if value is None else function(value) for value in values]


def _typed_texts(name: str, texts: list[str | None], dtype: pl.Struct) -> pl.Series:
    return pl.Series(dtype.fields[0].name, texts, pl.String).to_frame().to_struct(name)


def _decimal_text(value: int | Decimal) -> str:
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _json_value(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()  # not in quotes: see text_columns.py
    return _decimal_text(value) if isinstance(value, Decimal) else _json_text(value)


def _json_text(value: Any) -> str:
    return json.dumps(value, default=_text, ensure_ascii=False)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)
