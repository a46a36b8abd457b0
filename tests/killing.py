"""Kills the command with SIGKILL at random moments, again and again, under faults, and checks every row.

    python -m tests.killing --kills 200 --seed 1

A campaign loads people and then their events through `cio-etl run`, a real process, into a sandbox of this process,
which outlives the kills. Of the requests, 10 % are answered 503 and 5 % 429; 3 % lose their answer, two thirds of these
after the batch was taken; 1 % of the items are refused. When a campaign's rows are through, its books are checked, row
by row, and the next one begins with other rows, lanes, sizes and pace. The seed decides all but the timing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from cio_etl.sandbox import Faults, Sandbox
from cio_etl.transform.ids import lane
from tests.killing_rows import EVENTS, PEOPLE, TRACE, Expected, misplaced_events, misplaced_people, receipts, write
from tests.running import start, until, write_job

# A process is killed at a random moment: one in three counted from its start, the others from its first log line, when
# it begins to load. So kills hit batches under way also on a machine on which the start takes long.
FROM_START_S, FROM_FIRST_LINE_S = 1.0, 1.0
FROM_START = 1 / 3
STEPS = (PEOPLE, EVENTS)
SMALLEST_ITEM_BYTES = 800


@dataclass(frozen=True, slots=True)
class Setting:
    """How a campaign loads."""

    rows: int  # of each step
    people: int
    lanes: int
    max_batch_bytes: int
    requests_per_second: float | str
    faults: Faults

    @property
    def rows_a_batch(self) -> int:
        """At most."""
        return self.max_batch_bytes // SMALLEST_ITEM_BYTES


@dataclass(frozen=True, slots=True)
class Standing:
    """What the state says after a kill."""

    integrity: str = "ok"
    step: str = "before the first step"  # the one at work
    exit_code: int | None = None  # of a finished run
    progress: Mapping[tuple[str, int], tuple[int, int]] = field(default_factory=dict)  # acked, sending by step and lane


@dataclass(slots=True)
class Campaign:
    """What came of one campaign."""

    setting: Setting
    kills: Counter[str] = field(default_factory=Counter)  # by the step at work
    unsettled: list[int] = field(default_factory=list)  # rows that had been announced and not acknowledged, by kill
    rows: int = 0
    sent_twice: int = 0  # rows that were taken again, for whatever reason
    faults: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        setting = self.setting
        return (
            f"{self.kills.total():3} kills, {self.rows:,} rows, {setting.lanes} lanes, "
            f"batches of {setting.max_batch_bytes:,} B, {setting.requests_per_second} requests/s: "
            f"{self.sent_twice:,} rows sent again; {len(self.problems)} problems"
        )


def drawn(dice: random.Random, rows: int) -> Setting:
    """A campaign's setting."""
    return Setting(
        rows=rows,
        people=max(1, rows // dice.choice((4, 8, 40))),
        lanes=dice.choice((4, 8, 16)),
        max_batch_bytes=dice.choice((32_100, 40_000, 64_000)),
        requests_per_second=dice.choice((1000, "unlimited")),
        faults=Faults(
            seed=dice.randrange(2**32),
            rates={"503": 0.10, "429": 0.05, "lost_after": 0.02, "lost_before": 0.01},
            refused=0.01,
            latency_s=0.02,
        ),
    )


def campaign(setting: Setting, folder: Path, kills: int, dice: random.Random) -> Campaign:
    """Loads under kills, at most `kills` of them, until the rows are through; then checks the books."""
    done = Campaign(setting)
    with Sandbox(setting.faults, trace=TRACE) as sandbox:
        expected = write(folder, setting.people, setting.rows, dice, setting.faults)
        sources = {PEOPLE: {"csv": "people.csv"}, EVENTS: {"parquet": "events.parquet"}}
        job = write_job(
            folder / "job.yaml",
            sandbox.url,
            {step: (sources[step], f"{step}.yaml") for step in STEPS},
            destination={
                "lanes": setting.lanes,
                "max_batch_bytes": setting.max_batch_bytes,
                "requests_per_second": setting.requests_per_second,
            },
            max_rejects="10%",
        )
        at_risk = _killed_until_through(job, expected, done, kills, dice)
        done.problems += _audit(folder / ".etl", expected, sandbox, at_risk, done)
    return done


def _killed_until_through(
    job: Path, expected: Mapping[str, Expected], done: Campaign, kills: int, dice: random.Random
) -> dict[str, Counter[int]]:
    """Runs the job to its end with kills on the way; how often each row was unsettled at a kill, by step."""
    lanes = {step: _rows_by_lane(expected[step], done.setting.lanes) for step in STEPS}
    at_risk: dict[str, Counter[int]] = {step: Counter() for step in STEPS}
    before = Standing()
    exit_code = None
    while exit_code is None:
        exit_code = _run(job, dice if done.kills.total() < kills else None)
        if exit_code is not None:
            break
        now = standing(job.parent / ".etl")
        exit_code = now.exit_code  # it was killed after the last commit; another run would be a new one
        done.kills[now.step] += 1
        done.problems += _impossible(before, now)
        unsettled = 0
        for (step, number), (acked, sending) in now.progress.items():
            rows = [row for row in lanes[step][number] if acked < row <= sending]
            if len(rows) > done.setting.rows_a_batch:
                done.problems.append(f"lane {number} had {len(rows)} rows under way, more than a batch")
            at_risk[step].update(rows)
            unsettled += len(rows)
        done.unsettled.append(unsettled)
        before = now
    if exit_code != 3:  # some rows rejected, as there must be
        done.problems.append(f"the run ended with {exit_code}: {_last_words(job)}")
    return at_risk


def _run(job: Path, dice: random.Random | None) -> int | None:
    """The exit code of one process; None when it was killed, at a moment that the dice choose. Without dice it ends."""
    with job.with_name("log").open("a") as log:
        before = log.tell()
        process = start("run", job.name, folder=job.parent, stdout=subprocess.DEVNULL, stderr=log)
        if dice is None:
            return process.wait()
        if dice.random() < FROM_START:
            patience_s = dice.uniform(0, FROM_START_S)
        else:
            until(lambda: os.fstat(log.fileno()).st_size > before or process.poll() is not None)
            patience_s = dice.uniform(0, FROM_FIRST_LINE_S)
        try:
            return process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.signal_group(signal.SIGKILL)
            process.wait()
            return None


def _last_words(job: Path) -> str:
    return " | ".join(job.with_name("log").read_text().splitlines()[-3:])


def _rows_by_lane(expected: Expected, lanes: int) -> list[list[int]]:
    """Positions of the rows that are sent, by lane, in order."""
    sent = pl.DataFrame({"row": list(expected.sent), "person": list(expected.sent.values())})
    numbers = sent.select("row", lane=lane(pl.col("person"), "id", lanes))
    return [numbers.filter(pl.col("lane") == number)["row"].to_list() for number in range(lanes)]


def standing(state: Path) -> Standing:
    """What the state in a folder says."""
    with copied(state) as db:
        if db is None or not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'lane'").fetchall():
            return Standing()
        (integrity,) = db.execute("PRAGMA integrity_check").fetchone()
        steps = dict(db.execute("SELECT number, name FROM step"))
        over = db.execute("SELECT exit_code FROM run WHERE status = 'finished'").fetchone()
        at_work = db.execute("SELECT name FROM step WHERE status <> 'finished' ORDER BY number").fetchone()
        progress = db.execute("SELECT step, lane, acked_through, sending_through FROM lane")
        return Standing(
            integrity=integrity,
            step="before the first step" if not steps else at_work[0] if at_work else "after the last step",
            exit_code=over[0] if over else None,
            progress={(steps[step], number): (acked, sending) for step, number, acked, sending in progress},
        )


@contextmanager
def copied(state: Path) -> Iterator[sqlite3.Connection | None]:
    """The database of a state's folder, in a copy: the look must not repair anything. None: there is none."""
    if not (state / "state.db").exists():
        yield None
        return
    with tempfile.TemporaryDirectory() as copy:
        while not _is_copied(state, Path(copy)):
            pass
        with closing(sqlite3.connect(Path(copy) / "state.db")) as db:
            yield db


def _is_copied(state: Path, copy: Path) -> bool:
    """False: a live process has removed the journal of a transaction meanwhile, so the copy may be half of two."""
    try:
        for file in state.glob("state.db*"):
            if not file.name.endswith("-shm"):
                shutil.copy(file, copy)
    except FileNotFoundError:
        shutil.rmtree(copy)
        copy.mkdir()
        return False
    return True


def _impossible(before: Standing, now: Standing) -> Iterator[str]:
    if now.integrity != "ok":
        yield f"the state is damaged: {now.integrity}"
    for key, (acked, sending) in now.progress.items():
        if acked < before.progress.get(key, (-1, -1))[0] or sending < acked:
            yield f"the progress of {key} went back, from {before.progress.get(key)} to {(acked, sending)}"


# ---------------------------------------------------------------- the books


def _audit(
    state: Path,
    expected: Mapping[str, Expected],
    sandbox: Sandbox,
    at_risk: Mapping[str, Counter[int]],
    done: Campaign,
) -> Iterator[str]:
    """Everything that is wrong when a campaign is through; its figures are stored in `done`."""
    if len(list(state.glob("runs/*"))) > 1:
        yield "kills began a second run"
    printed = start("status", "job.yaml", "--json", folder=state.parent, stdout=subprocess.PIPE).communicate()[0]
    steps = {step["name"]: step for step in json.loads(printed)["steps"]}
    done.rows = sum(step["rows_read"] for step in steps.values())
    done.faults.update(sandbox.stats()["faults"])
    came = dict(zip(STEPS, receipts(sandbox.people), strict=True))
    done.sent_twice = sum(count - 1 for counts in came.values() for count in counts.values())
    yield from misplaced_people(sandbox.people, expected[PEOPLE])
    yield from misplaced_events(sandbox.people, expected[EVENTS])
    with closing(sqlite3.connect(state / "state.db")) as db:
        query = "SELECT step.name, position, reason FROM reject JOIN step ON step.number = reject.step"
        yield from wrong_rejects(Counter(db.execute(query)), expected)
    for step in STEPS:
        yield from wrong_counts(steps[step], expected[step], came[step])
    unexplained = sum(max(0, count - 1 - at_risk[step][row]) for step in STEPS for row, count in came[step].items())
    if unexplained > (most := done.faults["lost_after"] * done.setting.rows_a_batch):
        yield f"{unexplained} rows sent again that no kill explains; the lost answers explain {most} at most"


def wrong_rejects(rejects: Counter[tuple[str, int, str]], expected: Mapping[str, Expected]) -> Iterator[str]:
    """What differs in the rejects of a state, by step, position and reason."""
    wanted = Counter((step, *reject) for step in STEPS for reject in expected[step].rejects.items())
    for (step, position, reason), count in (rejects - wanted).items():
        yield f"{step}: row {position} was rejected {count} time(s) too often, as {reason}"
    for step, position, reason in wanted - rejects:
        yield f"{step}: row {position} was not rejected as {reason}"


def wrong_counts(report: Mapping[str, Any], expected: Expected, came: Counter[int]) -> Iterator[str]:
    """What differs in a step's part of the report."""
    name = report["name"]
    if report["rows_read"] != report["accepted"] + report["rejected"] + report["skipped"]:
        yield f"{name}: the report's counts do not add up"
    wanted = {
        "rows_read": expected.rows,
        "accepted": sum(map(len, expected.accepted.values())),
        "rejected": len(expected.rejects),
        "skipped": expected.skipped,
    }
    if (said := {key: report[key] for key in wanted}) != wanted:
        yield f"{name}: the report says {said}, it should be {wanted}"
    twice = sum(count > 1 for count in came.values())
    if twice > report["possibly_sent_twice"]:
        yield f"{name}: {twice} rows were sent twice, the report says {report['possibly_sent_twice']}"


# ---------------------------------------------------------------- many campaigns


def campaigns(kills: int, rows: int, seed: int, folder: Path) -> Iterator[Campaign]:
    """One campaign after the other until there have been `kills` kills."""
    dice, number = random.Random(seed), 0
    while kills > 0:
        number += 1
        within = folder / f"campaign-{number}"
        within.mkdir()
        done = campaign(drawn(dice, rows), within, kills, dice)
        kills -= done.kills.total()
        if not done.problems:
            shutil.rmtree(within)
        yield done


def summary(done: Sequence[Campaign], seconds: float) -> str:
    """What there is to tell of all campaigns."""
    kills: Counter[str] = sum((one.kills for one in done), Counter())
    faults: Counter[str] = sum((one.faults for one in done), Counter())
    unsettled = [rows for one in done for rows in one.unsettled]
    ceiling = max(one.setting.lanes * one.setting.rows_a_batch for one in done)
    lines = (
        f"{kills.total()} kills in {len(done)} campaigns and {seconds:.0f} s; at work on {_listed(kills)}",
        f"{sum(one.rows for one in done):,} rows; faults: {_listed(faults)}",
        f"unsettled at a kill: {sum(unsettled) / max(1, len(unsettled)):.0f} rows on average, "
        f"{max(unsettled, default=0)} at most (lanes x batch: {ceiling})",
        f"rows sent again, for kills and for lost answers: {sum(one.sent_twice for one in done):,}",
        *(problem for one in done for problem in one.problems[:20]),
        f"{sum(len(one.problems) for one in done)} problems: rows lost, doubled, out of order, or wrongly rejected",
    )
    return "\n".join(lines)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.killing", description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--rows", type=int, default=12_000, help="rows of each step of a campaign")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder, began, done = Path(tempfile.mkdtemp(prefix="killing-")), time.monotonic(), []
    for one in campaigns(options.kills, options.rows, options.seed, folder):
        done.append(one)
        print(one, flush=True)
    print(summary(done, time.monotonic() - began))
    if any(one.problems for one in done):
        print(f"not deleted: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
