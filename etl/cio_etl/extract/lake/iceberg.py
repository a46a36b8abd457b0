"""Finds the files of a snapshot of an Iceberg table, and the names that its columns have in them."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.io import FileIO, InputFile, OutputFile
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import DataFile as IcebergFile
from pyiceberg.manifest import DataFileContent, FileFormat
from pyiceberg.schema import Schema
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import FileScanTask, StaticTable

from cio_etl.errors import EtlError, SourceError
from cio_etl.extract.lake.version import DataFile, TableVersion
from cio_etl.extract.remote.fetch import blocks
from cio_etl.extract.remote.storage import Patience, address, opened, reworded
from cio_etl.model import IcebergSource, Storage, is_remote, shown

_METADATA = re.compile(r"(?:.*/)?v?(\d+)(?:-[^/]*)?(?:\.gz)?\.metadata\.json(?:\.gz)?")
_FIELD_ID = b"PARQUET:field_id"


def pinned(source: IcebergSource, place: str, patience: Patience) -> TableVersion:
    """The table's named snapshot, or its current one. Raises SourceError for none, and for unsupported features."""
    files = _Files(source.storage, patience)
    try:
        where = source.table if source.table.endswith(".json") else _newest_metadata(source, place, patience)
        metadata = FromInputFile.table_metadata(files.new_input(where))
        table = StaticTable(("table",), metadata, where, files, NoopCatalog("none"))
        current = table.current_snapshot()
        number = source.snapshot if source.snapshot is not None or current is None else current.snapshot_id
        if number is not None and table.snapshot_by_id(number) is None:
            raise SourceError(
                "leave `snapshot:` out for the current one; old ones expire",
                place=place,
                what=f"the table has no snapshot {number}",
            )
        scan = table.scan(snapshot_id=source.snapshot)  # without: the table's present columns
        tasks = [] if number is None else sorted(scan.plan_files(), key=lambda task: task.file.file_path)
        constants = [_constants(table, scan.projection(), task.file) for task in tasks]
    except EtlError:
        raise
    except FileNotFoundError:
        raise SourceError(
            "name the table's folder, or its newest metadata.json", place=place, what="there is no Iceberg table"
        ) from None
    except Exception as error:  # pyiceberg's words hold paths, and its parsers' hold values
        equality = "equality delete" in str(error).lower()
        raise (
            _with_deletes(place)
            if equality
            else SourceError("look at it with other tools", place=place, what="the table's metadata cannot be read")
        ) from None
    if any(_strange(each) for task in tasks for each in task.delete_files):
        raise _with_deletes(place)
    if strange := sorted({str(task.file.file_format.value) for task in tasks} - {"PARQUET"}):
        raise SourceError("rewrite its files as Parquet", place=place, what=f"has files of {', '.join(strange)}")
    schema = scan.projection()
    if any(each.initial_default is not None for each in schema.fields):
        raise SourceError(
            "rewrite its files (rewrite_data_files)", place=place, what="has columns with a default for older files"
        )
    columns_of = partial(_by_id, schema_to_pyarrow(schema, include_field_ids=True), _old_names(table, schema))
    deleted = _Deleted(files)
    data_files = [
        DataFile(_here(task.file.file_path), task.file.record_count, of_file, deleted.rows_of(task))
        for task, of_file in zip(tasks, constants, strict=True)
    ]
    return TableVersion(number, schema_to_pyarrow(schema, include_field_ids=False), data_files, columns_of)


def _constants(table: StaticTable, schema: Schema, file: IcebergFile) -> dict[str, pa.Scalar]:
    """The values that a file's folder gives to all its rows: files of Hive lack the columns of their folders."""
    types = schema_to_pyarrow(schema, include_field_ids=False)
    names = {each.field_id: each.name for each in schema.fields}
    return {
        names[each.source_id]: pa.scalar(file.partition[place], types.field(names[each.source_id]).type)
        for place, each in enumerate(table.specs()[file.spec_id].fields)
        if str(each.transform) == "identity" and each.source_id in names
    }


def _strange(file: IcebergFile) -> bool:
    """Whether a file of deleted rows has a kind that is not supported: by values, or as a bitmap."""
    return file.content != DataFileContent.POSITION_DELETES or file.file_format != FileFormat.PARQUET


class _Deleted:
    """Deleted rows that are still in their files: other files list them by file and position."""

    def __init__(self, files: _Files) -> None:
        self._files = files
        self._read: dict[str, pa.Table] = {}

    def rows_of(self, task: FileScanTask) -> npt.NDArray[np.int64] | None:
        if not task.delete_files:
            return None
        positions = [self._of_file(each.file_path, task.file.file_path) for each in task.delete_files]
        return np.unique(np.concatenate(positions))

    def _of_file(self, where: str, data_file: str) -> npt.NDArray[np.int64]:
        if where not in self._read:
            place = shown(where)
            try:
                with self._files.new_input(where).open() as stream:
                    self._read[where] = pq.read_table(stream, columns=["file_path", "pos"])
            except (OSError, pa.ArrowException):
                raise SourceError("restore the table", place=place, what="is damaged, or gone") from None
        table = self._read[where]
        rows: npt.NDArray[np.int64] = table.filter(pc.equal(table["file_path"], data_file))["pos"].to_numpy()
        return rows


def _with_deletes(place: str) -> SourceError:
    return SourceError(
        "compact the table (rewrite_data_files), or query it with sql:",
        place=place,
        what="has deleted rows that are still in its files",
    )


def _newest_metadata(source: IcebergSource, place: str, patience: Patience) -> str:
    """The metadata file with the highest number in the table's folder. Raises SourceError for none, or two."""
    if is_remote(source.table):
        at = address(source.table.rstrip("/"))
        store = opened(at, source.storage, patience)
        with reworded(place):
            names = [f"{at.root}/{meta['path']}" for page in store.list(f"{at.key}/metadata") for meta in page]
    else:
        names = [str(path) for path in Path(source.table, "metadata").glob("*.json")]
    numbered = [(int(number[1]), name) for name in names if (number := _METADATA.fullmatch(name))]
    if not numbered:
        raise SourceError(
            "name the folder above metadata/, or a metadata.json in it", place=place, what="there is no Iceberg table"
        )
    highest = max(numbered)
    if sum(number == highest[0] for number, _ in numbered) > 1:
        raise SourceError(
            "name the one that its catalogue knows", place=place, what="two metadata files have the highest number"
        )
    return highest[1]


# ---------------------------------------------------------------- columns, by number


def _old_names(table: StaticTable, schema: Schema) -> Mapping[str, int]:
    """The numbers of columns by name, for files that were written without numbers."""
    mapping = table.name_mapping()
    if mapping is None:
        return {}
    known = {each.field_id for each in schema.fields}
    return {name: each.field_id for each in mapping for name in each.names if each.field_id in known}


def _by_id(wanted: pa.Schema, old_names: Mapping[str, int], place: str, fields: pa.Schema) -> Mapping[str, str]:
    numbers = {_number(each): each for each in fields if _number(each) is not None}
    if not numbers:
        numbers = {old_names[each.name]: each for each in fields if each.name in old_names}
        if not numbers:
            raise SourceError(
                "rewrite its files (rewrite_data_files)", place=place, what="its columns have no Iceberg numbers"
            )
    names = {}
    for each in wanted:
        there = numbers.get(_number(each))
        if there is None:
            continue
        if pa.types.is_nested(each.type) and _shape(there) != _shape(each):
            raise SourceError(
                "rewrite its files (rewrite_data_files)",
                place=place,
                what=f"column {each.name!r} has other parts here than in the table",
            )
        names[each.name] = there.name
    return names


def _number(field: pa.Field) -> int | None:
    written = (field.metadata or {}).get(_FIELD_ID)
    return None if written is None else int(written)


def _shape(field: pa.Field) -> Any:
    """The numbers of a nested column's parts, and the names of those that have one."""
    if not pa.types.is_nested(field.type):
        return []
    parts = [field.type.field(index) for index in range(field.type.num_fields)]
    named = pa.types.is_struct(field.type)
    return [(_number(part), part.name if named else "", _shape(part)) for part in parts]


# ---------------------------------------------------------------- metadata, through our own store


def _here(where: str) -> str:
    """A path for a file of this machine."""
    return re.sub(r"^file:(//)?", "", where)


class _File(InputFile):
    """A metadata file or manifest: a few megabytes at most, read whole."""

    def __init__(self, location: str, storage: Storage | None, patience: Patience) -> None:
        super().__init__(location)
        self._storage, self._patience = storage, patience

    def _read(self) -> bytes:
        where = _here(self.location)
        if not is_remote(where):
            return Path(where).read_bytes()
        at = address(where)
        return b"".join(blocks(opened(at, self._storage, self._patience), at.key, shown(where), None))

    def __len__(self) -> int:
        return len(self._read())

    def exists(self) -> bool:
        return is_remote(self.location) or os.path.exists(_here(self.location))

    def open(self, seekable: bool = True) -> Any:
        return io.BytesIO(self._read())


class _Files(FileIO):
    """What pyiceberg reads with: no settings of the table's own decide where or by which code."""

    def __init__(self, storage: Storage | None, patience: Patience) -> None:
        super().__init__({})
        self._storage, self._patience = storage, patience

    def new_input(self, location: str) -> InputFile:
        return _File(location, self._storage, self._patience)

    def new_output(self, location: str) -> OutputFile:
        raise AssertionError("a table is only read")

    def delete(self, location: str | InputFile | OutputFile) -> None:
        raise AssertionError("a table is only read")
