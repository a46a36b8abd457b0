"""Rows in: any source as one unchanging, row-numbered snapshot.

source ── CSV, NDJSON ─────▶ text/ ──────────────────────────────────────────────┐
       ├─ Parquet ─────────▶ parquet_files ──────────────────────────────────────┤
       ├─ Excel, Avro ─────▶ excel_files, avro_files ─┐                          ├─▶ Snapshot
       ├─ Delta, Iceberg ──▶ lake/ ───────────────────┼─▶ stage: a Parquet copy ─┘
       ├─ a database ──────▶ sql/ ─▶ incremental ─────┤
       └─ rejected rows ───▶ replayed ────────────────┘
files of an object store or the web ─▶ remote/, a pipe ─▶ standard_input: a copy, then as files here
folders named key=value ─▶ hive: columns of the snapshot
"""

from __future__ import annotations

from dataclasses import replace

from cio_etl.extract import copies
from cio_etl.extract.avro_files import open_avro
from cio_etl.extract.excel_files import open_excel
from cio_etl.extract.hive import with_partitions
from cio_etl.extract.lake.tables import lake_reader
from cio_etl.extract.parquet_files import open_parquet
from cio_etl.extract.remote.fetch import open_remote
from cio_etl.extract.remote.storage import is_remote
from cio_etl.extract.replayed import is_copied, open_replayed
from cio_etl.extract.sql import reader_of
from cio_etl.extract.stage import open_staged, staged
from cio_etl.extract.standard_input import STANDARD_INPUT, open_standard_input
from cio_etl.extract.text.csv_files import Limits, open_csv
from cio_etl.extract.text.csv_settings import csv_settings
from cio_etl.extract.text.ndjson_files import open_ndjson
from cio_etl.model import (
    AvroSource,
    CsvSource,
    DeltaSource,
    ExcelSource,
    FileSource,
    IcebergSource,
    NdjsonSource,
    ParquetSource,
    ReplaySource,
    Snapshot,
    Source,
    SqlSource,
    Staging,
)

__all__ = ["csv_settings", "delete_copy", "is_copied", "is_in_place", "open_source", "open_staged"]


def open_source(source: Source, staging: Staging, *, chunk_rows: int = 25_000) -> Snapshot:
    """Gives the source's rows as a snapshot, after reading all of it once: files where they are, all else as a copy.

    CSV columns are all String; others keep their types, but categories are String. Frames have at most `chunk_rows`
    rows. Raises SourceError for all that is wrong with the source, StateError when there is no room for the copy.
    """
    match source:
        case SqlSource():
            return staged(reader_of(source, staging), staging, chunk_rows, source.incremental)
        case DeltaSource() | IcebergSource():
            return staged(lake_reader(source, staging), staging, chunk_rows)
        case ReplaySource():
            return open_replayed(source, staging, chunk_rows)
        case CsvSource() | ParquetSource() | NdjsonSource():
            snapshot = _of_files(source, staging, chunk_rows)
            return with_partitions(snapshot) if source.hive else snapshot
        case ExcelSource() | AvroSource():
            return _of_files(source, staging, chunk_rows)


def is_in_place(source: Source) -> bool:
    """Whether the source's rows are read from files of this machine, as they lie there."""
    if not isinstance(source, CsvSource | ParquetSource | NdjsonSource):
        return False
    return source.paths != (STANDARD_INPUT,) and not any(is_remote(path) for path in source.paths)


def delete_copy(snapshot: Snapshot) -> None:
    """Makes the copy that a snapshot is of, if it is of one, count no longer: its source will be copied anew."""
    if snapshot.copy is not None:
        copies.forget(snapshot.copy)


def _of_files(source: FileSource, staging: Staging, chunk_rows: int) -> Snapshot:
    """The snapshot of files, wherever they are."""

    def of_local(paths: tuple[str, ...]) -> Snapshot:
        return _of_local_files(replace(source, paths=paths), staging, chunk_rows)

    if source.paths == (STANDARD_INPUT,):
        return open_standard_input(staging, lambda path: of_local((path,)))
    if any(is_remote(path) for path in source.paths):
        return open_remote(source.paths, source.storage, staging, of_local)
    return of_local(source.paths)


def _of_local_files(source: FileSource, staging: Staging, chunk_rows: int) -> Snapshot:
    match source:
        case CsvSource():
            return open_csv(source, staging.folder, Limits(chunk_rows=chunk_rows))
        case NdjsonSource():
            return open_ndjson(source, staging.folder, Limits(chunk_rows=chunk_rows))
        case ParquetSource():
            return open_parquet(source, chunk_rows)
        case ExcelSource():
            return open_excel(source, staging, chunk_rows)
        case AvroSource():
            return open_avro(source, staging, chunk_rows)
