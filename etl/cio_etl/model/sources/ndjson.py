"""NDJSON files: one JSON object per line."""

from typing import ClassVar

from cio_etl.model.records import dataclass
from cio_etl.model.sources.source import (
    Encoding,
    FileSource,
    SourceKeys,
    SourcePaths,
    encoding_key,
    hive_key,
    kind_key,
)
from cio_etl.model.sources.storage import StorageYaml, storage_key, to_storage
from cio_etl.model.yaml_section import Flag


@dataclass(frozen=True, slots=True)
class NdjsonSource(FileSource):
    """Files with one JSON object per line."""

    encoding: str = "utf-8"


class NdjsonKeys(SourceKeys):
    """The YAML keys of NDJSON files as a source."""

    endings: ClassVar = (".ndjson", ".jsonl", ".json")

    ndjson: SourcePaths = kind_key("as `csv`, files with one JSON object per line, or with one list of objects")
    encoding: Encoding = encoding_key()
    hive: Flag = hive_key()
    storage: StorageYaml = storage_key()

    def to_source(self) -> NdjsonSource:
        return NdjsonSource(
            tuple(self.ndjson), encoding=self.encoding, hive=self.hive, storage=to_storage(self.storage)
        )
