"""Measures how long the pages of `cio-etl ui` take over a large state.

    python -m tests.benchmarks.pages [--runs 1000] [--rejects 1000000] [--people 100000] [--rounds 15] [--database URL]

The state has as many rejects in each run, nine of ten open, and a sandbox has people with an event each. Each page is
asked for over HTTP on the loopback address, the first time right after the start. `cpu` is the median of the CPU time
of server and client together, which depends less on what else the machine does; the sandbox runs in the same process.
With `--database` the state is made there; it must be empty.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy import insert

from cio_etl import state
from cio_etl.sandbox import Sandbox
from cio_etl.state import Where, tables
from cio_etl.ui import Access, JobFiles, Pages, PageServer, SandboxReader, Site, make_app

GOAL_S = 0.2
JOBS, STEPS, LANES, BATCH = 20, 2, 16, 20_000
REASONS = (("email_malformed", "attributes.email"), ("identifier_missing", "identifiers.id"), ("not_a_number", "total"))
BEGAN = datetime(2024, 1, 1, 3, tzinfo=UTC)


def run_ids(runs: int) -> list[tuple[str, str, datetime]]:
    """The runs: ID, job and start."""
    found = []
    for number in range(runs):
        job, at = f"job{number % JOBS:02}", BEGAN + timedelta(days=number // JOBS)
        found.append((f"{job}-{at:%Y%m%dT%H%M%SZ}", job, at))
    return found


def fill(where: Where, runs: int, rejects: int) -> None:
    """Writes the runs, their steps, lanes and rejects."""
    store, each = state.open_store(where), rejects // runs
    with store._engine.begin() as connection:
        for name, rows in (("run", run_rows(runs)), ("step", step_rows(runs, each)), ("lane", lane_rows(runs, each))):
            connection.execute(insert(tables.metadata.tables[name]), list(rows))
        batch: list[dict[str, Any]] = []
        for row in reject_rows(runs, each):
            batch.append(row)
            if len(batch) == BATCH:
                connection.execute(insert(tables.reject), batch)
                batch = []
        if batch:
            connection.execute(insert(tables.reject), batch)
    store.close()


def run_rows(runs: int) -> Iterator[dict[str, Any]]:
    for sequence, (run_id, job, at) in enumerate(run_ids(runs), 1):
        ended = (at + timedelta(minutes=5)).isoformat()
        yield {
            "run_id": run_id,
            "job": job,
            "job_file": f"jobs/{job}.yaml",
            "status": "finished",
            "exit_code": 3,
            "started_at": at.isoformat(),
            "finished_at": ended,
            "lanes": LANES,
            "lane_hash": "h",
            "destination": "d",
            "sequence": sequence,
        }


def step_rows(runs: int, each: int) -> Iterator[dict[str, Any]]:
    counts = json.dumps([[reason, field, each // STEPS // 3, ["people.csv:2"]] for reason, field in REASONS])
    for run_id, _, _ in run_ids(runs):
        for number in range(STEPS):
            yield {
                "run_id": run_id,
                "number": number,
                "name": f"step{number}",
                "status": "finished",
                "mapping": "{}",
                "rows": 100_000,
                "rows_read": 100_000,
                "seconds": 30.0,
                "rejects": counts,
                "files": "[]",
            }


def lane_rows(runs: int, each: int) -> Iterator[dict[str, Any]]:
    for run_id, _, _ in run_ids(runs):
        for number in range(STEPS * LANES):
            rejected = each // STEPS // LANES
            yield {
                "run_id": run_id,
                "step": number // LANES,
                "lane": number % LANES,
                "acked_through": 99_999,
                "sending_through": 99_999,
                "accepted": 100_000 // LANES - rejected,
                "rejected": rejected,
            }


def reject_rows(runs: int, each: int) -> Iterator[dict[str, Any]]:
    ids = run_ids(runs)
    for place, (run_id, _, _) in enumerate(ids):
        later = ids[min(place + JOBS, len(ids) - 1)][0]
        for position in range(each):
            reason, field = REASONS[position % len(REASONS)]
            yield {
                "run_id": run_id,
                "step": position % STEPS,
                "position": position,
                "reason": reason,
                "field": field,
                "message": "",
                "closed_by": later if position % 10 == 0 else None,
            }


def filled_sandbox(people: int) -> Sandbox:
    """A sandbox with people of ten attributes and an event each."""
    sandbox = Sandbox()
    attributes = {f"attribute{number}": f"value {number}" for number in range(10)}
    for number in range(people):
        item = {"type": "person", "identifiers": {"id": str(number)}, "attributes": attributes}
        sandbox.people.apply(item | {"action": "identify"}, time.time())
        sandbox.people.apply(item | {"action": "event", "name": "order_placed"}, time.time())
    return sandbox


def seconds(where: Where, runs: int, people: int, rounds: int) -> Iterator[tuple[str, float, list[float], list[float]]]:
    """Each page, how long its first answer took, how long the others, and their CPU time."""
    folder = where if isinstance(where, Path) else Path()
    sandbox = filled_sandbox(people)
    pages = Pages(Site(where, folder, "large", JobFiles(())), SandboxReader(sandbox.url))
    server = PageServer(make_app(pages, Access.on("127.0.0.1")), "127.0.0.1", 0)
    run_id = run_ids(runs)[runs // 2][0]
    reason, field = REASONS[0]
    addresses = {
        "/": "/",
        "/jobs/JOB": "/jobs/job00",
        "/runs/RUN": f"/runs/{run_id}",
        "/runs/RUN/rejects": f"/runs/{run_id}/rejects?step=step0&reason={reason}&field={field}",
        "/rejects": "/rejects",
        "/plans": "/plans",
        "/sandbox": "/sandbox",
        "/sandbox, oldest": "/sandbox?people=25&events=25",
        "/healthz": "/healthz",
    }
    with sandbox, server, httpx.Client(base_url=server.url, timeout=60) as client:
        for name, address in addresses.items():
            taken, cpu = [], []
            for _ in range(rounds + 1):
                start, cpu_start = time.perf_counter(), time.process_time()
                client.get(address).raise_for_status()
                taken.append(time.perf_counter() - start)
                cpu.append(time.process_time() - cpu_start)
            yield name, taken[0], taken[1:], cpu[1:]


def main() -> None:
    """Prints each page's first, median and longest time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--rejects", type=int, default=1_000_000)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--database", default=None)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        where: Where = Path(folder) if asked.database is None else SecretStr(asked.database)
        fill(where, asked.runs, asked.rejects)
        print(f"{'page':20}{'first':>10}{'median':>10}{'longest':>10}{'cpu':>10}")
        for name, first, others, cpu in seconds(where, asked.runs, asked.people, asked.rounds):
            shown = "".join(f"{1000 * each:7.0f} ms" for each in (first, median(others), max(others), median(cpu)))
            print(f"{name:20}{shown}{'' if max(others) < GOAL_S else '  too long'}")


if __name__ == "__main__":
    main()
