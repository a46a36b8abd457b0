"""`identifiers: {first: […]}` in whole runs, against the sandbox, and what is refused beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cio_etl.cli import main
from cio_etl.config import load_mapping
from cio_etl.errors import ConfigError
from tests.nightly_step import KEYS, Nights

FIRST = {"first": [{"id": "user"}, {"email": {"column": "mail", "apply": ["trim", "lower"]}}]}
ROWS: list[dict[str, Any]] = [
    {"user": "1", "mail": "1@example.com", "city": "Rome"},
    {"user": None, "mail": "2@example.com", "city": "Oslo"},
    {"user": None, "mail": "2@Example.com ", "city": "Bern"},
    {"user": None, "mail": None, "city": "Oslo"},
]


@pytest.fixture
def first(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> Nights:
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)
    nights.mapping = {"operation": "identify", "identifiers": FIRST, "attributes": {"city": "city"}}
    return nights


def test_people_are_known_by_the_identifier_that_they_have_until_they_are_forgotten(first: Nights) -> None:
    report = first.run(ROWS)
    assert (report.steps[0].accepted, report.steps[0].rejected, report.steps[0].skipped) == (2, 1, 1)
    people = first.sandbox.people.everybody()
    assert {each.identifiers.get("id") or each.identifiers["email"]: each.attributes["city"] for each in people} == {
        "1": "Rome",
        "2@example.com": "Bern",
    }
    assert first.sent(ROWS) == []
    assert [item["identifiers"] for item in first.sent([ROWS[0] | {"city": "Bonn"}, *ROWS[1:]])] == [{"id": "1"}]
    assert main(["forget", "--person=email:2@EXAMPLE.com", "job.yaml"]) == 0
    assert {str(item["identifiers"]) for item in first.sent(ROWS)} == {"{'id': '1'}", "{'email': '2@example.com'}"}


def test_a_mirror_would_delete_whoever_gets_an_id_and_is_refused(first: Nights) -> None:
    first.step = {"sync": "mirror", "when_gone": "delete"}
    with pytest.raises(ConfigError, match="a person who gets an id would count as gone under the old"):
        first.run(ROWS)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"first": [{"id": "a"}, {"id": "b"}]}, "second id; write one, as id: {columns: [one, other], apply"),
        ({"first": [{"id": "a"}, {"email": {"value": "x@y.zz"}}]}, "a constant is in every row"),
        ({"first": [{"id": "a"}], "email": "m"}, "write it as an entry of first:"),
        ({"first": [{"id": "a", "email": "m"}, {"phone": "p"}]}, "a second identifier; keep one of id, email"),
        ({"first": [{"id": "a"}, {"anonymous_id": "v"}]}, "identify needs id or email or phone or cio_id"),
    ],
)
def test_the_list_has_one_column_of_each_kind(written: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(json.dumps({"operation": "identify", "identifiers": written}))
    with pytest.raises(ConfigError) as refused:
        load_mapping(path)
    assert message in str(refused.value)
