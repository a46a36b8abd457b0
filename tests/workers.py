"""Runs several workers on one state database, kills, stops and doubles them at random, and checks every row.

    python -m tests.workers --minutes 10 --seed 1

Four processes, `cio-etl run --lanes 0-3/16 --run-id NAME` and so on, load people and then their events into a sandbox
of this process. Meanwhile they are killed, stopped for longer than their leases and woken, asked to end, and started a
second time beside themselves, as when a scheduler dies and its orphans work on beside the next try. The state is in a
database of PG_URL's server, or of a server made for it. Faults and books are those of killing.py.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cio_etl.sandbox import Sandbox
from tests import databases
from tests.fork_server import Process
from tests.killing import STEPS, Setting, drawn, wrong_counts, wrong_rejects
from tests.killing_rows import EVENTS, PEOPLE, TRACE, Expected, misplaced_events, misplaced_people, receipts, write
from tests.running import environment, start, write_job

WORKERS, LANES = 4, 16
LEASE_S = 2.0
GOES_ON = (75, 143, -signal.SIGTERM, -signal.SIGKILL)  # exit codes after which a worker is started again
ADDRESS = "ETL_STATE_URL"


@dataclass(slots=True)
class Night:
    """What came of one run."""

    setting: Setting
    happened: Counter[str] = field(default_factory=Counter)  # kills, stops, ends, orphans, and exit codes
    rows: int = 0
    sent_twice: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        listed = ", ".join(f"{name} {count}" for name, count in sorted(self.happened.items()))
        return (
            f"{self.rows:,} rows, batches of {self.setting.max_batch_bytes:,} B: {listed}; "
            f"{self.sent_twice:,} rows sent again; {len(self.problems)} problems"
        )


@dataclass(slots=True)
class Worker:
    """One share of the lanes, and the processes that have it: one, or an orphan beside the next try."""

    share: str
    processes: list[Process] = field(default_factory=list)
    asleep: dict[int, float] = field(default_factory=dict)  # when a stopped process is woken, by pid
    code: int | None = None


def night(setting: Setting, folder: Path, address: str, troubles: int, dice: random.Random) -> Night:
    """One run by four workers, to whom `troubles` things happen; then its books are checked."""
    done = Night(setting)
    with Sandbox(setting.faults, trace=TRACE) as sandbox:
        expected = write(folder, setting.people, setting.rows, dice, setting.faults)
        sources = {PEOPLE: {"csv": "people.csv"}, EVENTS: {"parquet": "events.parquet"}}
        write_job(
            folder / "job.yaml",
            sandbox.url,
            {step: (sources[step], f"{step}.yaml") for step in STEPS},
            destination={"max_batch_bytes": setting.max_batch_bytes, "requests_per_second": 1000},
            max_rejects="10%",
            state={"database": f"${{{ADDRESS}}}", "folder": "etl", "lease": f"{LEASE_S:g}s"},
        )
        of_each = LANES // WORKERS
        workers = [Worker(f"{n * of_each}-{(n + 1) * of_each - 1}/{LANES}") for n in range(WORKERS)]
        try:
            _worked(workers, folder, address, troubles, dice, done)
        finally:
            for process in (process for worker in workers for process in worker.processes):
                process.signal_group(signal.SIGKILL)
                process.wait()
        done.problems += _audit(folder, address, expected, sandbox, done)
    return done


def _worked(workers: list[Worker], folder: Path, address: str, troubles: int, dice: random.Random, done: Night) -> None:
    """Keeps the workers at work until each has come to the run's end."""
    next_trouble = time.monotonic() + dice.uniform(1.0, 2.5)
    deadline = time.monotonic() + 300.0
    while any(worker.code is None or worker.processes for worker in workers):
        if time.monotonic() > deadline:
            done.problems.append(f"the run did not end: {_last_words(folder)}")
            return
        for worker in workers:
            _look_after(worker, folder, address, done)
        if troubles and time.monotonic() > next_trouble and (busy := [each for each in workers if each.processes]):
            _trouble(dice.choice(busy), folder, address, dice, done)
            troubles -= 1
            next_trouble = time.monotonic() + dice.uniform(0.1, 1.5)
        time.sleep(0.02)


def _look_after(worker: Worker, folder: Path, address: str, done: Night) -> None:
    for pid, until in list(worker.asleep.items()):
        if time.monotonic() > until:
            del worker.asleep[pid]
            os.killpg(pid, signal.SIGCONT)
    for process in [each for each in worker.processes if each.poll() is not None]:
        worker.processes.remove(process)
        worker.asleep.pop(process.pid, None)
        done.happened[f"exit {process.returncode}"] += 1
        if process.returncode not in GOES_ON:
            worker.code = process.returncode
            if process.returncode != 3:  # some rows rejected, as there must be
                done.problems.append(f"a worker ended with {process.returncode}: {_last_words(folder)}")
    if not worker.processes and worker.code is None:
        worker.processes.append(_started(worker, folder, address))


def _trouble(worker: Worker, folder: Path, address: str, dice: random.Random, done: Night) -> None:
    process = dice.choice(worker.processes)
    kind = dice.choice(("kill", "stop", "stop", "end", "orphan"))
    if kind == "orphan" and len(worker.processes) > 1:
        kind = "kill"
    if process.pid in worker.asleep:
        kind = "kill"
    done.happened[kind] += 1
    if kind == "kill":
        process.signal_group(signal.SIGKILL)
    elif kind == "stop":
        process.signal_group(signal.SIGSTOP)
        worker.asleep[process.pid] = time.monotonic() + LEASE_S + dice.uniform(-1.0, 2.5)
    elif kind == "end":
        process.signal_group(signal.SIGTERM)
    else:
        worker.processes.append(_started(worker, folder, address))


def _started(worker: Worker, folder: Path, address: str) -> Process:
    command = ("run", "job.yaml", f"--lanes={worker.share}", "--run-id=night")
    with (folder / "log").open("a") as log:
        surroundings = environment() | {ADDRESS: address}
        return start(*command, folder=folder, stdout=subprocess.DEVNULL, stderr=log, env=surroundings)


def _last_words(folder: Path) -> str:
    return " | ".join((folder / "log").read_text().splitlines()[-14:])


def _audit(
    folder: Path, address: str, expected: Mapping[str, Expected], sandbox: Sandbox, done: Night
) -> Iterator[str]:
    """Everything that is wrong when the run is through; its figures are stored in `done`."""
    import psycopg

    surroundings = environment() | {ADDRESS: address}
    process = start("status", "job.yaml", "--json", folder=folder, stdout=subprocess.PIPE, env=surroundings)
    report: dict[str, Any] = json.loads(process.communicate()[0])
    steps = {step["name"]: step for step in report["steps"]}
    done.rows = sum(step["rows_read"] for step in steps.values())
    done.faults.update(sandbox.stats()["faults"])
    came = dict(zip(STEPS, receipts(sandbox.people), strict=True))
    done.sent_twice = sum(count - 1 for counts in came.values() for count in counts.values())
    yield from misplaced_people(sandbox.people, expected[PEOPLE])
    yield from misplaced_events(sandbox.people, expected[EVENTS])
    with psycopg.connect(address, options="-c search_path=cio_etl") as db:
        query = "SELECT step.name, position, reason FROM reject JOIN step ON step.number = reject.step"
        yield from wrong_rejects(Counter(db.execute(query).fetchall()), expected)
        (runs,) = db.execute("SELECT count(*) FROM run").fetchone() or (0,)
        if runs != 1:
            yield f"there are {runs} runs"
        (open_lanes,) = db.execute("SELECT count(*) FROM lane WHERE NOT done").fetchone() or (0,)
        if open_lanes:
            yield f"{open_lanes} lanes are not done"
    if report["status"] != "finished" or report["exit_code"] != 3:
        yield f"the run is {report['status']} with {report['exit_code']}"
    for step in STEPS:
        yield from wrong_counts(steps[step], expected[step], came[step])
    ends = sum(done.happened[kind] for kind in ("kill", "stop", "end", "orphan"))
    most = (ends * LANES + done.faults["lost_after"]) * done.setting.rows_a_batch
    if done.sent_twice > most:
        yield f"{done.sent_twice} rows sent again, more than {most}: a batch a lane for each trouble and lost answer"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.workers", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rows", type=int, default=12_000, help="rows of each step of a run")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder, until = Path(tempfile.mkdtemp(prefix="workers-")), time.monotonic() + 60 * options.minutes
    done: list[Night] = []
    dice = random.Random(options.seed)
    with databases.postgresql() as server:
        while time.monotonic() < until:
            within = folder / f"night-{len(done) + 1}"
            within.mkdir()
            with databases.own_database(server) as database:
                done.append(night(drawn(dice, options.rows), within, database.address, dice.randint(4, 16), dice))
            print(done[-1], *done[-1].problems[:20], sep="\n  ", flush=True)
            if not done[-1].problems:
                shutil.rmtree(within)
    happened = sum((one.happened for one in done), Counter[str]())
    print(f"{len(done)} runs, {sum(one.rows for one in done):,} rows; {dict(happened)}")
    problems = sum(len(one.problems) for one in done)
    print(f"{problems} problems: rows lost, doubled, out of order, or wrongly rejected")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
