"""Sources of rows: a module for each kind, with its record, its YAML keys and what other rooms ask of it.

To add a kind: write its module here, name its keys in KINDS and its record in __all__, and its reader in READERS of
`extract`.
"""

from cio_etl.model.sources.avro import AvroKeys, AvroSource
from cio_etl.model.sources.csv import CSV_DIALECTS, CsvKeys, CsvSource
from cio_etl.model.sources.delta import DeltaKeys, DeltaSource
from cio_etl.model.sources.excel import ExcelKeys, ExcelSource
from cio_etl.model.sources.gone import GoneSource
from cio_etl.model.sources.iceberg import IcebergKeys, IcebergSource
from cio_etl.model.sources.ndjson import NdjsonKeys, NdjsonSource
from cio_etl.model.sources.parquet import ParquetKeys, ParquetSource
from cio_etl.model.sources.replay import ReplaySource
from cio_etl.model.sources.source import (
    STANDARD_INPUT,
    Dataset,
    FileSource,
    LakeSource,
    Source,
    SourceKeys,
    address_parts,
    is_remote,
    shown,
)
from cio_etl.model.sources.sql import PARAMETER, SECRET_OPTIONS, UNREAD_ADDRESS, SqlKeys, SqlSource
from cio_etl.model.sources.staging import Staging
from cio_etl.model.sources.storage import Storage
from cio_etl.model.sources.watermark import Bookmark, Incremental, Watermark, WatermarkValue, watermark_value

# Every kind that a job's `source:` may name; the order is that of documents and messages.
KINDS: tuple[type[SourceKeys], ...] = (
    CsvKeys,
    ParquetKeys,
    NdjsonKeys,
    ExcelKeys,
    AvroKeys,
    DeltaKeys,
    IcebergKeys,
    SqlKeys,
)

__all__ = [
    "CSV_DIALECTS",
    "KINDS",
    "PARAMETER",
    "SECRET_OPTIONS",
    "STANDARD_INPUT",
    "UNREAD_ADDRESS",
    "AvroSource",
    "Bookmark",
    "CsvSource",
    "Dataset",
    "DeltaSource",
    "ExcelSource",
    "FileSource",
    "GoneSource",
    "IcebergSource",
    "Incremental",
    "LakeSource",
    "NdjsonSource",
    "ParquetSource",
    "ReplaySource",
    "Source",
    "SourceKeys",
    "SqlSource",
    "Staging",
    "Storage",
    "Watermark",
    "WatermarkValue",
    "address_parts",
    "is_remote",
    "shown",
    "watermark_value",
]
