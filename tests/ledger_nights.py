"""Plays nights of a job that sends only what changed, with kills and refusals, and compares each with a plain model.

    python -m tests.ledger_nights --nights 200 --seed 1

Between two nights, rows of people, companies and orders are added, changed, emptied and removed, and come back; some
are bad, of some Customer.io refuses the values, and attributes join and leave the mappings. The command is a real
process, killed at random and at chosen moments, then run again or abandoned with --restart. Requests are answered 503
and 429, and answers are lost. After each night the sandbox must have received exactly the items that the model names,
and must have what the model says and what a load of all rows would have made. Ledgers that store values must have the
value of each hash. Each night, the ledger remembers orders for one day less, as if a day had passed. On some nights,
partitions have few rows, and additions are merged early. The seed decides all but the timing.

With `--api pipelines`, items are sent whole, and nothing is refused: its answers name no item.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from cio_etl.ledger import Generation, Ledger
from cio_etl.sandbox import Faults, Sandbox
from cio_etl.transform import ids
from tests.fork_server import Process
from tests.killing import copied
from tests.ledger_model import (
    COMPANIES,
    FORBIDDEN,
    KEY,
    MALFORMED,
    ORDERS,
    OWNER,
    PEOPLE,
    STEPS,
    Cloud,
    Item,
    Mapped,
    Memory,
    Part,
    Plan,
    differences,
    last_values,
)
from tests.running import API_KEY, start_program, until, write_job

LANES = 2
NOTE_BYTES = 600  # so that a lane has several batches when all notes change
SUBJECTS = {PEOPLE: 160, COMPANIES: 40, ORDERS: 60}  # on the first night
COLUMNS = {
    PEOPLE: ("id", "email", "plan", "city", "tier", "note"),
    COMPANIES: ("company", "name", "seats", "tier", "owner", "role"),
    ORDERS: ("order", "id", "at", "price"),
}
ALWAYS = {PEOPLE: ("email", "plan", "note"), COMPANIES: ("name",), ORDERS: ("order", "price")}
SOMETIMES = {PEOPLE: ("city", "tier"), COMPANIES: ("seats", "tier"), ORDERS: ()}  # in the mappings of some nights
DAY_S = 86_400
REMEMBERED = 400  # days at first; each night one less, as if a day had passed: the clock of a real process stands still
OLDEST, YOUNGEST = 425, 340  # days: when orders were, so that some are forgotten each night, and some came too late
RATES = {"503": 0.10, "429": 0.05, "lost_after": 0.05, "lost_before": 0.03}

# Where a process kills itself: a function of the program, and whether before its nth call or after it.
MOMENTS = {
    "before a delta is written": ("cio_etl.run.sync", "make_delta", True),
    "while a delta is written": ("cio_etl.ledger.delta.DeltaWriter", "write_rows", False),
    "when a delta is written": ("cio_etl.run.sync", "make_delta", False),
    "before the first request of a step": ("cio_etl.run.run", "_send", True),
    "before the ledger's files are written": ("cio_etl.run.ledger_moves", "moved", True),
    "before the ledger moves": ("cio_etl.run.ledger_moves", "moved", False),
    "when the ledger has moved": ("cio_etl.state.Store", "end_step", False),
}
KILLS_ITSELF = """
import os, pkgutil, signal, sys
place, name, before, nth = sys.argv[1], sys.argv[2], sys.argv[3] == "True", int(sys.argv[4])
owner = pkgutil.resolve_name(place)
real, calls = getattr(owner, name), 0
def counted(*arguments, **named):
    global calls
    calls += 1
    if before and calls == nth:
        os.kill(os.getpid(), signal.SIGKILL)
    result = real(*arguments, **named)
    if calls == nth:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
setattr(owner, name, counted)
sys.argv = ["cio-etl", *sys.argv[5:]]
from cio_etl.cli import main
sys.exit(main())
"""
# As KILLS_ITSELF, with partitions of so few rows that a ledger has several, and with few additions.
SMALL_LEDGER = (
    """
import cio_etl.ledger.files as files, cio_etl.ledger.stored as stored
files.ROWS_AT_ONCE, stored.LEAST_MERGED, stored.MOST_PIECES = 16, 4, 3
"""
    + KILLS_ITSELF
)


# ---------------------------------------------------------------- what the sandbox receives


@dataclass(frozen=True)
class Watched(Faults):
    """Faults that show every valid item, and refuse those for which `watch` is true."""

    refused: float = 1e-9  # above 0, or `refuses` is not asked
    watch: Callable[[Mapping[str, Any]], bool] = lambda item: False

    def refuses(self, item: Mapping[str, Any]) -> bool:
        return self.watch(item)


def item_of(sent: Mapping[str, Any]) -> Item:
    """A received item in the model's words."""
    attributes: dict[str, Part] = dict(sent.get("attributes", {}))
    if sent["type"] == "object":
        for each in sent.get("cio_relationships", ()):
            if "id" not in each["identifiers"]:  # a visitor, without whom Pipelines takes no object
                continue
            attributes[OWNER] = (each["identifiers"]["id"], tuple(each.get("relationship_attributes", {}).items()))
        return Item(COMPANIES, sent["identifiers"]["object_id"], False, frozenset(attributes.items()))
    if sent["action"] == "event":
        return Item(ORDERS, str(attributes["order"]), False, frozenset(attributes.items()))
    update = bool(attributes.pop("_update", False))
    return Item(PEOPLE, sent["identifiers"]["id"], update, frozenset(attributes.items()))


def cloud_of(sandbox: Sandbox) -> Cloud:
    """What the sandbox has, in the model's words."""
    found = Cloud()
    for person in sandbox.people.everybody():
        email = {} if person.email is None else {"email": person.email}
        found.people[str(person.id)] = email | dict(person.attributes)
    for company in sandbox.objects.everything():
        found.companies[company.object_id] = dict(company.attributes)
        for cio_id, attributes in company.people.items():
            person_id = str(sandbox.people.identities.by_cio_id[cio_id].id)
            found.owners[company.object_id, person_id] = dict(attributes)
    for event in sandbox.people.events.values():
        found.orders[event.attributes["order"]] = frozenset(event.attributes.items())
    return found


# ---------------------------------------------------------------- what changes between two nights


@dataclass(slots=True)
class World:
    """The source's rows by subject, and the mappings."""

    dice: random.Random
    rows: dict[str, dict[str, list[dict[str, str | None]]]] = field(default_factory=dict)
    gone: dict[str, dict[str, list[dict[str, str | None]]]] = field(default_factory=lambda: {s: {} for s in STEPS})
    mapped: dict[str, Mapped] = field(default_factory=dict)
    refused: set[tuple[str, str]] = field(default_factory=set)  # step and subject that Customer.io refuses tonight
    numbers: Counter[str] = field(default_factory=Counter)
    began: int = field(default_factory=lambda: int(time.time()))
    all_owned: bool = False  # Pipelines rejects a company without an owner, where the mapping has one

    def __post_init__(self) -> None:
        for step in STEPS:
            self.rows[step] = {}
            self.mapped[step] = Mapped(ALWAYS[step])
            for _ in range(SUBJECTS[step]):
                self._add(step)

    def pass_a_day(self) -> None:
        """Changes rows, mappings and refusals."""
        dice = self.dice
        for step in STEPS:
            for _ in range(dice.choice((0, 0, 3, 10))):
                self._add(step)
            subjects = list(self.rows[step])
            for subject in dice.sample(subjects, min(len(subjects), dice.choice((0, 2, 12)))):
                row = dice.choice(self.rows[step][subject])
                name = dice.choice([each for each in COLUMNS[step] if each not in (KEY[step], "id", "at")])
                row[name] = self._value(step, subject, name)
            for subject in dice.sample(subjects, min(len(subjects), dice.choice((0, 0, 4)))):
                self.gone[step][subject] = self.rows[step].pop(subject)
            for subject in dice.sample(sorted(self.gone[step]), min(len(self.gone[step]), dice.choice((0, 0, 2)))):
                self.rows[step][subject] = self.gone[step].pop(subject)
            if dice.random() < 0.15:
                self.mapped[step] = Mapped(
                    ALWAYS[step] + tuple(name for name in SOMETIMES[step] if dice.random() < 0.6),
                    clears=step != ORDERS and dice.random() < 0.3,
                )
        if dice.random() < 0.2:  # everybody's note changes
            for subject, rows in self.rows[PEOPLE].items():
                for row in rows:
                    row["note"] = self._value(PEOPLE, subject, "note")
        if dice.random() < 0.3:
            every = [(step, subject) for step in STEPS for subject in self.rows[step]]
            self.refused = set(dice.sample(every, dice.choice((0, 4, 12))))

    def refuses(self, step: str, subject: str) -> bool:
        return (step, subject) in self.refused

    def snapshot(self, step: str) -> list[dict[str, str | None]]:
        """The rows of a night, in a new order; those of a subject stay in theirs. Some more are bad."""
        places = [subject for subject, rows in self.rows[step].items() for _ in rows]
        self.dice.shuffle(places)
        next_row = {subject: iter(rows) for subject, rows in self.rows[step].items()}
        rows = [dict(next(next_row[subject])) for subject in places]
        for _ in range(self.dice.choice((0, 1, 3))):
            rows.insert(self.dice.randrange(len(rows) + 1), dict.fromkeys(COLUMNS[step]) | {"at": "1700000000"})
        return rows

    def _add(self, step: str) -> None:
        self.numbers[step] += 1
        subject = f"{step[0]}{self.numbers[step]}"
        several = step != ORDERS and self.dice.random() < 0.15
        self.rows[step][subject] = [self._row(step, subject) for _ in range(2 if several else 1)]

    def _row(self, step: str, subject: str) -> dict[str, str | None]:
        return {name: self._value(step, subject, name) for name in COLUMNS[step]}

    def _value(self, step: str, subject: str, name: str) -> str | None:
        dice = self.dice
        if name == KEY[step]:
            return subject
        if name in ("id", OWNER):
            empty = name == OWNER and dice.random() < 0.3 and not self.all_owned
            return None if empty else f"p{dice.randrange(1, SUBJECTS[PEOPLE])}"
        if name == "at":
            return str(self.began - dice.randrange(YOUNGEST, OLDEST) * DAY_S + DAY_S // 2)
        if name == "note":
            return dice.randbytes(NOTE_BYTES // 2).hex()
        if name == "email":
            return dice.choice((None, MALFORMED, *(f"{subject}.{n}@example.com" for n in range(12))))
        return dice.choice((None, FORBIDDEN, *(f"{name} {number}" for number in range(20))))


# ---------------------------------------------------------------- a night


@dataclass(frozen=True, slots=True)
class Standing:
    """What the state says of the newest run."""

    run_id: str = ""
    status: str = ""
    finished: frozenset[str] = frozenset()  # steps
    lanes: Mapping[str, Mapping[int, tuple[int, int]]] = field(default_factory=dict)  # acked, sending by step and lane


@dataclass(slots=True)
class Night:
    """What came of one night."""

    number: int
    kills: list[str] = field(default_factory=list)
    end: str = ""  # finished or abandoned
    planned: int = 0
    received: int = 0
    rows: int = 0
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kills = f"; killed {', '.join(self.kills)}" if self.kills else ""
        return (
            f"night {self.number}: {self.rows} rows, {self.planned} items, {self.received} received, {self.end}"
            f"{kills}; {len(self.problems)} problems"
        )


class Nights:
    """A job over many nights."""

    stops_with: int | None = None  # the exit code of a run that stops as it should

    def __init__(self, folder: Path, seed: int, api: str = "track") -> None:
        self.folder, self.seed, self.dice, self.api = folder, seed, random.Random(seed), api
        self.kill_dice = random.Random()  # of a night; apart, since the timing decides how often it is asked
        self.world = World(self.dice, all_owned=self.is_whole)
        self.memories = {step: Memory(step, self.is_whole) for step in STEPS}
        self.cloud = Cloud()
        self.abandoned = ""  # the run that the next command must abandon
        self.last_run = ""  # of the night before
        self.killed_at = ""  # the moment at which a process killed itself, where it was chosen again
        self.number = 0
        self.program = KILLS_ITSELF  # of a night
        self.forgot = 0  # orders that have left the ledger, at least
        self._orders, self._orders_at = 0, 0  # of its ledger: how many, and the generation that was looked at
        self._received: list[Item] = []
        self._process: Process | None = None
        self._kill_at = 0  # the item of a night at which its process is killed
        self._lock = threading.Lock()

    @property
    def is_whole(self) -> bool:
        """Whether items are sent whole, and none is refused."""
        return self.api == "pipelines"

    def destination(self) -> dict[str, Any]:
        """The keys of the job's destination."""
        keys = {"api": self.api, "write_key": f"${{{API_KEY}}}"}
        return keys | {"lanes": LANES, "max_batch_bytes": 32_100, "requests_per_second": "unlimited"}

    def play(self, nights: int) -> Iterator[Night]:
        with Sandbox() as self.sandbox:
            for _ in range(nights):
                yield self.night()

    def night(self) -> Night:
        self.number += 1
        if self.number > 1:
            self.world.pass_a_day()
        rates = self.dice.choice(({}, {}, RATES))
        self.sandbox.set_faults(Watched(seed=self.dice.randrange(2**32), rates=rates, watch=self._watch))
        rows = {step: self.world.snapshot(step) for step in STEPS}
        self.program = self.dice.choice((KILLS_ITSELF, SMALL_LEDGER))
        job = self._written(rows)
        since = self.world.began - self._remembered() * DAY_S
        plans = {
            step: self.memories[step].plan(rows[step], self.world.mapped[step], since=since if step == ORDERS else None)
            for step in STEPS
        }
        night = Night(self.number, rows=sum(map(len, rows.values())))
        night.planned = sum(len(plan.items) for plan in plans.values())
        self._received.clear()
        end = self._run(job, night)
        night.end = "abandoned" if end is None else "finished"
        night.received = len(self._received)
        for item in self._received:
            if not self._refuses(item):
                self.cloud.take(item)
        if end is not None:
            night.problems += self._wrong_items(plans, is_whole=True, is_quiet=not rates and not night.kills)
            self._settle(plans)
            night.problems += self._not_as_loaded(rows)
            night.problems += self._wrong_report(end, plans)
        else:
            night.problems += self._wrong_items(plans, is_whole=False, is_quiet=False)
            self._give_up(plans, self._standing())
        night.problems += self._wrong_values()
        night.problems += self._wrong_ledgers(since)
        night.problems += differences(self.cloud, cloud_of(self.sandbox))
        if invalid := self.sandbox.stats()["invalid_items"]:
            night.problems.append(f"{invalid} items were against the rules of Customer.io")
        return night

    def _written(self, rows: Mapping[str, Sequence[Mapping[str, str | None]]]) -> Path:
        for step in STEPS:
            schema = dict.fromkeys(COLUMNS[step], pl.String)
            pl.DataFrame(rows[step], schema=schema, orient="row").write_parquet(self.folder / f"{step}.parquet")
            mapping = json.dumps(mapping_of(step, self.world.mapped[step]))
            (self.folder / f"{step}.yaml").write_text(mapping, encoding="utf-8")
        return write_job(
            self.folder / "job.yaml",
            self.sandbox.url,
            {
                step: ({"parquet": f"{step}.parquet"}, f"{step}.yaml", keys_of(step, self._remembered()))
                for step in STEPS
            },
            destination=self.destination(),
            max_rejects="100%",
        )

    def _wrong_values(self) -> Iterator[str]:
        """Values in the ledgers that are not those of their hashes, and hashes without the value."""
        for step, ledger in self._ledgers():
            known = ledger.known(0, 0)
            for name in [name for name in known.columns if name.startswith("part.attributes.")]:
                if step == ORDERS:  # it stores no values
                    continue
                value = pl.col(name.replace("part.", "value.", 1))
                wrong = ids.text_hash(value, ledger.generation.salt).ne_missing(pl.col(name))
                if count := known.filter(wrong).height:
                    yield f"{step}: {count} values of {name} are not those of their hashes"

    def _wrong_ledgers(self, since: int) -> Iterator[str]:
        """Subjects that are counted wrongly, and events that have stayed when the ledger was rewritten."""
        for step, ledger in self._ledgers():
            generation, known = ledger.generation, ledger.known(0, 0)
            if generation.subjects != known.height:
                yield f"{step}: the ledger counts {generation.subjects} subjects, and has {known.height}"
            is_new = [piece.file.startswith(f"base-{generation.number:06}") for piece in generation.pieces] == [True]
            if step == ORDERS and is_new and generation.number != self._orders_at:
                self._orders_at = generation.number
                self.forgot += max(self._orders - known.height, 0)
                if old := known.filter(pl.col("key.timestamp").cast(pl.Int64) < since).height:
                    yield f"{step}: the ledger was rewritten, and has {old} events that are too old"
            if step == ORDERS:
                self._orders = known.height

    def _ledgers(self) -> Iterator[tuple[str, Ledger]]:
        with copied(self.folder / ".etl") as db:
            rows = [] if db is None else db.execute("SELECT step, generation FROM ledger").fetchall()
        return ((step, Ledger(self.folder / ".etl/ledger/job" / step, Generation.of_text(text))) for step, text in rows)

    def _remembered(self) -> int:
        """The days for which the ledger remembers orders."""
        return max(REMEMBERED - self.number, 30)

    # ---------------------------------------------------------------- processes

    def _run(self, job: Path, night: Night) -> Mapping[str, Any] | None:
        """Runs the command until the night is over; its report ({}: it was killed), or None when it is abandoned."""
        dice = self.kill_dice = random.Random(f"{self.seed} {self.number}")
        kills = dice.choice((0, 0, 1, 1, 2, 3))
        while True:
            killed = dice.choice(("at random", "at an item", *MOMENTS)) if len(night.kills) < kills else ""
            code = self._process_run(job, killed)
            until(lambda: not self._requests_under_way())
            now = self._standing()
            if self.abandoned and now.run_id != self.abandoned:
                self.abandoned = ""
            if code is None:
                night.kills.append(self.killed_at or killed)
                has_begun = not self.abandoned and now.run_id != self.last_run
                if has_begun and now.status == "finished":
                    self.last_run = now.run_id
                    return {}
                if has_begun and dice.random() < 0.25:
                    self.abandoned = self.last_run = now.run_id
                    return None
                continue
            self.last_run = now.run_id
            printed = job.with_name("stdout").read_text()
            if code == self.stops_with:
                return {"exit_code": code, "reason": job.with_name("log").read_text()[-400:]}
            if code not in (0, 3):
                night.problems.append(f"the run ended with {code}: {job.with_name('log').read_text()[-600:]}")
                return {}
            report: Mapping[str, Any] = json.loads(printed)
            return report

    def _process_run(self, job: Path, killed: str) -> int | None:
        """The exit code of one process; None when it was killed."""
        words = ["run", job.name, "--json", *(["--restart"] if self.abandoned else [])]
        with job.with_name("stdout").open("w") as stdout, job.with_name("log").open("w") as log:
            streams: dict[str, Any] = {"folder": job.parent, "stdout": stdout, "stderr": log}
            moment = MOMENTS.get(killed, ("cio_etl.run.ledger_moves", "moved", True))
            nth = self.kill_dice.choice((1, 1, 2, 3)) if killed in MOMENTS else 10**9
            with self._lock:
                at = len(self._received) + self.kill_dice.randint(1, 150)
                process = self._process = start_program(self.program, *moment, nth, *words, **streams)
                self._kill_at = at if killed == "at an item" else 0
            return self._end_of(process, self.kill_dice.uniform(0.1, 0.8) if killed == "at random" else None)

    def _end_of(self, process: Process, killed_after_s: float | None) -> int | None:
        """The exit code of a process, which is killed after some seconds; None when it was killed."""
        try:
            code = process.wait(killed_after_s)
        except subprocess.TimeoutExpired:
            process.signal_group(signal.SIGKILL)
            code = process.wait()
        finally:
            self._kill_at = 0
        return None if code == -signal.SIGKILL else code

    def _watch(self, sent: Mapping[str, Any]) -> bool:
        """Notes an item that has come, and kills the process when it is time; whether the item is refused."""
        item = item_of(sent)
        self._received.append(item)
        if self._kill_at and len(self._received) >= self._kill_at:
            with self._lock:
                if self._process is not None:
                    self._process.signal_group(signal.SIGKILL)
        return self._refuses(item)

    def _refuses(self, item: Item) -> bool:
        if self.is_whole:
            return False
        return self.world.refuses(item.step, item.subject) or any(FORBIDDEN in str(value) for _, value in item.parts)

    def _requests_under_way(self) -> int:
        server = self.sandbox._server.server_state
        return len(server.connections) + len(server.tasks)

    def _standing(self) -> Standing:
        with copied(self.folder / ".etl") as db:
            if db is None or not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'lane'").fetchall():
                return Standing()
            run = db.execute("SELECT run_id, status FROM run ORDER BY sequence DESC, run_id DESC").fetchone()
            if run is None:
                return Standing()
            steps = dict(db.execute("SELECT number, name FROM step WHERE run_id = ?", run[:1]))
            done = db.execute("SELECT name FROM step WHERE run_id = ? AND status = 'finished'", run[:1]).fetchall()
            lanes: dict[str, dict[int, tuple[int, int]]] = {step: {} for step in steps.values()}
            query = "SELECT step, lane, acked_through, sending_through FROM lane WHERE run_id = ?"
            for step, lane, acked, sending in db.execute(query, run[:1]):
                lanes[steps[step]][lane] = (acked, sending)
            return Standing(run[0], run[1], frozenset(name for (name,) in done), lanes)

    # ---------------------------------------------------------------- the model's memory

    def _settle(self, plans: Mapping[str, Plan], steps: Iterable[str] = STEPS) -> None:
        """The ledger after all items of these steps were answered."""
        for step in steps:
            answers = {position: self._answer(item) for position, item in plans[step].items.items()}
            self.memories[step].settle(plans[step], answers)

    def _answer(self, item: Item) -> str:
        return "refused" if self._refuses(item) else "accepted"

    def _give_up(self, plans: Mapping[str, Plan], now: Standing) -> None:
        """The ledger after a run that is never resumed: what is settled counts, what was under way is not known."""
        self._settle(plans, now.finished)
        for number, step in enumerate(STEPS):
            progress = now.lanes.get(step, {})
            if step in now.finished or not plans[step].items or all(sending < 0 for _, sending in progress.values()):
                continue
            lane_of = lanes_of(self.folder / f".etl/runs/{now.run_id}/stage/{number}.delta")
            answers = {}
            for position, item in plans[step].items.items():
                acked, sending = progress[lane_of[position]]
                if position <= sending:
                    answers[position] = self._answer(item) if position <= acked else "unknown"
            self.memories[step].settle(plans[step], answers)

    # ---------------------------------------------------------------- the books

    def _wrong_items(self, plans: Mapping[str, Plan], *, is_whole: bool, is_quiet: bool) -> Iterator[str]:
        planned = Counter(item for plan in plans.values() for item in plan.items.values())
        received = Counter(self._received)
        yield from (f"sent, and had not changed: {item}" for item in received if item not in planned)
        if is_whole:
            yield from (f"not sent: {item}" for item in planned if item not in received)
        if is_quiet:
            yield from (f"sent {n} times: {item}" for item, n in received.items() if n > planned[item] > 0)

    def _not_as_loaded(self, rows: Mapping[str, Sequence[Mapping[str, str | None]]]) -> Iterator[str]:
        """What is not as a load of all rows would have made it; not of subjects of which something was refused."""
        found = cloud_of(self.sandbox)
        for step, has in ((PEOPLE, found.people), (COMPANIES, found.companies)):
            mapped, memory = self.world.mapped[step], self.memories[step]
            for subject, name, value in last_values(step, rows[step], mapped, self.world.refuses):
                if memory.refused[subject] or name == "email":
                    continue
                if isinstance(value, tuple):
                    if (subject, value[0]) not in found.owners:
                        yield f"{step} {subject} has no tie to {value[0]}, a load of all rows would have made it"
                elif has.get(subject, {}).get(name) != value:
                    yield f"{step} {subject}: {name} is not as a load of all rows would have made it"

    def _wrong_report(self, report: Mapping[str, Any], plans: Mapping[str, Plan]) -> Iterator[str]:
        for step in report.get("steps", ()):
            plan = plans[step["name"]]
            refused = sum(self._refuses(item) for item in plan.items.values())
            wanted = {
                "accepted": len(plan.items) - refused,
                "rejected": plan.rejected + plan.refused_before + refused,
                "skipped": plan.same,
            }
            if (said := {name: step[name] for name in wanted}) != wanted:
                yield f"{step['name']}: the report says {said}, it should be {wanted}"


def lanes_of(delta: Path) -> dict[int, int]:
    """The lanes of the rows that a run was to send, by position; of a first run, of those that it noted."""
    if (path := delta / "rows.parquet").exists():
        frames = [pl.read_parquet(path)]
    else:
        frames = [noted for path in delta.glob("sent.*/*") if (noted := whole_batches(path)) is not None]
    return {position: lane for frame in frames for position, lane in frame.select("_position", "lane").iter_rows()}


def whole_batches(path: Path) -> pl.DataFrame | None:
    """The frames of a stream up to the one that is torn; None: there is none."""
    batches: list[pa.RecordBatch] = []
    with suppress(pa.ArrowInvalid, OSError), pa.ipc.open_stream(path.read_bytes()) as stream:
        batches.extend(stream)
    return pl.DataFrame(pa.Table.from_batches(batches)) if batches else None


def keys_of(step: str, remembered: int) -> dict[str, str]:
    """The keys of a step about its ledger, which remembers orders for so many days."""
    return {"sync": "changed"} | ({"remember": f"{remembered} days"} if step == ORDERS else {"ledger": "values"})


def mapping_of(step: str, mapped: Mapped) -> dict[str, Any]:
    """The mapping as its file has it."""
    mappings: dict[str, dict[str, Any]] = {
        PEOPLE: {"operation": "identify", "identifiers": {"id": "id"}},
        COMPANIES: {
            "operation": "identify_object",
            "object": {"type": {"value": "1"}, "id": "company"},
            "relationships": [{"person": {"id": OWNER}, "attributes": {"role": "role"}}],
        },
        ORDERS: {
            "operation": "track",
            "identifiers": {"id": "id"},
            "event": {"value": "bought"},
            "event_key": ["order"],
            "timestamp": {"column": "at", "apply": [{"timestamp": {"unit": "s"}}]},
        },
    }
    nulls = {"nulls": "clear"} if mapped.clears else {}
    return mappings[step] | nulls | {"attributes": {name: name for name in mapped.attributes}}


# ---------------------------------------------------------------- many nights


def summary(done: Sequence[Night], seconds: float) -> str:
    """What there is to tell of all nights."""
    kills = Counter(kill for night in done for kill in night.kills)
    listed = ", ".join(f"{name} {count}" for name, count in sorted(kills.items()))
    ends = ", ".join(f"{count} {end}" for end, count in Counter(night.end for night in done).most_common())
    return "\n".join(
        (
            f"{len(done)} nights in {seconds:.0f} s: {ends}",
            f"{sum(night.rows for night in done):,} rows, {sum(night.planned for night in done):,} items",
            f"{kills.total()} kills: {listed}",
            *(f"night {night.number}: {problem}" for night in done for problem in night.problems[:20]),
            f"{sum(len(night.problems) for night in done)} problems: items lost, needless or wrong",
        )
    )


def played(kind: type[Nights], nights: int, seed: int, api: str) -> int:
    """Plays nights and prints what came of them; 1 when something was wrong."""
    print(f"seed {seed}, {api}", flush=True)
    folder, began, done = Path(tempfile.mkdtemp(prefix="nights-")), time.monotonic(), []
    for night in kind(folder, seed, api).play(nights):
        done.append(night)
        print(night, flush=True)
        if night.problems:  # what follows would differ, too
            break
    print(summary(done, time.monotonic() - began))
    if any(night.problems for night in done):
        print(f"not deleted: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def main(kind: type[Nights], module: str, about: str) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m tests.{module}", description=about.split("\n")[0])
    parser.add_argument("--nights", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--api", choices=("track", "pipelines"), help="the seed decides without it")
    options = parser.parse_args()
    api = options.api or random.Random(f"api {options.seed}").choice(("track", "track", "pipelines"))
    return played(kind, options.nights, options.seed, api)


if __name__ == "__main__":
    sys.exit(main(Nights, "ledger_nights", __doc__))
