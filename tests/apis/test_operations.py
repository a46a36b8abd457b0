"""The table of operations agrees with what Customer.io documents, and each API has payloads for what it offers."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from cio_etl.apis import APIS, OPERATIONS, PARTS, SEMANTIC_EVENTS, unsupported
from cio_etl.config import load_mapping
from cio_etl.model import Call, Column, Columns, Constant, Mapping, Value
from tests.mapped_rows import attributes, mapping, outcomes, rows

MAPPINGS = Path(__file__).parents[2] / "mappings"
SHIPPED = sorted([*MAPPINGS.glob("*.yaml"), *MAPPINGS.glob("operations/*.yaml")])
UNSUPPORTED_BY_PIPELINES = {"merge", "add_to_segment", "remove_from_segment"}


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_has_a_shipped_example_of_what_each_api_is_sent(name: str) -> None:
    examples = [
        example
        for path in SHIPPED
        for shipped in [load_mapping(path)]
        if shipped.operation == name
        for example in shipped.examples
    ]
    assert any("track" in example.payloads for example in examples)
    if name not in UNSUPPORTED_BY_PIPELINES | {"identify"}:  # a whole identify is tried below
        assert any("pipelines" in example.payloads for example in examples)


def test_track_has_a_payload_for_every_operation_and_pipelines_for_all_but_three() -> None:
    assert APIS["track"].payloads.keys() == OPERATIONS.keys()
    assert OPERATIONS.keys() - APIS["pipelines"].payloads.keys() == UNSUPPORTED_BY_PIPELINES


def test_every_part_belongs_to_an_operation() -> None:
    used = {part for operation in OPERATIONS.values() for part in (*operation.needs, *operation.may)}
    assert used == set(PARTS)


def test_the_limits_are_those_that_customer_io_documents() -> None:
    people, events, objects = (OPERATIONS[name] for name in ("identify", "track", "identify_object"))
    assert (people.max_attributes, people.max_value_bytes) == (300, 1_000)
    assert (objects.max_attributes, objects.max_value_bytes) == (300, 1_000)
    assert (events.max_attributes, events.max_value_bytes) == (None, None)


def test_names_that_change_the_meaning_of_a_call_are_reserved() -> None:
    assert {"cio_id", "anonymous_id", "cio_subscription_preferences", "_update"} <= OPERATIONS["identify"].reserved
    assert OPERATIONS["track"].reserved == {"recipient", "from_address", "reply_to"}
    assert "email" not in OPERATIONS["identify"].reserved and "created_at" not in OPERATIONS["identify"].reserved
    assert len(SEMANTIC_EVENTS) == 9 and "User Deleted" in SEMANTIC_EVENTS


def test_operations_that_cannot_be_undone_are_not_repeatable() -> None:
    once = {name for name, operation in OPERATIONS.items() if not operation.repeatable}
    assert once == {"merge", "delete", "delete_object"}


@pytest.mark.parametrize("name", [name for name in OPERATIONS if OPERATIONS[name].has_event])
def test_events_refuse_rows_without_a_name(name: str) -> None:
    made = outcomes(mapping(name, event=Column("e")), rows({"e": ["seen", None]}))
    assert made[1] == ("event_name_missing", "event")


# ---------------------------------------------------------------- the Pipelines API: payloads, and what it cannot take


def test_pipelines_takes_a_person_with_iso_time_and_unix_attributes() -> None:
    who = mapping(attributes=attributes(a="a"), timestamp=Column("t"))
    (made,) = outcomes(who, rows({"id": ["7"], "a": [1], "t": [1_710_061_200]}), api="pipelines")
    assert isinstance(made, dict) and len(made.pop("messageId")) == 64
    assert made == {"type": "identify", "userId": "7", "timestamp": "2024-03-10T09:00:00Z", "traits": {"a": 1}}


def test_pipelines_identifies_a_person_by_the_email_among_the_traits() -> None:
    who = mapping(identifiers={"email": Column("id")}, attributes=attributes(a="a"))
    (made,) = outcomes(who, rows({"id": ["a@b.co"], "a": [1]}), api="pipelines")
    assert isinstance(made, dict)
    assert (made["userId"], made["traits"]) == ("", {"a": 1, "email": "a@b.co"})


def test_a_message_has_one_id_whenever_it_is_made_and_an_event_the_id_that_it_has_for_track() -> None:
    data = rows({"id": ["7", "7"], "a": [1, 1]})
    who = mapping(attributes=attributes(a="a"))
    first, second = (outcomes(who, data, api="pipelines") for _ in range(2))
    assert first == second
    assert first[0]["messageId"] != first[1]["messageId"]  # type: ignore[index, call-overload]
    event = mapping("track", event_key=("id",))
    (to_track,), (to_pipelines,) = (outcomes(event, rows({"id": ["7"]}), api=api) for api in APIS)
    assert to_track["id"] == to_pipelines["messageId"]  # type: ignore[index, call-overload]


ACME: dict[str, Value] = {"type": Constant("1"), "id": Column("a")}
TO_ACME = {"object": ACME}
IPHONE = {"token": Column("t"), "platform": Constant("ios")}


@pytest.mark.parametrize(
    ("has", "path", "message"),
    [
        (mapping("merge", identifiers={}), "operation", "the Pipelines API has no merge; write api: track in the job"),
        (
            mapping("track", identifiers={"email": Column("e")}),
            "identifiers.email",
            "for track the Pipelines API takes id",
        ),
        (
            mapping(identifiers={"phone": Column("e")}),
            "identifiers.phone",
            "for identify the Pipelines API takes id or email",
        ),
        (
            mapping(identifiers={"email": Column("e")}, attributes=attributes(email="e")),
            "attributes.email",
            "the Pipelines API has the email from identifiers; leave it out here",
        ),
        (
            mapping(existing_only=True),
            "existing_only",
            "the Pipelines API has no place for existing_only: it makes the person who is not there; leave it out, or "
            "write api: track",
        ),
        (
            mapping(relationships=[TO_ACME]),
            "relationships",
            "the Pipelines API has no place for relationships: write a second mapping with operation: "
            "add_relationships, or api: track",
        ),
        (
            mapping("add_relationships", relationships=[TO_ACME, TO_ACME]),
            "relationships",
            "the Pipelines API takes one a call; write a mapping for each, or api: track",
        ),
        (
            mapping("delete_object", identifiers={}, object={"cio_object_id": Column("o")}),
            "object",
            "the Pipelines API has no place for object.cio_object_id: it knows objects by type and id only",
        ),
        (
            mapping(
                "identify_object",
                identifiers={},
                object=ACME,
                relationships=[{"person": {"email": Column("e")}}],
            ),
            "relationships[0].person",
            "the Pipelines API knows people by id",
        ),
        (
            mapping("add_device", device=IPHONE | {"last_used": Column("seen")}),
            "device",
            "the Pipelines API has no place for device.last_used: it takes the moment of the call; leave it out, or "
            "write api: track",
        ),
        (
            mapping(
                "add_device",
                device=IPHONE | {"attributes": attributes(a="a")},
            ),
            "device",
            "the Pipelines API has no place for device.attributes: it takes token and platform; leave them out, or "
            "write api: track",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_parts_that_the_pipelines_api_cannot_take_are_reported(has: Mapping, path: str, message: str) -> None:
    assert list(unsupported(has, "pipelines")) == [(path, message)]
    assert list(unsupported(has, "track")) == []


def test_an_object_without_a_person_is_sent_for_a_visitor_named_after_it() -> None:
    made = outcomes(mapping("identify_object", identifiers={}, object=ACME), rows({"a": ["acme"]}), api="pipelines")
    assert isinstance(made[0], dict)
    assert "userId" not in made[0] and made[0]["anonymousId"] == made[0]["groupId"] == "acme"


# ---------------------------------------------------------------- parts


def test_an_identifier_is_a_number_when_the_mapping_makes_it_one_and_text_otherwise() -> None:
    number = mapping(identifiers={"id": Column("n", (Call("cast", {"to": "integer"}),))})
    text = mapping(identifiers={"id": Column("n")})
    data = rows({"n": [7]})
    assert [outcomes(how, data)[0]["identifiers"] for how in (number, text)] == [{"id": 7}, {"id": "7"}]  # type: ignore[index, call-overload]


def test_a_tie_without_its_end_is_left_out_and_a_row_without_any_is_rejected_where_ties_are_the_point() -> None:
    two = [TO_ACME, {"object": {"type": Constant("2"), "id": Column("b")}, "attributes": attributes(role="role")}]
    data = rows({"id": ["1", "2", "3"], "a": ["x", None, None], "b": ["y", "z", None], "role": ["r", None, "r"]})
    made = outcomes(mapping("add_relationships", relationships=two), data)
    second = {"identifiers": {"object_type_id": "2", "object_id": "y"}, "relationship_attributes": {"role": "r"}}
    assert isinstance(made[0], dict) and isinstance(made[1], dict)
    assert made[0]["cio_relationships"] == [{"identifiers": {"object_type_id": "1", "object_id": "x"}}, second]
    assert made[1]["cio_relationships"] == [
        {"identifiers": {"object_type_id": "2", "object_id": "z"}, "relationship_attributes": {}}
    ]
    assert made[2] == ("relationship_missing", "relationships")
    identified = outcomes(mapping(relationships=two), data)
    assert isinstance(identified[2], dict) and "cio_relationships" not in identified[2]


@pytest.mark.parametrize(
    ("kind", "low", "high", "same"), [("id", "a", "A", False), ("email", "a@b.co", "A@b.co", True)]
)
def test_nobody_is_merged_with_themselves(kind: str, low: str, high: str, same: bool) -> None:
    both = mapping("merge", identifiers={}, primary={kind: Column("a")}, secondary={kind: Column("b")})
    made = outcomes(both, rows({"a": [low, low], "b": [low, high]}))
    assert made[0] == ("merge_of_one", f"secondary.{kind}")
    assert (made[1] == ("merge_of_one", f"secondary.{kind}")) is same


@pytest.mark.parametrize("type_", ["1", "0", "01", "one", "", None])
def test_an_object_s_type_is_its_number(type_: str | None) -> None:
    typed = mapping("delete_object", identifiers={}, object={"type": Column("t"), "id": Constant("x")})
    made = outcomes(typed, rows({"t": pl.Series([type_], dtype=pl.String)}))[0]
    if type_ == "1":
        assert isinstance(made, dict) and made["identifiers"] == {"object_type_id": "1", "object_id": "x"}
    else:
        assert made == ("object_type_malformed" if (type_ or "").strip() else "object_missing", "object.type")


def test_several_columns_become_one_value_by_the_first_function() -> None:
    name = Columns(("a", "b"), (Call("concat", {"separator": " "}),))
    data = rows({"id": ["1", "2", "3"], "a": ["Ada", None, None], "b": ["Lovelace", "Byron", None]})
    made = outcomes(mapping(attributes={"name": name}), data)
    assert [one["attributes"] for one in made if isinstance(one, dict)] == [
        {"name": "Ada Lovelace"},
        {"name": "Byron"},
        {},
    ]
