"""Measures `cio-etl run` beside what people use today, on the same rows and the same server.

    python -m tests.benchmarks.run [--rows 2000000] [--rounds 3] [--only ours --only loop] [--quick]

Every contender is a whole command, measured from its start to its exit, start-up included. Contenders take turns
(A B C A B C …), so that whatever else the machine does touches all of them; figures are medians. Before anything is
timed, each loads some rows into a sink that parses and counts them: whoever loses rows, or sends some twice, is named.

Read the ratios: they were measured in one run on one machine. The figures are that machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .contenders import CONTENDERS, Contender, Task
from .measure import Cost, Measure, cost_of
from .ratios import RATIOS, Figure, middle, ratios

DEADLINE_S = 1_800.0
BODY_BYTES = 500_000  # Track v2 batch limit
QUIET_LOAD = 0.5  # a machine with more than this to do already is not the place to measure
STDERR_LINES = 5  # of a contender that failed

console = Console(width=None if sys.stdout.isatty() else 140)


@dataclass(frozen=True, slots=True)
class Setting:
    """Between the contender and the sink."""

    tls: bool
    latency_s: float

    def __str__(self) -> str:
        return f"{'TLS' if self.tls else 'plain'}, {self.latency_s * 1000:.0f} ms"


@dataclass(frozen=True, slots=True)
class RunningSink:
    """A sink that takes rows."""

    url: str
    ca: Path | None
    pid: int

    def counts(self) -> dict[str, Any]:
        context = ssl.create_default_context(cafile=self.ca) if self.ca else None
        with urllib.request.urlopen(f"{self.url}/counts", context=context) as answer:
            counts: dict[str, Any] = json.load(answer)
        return counts


@dataclass(frozen=True, slots=True)
class Ground:
    """What all runs stand on: `folder` keeps data and certificates."""

    folder: Path
    command: Path
    peers: Path
    measure: Measure = cost_of

    def data(self, contender: Contender, rows: int) -> Path:
        """The contender's file, made in a process of its own: this one must stay small (see measure.py)."""
        made = subprocess.run(
            [
                *(sys.executable, "-m", "tests.benchmarks.data", str(self.folder)),
                *(f"--rows={rows}", f"--format={contender.format}"),
            ],
            check=True,
            capture_output=True,
            text=True,
        )
        return Path(made.stdout.strip())

    @contextmanager
    def sink(self, setting: Setting, verify: bool = False) -> Iterator[RunningSink]:
        certificates = self.folder / "certificates"
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.benchmarks.sink", f"--latency={setting.latency_s}"),
                *([f"--tls={certificates}"] if setting.tls else []),
                *(["--verify"] if verify else []),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            yield RunningSink(url, certificates / "ca.pem" if setting.tls else None, process.pid)
        finally:
            process.terminate()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def run(self, contender: Contender, rows: int, sink: RunningSink) -> Cost:
        """The contender's command, with a scratch folder that is gone afterwards."""
        data = self.data(contender, rows)
        scratch = Path(tempfile.mkdtemp(dir=self.folder))  # with the data: /tmp may be memory, commits would be free
        try:
            task = Task(data, rows, sink.url, sink.ca, scratch, self.command, self.peers)
            return self.measure(contender.command(task), environment(), DEADLINE_S)
        finally:
            shutil.rmtree(scratch)


def environment() -> dict[str, str]:
    """Ours, without proxies, which must not stand between a contender and the sink.

    Compiled modules stay, as on a user's machine: the verifying run compiles them, so that no timed one has to.
    """
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment | {"NO_PROXY": "*", "BENCH_SITE_ID": "site-id", "BENCH_API_KEY": "api-key"}


def complaint(contender: Contender, cost: Cost, rows: int) -> str | None:
    """Why this run doesn't count, from what the contender itself says; None when it does."""
    if cost.exit_code:
        last = " / ".join(cost.stderr.strip().splitlines()[-STDERR_LINES:])
        return f"{contender.name}: ended with {cost.exit_code}: {last}"
    try:
        sent = contender.sent(cost.stdout)
    except (ValueError, KeyError, IndexError):
        return f"{contender.name}: ended well without saying how many rows it sent"
    return f"{contender.name}: says it sent {sent} of {rows} rows" if sent < rows else None


def verified(ground: Ground, contender: Contender) -> str | None:
    """What is wrong with how the contender loads rows, as the sink counts them; None when every one came once."""
    with ground.sink(Setting(tls=False, latency_s=0.0), verify=True) as sink:
        cost = ground.run(contender, contender.verify, sink)
        counts = sink.counts()
    if (said := complaint(contender, cost, contender.verify)) is not None or contender.format == "body":
        return said  # the bare sender's one body is the same rows again and again
    if counts["largest_body"] > BODY_BYTES:
        return f"{contender.name}: a body of {counts['largest_body']:,} B, which Customer.io would refuse"
    lost, twice = contender.verify - counts["orders"], counts["items"] - counts["orders"]
    return f"{contender.name}: {lost} rows lost, {twice} sent twice" if lost or twice else None


def timed(ground: Ground, contender: Contender, rows: int, sink: RunningSink) -> Figure | str:
    """One run's figures, or why there are none."""
    before = sink.counts()
    cost = ground.run(contender, rows, sink)
    after = sink.counts()
    if (said := complaint(contender, cost, rows)) is not None:
        return said
    return Figure(
        rows=contender.sent(cost.stdout),
        seconds=cost.seconds,
        cpu_s=cost.cpu_s,
        peak_mb=cost.peak_mb,
        requests=after["bodies"] - before["bodies"],
        bytes_sent=after["bytes"] - before["bytes"],
    )


def measured(
    ground: Ground, contenders: Sequence[Contender], setting: Setting, rows: int, rounds: int
) -> dict[str, Figure]:
    """Each contender's median figures in one setting, by key; who failed is said and left out."""
    figures: dict[str, list[Figure]] = {contender.key: [] for contender in contenders}
    for contender in contenders:  # made beforehand: nothing else happens between two turns
        ground.data(contender, contender.rows(rows, setting.latency_s))
    with ground.sink(setting) as sink:
        for number in range(rounds):
            for contender in contenders:
                if number and contender.memory_only:
                    continue
                console.print(f"[dim]{setting}, round {number + 1}: {contender.name}", highlight=False)
                figure = timed(ground, contender, contender.rows(rows, setting.latency_s), sink)
                if isinstance(figure, str):
                    console.print(f"[red]{figure}", highlight=False)
                else:
                    figures[contender.key].append(figure)
    return {key: middle(costs) for key, costs in figures.items() if costs}


# ---------------------------------------------------------------- what is printed


def figures_table(setting: Setting, contenders: Sequence[Contender], figures: dict[str, Figure]) -> Table:
    table = Table(title=str(setting), title_justify="left")
    table.add_column("")
    for heading in ("rows", "rows/s", "seconds", "CPU s", "CPU s per M rows", "peak MB", "requests", "kB a request"):
        table.add_column(heading, justify="right")
    for contender in contenders:
        if (figure := figures.get(contender.key)) is not None:
            table.add_row(
                contender.name,
                f"{figure.rows:,}",
                f"{figure.rows_per_second:,.0f}",
                f"{figure.seconds:,.2f}",
                f"{figure.cpu_s:,.2f}",
                f"{figure.cpu_s / figure.rows * 1e6:,.2f}",
                f"{figure.peak_mb:,.0f}",
                f"{figure.requests:,}",
                f"{figure.bytes_sent / max(1, figure.requests) / 1000:,.1f}",
            )
    return table


def ratios_table(figures: dict[Setting, dict[str, Figure]]) -> Table:
    table = Table(title="ratios", title_justify="left")
    table.add_column("")
    for heading in ("goal", *map(str, figures)):
        table.add_column(heading, justify="right")
    values_of = {setting: ratios(of_setting) for setting, of_setting in figures.items()}
    for ratio in RATIOS:
        if any(ratio in of_setting for of_setting in values_of.values()):
            cells = [
                f"[{'default' if ratio.met(values[ratio]) else 'red'}]{values[ratio]:,.2f}" if ratio in values else "-"
                for values in values_of.values()
            ]
            sign = "at most" if ratio.at_most else "at least"
            table.add_row(ratio.name, f"{sign} {ratio.goal:g}" if ratio.goal is not None else "", *cells)
    return table


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


# ---------------------------------------------------------------- the door


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure cio-etl beside its peers.")
    beside = Path(sys.executable).parent
    parser.add_argument("--command", type=Path, default=beside / "cio-etl", help="ours; by default beside this Python")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--only", action="append", metavar="KEY", choices=[c.key for c in CONTENDERS], help="repeatable"
    )
    parser.add_argument("--latency", type=float, action="append", metavar="MS", help="repeatable; default 0 and 50")
    parser.add_argument("--transport", choices=["plain", "tls"], action="append", help="repeatable; default both")
    parser.add_argument(
        "--quick", action="store_true", help="100,000 rows, one round: does it work? Start-up is most of it"
    )
    parser.add_argument(
        "--peers", type=Path, default=Path(".venv-bench/bin/python"), help="the Python the peers are in"
    )
    parser.add_argument("--folder", type=Path, default=Path(".venv-bench/data"), help="keeps data and certificates")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    return parser.parse_args()


def main(options: argparse.Namespace) -> int:
    rows, rounds = (100_000, 1) if options.quick else (options.rows, options.rounds)
    # absolute(), not resolve(): a virtual environment's python is a link out of it
    ground = Ground(options.folder.absolute(), options.command.absolute(), options.peers.absolute())
    contenders = [c for c in CONTENDERS if not options.only or c.key in options.only]
    if not ground.peers.exists():
        console.print(f"[red]no {options.peers}: the peers are left out; `make bench` builds it", highlight=False)
        contenders = [c for c in contenders if not c.peer]
    console.print(f"{rows:,} rows, {rounds} rounds; {machine()}; load {os.getloadavg()[0]:.1f}", highlight=False)
    if os.getloadavg()[0] > QUIET_LOAD:
        console.print(
            "[yellow]this machine has other work: the figures mean little, the ratios not much", highlight=False
        )

    faulty = []
    for contender in contenders:
        if not contender.memory_only and (wrong := verified(ground, contender)) is not None:
            faulty.append(wrong)
            console.print(f"[red]{wrong}", highlight=False)

    figures: dict[Setting, dict[str, Figure]] = {}
    for latency in options.latency or [0.0, 50.0]:
        for transport in options.transport or ["plain", "tls"]:
            setting = Setting(transport == "tls", latency / 1000)
            first = not figures  # memory is measured once: neither TLS nor latency adds rows to it
            here = [c for c in contenders if (first and not options.quick) or not c.memory_only]
            figures[setting] = measured(ground, here, setting, rows, rounds)
            console.print(figures_table(setting, here, figures[setting]))
    console.print(ratios_table(figures))
    for wrong in faulty:
        console.print(f"[red]{wrong}", highlight=False)
    if options.json is not None:
        values = {str(setting): {key: asdict(f) for key, f in of.items()} for setting, of in figures.items()}
        options.json.write_text(json.dumps({"machine": machine(), "figures": values}, indent=2))
    return 1 if faulty else 0


if __name__ == "__main__":
    sys.exit(main(arguments()))
