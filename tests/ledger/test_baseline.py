"""The rows of a first run, noted by some partitions and read by others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cio_etl.ledger.baseline import BaselineWriter, baseline_rows
from cio_etl.model import POSITION


@pytest.mark.parametrize("noted_bits", [0, 3])
@pytest.mark.parametrize("bits", [0, 1, 3, 5])
def test_noted_rows_are_in_the_partition_of_their_subject(tmp_path: Path, noted_bits: int, bits: int) -> None:
    hashes = np.random.default_rng(5).integers(0, 2**64, 200, dtype=np.uint64)
    rows = pl.DataFrame({POSITION: range(200), "hi": hashes, "is_sent": [True] * 200})
    writer = BaselineWriter(tmp_path, 200, noted_bits)
    for start in (0, 100):
        writer.add(100, rows.slice(start, 100))
    writer.finish()
    found = [baseline_rows(tmp_path, noted_bits, number, bits) for number in range(1 << bits)]
    assert {each.n_chunks() for each in found if each is not None} == {1}  # of many, each later step would take longer
    positions = [[] if each is None else sorted(each[POSITION]) for each in found]
    in_partition = [hashes >> np.uint64(64 - bits) if bits else np.zeros(200, np.uint64)] * (1 << bits)
    assert positions == [np.flatnonzero(each == number).tolist() for number, each in enumerate(in_partition)]
