"""Columns to JSON text, exactly. Types are converted here, before polars' encoder reads them.

polars writes null for NaN and for a missing value, text for decimals, and panics on binary; so each type is converted
to one that it writes correctly, or refused when the mapping is compiled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Literal

import polars as pl

from cio_etl.model.records import dataclass
from cio_etl.transform import timestamps
from cio_etl.transform.arrays import are_worthwhile, np
from cio_etl.transform.decimals import NUMBER, text_of
from cio_etl.transform.nested import anywhere, as_dtype, fields, in_words, listed, parts

FAILED = "_failed."  # before a column's name: a String column of the reasons for which its values cannot be sent
_KEYS = (pl.String, pl.Boolean, pl.Date, pl.Datetime, pl.Decimal, pl.Categorical, pl.Enum)


def settle(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """`value` in a type that can be written as JSON: dates become Unix seconds, categories text; nested values too.

    Decimals stay, and are written digit by digit. Keys of maps become text, as JSON needs it: as by `cast: text`.
    Raises ValueError, with what to do, for a type that has no JSON form.
    """
    for part in parts(dtype):
        where = f" (at {part.path})" if part.path else ""
        if isinstance(part.dtype, pl.Map) and not _is_key(key := as_dtype(part.dtype.key)):
            what = f"it holds maps{where} whose keys are {in_words(key)}"
            raise ValueError(f"{what}, and keys in JSON are text; {_OTHERWISE}")
        if isinstance(part.dtype, pl.Binary | pl.Object | pl.Duration | pl.Time | pl.Unknown):
            advice = "put `decode`, or " if isinstance(dtype, pl.Binary) else ""
            raise ValueError(f"it holds {in_words(part.dtype)}{where}, which have no JSON form; {advice}{_OTHERWISE}")
    return _settled(value, dtype)


_OTHERWISE = "leave the column out or cast it in the source"


def _is_key(dtype: pl.DataType) -> bool:
    return dtype.is_integer() or isinstance(dtype, _KEYS)


def _settled(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if not any(isinstance(part.dtype, _SETTLED) for part in parts(dtype)):
        return value
    if isinstance(dtype, pl.Struct):
        settled = [_settled(part, inner).alias(name) for name, part, inner in fields(value, dtype)]
        return pl.when(value.is_not_null()).then(pl.struct(settled))
    if isinstance(dtype, pl.Map):
        (_, key, key_type), (_, inside, inner) = fields(pl.element(), _entry(dtype))
        entry = pl.struct(key_text(key, key_type).alias("key"), _settled(inside, inner).alias("value"))
        return value.map.entries().list.eval(entry).list.to_map()
    if (elements := listed(value, dtype)) is not None:
        return elements[0].list.eval(_settled(pl.element(), elements[1]))
    if isinstance(dtype, pl.Datetime | pl.Date):
        return timestamps.seconds(value, dtype)
    return value.cast(pl.String)  # a category


_SETTLED = (pl.Map, pl.Array, pl.Datetime, pl.Date, pl.Categorical, pl.Enum)  # types that change


def _entry(dtype: pl.Map) -> pl.Struct:
    return pl.Struct({"key": as_dtype(dtype.key), "value": as_dtype(dtype.value)})


def key_text(key: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A key of a map as the name of a member: 1 as "1", true as "true", times in ISO 8601, so that none become one."""
    if not isinstance(dtype, pl.Date | pl.Datetime):
        return key.cast(pl.String)
    return pl.coalesce(timestamps.text_of(key, dtype), key.to_physical().cast(pl.String))


def not_finite(value: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    """True where `value` contains a NaN or an infinity, which JSON cannot express; None when its type cannot."""
    return anywhere(value, dtype, _not_finite)


def _not_finite(value: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    return value.is_finite().not_().fill_null(False) if dtype.is_float() else None


def literal(value: object) -> str:
    """Compact JSON text of a constant; raises ValueError for NaN and infinities."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same value in every item."""

    value: object


@dataclass(frozen=True, slots=True)
class Leaf:
    """The value of a converted column; `verbatim`: its text is JSON already; `plain`: it has nothing to be escaped.

    `instead` is the JSON text in the rows in which the value failed: those with a reason in the column FAILED and this
    one's name, which a frame has only if there are such rows. The value itself is null in them.
    """

    column: str
    verbatim: bool = False
    instead: str | None = None
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Members:
    """An object. A member that is null in a row is omitted, or sent as null; a required one makes the object null."""

    of: Mapping[str, Node]
    nulls: Literal["required", "omit", "clear"] = "required"
    nulls_of: Mapping[str, Literal["omit", "clear"]] = field(default_factory=dict)  # of members with other ones
    sent: Mapping[str, str] = field(default_factory=dict)  # member -> Boolean column: the rows that have this member


@dataclass(frozen=True, slots=True)
class Entries:
    """A list without the entries that are null in a row; an empty list is omitted itself."""

    of: tuple[Node, ...]
    sent: tuple[str, ...] = ()  # a Boolean column for each entry: the rows that have it; (): all rows


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
    text_and_comma = _joined([*_text(tree, values), ","])
    return values.with_columns(text_and_comma.alias("item"))["item"]  # for every row, where the text is a constant, too


def text(node: Node, values: pl.DataFrame) -> pl.Expr:
    """The text of a node in every row; null where it is null."""
    return _joined(_text(node, values))


def _text(node: Node, values: pl.DataFrame) -> Pieces:
    match node:
        case Fixed(value):
            return [literal(value)]
        case Leaf(column, verbatim, instead, plain):
            pieces = _value(values[column], verbatim, plain)
            if instead is None or (failed := f"{FAILED}{column}") not in values.columns:
                return pieces
            return [pl.when(pl.col(failed).is_null()).then(_joined(pieces)).otherwise(pl.lit(instead))]
        case Members(of, nulls, nulls_of, sent):
            texts = {name: [f"{literal(name)}:", *_text(inner, values)] for name, inner in of.items()}
            optional = [
                name
                for name, inner in of.items()
                if name in sent or _may_be_absent(inner, nulls_of.get(name, nulls), values)
            ]
            always = [text for name, text in texts.items() if name not in optional]
            sometimes = [
                _where(
                    sent.get(name),
                    _joined([",", *texts[name]]).fill_null(_of_null(f",{literal(name)}:null", of[name], values))
                    if nulls_of.get(name, nulls) == "clear"
                    else _joined([",", *texts[name]]),
                )
                for name in optional
            ]
        case Entries(entries, flags):
            always = [_text(inner, values) for inner in entries if not flags and not _nullable(inner, values)]
            sometimes = [
                _where(flag, _joined([",", *_text(inner, values)]))
                for inner, flag in zip(entries, flags or [None] * len(entries), strict=True)
                if flag is not None or _nullable(inner, values)
            ]
            if not always:
                listed = _present(sometimes).str.strip_prefix(",")
                return [pl.when(listed != "").then(pl.format("[{}]", listed))]
    present = [_present(sometimes)] if sometimes else []
    if present and not always:
        present = [present[0].str.strip_prefix(",")]
    opening, closing = "[]" if isinstance(node, Entries) else "{}"
    return [opening, *_listed(always), *present, closing]


def _present(texts: Sequence[pl.Expr]) -> pl.Expr:
    """The texts that are not null as one; "" where all are. To replace each null by "" first takes a fifth longer."""
    return pl.concat_str(texts, ignore_nulls=True)


def _of_null(text: str, member: Node, values: pl.DataFrame) -> pl.Expr:
    """The text of a member that is null: none in the rows in which its value failed and is omitted."""
    omitted = is_omitted(member, values)
    return pl.lit(text) if omitted is None else pl.when(omitted).then(pl.lit("")).otherwise(pl.lit(text))


def is_omitted(node: Node, values: pl.DataFrame) -> pl.Expr | None:
    """Whether a value failed and nothing is sent in its place; None when no row of this frame has such a value."""
    if not isinstance(node, Leaf) or node.instead is not None or f"{FAILED}{node.column}" not in values.columns:
        return None
    return pl.col(f"{FAILED}{node.column}").is_not_null()


def _where(flag: str | None, text: pl.Expr) -> pl.Expr:
    """The text in the rows for which the column is true, and null in the others."""
    return text if flag is None else pl.when(pl.col(flag)).then(text)


def _may_be_absent(member: Node, nulls: str, values: pl.DataFrame) -> bool:
    """Whether an object lacks this member in some row of the frame."""
    return (nulls != "required" or isinstance(member, Entries)) and _nullable(member, values)


def _nullable(node: Node, values: pl.DataFrame) -> bool:
    """Whether the node's text is null in some row of this frame."""
    match node:
        case Leaf(column):
            return values[column].null_count() > 0
        case Members(of, "required", nulls_of):
            needed = (inner for name, inner in of.items() if name not in nulls_of)
            return any(_nullable(inner, values) and not isinstance(inner, Entries) for inner in needed)
        case Entries(entries, flags):
            return bool(flags) or all(_nullable(inner, values) for inner in entries)
        case _:
            return False


def _listed(texts: Sequence[Pieces]) -> Pieces:
    """The texts with commas between them."""
    return [piece for place, text in enumerate(texts) for piece in ([","] if place else []) + text]


def _joined(pieces: Pieces) -> pl.Expr:
    """The pieces as one text; null where one of them is. `format` takes two thirds of the time of `concat_str`."""
    if all(isinstance(piece, str) for piece in pieces):
        return pl.lit("".join(map(str, pieces)))  # polars refuses a format without an input beside a field of a struct
    template = "".join(re.sub(r"[{}]", r"\g<0>\g<0>", piece) if isinstance(piece, str) else "{}" for piece in pieces)
    return pl.format(template, *(piece for piece in pieces if isinstance(piece, pl.Expr)))


def _value(column: pl.Series, verbatim: bool, plain: bool = False) -> Pieces:
    """A converted column's JSON text; null where the column is null."""
    value, dtype = pl.col(column.name), column.dtype
    if verbatim:
        return [value]
    if dtype == pl.Boolean:
        return [pl.lit(_OF_BOOLEAN).gather(value.cast(pl.UInt32))]  # a cast to text takes four times as long
    if dtype.is_numeric():
        return [value.cast(pl.String)]
    if dtype == NUMBER:
        return [text_of(value)]
    if dtype == pl.String:
        return ['"', value if plain or not needs_escapes(column) else value.str.replace_many(_ESCAPES), '"']
    encoded = json_text(value, dtype)
    return [pl.when(value.is_not_null()).then(encoded) if column.null_count() else encoded]


_OF_BOOLEAN = pl.Series(["false", "true"])
_ESCAPES = {sign: json.dumps(sign)[1:-1] for sign in ['"', "\\", *map(chr, range(ord(" ")))]}


def json_text(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The JSON text of a settled value: `null` where it is null.

    polars writes decimals as text, so a type with decimals in it is written part by part.
    """
    if isinstance(dtype, pl.Decimal):
        return value.cast(pl.String).fill_null("null")
    if dtype == NUMBER:
        return text_of(value).fill_null("null")
    if not any(isinstance(part.dtype, pl.Decimal) for part in parts(dtype)):
        return pl.struct(value.alias("v")).struct.json_encode().str.strip_prefix('{"v":').str.strip_suffix("}")
    if isinstance(dtype, pl.Struct):
        members = [(f"{literal(name)}:", json_text(part, inner)) for name, part, inner in fields(value, dtype)]
        text = _joined(["{", *_listed([[*member] for member in members]), "}"])
    elif isinstance(dtype, pl.Map):
        (_, key, key_type), (_, inside, inner) = fields(pl.element(), _entry(dtype))
        member = pl.format("{}:{}", json_text(key, key_type), json_text(inside, inner))
        text = pl.format("{{{}}}", value.map.entries().list.eval(member).list.join(","))
    else:
        elements = listed(value, dtype)
        assert elements is not None
        text = pl.format("[{}]", elements[0].list.eval(json_text(pl.element(), elements[1])).list.join(","))
    return pl.when(value.is_not_null()).then(text).otherwise(pl.lit("null"))


def needs_escapes(column: pl.Series) -> bool:
    """Whether a text contains a character that JSON must escape: a control character, a quote or a backslash.

    The search costs a tenth of escaping every text.
    """
    if not are_worthwhile(len(column)):
        return column.str.contains(r'[\x00-\x1f"\\]').any()
    data = column.to_arrow().buffers()[2]
    if data is None:
        return False
    for start in range(0, data.size, _BLOCK_BYTES):
        block = np.frombuffer(data, dtype=np.uint8)[start : start + _BLOCK_BYTES]
        if ((block < ord(" ")) | (block == ord('"')) | (block == ord("\\"))).any():
            return True
    return False


_BLOCK_BYTES = 1 << 18  # fits into the processor's cache
