"""Columns of JSON text are sent as JSON, and read as text wherever a text is needed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from cio_etl.errors import SourceError
from cio_etl.model import POSITION, Mapping, Snapshot
from cio_etl.run.open_step import prepare
from cio_etl.transform import as_texts, plain_rows, with_json
from tests.mapped_rows import column, mapping, rows
from tests.snapshots import held, step

VALUES = ["5", '"5"', '"a\\"b\\n"', '{"k": "x"}', "true", None]
TEXTS = ["5", "5", 'a"b\n', '{"k": "x"}', "true", None]


def snapshot(**columns: list[Any]) -> Snapshot:
    """Rows whose columns of text, but for `id`, are JSON."""
    data = {"id": ["1", "2", "3", "4", "5", "6"], "j": VALUES, **columns}
    return replace(held(rows(data)), json=frozenset(data) - {"id"})


def payloads(how: Mapping, of: Snapshot) -> list[Any]:
    snapshot, compiled = prepare(step(how), of, 4, "track")
    items = pl.concat([compiled.items(frame) for frame in snapshot.read(compiled.columns, 0)])
    return [json.loads(item[:-1]) if item else reason for item, reason in items.select("item", "reason").iter_rows()]


def test_an_attribute_without_functions_sends_each_value_as_it_is() -> None:
    sent = payloads(mapping(attributes={"a": column("j"), "b": column("j", {"default": "none"})}), snapshot())
    expected = [value and json.loads(value) for value in VALUES]
    assert [payload["attributes"].get("a") for payload in sent] == expected
    assert [payload["attributes"]["b"] for payload in sent] == [*expected[:-1], "none"]


@pytest.mark.parametrize("beside", [{}, {"b": column("j")}], ids=["alone", "beside its JSON"])
def test_a_function_reads_the_text_of_a_json_string(beside: dict[str, Any]) -> None:
    sent = payloads(mapping(attributes={"a": column("j", "trim"), **beside}), snapshot())
    assert [payload["attributes"].get("a") for payload in sent] == [text and text.strip() for text in TEXTS]
    if beside:
        assert [payload["attributes"].get("b") for payload in sent] == [value and json.loads(value) for value in VALUES]


def test_json_and_pick_read_the_json() -> None:
    sent = payloads(mapping(attributes={"a": column("j", "json"), "b": column("j", {"pick": "k"})}), snapshot())
    assert [payload["attributes"].get("a") for payload in sent] == [value and json.loads(value) for value in VALUES]
    assert [payload["attributes"].get("b") for payload in sent] == [None, None, None, "x", None, None]


def test_an_identifier_is_the_text_while_an_attribute_is_the_json() -> None:
    how = mapping(identifiers={"id": column("j")}, attributes={"a": column("j")})
    sent = payloads(how, snapshot(j=["5", '"6"', '"ü"', "true", "1.5", '"7"']))
    assert [payload["identifiers"]["id"] for payload in sent] == ["5", "6", "ü", "true", "1.5", "7"]
    assert [payload["attributes"]["a"] for payload in sent] == [5, "6", "ü", True, 1.5, "7"]


TIMES = ["2024-01-02", "2024-01-02 03:04:05.678", "2024-01-02T03:04:05+02:00", "0999-12-31", '"2024-01-02"', "5"]


def test_a_day_or_time_that_is_no_json_string_is_sent_as_unix_seconds() -> None:
    sent = payloads(mapping(attributes={"a": column("j")}), snapshot(j=TIMES))
    assert [payload["attributes"]["a"] for payload in sent] == [
        1704153600, 1704164645, 1704157445, -30610310400, "2024-01-02", 5,
    ]  # fmt: skip


def test_a_function_reads_a_day_or_time_as_its_text_beside_its_seconds() -> None:
    paris = column("j", {"timestamp": {"timezone": "Europe/Paris", "unit": "s"}})
    sent = payloads(mapping(attributes={"a": paris, "b": column("j")}), snapshot(j=TIMES))
    assert [payload["attributes"]["a"] for payload in sent[:3]] == [1704150000, 1704161045, 1704157445]
    assert [payload["attributes"]["b"] for payload in sent[:3]] == [1704153600, 1704164645, 1704157445]
    assert pl.concat(as_texts(snapshot(j=TIMES)).read(None, 0))["j"].to_list() == [*TIMES[:4], "2024-01-02", "5"]


def test_a_time_beyond_the_calendar_is_rejected() -> None:
    sent = payloads(mapping(attributes={"a": column("j")}), snapshot(j=["2024-13-40", *VALUES[1:]]))
    assert sent[0] == "json_unreadable"


def test_when_and_event_key_read_the_text() -> None:
    how = mapping("track", event=column("id"), event_key=("j",), attributes={"a": column("j")}, when="j <> 'b'")
    sent = payloads(how, snapshot(j=['"a"', '"b"', "1", "2", "3", "4"]))
    assert [payload if isinstance(payload, str) else payload and payload["attributes"]["a"] for payload in sent] == [
        "a", None, 1, 2, 3, 4,
    ]  # fmt: skip
    same = payloads(replace(how, when=None), replace(snapshot(j=["a", "b", "1", "2", "3", "4"]), json=frozenset()))
    assert sent[0]["id"] == same[0]["id"]


def test_a_source_that_is_looked_at_gives_the_texts() -> None:
    assert pl.concat(as_texts(snapshot()).read(None, 0))["j"].to_list() == TEXTS
    assert pl.concat(as_texts(snapshot()).read(["id"], 3))["id"].to_list() == ["4", "5", "6"]


def test_created_at_of_several_kinds_is_refused() -> None:
    with pytest.raises(SourceError, match="must be Unix seconds"):
        payloads(mapping(attributes={"created_at": column("j")}), snapshot())


def test_rows_of_all_columns_are_as_the_source_has_them() -> None:
    how = mapping(identifiers={"id": column("j")}, attributes={"a": column("j")})
    read = plain_rows(how, snapshot())
    assert pl.concat(read.read(None, 0))["j"].to_list() == VALUES
    assert pl.concat(read.read(["j"], 2)).select(POSITION, "j", "j\0json").rows() == [
        (n, TEXTS[n], VALUES[n]) for n in range(2, 6)
    ]
    assert with_json(how, frozenset()) is how and plain_rows(how, replace(snapshot(), json=frozenset()))


@pytest.mark.parametrize("raw", ["length", {"contains": "x"}], ids=str)
def test_length_and_contains_reject_lists_and_objects_among_texts(raw: Any) -> None:
    how = mapping(attributes={"a": column("j", raw)})
    sent = payloads(how, snapshot(j=['"x"', '{"k": "x"}', '["x"]', "5", '"{x}"', None]))
    assert [payload if isinstance(payload, str) else payload["attributes"].get("a") for payload in sent] == [
        1 if raw == "length" else True,
        "not_a_text",
        "not_a_text",
        1 if raw == "length" else False,
        3 if raw == "length" else True,
        None,
    ]
