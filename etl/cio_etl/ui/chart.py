"""A run's throughput as the bars of a chart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from cio_etl.model import Bar
from cio_etl.run import Point

MOST_BARS = 60
WIDTHS_S = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400)


def throughput_bars(processes: Sequence[Sequence[Point]]) -> tuple[tuple[Bar, ...], int]:
    """The rows that were settled in each stretch of time, and how many seconds a stretch has.

    The time between the processes of a run is left out. Rows between two points are spread evenly.
    """
    times = [process[-1][0] - process[0][0] for process in processes if process]
    fitting = (width for width in WIDTHS_S if sum(time // width + 1 for time in times) <= MOST_BARS)
    width = next(fitting, WIDTHS_S[-1])
    bars = [bar for process in processes if len(process) > 1 for bar in _bars_of(process, width)]
    return tuple(bars[-MOST_BARS:]), width


def _bars_of(process: Sequence[Point], width: int) -> list[Bar]:
    begin, end = process[0][0], process[-1][0]
    edges = [begin + width * number for number in range(int((end - begin) // width) + 1)] + [end]
    settled = [round(_settled_at(process, edge)) for edge in edges]
    return [
        Bar(f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}", max(after - before, 0))
        for at, before, after in zip(edges, settled, settled[1:], strict=False)
    ]


def _settled_at(process: Sequence[Point], at: float) -> float:
    before = process[0]
    for point in process:
        if point[0] >= at:
            share = (at - before[0]) / (point[0] - before[0]) if point[0] > before[0] else 1.0
            return before[1] + share * (point[1] - before[1])
        before = point
    return before[1]
