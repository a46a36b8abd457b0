"""Counts the rows and distinct ids that a contender has written to the disk, by another program than the contender.

    python -m tests.benchmarks.count_rows FOLDER

prints both, of all Parquet and CSV files in the folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl


def count(folder: Path) -> tuple[int, int]:
    """The number of rows, and of different ids among them."""
    frames = [
        *(pl.read_parquet(path, columns=["id"]) for path in sorted(folder.rglob("*.parquet"))),
        *(pl.read_csv(path, columns=["id"]) for path in sorted(folder.rglob("*.csv"))),
    ]
    ids = pl.concat([frame.cast(pl.Int64) for frame in frames] or [pl.DataFrame()])
    return ids.height, ids.unique().height


if __name__ == "__main__":
    print(*count(Path(sys.argv[1])))
