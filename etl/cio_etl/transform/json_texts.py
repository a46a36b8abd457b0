"""Reads columns of sound lines of NDJSON: in given types, or each value as the JSON text that it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO

import polars as pl
import polars.selectors as cs

from cio_etl.transform.json_strings import with_placeholder_in_texts

_NONCHARACTER = re.compile(rb"(\xef\xb7[\x90-\xaf])|\\u([fF][dD][dDeE][0-9a-fA-F])")  # a noncharacter, or its escape
_LOST_ESCAPE = re.compile(rb"\\(?=[bfnrt]|u00(?:[01][0-9a-fA-F]|22|5[cC]))")


def read_lines(lines: bytes, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """These columns of sound lines. Raises PolarsError."""
    return pl.read_ndjson(BytesIO(lines), schema=schema)


def json_texts(data: bytes, columns: Sequence[str], mixed: bool) -> pl.DataFrame:
    """Columns as JSON text, where strings have escapes, or (`mixed`) are beside other kinds.

    polars writes a nested value out without escaping its backslashes, its control characters and the quotes of its keys
    again. So these escapes are hidden from it: they pass as characters that the text does not have. It also drops the
    quotes of strings; a fourth such character stands for them.
    """
    lines, shown = _hidden(data, mixed)
    texts = read_lines(lines, dict.fromkeys(columns, pl.String()))
    return texts.select(shown(cs.by_name(name).as_expr()).alias(name) for name in columns)


def json_texts_at(data: bytes, paths: Sequence[Sequence[str]]) -> list[pl.Series]:
    """The values at paths of keys as JSON texts, each path once and none inside another; null where there is none.

    Raises PolarsError where a line has something else than an object on the way to a value.
    """
    read = [] if b"\\" in data else _typed(data, paths)
    made = {
        tuple(path): text for path, column in zip(paths, read, strict=False) if (text := _exact(column)) is not None
    }
    if unclear := [path for path in paths if tuple(path) not in made]:
        lines, shown = _hidden(data, mixed=True)
        found = _at_paths(read_lines(lines, _schema_of(unclear)), unclear)
        texts = (text.to_frame("v").select(shown(pl.col("v")).alias("v"))["v"] for text in found)
        made |= zip(map(tuple, unclear), texts, strict=True)
    return [made[tuple(path)] for path in paths]


def _typed(data: bytes, paths: Sequence[Sequence[str]]) -> list[pl.Series]:
    """The values as whole numbers, as true and false, or as text; as the first lines have them, if all lines do.

    polars reads no value of another kind as a number or as true, but makes text of any.
    """
    end = -1
    for _ in range(_LINES_OF_A_GUESS):
        if (next_end := data.find(b"\n", end + 1)) < 0:
            break
        end = next_end
    try:
        first = _at_paths(pl.read_ndjson(BytesIO(data[: end + 1])), paths)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        first = [pl.Series(dtype=pl.String)] * len(paths)
    guess = [column.dtype if column.dtype in (pl.Int64, pl.Boolean) else pl.String() for column in first]
    try:
        return _at_paths(read_lines(data, _schema_of(paths, guess)), paths)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return _at_paths(read_lines(data, _schema_of(paths)), paths)


_LINES_OF_A_GUESS = 20


def _exact(column: pl.Series) -> pl.Series | None:
    """The JSON texts of values that `_typed` has read; None where a text may be of another kind than a string."""
    if column.dtype != pl.String:
        return column.cast(pl.String)
    if column.str.contains(_LIKE_ANOTHER_KIND).any():
        return None
    return column.to_frame("v").select(pl.format('"{}"', "v"))["v"]


# What a text that polars made of another kind than a string looks like.
_LIKE_ANOTHER_KIND = r"(?s)^(?:-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?$|true$|false$|[\[{])"


def _schema_of(paths: Sequence[Sequence[str]], dtypes: Sequence[pl.DataType] = ()) -> dict[str, pl.DataType]:
    """The schema of objects with values of these types at the paths; without types, all are read as text."""
    below: dict[str, list[tuple[Sequence[str], pl.DataType]]] = {}
    for (first, *rest), dtype in zip(paths, dtypes or [pl.String()] * len(paths), strict=True):
        below.setdefault(first, []).append((rest, dtype))
    return {
        key: pl.Struct(_schema_of(*zip(*inner, strict=True))) if inner[0][0] else inner[0][1]
        for key, inner in below.items()
    }


def _at_paths(frame: pl.DataFrame, paths: Sequence[Sequence[str]]) -> list[pl.Series]:
    """The columns at these paths; of one that the frame has not, nulls."""
    none = pl.Series([None], dtype=pl.Null).new_from_index(0, frame.height)
    made = []
    for first, *rest in paths:
        value = frame.get_column(first, default=none)
        for key in rest:
            is_there = isinstance(value.dtype, pl.Struct) and key in value.struct.fields
            value = value.struct.field(key) if is_there else none
        made.append(value)
    return made


def _hidden(data: bytes, mixed: bool) -> tuple[bytes, Callable[[pl.Expr], pl.Expr]]:
    """The lines with what polars would change hidden from it, and how it is shown again in a text that it made."""
    has_any = b"\xef\xb7" in data or b"\\" in data  # the search below is slow
    found = _NONCHARACTER.findall(data) if has_any else []
    used = {int(escaped, 16) if escaped else ord(raw.decode()) for raw, escaped in found}
    placeholders = sorted(map(chr, range(0xFDD0, 0xFDF0)), key=lambda placeholder: ord(placeholder) in used)
    backslashes, quote, other, string = placeholders[:4]
    hidden = data.replace(rb"\\", backslashes.encode()).replace(rb"\"", quote.encode())
    hidden = _LOST_ESCAPE.sub(other.encode(), hidden) if b"\\" in hidden else hidden
    if mixed:
        hidden = with_placeholder_in_texts(hidden, string.encode())

    def shown(text: pl.Expr) -> pl.Expr:
        text = _with_quotes(text, string) if mixed else text
        return text.str.replace_many([backslashes, quote, other], [r"\\", r"\"", "\\"]) if has_any else text

    return hidden, shown


def _with_quotes(text: pl.Expr, placeholder: str) -> pl.Expr:
    """The text in quotes where a placeholder shows that it was a string; else without placeholders inside it."""
    inside = text.str.replace_all(placeholder, "", literal=True)
    return pl.when(text.str.starts_with(placeholder)).then(pl.format('"{}"', inside)).otherwise(inside)
