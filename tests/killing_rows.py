"""The rows that a campaign of kills loads, and what must become of each. People are CSV, their events Parquet.

Every row carries its own position, and a person has many rows: so the sandbox can tell which rows came, how often, and
in which order. What must become of a row is worked out here from what is documented, without the program under test.
"""

from __future__ import annotations

import csv
import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
from ulid import ULID

from cio_etl.sandbox import Faults, People

TRACE = "row"  # the attribute that holds a row's position
PEOPLE, EVENTS = "people", "events"  # the steps
NOTE_BYTES = 700  # makes a batch of the smallest size hold some 35 rows
SKIPPED_PLAN = "internal"
ONE_IN = 120  # share of rows that are bad, or omitted, in one way each

MAPPINGS: Mapping[str, dict[str, Any]] = {
    PEOPLE: {
        "operation": "identify",
        "identifiers": {"id": "person"},
        "attributes": {TRACE: {"column": "row", "apply": [{"cast": "integer"}]}, "email": "e_mail", "note": "note"},
        "when": f"plan <> '{SKIPPED_PLAN}'",
    },
    EVENTS: {
        "operation": "track",
        "event": {"value": "order_placed"},
        "identifiers": {"id": "person"},
        "timestamp": {"column": "placed_at", "apply": [{"timestamp": {"unit": "s"}}]},
        "event_key": ["order_id"],
        "attributes": {TRACE: "row", "note": "note"},
        "when": f"plan <> '{SKIPPED_PLAN}'",
    },
}


@dataclass(slots=True)
class Expected:
    """What must become of a step's rows."""

    rows: int = 0
    skipped: int = 0
    rejects: dict[int, str] = field(default_factory=dict)  # reason by position
    sent: dict[int, str] = field(default_factory=dict)  # person by position, of all rows that are sent, refused or not
    accepted: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))  # positions by person, in order
    notes: dict[int, str] = field(default_factory=dict)
    event_ids: dict[str, int] = field(default_factory=dict)  # position by id, of the accepted


def write(folder: Path, people: int, rows: int, dice: random.Random, faults: Faults) -> dict[str, Expected]:
    """Writes `rows` rows of `people` people, as many events, and the mappings; says what must become of them."""
    for name, mapping in MAPPINGS.items():
        (folder / f"{name}.yaml").write_text(json.dumps(mapping), encoding="utf-8")
    identifies = [_person_row(position, people, dice) for position in range(rows)]
    with (folder / "people.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("person", "row", "e_mail", "plan", "note"), *(row for row, _ in identifies)])
    events = [_event_row(position, people, dice) for position in range(rows)]
    table = pl.DataFrame([row for row, _ in events], schema=_EVENT_COLUMNS, orient="row")
    table.write_parquet(folder / "events.parquet")
    return {PEOPLE: _identified(identifies, faults), EVENTS: _tracked(events, faults)}


_EVENT_COLUMNS = {"person": pl.String, "row": pl.Int64, "order_id": pl.String, "placed_at": pl.Int64} | {
    "plan": pl.String,
    "note": pl.String,
}


def _person_row(position: int, people: int, dice: random.Random) -> tuple[list[str], str]:
    """A row, and its end: "" (sent), "skipped", or the reason why it must be rejected."""
    person = dice.randrange(people)
    row = [f"{person:05d}", str(position), f"p{person}@example.com", "pro", dice.randbytes(NOTE_BYTES // 2).hex()]
    match dice.randrange(4 * ONE_IN):
        case 0:
            return ["", *row[1:]], "identifier_missing"
        case 1:
            return [*row[:2], "p@@example.com", *row[3:]], "email_malformed"
        case 2:
            return row[:-1], "row_ragged"
        case 3:
            return [*row[:3], SKIPPED_PLAN, row[4]], "skipped"
        case _:
            return row, ""


def _event_row(position: int, people: int, dice: random.Random) -> tuple[list[Any], str]:
    note, placed_at = dice.randbytes(NOTE_BYTES // 2).hex(), 1_700_000_000 + dice.randrange(30_000_000)
    row: list[Any] = [f"{dice.randrange(people):05d}", position, f"o-{position}", placed_at, "pro", note]
    match dice.randrange(4 * ONE_IN):
        case 0:
            return [None, *row[1:]], "identifier_missing"
        case 1:
            return [*row[:2], None, *row[3:]], "event_key_missing"
        case 2:
            return [*row[:3], None, *row[4:]], "timestamp_missing"
        case 3:
            return [*row[:4], SKIPPED_PLAN, note], "skipped"
        case _:
            return row, ""


def _identified(rows: Sequence[tuple[list[str], str]], faults: Faults) -> Expected:
    expected = Expected()
    for position, (row, end) in enumerate(rows):
        refused = faults.refuses({"identifiers": {"id": row[0]}})
        if _settle(expected, position, row[0], end, refused):
            expected.notes[position] = row[-1]
    return expected


def _tracked(rows: Sequence[tuple[list[Any], str]], faults: Faults) -> Expected:
    expected = Expected()
    for position, (row, end) in enumerate(rows):
        event_id = "" if end else _event_id("order_placed", row[2], row[3])
        if _settle(expected, position, row[0], end, faults.refuses({"id": event_id})):
            expected.event_ids[event_id] = position
    return expected


def _settle(expected: Expected, position: int, person: str, end: str, refused: bool) -> bool:
    """Notes a row's end; whether it is accepted."""
    expected.rows += 1
    if end == "skipped":
        expected.skipped += 1
    elif end:
        expected.rejects[position] = end
    else:
        expected.sent[position] = person
        if refused:
            expected.rejects[position] = "refused_invalid"
        else:
            expected.accepted[person].append(position)
    return not end and not refused


def _event_id(name: str, key: str, seconds: int) -> str:
    """The documented id: the event's own time in ms, and 80 bits of SHA-256 over its name and key."""
    digest = hashlib.sha256(f"cio-etl/1;{len(name)}:{name}{len(key)}:{key}".encode()).digest()
    return str(ULID((seconds * 1000).to_bytes(6, "big") + digest[:10]))


# ---------------------------------------------------------------- what became of them


def receipts(people: People) -> tuple[Counter[int], Counter[int]]:
    """How often each row of the people, and of the events, was taken."""
    identified = Counter(row for person in people.everybody() for row in list(person.trace))
    tracked = Counter({event.attributes[TRACE]: event.received for event in list(people.events.values())})
    return identified, tracked


def misplaced_people(people: People, expected: Expected) -> Iterator[str]:
    """What is wrong with the people: rows lost, out of order or out of nowhere, states that are not the last row's."""
    for person, rows in expected.accepted.items():
        profile = people.find("id", person)
        trace = [] if profile is None else profile.trace
        if missing := set(rows) - set(trace):
            yield f"person {person}: rows {sorted(missing)} were lost"
        elif set(trace) - set(rows):
            yield f"person {person}: rows {sorted(set(trace) - set(rows))} should not have been taken"
        elif overtaken(trace, rows):
            yield f"person {person}: rows {rows} came in the order {trace}"
        elif profile is not None and profile.attributes[TRACE] != rows[-1]:
            yield f"person {person}: is as row {profile.attributes[TRACE]} says, and not the last one, {rows[-1]}"
        elif profile is not None and profile.attributes["note"] != expected.notes[rows[-1]]:
            yield f"person {person}: the note is not the last row's"
    for profile in people.everybody():
        if profile.trace and profile.id not in expected.accepted:
            yield f"person {profile.id}: should not have been taken"


def overtaken(trace: Sequence[int], rows: Sequence[int]) -> bool:
    """Did rows of one person overtake each other?

    After each row comes the next one, or an earlier one: there a batch that had been sent is sent again, from its
    beginning and in its order.
    """
    place = {row: number for number, row in enumerate(rows)}
    return trace[:1] != rows[:1] or any(place[now] > place[before] + 1 for before, now in pairwise(trace))


def misplaced_events(people: People, expected: Expected) -> Iterator[str]:
    """What is wrong with the events: lost, counted twice, out of nowhere, or out of their person's order."""
    taken = {event.id: event.attributes[TRACE] for event in people.events.values()}
    if missing := expected.event_ids.keys() - taken.keys():
        yield f"{len(missing)} events were lost: rows {sorted(expected.event_ids[one] for one in missing)[:9]}"
    if surplus := taken.keys() - expected.event_ids.keys():
        yield f"{len(surplus)} events should not be there, or twice: rows {sorted(taken[one] for one in surplus)[:9]}"
    for person, rows in expected.accepted.items():
        profile = people.find("id", person)
        came = [] if profile is None else [taken.get(one) for one in profile.event_ids]
        if came != rows and not missing and not surplus:
            yield f"person {person}: events of rows {rows} came in the order {came}"
