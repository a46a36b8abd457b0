"""Characters that nobody sees: white space, control and format characters (Unicode's Cc and Cf), fillers, selectors.

A zero-width space or a byte-order mark in an address or an id makes another one of it, and nobody sees why two people
are not one. Copies from web pages, spreadsheets and files that were joined bring them along.
"""

from __future__ import annotations

from array import array
from functools import cache
from itertools import chain

import polars as pl

from cio_etl.transform.arrays import np

_BLOCK_BYTES = 1 << 18  # fits into the processor's cache
# Drawn as nothing, though of other categories: the grapheme joiner, Hangul fillers, the blank of Braille, line and
# paragraph separators; variation selectors; tags.
_FILLERS = r"\x{034F}\x{115F}\x{1160}\x{2028}\x{2029}\x{2800}\x{3164}\x{FFA0}"
UNSEEN = rf"\p{{Cc}}\p{{Cf}}{_FILLERS}\x{{FE00}}-\x{{FE0F}}\x{{E0000}}-\x{{E007F}}"  # for a class: [{UNSEEN}]
_BLANK = rf"^[\s{UNSEEN}]*$"
_EDGE = rf"[\s{UNSEEN}--\x{{FE00}}-\x{{FE0F}}\x{{E0020}}-\x{{E007F}}]"
# Unicode's planes 0, 1 and 14, without halves of pairs. The others have ideographs, private characters, or none at all.
_SIGNS = (range(0xD800), range(0xE000, 0x20000), range(0xE0000, 0xF0000))
_JOINERS = r"\x{200C}\x{200D}\x{FE0F}"  # within words of some scripts, and within emoji


def is_blank(text: pl.Expr) -> pl.Expr:
    """Whether nothing of the text can be seen."""
    return text.str.contains(_BLANK)


def has_unseen(text: pl.Expr, *, joiners: bool = False, lines: bool = False) -> pl.Expr:
    """Whether the text has a character that nobody sees, but a space.

    `joiners` allows those of words and emoji, `lines` tabs and the ends of lines.
    """
    allowed = (_JOINERS if joiners else "") + (r"\t\r\n" if lines else "")
    pattern = f"[{UNSEEN}--{allowed}]" if allowed else f"[{UNSEEN}]"
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
    """The text without white space and characters that nobody sees at its ends."""
    return text.str.strip_chars(_edges())


@cache
def _edges() -> str:
    """What is removed at the ends; not what ends an emoji or an ideograph: variation selectors, tags of a flag."""
    text = array("I", chain(*_SIGNS)).tobytes().decode("utf-32-le")
    return "".join(pl.Series([text]).str.extract_all(_EDGE)[0])
