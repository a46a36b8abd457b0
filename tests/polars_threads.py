"""How many threads polars has in a test process, which it reads as it is imported: half of the workers have one.

That is so in a container with one processor. For frames of five rows, to wake more takes 7 % of a worker's CPU time.
Other workers in each run have as many as there are processors, and so has every process that a test starts.
"""

from __future__ import annotations

import os

import pytest

_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
HAS_ONE_THREAD = bool(_WORKER) and (int(_WORKER) + sum(os.environ["PYTEST_XDIST_TESTRUNUID"].encode())) % 2 == 1
with pytest.MonkeyPatch.context() as patched:  # its end hides it from the processes that tests start
    if HAS_ONE_THREAD:
        patched.setenv("POLARS_MAX_THREADS", "1")
    import polars as pl
assert not HAS_ONE_THREAD or pl.thread_pool_size() == 1, "polars was imported before it was told"
