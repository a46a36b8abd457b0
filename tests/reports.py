"""Reports of every shape, for whoever draws them."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

from cio_etl.model import (
    Bar,
    ColumnProfile,
    Counts,
    Finding,
    Forecast,
    Profile,
    RejectCount,
    Report,
    Sample,
    ShownRow,
    StepReport,
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
VALIDATION = Report(
    "validation", "shop", "finished", "2024-03-10T09:00:00+00:00", "2024-03-10T09:00:02+00:00", (STEP, STEP), 3
)
RUN = replace(
    VALIDATION,
    run_id="shop-20240310T090000Z",
    status="stopped",
    exit_code=69,
    reason="track.customer.io is out of reach: timed out",
    resumable=True,
    steps=(
        replace(STEP, profile=None, forecast=None),
        StepReport("orders", "waiting", 0, Counts(), 0.0),
    ),
)
NOTHING = replace(
    VALIDATION,
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


def hostile(value: Any, text: str) -> Any:
    """The record with this text in the place of each of its own, but of those that the program itself writes."""
    if is_dataclass(value) and not isinstance(value, type):
        ours = ("status", "severity", "run_id", "started_at", "finished_at")
        changed = {
            each.name: hostile(getattr(value, each.name), text) for each in fields(value) if each.name not in ours
        }
        return replace(value, **changed)
    if isinstance(value, tuple):
        return tuple(hostile(each, text) for each in value)
    return text if isinstance(value, str) else value
