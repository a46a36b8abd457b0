"""Measures whether many lanes keep the rate that arithmetic gives: lanes ÷ latency, up to what this machine can do.

    python -m tests.benchmarks.lanes [--lanes 16 --lanes 64 --lanes 256] [--latency 100] [--command PATH]

For each size of a body: 16 lanes without latency, then each number of lanes at the latency. The quickest of all is
what this machine can do. Requests are counted over the step, without the start of the command. Each run would last ten
seconds by arithmetic, if it has no more than 4 M rows: of two seconds, the first bodies took a tenth.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.table import Table

from .contenders import Contender, accepted, ours
from .run import Ground, Setting, complaint, console, machine

ROW_BYTES = 330  # of the orders; enough to say how many rows give so many bodies
BODIES = (50_000, 500_000)
SECONDS = 10
LEAST_ROWS, MOST_ROWS = 500_000, 4_000_000
CLOSE_LANES = 16


@dataclass(frozen=True, slots=True)
class Figure:
    """One run."""

    lanes: int
    requests: int
    seconds: float  # of the step
    peak_mb: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    def share(self, latency_s: float, machine_per_second: float) -> float:
        """Of what lanes and latency allow, or the machine, whichever is less."""
        return self.per_second / min(self.lanes / latency_s, machine_per_second)


def measured(ground: Ground, lanes: int, body_bytes: int, latency_s: float) -> Figure:
    name = f"{lanes} lanes, {body_bytes:,} B, {latency_s * 1000:.0f} ms"
    command = partial(ours, lanes=lanes, body_bytes=body_bytes)
    contender = Contender("lanes", name, "parquet", command, accepted)
    wanted = int(SECONDS * lanes / latency_s * body_bytes / ROW_BYTES) if latency_s else MOST_ROWS
    rows = max(LEAST_ROWS, min(MOST_ROWS, wanted))
    ground.data(contender, rows)
    console.print(f"[dim]{name}", highlight=False)
    with ground.sink(Setting(tls=False, latency_s=latency_s)) as sink:
        cost = ground.run(contender, rows, sink)
    if (wrong := complaint(contender, cost, rows)) is not None:
        raise SystemExit(wrong)
    (step,) = json.loads(cost.stdout)["steps"]
    return Figure(lanes, step["requests"], step["seconds"], cost.peak_mb)


def table(body_bytes: int, latency_s: float, ceiling: float, figures: list[Figure]) -> Table:
    made = Table(title=f"bodies of {body_bytes:,} B, {latency_s * 1000:.0f} ms", title_justify="left")
    made.add_column("lanes", justify="right")
    for heading in ("requests/s", "lanes ÷ latency", "this machine", "share of the less", "peak MB"):
        made.add_column(heading, justify="right")
    for figure in figures:
        made.add_row(
            f"{figure.lanes}",
            f"{figure.per_second:,.0f}",
            f"{figure.lanes / latency_s:,.0f}",
            f"{ceiling:,.0f}",
            f"{figure.share(latency_s, ceiling):.2f}",
            f"{figure.peak_mb:,.0f}",
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
        figures = [measured(ground, lanes, body_bytes, latency_s) for lanes in options.lanes or [16, 64, 256]]
        ceiling = max(figure.per_second for figure in (close, *figures))
        console.print(table(body_bytes, latency_s, ceiling, figures))


if __name__ == "__main__":
    main()
