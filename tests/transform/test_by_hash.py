"""Rows by the hash of their key: all of them come back, those of one hash together, wherever they waited."""

from __future__ import annotations

import time

import numpy as np
import polars as pl
import pytest

from cio_etl.transform.by_hash import KEY, RowsByHash

NUMBERS = np.random.default_rng(1)


def rows(first: int, count: int) -> pl.DataFrame:
    hashes = NUMBERS.integers(0, 2**64, count, dtype=np.uint64)
    hashes[::7] = np.arange(0, count, 7, dtype=np.uint64) << np.uint64(50)  # these are in other frames, too
    return pl.DataFrame({KEY: hashes, "position": np.arange(first, first + count), "text": ["a"] * count})


@pytest.mark.parametrize("in_memory", [0, 30_000, 1 << 30])
def test_all_rows_of_a_hash_come_back_in_one_part_and_in_their_order(in_memory: int) -> None:
    held, frames = RowsByHash(in_memory=in_memory), [rows(first, 1_000) for first in range(0, 5_000, 1_000)]
    for frame in frames:
        held.add(frame)
    added = pl.concat(frames)
    for parts in (list(held.parts()), list(held.parts())):  # they can be read again
        assert pl.concat(parts).sort("position").equals(added)
        assert sum(part[KEY].n_unique() for part in parts) == added[KEY].n_unique()
        assert all(part.filter(pl.col(KEY) == key)["position"].is_sorted() for part in parts for key in part[KEY][:3])


def test_rows_that_wait_in_memory_come_back_as_fast_as_those_of_the_file() -> None:
    def seconds(in_memory: int) -> float:
        """CPU seconds for three million rows, the last million of which waits in small frames, if there is room."""
        held = RowsByHash(in_memory=in_memory)
        waiting = pl.DataFrame({KEY: NUMBERS.integers(0, 2**64, 1_000_000, dtype=np.uint64)})
        began = time.process_time()
        for frame in (waiting, waiting, *waiting.iter_slices(2_000)):
            held.add(frame)
        assert sum(part.height for part in held.parts()) == 3_000_000
        return time.process_time() - began

    assert min(seconds(9_000_000) for _ in range(3)) < 3 * min(seconds(7_000_000) for _ in range(3))
