"""Measures a run that sends only what changed: beside `validate` of the same rows, and beside a run that sends all.

    python -m tests.benchmarks.ledger [--rows 10000000] [--folder .venv-bench/data]

The people of two nights: of the second, one in a thousand has another plan. Each is a whole command, measured from its
start to its exit. Read the ratios: they were measured in one run on one machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .measure import Cost, Measure, cost_of
from .people import CHANGED_OF

DEADLINE_S = 1_800.0
PACED = ", paced"  # at the rate that a job has by default
ATTRIBUTES = ("email", "plan", "city", "score", "seen", "active")


def write_job(folder: Path, url: str, sync: str, *, paced: bool = False) -> Path:
    """A job over `now.parquet`, with its state beside it; `paced`: at the rate that a job has by default.

    JSON is YAML, too.
    """
    mapping, path = folder / "people.json", folder / f"{sync}{'-paced' if paced else ''}.yaml"
    what = {"operation": "identify", "identifiers": {"id": "id"}, "attributes": {name: name for name in ATTRIBUTES}}
    mapping.write_text(json.dumps(what))
    source = {"parquet": str(folder / "now.parquet")}
    keys = {"site_id": "${BENCH_SITE_ID}", "api_key": "${BENCH_API_KEY}"}
    written = {
        "destination": {**keys, "base_url": url} | ({} if paced else {"requests_per_second": "unlimited"}),
        "steps": [{"name": "people", "source": source, "mapping": str(mapping), "sync": sync}],
        "state": str(folder / ("paced" if paced else "state")),
    }
    path.write_text(json.dumps(written))
    return path


def measured(folder: Path, url: str, measure: Measure) -> dict[str, Cost]:
    """The cost of each command, in the order of two nights. Raises RuntimeError when one sends what it should not."""
    first, second = folder / "night1.parquet", folder / "night2.parquet"
    jobs = {sync: write_job(folder, url, sync) for sync in ("all", "changed")}
    paced = {sync: write_job(folder, url, sync, paced=True) for sync in ("all", "changed")}
    environment = os.environ | {"BENCH_SITE_ID": "site-id", "BENCH_API_KEY": "api-key", "NO_PROXY": "*"}
    costs = {}
    for name, source, command in (
        ("sync: all", first, ["run", jobs["all"]]),
        ("first run", first, ["run", jobs["changed"]]),
        (f"sync: all{PACED}", first, ["run", paced["all"]]),
        (f"first run{PACED}", first, ["run", paced["changed"]]),
        ("validate", second, ["validate", jobs["all"]]),
        ("night", second, ["run", jobs["changed"]]),
    ):
        shutil.copyfile(source, folder / "now.parquet")
        words = [sys.executable, "-m", "cio_etl.cli", *map(str, command), "--json"]
        costs[name] = measure(words, environment, DEADLINE_S)
        if costs[name].exit_code:
            raise RuntimeError(f"{name} ended with {costs[name].exit_code}: {costs[name].stderr.strip()[-500:]}")
    return costs


PACED_PAIR = (f"first run{PACED}", f"sync: all{PACED}")


def accepted(cost: Cost) -> int:
    """The rows that a command says were accepted."""
    return int(json.loads(cost.stdout)["steps"][0]["accepted"])


def main(options: argparse.Namespace, measure: Measure = cost_of) -> int:
    folder = options.folder.absolute() / "ledger"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for night in (1, 2):
        made = [sys.executable, "-m", "tests.benchmarks.people", str(folder / f"night{night}.parquet")]
        subprocess.run([*made, f"--rows={options.rows}", f"--night={night}"], check=True)
    sink = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.sink"], stdout=subprocess.PIPE, text=True)
    try:
        assert sink.stdout is not None
        costs = measured(folder, sink.stdout.readline().strip(), measure)
        ledger = sum(file.stat().st_size for file in (folder / "state" / "ledger").rglob("*.parquet"))
    finally:
        sink.kill()
        sink.communicate()
        shutil.rmtree(folder)
    wanted = -(-options.rows // CHANGED_OF)
    if (sent := accepted(costs["night"])) != wanted:
        raise RuntimeError(f"the night sent {sent} of {wanted} changes")
    print(f"{options.rows:,} people of {len(ATTRIBUTES)} attributes, {wanted:,} changed; load {os.getloadavg()[0]:.1f}")
    for name, cost in costs.items():
        print(f"{name:<16} {cost.seconds:7.2f} s  {cost.cpu_s:7.2f} CPU s  {cost.peak_mb:6.0f} MB")
    print(f"ledger: {ledger / options.rows:.0f} bytes a subject")
    for name, beside in (("night", "validate"), ("night", "sync: all"), ("first run", "sync: all"), PACED_PAIR):
        print(f"{name} / {beside}: {costs[name].seconds / costs[beside].seconds:.2f}")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure a run that sends only what changed.")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, default=Path(".venv-bench/data"), help="keeps the data")
    sys.exit(main(parser.parse_args()))
