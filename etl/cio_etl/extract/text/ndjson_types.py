"""Finds what the columns of NDJSON hold, chunk by chunk, and which lines are no objects.

polars reads the chunks that it can read as a whole; the few others are parsed line by line, which is slower.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, NoReturn

import numpy as np
import polars as pl
import polars.selectors as cs

from cio_etl.transform.json_strings import without_repeated_keys
from cio_etl.transform.json_texts import json_texts, read_lines

_MAX_DEPTH = 64  # polars' own stack ends at some 1,000, and the process with it
_EXACT = 1 << 53
_WHITE_SPACE = b" \t\r\n"
_LONG_WHOLE_NUMBER = re.compile(rb"[:\s]-?\d{16,}[\s,}]")
_LONE_SURROGATE = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD])[c-fC-F])"
)
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_LIKE_ANOTHER_KIND = r"(?s)^(?:-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?$|true$|false$|[\[{])"
_KIND_OF = {'"': "text", "t": "boolean", "f": "boolean", "[": "nested", "{": "nested"}  # by a JSON text's first sign


@dataclass(slots=True)
class Values:
    """The kinds of values that a column had so far."""

    kinds: set[str] = field(default_factory=set)  # of: boolean, integer, float, text, nested
    largest: int = 0  # of its whole numbers, without sign

    def add(self, kind: str | None, largest: int = 0) -> None:
        if kind is not None:
            self.kinds.add(kind)
        self.largest = max(self.largest, largest)

    @property
    def dtype(self) -> pl.DataType:
        match sorted(self.kinds):
            case []:
                return pl.Null()
            case ["boolean"]:
                return pl.Boolean()
            case ["integer"] if self.largest < 1 << 63:
                return pl.Int64()
            case ["float"] | ["float", "integer"] if self.largest <= _EXACT:
                return pl.Float64()
            case _:
                return pl.String()

    @property
    def is_nested(self) -> bool:
        """Whether all values are objects and lists."""
        return self.kinds == {"nested"}

    @property
    def is_json(self) -> bool:
        """Whether only JSON text holds each value as it is."""
        return self.dtype == pl.String() and self.kinds != {"text"}


class ColumnTypes:
    """What the columns hold, over all chunks so far."""

    def __init__(self) -> None:
        self.columns: defaultdict[str, Values] = defaultdict(Values)
        self.repeats_keys = False  # some object has a key twice

    def add(self, lines: bytes, rows: int) -> Sequence[int]:
        """Notes what a chunk of whole lines holds, and answers which of its rows are no objects."""
        if not _suspicious(lines):
            try:
                if self._add_by_polars(lines, rows):
                    return ()
            except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError):
                pass
        return self._add_by_line([line for line in lines.split(b"\n") if line.strip(_WHITE_SPACE)])

    # ------------------------------------------------------------ by polars

    def _add_by_polars(self, lines: bytes, rows: int) -> bool:
        """False, and nothing noted, when polars does not read all lines."""
        inferred = _inferred(lines)
        unique = without_repeated_keys(lines)
        if unique is not lines:
            self.repeats_keys = True
            lines, inferred = unique, _inferred(unique)
        frame = read_lines(
            lines, {name: pl.String() if dtype.is_nested() else dtype for name, dtype in inferred.items()}
        )
        if frame.height != rows:
            return False
        mixed = _perhaps_mixed(lines, frame, inferred)
        if mixed:
            texts = json_texts(lines, mixed, mixed=True)
            for name in mixed:
                self._add_texts(name, texts[name])
        exact = _exact(lines, [name for name, dtype in inferred.items() if dtype.is_float()])
        for name, dtype in inferred.items():
            values = self.columns[name]
            if name in mixed:
                continue
            if dtype.is_nested():
                values.add("nested")
            elif dtype.is_integer():
                values.add("integer", max((abs(int(end)) for end in _ends(frame[name])), default=0))
            elif dtype.is_float():
                values.add("float", _EXACT if name in exact else _EXACT + 1)
            elif dtype != pl.Null():
                values.add("boolean" if dtype == pl.Boolean() else "text")
        return True

    def _add_texts(self, name: str, texts: pl.Series) -> None:
        """Notes the kinds of values in a column of JSON texts."""
        begins = texts.drop_nulls().str.head(1).unique()
        for kind in {_KIND_OF.get(begin, "float") for begin in begins}:  # beside another kind, any number is one
            self.columns[name].add(kind)

    # ------------------------------------------------------------ by line, where polars gave up

    def _add_by_line(self, lines: list[bytes]) -> Sequence[int]:
        rows = [self._object(line) for line in lines]
        sound = [line for line, row in zip(lines, rows, strict=True) if row is not None]
        names = list(dict.fromkeys(name for row in rows if row is not None for name in row))
        one_by_one = not _reads(sound, names)
        refused = []
        for number, row in enumerate(rows):
            if row is None or (one_by_one and not _reads([lines[number]], row)):
                refused.append(number)
            else:
                for name, value in row.items():
                    self.columns[name].add(*_kind(value))
        return refused

    def _object(self, line: bytes) -> dict[str, Any] | None:
        """The line's object; None when it is none."""
        if _depth(line) > _MAX_DEPTH:
            return None
        try:
            row = json.loads(line, parse_constant=_no_json, parse_float=_finite, object_pairs_hook=self._last_of_each)
            if not isinstance(row, dict):
                return None
            if _LONE_SURROGATE.search(line):
                json.dumps(row, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            return None
        return row

    def _last_of_each(self, pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        pairs = list(pairs)
        row = dict(pairs)
        self.repeats_keys |= len(row) < len(pairs)
        return row


def _reads(lines: Sequence[bytes], names: Iterable[str]) -> bool:
    """Whether polars reads all of the lines, too."""
    try:
        return read_lines(b"\n".join(lines), dict.fromkeys(names, pl.String())).height == len(lines)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return False


def _inferred(lines: bytes) -> dict[str, pl.DataType]:
    schema = pl.scan_ndjson(BytesIO(lines), infer_schema_length=None).collect_schema()
    return dict(schema)


def _perhaps_mixed(lines: bytes, frame: pl.DataFrame, inferred: Mapping[str, pl.DataType]) -> list[str]:
    """The columns of texts, and of objects and lists, that perhaps have values of another kind.

    polars makes text of them. So where a text looks like another kind, the bytes after the column's name decide.
    """
    texts = [name for name, dtype in inferred.items() if dtype == pl.String()]
    if texts:
        like = frame.select(cs.by_name(texts).str.contains(_LIKE_ANOTHER_KIND).any()).row(0)
        texts = [name for name, unclear in zip(texts, like, strict=True) if unclear]
    nested = [name for name, dtype in inferred.items() if dtype.is_nested()]
    mixed = []
    for names, begin, other in ((texts, rb'"', rb"[-0-9tf\[{]"), (nested, rb"[\[{]", rb'[-0-9tf"]')):
        for name in names:
            key = re.escape(json.dumps(name, ensure_ascii=False).encode()) + rb"[ \t\r]*:[ \t\r]*"
            values = frame.height - frame[name].null_count()
            if re.search(key + other, lines) or len(re.findall(key + begin, lines)) != values:
                mixed.append(name)
    return mixed


def _ends(column: pl.Series) -> list[Any]:
    return [end for end in (column.min(), column.max()) if end is not None]


def _exact(lines: bytes, floats: list[str]) -> set[str]:
    """Those columns of numbers that lose no digit of a whole one as floats."""
    if not floats or not _LONG_WHOLE_NUMBER.search(lines):
        return set(floats)
    texts = read_lines(lines, dict.fromkeys(floats, pl.String()))
    whole = texts.select(pl.when(pl.all().str.contains(r"^-?\d{16,}$")).then(pl.all()))
    lost = whole.select((pl.all().cast(pl.Int128, strict=False).abs() > _EXACT).fill_null(pl.all().is_not_null()).any())
    return {name for name in floats if not lost[name].item()}


def _suspicious(lines: bytes) -> bool:
    """Whether polars would read on where it should not: NUL for half a surrogate pair, until the stack ends."""
    if _LONE_SURROGATE.search(lines):
        return True
    if lines.count(b"{") + lines.count(b"[") <= _MAX_DEPTH:
        return False
    octets = np.frombuffer(lines, np.uint8)
    line_ends = np.flatnonzero(octets == ord("\n"))
    openers = np.searchsorted(np.flatnonzero((octets == ord("{")) | (octets == ord("["))), line_ends)
    return bool((np.diff(openers, prepend=0, append=lines.count(b"{") + lines.count(b"[")) > _MAX_DEPTH).any())


def _depth(line: bytes) -> int:
    if line.count(b"{") + line.count(b"[") <= _MAX_DEPTH:
        return 0
    octets = np.frombuffer(_STRING.sub(b"", line), np.uint8)
    opened = ((octets == ord("{")) | (octets == ord("["))).astype(np.int64)
    closed = (octets == ord("}")) | (octets == ord("]"))
    return int(np.cumsum(opened - closed).max(initial=0))


def _no_json(name: str) -> NoReturn:
    raise ValueError("NaN and infinity are no JSON")


def _finite(digits: str) -> float:
    if abs(number := float(digits)) == float("inf"):
        raise ValueError("too large for a number")
    return number


def _kind(value: object) -> tuple[str | None, int]:
    match value:
        case None:
            return None, 0
        case bool():
            return "boolean", 0
        case int():
            return "integer", abs(value)
        case float():
            return "float", 0
        case str():
            return "text", 0
        case _:
            return "nested", 0
