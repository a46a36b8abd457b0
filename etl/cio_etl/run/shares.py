"""Parses which lanes of a run one of its workers takes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MOST_LANES = 256


@dataclass(frozen=True, slots=True)
class Share:
    """The lanes of a run that one of its workers starts with: `0-7/16` is the first half of sixteen."""

    lanes: frozenset[int]
    of: int

    def __str__(self) -> str:
        return f"{','.join(_ranges(sorted(self.lanes)))}/{self.of}"


def share(text: str) -> int | Share:
    """A number of lanes, such as `32`, or a part of all lanes, such as `0-7/16` or `0,4,8-11/16`. Raises ValueError."""
    if (match := re.fullmatch(r"(?:([\d,-]+)/)?(\d{1,3})", text, re.ASCII)) is None:
        raise ValueError("write a number, as 32, or lanes of all, as 0-7/16")
    total = int(match[2])
    if not 1 <= total <= MOST_LANES:
        raise ValueError(f"there are 1 to {MOST_LANES} lanes")
    if match[1] is None:
        return total
    lanes: set[int] = set()
    for part in match[1].split(","):
        if (ends := re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", part, re.ASCII)) is None:
            raise ValueError("write lanes as 0-7 or 0,4,8")
        lanes |= set(range(int(ends[1]), int(ends[2] or ends[1]) + 1))
    if not lanes or max(lanes) >= total:
        raise ValueError(f"lanes of {total} are 0 to {total - 1}")
    return Share(frozenset(lanes), total)


def _ranges(lanes: Sequence[int]) -> Iterator[str]:
    """Lanes in order, as `0-7` and `9`."""
    first = 0
    for place in range(1, len(lanes) + 1):
        if place == len(lanes) or lanes[place] != lanes[place - 1] + 1:
            yield f"{lanes[first]}" if place - 1 == first else f"{lanes[first]}-{lanes[place - 1]}"
            first = place
