"""Finds the files of a version of a Delta table, and which of their rows are deleted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from cio_etl.errors import EtlError, SourceError
from cio_etl.extract.lake.version import DataFile, TableVersion, located
from cio_etl.extract.remote.storage import Patience, address, complaint, table_options
from cio_etl.model import DeltaSource, is_remote

# Features of tables that this reader respects; typeWidening is a cast.
_SUPPORTED = {"deletionVectors", "timestampNtz", "v2Checkpoint", "vacuumProtocolCheck", "typeWidening"}


def pinned(source: DeltaSource, place: str, patience: Patience) -> TableVersion:
    """The table's named version, or its newest. Raises SourceError for none, and for unsupported features."""
    at = address(source.table) if is_remote(source.table) else None
    options = None
    if at is not None:
        retries = {"max_retries": str(patience.retries), "retry_timeout": f"{max(patience.retry_s, 1):.0f}s"}
        options = table_options(at, source.storage) | retries
    with _reworded(place, source.version):
        delta = DeltaTable(
            source.table if at is None else f"{at.root}/{at.key}", version=source.version, storage_options=options
        )
        _check(delta, place)
        actions = pa.table(delta.get_add_actions(flatten=True))
        schema = pa.schema(delta.schema().to_arrow())
        deleted = _deleted(delta)
    partitions = delta.metadata().partition_columns
    wanted = ["path", "num_records", "modification_time", *(f"partition.{name}" for name in partitions)]
    actions = actions.select([name for name in wanted if name in actions.column_names])
    files, used = [], 0
    for row in actions.sort_by([("modification_time", "ascending"), ("path", "ascending")]).to_pylist():
        name = row["path"]
        where = located(source.table, at, unquote(name))
        gone = next((rows for uri, rows in deleted.get(_last(name), {}).items() if _same(uri, name)), None)
        used += gone is not None
        constants = {each: pa.scalar(row[f"partition.{each}"], schema.field(each).type) for each in partitions}
        files.append(DataFile(where, row.get("num_records"), constants, gone))
    if used != sum(map(len, deleted.values())):  # never send a row that is deleted
        raise SourceError(
            "compact the table (OPTIMIZE, REORG … PURGE)",
            place=place,
            what="its deleted rows cannot be told from the others",
        )
    return TableVersion(delta.version(), schema, files, _by_name)


def _by_name(_place: str, schema: pa.Schema) -> Mapping[str, str]:
    return {name: name for name in schema.names}


def _check(delta: DeltaTable, place: str) -> None:
    protocol, settings = delta.protocol(), delta.metadata().configuration
    strange = sorted({*(protocol.reader_features or ())} - _SUPPORTED - {"columnMapping"})
    if settings.get("delta.columnMapping.mode", "none") != "none":
        strange.append("columnMapping")
    if strange:
        raise SourceError(
            "copy its rows into a table without it, or query it with sql:",
            place=place,
            what=f"the table uses {', '.join(strange)}, which is not read here",
        )


def _deleted(delta: DeltaTable) -> dict[str, dict[str, npt.NDArray[np.int64]]]:
    """The deleted rows of files, by the last part of their names and by address."""
    deleted: dict[str, dict[str, npt.NDArray[np.int64]]] = {}
    if "deletionVectors" not in (delta.protocol().reader_features or ()):
        return deleted
    for batch in pa.RecordBatchReader.from_stream(delta.deletion_vectors()):
        for uri, selected in zip(batch["filepath"].to_pylist(), batch["selection_vector"], strict=True):
            rows = np.flatnonzero(~selected.values.to_numpy(zero_copy_only=False))
            deleted.setdefault(_last(uri), {})[uri] = rows
    return deleted


def _last(name: str) -> str:
    return unquote(name).rpartition("/")[2]


def _same(uri: str, name: str) -> bool:
    """Whether an address and a name in the log mean the same file; one may be encoded once more than the other."""
    return any(
        one == other or one.endswith(f"/{other}") for one in (uri, unquote(uri)) for other in (name, unquote(name))
    )


@contextmanager
def _reworded(place: str, version: int | None) -> Iterator[None]:
    """Raises EtlError in place of deltalake's errors, whose words have addresses and bodies of answers."""
    try:
        yield
    except EtlError:
        raise
    except TableNotFoundError:
        raise SourceError(
            "name the folder that holds _delta_log", place=place, what="there is no Delta table, or no right to see it"
        ) from None
    except Exception as error:
        words = str(error)
        if version is not None and "version" in words.lower() and "status code" not in words:
            raise SourceError(
                "leave `version:` out for the newest; old ones go when the log is cleaned up",
                place=place,
                what=f"the table has no version {version}",
            ) from None
        raise (
            complaint(place, error)
            if is_remote(place)
            else SourceError("look at it with other tools", place=place, what="the table's log cannot be read")
        ) from None
