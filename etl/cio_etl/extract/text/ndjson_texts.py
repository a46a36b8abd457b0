"""Reads columns of sound lines of NDJSON: in given types, or each value as the JSON text that it is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from io import BytesIO

import polars as pl
import polars.selectors as cs

from cio_etl.extract.text.ndjson_strings import with_placeholder_in_texts

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
    used = {int(escaped, 16) if escaped else ord(raw.decode()) for raw, escaped in _NONCHARACTER.findall(data)}
    placeholders = sorted(map(chr, range(0xFDD0, 0xFDF0)), key=lambda placeholder: ord(placeholder) in used)
    backslashes, quote, other, string = placeholders[:4]
    hidden = data.replace(rb"\\", backslashes.encode()).replace(rb"\"", quote.encode())
    hidden = _LOST_ESCAPE.sub(other.encode(), hidden)
    if mixed:
        hidden = with_placeholder_in_texts(hidden, string.encode())
    texts = read_lines(hidden, dict.fromkeys(columns, pl.String()))
    if mixed:
        texts = texts.select(_with_quotes(cs.by_name(name).as_expr(), string).alias(name) for name in columns)
    return texts.with_columns(pl.all().str.replace_many([backslashes, quote, other], [r"\\", r"\"", "\\"]))


def _with_quotes(text: pl.Expr, placeholder: str) -> pl.Expr:
    """The text in quotes where a placeholder shows that it was a string; else without placeholders inside it."""
    inside = text.str.replace_all(placeholder, "", literal=True)
    return pl.when(text.str.starts_with(placeholder)).then(pl.format('"{}"', inside)).otherwise(inside)
