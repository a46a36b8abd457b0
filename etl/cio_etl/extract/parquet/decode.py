"""Decodes the rows of one Parquet file, each column by the library that reads it.

polars decodes a row group several times quicker than anything else, but a slice of one is read from the group's
beginning. So it reads the groups that fit into memory, those of many rows in a few slices; pyarrow streams the pages of
larger ones through a small buffer, and reads the columns that polars cannot. Measured, 2 M rows × 14 columns in groups
of 262,144 rows, CPU seconds: polars by groups 0.24 s, by 2, 3 or 4 slices of each 0.30, 0.37 or 0.46; pyarrow, its text
validated, 0.91 s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from itertools import chain
from typing import Any

import polars as pl
import polars.selectors as cs
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cio_etl.errors import SourceError, is_limit
from cio_etl.extract.decoding import decoding
from cio_etl.extract.files import Identity, RegularFile
from cio_etl.extract.parquet.delta import shared_bytes
from cio_etl.extract.parquet.footer import Column, Footer, damaged, scan
from cio_etl.extract.parquet.pages import Page, pages
from cio_etl.model.records import dataclass

_WHOLE_GROUP_ROWS = 150_000  # that polars decodes at once ...
_SLICES = 4  # ... and in so many slices at most
_WHOLE_GROUP_BYTES = 64 << 20
_PAGE_BUFFER_BYTES = 1 << 20
_MAX_PAGE_BYTES = 256 << 20  # unpacked, of a page: a few kilobytes may unfold to gigabytes
_DELTA_BYTE_ARRAY = 7
_MAX_PAGE_VALUES = 1 << 26  # of a page of lists, all of which may belong to one row, or of texts that share bytes
_NESTED_VALUE_BYTES = 8
_NESTED_ROWS = 1_000  # whose texts are added up together
_BATCH_TEXT_BYTES = 256 << 20  # that pyarrow may make of the dictionaries of a batch


@dataclass(frozen=True, slots=True)
class Weight:
    """What a column of a row group becomes in memory."""

    bytes: int  # unpacked
    dictionary: int  # bytes of its largest dictionary, any of whose values each row may have


@dataclass(frozen=True, slots=True)
class ParquetFile:
    """One file of the source."""

    path: str
    identity: Identity
    sha256: str
    footer: Footer
    chunk_rows: int
    frame_bytes: int
    is_copy: bool  # this program wrote it
    weights: dict[str, tuple[Weight, ...]] = field(default_factory=dict)  # of each row group, by column
    broken: dict[str, SourceError] = field(default_factory=dict)  # columns whose pages are wrong, where all are wanted

    @property
    def rows(self) -> int:
        return sum(self.footer.group_rows)

    @property
    def is_part(self) -> bool:
        """Whether the file has more rows, which are not read."""
        return self.footer.is_part

    def inspect(self, opened: RegularFile, names: Sequence[str]) -> None:
        """Compares the checksums of the columns' pages, and finds how large they become. Raises SourceError."""
        for name in names:
            if name not in self.weights:
                column, groups = self.footer.columns[name], range(len(self.footer.group_rows))
                self.weights[name] = tuple(self._weight(opened, column, group) for group in groups)

    def _weight(self, opened: RegularFile, column: Column, group: int) -> Weight:
        unpacked = dictionary = 0
        for leaf in column.leaves:
            chunk = self.footer.metadata.row_group(group).column(leaf)
            size = 0
            for page in () if self.is_copy else pages(opened, _first_byte(chunk), chunk.num_values):
                place = f"column {column.name!r} has in row group {group + 1} a page"
                if not page.sound:
                    raise damaged(self.path, f"{place} that does not agree with its checksum")
                is_delta = page.encoding == _DELTA_BYTE_ARRAY and not page.is_dictionary
                if (column.is_nested or is_delta) and page.values > _MAX_PAGE_VALUES:
                    what = f"{place} of {page.values:,} values, more than {_MAX_PAGE_VALUES:,}"
                    raise SourceError("write it with smaller pages", place=self.path, what=what)
                unfolded = page.unpacked
                if is_delta and unfolded <= _MAX_PAGE_BYTES:
                    unfolded += self._shared_bytes(opened, column, leaf, page, chunk.compression)
                if unfolded > _MAX_PAGE_BYTES:
                    what = f"{place} of {unfolded >> 20:,} MB, more than {_MAX_PAGE_BYTES >> 20}"
                    raise SourceError("write it with smaller pages", place=self.path, what=what)
                size += unfolded
                if page.is_dictionary:
                    dictionary = max(dictionary, page.unpacked)
            in_memory = chunk.num_values * _NESTED_VALUE_BYTES if column.is_nested else 0
            if column.is_nested and dictionary * chunk.num_values > _MAX_PAGE_BYTES:
                in_memory += self._nested_text_bytes(column, leaf, group)
            unpacked += max(size, chunk.total_uncompressed_size, in_memory)
        return Weight(unpacked, dictionary)

    def _nested_text_bytes(self, column: Column, leaf: int, group: int) -> int:
        """The bytes of all texts that lists take from a dictionary. Raises SourceError when one row has too many."""
        with decoding(lambda: damaged(self.path, f"column {column.name!r} is damaged in row group {group + 1}")):
            total = most = 0
            for rows in (_NESTED_ROWS, 1):
                sizes = list(_dictionary_text_bytes(self.path, self.footer, leaf, group, rows))
                total, most = sum(sizes), max(sizes, default=0)
                if most <= _MAX_PAGE_BYTES:
                    return total
        what = f"a row of column {column.name!r} unfolds to {most >> 20:,} MB, more than {_MAX_PAGE_BYTES >> 20}"
        raise SourceError("write shorter lists or texts", place=self.path, what=what)

    def _shared_bytes(self, opened: RegularFile, column: Column, leaf: int, page: Page, compression: str) -> int:
        levels = self.footer.metadata.schema.column(leaf)
        kinds = bool(levels.max_repetition_level) + bool(levels.max_definition_level)
        with decoding(lambda: damaged(self.path, f"column {column.name!r} is damaged")):
            return shared_bytes(opened, page, compression, kinds)

    def frame_rows(self, columns: Sequence[Column]) -> int:
        """How many rows of these columns make a frame."""
        total = sum(weight.bytes for column in columns for weight in self.weights[column.name])
        return max(1, min(self.chunk_rows, self.frame_bytes * self.rows // max(total, 1)))

    def fits(self, columns: Sequence[Column]) -> bool:
        """Whether each row group of these columns fits into memory as a whole."""
        sizes = zip(*(self.weights[column.name] for column in columns), strict=True)
        largest = max((sum(weight.bytes for weight in group) for group in sizes), default=0)
        most_rows = max(self.footer.group_rows, default=0)
        return most_rows <= _WHOLE_GROUP_ROWS * _SLICES and largest <= _WHOLE_GROUP_BYTES


def _first_byte(chunk: pq.ColumnChunkMetaData) -> int:
    """Where the pages begin. Some writers give 0 as the place of a dictionary that is not there."""
    first: int = chunk.data_page_offset
    dictionary = chunk.dictionary_page_offset or 0
    return dictionary if 0 < dictionary < first else first


@dataclass(frozen=True, slots=True)
class _Span:
    """As many whole row groups as make a frame, and their rows."""

    groups: range
    begin: int
    end: int


def decoded(file: ParquetFile, columns: Sequence[Column], row: int) -> Iterator[pl.DataFrame]:
    """The rows of these columns, `row` and those after it, in frames. Raises SourceError."""
    frame_rows, spans = file.frame_rows(columns), []
    for span in _spans(file, frame_rows):
        if span.end > row:
            spans.append(span)
    whole = [column for column in columns if column.by_polars] if file.fits(columns) else []
    others = [column for column in columns if column not in whole]
    parts = []
    if whole:
        parts.append(_by_polars(file, whole, spans, frame_rows))
    if others:
        parts.append(frame for span in spans for frame in _by_pyarrow(file, others, span, frame_rows))
    unwanted = row - spans[0].begin if spans else 0
    names = [column.name for column in columns]
    yield from _after(unwanted, parts[0] if len(parts) == 1 else _side_by_side(file, parts, names))


def _after(unwanted: int, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The frames without their first rows."""
    for frame in frames:
        skipped = min(unwanted, frame.height)
        unwanted -= skipped
        if skipped < frame.height:
            yield frame[skipped:] if skipped else frame


def _spans(file: ParquetFile, frame_rows: int) -> Iterator[_Span]:
    first = begin = end = 0
    for group, rows in enumerate(file.footer.group_rows):
        end += rows
        if end - begin >= frame_rows:
            yield _Span(range(first, group + 1), begin, end)
            first, begin = group + 1, end
    if end > begin:
        yield _Span(range(first, len(file.footer.group_rows)), begin, end)


def _side_by_side(
    file: ParquetFile, parts: Sequence[Iterator[pl.DataFrame]], names: Sequence[str]
) -> Iterator[pl.DataFrame]:
    """The frames of several readers of the same rows as frames of all their columns."""
    waiting = [pl.DataFrame()] * len(parts)
    while True:
        waiting = [frame if frame.height else next(part, frame) for frame, part in zip(waiting, parts, strict=True)]
        rows = min(frame.height for frame in waiting)
        if not rows:
            if any(frame.height for frame in waiting):
                raise damaged(file.path)
            return
        yield pl.concat([frame.head(rows) for frame in waiting], how="horizontal").select(map(cs.by_name, names))
        waiting = [frame[rows:] for frame in waiting]


def _in_frames(file: ParquetFile, frame: pl.DataFrame, rows: int) -> Iterator[pl.DataFrame]:
    """The frame in frames of at most so many rows, or fewer where their text is long: rows may share one long value."""
    sizes = frame.select(
        cs.string().str.len_bytes().cast(pl.Int64).sum(),
        cs.categorical().cat.len_bytes().cast(pl.Int64).sum(),
        cs.binary().bin.size().cast(pl.Int64).sum(),
    )
    if sum(size or 0 for column in sizes.get_columns() for size in column) <= file.frame_bytes:
        yield from frame.iter_slices(rows)
    elif frame.height == 1:
        yield frame
    else:
        half = frame.height // 2
        yield from _in_frames(file, frame[:half], rows)
        yield from _in_frames(file, frame[half:], rows)


# ---------------------------------------------------------------- polars


def _by_polars(
    file: ParquetFile, columns: Sequence[Column], spans: Sequence[_Span], frame_rows: int
) -> Iterator[pl.DataFrame]:
    lines = scan(file.path).select(cs.by_name(column.name) for column in columns)
    for span in spans:
        most_rows = max(file.footer.group_rows[group] for group in span.groups)
        slices = -(-most_rows // _WHOLE_GROUP_ROWS)
        at_once = -(-(span.end - span.begin) // slices)
        for begin in range(span.begin, span.end, at_once):
            rows = min(at_once, span.end - begin)
            try:
                frame = lines.slice(begin, rows).collect()
            except (Exception, pl.exceptions.PanicException) as error:
                if is_limit(error):
                    raise
                if not _is_unsupported(error):
                    raise _blamed(file, columns, span.groups) from None
                yield from _after(begin - span.begin, _by_pyarrow(file, columns, span, frame_rows))
                break
            if frame.height != rows:
                raise damaged(file.path)
            for part in _in_frames(file, frame, frame_rows):
                yield _typed(part, columns)


def _is_unsupported(error: BaseException) -> bool:
    """Whether polars failed for what it cannot decode, not for what a file may not hold."""
    return isinstance(error, pl.exceptions.PanicException) or "not yet supported" in str(error).lower()


def _typed(frame: pl.DataFrame, columns: Sequence[Column]) -> pl.DataFrame:
    readings = [(column.name, column.reading) for column in columns if column.reading is not None]
    if frame.dtypes == [reading.dtype for _, reading in readings]:
        return frame
    return frame.select(reading.typed(name, frame.schema[name]) for name, reading in readings)


# ---------------------------------------------------------------- pyarrow


def _by_pyarrow(file: ParquetFile, columns: Sequence[Column], span: _Span, frame_rows: int) -> Iterator[pl.DataFrame]:
    with decoding(lambda: _blamed(file, columns, span.groups)):
        rows = min(_batch_rows(file, columns, group, frame_rows) for group in span.groups)
        for batch in _batches(file.path, columns, span.groups, rows):
            for part in _in_frames(file, pl.DataFrame(batch), rows):
                yield _typed(part, columns)


def _batches(path: str, columns: Sequence[Column], groups: Sequence[int], rows: int) -> Iterator[pa.RecordBatch]:
    in_file = sorted(columns, key=lambda column: column.leaves.start)
    leaves = [leaf for column in in_file for leaf in column.leaves]
    with pa.OSFile(path) as stream:
        reader = _reader(stream)
        # pyarrow cannot read a category inside a nested value from two row groups at once.
        alone = any(column.is_nested for column in columns)
        # One thread: the other cores have the encoding and the sending to do.
        for batch in chain.from_iterable(
            reader.iter_batches(rows, together, column_indices=leaves, use_threads=False)
            for together in ([[group] for group in groups] if alone else [[*groups]])
        ):
            arrays = {
                column.name: column.reading.of(array)
                for column, array in zip(in_file, batch.columns, strict=True)
                if column.reading is not None
            }
            names = [column.name for column in columns]
            batch = pa.record_batch([arrays[name] for name in names], names)
            batch.validate(full=True)  # pyarrow does not look into text by itself
            yield batch


def _reader(stream: pa.NativeFile, dictionary: Sequence[str] | None = None) -> Any:
    """pyarrow's reader of leaves: by number, since two columns may have one name."""
    return pq.ParquetFile(
        stream,
        pre_buffer=False,
        buffer_size=_PAGE_BUFFER_BYTES,
        read_dictionary=dictionary,
        coerce_int96_timestamp_unit="us",  # its nanoseconds wrap after 2262
        arrow_extensions_enabled=True,
    ).reader


def _batch_rows(file: ParquetFile, columns: Sequence[Column], group: int, frame_rows: int) -> int:
    """How many rows pyarrow may decode together: it writes the text of a dictionary out for every row."""
    limit = max(1, _BATCH_TEXT_BYTES // max(1, len(columns)))
    rows = frame_rows
    for column in columns:
        longest = file.weights[column.name][group].dictionary
        if longest * rows > limit and not column.is_nested:
            longest = _longest_in_dictionary(file.path, column, group)
        rows = max(1, min(rows, limit // max(1, longest)))
    return rows


def _longest_in_dictionary(path: str, column: Column, group: int) -> int:
    with pa.OSFile(path) as stream:
        reader = _reader(stream, [column.name])
        for batch in reader.iter_batches(1, [group], column_indices=[*column.leaves], use_threads=False):
            if pa.types.is_dictionary(batch.column(0).type):
                values = batch.column(0).dictionary
                if _has_length(values.type):
                    return int(pc.max(pc.binary_length(values)).as_py() or 0)
            break
    return 0


def _dictionary_text_bytes(path: str, footer: Footer, leaf: int, group: int, rows: int) -> Iterator[int]:
    """The bytes of the texts of each so many rows, which are looked up in their dictionary, and not written out."""
    with pa.OSFile(path) as stream:
        reader = _reader(stream, [footer.metadata.schema.column(leaf).path])
        for batch in reader.iter_batches(rows, [group], column_indices=[leaf], use_threads=False):
            values = batch.column(0)
            while pa.types.is_nested(values.type):
                values = values.flatten()[0] if pa.types.is_struct(values.type) else values.flatten()
            if pa.types.is_dictionary(values.type) and _has_length(values.type.value_type):
                lengths = pc.binary_length(values.dictionary).cast(pa.int64())
                yield pc.sum(lengths.take(values.indices)).as_py() or 0


def _has_length(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def _blamed(file: ParquetFile, columns: Sequence[Column], groups: Sequence[int]) -> SourceError:
    """The error that names the column that cannot be decoded."""
    for column in columns:
        try:
            for _ in _batches(file.path, [column], groups, 1_000):
                pass
        except (Exception, pl.exceptions.PanicException) as error:
            if is_limit(error):
                raise
            return damaged(file.path, f"column {column.name!r} is damaged in row group {_numbers(groups)}")
    return damaged(file.path, f"is damaged in row group {_numbers(groups)}, or not a Parquet file")


def _numbers(groups: Sequence[int]) -> str:
    return f"{groups[0] + 1}" if len(groups) == 1 else f"{groups[0] + 1} to {groups[-1] + 1}"
