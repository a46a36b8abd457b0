"""The page of a plan says what a run would change, in plain words, and stops first. See also test_page.py."""

from __future__ import annotations

import re
import stat
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from cio_etl.log.visible import visible
from cio_etl.model import Campaigns, DeltaCounts, Plan, PlannedStep, StepPlan
from cio_etl.report.plan_page import plan_page, tone, write_plan_page
from cio_etl.report.plan_words import headline, sentence
from cio_etl.run.reports import remedies
from tests.report.test_page import Elements, shape, words
from tests.reports import CUSTOMERS, HOSTILE, ORDERS, PLAN, STOPPING, UNCHANGED, hostile

FIRST, AGAIN = PlannedStep("f", "m"), PlannedStep("f", "m", 3, 1, again=True)
ALL = replace(CUSTOMERS, sync="all", delta=None, campaigns=Campaigns(None, None), findings=(), same_rows=0)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_comes_from_data_or_files_is_text_wherever_it_stands(text: str) -> None:
    plain, made = (
        plan_page(hostile(PLAN, each), {"send it": each}, remedies() | {each: each}) for each in ("plain", text)
    )
    assert shape(plain) == shape(made)  # not one element or attribute more
    assert words(made).count(" ".join(visible(text).split())) >= words(plain).count("plain") - 12
    assert not re.search("[\x00-\x08\x0b-\x1f\u200b\u202a-\u202e\u2066-\u2069\ud800-\udfff]", made)


@pytest.mark.parametrize("plan", [PLAN, STOPPING, UNCHANGED], ids=["plan", "stopping", "unchanged"])
def test_the_page_can_be_read_by_those_who_do_not_see_it(plan: Plan) -> None:
    elements = Elements(plan_page(plan, {}, remedies())).found
    tags = [tag for tag, _ in elements]
    assert tags.count("h1") == 1 and not {"script", "img", "iframe", "form"} & set(tags)
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert tags.count("table") == tags.count("caption")
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    named = [id_ for _, a in elements for id_ in (a.get("aria-labelledby") or "").split()]
    named += [(a["href"] or "")[1:] for tag, a in elements if tag == "a"]
    assert len(ids) == len(set(ids)) and set(named) <= set(ids)


def test_the_page_says_all_that_the_plan_does() -> None:
    said = words(plan_page(PLAN, {"send it": "cio-etl apply plan.json"}, remedies())).replace("\u00a0", " ")
    for expected in (
        "Plan of shop 2026-11-27 09:00 UTC",
        "A run would add 31 people, change 1,204 and remove 12, and send 1,000 events.",
        "customers A run would add 31 people, change 1,204 and remove 12; 98,784 stay as they are.",
        "orders A run would send 1,000 events; 5,000 were sent before.",
        "Nothing was sent. Exit code 3: something would be sent, or rows are rejected. A run takes about 3 min.",
        "send it cio-etl apply plan.json",
        "customers 31 1,204 98,784 12 8 orders 1,000 0 5,000 0 0",
        "customers 100,100 = 1,235 + 98,784 + 11 + 70 ✓",
        "requests to send 18 data to send 420 kB a run takes about 2 min",
        "at most 100 requests a second and 16 lanes, each answered in 250 ms",
        "new people 31 changed people 1,204",
        "events of the last 72 hours 432",
        '"xxxx" → "xxx" 700 people not known → "xxx" 4 people 6 people with other changes 0 710 0.7 % 0',
        'attributes.city nothing → "Xxxx" 47 people 24 < 0.1 % 20 < 0.1 % 3 < 0.1 %',
        "Values are masked; --reveal shows them.",
        "attributes.tier new in the mapping: 900 people 900 0.9 % 0 0",
        "Shares are of the 100,008 people",
        "attributes.source is no longer in the mapping",
        "warning some_warning in timestamp 12 rows 12 rows are older than a day people.csv:2 and 11 more",
        "email_malformed: < 0.1 % of the rows",
        "people.csv:3 people.csv:8 and 68 more",
        "contains no values of rows",
    ):
        assert expected in said, expected
    assert "attributes.name" not in said and "A run would stop" not in said


def test_the_limits_that_would_stop_a_run_come_first() -> None:
    said = words(plan_page(STOPPING, {}, remedies()))
    assert said.startswith(
        "Plan of shop 2026-11-27 09:00 UTC Not as it is: a run would stop in the steps customers and orders. "
        "customers : 12 of 99,008 subjects are gone; max_gone allows 0. "
        "orders : 70 rows rejected, more than max_rejects allows (10 rows)."
    )
    assert "A run takes" not in said and "Exit code 4: a run would stop." in said


def test_a_page_with_values_says_so() -> None:
    said = words(plan_page(replace(PLAN, revealed=True), {}, remedies()))
    assert "This plan shows values of rows." in said and "contains values of rows" in said
    assert "Values are masked" not in said


def test_an_unfinished_run_comes_first() -> None:
    plan = replace(PLAN, unfinished="shop-1")
    said = words(plan_page(plan, {}, remedies()))
    assert "send 1,000 events. the run shop-1 is unfinished: a run resumes it first" in said and tone(plan) == "bad"


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (CUSTOMERS, "A run would add 31 people, change 1,204 and remove 12; 98,784 stay as they are."),
        (replace(CUSTOMERS, delta=DeltaCounts(changed=1, same=1)),
         "A run would change 1 person; 1 stays as it is."),
        (replace(CUSTOMERS, delta=DeltaCounts(gone=2), when_gone="identify"),
         "A run would set attributes of 2 people no longer in the source."),
        (replace(CUSTOMERS, facts=FIRST, delta=DeltaCounts(new=5)), "The first run would add 5 people."),
        (replace(CUSTOMERS, facts=AGAIN, delta=DeltaCounts(new=5)),
         "A run would send 5 people whole, changed or not."),
        (replace(CUSTOMERS, items=0, delta=DeltaCounts(same=2)),
         "A run would send nothing: 2 people stay as they are."),
        (replace(CUSTOMERS, items=0, delta=DeltaCounts(refused_before=2)), "A run would send nothing."),
        (replace(CUSTOMERS, rows=0, items=0, delta=DeltaCounts()), "There are no rows to send."),
        (replace(ORDERS, items=0, delta=DeltaCounts(same=1)), "A run would send nothing: 1 event was sent before."),
        (replace(ORDERS, operation="add_device", delta=DeltaCounts(new=2)), "A run would add 2 devices."),
        (replace(ORDERS, operation="add_to_segment", delta=DeltaCounts(new=1)), "A run would add 1 membership."),
        (replace(ORDERS, operation="add_relationships", delta=DeltaCounts(new=2)),
         "A run would add 2 relationships."),
        (replace(ORDERS, operation="identify_object_anonymous", delta=DeltaCounts(new=2)),
         "A run would add 2 objects."),
        (replace(ALL, rows=70, items=69), "A run would send 69 of 70 rows, changed or not."),
        (replace(ALL, rows=70, items=70), "A run would send all 70 rows, changed or not."),
    ],
)  # fmt: skip
def test_a_step_is_one_sentence(step: StepPlan, expected: str) -> None:
    assert sentence(step) == expected


@pytest.mark.parametrize(
    ("steps", "expected", "looks"),
    [
        ((replace(ORDERS),), "A run would send 1,000 events; 5,000 were sent before.", "good"),
        ((CUSTOMERS, CUSTOMERS), "A run would send something in 2 of 2 steps.", "fair"),
        ((UNCHANGED.steps[0], UNCHANGED.steps[0]), "A run would send nothing.", "good"),
        (STOPPING.steps[:1], "Not as it is: a run would stop in step customers.", "bad"),
    ],
)
def test_the_headline_is_one_sentence_and_looks_as_it_is(
    steps: tuple[StepPlan, ...], expected: str, looks: str
) -> None:
    plan = replace(PLAN, steps=steps)
    assert (headline(plan), tone(plan)) == (expected, looks)


def test_without_a_ledger_the_page_says_what_is_not_known() -> None:
    said = words(plan_page(replace(PLAN, steps=(ALL,)), {}, remedies()))
    assert "rows of people 1,235" in said and "Without a ledger, who is new or changed is not known" in said
    assert "Who and what changes" not in said


def test_the_page_is_written_for_its_user_only(tmp_path: Path) -> None:
    path = write_plan_page(PLAN, tmp_path / "plan.html", {}, remedies())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
