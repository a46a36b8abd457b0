"""The columns of `order_by` as sort keys, which decide the newest of a person's rows.

A column sorts by its type: numbers as numbers, dates and times as times. The whole of a text column decides how it is
read: all texts are numbers, or ISO 8601 times that all have an offset or all have none, or words, which sort by
characters. Null and blank text come first.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from typing import Any, Literal

import polars as pl
import polars.selectors as cs

from cio_etl.errors import SourceError
from cio_etl.model import Mapping
from cio_etl.transform import checks, timestamps
from cio_etl.transform.nested import in_words
from cio_etl.transform.odd_values import no_text
from cio_etl.transform.timestamps import TimestampFacts, Zone

Reading = Literal["as it is", "whole numbers", "numbers", "times", "words"]

_WHOLE = r"^[+-]?[0-9]{1,18}$"
_DECIMAL = r"^[+-]?(?:[0-9]{19,29}|[0-9]{1,29}\.[0-9]{0,9}|\.[0-9]{1,9})$"  # what 38 digits hold, 9 after the point
_NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_SAYS_ITS_ZONE = r"^.{16}.*(?:Z|UTC|[+-][0-9:]{2,5})$"
# Dates that would sort wrongly by characters: 10/03/2024, 3 Mar 2024, Sunday, March 10.
_MONTH = "(?:jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])"
_DATE_OF_OTHER_FORM = rf"(?i)^(?:[0-9]{{1,4}}[./-][0-9]{{1,2}}[./-][0-9]{{1,4}}|.*\b{_MONTH}[a-z]*\b)"


def queries(mapping: Mapping, schema: pl.Schema) -> dict[str, pl.Expr]:
    """Aggregations for every frame: the kinds of text in each text column. The order depends on their results.

    Raises SourceError for a column whose type has no order.
    """
    queries: dict[str, pl.Expr] = {}
    for name in mapping.order_by:
        if (dtype := schema[name]).is_nested() or dtype in (pl.Binary, pl.Object, pl.Enum):
            raise _unfit(mapping, name, f"it holds {in_words(dtype)}, and only numbers, times and text can be sorted")
        if _is_text(dtype):
            kinds = _kinds(_text(name))
            if name + checks.AS_JSON in schema:
                kinds["no text"] = no_text(cs.by_name(name + checks.AS_JSON).as_expr(), "order_by", ())
            queries |= {f"{name}\0{kind}": holds.fill_null(False).any() for kind, holds in kinds.items()}
    return queries


def readings(mapping: Mapping, schema: pl.Schema, results: Sequence[MappingOf[str, Any]]) -> dict[str, Reading]:
    """How each column is read, from the results of all frames. Raises SourceError when it cannot be sorted."""
    return {
        name: _reading(mapping, name, results) if _is_text(schema[name]) else "as it is" for name in mapping.order_by
    }


def keys(readings: MappingOf[str, Reading], schema: pl.Schema) -> list[pl.Expr]:
    """The sort keys, by priority and with nulls first: `order.0`, `order.1`, …"""
    keys: list[pl.Expr] = []
    for name, reading in readings.items():
        keys += _typed(name, schema[name]) if reading == "as it is" else _read(_text(name), reading)
    return [key.alias(f"order.{place}") for place, key in enumerate(keys)]


def _typed(name: str, dtype: pl.DataType) -> list[pl.Expr]:
    value = cs.by_name(name).as_expr()
    if dtype == pl.Null:
        return [value.cast(pl.Boolean)]
    return [value.fill_nan(None) if dtype.is_float() else value]


def _is_text(dtype: pl.DataType) -> bool:
    return dtype in (pl.String, pl.Categorical)


def _text(name: str) -> pl.Expr:
    """The column's text without the white space around it; null when it is empty."""
    text = cs.by_name(name).as_expr().cast(pl.String).str.strip_chars()
    return pl.when(text != "").then(text)


def _kinds(text: pl.Expr) -> dict[str, pl.Expr]:
    whole, decimal, aware = (text.str.contains(pattern) for pattern in (_WHOLE, _DECIMAL, _SAYS_ITS_ZONE))
    time = timestamps.from_iso(text, Zone(), TimestampFacts()).is_not_null()
    words = (whole | decimal | time).not_()
    return {
        "whole": whole,
        "decimal": decimal,
        "aware": time & aware,
        "plain": time & aware.not_(),
        "words": words,
        "dates": words & text.str.contains(_DATE_OF_OTHER_FORM),
        "other numbers": words & text.str.contains(_NUMBER),
    }


def _reading(mapping: Mapping, name: str, results: Sequence[MappingOf[str, Any]]) -> Reading:
    kinds = ("whole", "decimal", "aware", "plain", "words", "dates", "other numbers")
    holds = {kind for kind in kinds if any(result[f"{name}\0{kind}"] for result in results)}
    if any(result.get(f"{name}\0no text") for result in results):
        what = "it holds lists, objects, or true and false in some rows, and only numbers, times and text can be sorted"
        raise _unfit(mapping, name, what)
    if "dates" in holds:
        what = "it holds dates that are not ISO 8601 and cannot be sorted; write them as 2024-03-10T09:00:00Z"
        raise _unfit(mapping, name, what)
    if "other numbers" in holds:
        what = "it holds numbers with an exponent, with over 29 digits, or with over 9 after the point"
        raise _unfit(mapping, name, f"{what}, which cannot be sorted; write them plainly, or shorter")
    if holds == {"aware", "plain"}:
        raise _unfit(mapping, name, "some of its times have an offset and some have none: write all of them alike")
    for reading, allowed in _READ_AS.items():
        if holds <= allowed:
            return reading
    raise _unfit(mapping, name, "it holds numbers or times in some rows and other text in others")


_READ_AS: dict[Reading, set[str]] = {
    "whole numbers": {"whole"},
    "numbers": {"whole", "decimal"},
    "times": {"aware", "plain"},
    "words": {"words"},
}


def _read(text: pl.Expr, reading: Reading) -> list[pl.Expr]:
    if reading == "whole numbers":
        return [text.cast(pl.Int64)]
    if reading == "numbers":
        return [text.str.to_decimal(scale=9)]
    if reading == "times":  # to the second, then by the digits of its fraction
        fraction = text.str.extract("[.,]([0-9]+)").str.strip_chars_end("0").fill_null("")
        return [timestamps.from_iso(text, Zone(), TimestampFacts()), fraction]
    return [text]


def _unfit(mapping: Mapping, name: str, what: str) -> SourceError:
    return SourceError(place=mapping.place_of("order_by"), what=f"column {name!r}: {what}")
