"""`visitor_events: batch`: events of visitors go to v2 of the Track API, many in a request, with those of people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cio_etl.apis import unsupported
from cio_etl.config import load_mapping
from cio_etl.errors import ConfigError
from tests.nightly_step import Nights
from tests.sandbox_client import identify

MIXED: dict[str, Any] = {
    "operation": "track",
    "event": {"value": "seen"},
    "event_key": "key",
    "identifiers": {"first": [{"id": "user"}, {"anonymous_id": "visitor"}]},
    "visitor_events": "batch",
}
VISITORS = MIXED | {"identifiers": {"anonymous_id": "visitor"}}
ROWS = [{"key": str(number), "user": "1" if number % 2 else None, "visitor": "v1"} for number in range(40)]


@pytest.mark.parametrize(("mapping", "of_people"), [(MIXED, 20), (VISITORS, 0)])
def test_visitors_are_sent_in_batches_and_become_somebodys_with_an_identify(
    mapping: dict[str, Any], of_people: int, nights: Nights
) -> None:
    nights.mapping, nights.step = mapping, {}
    report = nights.run(ROWS)
    assert (report.steps[0].accepted, report.steps[0].rejected) == (40, 0)
    assert len(nights.bodies) <= 2  # a lane for the person, and one for the visitor
    people = nights.sandbox.people
    assert len(people.anonymous_events) == 40 - of_people
    people.apply(identify("9", anonymous_id="v1"), 1)
    assert people.anonymous_events == []
    nights.run(ROWS)
    assert len(people.events) == 40  # each counts once


def written(mapping: dict[str, Any]) -> Path:
    Path("m.yaml").write_text(json.dumps(mapping))
    return Path("m.yaml")


def test_visitors_and_people_together_need_batches_in_the_track_api_alone() -> None:
    mapping = load_mapping(written(MIXED | {"visitor_events": "single"}))
    ((path, fault),) = unsupported(mapping, "track")
    assert path == "identifiers" and "write visitor_events: batch, api: pipelines, or a mapping for each" in fault
    assert list(unsupported(mapping, "pipelines")) == []


def test_people_have_no_events_of_visitors() -> None:
    with pytest.raises(ConfigError, match="visitor_events: the identifiers are no visitor's; leave it out"):
        load_mapping(written(MIXED | {"identifiers": {"id": "user"}}))
