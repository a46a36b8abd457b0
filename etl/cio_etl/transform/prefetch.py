"""Maps frames in parallel, a few ahead of the packer, and gives them in their order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

MAPPERS = min(4, os.cpu_count() or 1)  # polars releases the interpreter; more would only hold more frames


def prefetch(function: Callable[[A], B], frames: Iterable[A], mappers: int = MAPPERS) -> Iterator[B]:
    """`function` of each frame, in order; at most `mappers` results exist at a time.

    An error of `function` is raised in its frame's place, an error of `frames` at once. When the caller stops early,
    the results in progress are waited for.
    """
    with ThreadPoolExecutor(mappers, thread_name_prefix="mapper") as pool:
        results: deque[Future[B]] = deque()
        for frame in frames:
            results.append(pool.submit(copy_context().run, function, frame))  # log events say the step
            if len(results) == mappers:
                yield results.popleft().result()
        while results:
            yield results.popleft().result()
