"""Rows that wait by partition."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FEW_FILES = """
import resource, sys
from pathlib import Path
import polars as pl
from cio_etl.ledger.spill import Spill

_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
spill = Spill(Path(sys.argv[1]), pl.col("a").cast(pl.UInt32) % 200)
for start in (0, 200_000):
    spill.add(pl.DataFrame({"a": range(start, start + 200_000)}))
spill.finish()
assert [spill.part(number).height for number in range(200)] == [2_000] * 200
"""


def test_there_may_be_more_partitions_than_files_are_allowed_at_first(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FEW_FILES, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
