"""Rehearses the ceiling: full bodies at a rate for a minute, over TLS, against a server at a latency.

    python -m tests.benchmarks.paced [--rate 100 --rate 1000] [--seconds 60] [--processes 1 --processes 2]

For each rate: 1 M rows, and as many as the machine sends in `--seconds`; then, at the highest rate, so many processes
that share the lanes of one run and one rate by a PostgreSQL database (of PG_URL, else of a server that lives as long).
Says which share of the rate was reached, and what the limit was. The cores that run and server used are measured over
the whole command, the requests per second over the step.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from rich.table import Table

from tests import databases

from .contenders import CONTENDERS, Contender, Task, ours
from .measure import Cost, Measure, cost_of
from .run import DEADLINE_S, Ground, Setting, complaint, console, environment, machine

LEAST_ROWS = 1_000_000
FORECASTS = (1_000_000, 10_000_000, 100_000_000)
LANES_FOR = {1_000.0: 128}  # at 100 ms, 100 lanes reach 1,000 requests/s; some more, since none is always busy
LANES = 16
REACHED = 0.97  # of the rate: what is left is the start and the end of a step
BUSY = 0.85  # of the cores: the system, the database and this program use the rest


@dataclass(frozen=True, slots=True)
class Pace:
    """One run: of one process, or of several that share its lanes."""

    rate: float | None
    lanes: int
    processes: int
    rows: int
    requests: int
    step_s: float  # from the first row to the last answer, of the slowest process
    whole_s: float  # from the start of the first command to the end of the last
    cpu_s: float  # of all processes
    server_cpu_s: float
    peak_mb: float  # of the largest process

    @property
    def per_second(self) -> float:
        return self.requests / self.step_s

    def limit(self, latency_s: float, cores: int) -> str:
        """What kept this run from being faster."""
        if self.rate is not None and self.per_second >= REACHED * self.rate:
            return "the rate"
        if latency_s and self.per_second >= BUSY * self.lanes / latency_s:
            return "lanes and latency"
        if (self.cpu_s + self.server_cpu_s) / self.whole_s >= BUSY * cores:
            return "the cores"
        return "none of these"


def cpu_of(pid: int) -> float:
    """The CPU seconds that a running process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def shares(lanes: int, processes: int) -> list[str]:
    """The lanes of each process, as `--lanes` has them."""
    edges = [lanes * number // processes for number in range(processes + 1)]
    return [f"{first}-{after - 1}/{lanes}" for first, after in pairwise(edges)]


def at_once(commands: Sequence[list[str]], variables: dict[str, str], measure: Measure = cost_of) -> list[Cost]:
    """The cost of commands that run side by side."""
    costs: dict[int, Cost] = {}

    def run(number: int) -> None:
        costs[number] = measure(commands[number], environment() | variables, DEADLINE_S)

    threads = [threading.Thread(target=run, args=[number]) for number in range(len(commands))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [costs[number] for number in range(len(commands))]


def measured(
    ground: Ground,
    setting: Setting,
    rows: int,
    lanes: int,
    rate: float | None,
    processes: int = 1,
    database: str | None = None,
) -> Pace:
    """One run of so many rows. Raises SystemExit when a process fails, or the server has not got every row's body."""
    contender = CONTENDERS[0]
    data = ground.data(contender, rows)
    console.print(f"[dim]{rows:,} rows, {lanes} lanes, {rate or 'unlimited'}, {processes} of them", highlight=False)
    scratch = Path(tempfile.mkdtemp(dir=ground.folder))
    state = {"database": "${BENCH_STATE}", "folder": str(scratch)} if database else str(scratch / "state")
    try:
        with ground.sink(setting) as sink:
            commands = []
            for number, share in enumerate(shares(lanes, processes) if processes > 1 else [None]):
                own = scratch / str(number)
                own.mkdir()
                task = Task(data, rows, sink.url, sink.ca, own, ground.command, ground.peers)
                commands.append(ours(task, lanes, rate=rate, state=state, share=share))
            before, start = cpu_of(sink.pid), time.perf_counter()
            costs = at_once(commands, {"BENCH_STATE": database or ""}, ground.measure)
            whole_s, server_cpu_s = time.perf_counter() - start, cpu_of(sink.pid) - before
            bodies = sink.counts()["bodies"]
    finally:
        shutil.rmtree(scratch)
    return paced(contender, costs, rows, bodies, lanes, rate, whole_s, server_cpu_s)


def paced(
    contender: Contender,
    costs: Sequence[Cost],
    rows: int,
    bodies: int,
    lanes: int,
    rate: float | None,
    whole_s: float,
    server_cpu_s: float,
) -> Pace:
    """The figures of processes that ended. Raises SystemExit when one failed, or reports not what the server got."""
    steps = []
    for cost in costs:
        if (wrong := complaint(contender, cost, rows)) is not None:
            raise SystemExit(wrong)
        steps += json.loads(cost.stdout)["steps"]
    requests = max(step["requests"] for step in steps)  # each of several processes reports the whole run
    if bodies < requests:
        raise SystemExit(f"the report says {requests} requests, the server got {bodies}")
    return Pace(
        rate=rate,
        lanes=lanes,
        processes=len(costs),
        rows=rows,
        requests=requests,
        step_s=max(step["seconds"] for step in steps),
        whole_s=whole_s,
        cpu_s=sum(cost.cpu_s for cost in costs),
        server_cpu_s=server_cpu_s,
        peak_mb=max(cost.peak_mb for cost in costs),
    )


def table(paces: Sequence[Pace], latency_s: float, cores: int) -> Table:
    made = Table(title=f"full bodies over TLS, {latency_s * 1000:.0f} ms, {cores} cores", title_justify="left")
    headings = ("rate", "processes", "lanes", "rows", "seconds", "requests/s", "share", "cores", "of the server", "MB")
    for heading in headings:
        made.add_column(heading, justify="right")
    made.add_column("limit", no_wrap=True)
    for pace in paces:
        made.add_row(
            f"{pace.rate:,.0f}" if pace.rate else "unlimited",
            f"{pace.processes}",
            f"{pace.lanes}",
            f"{pace.rows:,}",
            f"{pace.whole_s:,.1f}",
            f"{pace.per_second:,.0f}",
            f"{pace.per_second / pace.rate:.2f}" if pace.rate else "-",
            f"{pace.cpu_s / pace.whole_s:.2f}",
            f"{pace.server_cpu_s / pace.whole_s:.2f}",
            f"{pace.peak_mb:,.0f}",
            pace.limit(latency_s, cores),
        )
    return made


def forecast(small: Pace, large: Pace, rows: int) -> float:
    """The seconds of a whole command for so many rows, by the line through two that were measured."""
    return large.whole_s + (rows - large.rows) * (large.whole_s - small.whole_s) / (large.rows - small.rows)


def main(options: argparse.Namespace) -> int:
    ground = Ground(options.folder.absolute(), options.command.absolute(), Path(sys.executable))
    setting = Setting(tls=True, latency_s=options.latency / 1000)
    cores = os.cpu_count() or 1
    console.print(f"{machine()}; load {os.getloadavg()[0]:.1f}", highlight=False)
    rates = sorted(options.rate or [100.0, 1000.0])
    paces, forecasts = [], []
    for rate in rates:
        lanes = LANES_FOR.get(rate, LANES)
        small = measured(ground, setting, options.least, lanes, rate)
        rows = max(2 * options.least, round(small.rows * options.seconds / small.step_s / 1e6) * 1_000_000)
        large = measured(ground, setting, rows, lanes, rate)
        paces += [small, large]
        forecasts += [
            f"{rows / 1e6:,.0f} M rows at {rate:,.0f} requests/s: {forecast(small, large, rows):,.0f} s"
            for rows in FORECASTS
        ]
    lanes, rows = LANES_FOR.get(rates[-1], LANES), max(options.least, paces[-1].rows // 2)
    with databases.postgresql() as server:
        for processes in options.processes or [1, 2, 4]:
            with databases.own_database(server) as database:
                paces.append(measured(ground, setting, rows, lanes, rates[-1], processes, database.address))
    console.print(table(paces, setting.latency_s, cores))
    for line in forecasts:
        console.print(f"by the line through the two measured runs: {line}", highlight=False)
    return 0


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Rehearse the ceiling.")
    parser.add_argument("--command", type=Path, default=Path(sys.executable).parent / "cio-etl")
    parser.add_argument("--rate", type=float, action="append", help="repeatable; default 100 and 1000")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the larger run of each rate")
    parser.add_argument("--least", type=int, default=LEAST_ROWS, help="rows of the smaller run")
    parser.add_argument("--processes", type=int, action="append", help="repeatable; default 1, 2 and 4")
    parser.add_argument("--latency", type=float, default=100.0, metavar="MS")
    parser.add_argument("--folder", type=Path, default=Path(".venv-bench/data"), help="keeps data and certificates")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main(arguments()))
