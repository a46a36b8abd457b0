"""Characters that nobody sees: white space, control characters and format characters (Unicode's Cc and Cf).

A zero-width space or a byte-order mark in an address or an id makes another one of it, and nobody sees why two people
are not one. Copies from web pages, spreadsheets and files that were joined bring them along.
"""

from __future__ import annotations

import sys
import unicodedata
from functools import cache

import numpy as np
import polars as pl

_BLOCK_BYTES = 1 << 18  # fits into the processor's cache
UNSEEN = r"\p{Cc}\p{Cf}"  # for a class of a pattern: [{UNSEEN}]
_BLANK = rf"^[\s{UNSEEN}]*$"
_JOINERS = r"\x{200C}\x{200D}\x{E0020}-\x{E007F}"  # within words of some scripts, and within emoji


def is_blank(text: pl.Expr) -> pl.Expr:
    """Whether nothing of the text can be seen."""
    return text.str.contains(_BLANK)


def has_unseen(text: pl.Expr, *, joiners: bool = False) -> pl.Expr:
    """Whether the text has a control or format character; with `joiners`, those that emoji and words need may be."""
    pattern = f"[{UNSEEN}--{_JOINERS}]" if joiners else f"[{UNSEEN}]"
    return text.map_batches(lambda texts: _contains(texts, pattern), return_dtype=pl.Boolean, is_elementwise=True)


def _contains(texts: pl.Series, pattern: str) -> pl.Series:
    """Whether each text has a character of the pattern. Most columns are plain ASCII, and a look at the bytes tells."""
    data = texts.to_arrow().buffers()[2]
    for start in range(0, 0 if data is None else data.size, _BLOCK_BYTES):
        block = np.frombuffer(data, dtype=np.uint8)[start : start + _BLOCK_BYTES]
        if ((block < ord(" ")) | (block > ord("~"))).any():
            return texts.str.contains(pattern)
    return pl.Series(texts.name, [False]).new_from_index(0, len(texts))


def stripped(text: pl.Expr) -> pl.Expr:
    """The text without white space, control and format characters at its ends."""
    return text.str.strip_chars(_edges())


@cache
def _edges() -> str:
    """What is removed at the ends; not the tags that end the flag of a region."""
    signs = map(chr, range(sys.maxunicode + 1))
    unseen = (sign for sign in signs if sign.isspace() or unicodedata.category(sign) in ("Cc", "Cf"))
    return "".join(sign for sign in unseen if not "\U000e0020" <= sign <= "\U000e007f")
