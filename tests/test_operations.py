"""Does the table of operations say what Customer.io documents, and does every row of it make an item?"""

from __future__ import annotations

import json

import pytest
from mapped_rows import attributes, mapping, outcomes, rows

from etl.model import Column
from etl.transform.operations import OPERATIONS, SEMANTIC_EVENTS


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_makes_items_of_its_type_and_action(name: str) -> None:
    (made,) = outcomes(mapping(name, attributes=attributes(a="a")), rows({"id": ["7"], "a": [1]}))
    operation = OPERATIONS[name]
    assert isinstance(made, dict)
    assert (made["type"], made["action"]) == (operation.type, operation.action)
    assert ("name" in made) is ("id" in made) is operation.has_event
    assert made["identifiers"] == {"id": "7"} and made["attributes"] == {"a": 1}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_item_begins_with_the_operation_s_literal_open_for_more(name: str) -> None:
    assert json.loads(OPERATIONS[name].literal + '"more":1}') == {
        "type": OPERATIONS[name].type,
        "action": OPERATIONS[name].action,
        "more": 1,
    }


@pytest.mark.parametrize("name", OPERATIONS)
def test_only_events_refuse_rows_without_a_name(name: str) -> None:
    if OPERATIONS[name].has_event:
        made = outcomes(mapping(name, event=Column("e")), rows({"e": ["seen", None]}))
        assert made[1] == ("event_name_missing", "event")


def test_the_limits_are_those_that_customer_io_documents() -> None:
    people, events = OPERATIONS["identify"], OPERATIONS["track"]
    assert (people.type, people.action, people.max_attributes, people.max_value_bytes) == (
        "person",
        "identify",
        300,
        1_000,
    )
    assert (events.type, events.action, events.max_attributes, events.max_value_bytes) == (
        "person",
        "event",
        None,
        None,
    )


def test_the_reserved_names_are_those_that_change_what_a_call_means() -> None:
    assert {"cio_id", "anonymous_id", "cio_subscription_preferences", "_update"} <= OPERATIONS["identify"].reserved
    assert OPERATIONS["track"].reserved == {"recipient", "from_address", "reply_to"}
    assert "email" not in OPERATIONS["identify"].reserved and "created_at" not in OPERATIONS["identify"].reserved
    assert len(SEMANTIC_EVENTS) == 9 and "User Deleted" in SEMANTIC_EVENTS
