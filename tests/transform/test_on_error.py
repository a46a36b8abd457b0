"""Values that cannot be sent, and what is sent in their place: `on_error` and `nulls` of an attribute."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cio_etl.model import FAULT, POSITION, ROW_RAGGED, Constant, Mapping
from cio_etl.transform import Mapped, compile_mapping, omitted_values
from tests.mapped_rows import attributes, column, mapped, mapping, outcome, outcomes, rows, sent, texts

NULL = Constant(None)


def age(instead: Constant | None, *calls: object, **settings: Any) -> Mapping:
    """A mapping of one attribute, a number; what is sent in place of one that is none."""
    calls = calls or ("number",)
    return mapping(attributes=attributes(age=column("age", *calls)), on_error={"attributes.age": instead}, **settings)


def mapped_rows(mapping: Mapping, frame: pl.DataFrame) -> Mapped:
    schema = frame.drop(POSITION, FAULT).schema
    return compile_mapping(mapping, schema, {}, "f" * 64, 4).mapped(frame)


def omitted(mapping: Mapping, frame: pl.DataFrame) -> list[tuple[int, str, str]]:
    """Position, attribute and reason of each omitted value."""
    found = omitted_values(mapped_rows(mapping, frame)).select("position", "field", "reason")
    return sorted(found.iter_rows())


@pytest.mark.parametrize(
    ("instead", "nulls", "expected"),
    [
        (None, "omit", [{"age": 5}, {}, {}]),
        (None, "clear", [{"age": 5}, {}, {"age": None}]),
        (NULL, "omit", [{"age": 5}, {"age": None}, {}]),
        (NULL, "clear", [{"age": 5}, {"age": None}, {"age": None}]),
        (Constant("none"), "omit", [{"age": 5}, {"age": "none"}, {}]),
        (Constant({"of": ["{}", 1]}), "clear", [{"age": 5}, {"age": {"of": ["{}", 1]}}, {"age": None}]),
    ],
)
def test_a_value_that_fails_is_left_out_or_replaced_and_a_null_stays_what_nulls_says(
    instead: Constant | None, nulls: str, expected: list[Any]
) -> None:
    frame = rows({"age": ["5", "five", None]})
    assert sent(age(instead, nulls=nulls), frame) == expected
    assert omitted(age(instead, nulls=nulls), frame) == [(1, "attributes.age", "not_a_number")]


def test_the_item_without_the_value_is_that_of_a_row_without_it_byte_for_byte() -> None:
    with_name = attributes(age=column("age", "number"), name="name")
    frame = rows({"age": ["five"], "name": ["Ann"], "id": ["1"]})
    expected = texts(mapping(attributes=attributes(name="name")), frame)
    assert texts(mapping(attributes=with_name, on_error={"attributes.age": None}), frame) == expected


def test_a_default_after_a_value_that_failed_is_not_sent() -> None:
    frame = rows({"age": ["5", "five", None]})
    of_age = age(None, "number", {"default": 0})
    assert sent(of_age, frame) == [{"age": 5}, {}, {"age": 0}]
    assert omitted(of_age, frame) == [(1, "attributes.age", "not_a_number")]


def test_a_null_that_a_function_means_is_no_failure() -> None:
    frame = rows({"age": ["5", "-"]})
    assert sent(age(NULL, {"null_if": ["-"]}, "number"), frame) == [{"age": 5}, {}]


@pytest.mark.parametrize(
    ("name", "value", "calls", "reason"),
    [
        ("bio", "x" * 1001, (), "value_too_long"),
        ("email", "ann@", (), "email_malformed"),
        ("phone", "+33\u200b1", (), "characters_unseen"),
        ("score", math.nan, (), "number_not_finite"),
        ("seen", datetime(2500, 1, 1), (), "timestamp_out_of_range"),
        ("seen", [datetime(2500, 1, 1)], (), "timestamp_out_of_range"),
        ("seen", "tomorrow", ("timestamp",), "timestamp_unreadable"),
        ("created_at", -9_999_999_999, (), "timestamp_out_of_range"),
    ],
)
def test_checks_of_one_attribute_omit_its_value(name: str, value: Any, calls: tuple[Any, ...], reason: str) -> None:
    of_value = mapping(attributes={name: column("value", *calls)}, on_error={f"attributes.{name}": None})
    frame = rows({"value": [value]})
    assert sent(of_value, frame) == [{}]
    assert omitted(of_value, frame) == [(0, f"attributes.{name}", reason)]


def test_a_row_that_is_rejected_or_skipped_counts_no_omitted_value() -> None:
    of_age = age(None, when="age <> 'old'")
    frame = rows({"age": ["five", "six", "old", "x"], "id": ["1", "", "3", "4"]}, faults=[None, None, None, ROW_RAGGED])
    assert [one if isinstance(one, str | tuple) else "sent" for one in outcomes(of_age, frame)] == [
        "sent",
        ("identifier_missing", "identifiers.id"),
        "skipped",
        (ROW_RAGGED, None),
    ]
    assert omitted(of_age, frame) == [(0, "attributes.age", "not_a_number")]


def test_an_item_that_is_too_large_is_rejected_as_before() -> None:
    names = [f"a{number}" for number in range(40)]
    large = mapping(
        "track", attributes={name: column("text") for name in names}, on_error={f"attributes.{n}": None for n in names}
    )
    assert outcomes(large, rows({"text": ["x" * 900]})) == [("item_too_large", None)]


def test_rows_of_other_lanes_are_dropped_with_their_reasons() -> None:
    frame = rows({"age": [str(n) if n % 3 else "x" for n in range(60)]})
    compiled = compile_mapping(age(None), frame.drop(POSITION, FAULT).schema, {}, "f" * 64, 4)
    found = []
    for lane in range(4):
        found += omitted_values(replace(compiled, only=frozenset({lane})).mapped(frame))["position"].to_list()
    assert sorted(found) == list(range(0, 60, 3))


def test_attributes_of_a_relationship_and_of_a_device_have_it_too() -> None:
    related = mapping(
        relationships=[
            {"object": {"type": Constant("1"), "id": column("company")}, "attributes": {"seats": column("n", "number")}}
        ],
        on_error={"relationships[0].attributes.seats": NULL},
    )
    frame = rows({"company": ["acme"], "n": ["many"]})
    (payload,) = outcomes(related, frame)
    assert isinstance(payload, dict)
    assert payload["cio_relationships"][0]["relationship_attributes"] == {"seats": None}
    device = mapping(
        "add_device",
        device={"token": column("t"), "platform": Constant("ios"), "attributes": {"os": column("n", "number")}},
        on_error={"device.attributes.os": Constant("unknown")},
    )
    (payload,) = outcomes(device, rows({"t": ["a"], "n": ["many"]}))
    assert isinstance(payload, dict) and payload["device"]["attributes"] == {"os": "unknown"}


def test_nulls_of_an_attribute_override_those_of_the_mapping() -> None:
    frame = rows({"a": [None, "1"], "b": [None, "2"]})
    both = attributes(a="a", b="b")
    assert sent(mapping(attributes=both, nulls_of={"attributes.a": "clear"}), frame)[0] == {"a": None}
    assert sent(mapping(attributes=both, nulls="clear", nulls_of={"attributes.a": "omit"}), frame)[0] == {"b": None}
    company = {"object": {"type": Constant("1"), "id": column("id")}, "attributes": attributes(a="a", b="b")}
    related = mapping(relationships=[company], nulls_of={"relationships[0].attributes.b": "clear"})
    (payload, _) = outcomes(related, frame)
    assert isinstance(payload, dict)
    assert payload["cio_relationships"][0]["relationship_attributes"] == {"b": None}


CELLS = st.lists(st.sampled_from(["5", "7.5", "five", "", None, "x" * 1001]), min_size=1, max_size=12)
INSTEAD = st.sampled_from([None, NULL, Constant("none"), Constant(0)])


@given(CELLS, CELLS, INSTEAD, st.sampled_from(["omit", "clear"]), st.sampled_from(["track", "identify"]))
def test_on_error_changes_only_what_would_be_rejected(
    first: list[str | None], second: list[str | None], instead: Constant | None, nulls: Any, operation: str
) -> None:
    height = min(len(first), len(second))
    frame = rows({"a": pl.Series(first[:height], dtype=pl.String), "b": pl.Series(second[:height], dtype=pl.String)})
    parts = {"attributes": attributes(a=column("a", "number"), b="b"), "nulls": nulls}
    strict = mapped(mapping(operation, **parts), frame)
    lenient = mapping(operation, **parts, on_error={"attributes.a": instead})
    result = mapped(lenient, frame)
    failed = {position for position, _, _ in omitted(lenient, frame)}
    for before, after in zip(strict.iter_rows(named=True), result.iter_rows(named=True), strict=True):
        if before["field"] == "attributes.a" and after["item"] is not None:
            assert before["position"] in failed and before["reason"] == "not_a_number"
            payload = outcome(*of(after))
            assert isinstance(payload, dict)
            assert payload["attributes"].get("a", "left out") == ("left out" if instead is None else instead.value)
        elif before["field"] != "attributes.a":
            assert outcome(*of(before)) == outcome(*of(after))
            assert (before["reason"], before["field"]) == (after["reason"], after["field"])
    assert failed <= set(strict.filter(pl.col("field") == "attributes.a")["position"])


def of(row: dict[str, Any]) -> tuple[str | None, str | None, str | None]:
    return row["item"], row["reason"], row["field"]
