"""Characters that nobody sees: white space, control and format characters (Unicode's Cc and Cf), fillers, selectors.

A zero-width space or a byte-order mark in an address or an id makes another one of it, and nobody sees why two people
are not one. Copies from web pages, spreadsheets and files that were joined bring them along.
"""

from __future__ import annotations

import polars as pl

from cio_etl.transform.arrays import are_worthwhile, np

_BLOCK_BYTES = 1 << 18  # fits into the processor's cache
# Drawn as nothing, though of other categories: the grapheme joiner, Hangul fillers, the blank of Braille, line and
# paragraph separators; variation selectors; tags.
_FILLERS = r"\x{034F}\x{115F}\x{1160}\x{2028}\x{2029}\x{2800}\x{3164}\x{FFA0}"
UNSEEN = rf"\p{{Cc}}\p{{Cf}}{_FILLERS}\x{{FE00}}-\x{{FE0F}}\x{{E0000}}-\x{{E007F}}"  # for a class: [{UNSEEN}]
_BLANK = rf"^[\s{UNSEEN}]*$"
# What is removed at the ends: the first and the last of each range. Variation selectors, and the tags of a flag, stay:
# they end an emoji or an ideograph. To find these characters among all of Unicode takes 10 ms; a test does.
_EDGE_RANGES = (
    (0x0, 0x20), (0x7F, 0xA0), (0xAD, 0xAD), (0x34F, 0x34F), (0x600, 0x605), (0x61C, 0x61C), (0x6DD, 0x6DD),
    (0x70F, 0x70F), (0x890, 0x891), (0x8E2, 0x8E2), (0x115F, 0x1160), (0x1680, 0x1680), (0x180E, 0x180E),
    (0x2000, 0x200F), (0x2028, 0x202F), (0x205F, 0x2064), (0x2066, 0x206F), (0x2800, 0x2800), (0x3000, 0x3000),
    (0x3164, 0x3164), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF9, 0xFFFB), (0x110BD, 0x110BD), (0x110CD, 0x110CD),
    (0x13430, 0x1343F), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE001F),
)  # fmt: skip
_EDGES = "".join(chr(sign) for first, last in _EDGE_RANGES for sign in range(first, last + 1))
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
    if not are_worthwhile(len(texts)):
        return texts.str.contains(pattern)
    data = texts.to_arrow().buffers()[2]
    for start in range(0, 0 if data is None else data.size, _BLOCK_BYTES):
        block = np.frombuffer(data, dtype=np.uint8)[start : start + _BLOCK_BYTES]
        if ((block < ord(" ")) | (block > ord("~"))).any():
            return texts.str.contains(pattern)
    return pl.Series(texts.name, [False]).new_from_index(0, len(texts))


def stripped(text: pl.Expr) -> pl.Expr:
    """The text without white space and characters that nobody sees at its ends."""
    return text.str.strip_chars(_EDGES)
