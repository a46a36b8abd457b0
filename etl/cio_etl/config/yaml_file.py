"""Reads a YAML file as plain data, with the line of every key.

The data are those of YAML 1.2's core schema, where `NO` and 2024-03-10 are texts. Everything that could run code, grow
beyond the size of the file, or mean something other than what a reader sees is refused: tags, anchors, aliases, merge
keys, a key written twice, numbers that would lose a zero. The file is read as a stream of events, which stops at the
first limit, so that a YAML bomb does no harm.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from cio_etl.config.text_file import UnreadableText, read_text
from cio_etl.errors import Problem, did_you_mean_file
from cio_etl.model.records import dataclass

MAX_BYTES = 1_000_000
MAX_DEPTH = 50
MAX_VALUES = 20_000  # keys and values: a file of 1 MB with one-letter items would take 15 s to read

Loc = tuple[str | int, ...]  # ("attributes", "plan", "apply", 0)


@dataclass(frozen=True, slots=True)
class Document:
    """A file's data, the 1-based line of each key and list item, and what is wrong. `data` is None if unreadable.

    `refused` contains the places whose values were refused, `empty` those where none is written; they are None in the
    data. `respelt` contains those that would be written otherwise as text, such as 1.10 and True. `origins` says of the
    plain form of a file, by place, in which file and where a value is written.
    """

    file: str
    data: dict[str, Any] | None
    lines: Mapping[Loc, int]
    problems: tuple[Problem, ...] = ()
    refused: frozenset[Loc] = frozenset()
    empty: frozenset[Loc] = frozenset()
    origins: Mapping[Loc, tuple[Document, Loc]] = field(default_factory=dict)
    respelt: frozenset[Loc] = frozenset()

    def origin(self, loc: Loc) -> tuple[Document, Loc]:
        """The file in which a value is written, and its place there."""
        for end in range(len(loc), -1, -1):
            if (found := self.origins.get(loc[:end])) is not None:
                return found[0], (*found[1], *loc[end:])
        return self, loc

    def line(self, loc: Loc) -> int | None:
        """The line of a key or item, or of the nearest one around it if it is not written."""
        if self.origins:
            file, there = self.origin(loc)
            return file.line(there)
        return next((self.lines[loc[:end]] for end in range(len(loc), -1, -1) if loc[:end] in self.lines), None)

    def place(self, loc: Loc) -> str:
        """The file and line of a value, as `mappings/a.yaml:7`."""
        file, line = self.origin(loc)[0].file, self.line(loc)
        return file if line is None else f"{file}:{line}"

    def problem(self, loc: Loc, message: str) -> Problem:
        if self.origins:
            file, there = self.origin(loc)
            return file.problem(there, message)
        return Problem(self.file, self.line(loc), dotted(loc), message)


def dotted(loc: Loc) -> str:
    """A place as text: `attributes.plan.apply[0]`. Unusual names are quoted, long ones are shortened."""
    path = ""
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            name = part if len(part) <= 60 else part[:60] + "…"
            path += f".{name}" if re.fullmatch(r"[\w-]+…?", name) else f"[{name!r}]"
    return path.removeprefix(".")


def place_of(target: str) -> Loc:
    """The place of a target or a part of a mapping, as `relationships[0].object.id`; an attribute's name may be any."""
    around, separator, name = target.partition("attributes.")
    parts = re.findall(r"[^.\[\]]+|\[\d+\]", around)
    loc = tuple(int(part[1:-1]) if part.startswith("[") else part for part in parts)
    return (*loc, "attributes", name) if separator else loc


def read_yaml(path: Path) -> Document:
    """The plain data of one YAML file. It never raises: for a file that cannot be read, the Document has a problem."""
    try:
        text = _text(path)
    except _Unreadable as error:
        return Document(str(path), None, {}, (error.problem(path),))
    document = _parsed(path, text)
    return replace(document, data=copy.deepcopy(document.data))  # the caller may change it


@lru_cache(maxsize=256)  # a command reads a job's files several times: to check, to extend, to find tests
def _parsed(path: Path, text: str) -> Document:
    reader = _Reader(str(path))
    try:
        data = reader.document(text)
    except _Unreadable as error:
        reader.problems.append(error.problem(path))
        data = None
    problems, refused, empty = tuple(reader.problems), frozenset(reader.refused), frozenset(reader.empty)
    return Document(str(path), data, reader.lines, problems, refused, empty, respelt=frozenset(reader.respelt))


class _Unreadable(Exception):
    def __init__(self, message: str, line: int | None = None) -> None:
        self.message, self.line = message, line
        super().__init__(message)

    def problem(self, path: Path) -> Problem:
        return Problem(str(path), self.line, "", self.message)


def _text(path: Path) -> str:
    try:
        return read_text(path, MAX_BYTES)
    except UnreadableText as error:
        message = {
            "missing": f"no such file; {did_you_mean_file(str(path))}",
            "not_a_file": "a folder, a pipe or a device; name a file",
            "unreadable": f"cannot be read: {error.reason}",
            "too_large": f"larger than {MAX_BYTES:,} bytes; a job or a mapping is a few kilobytes",
            "not_utf8": "not UTF-8; save the file as UTF-8",
        }[error.fault]
        raise _Unreadable(message, error.line) from None


class _Reader:
    """One pass over the events of a file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[Loc, int] = {}
        self.problems: list[Problem] = []
        self.refused: set[Loc] = set()
        self.empty: set[Loc] = set()
        self.respelt: set[Loc] = set()
        self.values = 0

    def document(self, text: str) -> dict[str, Any] | None:
        events = _events(text)
        next(events)  # the stream's start
        start = next(events)
        if not isinstance(start, DocumentStartEvent):
            raise _Unreadable("empty")
        if start.tags or start.version not in (None, (1, 2)):
            raise _Unreadable("a % line at the top; leave it out, the file is read as YAML 1.2", 1)
        root = next(events)
        data = self.node(root, events, ())
        next(events)  # the document's end
        if not isinstance(extra := next(events), StreamEndEvent):
            raise _Unreadable("a second document begins here; one file holds one", _line(extra))
        if self.problems or isinstance(data, dict):
            return data if isinstance(data, dict) else None
        raise _Unreadable("must be keys with values, each on its line as `key: value`", _line(root))

    def node(self, event: Any, events: Iterator[Any], loc: Loc) -> Any:
        self.values += 1
        if self.values > MAX_VALUES:
            raise _Unreadable(f"more than {MAX_VALUES:,} values", _line(event))
        if len(loc) >= MAX_DEPTH:
            raise _Unreadable(f"nested deeper than {MAX_DEPTH} levels", _line(event))
        if isinstance(event, AliasEvent):
            self.refused.add(loc)
            return self.refuse(event, loc, "an alias (*); write the value out")
        if event.anchor is not None:
            self.refuse(event, loc, "an anchor (&); leave it out and write values out where they are needed")
        if event.tag is not None:
            self.refuse(event, loc, "a tag (!); leave it out, or put the text in quotes")
        if isinstance(event, MappingStartEvent):
            return self.mapping(events, loc)
        if isinstance(event, SequenceStartEvent):
            return self.sequence(events, loc)
        return self.scalar(event, loc)

    def mapping(self, events: Iterator[Any], loc: Loc) -> dict[str, Any]:
        data: dict[str, Any] = {}
        while not isinstance(event := next(events), MappingEndEvent):
            key = self.key(event, loc)
            place = (*loc, key)
            if key in data:
                self.refuse(event, place, f"written twice, first on line {self.lines[place]}; keep one")
            self.lines.setdefault(place, _line(event))
            value = self.node(next(events), events, place)
            data.setdefault(key, value)
        return data

    def key(self, event: Any, loc: Loc) -> str:
        self.lines.setdefault(loc, _line(event))
        if not isinstance(event, ScalarEvent):
            raise _Unreadable("a key that is not text; write `key: value`", _line(event))
        if event.tag is not None or event.anchor is not None:
            self.refuse(event, loc, "a tag (!) or an anchor (&) at a key; leave it out")
        elif event.value == "<<" and event.style is None:
            self.refuse(event, loc, "a merge key (<<); write the keys out")
        return self.checked(event, loc)

    def sequence(self, events: Iterator[Any], loc: Loc) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(events), SequenceEndEvent):
            place = (*loc, len(items))
            self.lines[place] = _line(event)
            items.append(self.node(event, events, place))
        return items

    def scalar(self, event: Any, loc: Loc) -> Any:
        text = self.checked(event, loc)
        if event.style is not None or event.tag is not None:
            return text
        if not text:
            self.empty.add(loc)
        try:
            value = _plain(text)
        except ValueError as error:
            self.refused.add(loc)
            return self.refuse(event, loc, str(error))
        if isinstance(value, int | float) and json.dumps(value) != text:
            self.respelt.add(loc)
        return value

    def checked(self, event: Any, loc: Loc) -> str:
        text: str = event.value
        try:
            text.encode()
        except UnicodeEncodeError:
            self.refuse(event, loc, r"an incomplete character (\uD800 to \uDFFF); write the character itself")
            return ""
        if "\0" in text:
            self.refuse(event, loc, r"a NUL character (\0); leave it out")
        return text

    def refuse(self, event: Any, loc: Loc, message: str) -> None:
        self.problems.append(Problem(self.file, _line(event), dotted(loc), message))


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


# YAML 1.2, section 10.3.2 (core schema); `010` and `+33…` are whole numbers there, which nobody means in a row
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_WHOLE = re.compile(r"-?[0-9]+")
_LOSSY = re.compile(r"\+[0-9]+|-?0[0-9]+")
_BASED = re.compile(r"0o[0-7]{1,21}|0x[0-9a-fA-F]{1,16}")
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def _plain(text: str) -> Any:
    """The value of a text without quotes. Raises ValueError with the remedy for a number that would change."""
    if text in _WORDS:
        return _WORDS[text]
    if _LOSSY.fullmatch(text):
        raise ValueError("a number that would lose its leading zero or plus; put it in quotes")
    if _WHOLE.fullmatch(text):
        if len(text) > 20 or not -(2**63) <= int(text) < 2**64:
            raise ValueError("a number of more than 64 bits; put it in quotes")
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _DECIMAL.fullmatch(text):
        number = float(text)
        if number in (float("inf"), float("-inf")):
            raise ValueError("a number too large for JSON; put it in quotes")
        return number
    return text


def _events(text: str) -> Iterator[Any]:
    """The events of the parser. Its errors quote the file, so they are replaced by our messages."""
    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark is not None else (None, None)
        theirs = f"{error.context or ''} {error.problem or ''}"
        raise _Unreadable(f"column {place[1]}: {_message(theirs)}", place[0]) from None
    except Exception:  # the parser fails in many ways on a damaged file (ValueError, IndexError, ReaderError)
        raise _Unreadable("not YAML: a character or an escape that YAML does not allow; save the file again") from None


_MESSAGES = (  # (a part of the parser's message, our message); the first match counts
    ("mapping values are not allowed", "a `: ` where no key can be; put the text in quotes, or fix the indentation"),
    ("'\\t'", "a tab; indent with spaces"),
    ("quoted scalar", "a quote that is not closed"),
    ("flow sequence", "a `[` that is not closed, or a comma that is missing"),
    ("flow mapping", "a `{` that is not closed, or a comma that is missing"),
    ("flow node", "a `[` or `{` that is not closed"),
    ("could not find expected ':'", "a line that is not `key: value`"),
    ("simple key", "a line that is not `key: value`"),
    ("block mapping", "the indentation does not fit the lines above"),
    ("block collection", "the indentation does not fit the lines above"),
    ("cannot start any token", "a character that cannot start a value; put the text in quotes"),
)


def _message(theirs: str) -> str:
    return next((ours for part, ours in _MESSAGES if part in theirs), "not YAML")
