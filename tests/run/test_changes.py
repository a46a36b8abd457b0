"""Change records: each row's operation comes from a column, and a person's rows arrive in the order of the source."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from cio_etl.config import load_mapping
from cio_etl.errors import ConfigError
from cio_etl.model import Constant, Mapping
from cio_etl.sandbox import Faults
from tests.mapped_rows import column, mapped, outcomes, rows, targets
from tests.nightly_step import Nights

CHANGES: dict[str, Any] = {
    "operation": {"column": "op", "map": {"I": "identify", "U": "identify", "D": "delete"}},
    "identifiers": {"id": "id"},
    "attributes": {"city": "city", "more": "more"},
    "nulls": "clear",
}


def changes(of: dict[Any, str], **parts: Any) -> Mapping:
    """A mapping of change records, whose operations are in the column `op`."""
    operations = tuple(dict.fromkeys(of.values()))
    values = targets(operation=column("op", {"map": {"values": of}}), **parts)
    return Mapping("m.yaml", operations[0], values, operations=operations)


def row(op: str | None, person: int, city: str | None = None) -> dict[str, Any]:
    return {"op": op, "id": str(person), "city": city, "more": None if city is None else "x" * 900}


def test_everybody_is_as_their_last_change_left_them_also_after_lost_answers(nights: Nights) -> None:
    chance = random.Random(4)
    changed = [
        row("D", person) if chance.random() < 0.3 else row(chance.choice("IU"), person, f"city {number}")
        for number in range(400)
        for person in [chance.randrange(25)]
    ]
    nights.mapping, nights.step = CHANGES, {}
    nights.settings = {"destination": {"max_batch_bytes": 32_100}}
    nights.sandbox.set_faults(Faults(script=("ok", "lost_after", "ok", "503", "lost_after")))
    step = nights.run(changed).steps[0]
    assert (step.accepted, step.rejected, step.rows_read) == (400, 0, 400)
    assert len(nights.bodies) > 8
    last = {each["id"]: each["city"] for each in changed}
    assert {who: values["city"] for who, values in nights.people().items()} == {
        who: city for who, city in last.items() if city is not None
    }
    deletions = sum(each["op"] == "D" for each in changed)
    assert {each.words for each in step.findings if each.code == "change_records"} == {
        f"identify: {400 - deletions} rows",
        f"delete: {deletions} rows",
    }


def test_a_row_with_another_operation_or_none_is_rejected_and_counted(nights: Nights) -> None:
    nights.mapping, nights.step = CHANGES, {}
    step = nights.run([row("I", 1, "Rome"), row("T", 1), row(None, 1), row("i", 1)]).steps[0]
    assert (step.accepted, step.rejected) == (1, 3)
    assert {(each.reason, each.field): each.rows for each in step.rejects} == {
        ("map_unmatched", "operation"): 2,
        ("operation_missing", "operation"): 1,
    }


def test_what_an_operation_does_not_take_is_not_checked_in_its_rows() -> None:
    how = changes(
        {"true": "delete", "false": "identify"},
        identifiers={"id": column("id")},
        timestamp=column("at", "timestamp"),
        attributes={"age": column("age", {"cast": "integer"}), "email": column("email")},
    )
    frame = rows(
        {
            "id": ["1", "1", "1", None],
            "op": [True, False, False, True],
            "at": ["soon", "2024-03-10", "soon", None],
            "age": ["n/a", "4", "n/a", None],
            "email": ["no", None, "no", None],
        }
    )
    made = outcomes(how, frame)
    assert made == [
        {"type": "person", "action": "delete", "identifiers": {"id": "1"}},
        {
            "type": "person",
            "action": "identify",
            "identifiers": {"id": "1"},
            "timestamp": 1_710_028_800,
            "attributes": {"age": 4},
        },
        ("timestamp_unreadable", "timestamp"),
        ("identifier_missing", "identifiers.id"),
    ]
    assert mapped(how, frame)["also"].to_list()[:2] == [None, None]


@pytest.mark.parametrize(
    ("of", "parts", "items"),
    [
        (
            {"a": "add_device", "d": "delete_device"},
            {"device": {"token": column("t"), "platform": Constant("ios"), "attributes": {"v": column("v")}}},
            [
                ("add_device", "device", {"token": "T", "platform": "ios", "attributes": {"v": "1"}}),
                ("delete_device", "device", {"token": "T"}),
            ],
        ),
        (
            {"a": "add_relationships", "d": "delete_relationships"},
            {
                "relationships": [
                    {"object": {"type": Constant("1"), "id": column("t")}, "attributes": {"v": column("v")}}
                ]
            },
            [
                (
                    "add_relationships",
                    "cio_relationships",
                    [{"identifiers": {"object_type_id": "1", "object_id": "T"}, "relationship_attributes": {"v": "1"}}],
                ),
                (
                    "delete_relationships",
                    "cio_relationships",
                    [{"identifiers": {"object_type_id": "1", "object_id": "T"}}],
                ),
            ],
        ),
        (
            {"a": "track", "d": "page"},
            {"event": column("t"), "attributes": {"v": column("v")}},
            [("event", "name", "T"), ("page", "name", "T")],
        ),
    ],
)
def test_operations_on_one_kind_of_thing_may_be_combined(
    of: dict[Any, str], parts: dict[str, Any], items: list[Any]
) -> None:
    how = changes(of, identifiers={"id": column("id")}, **parts)
    made: list[Any] = outcomes(how, rows({"op": ["a", "d"], "t": ["T", "T"], "v": ["1", "1"]}))
    assert [(each["action"], key, each[key]) for each, (_, key, _) in zip(made, items, strict=True)] == items


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"operation": {"column": "op"}}, "operation: write column: and map:, as {column: op, map: {I: identify"),
        ({"operation": {"column": "op", "map": {"I": "identfy"}}}, "operation.map.I: no such operation; did you mean"),
        (
            {"operation": {"column": "op", "map": {"I": "identify", "T": "track"}}},
            "operation.map: identify and track are about different things; write a mapping for each",
        ),
        (
            {"operation": {"column": "op", "map": {"I": "identify", "S": "add_to_segment"}}},
            "operation.map: add_to_segment cannot be combined",
        ),
        ({"order_by": "at"}, "order_by: every change is sent, in the order of the source"),
        ({"retry_unknown": True}, "retry_unknown: change records are sent again in any case"),
    ],
)
def test_what_cannot_be_combined_is_refused(change: dict[str, Any], message: str) -> None:
    Path("m.yaml").write_text(json.dumps(CHANGES | change))
    with pytest.raises(ConfigError) as refused:
        load_mapping(Path("m.yaml"))
    assert message in str(refused.value)


def test_change_records_have_no_ledger(nights: Nights) -> None:
    nights.mapping = CHANGES
    with pytest.raises(ConfigError, match="change records, which are sent as they come; leave sync out"):
        nights.run([row("I", 1, "Rome")])
