"""Delta and Iceberg tables become the rows of one version without deleted rows, or an error that names the fault."""

from __future__ import annotations

import datetime as dt
import json
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import structlog
from deltalake import DeltaTable, write_deltalake
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.manifest import DataFile as IcebergFile
from pyiceberg.manifest import (
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestWriterV2,
    write_manifest_list,
)
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform
from pyiceberg.typedef import Record
from pyiceberg.types import LongType, NestedField, StringType, UUIDType
from pyroaring import BitMap

from cio_etl.errors import SourceError, SourceRefused, install
from cio_etl.extract.lake.tables import FRAME_ROWS, lake_reader
from cio_etl.extract.stage import staged
from cio_etl.model import FAULT, POSITION, DeltaSource, IcebergSource, Snapshot, Staging, Storage
from tests.object_store import KEY_ID, ONCE, SECRET, ObjectStore

EVENTS = list[structlog.typing.EventDict]


def opened(source: DeltaSource | IcebergSource, staging: Staging) -> Snapshot:
    return staged(lake_reader(source, staging, ONCE), staging, FRAME_ROWS)


def frame(snapshot: Snapshot, columns: Sequence[str] | None = None) -> pl.DataFrame:
    return pl.concat(snapshot.read(columns, 0)).drop(POSITION, FAULT)


def uploaded(folder: Path, store: ObjectStore) -> str:
    """The folder's files in the bucket, and where."""
    for path in folder.rglob("*"):
        if path.is_file():
            store.put(f"lake/{path.relative_to(folder)}", path.read_bytes())
    return "s3://rows/lake"


# ---------------------------------------------------------------- Delta

ORDERS = pl.DataFrame(
    {
        "id": [1, 2, 3],
        "shop": ["a b", "x/y=%", None],
        "day": [dt.date(2024, 1, 1), dt.date(2024, 1, 2), dt.date(2024, 1, 3)],
        "at": [dt.datetime(2024, 1, 1, 1, 2, 3, 456789, tzinfo=dt.UTC)] * 3,
        "price": [Decimal("1.50"), None, Decimal("-2.25")],
        "items": [[1, 2], [], None],
    }
)


COLUMNS = ["id", "at", "price", "items", "shop", "day", "note"]


def orders(folder: Path) -> Path:
    """A partitioned table: ORDERS in version 0, with a column more in version 1."""
    write_deltalake(folder, ORDERS, partition_by=["shop", "day"])
    newer = ORDERS.with_columns(id=pl.col("id") + 10, note=pl.lit("new"))
    write_deltalake(folder, newer, mode="append", schema_mode="merge")
    return folder


@pytest.mark.parametrize("remote", [False, True])
def test_a_delta_table_gives_its_columns_with_their_types_from_folder_and_store(
    store: ObjectStore, staging: Staging, tmp_path: Path, remote: bool
) -> None:
    folder = orders(tmp_path / "orders")
    source = DeltaSource(uploaded(folder, store), storage=store.storage()) if remote else DeltaSource(str(folder))
    rows = frame(opened(source, staging)).sort("id")
    assert rows.schema["day"] == pl.Date()
    assert rows.schema["at"] == pl.Datetime("us", "UTC")
    assert rows.schema["price"] == pl.Decimal(38, 2)
    assert rows.select(ORDERS.columns).rows() == ORDERS.rows() + ORDERS.with_columns(id=pl.col("id") + 10).rows()
    assert rows["note"].to_list() == [None] * 3 + ["new"] * 3
    assert len(list(staging.folder.iterdir())) == 1  # the copy; files that were fetched for it are gone


def test_a_version_of_a_delta_table_is_read_as_it_was(staging: Staging, tmp_path: Path, quiet_log: EVENTS) -> None:
    rows = frame(opened(DeltaSource(str(orders(tmp_path / "orders")), version=0), staging))
    assert rows.sort("id").rows() == ORDERS.rows()
    assert quiet_log[-1] == {
        "event": "table_pinned",
        "log_level": "info",
        "table": str(tmp_path / "orders"),
        "version": 0,
        "files": 3,
    }


def test_rows_written_later_come_later(staging: Staging, tmp_path: Path) -> None:
    ids = frame(opened(DeltaSource(str(orders(tmp_path / "orders"))), staging))["id"].to_list()
    assert {*ids[:3]} == {1, 2, 3}


def test_a_resumed_run_reads_its_version_and_sends_no_request(
    store: ObjectStore, staging: Staging, tmp_path: Path
) -> None:
    folder = orders(tmp_path / "orders")
    source = DeltaSource(uploaded(folder, store), storage=store.storage())
    before = opened(source, staging)
    write_deltalake(folder, ORDERS.with_columns(note=pl.lit("newest")), mode="append")
    uploaded(folder, store)
    store.asked.clear()
    again = opened(source, replace(staging, may_read=False))
    assert (again.fingerprint, again.rows, store.asked) == (before.fingerprint, 6, [])
    assert opened(source, Staging(tmp_path / "new run")).rows == 9


@pytest.mark.parametrize(
    ("columns", "expected"),
    [(("shop",), ["shop"]), (("id", "shop"), ["id", "shop"]), ((), ["id"]), (None, COLUMNS)],
)
def test_only_wanted_columns_are_copied(
    staging: Staging, tmp_path: Path, columns: tuple[str, ...] | None, expected: list[str]
) -> None:
    snapshot = opened(DeltaSource(str(orders(tmp_path / "orders"))), replace(staging, columns=columns))
    assert [*snapshot.schema] == expected
    assert frame(snapshot).height == 6


def test_a_column_that_a_table_does_not_have_is_an_error(staging: Staging, tmp_path: Path) -> None:
    source = DeltaSource(str(orders(tmp_path / "orders")))
    with pytest.raises(SourceError, match="orders: has no column 'plan'") as error:
        opened(source, replace(staging, columns=("id", "plan")))
    assert error.value.remedy == f"its columns are {', '.join(COLUMNS)}"


def test_a_limit_fetches_only_the_files_that_it_needs(store: ObjectStore, staging: Staging, tmp_path: Path) -> None:
    source = DeltaSource(uploaded(orders(tmp_path / "orders"), store), storage=store.storage())
    assert opened(source, replace(staging, rows=1)).rows == 1
    assert sum(".parquet" in path for path in store.downloads()) <= 4  # one, and those that were read ahead


# A deletion vector as its format says: base 85, and a bitmap for each 2^32 rows.
SIGNS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


def in_base_85(data: bytes) -> str:
    numbers = struct.unpack(f">{len(data) // 4}I", data)
    return "".join(SIGNS[number // 85**power % 85] for number in numbers for power in range(4, -1, -1))


def vector(rows: Sequence[int]) -> dict[str, Any]:
    raw = struct.pack("<iqi", 1681511377, 1, 0) + BitMap(rows).serialize()
    padded = in_base_85(raw + b"\0" * (-len(raw) % 4))
    return {"storageType": "i", "pathOrInlineDv": padded, "sizeInBytes": len(raw), "cardinality": len(rows)}


def with_features(folder: Path, features: Sequence[str], deleted: Sequence[int] = (), rows: int | None = None) -> Path:
    """The table's next version: its one file with deleted rows, in a table that asks its readers for more."""
    table = DeltaTable(folder)
    file = pa.table(table.get_add_actions(flatten=True)).to_pylist()[0]
    add = {"path": file["path"], "partitionValues": {}, "size": file["size_bytes"], "modificationTime": 1}
    add |= {"dataChange": True, "stats": json.dumps({"numRecords": rows or file["num_records"]})}
    if deleted:
        add["deletionVector"] = vector(deleted)
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features, "writerFeatures": features}
    remove = {"remove": {"path": file["path"], "deletionTimestamp": 1, "dataChange": True}}
    log = [{"protocol": protocol}, *([remove] if deleted else []), {"add": add}]
    name = f"{table.version() + 1:020}.json"
    (folder / "_delta_log" / name).write_text("\n".join(map(json.dumps, log)))
    return folder


@pytest.mark.parametrize("remote", [False, True])
def test_deleted_rows_are_left_out(store: ObjectStore, staging: Staging, tmp_path: Path, remote: bool) -> None:
    rows = 2 * FRAME_ROWS + 10
    deleted = [0, 5, FRAME_ROWS - 1, FRAME_ROWS, *range(2 * FRAME_ROWS, rows)]
    write_deltalake(tmp_path / "a table", pl.DataFrame({"id": range(rows)}))
    folder = with_features(tmp_path / "a table", ["deletionVectors"], deleted)
    source = DeltaSource(uploaded(folder, store), storage=store.storage()) if remote else DeltaSource(str(folder))
    assert frame(opened(source, staging))["id"].to_list() == [id for id in range(rows) if id not in {*deleted}]


def test_a_file_of_another_number_of_rows_than_its_table_says_is_an_error(staging: Staging, tmp_path: Path) -> None:
    write_deltalake(tmp_path / "t", pl.DataFrame({"id": [1, 2]}))
    folder = with_features(tmp_path / "t", ["deletionVectors"], rows=3)
    with pytest.raises(SourceError, match=r"\.parquet: is damaged, or no Parquet file$"):
        opened(DeltaSource(str(folder)), staging)


def test_a_table_that_requires_an_unknown_reader_feature_is_refused(staging: Staging, tmp_path: Path) -> None:
    write_deltalake(tmp_path / "t", pl.DataFrame({"id": [1]}))
    folder = with_features(tmp_path / "t", ["deletionVectors", "variantType"])
    with pytest.raises(SourceError, match=r"the table uses variantType, which is not read here$"):
        opened(DeltaSource(str(folder)), staging)


def test_a_delta_file_that_is_gone_or_damaged_is_an_error_that_names_it(
    store: ObjectStore, staging: Staging, tmp_path: Path
) -> None:
    folder = tmp_path / "t"
    write_deltalake(folder, pl.DataFrame({"id": range(1000)}))
    where = uploaded(folder, store)
    file = next(folder.glob("*.parquet"))
    whole = file.read_bytes()
    file.write_bytes(whole[:10] + bytes(200) + whole[210:])
    with pytest.raises(SourceError, match=rf"{file.name}: is damaged, or no Parquet file"):
        opened(DeltaSource(str(folder)), staging)
    file.unlink()
    with pytest.raises(SourceError, match=rf"{file.name}: a file of this version of the table is gone") as error:
        opened(DeltaSource(str(folder)), staging)
    assert error.value.remedy == "name a newer version, or leave it out"
    store.delete(f"lake/{file.name}")
    with pytest.raises(SourceError, match=rf"^s3://rows/lake/{file.name}: a file of this version of the table is gone"):
        opened(DeltaSource(where, storage=store.storage()), staging)


@pytest.mark.parametrize("remote", [False, True])
def test_a_missing_delta_table_or_version_is_an_error(
    store: ObjectStore, staging: Staging, tmp_path: Path, remote: bool
) -> None:
    folder = orders(tmp_path / "orders")
    where = uploaded(folder, store) if remote else str(folder)
    storage = store.storage() if remote else None
    with pytest.raises(SourceError) as error:
        opened(DeltaSource(where, 7, storage=storage), staging)
    assert str(error.value) == f"{where}: the table has no version 7"
    with pytest.raises(SourceError) as error:
        opened(DeltaSource(f"{where}/none", storage=storage), staging)
    assert str(error.value) == f"{where}/none: there is no Delta table, or no right to see it"
    assert error.value.remedy == "name the folder that holds _delta_log"


def test_wrong_keys_of_a_table_are_refused(store: ObjectStore, staging: Staging, tmp_path: Path) -> None:
    where = uploaded(orders(tmp_path / "orders"), store)
    store.check_credentials(True)
    with pytest.raises(SourceRefused, match=r"^s3://rows/lake refused the user or the password$") as error:
        opened(DeltaSource(where, storage=store.storage("ANOTHER")), staging)
    assert error.value.__suppress_context__


@pytest.mark.parametrize(
    ("source", "package", "extra"),
    [(DeltaSource("/t"), "deltalake", "delta"), (IcebergSource("/t"), "pyiceberg", "iceberg")],
    ids=str,
)
def test_a_package_that_is_missing_is_named_with_the_command_that_installs_it(
    staging: Staging, monkeypatch: pytest.MonkeyPatch, source: DeltaSource | IcebergSource, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SourceError, match=f"^/t: the package {package} is not installed$") as error:
        opened(source, staging)
    assert error.value.remedy == install(extra)


# ---------------------------------------------------------------- Iceberg


def catalogue(tmp_path: Path, store: ObjectStore | None = None) -> SqlCatalog:
    warehouse = "s3://rows/lake" if store else str(tmp_path / "lake")
    s3 = {"s3.endpoint": store.url, "s3.access-key-id": KEY_ID, "s3.secret-access-key": SECRET} if store else {}
    settings = {"uri": f"sqlite:///{tmp_path}/c.db", "warehouse": warehouse, "s3.region": "us-east-1", **s3}
    made = SqlCatalog("c", **settings, **{"py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO"})
    made.create_namespace_if_not_exists("n")
    return made


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SqlCatalog]:
    made = catalogue(tmp_path)
    yield made
    made.engine.dispose()


PEOPLE = pa.table(
    {
        "id": pa.array([1, 2, 3], pa.int32()),
        "name": ["a", "b", None],
        "plan": [{"name": "pro", "seats": 1}, None, {"name": None, "seats": 3}],
        "tags": [["x"], [], None],
        "born": [dt.date(2000, 1, 1)] * 3,
    }
)


def people(catalog: SqlCatalog) -> Table:
    """A table of two snapshots: in between, a column is renamed, one widened, one dropped and one added."""
    table = catalog.create_table("n.people", schema=PEOPLE.schema)
    table.append(PEOPLE)
    with table.update_schema() as change:
        change.rename_column("name", "full name")
        change.update_column("id", LongType())
        change.delete_column("born")
    with table.update_schema() as change:
        change.add_column("name", StringType())
    newer = {"id": [4], "full name": ["d"], "plan": [{"name": "free", "seats": 0}], "tags": [["y", "z"]], "name": ["D"]}
    table.append(pa.table(newer, schema=table.schema().as_arrow()))
    return table


NEWEST = [
    (1, "a", {"name": "pro", "seats": 1}, ["x"], None),
    (2, "b", None, [], None),
    (3, None, {"name": None, "seats": 3}, None, None),
    (4, "d", {"name": "free", "seats": 0}, ["y", "z"], "D"),
]


def test_an_iceberg_table_s_columns_are_matched_by_number_after_a_rename(catalog: SqlCatalog, staging: Staging) -> None:
    rows = frame(opened(IcebergSource(people(catalog).metadata_location), staging)).sort("id")
    assert rows.columns == ["id", "full name", "plan", "tags", "name"]
    assert rows.schema["id"] == pl.Int64()
    assert rows.rows() == NEWEST


def test_an_iceberg_table_is_read_by_its_folder(catalog: SqlCatalog, staging: Staging) -> None:
    table = people(catalog)
    assert opened(IcebergSource(table.location().removeprefix("file://")), staging).rows == 4
    folder = Path(table.metadata_location).parent
    newest = Path(table.metadata_location).name
    (folder / newest.replace(newest[6:14], "0" * 8)).write_bytes((folder / newest).read_bytes())
    with pytest.raises(SourceError, match="two metadata files have the highest number"):
        opened(IcebergSource(str(folder.parent)), replace(staging, rows=3))


def test_an_iceberg_table_in_an_object_store_is_read_with_the_storage_s_keys(
    store: ObjectStore, staging: Staging, tmp_path: Path
) -> None:
    made = catalogue(tmp_path, store)
    table = people(made)
    made.engine.dispose()
    for where in (table.metadata_location, table.location()):
        source = IcebergSource(where, storage=store.storage())
        assert frame(opened(source, staging)).sort("id").rows() == NEWEST
    store.check_credentials(True)
    with pytest.raises(SourceRefused):
        opened(IcebergSource(table.location(), storage=store.storage("ANOTHER")), Staging(tmp_path / "other"))


def test_a_snapshot_of_an_iceberg_table_is_read_as_it_was(catalog: SqlCatalog, staging: Staging) -> None:
    table = people(catalog)
    first = table.history()[0].snapshot_id
    rows = frame(opened(IcebergSource(table.metadata_location, first), staging))
    assert rows.to_dicts() == PEOPLE.to_pylist()
    with pytest.raises(SourceError, match=r"the table has no snapshot 7$") as error:
        opened(IcebergSource(table.metadata_location, 7), staging)
    assert error.value.remedy == "leave `snapshot:` out for the current one; old ones expire"


def test_an_iceberg_table_without_a_snapshot_has_no_rows(catalog: SqlCatalog, staging: Staging) -> None:
    table = catalog.create_table("n.empty", schema=PEOPLE.schema)
    snapshot = opened(IcebergSource(table.metadata_location), staging)
    assert (snapshot.rows, [*snapshot.schema]) == (0, PEOPLE.column_names)


def test_a_column_that_only_the_folder_names_has_its_value_from_there(catalog: SqlCatalog, staging: Staging) -> None:
    schema = Schema(NestedField(1, "id", LongType()), NestedField(2, "day", StringType()))
    spec = PartitionSpec(PartitionField(2, 1000, IdentityTransform(), "day"))
    table = catalog.create_table("n.t", schema=schema, partition_spec=spec)
    table.append(pa.table({"id": [1, 2], "day": ["01", "02"]}, schema=table.schema().as_arrow()))
    for task in table.scan().plan_files():  # as Hive leaves them
        path = task.file.file_path.removeprefix("file://")
        pq.write_table(pq.read_table(path, partitioning=None).drop_columns(["day"]), path)
    rows = frame(opened(IcebergSource(table.metadata_location), staging)).sort("id")
    assert rows.rows() == [(1, "01"), (2, "02")]


def test_nested_columns_that_have_changed_are_refused_for_older_files(catalog: SqlCatalog, staging: Staging) -> None:
    table = people(catalog)
    with table.update_schema() as change:
        change.rename_column("plan.name", "title")
    with pytest.raises(SourceError, match="column 'plan' has other parts here than in the table") as error:
        opened(IcebergSource(table.metadata_location), staging)
    assert error.value.remedy == "rewrite its files (rewrite_data_files)"


class Deletes(ManifestWriterV2):
    """pyiceberg writes no files of deletes; other tools do."""

    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


def with_deletes(table: Table, path: str, content: DataFileContent, rows: int) -> str:
    """The metadata file of the table's next snapshot, in which the file at `path` deletes rows."""
    current, number = table.current_snapshot(), 77
    assert current is not None
    folder = Path(table.metadata_location).parent
    file = IcebergFile.from_args(
        content=content,
        file_path=path,
        file_format=FileFormat.PARQUET,
        partition=Record(),
        record_count=rows,
        file_size_in_bytes=os.path.getsize(path),
        column_sizes={},
        value_counts={},
        null_value_counts={},
        nan_value_counts={},
        lower_bounds={},
        upper_bounds={},
        equality_ids=[1] if content == DataFileContent.EQUALITY_DELETES else None,
    )
    io = table.io
    with Deletes(table.spec(), table.schema(), io.new_output(f"{folder}/deletes.avro"), number, "null") as manifest:
        manifest.add(ManifestEntry.from_args(status=ManifestEntryStatus.ADDED, snapshot_id=number, data_file=file))
    sequence = current.sequence_number or 0
    where = f"{folder}/list.avro"
    with write_manifest_list(2, io.new_output(where), number, current.snapshot_id, sequence + 1, "null") as manifests:
        manifests.add_manifests([*current.manifests(io), manifest.to_manifest_file()])
    metadata = json.loads(Path(table.metadata_location.removeprefix("file://")).read_text())
    snapshot = {"snapshot-id": number, "sequence-number": sequence + 1, "timestamp-ms": metadata["last-updated-ms"]}
    snapshot |= {"manifest-list": where, "summary": {"operation": "delete"}, "schema-id": metadata["current-schema-id"]}
    metadata["snapshots"].append(snapshot)
    metadata |= {"current-snapshot-id": number, "last-sequence-number": sequence + 1, "refs": {}}
    (folder / "99999-x.metadata.json").write_text(json.dumps(metadata))
    return f"{folder}/99999-x.metadata.json"


def test_rows_that_an_iceberg_table_deletes_by_position_are_left_out(catalog: SqlCatalog, staging: Staging) -> None:
    rows = 2 * FRAME_ROWS + 10
    table = catalog.create_table("n.t", schema=pa.schema({"id": pa.int64()}))
    for first in (0, rows):
        table.append(pa.table({"id": range(first, first + rows)}))
    first_file, second_file = (
        next(task.file.file_path for task in table.scan(f"id == {row}").plan_files()) for row in (0, rows)
    )
    gone = [(first_file, 0), (first_file, FRAME_ROWS), (second_file, 5), (second_file, rows - 1)]
    path = f"{Path(table.metadata_location).parent}/deletes.parquet"
    pq.write_table(pa.table({"file_path": [file for file, _ in gone], "pos": [row for _, row in gone]}), path)
    newest = with_deletes(table, path, DataFileContent.POSITION_DELETES, len(gone))
    ids = frame(opened(IcebergSource(newest), staging))["id"]
    assert {*range(2 * rows)} - {*ids} == {0, FRAME_ROWS, rows + 5, 2 * rows - 1}
    assert len(ids) == 2 * rows - 4


def test_rows_that_an_iceberg_table_deletes_by_value_are_not_sent(catalog: SqlCatalog, staging: Staging) -> None:
    table = catalog.create_table("n.t", schema=pa.schema({"id": pa.int64()}))
    table.append(pa.table({"id": [1, 2]}))
    path = f"{Path(table.metadata_location).parent}/deletes.parquet"
    pq.write_table(pa.table({"id": [1]}), path)
    newest = with_deletes(table, path, DataFileContent.EQUALITY_DELETES, 1)
    with pytest.raises(SourceError, match=r"has deleted rows that are still in its files$") as error:
        opened(IcebergSource(newest), staging)
    assert error.value.remedy == "compact the table (rewrite_data_files), or query it with sql:"


def test_a_path_without_an_iceberg_table_is_an_error(staging: Staging, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no Iceberg table") as error:
        opened(IcebergSource(str(tmp_path)), staging)
    assert error.value.remedy == "name the folder above metadata/, or a metadata.json in it"
    with pytest.raises(SourceError, match="there is no Iceberg table"):
        opened(IcebergSource(str(tmp_path / "x.metadata.json")), staging)
    (tmp_path / "x.metadata.json").write_text('{"format-version": 2, "location": "SECRET"}')
    with pytest.raises(SourceError, match=r"x\.metadata\.json: the table's metadata cannot be read$"):
        opened(IcebergSource(str(tmp_path / "x.metadata.json")), staging)


def test_storage_settings_and_versions_decide_which_copy_is_read(staging: Staging) -> None:
    sources: list[DeltaSource | IcebergSource] = [
        DeltaSource("/t"),
        DeltaSource("/t", 1),
        DeltaSource("/u"),
        DeltaSource("/t", storage=Storage("http://x")),
        IcebergSource("/t"),
    ]
    assert len({json.dumps(lake_reader(source, staging).settings) for source in sources}) == len(sources)


# ---------------------------------------------------------------- types and checksums


def test_a_uuid_of_an_iceberg_table_is_its_text(catalog: SqlCatalog, staging: Staging) -> None:
    schema = Schema(NestedField(1, "id", LongType(), required=False), NestedField(2, "key", UUIDType(), required=False))
    table = catalog.create_table("n.keys", schema=schema)
    key = b"0123456789abcdef"
    table.append(pa.table({"id": [1], "key": pa.array([key], pa.uuid())}, schema=table.schema().as_arrow()))
    rows = frame(opened(IcebergSource(table.metadata_location), staging))
    assert rows.rows() == [(1, "30313233-3435-3637-3839-616263646566")]


@pytest.mark.fault("S17")
def test_a_page_that_does_not_agree_with_its_checksum_is_damaged(staging: Staging, tmp_path: Path) -> None:
    folder = tmp_path / "orders"
    write_deltalake(folder, pl.DataFrame({"id": range(100)}))
    (path,) = folder.glob("*.parquet")
    pq.write_table(
        pa.table({"id": range(100)}), path, write_page_checksum=True, use_dictionary=False, compression="none"
    )
    assert frame(opened(DeltaSource(str(folder)), staging)).height == 100
    content = bytearray(path.read_bytes())
    content[content.index((57).to_bytes(8, "little")) + 2] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"\.parquet: is damaged"):
        opened(DeltaSource(str(folder)), replace(staging, folder=tmp_path / "again"))


def test_an_interval_column_is_an_error_only_where_it_is_read(staging: Staging) -> None:
    schema = pa.schema({"id": pa.int64(), "odd": pa.month_day_nano_interval()})
    reader = lake_reader(DeltaSource("table"), replace(staging, columns=("id",)))
    assert [*reader._wanted(schema)] == ["id"]
    with pytest.raises(SourceError, match="table: column 'odd' is an INTERVAL, which is not read here"):
        lake_reader(DeltaSource("table"), replace(staging, columns=("id", "odd")))._wanted(schema)
