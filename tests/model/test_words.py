"""Figures are readable, and never rounded to something more or less than they are."""

from __future__ import annotations

import pytest

from cio_etl.model.words import duration, number, percent, size


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (0, 10, "0 %"),
        (0, 0, "0 %"),
        (1, 3, "33.3 %"),
        (1, 2, "50 %"),
        (1, 1_000_000, "< 0.1 %"),
        (999_999, 1_000_000, "> 99.9 %"),
        (7, 7, "100 %"),
    ],
)
def test_a_share_is_never_none_of_something_nor_all_of_less(part: int, whole: int, said: str) -> None:
    assert percent(part, whole) == said.replace(" %", "\u00a0%")


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (99_960, "100.0 kB"),
        (549_000, "549 kB"),
        (4_200_000, "4.2 MB"),
        (7_100_000_000, "7.1 GB"),
        (12_345_000_000_000, "12,345 GB"),
    ],
)
def test_a_size_has_a_unit_that_leaves_a_readable_number(count: int, said: str) -> None:
    assert size(count) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1 min"), (3_600, "60 min"), (9_000, "2.5 h"), (400_000, "4.6 days")],
)
def test_a_time_has_a_unit_that_leaves_a_readable_number(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(("value", "said"), [(1_234_567, "1,234,567"), (100.0, "100"), (0.5, "0.5")])
def test_a_number_has_no_more_digits_than_it_needs(value: float, said: str) -> None:
    assert number(value) == said
