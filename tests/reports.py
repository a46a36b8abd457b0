"""Reports of every shape, for whoever draws them."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

from cio_etl.model import (
    Bar,
    Campaigns,
    ColumnProfile,
    Comparison,
    Counts,
    DeltaCounts,
    Difference,
    Finding,
    Forecast,
    PartCounts,
    Plan,
    PlannedStep,
    Profile,
    RejectCount,
    Report,
    Sample,
    ShownRow,
    StepComparison,
    StepPlan,
    StepReport,
    ValueChange,
    ValueCount,
)

# What somebody who fills in a form could want a page to do.
HOSTILE = (
    "<script>alert(1)</script>",
    "</script></style></title><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)><a href="javascript:alert(1)">x</a>',
    "' onmouseover='alert(1)' x='",
    "{{ 7 * 7 }}{% raw %}{# x #}",
    "<!-- --><iframe src=//evil.example></iframe><link rel=stylesheet href=//evil.example/x.css>",
    '<meta http-equiv="refresh" content="0;url=//evil.example"><base href=//evil.example>',
    "@import url(//evil.example/x.css); body{display:none}",
    "\u202egnp.exe\u2066 \u200b zero \x00\x1b[31m\udcff",
    "w" * 400,
    "&lt;b&gt; &amp; &#60;",
)

COLUMN = ColumnProfile(
    "e_mail", "text", ("attributes.email", "when"), 12, 4_000, False, 3, 214, None, None, "a***@b***.co"
)
STEP = StepReport(
    name="people",
    status="finished",
    rows_read=12_345,
    counts=Counts(accepted=12_000, rejected=300, skipped=45, batches=16, requests=16, bytes_sent=4_200_000),
    seconds=1.25,
    rejects=(
        RejectCount("email_malformed", "attributes.email", 299, ("people.csv:3", "people.csv:8", "people.csv:9")),
        RejectCount("row_ragged", None, 1, ("people.csv:6",)),
    ),
    findings=(
        Finding(
            "some_warning", "warning", "timestamp", 1_200, "1,200 events are younger than 72 hours", ("people.csv:2",)
        ),
        Finding("some_notice", "notice", None, 1, "a duplicate"),
    ),
    forecast=Forecast(9_800, False, 0, 16, 4_200_000, 95.0, 100.0, 16, 0.2),
    profile=Profile(
        columns=(
            COLUMN,
            replace(COLUMN, name="cents", longest=None, low="-3", high="1,200"),
            replace(COLUMN, name="plan", distinct=12, values=(ValueCount("xxxx", 9_000), ValueCount("xxx", 1))),
            ColumnProfile("unread", "text"),
        ),
        sizes=tuple(Bar(f"{n}–{n + 9}", n % 70) for n in range(200, 400, 10)),
        dates=(Bar("2024-03", 4), Bar("2024-04", 0), Bar("2024-05", 11_996)),
        dated="attributes.created_at",
        rows=(
            ShownRow(
                "email_malformed", "attributes.email", "people.csv:3", (("id", "##"), ("e_mail", "a***"), ("x", None))
            ),
        ),
        samples=(Sample("people.csv:2", '{\n  "type": "person",\n  "identifiers": {\n    "id": "#####"\n  }\n}'),) * 3,
    ),
)
DIFFERENCES = (
    Difference("rows_read", 12_345, 24_690, is_large=True),
    Difference("rejected", 300, 12, is_large=True),
    Difference("bytes_sent", 4_200_000, 3_900_000),
    Difference("rejects", 299, 0, "email_malformed", "attributes.email", is_large=True),
    Difference("rejects", 1, 1, "row_ragged"),
    Difference("events", 0, 1_200, "order_placed", is_large=True),
    Difference("events", 12, 1, is_large=True),
)
VALIDATION = Report(
    "validation",
    "shop",
    "finished",
    "2024-03-10T09:00:00+00:00",
    "2024-03-10T09:00:02+00:00",
    (STEP, STEP),
    3,
    compared_with=Comparison(
        "shop-20240309T090000Z", "2024-03-09T09:04:00+00:00", (StepComparison("people", DIFFERENCES),)
    ),
)
RUN = replace(
    VALIDATION,
    run_id="shop-20240310T090000Z",
    status="stopped",
    exit_code=69,
    reason="track.customer.io is out of reach: timed out",
    resumable=True,
    compared_with=None,
    steps=(
        replace(STEP, profile=None, forecast=None),
        StepReport("orders", "waiting", 0, Counts(), 0.0),
    ),
)
NOTHING = replace(
    VALIDATION,
    compared_with=None,
    exit_code=0,
    steps=(StepReport("none", "finished", 0, Counts(), 0.0, profile=Profile((), (), (), None)),),
)
WIDE = replace(
    VALIDATION,
    steps=(
        replace(
            STEP,
            profile=replace(
                STEP.profile,  # type: ignore[type-var]
                columns=tuple(replace(COLUMN, name=f"column_number_{n:03d}") for n in range(300))
                + tuple(ColumnProfile(f"unread_number_{n}", "whole number") for n in range(100)),
            ),
        ),
    ),
)

CUSTOMERS = StepPlan(
    name="customers",
    operation="identify",
    sync="mirror",
    rows=100_100,
    items=1_235,
    rejected=70,
    skipped=98_795,
    same_rows=98_784,
    requests=18,
    bytes=420_000,
    seconds=95.0,
    campaigns=Campaigns(31, 1_204),
    facts=PlannedStep("f", "m", 3, 1),
    delta=DeltaCounts(
        new=31,
        changed=1_204,
        same=98_784,
        refused_before=8,
        gone=12,
        parts={
            "attributes.plan": PartCounts(0, 710, 0),
            "attributes.city": PartCounts(24, 20, 3),
            "attributes.tier": PartCounts(900, 0, 0),
            "attributes.name": PartCounts(0, 0, 0),
        },
    ),
    when_gone="delete",
    changes={
        "attributes.plan": (ValueChange('"xxxx"', '"xxx"', 700), ValueChange("not known", '"xxx"', 4)),
        "attributes.city": (ValueChange("nothing", '"Xxxx"', 47),),
    },
    rejects=(RejectCount("email_malformed", "attributes.email", 70, ("people.csv:3", "people.csv:8")),),
    findings=(
        Finding("some_warning", "warning", "timestamp", 12, "12 rows are older than a day", ("people.csv:2",)),
        Finding("backfill", "notice", "attributes.tier", 900, "new in the mapping; sent for 900 people"),
        Finding("no_longer_mapped", "notice", "attributes.source", 0, "no longer in the mapping"),
    ),
)
ORDERS = replace(
    CUSTOMERS,
    name="orders",
    operation="track",
    sync="changed",
    rows=6_000,
    items=1_000,
    rejected=0,
    skipped=5_000,
    same_rows=5_000,
    campaigns=Campaigns(events_of_72h=432),
    delta=DeltaCounts(new=1_000, same=5_000),
    when_gone=None,
    rejects=(),
    findings=(),
)
PLAN = Plan("shop.yaml", "shop", "2026-11-27T09:00:00+00:00", (CUSTOMERS, ORDERS), 100.0, 16, {"limit": None})
STOPPING = replace(
    PLAN,
    steps=(
        replace(CUSTOMERS, changes_too_much=("12 of 99,008 subjects are gone; max_gone allows 0",)),
        replace(ORDERS, rejects_too_much=("70 rows rejected, more than max_rejects allows (10 rows)",)),
    ),
)
UNCHANGED = replace(
    PLAN,
    steps=(
        replace(
            CUSTOMERS,
            rows=5,
            items=0,
            rejected=0,
            skipped=5,
            same_rows=5,
            campaigns=Campaigns(),
            delta=DeltaCounts(same=5),
            rejects=(),
            findings=(),
        ),
    ),
)


def hostile(value: Any, text: str) -> Any:
    """The record with this text in the place of each of its own, but of those that the program itself writes."""
    if is_dataclass(value) and not isinstance(value, type):
        ours = (
            "status",
            "severity",
            "run_id",
            "started_at",
            "finished_at",
            "made_at",
            "operation",
            "when_gone",
            "figure",
        )
        changed = {
            each.name: hostile(getattr(value, each.name), text) for each in fields(value) if each.name not in ours
        }
        return replace(value, **changed)
    if isinstance(value, tuple):
        return tuple(hostile(each, text) for each in value)
    if isinstance(value, dict):
        return {f"{text} {place}": hostile(each, text) for place, each in enumerate(value.values())}
    return text if isinstance(value, str) else value
