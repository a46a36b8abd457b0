"""Reads the rows of any source as one unchanging, row-numbered snapshot.

source ── CSV, NDJSON ─────▶ text/ ──────────────────────────────────────────────┐
       ├─ Parquet ─────────▶ parquet/ ───────────────────────────────────────────┤
       ├─ Excel, Avro ─────▶ excel_files, avro/ ──────┐                          ├─▶ Snapshot
       ├─ Delta, Iceberg ──▶ lake/ ───────────────────┼─▶ stage: a Parquet copy ─┘
       ├─ a database ──────▶ sql/ ─▶ incremental ─────┤
       └─ rejected rows ───▶ replayed ────────────────┘
files of an object store or the web ─▶ remote/, a pipe ─▶ standard_input: a copy, then as files of this machine
folders named key=value ─▶ hive: columns of the snapshot

A kind of source is a record of `model.sources` and one row of READERS. Each loads the libraries of its kind when it is
first read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from cio_etl.extract import copies
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
from cio_etl.model.records import dataclass

if TYPE_CHECKING:
    from cio_etl.extract.incremental import first_wanted
    from cio_etl.extract.replayed import is_copied
    from cio_etl.extract.sql import Estimate, primary_key_of, table_names, tables_of
    from cio_etl.extract.stage import open_staged
    from cio_etl.extract.text import SEPARATORS, csv_settings

_ROOM = {
    "SEPARATORS": "text",
    "Estimate": "sql",
    "csv_settings": "text",
    "first_wanted": "incremental",
    "is_copied": "replayed",
    "open_staged": "stage",
    "primary_key_of": "sql",
    "table_names": "sql",
    "tables_of": "sql",
}

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


def __getattr__(name: str) -> Any:
    if name in _ROOM:
        return getattr(import_module(f"{__name__}.{_ROOM[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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


def _first_rows(staging: Staging) -> int | None:
    """At least how many rows of files are enough; None: all."""
    return staging.rows if staging.first_only else None


def _csv(source: CsvSource, staging: Staging, rows: int) -> Snapshot:
    from cio_etl.extract.text import ChunkLimits, open_csv

    return open_csv(source, staging.folder, ChunkLimits(rows, first_rows=_first_rows(staging)), staging.columns)


def _ndjson(source: NdjsonSource, staging: Staging, rows: int) -> Snapshot:
    from cio_etl.extract.text import ChunkLimits, open_ndjson

    return open_ndjson(source, staging.folder, ChunkLimits(rows, first_rows=_first_rows(staging)))


def _parquet(source: ParquetSource, staging: Staging, rows: int) -> Snapshot:
    from cio_etl.extract.parquet import open_parquet

    return open_parquet(source, rows, columns=staging.columns, first_rows=_first_rows(staging))


def _excel(source: ExcelSource, staging: Staging, rows: int) -> Snapshot:
    from cio_etl.extract.excel_files import open_excel

    return open_excel(source, staging, rows)


def _avro(source: AvroSource, staging: Staging, rows: int) -> Snapshot:
    from cio_etl.extract.avro import open_avro

    return open_avro(source, staging, rows)


def _lake(source: DeltaSource | IcebergSource, staging: Staging, rows: int) -> Snapshot:
    from cio_etl.extract.lake import open_lake

    return open_lake(source, staging, rows)


def _sql(source: SqlSource, staging: Staging, rows: int) -> Snapshot:
    from cio_etl.extract.sql import open_sql

    return open_sql(source, staging, rows)


def _rows_of_sql(source: SqlSource, staging: Staging) -> Estimate | None:
    from cio_etl.extract.sql import estimate

    return estimate(source, staging)


def _database(source: SqlSource) -> list[object]:
    from cio_etl.extract.sql import database_of

    return database_of(source)


def _replayed(source: ReplaySource, staging: Staging, rows: int) -> Snapshot:
    from cio_etl.extract.replayed import open_replayed

    return open_replayed(source, staging, rows)


READERS: dict[type[Source], SourceReader] = {
    CsvSource: SourceReader(_csv),
    NdjsonSource: SourceReader(_ndjson),
    ParquetSource: SourceReader(_parquet),
    ExcelSource: SourceReader(_excel),
    AvroSource: SourceReader(_avro),
    DeltaSource: SourceReader(_lake),
    IcebergSource: SourceReader(_lake),
    SqlSource: SourceReader(_sql, _rows_of_sql, _database),
    ReplaySource: SourceReader(_replayed),
}


def open_source(source: Source, staging: Staging, *, chunk_rows: int = 25_000) -> Snapshot:
    """The source's rows as a snapshot, after reading all of them once: files where they are, all else as a copy.

    Where the first rows are enough, no more is read of a file; the snapshot is then a part, see Snapshot.is_part.
    CSV columns are all String; others keep their types, but categories are String. Frames have at most `chunk_rows`
    rows. Raises SourceError for anything wrong with the source, StateError when there is no room for the copy.
    """
    reader = READERS[type(source)]
    if not isinstance(source, FileSource):
        return reader.open(source, staging, chunk_rows)

    def open_local(paths: tuple[str, ...]) -> Snapshot:
        return reader.open(replace(source, paths=paths), staging, chunk_rows)

    if source.is_piped:
        from cio_etl.extract.standard_input import open_standard_input

        snapshot = open_standard_input(staging, lambda path: open_local((path,)))
    elif any(map(is_remote, source.paths)):
        from cio_etl.extract.remote.fetch import open_remote

        snapshot = open_remote(source.paths, source.storage, staging, open_local)
    else:
        snapshot = open_local(source.paths)
    if not source.hive:
        return snapshot
    from cio_etl.extract.hive import with_partitions

    return with_partitions(snapshot)


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
