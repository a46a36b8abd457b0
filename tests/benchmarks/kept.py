"""What did a contender leave on the disk? The files' rows and distinct ids, counted by another program than it was.

    python -m tests.benchmarks.kept FOLDER

prints both, of all Parquet and CSV files in the folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl


def kept(folder: Path) -> tuple[int, int]:
    """The number of rows, and of different ids among them."""
    found = [
        *(pl.read_parquet(path, columns=["id"]) for path in sorted(folder.rglob("*.parquet"))),
        *(pl.read_csv(path, columns=["id"]) for path in sorted(folder.rglob("*.csv"))),
    ]
    ids = pl.concat([frame.cast(pl.Int64) for frame in found] or [pl.DataFrame()])
    return ids.height, ids.unique().height


if __name__ == "__main__":
    print(*kept(Path(sys.argv[1])))
