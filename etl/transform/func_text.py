"""How is text changed? trim, lower, upper, title, replace, split, join, slug, sha256."""

from __future__ import annotations

import polars as pl
from polars_hash import CryptographicHashingNameSpace

from etl.transform.func_define import function


def _not_empty(**texts: object) -> None:
    for name, text in texts.items():
        if text == "" and name in ("old", "separator"):
            raise ValueError(f"'{name}' must not be empty")


@function(takes=("text",))
def trim(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The text without the white space around it.

    >>> " Ada\\t" | trim -> "Ada"
    """
    return value.str.strip_chars()


@function(takes=("text",))
def lower(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The text in small letters.

    >>> "Ada@Example.ORG" | lower -> "ada@example.org"
    """
    return value.str.to_lowercase()


@function(takes=("text",))
def upper(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The text in capitals.

    >>> "fr" | upper -> "FR"
    """
    return value.str.to_uppercase()


@function(takes=("text",))
def title(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The text with a capital at the start of every word and small letters after it.

    >>> "ada o'NEIL" | title -> "Ada O'Neil"
    """
    return value.str.to_titlecase()


@function(takes=("text",), check=_not_empty)
def replace(value: pl.Expr, dtype: pl.DataType, *, old: str, new: str) -> pl.Expr:
    """The text with every `old` replaced by `new`; both are plain text, no pattern.

    >>> "1 234 567" | {replace: {old: " ", new: ""}} -> "1234567"
    >>> "a.b" | {replace: {old: ".", new: "$0"}} -> "a$0b"
    """
    return value.str.replace_all(old, new, literal=True)


@function(takes=("text",), shorthand="separator", check=_not_empty)
def split(value: pl.Expr, dtype: pl.DataType, *, separator: str = ",", trim: bool = False) -> pl.Expr:
    """The pieces of the text between separators, a list of text; `trim` takes the white space around each off.

    >>> "red,,blue" | {split: ","} -> ["red", "", "blue"]
    >>> "red; blue" | {split: {separator: ";", trim: true}} -> ["red", "blue"]
    """
    pieces = value.str.split(separator)
    return pieces.list.eval(pl.element().str.strip_chars()) if trim else pieces


@function(takes=("a list of text",), shorthand="separator")
def join(value: pl.Expr, dtype: pl.DataType, *, separator: str = ",") -> pl.Expr:
    """The texts of a list as one text with the separator between them; nulls in the list are left out.

    >>> ["red", null, "blue"] | {join: "; "} -> "red; blue"
    """
    return value.list.join(separator, ignore_nulls=True)


# Small letters which Unicode does not take apart into an ASCII letter and a mark.
_SPELLED = {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ı": "i"}


@function(takes=("text",), reason="slug_empty")
def slug(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Small ASCII letters and digits, words joined by '-'; null when nothing of the text is left.

    >>> "  Crème brûlée & Straßenbahn!" | slug -> "creme-brulee-strassenbahn"
    >>> "日本" | slug -> rejected
    """
    letters = value.str.to_lowercase().str.replace_many(_SPELLED).str.normalize("NFKD")
    ascii_only = letters.str.replace_all(r"[^\x00-\x7F]", "").str.to_lowercase()
    words = ascii_only.str.replace_all(r"[^a-z0-9]+", "-").str.strip_chars("-")
    return pl.when(words != "").then(words)


@function(takes=("text",))
def sha256(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """SHA-256 of the text's UTF-8 bytes, 64 hexadecimal digits.

    >>> "ada" | sha256 -> "fdee430d40bd57deeac186cd9790033d0f06f909a8806e7ce6e717ab7c7d5029"
    """
    digest: pl.Expr = CryptographicHashingNameSpace(value).sha2_256()
    return digest
