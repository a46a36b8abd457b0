"""Nights of a job that sends only what changed. Ten here; `python -m tests.ledger_nights` plays 200, or more.

The campaign's books must notice what they are for, too: each of their findings is made to appear once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.ledger_model import (
    COMPANIES,
    ORDERS,
    OWNER,
    PEOPLE,
    Cloud,
    Item,
    Mapped,
    Memory,
    Row,
    differences,
    last_values,
)
from tests.ledger_nights import MOMENTS, Nights, item_of, summary

ALICE = Item(PEOPLE, "1", False, frozenset({("plan", "pro"), ("city", "Rome")}))
MAPPED = Mapped(("plan", "city"))


@pytest.mark.timeout(180)
def test_ten_nights_with_kills_send_what_changed_and_nothing_else(tmp_path: Path) -> None:
    done = list(Nights(tmp_path, seed=41).play(10))
    assert [problem for night in done for problem in night.problems] == []
    kills = Counter(kill for night in done for kill in night.kills)
    assert len(kills.keys() & MOMENTS.keys()) > 2 and "abandoned" in {night.end for night in done}, kills
    assert summary(done, 1.0).endswith("0 problems: items lost, needless or wrong")


def test_four_nights_by_pipelines_send_whole_items_of_what_changed(tmp_path: Path) -> None:
    done = list(Nights(tmp_path, seed=3, api="pipelines").play(4))
    assert [problem for night in done for problem in night.problems] == []
    assert sum(len(night.kills) for night in done) > 2 and "abandoned" in {night.end for night in done}


def row(**values: str | None) -> Row:
    return {"id": "1", "plan": "pro", "city": "Rome", "email": None} | values


def plan_items(memory: Memory, *rows: Row, mapped: Mapped = MAPPED) -> list[str]:
    plan = memory.plan(rows, mapped)
    memory.settle(plan, dict.fromkeys(plan.items, "accepted"))
    return [str(item) for item in plan.items.values()]


def test_the_model_sends_what_changed() -> None:
    memory = Memory(PEOPLE)
    assert plan_items(memory, row()) == ["people 1: city=Rome, plan=pro"]
    assert plan_items(memory, row()) == []
    assert plan_items(memory, row(plan="max"), row(plan=None, city="Bern")) == [
        "people 1 _update: plan=max",
        "people 1 _update: city=Bern",
    ]
    assert plan_items(memory, row(plan=None), mapped=replace(MAPPED, clears=True)) == [
        "people 1 _update: city=Rome, plan=None"
    ]


def test_the_model_of_pipelines_sends_all_rows_of_whoever_changed_and_whole() -> None:
    memory = Memory(PEOPLE, whole=True)
    two = [row(), row(plan=None, city="Bern")]
    assert len(plan_items(memory, *two)) == 2 and plan_items(memory, *two) == []
    assert plan_items(memory, row(), row(plan=None, city="Oslo")) == [
        "people 1: city=Rome, plan=pro",
        "people 1: city=Oslo",
    ]


def test_the_model_does_not_send_refused_rows_again_and_sends_unknown_ones_again() -> None:
    memory = Memory(PEOPLE)
    plan = memory.plan([row(), row(city="Bern", plan=None)], MAPPED)
    memory.settle(plan, {0: "refused", 1: "unknown"})
    again = memory.plan([row(), row(city="Bern", plan=None)], MAPPED)
    assert (list(again.items), again.refused_before) == ([1], 1)


def test_the_model_leaves_orders_alone_that_are_older_than_is_remembered() -> None:
    memory, mapped = Memory(ORDERS), Mapped(("order",))
    rows: list[Row] = [{"order": str(at), "id": "1", "at": str(at)} for at in (99, 100)]
    plan = memory.plan(rows, mapped, since=100)
    assert (list(plan.items), plan.same) == ([1], 1)
    memory.settle(plan, {1: "refused"})
    assert memory.plan(rows, mapped, since=100).refused_before == 1
    assert memory.plan(rows, mapped, since=101).same == 2


def test_the_model_relates_a_company_to_the_owners_of_all_of_its_rows() -> None:
    def owned(person: str) -> Row:
        return {"company": "acme", "name": None, OWNER: person, "role": None}

    memory, mapped = Memory(COMPANIES), Mapped(("name",))
    assert len(plan_items(memory, owned("1"), owned("2"), owned("1"), mapped=mapped)) == 2
    assert plan_items(memory, owned("2"), owned("1"), mapped=mapped) == []
    assert len(plan_items(memory, owned("1"), owned("3"), mapped=mapped)) == 2
    ties = last_values(COMPANIES, [owned("1"), owned("2")], mapped, lambda step, subject: False)
    assert [value for _, _, value in ties] == [("1", ()), ("2", ())]


def test_the_checks_of_nights_report_what_was_lost_needless_or_sent_twice(tmp_path: Path) -> None:
    nights = Nights(tmp_path, seed=1)
    plan = Memory(PEOPLE).plan([row()], MAPPED)

    def wrong(*received: Item) -> list[str]:
        nights._received[:] = received
        return list(nights._wrong_items({PEOPLE: plan}, is_whole=True, is_quiet=True))

    assert wrong(ALICE) == []
    assert wrong() == [f"not sent: {ALICE}"]
    assert wrong(ALICE, ALICE) == [f"sent 2 times: {ALICE}"]
    assert wrong(ALICE, replace(ALICE, update=True)) == [f"sent, and had not changed: {replace(ALICE, update=True)}"]


def test_the_checks_of_nights_report_what_customer_io_has_otherwise() -> None:
    wanted, found = Cloud(), Cloud()
    for cloud in (wanted, found):
        cloud.take(ALICE)
    assert list(differences(wanted, found)) == []
    found.take(Item(PEOPLE, "1", True, frozenset({("plan", None)})))
    assert [problem.split(":")[0] for problem in differences(wanted, found)] == ["people 1"]


def test_a_received_item_is_read_as_it_was_sent() -> None:
    sent = {"type": "person", "action": "identify", "identifiers": {"id": "1"}}
    assert item_of(sent | {"attributes": {"plan": "pro", "city": "Rome"}}) == ALICE
    assert item_of(sent | {"attributes": {"_update": True}}) == Item(PEOPLE, "1", True, frozenset())
