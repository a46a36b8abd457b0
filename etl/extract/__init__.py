"""Rows in: any source as one unchanging, row-numbered snapshot.

source ── CSV ──────▶ files ─▶ plain_text ─▶ csv_records, csv_header ─▶ csv_files ─┐
       └─ Parquet ──▶ files ─────────────────────────────────▶ parquet_files ──────┴─▶ Snapshot
"""

from __future__ import annotations

from pathlib import Path

from etl.extract.csv_files import Limits, open_csv
from etl.extract.parquet_files import open_parquet
from etl.model import CsvSource, ParquetSource, Snapshot

__all__ = ["open_source"]


def open_source(source: CsvSource | ParquetSource, *, stage: Path, chunk_rows: int = 25_000) -> Snapshot:
    """Reads every file of the source once, checks it, and gives its rows as a snapshot.

    CSV columns are all String; Parquet columns keep their types, but categories are String. Frames have at most
    `chunk_rows` rows. `stage` is the folder for what must be unpacked or re-encoded first (0700, made when needed).
    Raises SourceError for all that is wrong with a file, StateError when the stage is full.
    """
    if isinstance(source, CsvSource):
        return open_csv(source, stage, Limits(chunk_rows=chunk_rows))
    return open_parquet(source, chunk_rows)
