"""Measures whether many lanes keep the rate that their number and the latency give, up to what this machine can do.

    python -m tests.benchmarks.lanes [--lanes 16 --lanes 64 --lanes 256] [--latency 100] [--command PATH]

For each size of a body: 16 lanes without latency, then each number of lanes at the latency, each time beside a bare
sender of pre-built bodies with as many connections: what the latency is with this server, its clock and this machine's
threads. Our rate is held against the lower of the bare sender's and our own without latency. Requests are counted
by the server, from the first body to the last. Each run would last ten seconds by arithmetic, if it has no more than
4 M rows.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.table import Table

from .contenders import Contender, accepted, bare, last_line, ours
from .run import Ground, Setting, complaint, console, machine

ROW_BYTES = 330  # of the orders; enough to say how many rows give so many bodies
BODIES = (50_000, 500_000)
SECONDS = 10
LEAST_ROWS, MOST_ROWS = 500_000, 4_000_000
CLOSE_LANES = 16


@dataclass(frozen=True, slots=True)
class Figure:
    """One run, as the server counts it."""

    requests: int
    seconds: float  # from the first body to the last
    peak_mb: float

    @property
    def per_second(self) -> float:
        return (self.requests - 1) / self.seconds


@dataclass(frozen=True, slots=True)
class Pair:
    """Our run and the bare sender's, with as many lanes and the same latency."""

    lanes: int
    ours: Figure
    bare: Figure

    def share(self, machine_per_second: float) -> float:
        """Of what the bare sender reaches, or this machine with our work, whichever is less."""
        return self.ours.per_second / min(self.bare.per_second, machine_per_second)


def measured(ground: Ground, lanes: int, body_bytes: int, latency_s: float) -> Pair:
    ours_and_bare = (("parquet", ours, accepted), ("body", bare, last_line))
    figures = []
    for format, command, sent in ours_and_bare:
        name = f"{command.__name__}: {lanes} lanes, {body_bytes:,} B, {latency_s * 1000:.0f} ms"
        contender = Contender("lanes", name, format, partial(command, lanes=lanes, body_bytes=body_bytes), sent)
        wanted = int(SECONDS * lanes / latency_s * body_bytes / ROW_BYTES) if latency_s else MOST_ROWS
        rows = max(LEAST_ROWS, min(MOST_ROWS, wanted))
        ground.data(contender, rows)
        console.print(f"[dim]{name}", highlight=False)
        with ground.sink(Setting(tls=False, latency_s=latency_s)) as sink:
            cost = ground.run(contender, rows, sink)
            counts = sink.counts()
        if (wrong := complaint(contender, cost, rows)) is not None:
            raise SystemExit(wrong)
        figures.append(Figure(counts["bodies"], counts["seconds"], cost.peak_mb))
    return Pair(lanes, *figures)


def table(body_bytes: int, latency_s: float, machine_per_second: float, pairs: list[Pair]) -> Table:
    made = Table(title=f"bodies of {body_bytes:,} B, {latency_s * 1000:.0f} ms", title_justify="left")
    for heading in ("lanes", "requests/s", "lanes ÷ latency", "bare", "this machine", "share of the less", "peak MB"):
        made.add_column(heading, justify="right")
    for pair in pairs:
        made.add_row(
            f"{pair.lanes}",
            f"{pair.ours.per_second:,.0f}",
            f"{pair.lanes / latency_s:,.0f}",
            f"{pair.bare.per_second:,.0f}",
            f"{machine_per_second:,.0f}",
            f"{pair.share(machine_per_second):.2f}",
            f"{pair.ours.peak_mb:,.0f}",
        )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure many lanes at a latency.")
    parser.add_argument("--command", type=Path, default=Path(sys.executable).parent / "cio-etl")
    parser.add_argument("--lanes", type=int, action="append", help="repeatable; default 16, 64 and 256")
    parser.add_argument("--latency", type=float, default=100.0, metavar="MS")
    parser.add_argument("--body", type=int, action="append", choices=BODIES, help="repeatable; default both")
    parser.add_argument("--folder", type=Path, default=Path(".venv-bench/data"), help="keeps the data")
    options = parser.parse_args()
    ground = Ground(options.folder.absolute(), options.command.absolute(), Path(sys.executable))
    latency_s = options.latency / 1000
    console.print(f"{machine()}; load {os.getloadavg()[0]:.1f}", highlight=False)
    for body_bytes in options.body or BODIES:
        close = measured(ground, CLOSE_LANES, body_bytes, 0.0)
        pairs = [measured(ground, lanes, body_bytes, latency_s) for lanes in options.lanes or [16, 64, 256]]
        machine_per_second = max(pair.ours.per_second for pair in (close, *pairs))
        console.print(table(body_bytes, latency_s, machine_per_second, pairs))


if __name__ == "__main__":
    main()
