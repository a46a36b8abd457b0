"""Reads the rows of any source as one unchanging, row-numbered snapshot.

source ── CSV, NDJSON ─────▶ text/ ──────────────────────────────────────────────┐
       ├─ Parquet ─────────▶ parquet/ ───────────────────────────────────────────┤
       ├─ Excel, Avro ─────▶ excel_files, avro/ ──────┐                          ├─▶ Snapshot
       ├─ Delta, Iceberg ──▶ lake/ ───────────────────┼─▶ stage: a Parquet copy ─┘
       ├─ a database ──────▶ sql/ ─▶ incremental ─────┤
       └─ rejected rows ───▶ replayed ────────────────┘
files of an object store or the web ─▶ remote/, a pipe ─▶ standard_input: a copy, then as files of this machine
folders named key=value ─▶ hive: columns of the snapshot

A kind of source is a record of `model.sources` and one row of READERS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from cio_etl.extract import copies
from cio_etl.extract.avro import open_avro
from cio_etl.extract.excel_files import open_excel
from cio_etl.extract.hive import with_partitions
from cio_etl.extract.incremental import first_wanted
from cio_etl.extract.lake import open_lake
from cio_etl.extract.parquet import open_parquet
from cio_etl.extract.remote.fetch import open_remote
from cio_etl.extract.replayed import is_copied, open_replayed
from cio_etl.extract.sql import Estimate, database_of, estimate, open_sql, primary_key_of, table_names, tables_of
from cio_etl.extract.stage import open_staged
from cio_etl.extract.standard_input import open_standard_input
from cio_etl.extract.text import SEPARATORS, ChunkLimits, csv_settings, open_csv, open_ndjson
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
    is_remote,
)

__all__ = [
    "READERS",
    "SEPARATORS",
    "Estimate",
    "csv_settings",
    "delete_copy",
    "estimate_rows",
    "first_wanted",
    "is_copied",
    "open_source",
    "open_staged",
    "origin_of",
    "primary_key_of",
    "table_names",
    "tables_of",
]


@dataclass(frozen=True, slots=True)
class SourceReader:
    """How a kind of source is read.

    open(source, staging, chunk_rows): its snapshot; of a FileSource, whose paths are of this machine by then.
    estimate(source, staging): how many rows the next run would read, where that is known without reading them.
    origin(source): what an incremental source reads from, as JSON can hold it, without secrets.
    """

    open: Callable[[Any, Staging, int], Snapshot]
    estimate: Callable[[Any, Staging], Estimate | None] = lambda source, staging: None
    origin: Callable[[Any], list[object]] = lambda source: []


READERS: dict[type[Source], SourceReader] = {
    CsvSource: SourceReader(
        lambda source, staging, rows: open_csv(source, staging.folder, ChunkLimits(rows), staging.columns)
    ),
    NdjsonSource: SourceReader(lambda source, staging, rows: open_ndjson(source, staging.folder, ChunkLimits(rows))),
    ParquetSource: SourceReader(lambda source, staging, rows: open_parquet(source, rows, columns=staging.columns)),
    ExcelSource: SourceReader(open_excel),
    AvroSource: SourceReader(open_avro),
    DeltaSource: SourceReader(open_lake),
    IcebergSource: SourceReader(open_lake),
    SqlSource: SourceReader(open_sql, estimate, database_of),
    ReplaySource: SourceReader(open_replayed),
}


def open_source(source: Source, staging: Staging, *, chunk_rows: int = 25_000) -> Snapshot:
    """The source's rows as a snapshot, after reading all of them once: files where they are, all else as a copy.

    CSV columns are all String; others keep their types, but categories are String. Frames have at most `chunk_rows`
    rows. Raises SourceError for anything wrong with the source, StateError when there is no room for the copy.
    """
    reader = READERS[type(source)]
    if not isinstance(source, FileSource):
        return reader.open(source, staging, chunk_rows)

    def open_local(paths: tuple[str, ...]) -> Snapshot:
        return reader.open(replace(source, paths=paths), staging, chunk_rows)

    if source.is_piped:
        snapshot = open_standard_input(staging, lambda path: open_local((path,)))
    elif any(map(is_remote, source.paths)):
        snapshot = open_remote(source.paths, source.storage, staging, open_local)
    else:
        snapshot = open_local(source.paths)
    return with_partitions(snapshot) if source.hive else snapshot


def estimate_rows(source: Source, staging: Staging) -> Estimate | None:
    """How many rows the next run would read, without reading them; None when nothing can tell."""
    return READERS[type(source)].estimate(source, staging)


def origin_of(source: Source) -> list[object]:
    """What a watermark of the source belongs to, as JSON can hold it: database, table and column; without secrets."""
    return READERS[type(source)].origin(source)


def delete_copy(snapshot: Snapshot) -> None:
    """Invalidates the copy that the snapshot was read from, if there is one: the next run copies the source again."""
    if snapshot.copy is not None:
        copies.invalidate(snapshot.copy)
