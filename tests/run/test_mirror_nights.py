"""Nights of a job whose steps are mirrors. Four here; `python -m tests.mirror_nights` plays 200, or more.

The campaign's books must notice what they are for, too: each of their findings is made to appear once.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mirror_model import OBJECTS, PEOPLE, Cloud, Item, Mapped, Memory, Row, differences
from tests.mirror_nights import MirrorNights, item_of

SEED = 6  # of nights with kills
MAPPED = Mapped(("plan",), when_gone="delete")
ANN = Item(PEOPLE, "1", "identify", frozenset({("plan", "pro")}))


def row(number: int, plan: str | None = "pro") -> Row:
    return {"id": str(number), "plan": plan}


@pytest.mark.timeout(180)
def test_four_nights_of_mirrors_remove_who_is_gone_and_nobody_else(tmp_path: Path) -> None:
    done = list(MirrorNights(tmp_path, seed=SEED).play(4))
    assert [problem for night in done for problem in night.problems] == []
    assert sum(len(night.kills) for night in done) > 1


def test_four_nights_of_mirrors_by_pipelines(tmp_path: Path) -> None:
    done = list(MirrorNights(tmp_path, seed=3, api="pipelines").play(4))
    assert [problem for night in done for problem in night.problems] == []
    assert "stopped: emptied" in {night.end for night in done}


def test_the_model_removes_who_is_gone_within_max_gone() -> None:
    memory = Memory(PEOPLE)
    plan = memory.plan([row(number) for number in range(4)], MAPPED, 0.3)
    memory.settle(plan, dict.fromkeys(plan.items, "accepted"))
    plan = memory.plan([row(0), row(1), row(2)], MAPPED, 0.3)
    assert ([str(item) for item in plan.every], plan.same) == (["people 3: delete "], 3)
    assert memory.plan([row(0), row(1)], MAPPED, 0.3).stops == "2 of 4 are gone"
    assert memory.plan([], MAPPED, 1.0).stops == "4 of 4 are gone"
    assert not memory.plan([row(0), {"id": None, "plan": None}], MAPPED, 0.3).gone


def test_the_model_sends_whole_items_of_whom_it_is_not_sure() -> None:
    memory = Memory(PEOPLE)
    plan = memory.plan([row(1)], MAPPED, 1.0)
    memory.settle(plan, {0: "unknown"})
    assert list(memory.plan([row(1)], MAPPED, 1.0).items.values()) == [ANN]
    assert list(memory.plan([row(2)], MAPPED, 1.0).gone) == ["1"]
    memory.remove({"1": "accepted"})
    assert not memory.known


@pytest.mark.parametrize(
    ("when_gone", "removal"),
    [
        ("unset", Item(PEOPLE, "1", "identify", frozenset({("plan", None)}), True)),
        ("set", Item(PEOPLE, "1", "identify", frozenset({("churned", True)}), True)),
        ("suppress", Item(PEOPLE, "1", "suppress")),
    ],
)
def test_the_model_knows_what_becomes_of_who_is_gone(when_gone: str, removal: Item) -> None:
    assert Mapped(("plan",), when_gone=when_gone).removal(PEOPLE, "1") == removal
    cloud = Cloud()
    cloud.take(ANN)
    cloud.take(removal)
    wanted = {"unset": {"1": {}}, "set": {"1": {"plan": "pro", "churned": True}}, "suppress": {}}[when_gone]
    assert cloud.people == wanted
    cloud.take(ANN)
    assert ("1" in cloud.people) == (when_gone != "suppress")


def test_the_checks_of_mirrors_report_what_was_lost_needless_or_sent_twice(tmp_path: Path) -> None:
    nights, plan = MirrorNights(tmp_path, seed=1), Memory(PEOPLE).plan([row(1)], MAPPED, 1.0)

    def wrong(*received: Item) -> list[str]:
        nights._taken[:] = received
        return list(nights._not_planned({PEOPLE: plan}, is_whole=True, is_quiet=True))

    gone = Item(PEOPLE, "1", "delete")
    assert (wrong(ANN), wrong()) == ([], [f"not sent: {ANN}"])
    assert wrong(ANN, ANN) == [f"sent 2 times: {ANN}"]
    assert wrong(ANN, gone) == [f"sent, and not planned: {gone}"]


def test_the_checks_of_mirrors_report_what_customer_io_has_otherwise() -> None:
    wanted, found = Cloud(), Cloud()
    wanted.take(ANN)
    found.take(Item(OBJECTS, "1", "identify"))
    found.members.add("7")
    kinds = [problem.split(":")[0] for problem in differences(wanted, found)]
    assert kinds == ["people 1", "objects 1", "7 should not be in the segment"]


def test_a_received_item_of_a_mirror_is_read_as_it_was_sent() -> None:
    sent = {"type": "person", "action": "identify", "identifiers": {"id": "1"}, "attributes": {"plan": "pro"}}
    assert item_of(sent) == ANN
    assert item_of({"type": "person", "action": "delete", "identifiers": {"id": "1"}}) == Item(PEOPLE, "1", "delete")
