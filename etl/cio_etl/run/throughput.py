"""Keeps how many rows of a run were settled when: a bounded series, which the page of runs draws.

    <state>/runs/RUN/throughput.json     {"processes": [[[Unix seconds, settled rows], …], …]}

Each process of a run adds a list. The last point of a list is the newest; the others are far enough from each other
that a list never has more than MOST.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from cio_etl.report.files import write_text

NAME = "throughput.json"
MOST = 240  # points of a process: a run of a day has one each six minutes
MOST_PROCESSES = 20  # of a run that is resumed again and again; the first ones are dropped

Point = tuple[float, int]  # Unix seconds, rows settled until then


class Throughput:
    """The series of a run; this process adds to a list of its own."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / NAME
        self._before = read_throughput(folder)
        self._own: list[Point] = []
        self._apart_s = 0.0  # of two points, at least

    def add(self, at: float, settled: int) -> None:
        """Adds a point; the last one gives way to it where it is too near to the one before. Raises OSError."""
        own = self._own
        if len(own) > 1 and own[-1][0] - own[-2][0] < self._apart_s:
            own.pop()
        own.append((at, settled))
        if len(own) > MOST:
            self._own = [*own[:-1:2], own[-1]]
            self._apart_s = 2 * max(self._apart_s, (own[-1][0] - own[0][0]) / len(own))
        processes = [*self._before, self._own][-MOST_PROCESSES:]
        write_text(self._file, json.dumps({"processes": processes}) + "\n")


def read_throughput(folder: Path) -> list[list[Point]]:
    """The points of each process of a run; empty where there are none, or they cannot be read."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        content = json.loads((folder / NAME).read_text(encoding="utf-8"))
        return [[(float(at), int(settled)) for at, settled in process] for process in content["processes"]]
    return []
