"""Columns to JSON text, exactly. Types are converted here, before polars' encoder reads them.

polars writes null for NaN and for a missing value, text for decimals, and panics on binary; so each type is converted
to one that it writes correctly, or refused when the mapping is compiled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from cio_etl.transform.structs import as_dtype, fields

EXACT_DIGITS = 15  # a 64-bit float preserves a decimal of up to 15 digits


def settle(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """`value` in a type that can be written as JSON: dates become Unix seconds, categories text; nested values too.

    Raises ValueError, with what to do, for a type that has no JSON form.
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
    """True where `value` contains a NaN or an infinity, which JSON cannot express; None when its type cannot."""
    if dtype.is_float():
        return value.is_finite().not_().fill_null(False)
    if isinstance(dtype, pl.Struct):
        parts = [not_finite(part, inner) for _, part, inner in fields(value, dtype)]
        conditions = [part for part in parts if part is not None]
        return pl.any_horizontal(conditions) if conditions else None
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
class Fixed:
    """The same value in every item."""

    value: object


@dataclass(frozen=True, slots=True)
class Leaf:
    """The value of a converted column; `verbatim`: its text is JSON already."""

    column: str
    verbatim: bool = False


@dataclass(frozen=True, slots=True)
class Members:
    """An object. A member that is null in a row is omitted, or sent as null; a required one makes the object null."""

    of: Mapping[str, Node]
    nulls: Literal["required", "omit", "clear"] = "required"


@dataclass(frozen=True, slots=True)
class Entries:
    """A list without the entries that are null in a row; an empty list is omitted itself."""

    of: tuple[Node, ...]


Node = Fixed | Leaf | Members | Entries
Pieces = list[str | pl.Expr]  # parts of a text, to be concatenated


def verbatim(tree: Node) -> Iterator[str]:
    """The columns whose text is JSON already, anywhere in the tree."""
    match tree:
        case Leaf(column, True):
            yield column
        case Members(of):
            for inner in of.values():
                yield from verbatim(inner)
        case Entries(entries):
            for inner in entries:
                yield from verbatim(inner)


def items(values: pl.DataFrame, tree: Node) -> pl.Series:
    """The item text of every row, with a trailing comma: `{"type":…,"attributes":{…}},`; null where a required part is.

    One concatenation makes all of it. A member that has a null in this frame is a text of its own, with name and comma,
    which is empty where the member is null.
    """
    text = _joined([*_text(tree, values), ","])
    return values.select(text.alias("item")).to_series()


def _text(node: Node, values: pl.DataFrame) -> Pieces:
    match node:
        case Fixed(value):
            return [literal(value)]
        case Leaf(column, verbatim):
            return _value(values[column], verbatim)
        case Members(of, nulls):
            texts = {name: [f"{literal(name)}:", *_text(inner, values)] for name, inner in of.items()}
            optional = [name for name, inner in of.items() if _may_be_absent(inner, nulls, values)]
            always = [text for name, text in texts.items() if name not in optional]
            sometimes = [
                _joined([",", *texts[name]]).fill_null(f",{literal(name)}:null" if nulls == "clear" else "")
                for name in optional
            ]
        case Entries(entries):
            always = [_text(inner, values) for inner in entries if not _nullable(inner, values)]
            sometimes = [
                _joined([",", *_text(inner, values)]).fill_null("") for inner in entries if _nullable(inner, values)
            ]
            if not always:
                listed = pl.concat_str(sometimes).str.strip_prefix(",")
                return [pl.when(listed != "").then(pl.format("[{}]", listed))]
    if sometimes and not always:
        sometimes = [pl.concat_str(sometimes).str.strip_prefix(",")]
    opening, closing = "[]" if isinstance(node, Entries) else "{}"
    return [opening, *_listed(always), *sometimes, closing]


def _may_be_absent(member: Node, nulls: str, values: pl.DataFrame) -> bool:
    """Whether an object lacks this member in some row of the frame."""
    return (nulls != "required" or isinstance(member, Entries)) and _nullable(member, values)


def _nullable(node: Node, values: pl.DataFrame) -> bool:
    """Whether the node's text is null in some row of this frame."""
    match node:
        case Leaf(column):
            return values[column].null_count() > 0
        case Members(of, "required"):
            return any(_nullable(inner, values) and not isinstance(inner, Entries) for inner in of.values())
        case Entries(entries):
            return all(_nullable(inner, values) for inner in entries)
        case _:
            return False


def _listed(texts: Sequence[Pieces]) -> Pieces:
    """The texts with commas between them."""
    return [piece for place, text in enumerate(texts) for piece in ([","] if place else []) + text]


def _joined(pieces: Pieces) -> pl.Expr:
    """The pieces as one text; null where one of them is. `format` takes two thirds of the time of `concat_str`."""
    template = "".join(re.sub(r"[{}]", r"\g<0>\g<0>", piece) if isinstance(piece, str) else "{}" for piece in pieces)
    return pl.format(template, *(piece for piece in pieces if isinstance(piece, pl.Expr)))


def _value(column: pl.Series, verbatim: bool) -> Pieces:
    """A converted column's JSON text; null where the column is null."""
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
    """Whether a text contains a character that JSON must escape: a control character, a quote or a backslash.

    The search costs a tenth of escaping every text.
    """
    data = column.to_arrow().buffers()[2]
    if data is None:
        return False
    for start in range(0, data.size, _BLOCK_BYTES):
        block = np.frombuffer(data, dtype=np.uint8)[start : start + _BLOCK_BYTES]
        if ((block < ord(" ")) | (block == ord('"')) | (block == ord("\\"))).any():
            return True
    return False


_BLOCK_BYTES = 1 << 18  # fits into the processor's cache
