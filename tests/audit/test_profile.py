"""Does the profile say what is in the rows, whatever the frames they come in, and nothing that must not be seen?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_etl.audit.profile import BARS, HASHES, Profiler, texts, type_name, value_text
from cio_etl.model import FAULT, POSITION, Bar, Column, ColumnProfile, Mapping, Profile, ValueCount
from cio_etl.transform import collect_facts, compile_mapping
from tests.mapped_rows import attributes, column, mapping, rows


def profiled(how: Mapping, *frames: pl.DataFrame, reveal: bool = False) -> Profile:
    schema = frames[0].drop(POSITION, FAULT).schema
    compiled = compile_mapping(how, schema, collect_facts(how, schema, lambda columns: frames), "f" * 64, 4)
    profiler = Profiler(how, schema, reveal)
    for frame in frames:
        profiler.add(profiler.count(compiled.mapped(frame)))
    return profiler.profile(lambda positions: {position: f"rows.csv:{position + 2}" for position in positions})


def of(profile: Profile, name: str) -> ColumnProfile:
    (found,) = [each for each in profile.columns if each.name == name]
    return found


PEOPLE = rows(
    {
        "id": ["1", "2", "3", None],
        "mail": ["ada@example.org", None, "bo@example.org", "bo@example.org"],
        "joined": ["2024-03-10", "2024-03-11", None, "2024-05-01"],
        "cents": [1250, None, -3, 40],
        "unread": ["a", "b", "c", "d"],
    }
)
PERSON = mapping(
    attributes=attributes(
        email="mail", created_at=column("joined", "timestamp"), spent=column("cents", {"divide": 100})
    ),
    when="coalesce(cents, 0) <> 40",
)


def test_a_column_says_what_it_holds_and_what_reads_it() -> None:
    profile = profiled(PERSON, PEOPLE)
    assert [each.name for each in profile.columns] == ["id", "mail", "joined", "cents", "unread"]
    assert of(profile, "mail") == ColumnProfile(
        name="mail",
        type="text",
        targets=("attributes.email",),
        nulls=1,
        distinct=2,
        shortest=14,
        longest=15,
        example="a***@e***.org",
    )
    assert of(profile, "cents").targets == ("attributes.spent", "when")
    assert (of(profile, "cents").low, of(profile, "cents").high) == ("-3", "1,200")
    assert (of(profile, "joined").low, of(profile, "joined").high) == (
        "2024-03",
        "2024-03",
    )  # of rows that `when` keeps
    assert of(profile, "unread") == ColumnProfile("unread", "text")
    assert profile.dated == "attributes.created_at" and not profile.revealed


def test_no_value_is_told_unless_it_is_to_be_revealed() -> None:
    values = ("ada@example.org", "2024-03-10", "1250", "1,250")
    masked, revealed = (
        json.dumps([asdict(profile) | {"dates": ()}])  # the time line is of days, but of nobody's
        for profile in (profiled(PERSON, PEOPLE, reveal=reveal) for reveal in (False, True))
    )
    assert [value for value in values if value in masked] == []
    assert [value for value in values[:2] if value not in revealed] == []
    assert of(profiled(PERSON, PEOPLE, reveal=True), "cents").high == "1,250"
    assert of(profiled(PERSON, PEOPLE, reveal=True), "joined").low == "2024-03-10 00:00:00+00:00"


def test_the_first_payloads_are_those_of_the_first_rows_that_are_sent() -> None:
    samples = profiled(PERSON, PEOPLE).samples
    assert [sample.place for sample in samples] == ["rows.csv:2", "rows.csv:3", "rows.csv:4"]
    assert '"email": "a***@e***.org"' in samples[0].payload and '"spent": ##.#' in samples[0].payload


@given(st.lists(st.sampled_from(["a", "bb", "é", None, "", "a@b.co"]), min_size=2, max_size=60), st.data())
@settings(max_examples=40, deadline=None)
def test_how_rows_are_cut_into_frames_changes_nothing(values: list[str | None], data: st.DataObject) -> None:
    frame = rows({"v": values, "n": list(range(len(values)))}, start=0)
    cut = data.draw(st.integers(1, len(values) - 1))
    how = mapping(attributes=attributes(v="v", n="n"))
    whole, pieces = profiled(how, frame), profiled(how, frame[:cut], frame[cut:])
    assert replace(whole, samples=()) == replace(pieces, samples=())  # the order of attributes is a frame's


@pytest.mark.parametrize("distinct", [1, HASHES - 1, HASHES])
def test_few_values_are_counted_exactly(distinct: int) -> None:
    frames = [rows({"v": [f"v{n % distinct}" for n in range(s, s + 3_000)]}, start=s) for s in (0, 3_000)]
    found = of(profiled(mapping(attributes=attributes(v="v")), *frames), "v")
    assert (found.distinct, found.distinct_is_exact) == (min(distinct, 6_000), True)


def test_a_frame_that_begins_with_few_values_and_has_many_is_counted_as_any_other() -> None:
    few = [f"v{n % 50}" for n in range(1_200)]
    frames = [rows({"v": few + ([] if s else [f"w{n}" for n in range(1_200)])}, start=s) for s in (2_400, 0)]
    found = of(profiled(mapping(attributes=attributes(v="v")), *reversed(frames)), "v")
    assert (found.distinct, found.distinct_is_exact, found.values) == (1_250, True, ())


def test_many_values_are_estimated_within_a_few_per_cent_whatever_their_order() -> None:
    numbers = pl.int_range(200_000, eager=True) % 60_000
    frames = [rows({"v": numbers[start : start + 25_000]}, start=start) for start in range(0, 200_000, 25_000)]
    found = of(profiled(mapping(attributes=attributes(v="v")), *frames), "v")
    assert not found.distinct_is_exact and found.distinct is not None
    assert abs(found.distinct - 60_000) < 0.08 * 60_000  # five times the error that two estimates of three are within


def test_columns_of_every_kind_have_a_profile() -> None:
    frame = rows(
        {
            "text": ["a", None],
            "whole": [1, 2],
            "number": [1.5, float("nan")],
            "exact": [Decimal("1.50"), Decimal("2.25")],
            "yes": [True, None],
            "day": [date(2024, 3, 10), date(2024, 3, 11)],
            "at": [datetime(2024, 3, 10, tzinfo=UTC), None],
            "plain": [datetime(2024, 3, 10), None],
            "list": [[1], None],
            "record": [{"a": 1}, {"a": 2}],
            "none": [None, None],
        }
    )
    profile = profiled(mapping(attributes=attributes(**{name: name for name in frame.columns[:-3]})), frame)
    types = {each.name: each.type for each in profile.columns if each.name != "id"}
    assert types == {
        "text": "text",
        "whole": "whole number",
        "number": "number",
        "exact": "decimal",
        "yes": "true or false",
        "day": "date",
        "at": "time, UTC",
        "plain": "time",
        "list": "list",
        "record": "record",
        "none": "no value",
    }
    assert (of(profile, "exact").low, of(profile, "day").high, of(profile, "at").low) == ("1.5", "2024-03", "2024-03")
    assert of(profile, "record").distinct is None and of(profile, "record").example == '{"x":#}'
    assert of(profile, "none").example is None and of(profile, "none").nulls == 2


@pytest.mark.parametrize("name", ["*", "^x.*$", 'a"b', "0.nulls", "_x"])
def test_a_column_may_have_any_name(name: str) -> None:
    frame = rows({name: ["v"], "x": [None]})
    assert of(profiled(mapping(attributes={"a": Column(name)}), frame), name).nulls == 0


def test_a_source_without_rows_has_columns_and_no_charts() -> None:
    profile = profiled(PERSON, PEOPLE.clear())
    assert (profile.sizes, profile.dates, profile.samples) == ((), (), ())
    assert [of(profile, "mail").nulls, of(profile, "mail").distinct, of(profile, "mail").example] == [0, 0, None]


# ---------------------------------------------------------------- charts


def sizes(*lengths: int) -> Sequence[Bar]:
    return profiled(mapping(attributes=attributes(v="v")), rows({"v": ["x" * n for n in lengths]})).sizes


def test_the_bars_of_sizes_count_every_item_that_is_sent_by_its_bytes() -> None:
    around = len('{"type":"person","action":"identify","identifiers":{"id":"0"},"attributes":{"v":""}}')
    bars = sizes(*range(0, 900, 3), 2_000)  # the last one is too long for a value
    assert sum(bar.rows for bar in bars) == 300 and len(bars) <= BARS
    first, last = bars[0].label.split("–"), bars[-1].label.split("–")
    assert int(first[0]) <= around <= int(first[1]) and int(last[0]) <= around + 897 + 2 <= int(
        last[1].replace(",", "")
    )
    assert sizes(5, 5, 5) == (Bar(str(around + 5), 3),)


@pytest.mark.parametrize(
    ("days", "labels", "counts"),
    [
        (["2024-02-28", "2024-03-01"], ["2024-02-28", "2024-02-29", "2024-03-01"], [1, 0, 1]),
        (["2024-01-03", "2024-04-01"], ["week of 2024-01-01", "week of 2024-04-01"], [1, 1]),
        (["2022-12-31", "2024-02-01"], ["2022-12", "2024-02"], [1, 1]),
        (["1999-05-05", "2024-02-01"], ["1999", "2024"], [1, 1]),
        (["1901-05-05", "2199-02-01"], ["1900–1909", "2190–2199"], [1, 1]),
    ],
)
def test_the_time_line_has_readable_steps_and_shows_gaps(days: list[str], labels: list[str], counts: list[int]) -> None:
    how = mapping(attributes=attributes(created_at=column("at", "timestamp")))
    bars = profiled(how, rows({"at": days})).dates
    assert len(bars) <= BARS and sum(bar.rows for bar in bars) == sum(counts)
    shown = bars if len(bars) == len(labels) else (bars[0], bars[-1])
    assert [(bar.label, bar.rows) for bar in shown] == list(zip(labels, counts, strict=True))


def test_the_time_line_is_of_the_events_that_are_sent() -> None:
    how = mapping("track", timestamp=column("at", "timestamp"), when="n <> 3")
    frame = rows({"id": ["1", None, "3", "4"], "at": ["2024-03-10"] * 4, "n": [1, 2, 3, 4]})
    profile = profiled(how, frame)
    assert (profile.dated, profile.dates) == ("timestamp", (Bar("2024-03-10", 2),))


# ---------------------------------------------------------------- in words


@pytest.mark.parametrize(
    ("value", "rounded", "exact"),
    [
        (33_612_345_678, "34,000,000,000", "33,612,345,678"),
        (0, "0", "0"),
        (-1_250, "-1,200", "-1,250"),
        (0.012345, "0.012", "0.012345"),
        (Decimal("19.99"), "20", "19.99"),
        (date(1970, 1, 1), "1970-01", "1970-01-01"),
        (datetime(9999, 12, 31, 23, 59, 59, 5), "9999-12", "9999-12-31 23:59:59"),
    ],
)
def test_a_value_is_rounded_unless_it_is_to_be_revealed(value: Any, rounded: str, exact: str) -> None:
    assert (value_text(value, reveal=False), value_text(value, reveal=True)) == (rounded, exact)


def test_a_type_without_words_of_ours_is_named_as_polars_names_it() -> None:
    assert type_name(pl.Duration()) == "duration"


@pytest.mark.parametrize(
    ("values", "made"),
    [
        (pl.Series([2**31 - 1, 19_000, None], dtype=pl.Date), ["2147483647", "2022-01-08", None]),
        (pl.Series([2**63 - 1], dtype=pl.Datetime("ms")), ["9223372036854775807"]),
        (pl.Series([{"a": 2**31 - 1}], dtype=pl.Struct({"a": pl.Date})), ['{"a":185542587100800}']),
        (pl.Series([[b"a"], None], dtype=pl.List(pl.Binary)), ["(lists of bytes)", None]),
        (pl.Series([{1: 1.5}], dtype=pl.Map(pl.Int8, pl.Float64)), ['{"1":1.5}']),
        (pl.Series([[Decimal("1.10")]], dtype=pl.List(pl.Decimal(30, 2))), ["[1.10]"]),
    ],
    ids=lambda value: str(value.dtype) if isinstance(value, pl.Series) else "",
)
def test_a_value_of_any_type_has_a_text_for_the_report(values: pl.Series, made: list[str | None]) -> None:
    assert texts(values) == made


def test_the_most_frequent_values_of_a_column_with_few_are_counted_over_all_frames() -> None:
    def frame(start: int) -> pl.DataFrame:
        return rows(
            {
                "id": [f"person {n}" for n in range(300)],
                "mail": ["ada@example.org"] * 300,
                "plan": ["free"] * 200 + ["pro"] * 70 + [None] * 30,
                "paid": [n % 3 == 0 for n in range(300)],
                "fifty": [f"v{n % 50:02}" for n in range(300)],
                "more": [f"v{n % 51}" for n in range(300)],
            },
            start=start,
        )

    how = mapping(attributes=attributes(email="mail", a="plan", b="paid", c="fifty", d="more"))
    masked, revealed = (profiled(how, frame(0), frame(300), reveal=reveal) for reveal in (False, True))
    assert of(revealed, "plan").values == (ValueCount("free", 400), ValueCount("pro", 140))
    assert of(masked, "plan").values == (ValueCount("xxxx", 400), ValueCount("xxx", 140))
    assert of(revealed, "paid").values == (ValueCount("false", 400), ValueCount("true", 200))
    assert of(revealed, "fifty").values == tuple(ValueCount(f"v{n:02}", 12) for n in range(8))
    assert of(masked, "fifty").values == (ValueCount("x##", 12),) * 8
    for name in ("id", "mail", "more"):  # who it is, an address though it is the same in all rows, too many
        assert of(revealed, name).values == ()
    assert of(profiled(how, frame(0)[198:203], reveal=True), "fifty").values == ()  # five rows of five values
