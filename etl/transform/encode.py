"""How does a column become JSON text, exactly? Types are settled here, before polars' encoder sees them.

polars writes null for NaN and for a missing value, text for decimals, and panics on binary; so each type is brought
to one that it writes as JSON should be, or refused when the mapping is compiled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from etl.transform.structs import as_dtype, fields

EXACT_DIGITS = 15  # a decimal of up to 15 digits survives the way through a 64-bit float


def settle(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """`value` in a type that can be written as JSON: dates become Unix seconds, categories text, and so inwards.

    Raises ValueError, saying what to do, for a type that has no JSON form.
    """
    if isinstance(dtype, pl.Struct) and dtype.fields:
        settled = [settle(part, inner).alias(name) for name, part, inner in fields(value, dtype)]
        return pl.when(value.is_not_null()).then(pl.struct(settled))
    if isinstance(dtype, pl.Array):
        return settle(value.arr.to_list(), pl.List(dtype.inner))
    if isinstance(dtype, pl.List):
        return value.list.eval(settle(pl.element(), as_dtype(dtype.inner)))
    if isinstance(dtype, pl.Datetime):
        per_second = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[dtype.time_unit]
        return value.to_physical().floordiv(per_second)  # floor: before 1970 too
    if dtype == pl.Date:
        return value.to_physical().cast(pl.Int64) * 86_400
    if isinstance(dtype, (pl.Categorical, pl.Enum)):
        return value.cast(pl.String)
    if isinstance(dtype, pl.Decimal):
        if (dtype.precision or 38) > EXACT_DIGITS:
            raise ValueError(f"a decimal of {dtype.precision} digits inside a list or struct would lose some; cast it")
        return value.cast(pl.Float64)
    if dtype in (pl.Binary, pl.Object, pl.Duration, pl.Time):
        raise ValueError(f"{dtype} has no JSON form; leave the column out or cast it in the source")
    return value


def not_finite(value: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    """True where a NaN or an infinity is anywhere in `value`, which JSON cannot say; None when its type has none."""
    if dtype.is_float():
        return value.is_finite().not_().fill_null(False)
    if isinstance(dtype, pl.Struct):
        parts = [not_finite(part, inner) for _, part, inner in fields(value, dtype)]
        found = [part for part in parts if part is not None]
        return pl.any_horizontal(found) if found else None
    if isinstance(dtype, pl.Array):
        return not_finite(value.arr.to_list(), pl.List(dtype.inner))
    if isinstance(dtype, pl.List):
        inner = not_finite(pl.element(), as_dtype(dtype.inner))
        return None if inner is None else value.list.eval(inner).list.any().fill_null(False)
    return None


def literal(value: object) -> str:
    """Compact JSON text of a constant; raises ValueError for NaN and infinities."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, slots=True)
class Parts:
    """What an item is made of, as names of settled columns: who, the head's members, and the attributes.

    Identifiers and head are never null in a row that is sent; attributes may be.
    """

    start: str  # '{"type":…,"action":…,'
    identifiers: Mapping[str, str]
    head: Mapping[str, str]
    attributes: Mapping[str, str]
    constants: Mapping[str, object]
    verbatim: frozenset[str]  # columns that are JSON text already
    keep_nulls: bool  # nulls: clear


Pieces = list[str | pl.Expr]  # what a text is made of, side by side


def items(values: pl.DataFrame, parts: Parts) -> pl.Series:
    """The item text of every row, with a trailing comma: `{"type":…,"attributes":{…}},`.

    One concatenation for all of it. An attribute that has a null in this frame is a text by itself, name, comma and
    all, and empty where the attribute is null.
    """
    head = {name: _value(values[column], column in parts.verbatim) for name, column in parts.head.items()}
    always: dict[str, Pieces] = {name: [literal(value)] for name, value in parts.constants.items()}
    sometimes: list[pl.Expr] = []
    for name, column in parts.attributes.items():
        value = _value(values[column], column in parts.verbatim)
        if values[column].null_count() == 0:
            always[name] = value
        else:
            without = f",{literal(name)}:null" if parts.keep_nulls else ""
            sometimes.append(_joined([f",{literal(name)}:", *value]).fill_null(without))
    if sometimes and not always:
        sometimes = [pl.concat_str(sometimes).str.strip_prefix(",")]
    who = {kind: _value(values[column], False) for kind, column in parts.identifiers.items()}
    text = _joined(
        [
            parts.start,
            *('"identifiers":{', *_members(who), "},"),
            *(*_members(head), "," if head else ""),
            *('"attributes":{', *_members(always), *sometimes, "}},"),
        ]
    )
    return values.select(text.alias("item")).to_series()


def _members(values: Mapping[str, Pieces]) -> Pieces:
    """`"name":value,"name":value`."""
    pieces: Pieces = []
    for name, value in values.items():
        pieces += [f"{',' if pieces else ''}{literal(name)}:", *value]
    return pieces


def _joined(pieces: Pieces) -> pl.Expr:
    """The pieces as one text; null where one of them is. `format` takes two thirds of the time of `concat_str`."""
    template = "".join(re.sub(r"[{}]", r"\g<0>\g<0>", piece) if isinstance(piece, str) else "{}" for piece in pieces)
    return pl.format(template, *(piece for piece in pieces if isinstance(piece, pl.Expr)))


def _value(column: pl.Series, verbatim: bool) -> Pieces:
    """A settled column's JSON text; null where the column is."""
    value, dtype = pl.col(column.name), column.dtype
    if verbatim:
        return [value]
    if dtype.is_numeric() or dtype == pl.Boolean:
        return [value.cast(pl.String)]
    if dtype == pl.String and not needs_escapes(column):
        return ['"', value, '"']
    encoded = pl.struct(value.alias("v")).struct.json_encode().str.strip_prefix('{"v":').str.strip_suffix("}")
    return [pl.when(value.is_not_null()).then(encoded) if column.null_count() else encoded]


def needs_escapes(column: pl.Series) -> bool:
    """Whether a text holds a character that JSON text must not: a control character, a quote or a backslash.

    Looking costs a tenth of what escaping all the same would.
    """
    data = column.to_arrow().buffers()[2]
    if data is None:
        return False
    for start in range(0, data.size, _LOOK_BYTES):
        look = np.frombuffer(data, dtype=np.uint8)[start : start + _LOOK_BYTES]
        if ((look < ord(" ")) | (look == ord('"')) | (look == ord("\\"))).any():
            return True
    return False


_LOOK_BYTES = 1 << 18  # at a time: what stays in the processor's cache
