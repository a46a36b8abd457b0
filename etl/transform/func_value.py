"""How does a value become one of another kind? cast, default, map, json."""

from __future__ import annotations

import json as json_text
from collections.abc import Sequence
from typing import Any, Literal

import polars as pl

from etl.transform.func_define import Scalar, function, kind_of
from etl.transform.func_number import to_number

# The type of what `json` makes: a text that is JSON already, marked by this field's name. An encoder writes the
# field's text as it is, without quotes.
RAW_JSON = pl.Struct({"raw_json": pl.String})

_BOOLEANS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}


@function(takes=("text", "a number", "true or false", "a date"), reason="cast_failed", shorthand="to")
def cast(value: pl.Expr, dtype: pl.DataType, *, to: Literal["text", "integer", "number", "boolean"]) -> pl.Expr:
    """The value as text, as a whole number, as a number, or as true or false.

    - `integer`: digits with or without a sign. A number with a fraction, a text with a point, an exponent or a space
      is rejected, and so is what 64 bits do not hold.
    - `number`: a decimal number, an exponent allowed; from ±2^53 on it is rejected, because JSON readers would change
      its last digits. Integers stay integers.
    - `boolean`: true, t, yes, y, 1 and false, f, no, n, 0, in small letters or capitals.
    - `text`: dates and times are written as in ISO 8601, a Float64 with its point: for 7.0 as "7" go by `integer`.

    >>> "007" | {cast: integer} -> 7
    >>> "1.0" | {cast: integer} -> rejected
    >>> "1e3" | {cast: integer} -> rejected
    >>> " 7 " | {cast: integer} -> rejected
    >>> 2.0 | {cast: integer} -> 2
    >>> 2.5 | {cast: integer} -> rejected
    >>> "1e3" | {cast: number} -> 1000.0
    >>> "nan" | {cast: number} -> rejected
    >>> "Yes" | {cast: boolean} -> true
    >>> 2 | {cast: boolean} -> rejected
    >>> 7 | {cast: text} -> "7"
    """
    if kind_of(dtype) == "a date" and to != "text":
        raise ValueError(f"cast: a date is no {to}; `timestamp` makes Unix seconds of it")
    match to:
        case "text":
            return _to_text(value, dtype)
        case "integer":
            return _to_integer(value, dtype)
        case "number":
            return to_number(value.cast(pl.Int64), pl.Int64()) if dtype == pl.Boolean else to_number(value, dtype)
        case "boolean":
            return _to_boolean(value, dtype)


def _to_text(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if isinstance(dtype, pl.Datetime):
        return value.dt.to_string("iso:strict")
    return _finite_or_null(value, dtype).cast(pl.String)


def _to_integer(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if isinstance(dtype, pl.String):
        value = pl.when(value.str.contains(r"^[+-]?[0-9]+$")).then(value)
    elif dtype.is_float() or dtype.is_decimal():
        value = pl.when(value == value.floor()).then(value)
    return value.cast(pl.Int64, strict=False)


def _to_boolean(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if isinstance(dtype, pl.String):
        return value.str.to_lowercase().replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean)
    if isinstance(dtype, pl.Boolean):
        return value
    return pl.when(value == 1).then(True).when(value == 0).then(False)


def _finite_or_null(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    return pl.when(value.is_finite()).then(value) if dtype.is_float() else value


@function(shorthand="to")
def default(value: pl.Expr, dtype: pl.DataType, *, to: Scalar | list[str]) -> pl.Expr:
    """The value, and `to` where it is null. `to` must be of the column's kind: text for a CSV column.

    >>> null | {default: 0} -> 0
    >>> "pro" | {default: free} -> "pro"
    """
    if dtype == RAW_JSON:
        return value.fill_null(pl.struct(raw_json=pl.lit(json_text.dumps(to))))
    if dtype == pl.Null:
        return pl.lit(to)
    if not _is_of(dtype, to):
        raise _other_kind(dtype)
    literal = pl.lit(pl.Series([to], dtype=dtype)).first() if isinstance(to, list) else pl.lit(to)
    if pl.select(literal.cast(dtype, strict=False)).to_series().null_count():
        raise _other_kind(dtype)
    return value.fill_null(literal.cast(dtype))


def _other_kind(dtype: pl.DataType) -> ValueError:
    return ValueError(f"default: the column is {dtype}, and the default is not; put a `cast` before it")


def _is_of(dtype: pl.DataType, constant: Scalar | list[str]) -> bool:
    match kind_of(dtype):
        case "text":
            return isinstance(constant, str)
        case "true or false":
            return isinstance(constant, bool)
        case "a list of text":
            return isinstance(constant, list)
        case "a number":
            allowed = int | float if dtype.is_float() else int
            return isinstance(constant, allowed) and not isinstance(constant, bool)
        case _:
            return False


def _one_kind(*, values: dict[str, Scalar], default: Scalar | None = None) -> None:
    if not values:
        raise ValueError("'values' must not be empty")
    if not all(isinstance(key, str | int | float) for key in values):
        raise ValueError("the values to look up must be text, numbers or true/false")
    results = [*values.values(), *([] if default is None else [default])]
    if not all(isinstance(result, str | int | float) for result in results):
        raise ValueError("every result must be text, a number or true/false")
    if len({_kind_of_result(result) for result in results}) > 1:
        raise ValueError("the results must be of one kind: all text, all numbers, or all true/false")


def _kind_of_result(result: Scalar) -> type:
    return float if isinstance(result, int) and not isinstance(result, bool) else type(result)


@function(
    takes=("text", "a number", "true or false"),
    reason="map_unmatched",
    shorthand="values",
    check=_one_kind,
)
def map(value: pl.Expr, dtype: pl.DataType, *, values: dict[str, Scalar], default: Scalar | None = None) -> pl.Expr:
    """What `values` has for the value; what it does not have becomes `default`, or rejects the row without one.

    A number or true/false among the values to look up is found in a text column too, as YAML would write it.

    >>> "p" | {map: {p: pro, f: free}} -> "pro"
    >>> "x" | {map: {p: pro, f: free}} -> rejected
    >>> "x" | {map: {values: {p: pro}, default: other}} -> "other"
    >>> "1" | {map: {1: true, 0: false}} -> true
    """
    if dtype.is_decimal():
        value, dtype = value.cast(pl.Float64), pl.Float64()
    old = [_looked_up(key, dtype) for key in values]
    if len(set(old)) < len(old):
        raise ValueError("map: two of the values to look up are the same for this column")
    results = [*values.values(), *([] if default is None else [default])]
    made = pl.Series(results, dtype=_type_of(results))
    new, rest = made[: len(old)], None if default is None else made[-1]
    found = value.replace_strict(pl.Series(old, dtype=dtype), new, default=rest, return_dtype=made.dtype)
    return pl.when(value.is_not_null()).then(found)


def _looked_up(key: Any, dtype: pl.DataType) -> Any:
    """A key of `values` as the column holds it."""
    text = str(key).lower() if isinstance(key, bool) else str(key)
    try:
        if isinstance(dtype, pl.String):
            return text
        if isinstance(dtype, pl.Boolean):
            return {"true": True, "false": False}[text.lower()]
        return int(text) if dtype.is_integer() else float(text)
    except (KeyError, ValueError):
        raise ValueError(f"map: the column is {dtype}, and a value to look up is not") from None


def _type_of(results: Sequence[Any]) -> pl.DataType:
    if isinstance(results[0], str | bool):
        return pl.String() if isinstance(results[0], str) else pl.Boolean()
    return pl.Int64() if all(isinstance(result, int) for result in results) else pl.Float64()


@function(takes=("text",), reason="json_unreadable")
def json(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The list, object or other value that the JSON text says, sent as it is written: no digit of a number changes.

    The column is RAW_JSON. Rejected: what is not JSON or not Unicode, is nested deeper than 127, or says null.

    >>> "[1, 12345678901234567890]" | json -> [1, 12345678901234567890]
    >>> "{'a': 1}" | json -> rejected
    >>> "[NaN]" | json -> rejected
    """
    is_json = value.str.json_path_match("$").is_not_null()
    return pl.when(is_json).then(pl.struct(raw_json=value))
