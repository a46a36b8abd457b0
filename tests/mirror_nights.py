"""Plays nights of a job whose steps are mirrors, with kills, refusals and damaged sources, beside a plain model.

    python -m tests.mirror_nights --nights 200 --seed 1

The steps mirror people with relationships, objects, relationships, devices and memberships; what becomes of who is gone
is drawn anew on some nights, from all that the operation allows. Between two nights rows come, change, leave and come
back, and attributes join and leave the mappings. Some nights are run with --full-refresh or --retry-refused; on some, a
file is halved or emptied, which must stop the run before the step sends anything, or so many rows are bad that the run
stops. The command is a real process, killed at random and at chosen moments, then run again or abandoned with
--restart; on some nights its ledgers have many partitions. After each night Customer.io must have received exactly the
items that the model names, and must have what the model says. The seed decides all but the timing.
"""

from __future__ import annotations

import json
import random
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import polars as pl

from cio_etl.sandbox import Sandbox
from tests.killing import copied
from tests.ledger_nights import KILLS_ITSELF, MOMENTS, RATES, Night, Nights, Standing, Watched, lanes_of, main
from tests.mirror_model import (
    ACTIONS,
    ALWAYS,
    COLUMNS,
    COMPANY,
    DEVICES,
    FORBIDDEN,
    KEYS,
    MALFORMED,
    MEMBERS,
    OBJECTS,
    PEOPLE,
    SOMETIMES,
    STEPS,
    TIES,
    Cloud,
    Item,
    Mapped,
    Memory,
    Plan,
    differences,
)
from tests.running import start_program, write_job
from tests.sandbox_client import AUTH

SUBJECTS = {PEOPLE: 90, OBJECTS: 50, TIES: 60, DEVICES: 60, MEMBERS: 60}  # on the first night
WAYS = {PEOPLE: ("delete", "suppress", "unset", "set"), OBJECTS: ("delete", "unset", "set")}
MAX_GONE, MAX_REJECTS = 0.3, 40
SEGMENT, COMPANIES = 7, 6
NOTE = "x" * 900  # of a plan, so that a lane has several batches

GONE_MOMENTS = {
    "before the gone step opens": ("cio_etl.run.open_step", "open_gone", True),
    "when the gone step has opened": ("cio_etl.run.open_step", "open_gone", False),
    "before the ledger loses who is gone": ("cio_etl.run.gone", "without", True),
    "when the ledger has lost who is gone": ("cio_etl.run.gone", "without", False),
}
GIVEN_UP = {  # of a run that is abandoned or replaced: the next command counts what it had sent, twice when killed
    "before an abandoned run is counted": ("cio_etl.run.resume", "fold_abandoned", True),
    "while an abandoned run is counted": ("cio_etl.run.resume", "fold_abandoned", False),
    "when an abandoned run is counted": ("cio_etl.run.resume", "fold_removals", False),
}
ALL_MOMENTS = MOMENTS | GONE_MOMENTS | GIVEN_UP
# As KILLS_ITSELF, with partitions of so few rows that a ledger has several.
SMALL_PARTITIONS = "import cio_etl.ledger.files as files\nfiles.ROWS_AT_ONCE = 16\n" + KILLS_ITSELF


def item_of(sent: Mapping[str, Any]) -> Item:
    """A received item in the model's words."""
    action, attributes = sent["action"].removesuffix("_anonymous"), dict(sent.get("attributes", {}))
    if sent["type"] == "object" and str(sent["identifiers"]["object_type_id"]) == "1":  # a relationship, by Pipelines
        ((who, about),) = ((each["identifiers"]["id"], each) for each in sent["cio_relationships"])
        parts = frozenset(about["relationship_attributes"].items())
        return Item(TIES, f"{who} {sent['identifiers']['object_id']}", ACTIONS[TIES], parts)
    if sent["type"] == "object":
        return Item(OBJECTS, sent["identifiers"]["object_id"], action, frozenset(attributes.items()))
    ties = [each["identifiers"]["object_id"] for each in sent.get("cio_relationships", ())]
    person = sent["identifiers"]["id"]
    if action.endswith("_relationships"):
        (tie,) = sent["cio_relationships"]
        parts = frozenset(tie.get("relationship_attributes", {}).items())
        return Item(TIES, f"{person} {ties[0]}", action, parts)
    if action.endswith("_device"):
        device = {name: value for name, value in sent["device"].items() if name in ("token", "platform")}
        return Item(DEVICES, f"{person} {device.pop('token')}", action, frozenset(device.items()))
    update = bool(attributes.pop("_update", False))
    parts = frozenset((attributes | dict.fromkeys([COMPANY] * len(ties), "".join(ties))).items())
    return Item(PEOPLE, person, action, parts, update)


def cloud_of(sandbox: Sandbox) -> Cloud:
    """What the sandbox has, in the model's words."""
    found = Cloud()
    objects = {each.cio_object_id: each for each in sandbox.objects.everything()}
    for person in sandbox.people.everybody():
        name = str(person.id)
        if name[0] == "p":
            found.people[name] = ({} if person.email is None else {"email": person.email}) | dict(person.attributes)
            if person.relationships:
                found.companies[name] = {objects[each].object_id for each in person.relationships}
        for each, attributes in person.relationships.items() if name[0] == "t" else ():
            found.ties[f"{name} {objects[each].object_id}"] = dict(attributes)
        for token, device in person.devices.items():
            found.devices[f"{name} {token}"] = {"platform": device.platform}
    found.objects = {each.object_id: dict(each.attributes) for each in objects.values() if each.object_id[0] == "o"}
    found.members = {str(person.id) for person in sandbox.people.segments.members(SEGMENT)}
    return found


@dataclass(slots=True)
class World:
    """The source's rows by subject, and the mappings."""

    dice: random.Random
    rows: dict[str, dict[str, dict[str, str | None]]] = field(default_factory=lambda: {step: {} for step in STEPS})
    gone: dict[str, dict[str, dict[str, str | None]]] = field(default_factory=lambda: {step: {} for step in STEPS})
    mapped: dict[str, Mapped] = field(default_factory=dict)
    refused: set[tuple[str, str]] = field(default_factory=set)
    numbers: Counter[str] = field(default_factory=Counter)
    of_pipelines: bool = False  # which changes nobody who is not there, and relates nobody who is identified

    def __post_init__(self) -> None:
        for step in STEPS:
            self.mapped[step] = Mapped(ALWAYS[step], when_gone=self.dice.choice(self._ways(step)))
            for _ in range(SUBJECTS[step]):
                self._add(step)

    def pass_a_day(self) -> None:
        dice = self.dice
        for step in STEPS:
            for _ in range(dice.choice((0, 0, 1, 4))):
                self._add(step)
            subjects, rows, gone = list(self.rows[step]), self.rows[step], self.gone[step]
            free = [name for name in COLUMNS[step] if name not in KEYS[step]]
            for subject in dice.sample(subjects, dice.choice((0, 3, 12))) if free else ():
                name = dice.choice(free)
                rows[subject][name] = self._value(step, subject, name)
            for subject in dice.sample(subjects, dice.choice((0, 0, 1, 4))):
                gone[subject] = rows.pop(subject)
            for subject in dice.sample(sorted(gone), min(len(gone), dice.choice((0, 0, 2)))):
                rows[subject] = gone.pop(subject)
            if dice.random() < 0.15:
                self.mapped[step] = Mapped(
                    ALWAYS[step] + tuple(name for name in self._sometimes(step) if dice.random() < 0.6),
                    clears=step in WAYS and dice.random() < 0.3,
                    when_gone=dice.choice(self._ways(step)),
                )
        if dice.random() < 0.3:
            every = [(step, subject) for step in STEPS for subject in (*self.rows[step], *self.gone[step])]
            self.refused = set(dice.sample(every, dice.choice((0, 4, 12))))

    def snapshot(self, step: str) -> list[dict[str, str | None]]:
        """The rows of a night, in a new order; one of them may not say whom it is about."""
        rows = [dict(row) for row in self.rows[step].values()]
        self.dice.shuffle(rows)
        if self.dice.random() < 0.08:
            rows.insert(self.dice.randrange(len(rows) + 1), dict.fromkeys(COLUMNS[step]))
        return rows

    def _ways(self, step: str) -> tuple[str, ...]:
        ways = WAYS.get(step, ("",))
        return ways[:2] if self.of_pipelines and step == PEOPLE else ways

    def _sometimes(self, step: str) -> tuple[str, ...]:
        return tuple(name for name in SOMETIMES[step] if not (self.of_pipelines and name == COMPANY))

    def _add(self, step: str) -> None:
        self.numbers[step] += 1
        number = self.numbers[step]
        subject = f"{step[0]}{number}"
        row = {name: self._value(step, subject, name) for name in COLUMNS[step]} | {"id": subject}
        self.rows[step][" ".join(str(row[key]) for key in KEYS[step])] = row

    def _value(self, step: str, subject: str, name: str) -> str | None:
        dice = self.dice
        if name in (COMPANY, "object"):
            empty = name == COMPANY and dice.random() < 0.4
            return None if empty else f"c{dice.randrange(COMPANIES)}"
        if name == "token":
            return f"token{dice.randrange(10**9)}"
        if name == "platform":
            return dice.choice(("ios", "android"))
        if name == "email":
            own = subject.split()[0]
            return dice.choice((None, MALFORMED, *(f"{own}.{n}@example.com" for n in range(12))))
        filler = NOTE if name == "plan" else ""
        return dice.choice((None, FORBIDDEN, *(f"{name} {number}{filler}" for number in range(20))))


class MirrorNights(Nights):
    """A job of mirrors over many nights."""

    stops_with = 4  # too many rejects, or too many who are gone

    def __init__(self, folder: Path, seed: int, api: str = "track") -> None:
        super().__init__(folder, seed, api)
        self.steps = STEPS[:-1] if self.is_whole else STEPS  # Pipelines has no segments
        self.mirrored = World(random.Random(f"mirror {seed}"), of_pipelines=self.is_whole)
        self.ledgers = {step: Memory(step, self.is_whole) for step in STEPS}
        self.has: Cloud = Cloud()
        self.words: list[str] = []  # options of tonight's command
        self.program = KILLS_ITSELF
        self.has_stopped = False  # the night before, by what it should stop for
        self._taken: list[Item] = []

    def play(self, nights: int) -> Iterator[Night]:
        with Sandbox(segments=(SEGMENT,)) as self.sandbox:
            self._prepare()
            for _ in range(nights):
                yield self.night()

    def _prepare(self) -> None:
        """What is there before the first night: companies, and people to be members."""
        companies = [
            {"type": "object", "action": "identify", "identifiers": {"object_type_id": "1", "object_id": f"c{number}"}}
            for number in range(COMPANIES)
        ]
        people = [
            {"type": "person", "action": "identify", "identifiers": {"id": f"m{number}"}} for number in range(1, 2_000)
        ]
        for items in (companies, people):
            url = f"{self.sandbox.url}/api/v2/batch"
            httpx.post(url, json={"batch": items}, auth=AUTH).raise_for_status()

    def night(self) -> Night:
        self.number += 1
        dice, world = self.mirrored.dice, self.mirrored
        if self.number > 1:
            world.pass_a_day()
        rates = dice.choice(({}, {}, RATES))
        self.sandbox.set_faults(Watched(seed=dice.randrange(2**32), rates=rates, watch=self._watch))
        rows = {step: world.snapshot(step) for step in self.steps}
        damaged = self._damage(rows) if self.number > 2 else ""
        self.words = dice.choice(([], [], [], [], ["--full-refresh"], ["--retry-refused"]))
        if self.has_stopped and self.words == ["--full-refresh"]:  # it would refuse to go on another way than it began
            self.words = []
        self.program = dice.choice((KILLS_ITSELF, SMALL_PARTITIONS))
        job = self._written_mirrors(rows)
        again, retries = "--full-refresh" in self.words, "--retry-refused" in self.words
        plans = {
            step: self.ledgers[step].plan(rows[step], world.mapped[step], MAX_GONE, again=again, retries=retries)
            for step in self.steps
        }
        stop = next((step for step in self.steps if self._stops(plans[step])), None)
        done = self.steps if stop is None else self.steps[: self.steps.index(stop)]
        night = Night(self.number, rows=sum(map(len, rows.values())))
        night.planned = sum(len(plans[step].every) for step in done)
        self._taken.clear()
        report = self._run(job, night)
        night.received = len(self._taken)
        night.end = "abandoned" if report is None else "finished"
        for item in self._taken:
            if not self._refuses_item(item):
                self.has.take(item)
        if report is None:
            night.problems += self._not_planned(plans)
            self._abandon(plans, self._standing())
        elif report.get("exit_code") == 4:
            night.end = f"stopped: {damaged or 'refused'}"
            if stop is None:
                night.problems.append(f"the run stopped: {report.get('reason')}")
            night.problems += self._not_planned(
                {step: plans[step] for step in self.steps if step in done or step == stop}
            )
            self._abandon(plans, self._standing())
        else:
            if stop is not None:
                night.problems.append(f"the run should have stopped before {stop}: {plans[stop].stops}")
            night.problems += self._not_planned(plans, is_whole=True, is_quiet=not rates and not night.kills)
            for step in self.steps:
                self._settle_step(step, plans[step])
                self._settle_gone(step, plans[step])
            night.problems += self._wrong_counts(report, plans)
        self.has_stopped = night.end.startswith("stopped")
        found = cloud_of(self.sandbox)
        if night.end != "finished":  # the sandbox does not show the calls of segments one by one
            self.has.members = found.members
        night.problems += differences(self.has, found)
        if invalid := self.sandbox.stats()["invalid_items"]:
            night.problems.append(f"{invalid} items were against the rules of Customer.io")
        return night

    def _damage(self, rows: dict[str, list[dict[str, str | None]]]) -> str:
        """Spoils the source of one step on some nights; how, in a word."""
        dice = self.mirrored.dice
        how = dice.choice(("",) * 8 + ("halved", "emptied", "bad"))
        step = dice.choice(self.steps)
        if how == "halved":
            rows[step] = rows[step][: len(rows[step]) // 2]
        elif how == "emptied":
            rows[step] = []
        elif how == "bad":
            for row in rows[PEOPLE][: MAX_REJECTS + 20]:
                row["email"] = MALFORMED
        return how

    def _stops(self, plan: Plan) -> bool:
        refused = sum(self._refuses_item(item) for item in plan.items.values())
        return bool(plan.stops) or plan.rejected + plan.refused_before + refused > MAX_REJECTS

    def _written_mirrors(self, rows: Mapping[str, Sequence[Mapping[str, str | None]]]) -> Path:
        steps = {}
        for step in self.steps:
            mapped, schema = self.mirrored.mapped[step], dict.fromkeys(COLUMNS[step], pl.String)
            pl.DataFrame(rows[step], schema=schema, orient="row").write_parquet(self.folder / f"{step}.parquet")
            (self.folder / f"{step}.yaml").write_text(json.dumps(mapping_of(step, mapped)), encoding="utf-8")
            way: Any = {"set": {"churned": True}} if mapped.when_gone == "set" else mapped.when_gone
            keys = {"sync": "mirror", "max_gone": f"{MAX_GONE:.0%}"} | ({"when_gone": way} if way else {})
            steps[step] = ({"parquet": f"{step}.parquet"}, f"{step}.yaml", keys)
        path = self.folder / "job.yaml"
        return write_job(path, self.sandbox.url, steps, destination=self.destination(), max_rejects=MAX_REJECTS)

    def _process_run(self, job: Path, killed: str) -> int | None:
        dice = self.kill_dice
        words = ["run", job.name, "--json", *self.words, *(["--restart"] if self.abandoned else [])]
        if killed in MOMENTS:  # chosen by the night; those of the gone steps are as likely
            gives_up = bool(self.abandoned) or self.has_stopped
            killed = dice.choice([*(GIVEN_UP if gives_up and dice.random() < 0.5 else ALL_MOMENTS)])
        self.killed_at = killed
        moment = ALL_MOMENTS.get(killed, ("cio_etl.run.ledger_moves", "moved", True))
        nth = 1 if killed in GIVEN_UP else dice.choice((1, 1, 2, 3, 4, 5)) if killed in ALL_MOMENTS else 10**9
        with job.with_name("stdout").open("w") as stdout, job.with_name("log").open("w") as log:
            with self._lock:
                at = len(self._taken) + dice.randint(1, 150)
                process = start_program(
                    self.program, *moment, nth, *words, folder=job.parent, stdout=stdout, stderr=log
                )
                self._process, self._kill_at = process, at if killed == "at an item" else 0
            return self._end_of(process, dice.uniform(0.1, 1.2) if killed == "at random" else None)

    def _watch(self, sent: Mapping[str, Any]) -> bool:
        item = item_of(sent)
        self._taken.append(item)
        if self._kill_at and len(self._taken) >= self._kill_at:
            with self._lock:
                if self._process is not None:
                    self._process.signal_group(signal.SIGKILL)
        return self._refuses_item(item)

    def _refuses_item(self, item: Item) -> bool:
        if self.is_whole or item.step == MEMBERS:
            return False
        return (item.step, item.subject) in self.mirrored.refused or any(value == FORBIDDEN for _, value in item.parts)

    # ---------------------------------------------------------------- the model's memory

    def _answer_of(self, item: Item) -> str:
        return "refused" if self._refuses_item(item) else "accepted"

    def _settle_step(self, step: str, plan: Plan) -> None:
        self.ledgers[step].settle(plan, {position: self._answer_of(item) for position, item in plan.items.items()})
        if step == MEMBERS:
            self.has.members |= {item.subject for item in plan.items.values()}

    def _settle_gone(self, step: str, plan: Plan) -> None:
        self.ledgers[step].remove({subject: self._answer_of(item) for subject, item in plan.gone.items()})
        if step == MEMBERS:
            self.has.members -= plan.gone.keys()

    def _abandon(self, plans: Mapping[str, Plan], now: Standing) -> None:
        """The ledger after a run that is never resumed: what is settled counts, what was under way is not known."""
        for number, step in enumerate(self.steps):
            delta = self.folder / f".etl/runs/{now.run_id}/stage/{2 * number}.delta"
            plan = plans[step]
            if step in now.finished:
                self._settle_step(step, plan)
            elif plan.items and any(sending >= 0 for _, sending in now.lanes.get(step, {}).values()):
                lane_of = lanes_of(delta)
                answers = {}
                for position, item in plan.items.items():
                    acked, sending = now.lanes[step][lane_of[position]]
                    if position <= sending:
                        answers[position] = self._answer_of(item) if position <= acked else "unknown"
                self.ledgers[step].settle(plan, answers)
            gone = f"{step}/gone"
            lanes = now.lanes.get(gone, {}).values()
            if gone in now.finished:
                self._settle_gone(step, plan)
            elif plan.gone and any(sending >= 0 for _, sending in lanes):
                listed = pl.read_parquet(delta / "gone.parquet")
                names = [" ".join(row) for row in listed.select(self._keys(step)).rows()]
                settled, announced = min(acked for acked, _ in lanes), max(sending for _, sending in lanes)
                refused = self._refused_removals(now.run_id, 2 * number + 1)
                self.ledgers[step].remove(
                    {
                        name: "refused" if row in refused else "accepted" if row <= settled else "unknown"
                        for row, name in enumerate(names)
                        if row <= announced
                    }
                )

    def _keys(self, step: str) -> list[str]:
        of_step = {
            TIES: ["key.identifiers.id", "key.relationships[0].object.id"],
            DEVICES: ["key.identifiers.id", "key.device.token"],
            OBJECTS: ["key.object.id"],
        }
        return of_step.get(step, ["key.identifiers.id"])

    def _refused_removals(self, run_id: str, number: int) -> set[int]:
        with copied(self.folder / ".etl") as db:
            assert db is not None
            query = "SELECT position FROM reject WHERE run_id = ? AND step = ?"
            return {position for (position,) in db.execute(query, (run_id, number))}

    # ---------------------------------------------------------------- the books

    def _not_planned(
        self, plans: Mapping[str, Plan], *, is_whole: bool = False, is_quiet: bool = False
    ) -> Iterator[str]:
        planned = Counter(item for plan in plans.values() for item in plan.every if item.step != MEMBERS)
        received = Counter(self._taken)
        yield from (f"sent, and not planned: {item}" for item in received if item not in planned)
        if is_whole:
            yield from (f"not sent: {item}" for item in planned if item not in received)
        if is_quiet:
            yield from (f"sent {n} times: {item}" for item, n in received.items() if n > planned[item] > 0)

    def _wrong_counts(self, report: Mapping[str, Any], plans: Mapping[str, Plan]) -> Iterator[str]:
        for step in report.get("steps", ()):
            plan = plans[step["name"].removesuffix("/gone")]
            items = plan.gone if step["name"].endswith("/gone") else plan.items
            refused = sum(self._refuses_item(item) for item in items.values())
            wanted = {"accepted": len(items) - refused, "rejected": refused, "skipped": 0}
            if items is plan.items:
                wanted["rejected"] += plan.rejected + plan.refused_before
                wanted["skipped"] = plan.same
            if (said := {name: step[name] for name in wanted}) != wanted:
                yield f"{step['name']}: the report says {said}, it should be {wanted}"


def mapping_of(step: str, mapped: Mapped) -> dict[str, Any]:
    """The mapping as its file has it."""
    attributes = {name: name for name in mapped.attributes if name != COMPANY}
    ends: list[Any] = [{"object": {"type": {"value": "1"}, "id": COMPANY}}] if COMPANY in mapped.attributes else []
    mappings: dict[str, dict[str, Any]] = {
        PEOPLE: {"operation": "identify", "attributes": attributes} | ({"relationships": ends} if ends else {}),
        OBJECTS: {
            "operation": "identify_object",
            "object": {"type": {"value": "2"}, "id": "id"},
            "attributes": attributes,
        },
        TIES: {
            "operation": ACTIONS[TIES],
            "relationships": [{"object": {"type": {"value": "1"}, "id": "object"}, "attributes": {"role": "role"}}],
        },
        DEVICES: {"operation": ACTIONS[DEVICES], "device": {"token": "token", "platform": "platform"}},
        MEMBERS: {"operation": ACTIONS[MEMBERS], "segment": SEGMENT},
    }
    who = {} if step == OBJECTS else {"identifiers": {"id": "id"}}
    return mappings[step] | who | ({"nulls": "clear"} if mapped.clears else {})


if __name__ == "__main__":
    sys.exit(main(MirrorNights, "mirror_nights", __doc__))
