"""One version of a table of a lake: its schema and the Parquet files that hold its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cio_etl.extract.remote.storage import Address
from cio_etl.model import is_remote
from cio_etl.model.records import dataclass


@dataclass(frozen=True, slots=True)
class DataFile:
    """One Parquet file of a table's version."""

    where: str  # its address, or its path here
    rows: int | None  # with those that are deleted; None: the table doesn't say
    constants: Mapping[str, pa.Scalar] = field(default_factory=dict)  # columns that the file itself does not hold
    deleted: npt.NDArray[np.int64] | None = None  # rows that don't count, ascending


@dataclass(frozen=True, slots=True)
class TableVersion:
    """One version of a table. `columns_of` says by which names a file has the table's columns; those it lacks are null.

    It raises SourceError for a file that cannot be read as the table's.
    """

    version: int | None  # of Delta, or the snapshot of Iceberg; None: it has none yet
    schema: pa.Schema
    files: Sequence[DataFile]
    columns_of: Callable[[str, pa.Schema], Mapping[str, str]]


def located(folder: str, at: Address | None, name: str) -> str:
    """The address or path of a file that a table's log names, relative to its folder or whole."""
    if is_remote(name):
        return name.removeprefix("file://") if name.startswith("file:") else name
    if name.startswith("/"):
        return name
    root = folder.rstrip("/") if at is None else f"{at.root}/{at.key.rstrip('/')}".rstrip("/")
    return f"{root}/{name}"
