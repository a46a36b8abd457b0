"""Reads the files of another tool as plain data, and keeps account of what was read of them.

Whatever an importer does not read of a file is listed at the end (`Node.unread`): nothing is dropped silently.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from json.decoder import scanstring  # type: ignore[attr-defined]  # of the standard library, and has been for ever
from pathlib import Path
from typing import Any

from cio_etl.config.text_file import UnreadableText, read_text
from cio_etl.config.yaml_file import MAX_BYTES, MAX_DEPTH, Document, Loc, dotted, read_yaml
from cio_etl.errors import ConfigError, Problem
from cio_etl.importers.lost import Lost

ENDINGS = (".yaml", ".yml", ".json")
LIST = "items"  # the key under which a JSON file that is a list has its items


@dataclass(frozen=True, slots=True)
class Definition:
    """A file, and the places of it that an importer has read."""

    document: Document
    read: set[Loc] = field(default_factory=set)

    @property
    def root(self) -> Node:
        return Node(self, (), self.document.data)

    @property
    def file(self) -> str:
        return self.document.file


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a definition with its place; None where nothing is written."""

    definition: Definition
    loc: Loc
    value: Any

    @property
    def place(self) -> str:
        return self.definition.document.place(self.loc)

    @property
    def path(self) -> str:
        return dotted(self.loc)

    def __getitem__(self, key: str) -> Node:
        """The value of a key. To look is not to read."""
        inner = self.value.get(key) if isinstance(self.value, dict) else None
        return Node(self.definition, (*self.loc, key), inner)

    def items(self) -> list[Node]:
        """The items of a list, or the values of a mapping."""
        if isinstance(self.value, dict):
            return [self[key] for key in self.value]
        members = self.value if isinstance(self.value, list) else []
        return [Node(self.definition, (*self.loc, place), inner) for place, inner in enumerate(members)]

    @property
    def key(self) -> str:
        return str(self.loc[-1]) if self.loc else ""

    def take(self) -> Any:
        """The value; it counts as read, with all that is in it."""
        self.definition.read.add(self.loc)
        return self.value

    def text(self) -> str | None:
        """The value as text, read; None if it is none, or an empty one, which is not read."""
        if isinstance(self.value, (str, int)) and not isinstance(self.value, bool) and str(self.value).strip():
            return str(self.take()).strip()
        return None

    def first(self, *keys: str) -> Node:
        """The value of the first of these keys that is written."""
        written = [key for key in keys if isinstance(self.value, dict) and self.value.get(key) is not None]
        return self[(written or keys)[0]]

    def lost(self, what: str, why: str, by_hand: str) -> Lost:
        """Something that is not carried over; it counts as read."""
        self.take()
        return Lost(self.place, what, why, by_hand)

    def problem(self, message: str) -> Problem:
        return self.definition.document.problem(self.loc, message)

    def unread(self) -> Iterator[Node]:
        """The outermost values of this one that were not read."""
        if self.loc in self.definition.read or self.value in (None, "", [], {}):
            return
        below = any(len(loc) > len(self.loc) and loc[: len(self.loc)] == self.loc for loc in self.definition.read)
        if below or not self.loc:
            for member in self.items():
                yield from member.unread()
        else:
            yield self


def read_definitions(paths: Sequence[Path]) -> list[Definition]:
    """The files, and those in folders, in the order of their names. Raises ConfigError with all that is unreadable."""
    documents = [_read(file) for path in paths for file in _files(path)]
    if problems := [problem for document in documents for problem in document.problems]:
        raise ConfigError(problems)
    return [Definition(document) for document in documents]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = [file for file in sorted(path.rglob("*")) if file.suffix.lower() in ENDINGS and file.is_file()]
    visible = [file for file in found if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    if not visible:
        what = "a folder without YAML and JSON files; name the folder that has the definitions"
        raise ConfigError([Problem(str(path), None, "", what)])
    return visible


def _read(path: Path) -> Document:
    return read_json(path) if path.suffix.lower() == ".json" else read_yaml(path)


def read_json(path: Path) -> Document:
    """The plain data of a JSON file, with the line of every key. It never raises, as `read_yaml`."""
    try:
        text = read_text(path, MAX_BYTES)
    except UnreadableText:
        return read_yaml(path)  # it words the same fault
    reader = _JsonReader(text)
    try:
        data = reader.document()
    except _NotJson as error:
        return Document(str(path), None, {}, (Problem(str(path), error.line, "", error.message),))
    return Document(str(path), data, reader.lines)


def parsed_json(text: str) -> Any:
    """The plain data of a text that is JSON: an object, or a list. Raises ValueError."""
    data = _JsonReader(text).document()
    return data[LIST] if text.lstrip().startswith("[") else data


def _refused(constant: str) -> None:
    raise ValueError(constant)  # NaN and Infinity are not JSON


class _NotJson(ValueError):
    def __init__(self, message: str, line: int | None) -> None:
        self.message, self.line = message, line
        super().__init__(message)


_BLANK = re.compile(r"[ \t\n\r]*")


class _JsonReader:
    """One pass over the text of a JSON file."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines: dict[Loc, int] = {}
        self.scan = json.JSONDecoder(parse_constant=_refused).raw_decode

    def document(self) -> dict[str, Any]:
        start = self.blank(0)
        if start == len(self.text):
            raise _NotJson("empty", None)
        is_list = self.text[start] == "["
        value, end = self.value(start, (LIST,) if is_list else ())
        if self.blank(end) != len(self.text):
            raise self.wrong(end, "more follows after the end of the value")
        data = {LIST: value} if is_list else value
        if not isinstance(data, dict):
            raise self.wrong(start, "must be an object or a list")
        return data

    def blank(self, at: int) -> int:
        found = _BLANK.match(self.text, at)
        assert found is not None  # it matches nothing, too
        return found.end()

    def line(self, at: int) -> int:
        return self.text.count("\n", 0, at) + 1

    def wrong(self, at: int, what: str) -> _NotJson:
        return _NotJson(f"not JSON: {what}", self.line(at))

    def value(self, at: int, loc: Loc) -> tuple[Any, int]:
        at = self.blank(at)
        self.lines.setdefault(loc, self.line(at))
        if len(loc) > MAX_DEPTH:
            raise _NotJson(f"nested deeper than {MAX_DEPTH} levels", self.line(at))
        if self.text[at : at + 1] in ("{", "["):
            return self.members(at, loc)
        try:
            value, end = self.scan(self.text, at)
        except ValueError:
            raise self.wrong(at, "a value is missing or is not closed") from None
        return self.whole(value, at), end

    def whole(self, value: Any, at: int) -> Any:
        """The value, if it is no text with half of a character."""
        try:
            str(value).encode()
        except UnicodeEncodeError:
            raise self.wrong(at, r"an incomplete character (\uD800 to \uDFFF)") from None
        return value

    def members(self, at: int, loc: Loc) -> tuple[Any, int]:
        closing = "}" if self.text[at] == "{" else "]"
        data: dict[str, Any] = {}
        listed: list[Any] = []
        at = self.blank(at + 1)
        while self.text[at : at + 1] != closing:
            key: str | int = len(listed)
            start = at
            if closing == "}":
                key, at = self.key(at)
                if key in data:
                    raise self.wrong(start, f"the key {key!r} is written twice")
            place = (*loc, key)
            self.lines[place] = self.line(start)
            value, at = self.value(at, place)
            data[str(key)] = value
            listed.append(value)
            at = self.blank(at)
            if self.text[at : at + 1] == ",":
                at = self.blank(at + 1)
                if self.text[at : at + 1] == closing:
                    raise self.wrong(at, "a comma before the end")
            elif self.text[at : at + 1] != closing:
                raise self.wrong(at, f"a comma or {closing} is missing")
        return (data if closing == "}" else listed), at + 1

    def key(self, at: int) -> tuple[str, int]:
        if self.text[at : at + 1] != '"':
            raise self.wrong(at, "a key in double quotes is missing")
        try:
            key, at = scanstring(self.text, at + 1, True)
        except ValueError:
            raise self.wrong(at, "a text that is not closed") from None
        self.whole(key, at)
        at = self.blank(at)
        if self.text[at : at + 1] != ":":
            raise self.wrong(at, "a colon is missing")
        return key, at + 1


def unread_of(node: Node, known: Mapping[str, tuple[str, str]], tool: str) -> Iterator[Lost]:
    """What was not read of a value. `known` says of keys why they are not carried over, and what to do by hand."""
    for unread in node.unread():
        names = [str(part) for part in unread.loc if isinstance(part, str)]
        why = f"{tool}'s public documents do not explain it"
        by_hand = "find out what it does, and write it in the mapping"
        why, by_hand = next((known[name] for name in reversed(names) if name in known), (why, by_hand))
        yield unread.lost(dotted(unread.loc[len(node.loc) :]), why, by_hand)
