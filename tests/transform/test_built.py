"""Objects and lists that are built from columns: each value keeps its kind, and nulls are left out."""

from __future__ import annotations

import json
import math
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio_etl.config import load_mapping
from cio_etl.errors import ConfigError
from tests.mapped_rows import outcomes, rows


def built(value: dict[str, Any], frame: pl.DataFrame) -> list[Any]:
    """The attribute in each row, as a mapping file writes it; the reason where the row is rejected."""
    Path("m.yaml").write_text(
        json.dumps({"operation": "identify", "identifiers": {"id": "id"}, "attributes": {"made": value}})
    )
    made: list[Any] = outcomes(load_mapping(Path("m.yaml")), frame)
    return [each["attributes"].get("made") if isinstance(each, dict) else each for each in made]


def test_members_and_entries_keep_their_kinds_and_nulls_are_left_out() -> None:
    shape = {
        "street": "s",
        "town": {"column": "t", "apply": ["trim", "title"]},
        "geo": {"object": {"lat": "x", "day": "d"}},
        "tags": {"list": ["s", "n", {"value": "x"}]},
        'odd "name"': {"value": {"a": [1]}},
    }
    frame = rows(
        {
            "s": ['é "\\', None, None],
            "t": [" nice ", None, None],
            "x": [1.5, None, None],
            "d": [date(2024, 3, 10), None, None],
            "n": [7, 9007199254740993, None],
        }
    )
    assert built({"object": shape}, frame) == [
        {
            "street": 'é "\\',
            "town": "Nice",
            "geo": {"lat": 1.5, "day": 1_710_028_800},
            "tags": ['é "\\', 7, "x"],
            'odd "name"': {"a": [1]},
        },
        {"tags": [9007199254740993, "x"], 'odd "name"': {"a": [1]}},
        None,
    ]
    assert built({"list": ["s", "n"]}, frame) == [['é "\\', 7], [9007199254740993], None]


def test_a_part_that_cannot_be_converted_rejects_the_row_or_is_what_on_error_says() -> None:
    frame = rows({"a": ["1", "n/a", None], "b": [1.0, 1.0, math.inf]})
    value: dict[str, Any] = {"object": {"a": {"column": "a", "apply": "number"}, "b": "b"}}
    reject = ("part_unreadable", "attributes.made")
    assert built(value, frame) == [{"a": 1.0, "b": 1.0}, reject, reject]
    assert built(value | {"on_error": "omit"}, frame) == [{"a": 1.0, "b": 1.0}, None, None]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"object": {}}, "object: must be names with values"),
        ({"object": {"a": {"colum": "x"}}}, "a: write a column, {column: name"),
        ({"object": {"a": {"column": "x", "apply": ["lowr"]}}}, "a: no function 'lowr'; did you mean 'lower'"),
        ({"list": [{"value": 1}]}, "names no column; write a constant as value:"),
        ({"object": {"a": "x"}, "apply": ["lower"]}, "write the functions of a member beside its column"),
    ],
)
def test_a_wrong_shape_is_reported_with_its_place(value: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        built(value, rows({"x": ["1"]}))
    assert message in str(refused.value)
