"""Cuts a text file into chunks of whole records, in one pass, so that it can be read from any row on.

Each file is read twice. The first pass finds every record's end, lets the format check what it can, and keeps a short
list of chunks; nothing is sent before all of it is sound. The second pass hands whole chunks to the format's parser and
compares the rows that come back with the rows that were counted.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field, replace
from itertools import groupby, pairwise
from operator import attrgetter
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from cio_etl.errors import SourceError
from cio_etl.extract.files import Identity, RegularFile, fingerprint
from cio_etl.extract.frames import chosen_columns, numbered
from cio_etl.extract.text.csv_records import Malformed, Mask, Records
from cio_etl.extract.text.plain_text import BombLimits, Text
from cio_etl.model import FAULT, Read, Snapshot, SourceFile
from cio_etl.model.records import dataclass


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """Limits of memory. A record longer than `record_bytes` is refused; a frame has at most `chunk_rows` rows.

    With `first_rows`, a text is read until there are so many rows and `first_bytes`, and no further.
    """

    chunk_rows: int = 25_000
    block_bytes: int = 2 << 20  # stays in the processor's cache through all passes: 8 MB takes 1.6 times as long
    record_bytes: int = 16 << 20
    bomb: BombLimits = field(default_factory=BombLimits)
    first_rows: int | None = None
    first_bytes: int = 16 << 20

    def are_enough(self, rows: int, end: int) -> bool:
        """Whether no more than these rows have to be read, which end at this byte."""
        return self.first_rows is not None and rows >= self.first_rows and end >= self.first_bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole records of one file that become one frame."""

    file: int
    offset: int  # in the text, its file or the copy
    bytes: int
    position: int  # of its first row
    rows: int
    line: int  # 1-based, of its first byte
    sound: bool  # neither blank lines nor rows with a fault


@dataclass(frozen=True, slots=True)
class TextFile:
    """One file of the source after the first pass."""

    path: str
    identity: Identity
    text: Text
    sha256: str
    rows: int
    is_part: bool = False  # more rows follow, which were not read


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a text that begins with a record, and the complete records in it."""

    data: bytes
    offset: int
    line: int
    records: Records

    def line_of(self, offset: int) -> int:
        return self.line + self.data.count(b"\n", 0, offset)

    @property
    def end(self) -> int:
        """Where its last complete record ends."""
        return self.offset + self.records.consumed

    def record(self, index: int) -> bytes:
        ends = self.records.ends
        return self.data[int(ends[index - 1]) if index else 0 : int(ends[index])] if index < len(ends) else b""


class Format(Protocol):
    """What a text format must provide."""

    name: str  # for messages: CSV

    def scanned(self, data: bytes, *, final: bool) -> Records | Malformed:
        """Where the records of a block end; see csv_records.scan."""

    def faults(self, records: Records, position: int) -> Mapping[str, Mask]:
        """For each reason of REASONS, the records that have it; `position` is that of the first that is not blank."""

    def parsed(self, data: bytes, columns: list[str]) -> pl.DataFrame:
        """The wanted columns of sound records, of which there is at least one. Raises PolarsError."""


class _Readable(Protocol):
    def read_at(self, offset: int, size: int) -> bytes: ...


# ---------------------------------------------------------------- first pass


def blocks(
    opened: RegularFile,
    text: Text,
    form: Format,
    limits: ChunkLimits,
    digest: hashlib._Hash | None = None,
    line: int = 1,
) -> Iterator[Block]:
    """The text in blocks of whole records; what is read also goes into the digest. Raises SourceError at a line.

    `line` is the number of the first one.
    """
    readable: _Readable = text.copy or opened
    offset, rest = text.start, b""
    while offset + len(rest) < text.end:
        unread = offset + len(rest)
        piece = readable.read_at(unread, min(limits.block_bytes, text.end - unread))
        if digest is not None:
            digest.update(piece)
        data = rest + piece
        final = offset + len(data) >= text.end
        records = form.scanned(data, final=final)
        if isinstance(records, Malformed):
            raise error_at(opened.path, line, data, records)
        rest = data[records.consumed :]
        if records.unclosed is not None and (final or len(rest) > limits.record_bytes):
            raise error_at(opened.path, line, data, _never_closed(records.unclosed, limits))
        if len(rest) > limits.record_bytes:
            too_long = f"a row longer than {limits.record_bytes >> 20} MB begins here"
            raise error_at(opened.path, line, data, Malformed(records.consumed, too_long, f"is this {form.name}?"))
        if records.consumed:
            yield Block(data, offset, line, records)
            line += data.count(b"\n", 0, records.consumed)
            offset += records.consumed
    if digest is not None and text.copy is None:
        digest.update(opened.read_at(text.end, opened.identity.bytes - text.end))


def _never_closed(offset: int, limits: ChunkLimits) -> Malformed:
    return Malformed(
        offset,
        f"the quote that opens here is not closed within {limits.record_bytes >> 20} MB, or before the end of the file",
        "close it, or write `quote: null` if quotes mean nothing here",
    )


def error_at(path: str, line: int, data: bytes, malformed: Malformed) -> SourceError:
    """The error of a block whose first line is `line`."""
    line += data.count(b"\n", 0, malformed.offset)
    return SourceError(malformed.remedy, place=f"{path}:{line}", what=malformed.what)


def cut(block: Block, first: int, file: int, position: int, unsound: Mask, chunk_rows: int) -> Iterator[Chunk]:
    """Chunks of about the same size from the block's records, `first` on, each of at most `chunk_rows` records."""
    records = block.records
    total = len(records.ends)
    pieces = -(-(total - first) // chunk_rows)
    cuts = np.linspace(first, total, pieces + 1).astype(np.int64).tolist()
    line, line_offset = block.line, 0
    for begin, end in pairwise(cuts):
        start, stop = (int(records.ends[index - 1]) if index else 0 for index in (begin, end))
        line += block.data.count(b"\n", line_offset, start)
        line_offset = start
        rows = end - begin - int(records.blank[begin:end].sum())
        if rows:
            whole = not unsound[begin:end].any()
            yield Chunk(file, block.offset + start, stop - start, position, rows, line, whole)
            position += rows


def add(chunks: list[Chunk], chunk: Chunk, limits: ChunkLimits) -> None:
    """Adds the chunk, to the last one while that is not too large: where rows are long, blocks hold few of them."""
    last = chunks[-1] if chunks else None
    if (
        last is not None
        and last.file == chunk.file
        and last.offset + last.bytes == chunk.offset
        and last.rows + chunk.rows <= limits.chunk_rows
        and last.bytes + chunk.bytes <= limits.record_bytes
    ):
        rows, size = last.rows + chunk.rows, last.bytes + chunk.bytes
        chunks[-1] = replace(last, bytes=size, rows=rows, sound=last.sound and chunk.sound)
    else:
        chunks.append(chunk)


# ---------------------------------------------------------------- second pass


def text_snapshot(rows: TextRows, settings: object, json: frozenset[str] = frozenset()) -> Snapshot:
    """The snapshot of rows that were indexed; `settings` are what decides how the bytes are read."""
    files = rows.files
    return Snapshot(
        fingerprint=fingerprint(settings, (file.sha256 for file in files)),
        files=tuple(SourceFile(file.path, file.identity.bytes, file.sha256, file.rows) for file in files),
        rows=sum(file.rows for file in files),
        schema=rows.schema,
        read=rows.read,
        locate=rows.locate,
        json=json,
        is_part=any(file.is_part for file in files),
    )


class TextRows:
    """The rows of indexed files, by position."""

    def __init__(
        self, files: Sequence[TextFile], chunks: Sequence[Chunk], schema: pl.Schema, forms: Sequence[Format]
    ) -> None:
        self.files = tuple(files)
        self.schema = schema
        self._chunks = tuple(chunks)
        self._forms = tuple(forms)  # of each file
        self._first_positions = [chunk.position for chunk in chunks]

    def read(self, columns: Sequence[str] | None = None, start: int = 0) -> Iterator[pl.DataFrame]:
        """See Snapshot.read."""
        chosen = chosen_columns(self.files[0].path, self.schema, columns)
        return self._frames(chosen, max(start, 0))

    def read_with(self, schema: pl.Schema, form: Format) -> Read:
        """What reads the same rows with other columns."""
        return TextRows(self.files, self._chunks, schema, [form] * len(self.files)).read

    def locate(self, positions: Sequence[int]) -> list[tuple[str, int]]:
        """See Snapshot.locate; the line is the one on which the record begins. Raises IndexError for no such row."""
        wanted: defaultdict[int, set[int]] = defaultdict(set)
        for position in positions:
            wanted[self._chunk_of(position)].add(position)
        places: dict[int, tuple[str, int]] = {}
        for index, there in wanted.items():
            chunk = self._chunks[index]
            file = self.files[chunk.file]
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
            with self._opened(self.files[number]) as readable:
                for chunk in chunks:
                    data = readable.read_at(chunk.offset, chunk.bytes)
                    if isinstance(readable, RegularFile):
                        readable.check_unchanged()
                    frame = self._frame(chunk, data, columns)
                    if start < chunk.position + chunk.rows:
                        yield frame[max(start - chunk.position, 0) :]

    @contextmanager
    def _opened(self, file: TextFile) -> Iterator[_Readable]:
        """Where the file's text is: in the copy, which nobody else can reach, or in the file, if still the same."""
        if file.text.copy is not None:
            yield file.text.copy
            return
        with RegularFile(file.path, file.identity) as opened:
            yield opened
            opened.check_unchanged()

    def _records(self, chunk: Chunk, data: bytes) -> Records:
        records = self._forms[chunk.file].scanned(data, final=True)
        if isinstance(records, Malformed) or len(records.ends) - int(records.blank.sum()) != chunk.rows:
            raise self._lost(chunk)
        return records

    def _frame(self, chunk: Chunk, data: bytes, columns: list[str]) -> pl.DataFrame:
        if chunk.sound:
            return numbered(self._parsed(chunk, data, chunk.rows, columns), chunk.position, chunk.rows)
        records = self._records(chunk, data)
        faults = self._forms[chunk.file].faults(records, chunk.position)
        sound = ~np.any([records.blank, *faults.values()], axis=0)
        octets = np.frombuffer(data, np.uint8)
        sound_bytes = octets[np.repeat(sound, np.diff(records.ends, prepend=0))].tobytes()
        parsed = self._parsed(chunk, sound_bytes, int(sound.sum()), columns)
        rows = ~records.blank
        return _with_faults(parsed, sound[rows], {reason: there[rows] for reason, there in faults.items()}, chunk)

    def _parsed(self, chunk: Chunk, data: bytes, rows: int, columns: list[str]) -> pl.DataFrame:
        """The columns of `rows` sound records. polars' own words would show the data."""
        if not rows or not columns:
            return pl.DataFrame(schema={name: self.schema[name] for name in columns})
        try:
            frame = self._forms[chunk.file].parsed(data, columns)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            raise self._lost(chunk) from None
        if frame.height != rows:
            raise self._lost(chunk)
        return frame

    def _lost(self, chunk: Chunk) -> SourceError:
        return SourceError(
            "please report it, if the file has not been written to since the run began",
            place=f"{self.files[chunk.file].path}:{chunk.line}",
            what=f"the {chunk.rows} rows from this line on did not read as they were counted",
        )


def _with_faults(
    parsed: pl.DataFrame, sound: npt.NDArray[np.bool_], faults: Mapping[str, Mask], chunk: Chunk
) -> pl.DataFrame:
    """The parsed rows at their places among those that have a fault, which are null."""
    taken = pl.Series(np.cumsum(sound) - 1, dtype=pl.Int64)
    reason = pl.coalesce(pl.when(name).then(pl.lit(name)) for name in faults).alias(FAULT)
    verdicts = pl.DataFrame({"sound": sound, "taken": taken, **faults}).select(
        pl.when("sound").then("taken").alias("taken"), reason
    )
    frame = parsed.select(pl.all().gather(verdicts["taken"]))
    return numbered(frame, chunk.position, chunk.rows, verdicts[FAULT])
