"""`event_id`: an event counts once by the id that it has in its source, whoever sends it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cio_etl.config import load_job, load_mapping
from cio_etl.errors import ConfigError
from cio_etl.model import Column, Constant
from tests.mapped_rows import mapping, outcomes, rows
from tests.nightly_step import KEYS, Nights
from tests.running import write_job
from tests.sandbox_client import ULID

OWN = "ajs-next-1710061200-52fdfc07"
MAPPING: dict[str, Any] = {
    "operation": "track",
    "event": {"value": "clicked"},
    "event_id": "key",
    "identifiers": {"id": "id"},
    "timestamp": {"column": "at", "apply": ["timestamp"]},
}


def row(key: str | None, **values: str) -> dict[str, Any]:
    return {"key": key, "id": "7", "at": "2024-03-10T09:00:00Z"} | values


def ids(api: str, **parts: Any) -> list[Any]:
    how = mapping("track", event_id=Column("key"), timestamp=Constant(1_710_061_200), **parts)
    made: list[Any] = outcomes(how, rows({"key": [ULID, ULID.lower(), OWN, f"8{ULID[1:]}", None, " "]}), api=api)
    return [each.get("id") or each["messageId"] if isinstance(each, dict) else each[0] for each in made]


def test_a_ulid_is_sent_as_it_is_and_another_text_as_one_of_the_events_time() -> None:
    expected = [ULID, ULID.lower(), "01HRKSE8M0809C89ZHYZ0QB043", "01HRKSE8M092TJGPQA1KM3H90S"]
    missing = ["event_id_missing"] * 2
    assert ids("track") == expected + missing
    assert ids("track", event=Constant("another")) == expected + missing  # as another table of a warehouse has it
    assert ids("pipelines") == [ULID, ULID.lower(), OWN, f"8{ULID[1:]}", *missing]


def test_events_count_once_whichever_file_and_mapping_they_come_from(nights: Nights) -> None:
    nights.mapping, nights.step = MAPPING, {}
    report = nights.run([row(ULID), row(OWN), row(OWN), row(OWN, id="8"), row(None)])
    step = report.steps[0]
    assert (step.accepted, step.skipped, step.rejected) == (2, 1, 2)
    assert {(each.reason, each.field) for each in step.rejects} == {
        ("event_key_repeated", "event_id"),
        ("event_id_missing", "event_id"),
    }
    nights.mapping = MAPPING | {"event": "name", "attributes": {"more": "more"}}
    nights.run([row(OWN, name="Clicked", more="x"), row("other", name="Clicked", more="x")])
    assert len(nights.sandbox.people.events) == 3
    nights.mapping, nights.step = MAPPING, {"sync": "changed"}
    assert [len(nights.sent([row(ULID), row(OWN)])) for _ in range(2)] == [2, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"event_key": ["key"]}, "event_key: event_id identifies the event already"),
        ({"event_id": {"value": "x"}}, "event_id: a constant would make one event of all"),
        ({"operation": "identify"}, "event_id: identify does not have this key"),
    ],
)
def test_an_own_id_is_a_column_and_stands_for_the_event_key(change: dict[str, Any], message: str) -> None:
    Path("m.yaml").write_text(json.dumps(MAPPING | change))
    with pytest.raises(ConfigError) as refused:
        load_mapping(Path("m.yaml"))
    assert message in str(refused.value)


def test_two_events_of_a_row_with_one_own_id_are_refused_since_one_would_be_dropped() -> None:
    Path("one.yaml").write_text(json.dumps(MAPPING))
    Path("two.yaml").write_text(json.dumps(MAPPING | {"event": {"value": "seen"}}))
    source = {"csv": "events.csv"}
    write_job(Path("job.yaml"), "http://127.0.0.1:1", {"a": (source, "one.yaml"), "b": (source, "two.yaml")})
    with pytest.raises(ConfigError, match="event_id is the same, and event is no part of an own id"):
        load_job(Path("job.yaml"), KEYS)
