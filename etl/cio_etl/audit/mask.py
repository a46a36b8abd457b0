"""Values in reports: masked, so that a reader sees the form and not the content."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

UNMASKED = 4  # last characters of a long identifier, by which its row can be found
LONG = 8  # letters and digits in a row that make an identifier long
LONGEST = 60  # characters of a masked value that are shown
LONGEST_REVEALED = 500

_WORD = re.compile(r"[^\W_]+")
_LAST_LABEL = re.compile(r"\.([A-Za-z]{2,6})\s*$")
_PLAIN = ("type", "action", "name", "event")  # of a payload: the kind of call, no personal data


def shown(text: str, reveal: bool) -> str:
    """The value as a report shows it: masked unless `reveal`, and cut to a length in both cases."""
    longest = LONGEST_REVEALED if reveal else LONGEST
    visible = text if reveal else mask(text)
    return visible if len(visible) <= longest else f"{visible[:longest]}… ({len(text):,} characters)"


def mask(text: str) -> str:
    """The text's form: the first letters of an e-mail address, the last characters of a long identifier, else classes.

    Letters become x and X, digits #; all other characters stay, because they are often what is wrong.

    >>> [mask(text) for text in ("anna@@example.com", "+33612345678", "2024-02-31 10:00", "Crêpe Pan")]
    ['a***@@e***.com', '+#######5678', '####-##-## ##:##', 'Xxxxx Xxx']
    """
    if "@" in text:
        last = _LAST_LABEL.search(text)
        end = last.start() if last else len(text)
        return re.sub(r"[^\W_][\w'+-]*", lambda word: f"{word[0][0]}***", text[:end]) + text[end:]
    unmasked = UNMASKED if any(len(word) >= LONG and _has_digit(word) for word in _WORD.findall(text)) else 0
    cut = len(text) - unmasked
    return "".join(map(_kind, text[:cut])) + text[cut:]


def _has_digit(word: str) -> bool:
    return any(sign.isdigit() for sign in word)


def _kind(sign: str) -> str:
    if sign.isdigit() or sign.isnumeric():
        return "#"
    return ("X" if sign.isupper() else "x") if sign.isalpha() else sign


class _Number(str):
    """A number as the JSON text writes it, to the last digit."""


class _Members(list[tuple[str, Any]]):
    """The members of an object as the JSON text has them: a name may occur twice."""


def payload_shown(text: str, reveal: bool) -> str:
    """A payload, one name or value a line, masked unless `reveal`; revealed, it is JSON."""
    content = json.loads(text, parse_int=_Number, parse_float=_Number, object_pairs_hook=_Members)
    lines = "\n".join(_lines(content, "", "", reveal, _PLAIN))
    return lines.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair, which JSON may escape


def value_shown(text: str, reveal: bool) -> str:
    """A value's JSON text in a line, masked unless `reveal`, and cut to a length in both cases."""
    content = json.loads(text, parse_int=_Number, parse_float=_Number, object_pairs_hook=_Members)
    line = " ".join(each.strip() for each in _lines(content, "", "", reveal))
    line = line.encode("utf-8", "backslashreplace").decode()
    longest = LONGEST_REVEALED if reveal else LONGEST
    return line if len(line) <= longest else f"{line[:longest]}…"


def _lines(value: Any, indent: str, comma: str, reveal: bool, plain: tuple[str, ...] = ()) -> Iterator[str]:
    """The value's lines; the first one follows its name, if it has one."""
    if isinstance(value, _Members):
        yield "{" if value else f"{{}}{comma}"
        for place, (name, inner) in enumerate(value, 1):
            shows = reveal or (name in plain and not isinstance(inner, list))
            first, *rest = _lines(inner, f"{indent}  ", "," if place < len(value) else "", shows)
            yield f"{indent}  {json.dumps(name, ensure_ascii=False)}: {first}"
            yield from rest
        if value:
            yield f"{indent}}}{comma}"
    elif isinstance(value, list) and value:
        yield "["
        for place, inner in enumerate(value, 1):
            first, *rest = _lines(inner, f"{indent}  ", "," if place < len(value) else "", reveal)
            yield f"{indent}  {first}"
            yield from rest
        yield f"{indent}]{comma}"
    elif isinstance(value, _Number):
        yield f"{value if reveal else re.sub('[0-9]', '#', value)}{comma}"
    elif isinstance(value, str):
        yield f"{json.dumps(shown(value, reveal), ensure_ascii=False)}{comma}"
    else:
        yield f"{json.dumps(value)}{comma}"
