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
from cio_etl.transform import with_paths
from cio_etl.validate.yaml_rows import snapshot_of

REST = '"n": null, "l": [{"q": null}, {"q": null}]'
ROWS: list[dict[str, Any]] = [
    {"id": "1", "doc": f'{{"a": {{"b": "x"}}, {REST}}}', "plan": "P", "tags": ["x"], "n": "1,5", "none": None},
    {"id": "2", "doc": f'{{"a": {{"b": "y"}}, {REST}}}', "plan": "F", "tags": [], "n": "2,5", "none": None},
    {"id": "3", "doc": None, "plan": None, "tags": None, "n": None, "none": None},
]
ROWS = [
    row | {"records": row["tags"] and [{"a": row["plan"], "b": None}], "texts": row["doc"] and [row["doc"]]}
    for row in ROWS
]


def lost(value: Any, tmp_path: Path) -> list[tuple[str | None, str, int, str]]:
    file = tmp_path / "m.yaml"
    content = {"operation": "identify", "identifiers": {"id": "id"}, "attributes": {"x": value, "y": "plan"}}
    file.write_text(json.dumps(content))
    (tmp_path / "names.csv").write_text("key,value\np,pro\n")
    step, snapshot = Step("people", CsvSource((str(tmp_path / "rows.csv"),)), load_mapping(file)), snapshot_of(ROWS, {})
    snapshot = with_paths(snapshot, step.mapping)
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


OPTIONAL = {"map": {"values": {"X": 1}, "optional": True}}
EACH_Z = [REPLACED, {"pick": "l[*].z"}]


@pytest.mark.parametrize(
    ("value", "place", "function"),
    [
        ({"object": {"b": {"column": "doc", "apply": [REPLACED, {"pick": "a.b"}]}, "p": "plan"}}, ".b", "pick"),
        ({"object": {"o": {"list": ["plan", {"column": "plan", "apply": OPTIONAL}]}}}, ".o[1]", "map"),
        ({"list": [{"column": "doc", "apply": [{"pick": "a.b"}, OPTIONAL, {"default": 0}]}, "plan"]}, "[0]", "map"),
        ({"list": ["plan", {"object": {"e": {"column": "tags", "apply": {"element": 5}}}}]}, "[1].e", "element"),
        ({"column": "doc", "apply": EACH_Z}, "", "pick"),
        ({"list": ["plan", {"column": "doc", "apply": EACH_Z}]}, "[1]", "pick"),
        ({"column": "doc", "apply": [{"pick": "l[*]"}, {"element": 0}, {"pick": "z"}]}, "", "pick"),
        ({"column": "doc", "apply": [{"pick": "l[*]"}, {"pick": "[5]"}]}, "", "pick"),
        ({"column": "texts", "apply": [{"pick": "[0]"}, {"pick": "z"}]}, "", "pick"),
        ({"column": "texts[0]", "apply": [{"pick": "z"}]}, "", "pick"),
    ],
)
def test_a_function_that_finds_nothing_is_found_inside_objects_and_lists(
    value: Any, place: str, function: str, tmp_path: Path
) -> None:
    words = f"`{function}` makes null of {{}} which are all that it gets"
    found = [(each, severity, said) for each, severity, rows, said in lost(value, tmp_path)]
    values = "1 value," if function == "element" else "2 values,"
    assert found == [(f"attributes.x{place}", "notice", words.format(values))]


def test_a_template_of_a_column_that_is_null_in_every_row_is_found(tmp_path: Path) -> None:
    found = lost({"columns": ["plan", "none"], "apply": [{"template": "{plan} {none}"}]}, tmp_path)
    assert [(place, words.split("`")[1]) for place, *_, words in found] == [("attributes.x", "template")]


@pytest.mark.parametrize(
    "value",
    [
        {"column": "doc", "apply": [REPLACED, {"pick": "a.c"}]},
        {"object": {"c": {"column": "doc", "apply": [REPLACED, {"pick": "a.c"}]}, "none": "none"}},
        {"object": {"n": {"column": "doc", "apply": [REPLACED, {"pick": "n"}]}, "p": "plan"}},
        {"list": [{"column": "none", "apply": OPTIONAL}, "plan"]},
        {"column": "doc", "apply": [{"pick": "l[*]"}, {"element": 0}, {"pick": "q"}]},
        {"column": "doc", "apply": [{"pick": "l[*]"}, {"pick": "[0]"}]},
        {"column": "texts", "apply": [{"pick": "[0]"}, {"pick": "a.b"}]},
        {"column": "records", "apply": ["first", {"pick": "b"}]},  # the field is there, and null in every row
        {"columns": ["plan", "none"], "apply": [{"template": {"template": "{plan} {none}", "null_text": ""}}]},
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
