"""Makes texts safe to print: a name of a file or a column may hold signs that move a cursor or turn text around.

All that is printed goes through `visible`: lines, tables, log lines, the page. Escapes are those of JSON, so a line of
JSON stays the same document.
"""

from __future__ import annotations

import unicodedata
from collections.abc import MutableMapping
from typing import Any

# controls, marks without a shape (of reading direction, joiners, tags), halves of pairs, and ends of lines and pages
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def visible(text: str) -> str:
    """The text with an escape for each invisible character, but line feeds and tabs."""
    return text if text.isascii() and text.isprintable() else "".join(map(_visible, text))


def one_line(text: str) -> str:
    """The text as `visible` gives it, with escapes for line feeds and tabs, too."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def visible_event(_logger: object, _level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The event of a log line, a processor of structlog: each of its texts in one line."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = one_line(value)
    return event


def _visible(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) not in _INVISIBLE:
        return character
    point = ord(character)
    if point < 0x10000:
        return f"\\u{point:04x}"
    high, low = divmod(point - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
