"""Functions for text: white space, case, length."""

from __future__ import annotations

from html import unescape
from typing import Literal

import polars as pl

from cio_etl.model.reasons import SLUG_EMPTY
from cio_etl.transform.distinct import by_distinct
from cio_etl.transform.functions.define import function
from cio_etl.transform.invisible import stripped

GROUP = "Text"


def _old_not_empty(*, old: str, **_: object) -> None:
    if old == "":
        raise ValueError("'old' must not be empty")


@function(takes=("text",))
def trim(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The text without the white space around it, and without characters at its ends that nobody sees.

    These are Unicode's control and format characters, such as a zero-width space or a byte-order mark.

    >>> " Ada\\t" | trim -> "Ada"
    >>> "\\ufeffada@example.org\\u200b" | trim -> "ada@example.org"
    """
    return stripped(value)


@function(takes=("text",))
def collapse(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The text with one space for each run of white space, line breaks too, and none around it.

    >>> " Ada \\n  Lovelace\\u00a0" | collapse -> "Ada Lovelace"
    """
    return stripped(value.str.replace_all(r"\s+", " "))


@function(takes=("text",))
def lower(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The text in lower case.

    >>> "Ada@Example.ORG" | lower -> "ada@example.org"
    """
    return value.str.to_lowercase()


@function(takes=("text",))
def upper(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The text in upper case.

    >>> "fr" | upper -> "FR"
    """
    return value.str.to_uppercase()


@function(takes=("text",))
def title(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The text with a capital at the start of every word and lower case after it.

    >>> "ada o'NEIL" | title -> "Ada O'Neil"
    """
    return value.str.to_titlecase()


@function(takes=("text",), check=_old_not_empty)
def replace(value: pl.Expr, dtype: pl.DataType, *, old: str, new: str) -> pl.Expr:
    """The text with every `old` replaced by `new`; both are plain text, not patterns.

    >>> "1 234 567" | {replace: {old: " ", new: ""}} -> "1234567"
    >>> "a.b" | {replace: {old: ".", new: "$0"}} -> "a$0b"
    """
    return value.str.replace_all(old, new, literal=True)


@function(takes=("text",), shorthand="form")
def normalize(value: pl.Expr, dtype: pl.DataType, *, form: Literal["NFC", "NFD", "NFKC", "NFKD"] = "NFC") -> pl.Expr:
    """The text in a Unicode normal form.

    >>> "e\\u0301" | normalize -> "é"
    >>> "ﬁ ②" | {normalize: NFKC} -> "fi 2"
    """
    return value.str.normalize(form)


def _check_substring(*, start: int = 0, length: int | None = None) -> None:
    if length is not None and length < 0:
        raise ValueError("'length' must be 0 or more")


@function(takes=("text",), check=_check_substring)
def substring(value: pl.Expr, dtype: pl.DataType, *, start: int = 0, length: int | None = None) -> pl.Expr:
    """The characters from `start` on, `length` of them or all; the first is 0, and -2 is the last but one.

    >>> "FR-75011" | {substring: {start: 3, length: 2}} -> "75"
    >>> "4111111111111111" | {substring: {start: -4}} -> "1111"
    >>> "ab" | {substring: {start: 5}} -> ""
    """
    return value.str.slice(start, length)


def _check_pad(*, length: int, fill: str = "0", **_: object) -> None:
    if not 1 <= length <= _LONGEST:
        raise ValueError(f"'length' must be from 1 to {_LONGEST:,}")
    if len(fill) != 1:
        raise ValueError("'fill' must be one character")


_LONGEST = 32_000  # bytes: no item is larger


@function(takes=("text",), shorthand="length", check=_check_pad)
def pad(
    value: pl.Expr, dtype: pl.DataType, *, length: int, fill: str = "0", side: Literal["start", "end"] = "start"
) -> pl.Expr:
    """The text with `fill` put before it (or after it: `side: end`) until it has `length` characters.

    >>> "1234" | {pad: 5} -> "01234"
    >>> "ab" | {pad: {length: 4, fill: ".", side: end}} -> "ab.."
    """
    return value.str.pad_start(length, fill) if side == "start" else value.str.pad_end(length, fill)


def _check_truncate(*, bytes: int = 1_000, ending: str = "") -> None:
    if not len(ending.encode()) < bytes <= _LONGEST:
        raise ValueError(f"'bytes' must be from 1 to {_LONGEST:,}, and more than 'ending' has")


@function(takes=("text",), shorthand="bytes", check=_check_truncate)
def truncate(value: pl.Expr, dtype: pl.DataType, *, bytes: int = 1_000, ending: str = "") -> pl.Expr:
    """The text cut to `bytes` bytes of UTF-8, `ending` included, never inside a character.

    1,000 bytes are what Customer.io takes of an attribute. A text that is not longer stays as it is.

    >>> "crème" | {truncate: 3} -> "cr"
    >>> "crème brûlée" | {truncate: {bytes: 9, ending: "…"}} -> "crème…"
    """
    limit = bytes - len(ending.encode())
    raw = value.cast(pl.Binary)
    end: pl.Expr = pl.lit(max(limit - 3, 0))  # a character has at most four bytes; all but the first are 10xxxxxx
    for place in range(max(limit - 2, 0), limit + 1):
        begins = (raw.bin.get(place, null_on_oob=True) & 0xC0) != 0x80  # null: past the end
        end = pl.when(begins.fill_null(True)).then(place).otherwise(end)
    cut = raw.bin.slice(0, end).cast(pl.String) + ending
    return pl.when(value.str.len_bytes() <= bytes).then(value).otherwise(cut)


@function(takes=("text",))
def unescape_html(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The text with the characters that HTML's entities stand for; tags stay as they are.

    >>> "Tom &amp; Jerry&#39;s caf&eacute;" | unescape_html -> "Tom & Jerry's café"
    """
    escaped = pl.when(value.str.contains("&", literal=True)).then(value)
    return pl.coalesce(by_distinct(escaped, unescape, pl.String()), value)


# Lower-case letters that Unicode does not decompose into an ASCII letter and a mark.
_SPELLED = {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ı": "i"}


@function(takes=("text",), reason=SLUG_EMPTY)
def slug(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Lower-case ASCII letters and digits, words joined by '-'; null when no character remains.

    >>> "  Crème brûlée & Straßenbahn!" | slug -> "creme-brulee-strassenbahn"
    >>> "日本" | slug -> rejected
    """
    letters = value.str.to_lowercase().str.replace_many(_SPELLED).str.normalize("NFKD")
    ascii_only = letters.str.replace_all(r"[^\x00-\x7F]", "").str.to_lowercase()
    words = ascii_only.str.replace_all(r"[^a-z0-9]+", "-").str.strip_chars("-")
    return pl.when(words != "").then(words)
