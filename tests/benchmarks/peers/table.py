"""What the readers of a table share: their arguments, and where they put the rows."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROWS_A_CHUNK = 50_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What a peer is asked to read, and the empty folder for it."""

    url: str  # SQLAlchemy's form
    table: str
    folder: Path

    @property
    def query(self) -> str:
        return f"select * from {self.table}"


def parser() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("url")
    arguments.add_argument("table")
    arguments.add_argument("folder", type=Path)
    return arguments


def asked(arguments: argparse.Namespace) -> Asked:
    arguments.folder.mkdir(parents=True, exist_ok=True)
    return Asked(arguments.url, arguments.table, arguments.folder)


def write_parquet(batches: Iterable[Any], schema: Any, folder: Path) -> int:
    """Arrow batches to one Parquet file, as pyarrow's documents show it; returns how many rows they had."""
    import pyarrow.parquet as pq

    rows = 0
    with pq.ParquetWriter(folder / "rows.parquet", schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows
