"""Audits of dates report those on which Customer.io would act wrongly, on rows that have what they look for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_etl.audit import FINDINGS, PositionedFinding
from cio_etl.audit.dates import ENOUGH, ChangeTimes, date_audits
from cio_etl.model import FAULT, POSITION, Constant, Mapping
from cio_etl.sandbox import Sandbox
from cio_etl.transform import collect_facts, compile_mapping
from tests.mapped_rows import attributes, column, mapping, rows
from tests.run.test_run import job_for, run
from tests.running import API_KEY, SITE_ID

NOW = 1_764_000_000  # 2025-11-24T16:00:00Z
DAY, YOUNG = 86_400, 72 * 3_600


def findings(how: Mapping, data: dict[str, Any], frame_rows: int = 1_000, **more: Any) -> list[PositionedFinding]:
    """What the audits of dates find in these rows, in frames of so many."""
    frame = rows(data)
    schema = frame.drop(POSITION, FAULT).schema
    compiled = compile_mapping(how, schema, collect_facts(how, schema, lambda columns: [frame]), "f" * 64, 4, "track")
    asking = list(date_audits(how, NOW)) if not more else [ChangeTimes(how, NOW, **more)]
    for part in frame.iter_slices(frame_rows):
        mapped = compiled.mapped(part)
        for audit in asking:
            audit.observe(mapped)
    return [one for audit in asking for one in audit.findings()]


def found(how: Mapping, data: dict[str, Any]) -> list[tuple[str, str, str | None, int, str, tuple[int, ...]]]:
    """The findings, which are the same however the frames are cut, and have a word of what to do."""
    whole, cut = findings(how, data), findings(how, data, frame_rows=2)
    assert whole == cut
    assert {one.code for one in whole} <= FINDINGS.keys()
    return [(one.code, one.severity, one.field, one.rows, one.words, one.first) for one in whole]


# ---------------------------------------------------------------- events

EVENT = mapping("track", timestamp=column("t", {"timestamp": {"unit": "s"}}))


def test_events_of_the_last_72_hours_can_start_campaigns_and_older_ones_cannot() -> None:
    ages = [YOUNG + 1, YOUNG, DAY, 0, 365 * DAY, -60]
    words = "4 of 6 events are of the last 72 hours, and can start campaigns"
    finding = ("event_may_start_campaigns", "warning", "timestamp", 4, words, (1, 2, 3))
    assert found(EVENT, {"t": [NOW - age for age in ages]}) == [finding]
    assert found(EVENT, {"t": [NOW - YOUNG - 1, NOW - 365 * DAY]}) == []


def test_events_without_a_time_are_dated_now() -> None:
    words = "3 of 3 events have no time, so they are dated now, and can start campaigns"
    finding = ("event_may_start_campaigns", "warning", "timestamp", 3, words, (0, 1, 2))
    assert found(mapping("page"), {"id": ["a", "b", "c"]}) == [finding]


@pytest.mark.parametrize(
    ("age", "codes"), [(DAY, ["event_may_start_campaigns"]), (YOUNG + 1, []), (-DAY, ["event_in_the_future"])]
)
def test_one_time_for_all_events_is_looked_at_too(age: int, codes: list[str]) -> None:
    how = mapping("track", timestamp=Constant(NOW - age))
    assert [code for code, *_ in found(how, {"id": ["a", "b"]})] == codes


def test_events_of_the_future_are_told() -> None:
    finding = (
        "event_in_the_future",
        "warning",
        "timestamp",
        2,
        "2 events are in the future, by this machine's clock",
        (0, 2),
    )
    assert found(EVENT, {"t": [NOW + 61, NOW - 365 * DAY, NOW + DAY]}) == [finding]


def test_rows_that_are_not_sent_say_nothing() -> None:
    how = mapping("track", timestamp=column("t", {"timestamp": {"unit": "s"}}), when="id <> 'b'")
    assert found(how, {"id": ["a", "b", ""], "t": [NOW - 365 * DAY, NOW, NOW]}) == []  # skipped, and without who


# ---------------------------------------------------------------- changes that say when they were made

CHANGE = mapping(timestamp=column("t", {"timestamp": {"unit": "s"}}))
DROPS = "identify_timestamp_drops_updates"


def test_a_row_that_is_older_than_one_before_it_of_the_same_person_would_be_dropped() -> None:
    times = [NOW - 100, NOW - 300, NOW - 200, NOW - 90, NOW - 95, NOW - 100]
    words = "3 rows are older than an earlier row of the same person, and would be dropped"
    assert found(CHANGE, {"id": ["a", "b", "a", "a", "a", "c"], "t": [*times[:5], NOW - 100]})[:1] == [
        (DROPS, "warning", "timestamp", 2, words.replace("3 rows", "2 rows"), (2, 4))
    ]
    assert found(CHANGE, {"id": ["a", "b", "a"], "t": [NOW - 300, NOW - 100, NOW - 300]}) == []


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 5)), max_size=30), st.integers(1, 7))
@settings(max_examples=100, deadline=None)
def test_what_is_dropped_is_what_a_loop_over_the_rows_finds(column: list[tuple[str, int]], frame_rows: int) -> None:
    newest: dict[str, int] = {}
    late = []
    for place, (who, time) in enumerate(column):
        if time < newest.get(who, 0):
            late.append(place)
        newest[who] = max(time, newest.get(who, 0))
    data = {
        "id": pl.Series([who for who, _ in column], dtype=pl.String),
        "t": pl.Series([NOW - 9 + n for _, n in column]),
    }
    counted = [(one.rows, one.first) for one in findings(CHANGE, data, frame_rows) if "same person" in one.words]
    assert counted == ([(len(late), tuple(late[:3]))] if late else [])


def test_past_its_room_it_reckons_from_some_of_the_people() -> None:
    people = 4_000
    data = {"id": [f"p{n}" for n in range(people)] * 2, "t": [NOW - 1] * people + [NOW - 2] * people}
    (finding,) = findings(CHANGE, data, most=1_000)
    assert finding.words.startswith("about ") and people * 0.7 < finding.rows < people * 1.3
    assert all(people <= position < 2 * people for position in finding.first)


def test_times_of_the_future_close_the_door_behind_them_and_old_ones_find_it_closed() -> None:
    future = "1 row is in the future: all changes of these people before then would be dropped"
    old = "2 rows are older than a day, and would be dropped where the person was changed since then"
    assert found(CHANGE, {"t": [NOW + 3_600, NOW - DAY - 1, NOW - DAY, NOW - 9 * DAY]}) == [
        (DROPS, "warning", "timestamp", 1, future, (0,)),
        (DROPS, "notice", "timestamp", 2, old, (1, 3)),
    ]


def test_where_it_is_not_shown_who_a_row_is_of_it_looks_at_times_alone() -> None:
    frame = rows({"id": ["a", "a"], "t": [NOW - 1, NOW - 2 * DAY]})
    schema = frame.drop(POSITION, FAULT).schema
    known = collect_facts(CHANGE, schema, lambda columns: [frame])
    mapped = compile_mapping(CHANGE, schema, known, "f" * 64, 4, "track").mapped(frame)
    (audit,) = date_audits(CHANGE, NOW)
    audit.observe(replace(mapped, values=mapped.values.drop("identifiers.id")))
    assert [(one.severity, one.rows, one.first) for one in audit.findings()] == [("notice", 1, (1,))]


@pytest.mark.parametrize("how", [mapping(), mapping("delete")])
def test_changes_without_a_time_are_never_late(how: Mapping) -> None:
    assert found(how, {"id": ["a", "a"]}) == []


# ---------------------------------------------------------------- created_at

SECONDS: tuple[object, ...] = ({"timestamp": {"unit": "s"}},)


@pytest.mark.parametrize("name", ["updated_at", "lastModified", "LAST_SEEN", "_synced", "exported on", "row_loaded_at"])
def test_created_at_from_a_column_that_is_named_like_changes_moves(name: str) -> None:
    how = mapping(attributes={"created_at": column(name, *SECONDS)})
    words = f"it comes from {name!r}, which is named like a time that changes"
    assert found(how, {name: [NOW - 9 * DAY, None, NOW - DAY]}) == [
        ("created_at_moves", "warning", "attributes.created_at", 2, words, (0, 2))
    ]


@pytest.mark.parametrize("name", ["created_at", "joined", "first_seen", "downloaded", "known_since", "signup"])
def test_created_at_from_another_column_stays(name: str) -> None:
    how = mapping(attributes={"created_at": column(name, *SECONDS)})
    assert found(how, {name: [NOW - n for n in range(ENOUGH)]}) == []


def test_created_at_of_the_minute_of_the_export_moves() -> None:
    how = mapping(attributes={"created_at": column("c", *SECONDS)})
    words = "all 100 values are in the minute 2025-11-24T16:00Z, probably that of the export"
    assert found(how, {"c": [NOW - n % 50 for n in range(ENOUGH)]})[0][4] == words
    assert found(how, {"c": [NOW - n % 50 for n in range(ENOUGH - 1)]}) == []  # so few may have come together
    assert found(how, {"c": [NOW - n for n in range(ENOUGH)]}) == []
    assert found(how, {"c": [NOW - 9 * DAY] * ENOUGH}) == []  # an old time that all share moves no more


def test_created_at_that_always_is_the_time_of_the_last_change_moves() -> None:
    parts = attributes(updated_at="u", changed_by="p")
    how = mapping(attributes={"created_at": column("c", *SECONDS), **parts, "updated_at": column("u", *SECONDS)})
    times = [NOW - 9 * DAY - n * 60 for n in range(ENOUGH)]
    words = "it equals attributes.updated_at in all 100 rows"
    assert found(how, {"c": times, "u": times, "p": ["x"] * ENOUGH})[0][4] == words
    assert found(how, {"c": times, "u": [*times[1:], NOW], "p": ["x"] * ENOUGH}) == []


def test_people_who_are_created_in_the_future_are_told() -> None:
    how = mapping(attributes={"created_at": column("c", *SECONDS)})
    assert found(how, {"c": [NOW + DAY, NOW - DAY]}) == [
        ("created_at_in_the_future", "warning", "attributes.created_at", 1, "1 person is created in the future", (0,))
    ]


def test_a_created_at_that_is_written_in_the_mapping_does_not_move() -> None:
    assert found(mapping(attributes={"created_at": Constant(NOW)}), {"id": ["a"] * ENOUGH}) == []


def test_a_run_is_shown_dates_only_and_warns_before_its_first_request(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (SITE_ID, API_KEY):
        monkeypatch.setenv(name, "sandbox")
    pl.DataFrame({"id": ["a", "b"], "updated_at": [NOW, NOW - DAY], "updated_by": ["x", "y"]}).write_parquet(
        "p.parquet"
    )
    created = {"column": "updated_at", "apply": ["timestamp"]}
    how = {"operation": "identify", "identifiers": {"id": "id"}}
    Path("m.yaml").write_text(json.dumps(how | {"attributes": {"created_at": created, "updated_by": "updated_by"}}))
    report = run(job_for(sandbox, {"s": ({"parquet": "p.parquet"}, "m.yaml")}))
    (finding,) = report.steps[0].findings
    assert (finding.code, finding.first_rows) == ("created_at_moves", ("p.parquet:1", "p.parquet:2"))
