"""Reads files with one JSON object per line as a snapshot, whose columns have one type each.

A column has the type that holds all of its values exactly, over all rows of all files:

    true and false                  Boolean
    whole numbers of 64 bits        Int64
    numbers                         Float64, if every whole one is exact in it (up to 2^53)
    text                            String
    anything else, or a mixture     their JSON text, each value of its own type; the snapshot says that it is JSON
    null, or absent                 null

A file that is one JSON list has its entries as rows (json_list.py). A line that is not one JSON object is a row with a
fault. Of a key that an object has twice, the last counts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import polars.selectors as cs

from cio_etl.errors import SourceError
from cio_etl.extract.files import RegularFile, named_files
from cio_etl.extract.frames import check_names
from cio_etl.extract.text.chunks import Chunk, ChunkLimits, TextFile, TextRows, add, blocks, cut, text_snapshot
from cio_etl.extract.text.csv_records import Dialect, Malformed, Mask, Records, scan
from cio_etl.extract.text.json_list import with_lines
from cio_etl.extract.text.ndjson_types import ColumnTypes
from cio_etl.extract.text.plain_text import Copy, Text, canonical_encoding, plain_text
from cio_etl.model import ROW_NUL, ROW_UNREADABLE, KeyReader, NdjsonSource, Read, Snapshot
from cio_etl.transform.json_strings import without_repeated_keys
from cio_etl.transform.json_texts import json_texts, read_lines, values_at

RULES = "ndjson 4"  # part of the fingerprint: raise it when the same bytes would give other rows

MAX_COLUMNS = 1_000
_TYPED_ROWS = 4_000  # typed at once: polars' time for objects with ever new keys is the square of it
_LINES = Dialect(0xFF, None)  # a byte that no text has: each record is one field
_NOT_WHITE = np.array([octet not in b" \t\r\n" for octet in range(256)])
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def open_ndjson(source: NdjsonSource, stage: Path, limits: ChunkLimits) -> Snapshot:
    """The snapshot of all files that the source names, in sorted order. Raises SourceError for any fault."""
    encoding = canonical_encoding("source", source.encoding)
    copy = Copy(stage)
    files: list[TextFile] = []
    first_pass = _FirstPass(limits)
    for path in named_files(source.paths):
        if files and limits.are_enough(sum(file.rows for file in files), sum(file.text.end for file in files)):
            files[-1] = replace(files[-1], is_part=True)
            break
        with RegularFile(path) as opened:
            if opened.identity.bytes:
                text = with_lines(opened, plain_text(opened, encoding, copy, limits.bomb, "NDJSON"), copy)
            else:
                text = Text(0, 0, None)  # writers of many parts leave some empty
            files.append(first_pass.index(opened, text))
            opened.check_unchanged()
    types = first_pass.types
    if not types.columns:
        raise SourceError("export it again", place=files[0].path, what="has no row that has a key")
    schema = pl.Schema({name: values.dtype for name, values in types.columns.items()})
    nested = frozenset(name for name, values in types.columns.items() if values.is_nested)
    json = frozenset(name for name, values in types.columns.items() if values.is_json)
    form = _NdjsonFormat(schema, nested, json - nested, first_pass.refused, types.repeats_keys)
    rows = TextRows(files, first_pass.chunks, schema, [form] * len(files))
    snapshot = text_snapshot(rows, [RULES, encoding], json)

    def read_with(keys: Mapping[str, tuple[str, ...]]) -> Read:
        texts = dict.fromkeys(keys, pl.String())
        return rows.read_with(pl.Schema({**schema, **texts}), form.with_keys(keys))

    return replace(snapshot, unique_keys=True, keys=KeyReader(snapshot.read, read_with, nested))


class _FirstPass:
    """The facts that the first pass over all files collects."""

    def __init__(self, limits: ChunkLimits) -> None:
        self.types = ColumnTypes()
        self.chunks: list[Chunk] = []
        self.refused: list[int] = []  # positions, rising
        self._limits = limits
        self._files = 0
        self._rows = 0

    def index(self, opened: RegularFile, text: Text) -> TextFile:
        digest = hashlib.sha256(opened.read_at(0, text.start) if text.copy is None else b"")
        rows_before, is_part = self._rows, False
        form = _NdjsonFormat(pl.Schema())
        for block in blocks(opened, text, form, self._limits, digest):
            unsound = block.records.blank | block.records.nul
            rows = min(self._limits.chunk_rows, _TYPED_ROWS)
            for chunk in cut(block, 0, self._files, self._rows, unsound, rows):
                begin = chunk.offset - block.offset
                refused = self._typed(opened.path, block.data[begin : begin + chunk.bytes], chunk.rows)
                if self._rows == rows_before and refused:
                    _check_kind(opened.path, chunk, block.data[begin:], len(refused))
                self.refused += (position + self._rows for position in refused)
                self._rows += chunk.rows
                add(self.chunks, replace(chunk, sound=chunk.sound and not refused), self._limits)
            if is_part := self._limits.are_enough(self._rows, block.end) and block.end < text.end:
                break
        self._files += 1
        rows_here = self._rows - rows_before
        sha256 = "" if is_part else text.sha256 or digest.hexdigest()
        return TextFile(opened.path, opened.identity, text, sha256, rows_here, is_part)

    def _typed(self, path: str, lines: bytes, rows: int) -> Sequence[int]:
        """Notes what the columns of a chunk hold, and answers which of its rows are no objects."""
        columns = self.types.columns
        known = set(columns)
        refused = self.types.add(lines, rows)
        if len(columns) > MAX_COLUMNS:
            raise SourceError(
                "give rows the same keys, and put what differs into one object under a key of its own",
                place=path,
                what=f"its rows have more than {MAX_COLUMNS:,} different keys",
            )
        new = [name for name in columns if name not in known]
        check_names(path, new)
        if any(re.search(r'[\x00-\x1f"\\]', name) for name in new):
            raise SourceError("rename it", place=path, what="a key has a quote, a backslash or a control character")
        return refused


class _NdjsonFormat:
    """See chunks.Format."""

    name = "NDJSON"

    def __init__(
        self,
        schema: pl.Schema,
        nested: frozenset[str] = frozenset(),
        mixed: frozenset[str] = frozenset(),
        refused: Sequence[int] = (),
        repeats_keys: bool = False,
        keys: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._schema = schema
        self._nested = nested  # columns of objects and lists
        self._mixed = mixed  # columns of several kinds
        self._refused: npt.NDArray[np.int64] = np.array(refused, np.int64)
        self._repeats_keys = repeats_keys
        self._keys = keys or {}  # of values inside columns of objects

    def with_keys(self, keys: Mapping[str, tuple[str, ...]]) -> _NdjsonFormat:
        """The format that also reads the values at these keys, by their names."""
        refused = self._refused.tolist()
        return _NdjsonFormat(self._schema, self._nested, self._mixed, refused, self._repeats_keys, keys)

    def scanned(self, data: bytes, *, final: bool) -> Records | Malformed:
        records = scan(data, _LINES, final=final)
        if isinstance(records, Malformed) or not records.ends.size:
            return records
        not_white = _NOT_WHITE[np.frombuffer(data, np.uint8)[: records.consumed]]
        records = replace(records, blank=~np.logical_or.reduceat(not_white, records.starts))
        if b"\\u0000" in data and (nul_ends := [each.end() for each in _NUL.finditer(data, 0, records.consumed)]):
            nul = records.nul.copy()
            nul[np.searchsorted(records.ends, nul_ends)] = True
            return replace(records, nul=nul)
        return records

    def faults(self, records: Records, position: int) -> Mapping[str, Mask]:
        rows = np.flatnonzero(~records.blank)
        here = np.searchsorted(self._refused, [position, position + len(rows)])
        unreadable = np.zeros(len(records.ends), np.bool_)
        unreadable[rows[self._refused[slice(*here)] - position]] = True
        return {ROW_NUL: records.nul, ROW_UNREADABLE: unreadable}

    def parsed(self, data: bytes, columns: list[str]) -> pl.DataFrame:
        if self._repeats_keys:
            data = without_repeated_keys(data)
        mixed = any(name in self._mixed for name in columns)
        as_json = self._mixed | (self._nested if mixed or b"\\" in data else frozenset())
        json = [name for name in columns if name in as_json]
        inside = {name: self._keys[name] for name in columns if name in self._keys}
        plain = {name: self._schema[name] for name in columns if name not in as_json and name not in inside}
        frames = [read_lines(data, plain)] if plain else []
        if json:
            frames.append(json_texts(data, json, mixed))
        if inside:
            values = values_at(data, list(inside.values()))
            frames.append(pl.DataFrame([value.alias(name) for name, value in zip(inside, values, strict=True)]))
        return pl.concat(frames, how="horizontal").select(map(cs.by_name, columns))


def _check_kind(path: str, chunk: Chunk, data: bytes, refused: int) -> None:
    """Raises SourceError when a file's first chunk, some rows of which are refused, shows that it is no NDJSON."""
    start = data.lstrip()[:1000]
    if re.match(rb"\{\s*\n|\{[^\n]*[,\[{]\s*\n", start):
        what, remedy = "begins a JSON object of several lines", "write one object a line, as `jq -c .` does"
    elif refused == chunk.rows:
        what = "is no JSON object, nor are the lines after it"
        remedy = "write `csv:` before its path, if it is CSV; NDJSON has one JSON object a line"
    else:
        return
    raise SourceError(
        remedy, place=f"{path}:{chunk.line + data[: len(data) - len(data.lstrip())].count(10)}", what=what
    )
