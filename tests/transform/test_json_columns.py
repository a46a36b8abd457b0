"""Columns of JSON text are sent as JSON, and read as text wherever a text is needed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from cio_etl.errors import SourceError
from cio_etl.model import POSITION, Call, Column, Columns, Constant, Mapping, Snapshot
from cio_etl.run import prepare
from cio_etl.transform import as_texts, plain_rows, with_json
from tests.mapped_rows import column, mapping, rows
from tests.snapshots import held, step

VALUES = ["5", '"5"', '"a\\"b\\n"', '{"k": "x"}', "true", None]
TEXTS = ["5", "5", 'a"b\n', '{"k": "x"}', "true", None]


def snapshot(**columns: list[Any]) -> Snapshot:
    """Rows whose column `j` is JSON."""
    data = {"id": ["1", "2", "3", "4", "5", "6"], "j": VALUES, **columns}
    return replace(held(rows(data)), json=frozenset({"j"}))


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


def test_json_reads_the_json_and_pick_also_the_json_in_a_string() -> None:
    how = mapping(attributes={"a": column("j", "json"), "b": column("j", {"pick": "k"})})
    sent = payloads(how, snapshot(j=["5", '"5"', '"{\\"k\\": \\"y\\"}"', '{"k": "x"}', "true", '"no JSON"']))
    assert [payload["attributes"].get("b") for payload in sent[:-1]] == [None, None, "y", "x", None]
    assert [payload["attributes"]["a"] for payload in sent[:-1]] == [5, "5", '{"k": "y"}', {"k": "x"}, True]
    assert sent[-1] == "json_unreadable"


def test_json_is_read_in_the_same_way_beside_its_text() -> None:
    how = mapping(attributes={"a": column("j", "json"), "b": column("j", "trim")})
    assert [payload["attributes"].get("a") for payload in payloads(how, snapshot())] == [
        value and json.loads(value) for value in VALUES
    ]


NUMBERS = ["5", '"6"', '"ü"', ' "white "', "1.5", None]
KINDS = ["[1, 2]", '{"mail": "a@b.co"}', "true", "false", ' ["x"]', '"7"']
REJECTED = ["not_a_text"] * 5


def test_an_identifier_is_the_text_while_an_attribute_is_the_json() -> None:
    how = mapping(identifiers={"id": column("j")}, attributes={"a": column("j")})
    sent = payloads(how, snapshot(j=NUMBERS))
    assert [payload["identifiers"]["id"] for payload in sent[:-1]] == ["5", "6", "ü", "white ", "1.5"]
    assert [payload["attributes"]["a"] for payload in sent[:-1]] == [5, "6", "ü", "white ", 1.5]
    assert sent[-1] == "identifier_missing"


@pytest.mark.parametrize(
    "how",
    [
        mapping(identifiers={"id": column("j")}),
        mapping(identifiers={"email": column("j", "trim", "lower")}),
        mapping(identifiers={"id": column("j", {"default": "x"})}),
        mapping(identifiers={"id": column("j", "json")}),
        mapping(identifiers={"id": column("j", "json", "upper")}),
        mapping(identifiers={"id": Columns(("j", "id"), (Call("coalesce"),))}),
        mapping("track", event=column("j")),
        mapping("add_device", device={"token": column("j"), "platform": Constant("ios")}),
        mapping("identify_object", object={"type": Constant("1"), "id": column("j")}, identifiers={}),
        mapping("merge", identifiers={}, primary={"id": column("id")}, secondary={"id": column("j")}),
        mapping(relationships=[{"object": {"type": Constant("1"), "id": column("j")}}]),
        mapping(attributes={"phone": column("j")}),
        mapping(attributes={"phone": column("j", "trim")}),
    ],
    ids=lambda how: f"{how.operation} {next((t for t, v in how.targets.items() if 'j' in v.sources), '')}",
)
def test_a_list_an_object_and_a_boolean_are_no_name(how: Mapping) -> None:
    assert payloads(how, snapshot(j=KINDS))[:5] == REJECTED


@pytest.mark.parametrize("kind", ["id", "email"])
def test_what_pick_takes_is_no_name_unless_it_is_text_or_a_number(kind: str) -> None:
    documents = ['{"k": [1]}', '{"k": {"mail": "a@b.co"}}', '{"k": true}', '{"k": "a@b.co"}', '{"k": null}', "{}"]
    for calls in ([{"pick": "k"}], [{"pick": "k"}, "lower"], ["json", {"pick": "k"}, "trim"]):
        sent = payloads(mapping(identifiers={kind: column("j", *calls)}), snapshot(j=documents))
        assert sent[:3] == REJECTED[:3] and sent[4:] == ["identifier_missing"] * 2
        assert sent[3]["identifiers"] == {kind: "a@b.co"}


def test_a_function_that_reads_true_and_false_makes_a_name_of_them() -> None:
    for call in ({"cast": "text"}, {"template": "u-{}"}, {"map": {"true": "yes", "false": "no", "7": "seven"}}):
        sent = payloads(mapping("track", event=column("j", call)), snapshot(j=KINDS))
        assert [one if isinstance(one, str) else "sent" for one in sent] == [
            *REJECTED[:2], "sent", "sent", "not_a_text", "sent",
        ]  # fmt: skip


def test_a_list_and_an_object_are_no_attribute_of_a_device() -> None:
    device = {"token": column("id"), "platform": Constant("ios"), "attributes": {"a": column("j")}}
    sent = payloads(mapping("add_device", device=device), snapshot(j=KINDS))
    assert [one if isinstance(one, str) else one["device"]["attributes"]["a"] for one in sent] == [
        "not_a_text", "not_a_text", "true", "false", "not_a_text", "7",
    ]  # fmt: skip


def test_a_list_and_an_object_are_no_part_of_an_event_key() -> None:
    sent = payloads(mapping("track", event_key=("id", "j")), snapshot(j=KINDS))
    assert [one if isinstance(one, str) else "sent" for one in sent] == [
        "not_a_text", "not_a_text", "sent", "sent", "not_a_text", "sent",
    ]  # fmt: skip


def test_an_infinity_is_called_so_wherever_it_is() -> None:
    infinities = ["Infinity", "-Infinity", "NaN", '"Infinity"', "1", None]
    for how in (
        mapping(attributes={"a": column("j")}),
        mapping(attributes={"a": column("j", "trim")}),
        mapping(identifiers={"id": column("j")}, attributes={"a": column("j")}),
        mapping("track", event_key=("id", "j"), attributes={"a": column("j")}),
    ):
        sent = payloads(how, snapshot(j=infinities))
        assert sent[:3] == ["number_not_finite"] * 3
        assert sent[3]["attributes"]["a"] == "Infinity" and sent[4]["attributes"]["a"] in (1, "1")


def test_rows_are_not_put_in_order_by_lists_and_objects() -> None:
    how = mapping(identifiers={"id": Column("k")}, order_by=("j",))
    for odd in ("[1]", "{}", "true"):
        with pytest.raises(SourceError, match="order_by: column 'j': it holds lists, objects, or true and false"):
            payloads(how, snapshot(k=list("aabbcc"), j=['"a"', '"b"', '"c"', '"d"', '"e"', odd]))


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
