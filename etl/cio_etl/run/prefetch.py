"""How are all cores kept busy? Frames are mapped a few ahead of the packer, and handed over in their order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

MAPPERS = min(4, os.cpu_count() or 1)  # polars lets go of the interpreter; more would only hold more frames


def prefetch(function: Callable[[A], B], frames: Iterable[A], mappers: int = MAPPERS) -> Iterator[B]:
    """`function` of each frame, in order; at most `mappers` of them are made or held at a time.

    What `function` raises is raised here in its place, what `frames` raises at once. Left early, it waits for what is
    being made.
    """
    with ThreadPoolExecutor(mappers, thread_name_prefix="mapper") as pool:
        made: deque[Future[B]] = deque()
        for frame in frames:
            made.append(pool.submit(function, frame))
            if len(made) == mappers:
                yield made.popleft().result()
        while made:
            yield made.popleft().result()
