"""Sheets of Excel and OpenDocument files."""

from typing import ClassVar

from cio_etl.model.records import dataclass
from cio_etl.model.sources.source import FileSource, SourceKeys, SourcePaths, kind_key
from cio_etl.model.sources.storage import StorageYaml, storage_key, to_storage
from cio_etl.model.yaml_section import Text, omitted


@dataclass(frozen=True, slots=True)
class ExcelSource(FileSource):
    """Sheets of Excel or OpenDocument files, all with the same columns."""

    sheet: str | None = None  # None: the only one

    @property
    def is_staged(self) -> bool:
        return True


class ExcelKeys(SourceKeys):
    """The YAML keys of Excel files as a source."""

    endings: ClassVar = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")

    excel: SourcePaths = kind_key("as `csv`, `.xlsx`, `.xlsm`, `.xlsb`, `.xls` or `.ods` files")
    sheet: Text = omitted("of Excel: the name of the sheet", "the only one")
    storage: StorageYaml = storage_key()

    def to_source(self) -> ExcelSource:
        return ExcelSource(tuple(self.excel), sheet=self.sheet, storage=to_storage(self.storage))
