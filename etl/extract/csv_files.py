"""How do CSV files become a snapshot of text columns, without losing or inventing a row?

Each file is read twice. The first pass finds every record's end, checks what can be checked, and keeps a short list of
chunks; nothing is sent before all of it is sound. The second pass hands whole chunks to polars, and compares the rows
that come back with the rows that were counted.

Every field is text: `00123` stays `00123`. A field whose text is one of `null_values` is null, quoted or not; with
`null_values: []`, and wherever "" is not in the list, an empty field is the empty text.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from operator import attrgetter
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from etl.errors import SourceError
from etl.extract.csv_header import check_same, column_names
from etl.extract.csv_records import Dialect, Malformed, Records, scan
from etl.extract.files import Identity, RegularFile, fingerprint, named_files
from etl.extract.frames import check_names, chosen_columns, numbered
from etl.extract.plain_text import BombLimits, Copy, Text, canonical_encoding, plain_text
from etl.model import FAULT, CsvSource, Snapshot, SourceFile

RULES = "csv 1"  # part of the fingerprint: raise it when the same bytes would give other rows

# A polars reader takes a block that begins with a byte-order mark for plain text, whatever follows, and drops the mark.
# Without it, a record may begin like a compressed stream or with a mark of its own.
_PLAIN_TEXT = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds memory. A record longer than `record_bytes` is refused; a frame has at most `chunk_rows` rows."""

    chunk_rows: int = 25_000
    block_bytes: int = 2 << 20  # stays in the processor's cache through all passes: 8 MB takes 1.6 times as long
    record_bytes: int = 16 << 20
    bomb: BombLimits = field(default_factory=BombLimits)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Whole records of one file that become one frame."""

    file: int
    offset: int  # in the text, its file or the copy
    bytes: int
    position: int  # of its first row
    rows: int
    line: int  # 1-based, of its first byte
    sound: bool  # neither blank lines nor rows with a fault


@dataclass(frozen=True, slots=True)
class _CsvFile:
    """One file of the source after the first pass."""

    path: str
    identity: Identity
    text: Text
    names: tuple[str, ...]
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class _Block:
    """A piece of a text that begins with a record, and the complete records in it."""

    data: bytes
    offset: int
    line: int
    records: Records

    def line_of(self, offset: int) -> int:
        return self.line + self.data.count(b"\n", 0, offset)

    def record(self, index: int) -> bytes:
        ends = self.records.ends
        return self.data[int(ends[index - 1]) if index else 0 : int(ends[index])] if index < len(ends) else b""


class _Readable(Protocol):
    def read_at(self, offset: int, size: int) -> bytes: ...


def open_csv(source: CsvSource, stage: Path, limits: Limits) -> Snapshot:
    """The snapshot of all files that the source names, in sorted order. Raises SourceError for all that is wrong."""
    dialect = _dialect(source)
    encoding = canonical_encoding("source", source.encoding)
    copy = Copy(stage)
    files: list[_CsvFile] = []
    chunks: list[_Chunk] = []
    for number, path in enumerate(named_files(source.paths)):
        rows_before = sum(file.rows for file in files)
        with RegularFile(path) as opened:
            text = plain_text(opened, encoding, copy, limits.bomb)
            file, new_chunks = _index(opened, number, rows_before, text, source, dialect, limits)
            opened.check_unchanged()
        check_same(path, file.names, files[0].path if files else path, files[0].names if files else file.names)
        files.append(file)
        chunks.extend(new_chunks)
    rows = _CsvRows(tuple(files), tuple(chunks), source, dialect)
    settings = [RULES, encoding, source.separator, source.quote, sorted(source.null_values)]
    return Snapshot(
        fingerprint=fingerprint(settings, (file.sha256 for file in files)),
        files=tuple(SourceFile(file.path, file.identity.bytes, file.sha256, file.rows) for file in files),
        rows=sum(file.rows for file in files),
        schema=rows.schema,
        read=rows.read,
        locate=rows.locate,
    )


def _dialect(source: CsvSource) -> Dialect:
    """The separator and the quote as bytes. Raises SourceError for what a CSV file cannot be read with."""
    for name, character in (("separator", source.separator), ("quote", source.quote)):
        if character is not None and (len(character) != 1 or not character.isascii() or character in "\r\n\0"):
            raise SourceError(
                "write one ASCII character", place="source", what=f"the job's `{name}:` is not one character"
            )
    if source.quote == source.separator:
        raise SourceError("write two characters", place="source", what="the job's `quote:` is also its `separator:`")
    return Dialect(ord(source.separator), None if source.quote is None else ord(source.quote))


# ---------------------------------------------------------------- first pass


def _index(
    opened: RegularFile, number: int, position: int, text: Text, source: CsvSource, dialect: Dialect, limits: Limits
) -> tuple[_CsvFile, list[_Chunk]]:
    """The file's columns and chunks; its first row has this position."""
    path = opened.path
    digest = hashlib.sha256(opened.read_at(0, text.start) if text.copy is None else b"")
    names: tuple[str, ...] = ()
    chunks: list[_Chunk] = []
    rows = 0
    for block in _blocks(opened, text, dialect, limits, digest):
        first = 0
        if not names:
            full = np.flatnonzero(~block.records.blank)
            if not full.size:
                continue
            first = int(full[0]) + 1
            place = f"{path}:{block.line_of(int(block.records.starts[full[0]]))}"
            first_row = block.record(int(full[1])) if full.size > 1 else b""
            names = column_names(place, block.record(int(full[0])), first_row, source)
            check_names(place, names)
        for chunk in _cut(block, first, number, position + rows, len(names), limits.chunk_rows):
            rows += chunk.rows
            if chunks and (both := _one_chunk(chunks[-1], chunk, limits)) is not None:
                chunks[-1] = both
            else:
                chunks.append(chunk)
    if not names:
        raise SourceError("export it again, with its header line", place=path, what="the file holds only blank lines")
    return _CsvFile(path, opened.identity, text, names, text.sha256 or digest.hexdigest(), rows), chunks


def _blocks(
    opened: RegularFile, text: Text, dialect: Dialect, limits: Limits, digest: hashlib._Hash
) -> Iterator[_Block]:
    """The text in blocks of whole records; what is read also goes into the digest."""
    readable: _Readable = text.copy or opened
    offset, line, rest = text.start, 1, b""
    while offset + len(rest) < text.end:
        unread = offset + len(rest)
        piece = readable.read_at(unread, min(limits.block_bytes, text.end - unread))
        digest.update(piece)
        data = rest + piece
        final = offset + len(data) >= text.end
        records = scan(data, dialect, final=final)
        if isinstance(records, Malformed):
            raise _at(opened.path, line, data, records)
        rest = data[records.consumed :]
        if records.unclosed is not None and (final or len(rest) > limits.record_bytes):
            raise _at(opened.path, line, data, _never_closed(records.unclosed, limits))
        if len(rest) > limits.record_bytes:
            too_long = f"a row longer than {limits.record_bytes >> 20} MB begins here"
            raise _at(opened.path, line, data, Malformed(records.consumed, too_long, "is this a CSV file?"))
        if records.consumed:
            yield _Block(data, offset, line, records)
            line += data.count(b"\n", 0, records.consumed)
            offset += records.consumed


def _never_closed(offset: int, limits: Limits) -> Malformed:
    return Malformed(
        offset,
        f"the quote that opens here is not closed within {limits.record_bytes >> 20} MB, or before the end of the file",
        "close it, or write `quote: null` if quotes mean nothing here",
    )


def _at(path: str, line: int, data: bytes, malformed: Malformed) -> SourceError:
    line += data.count(b"\n", 0, malformed.offset)
    return SourceError(malformed.remedy, place=f"{path}:{line}", what=malformed.what)


def _cut(block: _Block, first: int, file: int, position: int, width: int, chunk_rows: int) -> Iterator[_Chunk]:
    """Chunks of about the same size from the block's records, `first` on, each of at most `chunk_rows` records."""
    records = block.records
    total = len(records.ends)
    pieces = -(-(total - first) // chunk_rows)
    cuts = np.linspace(first, total, pieces + 1).astype(np.int64).tolist()
    sound = ~_unsound(records, width)
    line, line_offset = block.line, 0
    for begin, end in pairwise(cuts):
        start, stop = (int(records.ends[index - 1]) if index else 0 for index in (begin, end))
        line += block.data.count(b"\n", line_offset, start)
        line_offset = start
        rows = end - begin - int(records.blank[begin:end].sum())
        if rows:
            whole = bool(sound[begin:end].all())
            yield _Chunk(file, block.offset + start, stop - start, position, rows, line, whole)
            position += rows


def _one_chunk(first: _Chunk, second: _Chunk, limits: Limits) -> _Chunk | None:
    """Two chunks side by side as one, while that is not too large: rows are long, and blocks hold few of them."""
    rows, size = first.rows + second.rows, first.bytes + second.bytes
    if rows > limits.chunk_rows or size > limits.record_bytes or first.offset + first.bytes != second.offset:
        return None
    return replace(first, bytes=size, rows=rows, sound=first.sound and second.sound)


def _unsound(records: Records, width: int) -> npt.NDArray[np.bool_]:
    unsound: npt.NDArray[np.bool_] = records.blank | records.nul | (records.fields != width)
    return unsound


# ---------------------------------------------------------------- second pass


class _CsvRows:
    """The rows of indexed files, by position."""

    def __init__(
        self, files: tuple[_CsvFile, ...], chunks: tuple[_Chunk, ...], source: CsvSource, dialect: Dialect
    ) -> None:
        self._files = files
        self._chunks = chunks
        self._source = source
        self._dialect = dialect
        self._first_positions = [chunk.position for chunk in chunks]
        self.schema = pl.Schema(dict.fromkeys(files[0].names, pl.String()))

    def read(self, columns: Sequence[str] | None = None, start: int = 0) -> Iterator[pl.DataFrame]:
        """See Snapshot.read."""
        chosen = chosen_columns(self._files[0].path, self.schema, columns)
        return self._frames(chosen, max(start, 0))

    def locate(self, positions: Sequence[int]) -> list[tuple[str, int]]:
        """See Snapshot.locate; the line is the one on which the record begins. Raises IndexError for no such row."""
        wanted: defaultdict[int, set[int]] = defaultdict(set)
        for position in positions:
            wanted[self._chunk_of(position)].add(position)
        places: dict[int, tuple[str, int]] = {}
        for index, there in wanted.items():
            chunk = self._chunks[index]
            file = self._files[chunk.file]
            with self._opened(file) as readable:
                data = readable.read_at(chunk.offset, chunk.bytes)
            records = self._records(chunk, data)
            line_ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
            lines = chunk.line + np.searchsorted(line_ends, records.starts[~records.blank])
            places |= {position: (file.path, int(lines[position - chunk.position])) for position in there}
        return [places[position] for position in positions]

    def _chunk_of(self, position: int) -> int:
        index = bisect_right(self._first_positions, position) - 1
        if index < 0 or position >= self._chunks[index].position + self._chunks[index].rows:
            raise IndexError(f"no row has position {position}")
        return index

    def _frames(self, columns: list[str], start: int) -> Iterator[pl.DataFrame]:
        first = max(bisect_right(self._first_positions, start) - 1, 0)
        for number, chunks in groupby(self._chunks[first:], attrgetter("file")):
            with self._opened(self._files[number]) as readable:
                for chunk in chunks:
                    data = readable.read_at(chunk.offset, chunk.bytes)
                    if isinstance(readable, RegularFile):
                        readable.check_unchanged()
                    frame = self._frame(chunk, data, columns)
                    if start < chunk.position + chunk.rows:
                        yield frame[max(start - chunk.position, 0) :]

    @contextmanager
    def _opened(self, file: _CsvFile) -> Iterator[_Readable]:
        """Where the file's text is: in the copy, which nobody else can reach, or in the file, if still the same."""
        if file.text.copy is not None:
            yield file.text.copy
            return
        with RegularFile(file.path, file.identity) as opened:
            yield opened
            opened.check_unchanged()

    def _records(self, chunk: _Chunk, data: bytes) -> Records:
        records = scan(data, self._dialect, final=True)
        if isinstance(records, Malformed) or len(records.ends) - int(records.blank.sum()) != chunk.rows:
            raise self._lost(chunk)
        return records

    def _frame(self, chunk: _Chunk, data: bytes, columns: list[str]) -> pl.DataFrame:
        if chunk.sound:
            return numbered(self._parsed(chunk, data, chunk.rows, columns), chunk.position, chunk.rows)
        records = self._records(chunk, data)
        sound = ~_unsound(records, len(self.schema))
        octets = np.frombuffer(data, np.uint8)
        kept = octets[np.repeat(sound, np.diff(records.ends, prepend=0))].tobytes()
        parsed = self._parsed(chunk, kept, int(sound.sum()), columns)
        return _with_faults(parsed, records, sound, chunk)

    def _parsed(self, chunk: _Chunk, data: bytes, rows: int, columns: list[str]) -> pl.DataFrame:
        """The columns of `rows` sound records. polars' own words would show the data."""
        names = list(self.schema)
        if not rows or not columns:
            return pl.DataFrame(schema=dict.fromkeys(columns, pl.String()))
        try:
            frame = pl.read_csv(
                _PLAIN_TEXT + data,
                has_header=False,
                schema=self.schema,
                columns=[names.index(name) for name in columns],
                separator=self._source.separator,
                quote_char=self._source.quote,
            )
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            raise self._lost(chunk) from None
        if frame.height != rows:
            raise self._lost(chunk)
        nulls = [text for text in self._source.null_values if text]
        if "" in self._source.null_values:
            return frame.with_columns(pl.all().replace(["", *nulls], None))
        return frame.with_columns(pl.all().fill_null("").replace(nulls, None))

    def _lost(self, chunk: _Chunk) -> SourceError:
        return SourceError(
            "please report it, if the file has not been written to since the run began",
            place=f"{self._files[chunk.file].path}:{chunk.line}",
            what=f"the {chunk.rows} rows from this line on did not read as they were counted",
        )


def _with_faults(parsed: pl.DataFrame, records: Records, sound: npt.NDArray[np.bool_], chunk: _Chunk) -> pl.DataFrame:
    """The parsed rows at their places among those that have a fault, which are null."""
    rows = ~records.blank
    sound, nul = sound[rows], records.nul[rows]
    taken = pl.Series(np.cumsum(sound) - 1, dtype=pl.Int64)
    verdicts = pl.DataFrame({"sound": sound, "nul": nul, "taken": taken}).select(
        pl.when("sound").then("taken").alias("taken"),
        pl.when("nul").then(pl.lit("row_nul")).when(~pl.col("sound")).then(pl.lit("row_ragged")).alias(FAULT),
    )
    frame = parsed.select(pl.all().gather(verdicts["taken"]))
    return numbered(frame, chunk.position, chunk.rows, verdicts[FAULT])
