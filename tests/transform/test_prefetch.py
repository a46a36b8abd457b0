"""Frames are mapped ahead, a bounded number of them, and come out in their order."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from cio_etl.transform.prefetch import prefetch


def test_results_are_in_the_order_of_the_frames_however_long_each_takes() -> None:
    second_is_done = threading.Event()

    def slow_first(number: int) -> int:
        if number == 0:
            assert second_is_done.wait(10)
        elif number == 1:
            second_is_done.set()
        return number * 10

    assert list(prefetch(slow_first, range(6), mappers=2)) == [0, 10, 20, 30, 40, 50]


def test_no_more_frames_are_read_than_are_mapped_at_a_time() -> None:
    read: list[int] = []

    def frames() -> Iterator[int]:
        for number in range(10):
            read.append(number)
            yield number

    results = prefetch(lambda number: number, frames(), mappers=3)
    assert next(results) == 0
    assert read == [0, 1, 2]
    assert next(results) == 1
    assert read == [0, 1, 2, 3]
    results.close()  # type: ignore[attr-defined]


def test_an_error_is_raised_in_its_place() -> None:
    def third_fails(number: int) -> int:
        return 1 // (2 - number) and number

    results = prefetch(third_fails, range(5), mappers=2)
    assert next(results) == 0
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_an_error_of_the_source_is_raised() -> None:
    def frames() -> Iterator[int]:
        yield 0
        raise LookupError("source")

    with pytest.raises(LookupError, match="source"):
        list(prefetch(lambda number: number, frames(), mappers=2))


def test_after_an_early_exit_no_thread_runs_in_the_background() -> None:
    results = prefetch(lambda number: number, range(100), mappers=2)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert not any(thread.name.startswith("mapper") for thread in threading.enumerate())
