"""Resolves escapes in CSV files, as MySQL, PostgreSQL's text form, Redshift and Hive write them.

The parser knows no escapes. So each escape is replaced by a Unicode noncharacter, which no text has and which is an
ordinary character to the parser; in the parsed fields it is replaced by its meaning. An escape before any other
character is dropped: the character means itself.
"""

from __future__ import annotations

import re

import polars as pl

from cio_etl.model import CsvSource

# Noncharacters, for use inside one process: https://www.unicode.org/faq/private_use.html#noncharacters
_FIRST_PLACEHOLDER = 0xFDD0
_NULL = chr(_FIRST_PLACEHOLDER + 31)

PLACEHOLDERS = re.compile(rb"\xef\xb7[\x90-\xaf]")  # all of them, in UTF-8

# As MySQL reads them: https://dev.mysql.com/doc/refman/8.4/en/load-data.html#load-data-field-line-handling
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "Z": "\x1a", "0": "\0"}
_LINE_ENDS = ("\n", "\r")


def with_placeholders(data: bytes, source: CsvSource) -> bytes:
    """Whole records of UTF-8 text, with placeholders for escapes."""
    assert source.escape is not None
    escape = source.escape.encode()
    if escape not in data:
        return data
    placeholders = _placeholders(source)
    data = data.replace(escape * 2, placeholders[source.escape].encode())  # first: each remaining one begins an escape
    for sign, placeholder in placeholders.items():
        data = data.replace(escape + sign.encode(), placeholder.encode())
    for letter, meant in _LETTERS.items():
        data = data.replace(escape + letter.encode(), placeholders.get(meant, meant).encode())
    return data.replace(escape + b"N", _NULL.encode()).replace(escape, b"")


def without_placeholders(frame: pl.DataFrame, source: CsvSource) -> pl.DataFrame:
    """The fields with what their placeholders mean; a field that is only \\N is null."""
    meant = {placeholder: sign for sign, placeholder in _placeholders(source).items()} | {_NULL: "N"}
    text = pl.when(pl.all() != _NULL).then(pl.all())
    return frame.with_columns(text.str.replace_many(list(meant), list(meant.values())))


def _placeholders(source: CsvSource) -> dict[str, str]:
    """The placeholder of each sign that would mean something to the parser."""
    signs = [source.escape, source.quote, source.separator, *_LINE_ENDS]
    return {sign: chr(_FIRST_PLACEHOLDER + number) for number, sign in enumerate(signs) if sign is not None}
