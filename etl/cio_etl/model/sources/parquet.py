"""Parquet files."""

from typing import ClassVar

from cio_etl.model.records import dataclass
from cio_etl.model.sources.source import FileSource, SourceKeys, SourcePaths, hive_key, kind_key
from cio_etl.model.sources.storage import StorageYaml, storage_key, to_storage
from cio_etl.model.yaml_section import Flag


@dataclass(frozen=True, slots=True)
class ParquetSource(FileSource):
    """Parquet files, all with the same columns."""


class ParquetKeys(SourceKeys):
    """The YAML keys of Parquet files as a source."""

    endings: ClassVar = (".parquet", ".pq")

    parquet: SourcePaths = kind_key("as `csv`, Parquet files; all of them have the columns that the mapping reads")
    hive: Flag = hive_key()
    storage: StorageYaml = storage_key()

    def to_source(self) -> ParquetSource:
        return ParquetSource(tuple(self.parquet), hive=self.hive, storage=to_storage(self.storage))
