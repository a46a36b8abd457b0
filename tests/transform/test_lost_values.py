"""Functions that find nothing in any row are found: what they look for is null everywhere, and rejects nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cio_etl.audit import PathValues, ValuesLost
from cio_etl.config import load_mapping
from cio_etl.model import Step
from cio_etl.model.sources import CsvSource
from cio_etl.run import prepare
from cio_etl.validate.held_rows import held

ROWS: list[dict[str, Any]] = [
    {"id": "1", "doc": '{"a": {"b": "x"}, "n": null}', "plan": "P", "tags": ["x"], "n": "1,5", "none": None},
    {"id": "2", "doc": '{"a": {"b": "y"}, "n": null}', "plan": "F", "tags": [], "n": "2,5", "none": None},
    {"id": "3", "doc": None, "plan": None, "tags": None, "n": None, "none": None},
]


def lost(value: Any, tmp_path: Path) -> list[tuple[str | None, str, int, str]]:
    file = tmp_path / "m.yaml"
    content = {"operation": "identify", "identifiers": {"id": "id"}, "attributes": {"x": value, "y": "plan"}}
    file.write_text(json.dumps(content))
    (tmp_path / "names.csv").write_text("key,value\np,pro\n")
    step, snapshot = Step("people", CsvSource((str(tmp_path / "rows.csv"),)), load_mapping(file)), held(ROWS, {})
    rows, compiled = prepare(step, snapshot, 16, "track")
    found = [*ValuesLost(step, snapshot, rows, compiled).findings(), *PathValues(step, snapshot).findings()]
    return [(each.field, each.severity, each.rows, each.words) for each in found]


REPLACED = {"replace": {"old": '"b"', "new": '"c"'}}


@pytest.mark.parametrize(
    ("value", "function"),
    [
        ({"column": "doc", "apply": [REPLACED, {"pick": "a.b"}]}, "pick"),
        ({"column": "doc", "apply": [{"pick": "a.b"}, {"map": {"values": {"X": 1}, "optional": True}}]}, "map"),
        ({"column": "doc", "apply": [REPLACED, {"pick": "a.b"}, {"default": "none"}]}, "pick"),
        ({"column": "plan", "apply": [{"map": {"values": {"p": "pro"}, "optional": True}}]}, "map"),
        ({"column": "plan", "apply": [{"regex_extract": {"pattern": "[0-9]+", "optional": True}}]}, "regex_extract"),
        ({"column": "plan", "apply": ["lower", {"replace": {"old": "p", "new": "q"}}, "OPTIONAL"]}, "lookup"),
        ({"expr": "try_cast(n as double)"}, "expr"),
    ],
)
def test_a_function_that_finds_nothing_in_any_row_is_found(value: Any, function: str, tmp_path: Path) -> None:
    file = str(tmp_path / "names.csv")
    lookup = {"lookup": {"file": file, "key": "key", "value": "value", "optional": True}}
    if "apply" in value:
        value = value | {"apply": [lookup if each == "OPTIONAL" else each for each in value["apply"]]}
    words = f"`{function}` makes null of 2 values, which are all that it gets"
    assert lost(value, tmp_path) == [("attributes.x", "notice", 2, words)]


@pytest.mark.parametrize(
    "value",
    [
        {"column": "doc", "apply": [REPLACED, {"pick": "a.c"}]},
        {"column": "doc", "apply": [REPLACED, {"pick": "n"}]},  # the key is there, and its value is null
        {"column": "plan", "apply": [{"map": {"values": {"P": "pro"}, "optional": True}}]},
        {"column": "plan", "apply": [{"null_if": ["P", "F"]}]},  # such values mean null
        {"column": "plan", "apply": [{"map": {"p": "pro"}}]},  # each row is rejected
        {"column": "none", "apply": [{"map": {"values": {"p": "pro"}, "optional": True}}]},
        {"column": "tags", "apply": [{"element": 0}]},
        {"expr": "case when n = '1,5' then 'x' end"},
    ],
)
def test_what_some_row_has_or_what_is_meant_is_not_found(value: Any, tmp_path: Path) -> None:
    assert lost(value, tmp_path) == []


def test_a_path_of_pick_is_reported_once(tmp_path: Path) -> None:
    found = lost({"column": "doc", "apply": ["trim", {"pick": "a.z"}]}, tmp_path)
    assert [words for *_, words in found] == ["'doc | pick: a.z' leads to no value in any of 3 rows"]
