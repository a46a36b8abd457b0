"""Reads files with one JSON object per line as a snapshot, whose columns have one type each.

A column has the type that holds all of its values exactly, over all rows of all files:

    true and false                  Boolean
    whole numbers of 64 bits        Int64
    numbers                         Float64, if every whole one is exact in it (up to 2^53)
    objects and lists only          their JSON text, each with its own keys; the snapshot says that it is JSON
    anything else, or a mixture     text: numbers in their shortest form, objects and lists much like their JSON
    null, or absent                 null

A line that is not one JSON object is a row with a fault. Of a key that an object has twice, the first counts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import polars as pl
import polars.selectors as cs

from cio_etl.errors import SourceError
from cio_etl.extract.files import RegularFile, named_files
from cio_etl.extract.frames import check_names
from cio_etl.extract.text.chunks import Block, Chunk, ChunkLimits, TextFile, TextRows, add, blocks, cut, text_snapshot
from cio_etl.extract.text.csv_records import Dialect, Malformed, Mask, Records, scan
from cio_etl.extract.text.plain_text import Copy, Text, canonical_encoding, plain_text
from cio_etl.model import ROW_NUL, ROW_UNREADABLE, NdjsonSource, Snapshot

RULES = "ndjson 1"  # part of the fingerprint: raise it when the same bytes would give other rows

MAX_COLUMNS = 1_000
_MAX_DEPTH = 64  # polars' own stack ends at some 1,000, and the process with it
_TYPED_ROWS = 4_000  # typed at once: polars' time for objects with ever new keys is the square of it
_EXACT = 1 << 53
_LINES = Dialect(0xFF, None)  # a byte that no text has: each record is one field
_WHITE_SPACE = b" \t\r\n"
_SAYS = np.array([octet not in _WHITE_SPACE for octet in range(256)])
_MARK = re.compile(rb"(\xef\xb7[\x90-\xaf])|\\u([fF][dD][dDeE][0-9a-fA-F])")  # a noncharacter, or its escape
_LOST_ESCAPE = re.compile(rb"\\(?=[bfnrt]|u00(?:[01][0-9a-fA-F]|22|5[cC]))")
_LONG_WHOLE_NUMBER = re.compile(rb"[:\s]-?\d{16,}[\s,}]")
_LONE_SURROGATE = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD])[c-fC-F])"
)
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


@dataclass(slots=True)
class _Values:
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


Columns = defaultdict[str, _Values]


def open_ndjson(source: NdjsonSource, stage: Path, limits: ChunkLimits) -> Snapshot:
    """The snapshot of all files that the source names, in sorted order. Raises SourceError for any fault."""
    encoding = canonical_encoding("source", source.encoding)
    copy = Copy(stage)
    files: list[TextFile] = []
    first_pass = _FirstPass(limits)
    for path in named_files(source.paths):
        with RegularFile(path) as opened:
            if opened.identity.bytes:
                text = plain_text(opened, encoding, copy, limits.bomb, "NDJSON")
            else:
                text = Text(0, 0, None)  # writers of many parts leave some empty
            files.append(first_pass.index(opened, text))
            opened.check_unchanged()
    if not first_pass.columns:
        raise SourceError("export it again", place=files[0].path, what="has no row that has a key")
    schema = pl.Schema({name: values.dtype for name, values in first_pass.columns.items()})
    nested = frozenset(name for name, values in first_pass.columns.items() if values.kinds == {"nested"})
    form = _NdjsonFormat(schema, nested, first_pass.refused)
    return text_snapshot(TextRows(files, first_pass.chunks, schema, form), [RULES, encoding], nested)


class _FirstPass:
    """The facts that the first pass over all files collects."""

    def __init__(self, limits: ChunkLimits) -> None:
        self.columns: Columns = defaultdict(_Values)
        self.chunks: list[Chunk] = []
        self.refused: list[int] = []  # positions, rising
        self._limits = limits
        self._files = 0
        self._rows = 0

    def index(self, opened: RegularFile, text: Text) -> TextFile:
        digest = hashlib.sha256(opened.read_at(0, text.start) if text.copy is None else b"")
        rows_before = self._rows
        form = _NdjsonFormat(pl.Schema(), frozenset(), [])
        for block in blocks(opened, text, form, self._limits, digest):
            unsound = block.records.blank | block.records.nul
            rows = min(self._limits.chunk_rows, _TYPED_ROWS)
            for chunk in cut(block, 0, self._files, self._rows, unsound, rows):
                refused = self._typed(opened.path, block, chunk)
                if self._rows == rows_before and refused:
                    _check_kind(opened.path, chunk, block.data[chunk.offset - block.offset :], len(refused))
                self.refused += (position + self._rows for position in refused)
                self._rows += chunk.rows
                add(self.chunks, replace(chunk, sound=chunk.sound and not refused), self._limits)
        self._files += 1
        rows_here = self._rows - rows_before
        return TextFile(opened.path, opened.identity, text, text.sha256 or digest.hexdigest(), rows_here)

    def _typed(self, path: str, block: Block, chunk: Chunk) -> Sequence[int]:
        """Notes what the chunk's columns hold; the rows of it that are no objects."""
        begin = chunk.offset - block.offset
        data = block.data[begin : begin + chunk.bytes]
        known = set(self.columns)
        refused: Sequence[int] = ()
        if _suspicious(data) or not _typed_by_polars(data, chunk.rows, self.columns):
            lines = [line for line in data.split(b"\n") if line.strip(_WHITE_SPACE)]
            refused = _typed_by_line(lines, self.columns)
        if len(self.columns) > MAX_COLUMNS:
            raise SourceError(
                "give rows the same keys, and put what differs into one object under a key of its own",
                place=path,
                what=f"its rows have more than {MAX_COLUMNS:,} different keys",
            )
        check_names(path, [name for name in self.columns if name not in known])
        if any(re.search(r'[\x00-\x1f"\\]', name) for name in self.columns if name not in known):
            raise SourceError("rename it", place=path, what="a key has a quote, a backslash or a control character")
        return refused


class _NdjsonFormat:
    """See chunks.Format."""

    name = "NDJSON"

    def __init__(self, schema: pl.Schema, nested: frozenset[str], refused: Sequence[int]) -> None:
        self._schema = schema
        self._nested = nested
        self._refused: npt.NDArray[np.int64] = np.array(refused, np.int64)

    def scanned(self, data: bytes, *, final: bool) -> Records | Malformed:
        records = scan(data, _LINES, final=final)
        if isinstance(records, Malformed) or not records.ends.size:
            return records
        said = _SAYS[np.frombuffer(data, np.uint8)[: records.consumed]]
        return replace(records, blank=~np.logical_or.reduceat(said, records.starts))

    def faults(self, records: Records, position: int) -> Mapping[str, Mask]:
        rows = np.flatnonzero(~records.blank)
        here = np.searchsorted(self._refused, [position, position + len(rows)])
        unreadable = np.zeros(len(records.ends), np.bool_)
        unreadable[rows[self._refused[slice(*here)] - position]] = True
        return {ROW_NUL: records.nul, ROW_UNREADABLE: unreadable}

    def parsed(self, data: bytes, columns: list[str]) -> pl.DataFrame:
        nested = [name for name in columns if name in self._nested] if b"\\" in data else []
        plain = {name: self._schema[name] for name in columns if name not in nested}
        frames = [_read(data, plain)] if plain else []
        if nested:
            frames.append(_json_texts(data, nested))
        return pl.concat(frames, how="horizontal").select(map(cs.by_name, columns))


def _read(data: bytes, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    return pl.read_ndjson(BytesIO(data), schema=schema)


def _json_texts(data: bytes, columns: list[str]) -> pl.DataFrame:
    """Columns of objects and lists as JSON text, where strings in them have escapes.

    polars writes a nested value out without escaping its backslashes, its control characters and the quotes of its keys
    again. So these escapes are hidden from it: they pass as characters that the text does not have.
    """
    used = {int(escaped, 16) if escaped else ord(raw.decode()) for raw, escaped in _MARK.findall(data)}
    backslashes, quote, other = sorted(map(chr, range(0xFDD0, 0xFDF0)), key=lambda mark: ord(mark) in used)[:3]
    hidden = data.replace(rb"\\", backslashes.encode()).replace(rb"\"", quote.encode())
    hidden = _LOST_ESCAPE.sub(other.encode(), hidden)
    texts = _read(hidden, dict.fromkeys(columns, pl.String()))
    return texts.with_columns(pl.all().str.replace_many([backslashes, quote, other], [r"\\", r"\"", "\\"]))


# ---------------------------------------------------------------- types, by polars


def _typed_by_polars(data: bytes, rows: int, columns: Columns) -> bool:
    """Notes what the columns of whole lines hold; False, and nothing noted, when polars cannot read all of them."""
    try:
        inferred = pl.scan_ndjson(BytesIO(data), infer_schema_length=None).collect_schema()
        read_as = {name: pl.String() if dtype.is_nested() else dtype for name, dtype in inferred.items()}
        frame = _read(data, read_as)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return False
    if frame.height != rows:
        return False
    nested = [name for name, dtype in inferred.items() if dtype.is_nested()]
    pure = frame.select(pl.col(nested).str.contains(r"^[\[{]").all()).row(0) if nested else ()
    exact = _exact(data, [name for name, dtype in inferred.items() if dtype.is_float()])
    for name, dtype in inferred.items():
        values = columns[name]
        if dtype.is_nested():
            values.add("nested")
            values.add(None if pure[nested.index(name)] else "text")
        elif dtype.is_integer():
            values.add("integer", max((abs(int(end)) for end in _ends(frame[name])), default=0))
        elif dtype.is_float():
            values.add("float", _EXACT if name in exact else _EXACT + 1)
        elif dtype != pl.Null():
            values.add("boolean" if dtype == pl.Boolean() else "text")
    return True


def _ends(column: pl.Series) -> list[Any]:
    return [end for end in (column.min(), column.max()) if end is not None]


def _exact(data: bytes, floats: list[str]) -> set[str]:
    """Those columns of numbers that lose no digit of a whole one as floats."""
    if not floats or not _LONG_WHOLE_NUMBER.search(data):
        return set(floats)
    texts = _read(data, dict.fromkeys(floats, pl.String()))
    whole = texts.select(pl.when(pl.all().str.contains(r"^-?\d{16,}$")).then(pl.all()))
    lost = whole.select((pl.all().cast(pl.Int128, strict=False).abs() > _EXACT).fill_null(pl.all().is_not_null()).any())
    return {name for name in floats if not lost[name].item()}


def _suspicious(data: bytes) -> bool:
    """Whether polars would read on where it should not: NUL for half a surrogate pair, until the stack ends."""
    if _LONE_SURROGATE.search(data):
        return True
    if data.count(b"{") + data.count(b"[") <= _MAX_DEPTH:
        return False
    octets = np.frombuffer(data, np.uint8)
    line_ends = np.flatnonzero(octets == ord("\n"))
    openers = np.searchsorted(np.flatnonzero((octets == ord("{")) | (octets == ord("["))), line_ends)
    return bool((np.diff(openers, prepend=0, append=data.count(b"{") + data.count(b"[")) > _MAX_DEPTH).any())


# ---------------------------------------------------------------- types and faults, line by line, where polars gave up


def _typed_by_line(lines: list[bytes], columns: Columns) -> Sequence[int]:
    """Notes what the columns of the lines hold, and answers which lines are no objects.

    Half the speed of polars, so only for the few chunks that have such a line or a mixture of types.
    """
    refused = []
    for number, line in enumerate(lines):
        row = _object(line)
        if row is None:
            refused.append(number)
        else:
            for name, value in row.items():
                columns[name].add(*_kind(value))
    return refused


def _object(line: bytes) -> dict[str, Any] | None:
    """The line's object; None when it is none, or one that polars does not read as such."""
    if _depth(line) > _MAX_DEPTH:
        return None
    try:
        row = json.loads(line, parse_constant=_no_json, parse_float=_finite, object_pairs_hook=_first_of_each)
        if not isinstance(row, dict):
            return None
        if _LONE_SURROGATE.search(line):
            json.dumps(row, ensure_ascii=False).encode()
        read = _read(line, dict.fromkeys(row, pl.String()))
    except (ValueError, RecursionError, pl.exceptions.PolarsError):
        return None
    return row if read.height == 1 else None


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


def _first_of_each(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, value in pairs:
        row.setdefault(name, value)
    return row


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


def _check_kind(path: str, chunk: Chunk, data: bytes, refused: int) -> None:
    """Raises SourceError when a file's first chunk, some rows of which are refused, shows that it is no NDJSON."""
    start = data.lstrip()[:1000]
    if start.startswith(b"["):
        what, remedy = (
            "begins a JSON list",
            "write one object a line, without brackets and commas around: `jq -c '.[]'`",
        )
    elif re.match(rb"\{\s*\n|\{[^\n]*[,\[{]\s*\n", start):
        what, remedy = "begins a JSON object of several lines", "write one object a line, as `jq -c .` does"
    elif refused == chunk.rows:
        what, remedy = "is no JSON object, nor are the lines after it", "is this NDJSON? It has one JSON object a line"
    else:
        return
    raise SourceError(
        remedy, place=f"{path}:{chunk.line + data[: len(data) - len(data.lstrip())].count(10)}", what=what
    )
