"""Avro files."""

from typing import ClassVar

from cio_etl.model.records import dataclass
from cio_etl.model.sources.source import FileSource, SourceKeys, SourcePaths, kind_key
from cio_etl.model.sources.storage import StorageYaml, storage_key, to_storage


@dataclass(frozen=True, slots=True)
class AvroSource(FileSource):
    """Avro files, all with the same columns."""

    @property
    def is_staged(self) -> bool:
        return True


class AvroKeys(SourceKeys):
    """The YAML keys of Avro files as a source."""

    endings: ClassVar = (".avro",)

    avro: SourcePaths = kind_key("as `csv`, Avro files")
    storage: StorageYaml = storage_key()

    def to_source(self) -> AvroSource:
        return AvroSource(tuple(self.avro), storage=to_storage(self.storage))
