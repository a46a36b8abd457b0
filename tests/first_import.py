"""What a test process does before it imports anything else: conftest.py imports this first.

polars reads how many threads it is to have as it is imported. Half of the workers have one, as in a container with one
processor: for frames of five rows, to wake more takes 7 % of a worker's CPU time. Other workers in each run have as
many as there are processors, and so has every process that a test starts.
"""

from __future__ import annotations

import gc
import os

import pytest

gc.disable()  # until pytest has imported and collected 10,000 tests: none of them is garbage
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as the command does, before anything imports numpy

_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
HAS_ONE_THREAD = bool(_WORKER) and (int(_WORKER) + sum(os.environ["PYTEST_XDIST_TESTRUNUID"].encode())) % 2 == 1
with pytest.MonkeyPatch.context() as patched:  # its end hides it from the processes that tests start
    if HAS_ONE_THREAD:
        patched.setenv("POLARS_MAX_THREADS", "1")
    import polars as pl
assert not HAS_ONE_THREAD or pl.thread_pool_size() == 1, "polars was imported before it was told"
