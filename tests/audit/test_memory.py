"""What compares all rows of a data set holds no more memory for more rows."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Rows in frames of 50,000, each with another key, but for the last row of all, whose key is that of the first.
PROGRAM = """
import resource
import polars as pl
from cio_etl.audit.dates import PeopleTimes
from cio_etl.audit.expectations import _repeated
from cio_etl.audit.keys import Keys
from cio_etl.transform.by_hash import KEY, RowsByHash
from cio_etl.transform.repeats import Repeated

def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

def compared(rows):
    keys, times, unique, repeated = Keys(), PeopleTimes(rows), RowsByHash(), Repeated()
    for start in range(0, rows, 50_000):
        position = pl.int_range(start, start + 50_000, eager=True)
        number = position if start + 50_000 < rows else pl.concat([position[:-1], pl.Series([0])])
        hashes = number.hash().alias(KEY)
        keys.add(position, hashes, position.hash())
        times.add(hashes, -position, position)
        unique.add(pl.DataFrame([hashes, position.alias("_position")]))
        repeated.add(hashes.to_numpy())
    again, late = keys.summary().disagreeing, times.out_of_order()
    assert (keys.distinct(), keys.every) == (rows - 1, 1)
    assert (again.keys, again.rows, again.contents, again.first) == (1, 2, 2, (0, rows - 1))
    assert (late.rows, late.first) == (1, (rows - 1,))
    assert _repeated(unique) == (1, (rows - 1,))
    assert repeated.found().any

compared(600_000)
before = peak_mb()
compared(2_400_000)
print(peak_mb() - before)
"""


@pytest.mark.slow
def test_four_times_the_rows_are_compared_exactly_in_the_same_memory() -> None:
    command = [sys.executable, "-c", PROGRAM]
    more = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert more < 60  # MB; the hashes alone have 150
