"""Writes plain data and comments as YAML that `yaml_file.py` reads as the same data; any column name is written safely.

Names come from the data's owner, or from whoever made the file: in YAML they are plain words or JSON strings, in
comments nothing of them can end the line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

WIDTH = 79  # of a terminal of 80 columns
DATA_WIDTH = 110  # of a line of data, beyond which keys get lines of their own
_SHOWN_SIGNS = 60  # of a name in a comment

# Plain words that every reader of YAML takes for text; 1.1's `yes` and `on` are not among them.
_PLAIN = re.compile(r"[^\W\d]\w*(?:[-./]\w+)*")
_NOT_TEXT = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


class Verbatim(str):
    """A text that is YAML already, as a number that is written to the last digit."""


def yaml_text(data: Any) -> str:
    """The data as YAML, with a line for each key of the top; smaller parts are in one line where they fit."""
    return "\n".join(_lines(data, "")) + "\n"


def _lines(data: Any, indent: str) -> Iterator[str]:
    if isinstance(data, dict) and data:
        for key, value in data.items():
            yield from _entry(f"{indent}{scalar(key)}:", value, indent)
    elif isinstance(data, list) and data:
        for item in data:
            first, *rest = _lines(item, "") if isinstance(item, dict) and not _fits(flow(item)) else [flow(item)]
            yield f"{indent}- {first}"
            yield from (f"{indent}  {line}" if line else "" for line in rest)
    else:
        yield indent + flow(data)


def _entry(head: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, str) and (block := _block(value)):
        yield head + (" |" if value.endswith("\n") else " |-")
        yield from (f"{indent}  {line}" if line else "" for line in block)
        return
    whole = f"{head} {flow(value)}"
    is_whole = indent == "" and isinstance(value, dict) and len(value) > 1  # as attributes: an entry in each line
    if isinstance(value, dict | list) and value and (is_whole or not _fits(whole)):
        yield head
        yield from _lines(value, indent + "  ")
    else:
        yield whole


def _fits(line: str) -> bool:
    """Whether the parts need no lines of their own: it is short, and no text in it has several lines."""
    return len(line) <= DATA_WIDTH and r"\x0a" not in line


def _block(text: str) -> list[str]:
    """The lines of a text of several lines, as a query, that YAML can hold as they are; none of another text."""
    lines = text.removesuffix("\n").split("\n")
    is_plain = all(line.isprintable() and line == line.rstrip() for line in lines)
    return lines if len(lines) > 1 and is_plain and lines[0] == lines[0].lstrip() and lines[0] and lines[-1] else []


def scalar(value: object) -> str:
    """A text, number, true, false or null as YAML."""
    if isinstance(value, Verbatim):
        return str(value)
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and value.isprintable() and value.lower() not in _NOT_TEXT:
        return value
    return '"' + printable(value.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def printable(text: str) -> str:
    """The text with escapes, as YAML has them, for characters that are invisible or would end a line."""
    return "".join(sign if sign.isprintable() else _escape(sign) for sign in text)


def _escape(sign: str) -> str:
    point = ord(sign)
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def shown(name: str) -> str:
    """A column's name in a comment or on a terminal: on one line, and cut."""
    cut = name if len(name) <= _SHOWN_SIGNS else name[:_SHOWN_SIGNS] + "…"
    return cut if _PLAIN.fullmatch(cut) and cut.isprintable() else scalar(cut)


def flow(value: Any) -> str:
    """Any plain data on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(flow(inner) for inner in value) + "]"
    return scalar(value)


def wrapped(first: str, value: Any, indent: str, width: int = 120) -> list[str]:
    """`first` and any plain data, on one line if it fits; else broken after commas, later lines with this indent."""
    lines = [first]
    for piece in _pieces(value):
        if len(lines[-1]) + 1 + len(piece) + (len(indent) if len(lines) == 1 else 0) > width and lines[-1].strip():
            lines.append(indent + piece)
        else:
            lines[-1] += f" {piece}"
    return lines


def _pieces(value: Any) -> list[str]:
    """The parts of `flow(value)` between which a line may be broken."""
    if not isinstance(value, (Mapping, list, tuple)) or not value:
        return [flow(value)]
    members = list(value.items()) if isinstance(value, Mapping) else [(None, inner) for inner in value]
    pieces: list[str] = []
    for place, (key, inner) in enumerate(members, 1):
        parts = _pieces(inner)
        if key is not None:
            parts[0] = f"{scalar(key)}: {parts[0]}"
        if place < len(members):
            parts[-1] += ","
        pieces += parts
    opening, closing = ("{", "}") if isinstance(value, Mapping) else ("[", "]")
    pieces[0] = opening + pieces[0]
    pieces[-1] += closing
    return pieces


def comment(text: str, indent: str = "") -> list[str]:
    """The text as lines of comment."""
    lines = wrap(printable(text), WIDTH - len(indent) - 2, break_on_hyphens=False) or [""]
    return [f"{indent}# {line}".rstrip() for line in lines]


def with_note(line: str, note: str, indent: str = "") -> list[str]:
    """A line with its comment: on the same line if it fits, else above."""
    if not note:
        return [indent + line]
    behind = f"{indent}{line}  # {printable(note)}"
    return [behind] if len(behind) <= WIDTH else [*comment(note, indent), indent + line]


def place(text: str) -> str:
    """A place such as `attributes.NAME`, its name as `shown`."""
    head, dot, name = text.partition(".")
    return head + dot + (shown(name) if dot else "")
