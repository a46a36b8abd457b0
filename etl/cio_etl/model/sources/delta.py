"""Delta tables."""

from cio_etl.model.records import dataclass
from cio_etl.model.sources.source import LakeSource, SourceKeys, SourcePath, kind_key
from cio_etl.model.sources.storage import StorageYaml, storage_key, to_storage
from cio_etl.model.yaml_section import Count, omitted


@dataclass(frozen=True, slots=True)
class DeltaSource(LakeSource):
    """A Delta table: the version that the job names, or the newest when a run begins."""

    version: int | None = None

    @property
    def asked_version(self) -> int | None:
        return self.version


class DeltaKeys(SourceKeys):
    """The YAML keys of a Delta table as a source."""

    delta: SourcePath = kind_key("the folder of a Delta table")
    version: Count = omitted("of a Delta table: its version, from 0", "the newest when the run starts")
    storage: StorageYaml = storage_key()

    def to_source(self) -> DeltaSource:
        return DeltaSource(self.delta, version=self.version, storage=to_storage(self.storage))
