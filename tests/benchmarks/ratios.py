"""Ratios of figures that were measured in one run, beside the ratios that we want."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Figure:
    """One run of one contender."""

    rows: int
    seconds: float
    cpu_s: float
    peak_mb: float
    requests: int
    bytes_sent: int

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds


def middle(figures: Sequence[Figure]) -> Figure:
    """The median of each measure over the runs of one contender, which are of the same rows."""
    return Figure(
        rows=figures[0].rows,
        seconds=median(figure.seconds for figure in figures),
        cpu_s=median(figure.cpu_s for figure in figures),
        peak_mb=median(figure.peak_mb for figure in figures),
        requests=figures[0].requests,
        bytes_sent=figures[0].bytes_sent,
    )


@dataclass(frozen=True, slots=True)
class Ratio:
    """`of(first's figure, second's figure)`; `goal` is the least wanted, or the most when `at_most`."""

    name: str
    first: str
    second: str
    of: Callable[[Figure, Figure], float]
    goal: float | None = None
    at_most: bool = False

    def met(self, value: float) -> bool:
        return self.goal is None or (value <= self.goal if self.at_most else value >= self.goal)


def speed(first: Figure, second: Figure) -> float:
    return first.rows_per_second / second.rows_per_second


def byte_speed(first: Figure, second: Figure) -> float:
    return first.bytes_sent / first.seconds / (second.bytes_sent / second.seconds)


def memory(first: Figure, second: Figure) -> float:
    return first.peak_mb / second.peak_mb


def share_saved(first: Figure, second: Figure) -> float:
    """The share of the first's time that the second does without."""
    return 1 - second.seconds / first.seconds


RATIOS = (
    Ratio("ours / csv + json + httpx", "ours", "loop", speed, 3.5),
    Ratio("ours / dlt", "ours", "dlt", speed, 5),
    Ratio("ours / customerio-cdp-analytics", "ours", "cdp", speed, 14),
    Ratio("ours / customerio-cdp-analytics, 1,000 a request", "ours", "cdp-large", speed),
    Ratio("ours / customerio SDK, track()", "ours", "sdk", speed, 200),
    Ratio("ours / customerio SDK, batch()", "ours", "sdk-batch", speed),
    Ratio("ours / bare sender", "ours", "bare", speed),
    Ratio("CSV / Parquet", "ours-csv", "ours", speed, 0.8),
    Ratio("41 attributes / 12, bytes per second", "ours-wide", "ours", byte_speed, 0.45),
    Ratio("Pipelines / Track", "ours-pipelines", "ours", speed, 0.9),
    Ratio("share of the checkpoint", "ours", "ours-unchecked", share_saved, 0.03, at_most=True),
    Ratio("peak memory, 5 x the rows / the rows", "ours-large", "ours", memory, 1.3, at_most=True),
)


def ratios(figures: MappingOf[str, Figure]) -> dict[Ratio, float]:
    """Each ratio whose two sides were measured."""
    return {
        ratio: ratio.of(figures[ratio.first], figures[ratio.second])
        for ratio in RATIOS
        if ratio.first in figures and ratio.second in figures
    }
