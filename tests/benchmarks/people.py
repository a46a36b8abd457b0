"""Writes people of six attributes to a Parquet file, of whom every thousandth has another plan on the second night.

python -m tests.benchmarks.people FILE --rows 10000000 --night 2
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

ROWS_AT_ONCE = 1_000_000
CHANGED_OF = 1_000  # of this many people, one changes from the first night to the second


def people(start: int, stop: int, night: int) -> pl.DataFrame:
    """The people of these numbers."""
    number = np.arange(start, stop)
    plan = np.array(["free", "pro", "max"])[number % 3]
    if night > 1:
        plan = np.where(number % CHANGED_OF == 0, "new", plan)
    text = pl.Series(number).cast(pl.String)
    return pl.DataFrame(
        {
            "id": text,
            "email": "p" + text + "@example.com",
            "plan": plan,
            "city": np.array(["Rome", "Oslo", "Bern", "Graz", "Lyon", "Nice", "Kiel"])[number % 7],
            "score": (number * 7_919) % 100_000,
            "seen": 1_700_000_000 + (number * 31) % 10_000_000,
            "active": number % 2 == 0,
        }
    )


def write(path: Path, rows: int, night: int) -> None:
    """Writes the file, a million people at a time."""
    writer: pq.ParquetWriter | None = None
    for start in range(0, rows, ROWS_AT_ONCE):
        table = people(start, min(start + ROWS_AT_ONCE, rows), night).to_arrow(compat_level=pl.CompatLevel.oldest())
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=100_000)
    if writer is not None:
        writer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--night", type=int, required=True)
    options = parser.parse_args()
    write(options.file, options.rows, options.night)
