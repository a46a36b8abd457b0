"""Iceberg tables."""

from cio_etl.model.records import dataclass
from cio_etl.model.sources.source import LakeSource, SourceKeys, SourcePath, kind_key
from cio_etl.model.sources.storage import StorageYaml, storage_key, to_storage
from cio_etl.model.yaml_section import Count, omitted


@dataclass(frozen=True, slots=True)
class IcebergSource(LakeSource):
    """An Iceberg table, by its folder or one of its metadata.json files: the named snapshot, or the current one."""

    snapshot: int | None = None

    @property
    def asked_version(self) -> int | None:
        return self.snapshot


class IcebergKeys(SourceKeys):
    """The YAML keys of an Iceberg table as a source."""

    iceberg: SourcePath = kind_key("the folder of an Iceberg table, or one of its `metadata.json` files")
    snapshot: Count = omitted("of an Iceberg table: its snapshot, from 0", "the current one when the run starts")
    storage: StorageYaml = storage_key()

    def to_source(self) -> IcebergSource:
        return IcebergSource(self.iceberg, snapshot=self.snapshot, storage=to_storage(self.storage))
