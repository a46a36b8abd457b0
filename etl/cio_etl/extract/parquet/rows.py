"""The snapshot of Parquet files: their rows by position, read column by column.

A column that the mapping does not read never matters: it may be damaged, encrypted, of a type that is not read here, or
another one in each file.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import accumulate

import polars as pl

from cio_etl.errors import SourceError
from cio_etl.extract.files import RegularFile, fingerprint, named_files
from cio_etl.extract.frames import check_names, chosen_columns, numbered
from cio_etl.extract.parquet.agreement import Types, agree, converted
from cio_etl.extract.parquet.decode import ParquetFile, decoded
from cio_etl.extract.parquet.footer import Footer, damaged, read_footer
from cio_etl.log import get_logger
from cio_etl.model import ParquetSource, Snapshot, SourceFile

log = get_logger()

RULES = "parquet 2"  # part of the fingerprint: raise it when the same bytes would give other rows

_FRAME_BYTES = 64 << 20  # wide rows come in frames of fewer rows


def open_parquet(
    source: ParquetSource,
    chunk_rows: int,
    frame_bytes: int = _FRAME_BYTES,
    *,
    columns: Sequence[str] | None = None,
    is_copy: bool = False,
    first_rows: int | None = None,
) -> Snapshot:
    """The snapshot of all files that the source names, in sorted order. Raises SourceError for all that is wrong.

    columns: those that the mapping reads; None: all that can be read.
    is_copy: this program wrote the files.
    first_rows: at least how many rows are enough, so that no more row groups are read than have them; None: all.
    """
    inspected = partial(_inspected, columns=columns, chunk_rows=chunk_rows, frame_bytes=frame_bytes, is_copy=is_copy)
    paths = named_files(source.paths)
    if first_rows is None:
        with ThreadPoolExecutor(max_workers=2) as pool:  # SHA-256 lets go of the interpreter
            files = tuple(pool.map(inspected, paths))
    else:
        files = _first_files(inspected, paths, first_rows)
    rows = _ParquetRows(files)
    rows.check(columns or ())
    if rows.refusals:
        reasons = [str(why) for why in rows.refusals.values()]
        log.info("columns_not_read", file=files[0].path, reasons=reasons)
    return Snapshot(
        fingerprint=fingerprint([RULES], (file.sha256 for file in files)),
        files=tuple(SourceFile(file.path, file.identity.bytes, file.sha256, file.rows) for file in files),
        rows=sum(file.rows for file in files),
        schema=rows.schema,
        read=rows.read,
        locate=rows.locate,
        is_part=len(files) < len(paths) or files[-1].is_part,
    )


def _first_files(
    inspected: Callable[[str, int], ParquetFile], paths: Sequence[str], first_rows: int
) -> tuple[ParquetFile, ...]:
    """The first files, or a part of the last of them, with at least so many rows."""
    files: list[ParquetFile] = []
    for path in paths:
        files.append(inspected(path, first_rows))
        first_rows -= files[-1].rows
        if first_rows <= 0:
            break
    return tuple(files)


def _inspected(
    path: str,
    first_rows: int | None = None,
    *,
    columns: Sequence[str] | None,
    chunk_rows: int,
    frame_bytes: int,
    is_copy: bool,
) -> ParquetFile:
    """A file, or the first row groups of it that have at least `first_rows` rows; of those there is no SHA-256."""
    with RegularFile(path) as opened:
        if not opened.identity.bytes:
            raise SourceError("export it again", place=path, what="the file is empty")
        footer = read_footer(opened)
        check_names(path, list(footer.columns))
        if first_rows is not None:
            footer = footer.of_first_groups(first_rows)
        sha256 = "" if footer.is_part else opened.sha256()
        file = ParquetFile(path, opened.identity, sha256, footer, chunk_rows, frame_bytes, is_copy)
        for name in footer.columns if columns is None else columns:
            try:
                file.inspect(opened, [name] if _is_read(footer, name) else [])
            except SourceError as error:
                if columns is not None:
                    raise
                file.broken[name] = error  # the others can be read all the same
        opened.check_unchanged()
    return file


def _is_read(footer: Footer, name: str) -> bool:
    return name in footer.columns and footer.columns[name].reading is not None


def _types(file: ParquetFile) -> Types:
    types: dict[str, pl.DataType | SourceError] = {}
    for name, column in file.footer.columns.items():
        if name in file.broken:
            types[name] = file.broken[name]
        elif column.reading is not None:
            types[name] = column.reading.dtype
        elif column.refusal is not None:
            types[name] = column.refusal
    return types


class _ParquetRows:
    """The rows of Parquet files, by position."""

    def __init__(self, files: tuple[ParquetFile, ...]) -> None:
        agreed = agree([(file.path, _types(file)) for file in files])
        self._files = files
        self._first_positions = [0, *accumulate(file.rows for file in files)][:-1]
        self.refusals = {name: why for name, why in agreed.items() if isinstance(why, SourceError)}
        self.schema = pl.Schema({name: dtype for name, dtype in agreed.items() if isinstance(dtype, pl.DataType)})

    def check(self, columns: Sequence[str]) -> None:
        """Raises SourceError for a column that is not read."""
        for name in columns:
            if name in self.refusals:
                raise self.refusals[name]

    def read(self, columns: Sequence[str] | None = None, start: int = 0) -> Iterator[pl.DataFrame]:
        """See Snapshot.read."""
        self.check(columns or ())
        chosen = chosen_columns(self._files[0].path, self.schema, columns)
        return self._frames(chosen, max(start, 0))

    def locate(self, positions: Sequence[int]) -> list[tuple[str, int]]:
        """See Snapshot.locate. Raises IndexError for no such row."""
        return [self._place(position) for position in positions]

    def _place(self, position: int) -> tuple[str, int]:
        index = bisect_right(self._first_positions, position) - 1
        if index < 0 or position >= self._first_positions[index] + self._files[index].rows:
            raise IndexError(f"no row has position {position}")
        return self._files[index].path, position - self._first_positions[index] + 1

    def _frames(self, names: list[str], start: int) -> Iterator[pl.DataFrame]:
        for first, file in zip(self._first_positions, self._files, strict=True):
            if start >= first + file.rows:
                continue
            with RegularFile(file.path, file.identity) as opened:
                row = max(start - first, 0)
                if not names:
                    yield from _without_columns(file, first, row)
                    continue
                file.inspect(opened, names)
                for frame in decoded(file, [file.footer.columns[name] for name in names], row):
                    opened.check_unchanged()
                    yield numbered(self._in_common_types(frame), first + row, frame.height)
                    row += frame.height
                if row != file.rows:
                    raise damaged(file.path)

    def _in_common_types(self, frame: pl.DataFrame) -> pl.DataFrame:
        frame_schema = frame.schema
        if all(dtype == self.schema[name] for name, dtype in frame_schema.items()):
            return frame
        return frame.select(converted(name, dtype, self.schema[name]) for name, dtype in frame_schema.items())


def _without_columns(file: ParquetFile, first: int, row: int) -> Iterator[pl.DataFrame]:
    for begin in range(row, file.rows, file.chunk_rows):
        yield numbered(pl.DataFrame(), first + begin, min(file.chunk_rows, file.rows - begin))
