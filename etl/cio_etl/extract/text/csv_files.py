"""Reads CSV files as a snapshot of text columns, without losing or inventing a row.

Every field is text: `00123` stays `00123`. A field whose text is one of `null_values` is null, quoted or not; with
`null_values: []`, and wherever "" is not in the list, an empty field is the empty text. Where the source has an
`escape`, a field that is \\N is null, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from cio_etl.errors import SourceError
from cio_etl.extract.files import RegularFile, named_files
from cio_etl.extract.frames import check_names
from cio_etl.extract.text.chunks import (
    Chunk,
    ChunkLimits,
    TextFile,
    TextRows,
    add,
    blocks,
    cut,
    error_at,
    text_snapshot,
)
from cio_etl.extract.text.csv_escapes import PLACEHOLDERS, with_placeholders, without_placeholders
from cio_etl.extract.text.csv_header import check_declared, column_names, common_columns
from cio_etl.extract.text.csv_joined import JoinedFiles
from cio_etl.extract.text.csv_prologue import after_prologue, comment_lines, without_comments
from cio_etl.extract.text.csv_records import Dialect, Malformed, Mask, Records, scan
from cio_etl.extract.text.plain_text import Copy, Text, canonical_encoding, plain_text
from cio_etl.model import ROW_HEADER, ROW_MARKED, ROW_NUL, ROW_RAGGED, CsvSource, Snapshot

__all__ = ["RULES", "ChunkLimits", "open_csv"]

RULES = "csv 2"  # part of the fingerprint: raise it when the same bytes would give other rows

# A polars reader takes a block that begins with a byte-order mark for plain text, whatever follows, and drops the mark.
# Without it, a record may begin like a compressed stream or with a mark of its own.
_PLAIN_TEXT = b"\xef\xbb\xbf"


def open_csv(source: CsvSource, stage: Path, limits: ChunkLimits, wanted: Sequence[str] | None = None) -> Snapshot:
    """The snapshot of all files that the source names, in sorted order. Raises SourceError for any fault.

    Files may differ in the order of their columns, and in columns that are not `wanted`; these are left out.
    """
    dialect = _dialect(source)
    encoding = canonical_encoding("source", source.encoding)
    copy = Copy(stage)
    files: list[TextFile] = []
    chunks: list[Chunk] = []
    names_of: list[tuple[str, tuple[str, ...]]] = []
    for number, path in enumerate(named_files(source.paths)):
        if files and limits.are_enough(sum(file.rows for file in files), sum(file.text.end for file in files)):
            files[-1] = replace(files[-1], is_part=True)
            break
        with RegularFile(path) as opened:
            text = plain_text(opened, encoding, copy, limits.bomb)
            rows_before = sum(file.rows for file in files)
            file, names, new_chunks = _index(opened, number, rows_before, text, source, dialect, limits)
            opened.check_unchanged()
        names_of.append((path, names))
        files.append(file)
        chunks.extend(new_chunks)
    schema = pl.Schema(dict.fromkeys(common_columns(names_of, wanted), pl.String()))
    forms = [_CsvFormat(source, dialect, names) for _, names in names_of]
    return text_snapshot(TextRows(files, chunks, schema, forms), _settings(source, encoding))


def _settings(source: CsvSource, encoding: str) -> list[object]:
    """The settings that decide how the bytes are read, without omitted ones: fingerprints stay stable."""
    settings: list[object] = [RULES, encoding, source.separator, source.quote, sorted(source.null_values)]
    settings += [source.escape, source.columns] if source.escape or source.columns else []
    return settings + ([source.skip_lines, source.comment] if source.skip_lines or source.comment else [])


def _dialect(source: CsvSource) -> Dialect:
    """The separator, quote and escape as bytes. Raises SourceError for settings that do not fit."""
    signs = {"separator": source.separator, "quote": source.quote, "escape": source.escape}
    for name, character in signs.items():
        if character is not None and (len(character) != 1 or not character.isascii() or character in "\r\n\0"):
            raise SourceError(
                "write one ASCII character", place="source", what=f"the job's `{name}:` is not one character"
            )
    if source.quote == source.separator:
        raise SourceError("write two characters", place="source", what="the job's `quote:` is also its `separator:`")
    if source.escape in (source.quote, source.separator) and source.escape is not None:
        raise SourceError(
            "leave `escape:` out: doubled quotes are read without it",
            place="source",
            what="the job's `escape:` is also its `quote:` or `separator:`",
        )
    quote, escape = (None if sign is None else ord(sign) for sign in (source.quote, source.escape))
    return Dialect(ord(source.separator), quote, escape)


def _index(
    opened: RegularFile,
    number: int,
    position: int,
    text: Text,
    source: CsvSource,
    dialect: Dialect,
    limits: ChunkLimits,
) -> tuple[TextFile, tuple[str, ...], list[Chunk]]:
    """The file, its columns and its chunks; its first row has this position."""
    path = opened.path
    text, lines = after_prologue(path, text.copy or opened, text, source)
    digest = hashlib.sha256(opened.read_at(0, text.start) if text.copy is None else b"")
    names: tuple[str, ...] = ()
    chunks: list[Chunk] = []
    rows = 0
    form = _CsvFormat(source, dialect, names)
    for block in blocks(opened, text, form, limits, digest, lines + 1):
        first = 0
        if not names:
            full = np.flatnonzero(~block.records.blank)
            if not full.size:
                continue
            place = f"{path}:{block.line_of(int(block.records.starts[full[0]]))}"
            if source.columns:
                names = check_declared(place, source.columns, int(block.records.fields[full[0]]))
            else:
                first = int(full[0]) + 1
                first_row = block.record(int(full[1])) if full.size > 1 else b""
                names = column_names(place, block.record(int(full[0])), first_row, source)
            check_names(place, names)
            form = _CsvFormat(source, dialect, names)
        traced = form.traced(block.data, block.records)
        if isinstance(traced, Malformed):
            raise error_at(path, block.line, block.data, traced)
        block = replace(block, records=traced)
        unsound = np.any([block.records.blank, *form.faults(block.records, 0).values()], axis=0)
        for chunk in cut(block, first, number, position + rows, unsound, limits.chunk_rows):
            rows += chunk.rows
            add(chunks, chunk, limits)
        if limits.are_enough(rows, block.end) and block.end < text.end:
            return TextFile(path, opened.identity, text, "", rows, is_part=True), names, chunks
    if not names:
        remedy = "export it again" if source.columns else "export it again, with its header line"
        raise SourceError(remedy, place=path, what="the file holds only blank lines")
    return TextFile(path, opened.identity, text, text.sha256 or digest.hexdigest(), rows), names, chunks


class _CsvFormat:
    """See chunks.Format."""

    name = "CSV"

    def __init__(self, source: CsvSource, dialect: Dialect, names: tuple[str, ...]) -> None:
        self.schema = pl.Schema(dict.fromkeys(names, pl.String()))
        self._joined = JoinedFiles(names, source) if names else None
        self._source = source
        self._dialect = dialect

    def scanned(self, data: bytes, *, final: bool) -> Records | Malformed:
        if self._dialect.escape is not None and (noncharacter := PLACEHOLDERS.search(data)):
            remedy = "export the file again; no text has this character"
            return Malformed(noncharacter.start(), "holds one of the noncharacters U+FDD0 to U+FDEF", remedy)
        comments: list[int] = []
        scannable = data
        if self._source.comment is not None and self._source.comment.encode() in data:
            scannable, comments = comment_lines(data, self._source.comment, self._source.quote, final=final)
        records = scan(scannable, self._dialect, final=final)
        if isinstance(records, Malformed):
            return records
        if comments:
            records = without_comments(records, comments)
        return self.traced(data, records)

    def traced(self, data: bytes, records: Records) -> Records | Malformed:
        """The records, with the traces of files that were put together."""
        return records if self._joined is None else self._joined.with_traces(data, records)

    def faults(self, records: Records, position: int) -> Mapping[str, Mask]:
        none = np.zeros(len(records.ends), np.bool_)
        return {
            ROW_NUL: records.nul,
            ROW_HEADER: none if records.header is None else records.header,
            ROW_MARKED: none if records.with_bom is None else records.with_bom,
            ROW_RAGGED: ~records.blank & (records.fields != len(self.schema)),
        }

    def parsed(self, data: bytes, columns: list[str]) -> pl.DataFrame:
        names = list(self.schema)
        source, escape = self._source, self._source.escape
        # polars compares a field with its doubled quotes.
        nulls = [text for text in source.null_values if source.quote is None or source.quote not in text]
        with_quotes = [text for text in source.null_values if text not in nulls]
        frame = pl.read_csv(
            _PLAIN_TEXT + (data if escape is None else with_placeholders(data, source)),
            has_header=False,
            schema=self.schema,
            columns=[names.index(name) for name in columns],
            separator=source.separator,
            quote_char=source.quote,
            null_values=nulls,
            empty_string_is_null="" in nulls,
        )
        # It gives several chunks, which each select of some columns beside others would copy into one.
        frame = frame.rechunk()
        frame = frame.with_columns(pl.all().replace(with_quotes, None)) if with_quotes else frame
        return frame if escape is None else without_placeholders(frame, source)
