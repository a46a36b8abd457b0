"""Measures `cio-etl validate`, with its audits and its report, beside mapping and packing alone.

    python -m tests.benchmarks.validate [--rows 2000000] [--rounds 5] [--format parquet] [--folder .venv-bench/data]

Both are whole commands, measured from their start to their exit, start-up included, and take turns (A B A B …), so that
whatever else the machine does touches both. Read the ratio: it was measured in one run on one machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from .measure import Cost, Measure, cost_of

DEADLINE_S = 600.0
AT_MOST = 1.5
MAPPING = Path(__file__).with_name("orders.yaml")


def job(folder: Path, data: Path) -> Path:
    """A job over the file, with its state beside it. JSON is YAML, too."""
    path = folder / "validate.yaml"
    written = {
        "destination": {"site_id": "${BENCH_SITE_ID}", "api_key": "${BENCH_API_KEY}"},
        "steps": [{"name": "orders", "source": {data.suffix[1:]: str(data)}, "mapping": str(MAPPING)}],
        "state": str(folder / "validate-state"),
    }
    path.write_text(json.dumps(written))
    return path


def commands(folder: Path, data: Path) -> dict[str, list[str]]:
    """What is compared, by name."""
    python = sys.executable
    return {
        "mapped and packed": [python, "-m", "tests.benchmarks.packed", str(data), str(MAPPING)],
        "cio-etl validate": [python, "-m", "cio_etl.cli", "validate", "--json", str(job(folder, data))],
    }


def rows_said(name: str, cost: Cost) -> int:
    """How many rows the command says it went through. Raises RuntimeError when it did not end well."""
    if cost.exit_code:
        raise RuntimeError(f"{name} ended with {cost.exit_code}: {cost.stderr.strip()[-500:]}")
    return int(json.loads(cost.stdout)["steps"][0]["rows_read"] if cost.stdout.startswith("{") else cost.stdout)


def measured(folder: Path, data: Path, rows: int, rounds: int, measure: Measure = cost_of) -> dict[str, list[Cost]]:
    """The costs of each command, after a first round that compiles modules and fills the disk's cache."""
    costs_of: dict[str, list[Cost]] = {name: [] for name in commands(folder, data)}
    for number in range(rounds + 1):
        for name, command in commands(folder, data).items():
            cost = measure(command, dict(os.environ), DEADLINE_S)
            if (said := rows_said(name, cost)) != rows:
                raise RuntimeError(f"{name} went through {said} of {rows} rows")
            if number:
                costs_of[name].append(cost)
    return costs_of


def main(options: argparse.Namespace, measure: Measure = cost_of) -> int:
    folder = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    made = [
        sys.executable,
        "-m",
        "tests.benchmarks.data",
        str(folder),
        f"--rows={options.rows}",
        f"--format={options.format}",
    ]
    data = Path(subprocess.run(made, check=True, capture_output=True, text=True).stdout.strip())
    costs_of = measured(folder, data, options.rows, options.rounds, measure)
    print(f"{options.rows:,} rows of {options.format}, {options.rounds} rounds; load {os.getloadavg()[0]:.1f}")
    for name, costs in costs_of.items():
        seconds, cpu_s, peak = (median(getattr(cost, of) for cost in costs) for of in ("seconds", "cpu_s", "peak_mb"))
        print(f"{name:<18} {seconds:6.2f} s  {cpu_s:6.2f} CPU s  {peak:5.0f} MB")
    alone, whole = costs_of.values()
    ratio, of_cpu = (
        median(getattr(cost, of) for cost in whole) / median(getattr(cost, of) for cost in alone)
        for of in ("seconds", "cpu_s")
    )
    print(f"validate / mapped and packed: {ratio:.2f}, wanted at most {AT_MOST}; by CPU time {of_cpu:.2f}")
    return 0 if ratio <= AT_MOST else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure cio-etl validate beside what it cannot do without.")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--format", choices=["parquet", "csv"], default="parquet")
    parser.add_argument("--folder", type=Path, default=Path(".venv-bench/data"), help="keeps the data")
    sys.exit(main(parser.parse_args()))
