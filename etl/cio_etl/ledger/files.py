"""Files of hashes by subject, a group of rows a partition: synchronised to the disk, and read by partition."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from cio_etl.errors import LedgerDamaged, StateError
from cio_etl.transform.arrays import pa

if TYPE_CHECKING:
    import pyarrow.parquet as pq

ROWS_AT_ONCE = 131_072  # rows of one partition, which is what is in memory at a time


def partition_bits(rows: int) -> int:
    """The number of leading bits of a subject's hash that name its partition."""
    return max((rows - 1) // ROWS_AT_ONCE, 0).bit_length()


def by_subject(bits: int) -> pl.Expr | None:
    """The number of a row's partition; None: there is one."""
    return (pl.col("hi") // (1 << (64 - bits))).cast(pl.UInt32) if bits else None


def is_in_partition(number: int, bits: int) -> pl.Expr:
    """Whether a row is in a partition, of which `bits` are more than 0."""
    width = 1 << (64 - bits)
    lowest, highest = (pl.lit(each, dtype=pl.UInt64) for each in (number * width, (number + 1) * width - 1))
    return pl.col("hi").is_between(lowest, highest)


def read_partition(path: Path, number: int, bits: int, among: pl.Series | None = None) -> pl.DataFrame:
    """The rows of a Parquet file whose `hi` is in this partition; groups of other partitions are not read.

    `among`: only the rows with one of these `hi`; None: all.
    """
    rows = pl.scan_parquet(path, glob=False)
    if bits:
        rows = rows.filter(is_in_partition(number, bits))
    if among is not None:
        rows = rows.filter(pl.col("hi").is_in(among.implode()))
    return rows.collect()


@contextmanager
def reporting(folder: Path, damaged: type[LedgerDamaged] = LedgerDamaged) -> Iterator[None]:
    """Turns the failures of files into StateError; `damaged` is for files that are missing or cannot be read."""
    try:
        yield
    except FileNotFoundError as error:
        raise damaged(place=error.filename or folder, what="the file is missing") from None
    except OSError as error:
        raise StateError.of_file(folder, error) from None
    except (pa.ArrowException, pl.exceptions.PolarsError):
        raise damaged(place=folder, what="a file is damaged") from None


def allow_open_files() -> None:
    """Raises the number of files that this process may have open as far as the system lets it.

    Each partition has an open file: 40 million subjects have 512, and several sets of them can be open at a time. Many
    systems allow 1,024 files at first.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # some systems say that there is no limit, and have one
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Streams:
    """Writes rows to the files of their partitions in a folder, at once; `part` None: there is one partition."""

    def __init__(self, folder: Path, part: pl.Expr | None) -> None:
        self._folder, self._part = folder, part
        self._writers: dict[int, pa.RecordBatchStreamWriter] = {}
        with reporting(folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if part is not None:
            allow_open_files()

    def write(self, rows: pl.DataFrame) -> None:
        if self._part is None:
            self._write(0, rows)
            return
        parts = rows.with_columns(self._part.alias("_part")).partition_by("_part", as_dict=True, include_key=False)
        for (number,), part in parts.items():
            self._write(int(number), part)

    def _write(self, number: int, rows: pl.DataFrame) -> None:
        table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
        with reporting(self._folder):
            if number not in self._writers:
                self._writers[number] = pa.ipc.new_stream(str(stream_path(self._folder, number)), table.schema)
            self._writers[number].write_table(table)

    def close(self) -> None:
        with reporting(self._folder):
            while self._writers:
                self._writers.popitem()[1].close()


def stream_path(folder: Path, number: int) -> Path:
    """The file of a partition."""
    return folder / f"{number:05}.arrows"


class GroupWriter:
    """Writes frames of the same columns to a Parquet file, a group each, and synchronises it to the disk.

    Compression saves some 40 % of a ledger. A delta is read once and deleted: it is written without. Groups are found
    by one column: only of it the file says the least and the greatest value.
    """

    def __init__(self, path: Path, *, found_by: str = "hi", compressed: bool = False) -> None:
        self._path, self._found_by, self._compressed = path, found_by, compressed
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> GroupWriter:
        return self

    def write(self, frame: pl.DataFrame) -> None:
        if not frame.height:
            return
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        if self._writer is None:
            repeating = [name for name in frame.columns if self._compressed and _repeats(frame[name])]
            import pyarrow.parquet as pq

            self._writer = pq.ParquetWriter(
                self._path,
                table.schema,
                compression={name: "lz4" if name in repeating else "none" for name in frame.columns},
                write_statistics=[self._found_by],
                use_dictionary=repeating,
            )
        self._writer.write_table(table.cast(self._writer.schema), row_group_size=max(table.num_rows, 1))

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
            sync_file(self._path)


def _repeats(column: pl.Series) -> bool:
    """Whether compression would save something: of hashes that nearly all differ, it would not."""
    if column.dtype != pl.UInt64:
        return True
    some = column.head(_LOOKED_AT).drop_nulls()
    return some.n_unique() < 0.9 * len(some) or len(some) < _LOOKED_AT // 2


_LOOKED_AT = 4_096  # values of a column, to see whether they repeat


def sync_file(path: Path) -> None:
    """Returns when the file's content is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


sync_folder = sync_file  # a folder is synchronised as a file is
