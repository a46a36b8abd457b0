"""Rows that repeat another row's key, and the choice of a person's newest row."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_etl.errors import SourceError
from cio_etl.model import Column, Constant, Mapping
from cio_etl.run import prescan as prescan
from cio_etl.transform import repeats
from tests.mapped_rows import attributes, column, mapping, outcome, rows
from tests.snapshots import compiled, held

PEOPLE = mapping(attributes=attributes(n="n"), order_by=("at",))
EVENTS = mapping("track", attributes=attributes(n="n"), event_key=("key",))


def became(how: Mapping, frame: pl.DataFrame, frame_rows: int = 1_000) -> list[Any]:
    """What becomes of each row: the attribute `n` when it is sent, "skipped", or the reason of its reject."""
    snapshot = held(frame, frame_rows)
    ready = compiled(how, snapshot)
    found = pl.concat([ready.items(part) for part in snapshot.read(ready.columns, 0)])
    said = [outcome(*row) for row in found.select("item", "reason", "field").iter_rows()]
    return [one["attributes"]["n"] if isinstance(one, dict) else one[0] if one != "skipped" else one for one in said]


def sent(how: Mapping, frame: pl.DataFrame, frame_rows: int = 1_000) -> list[Any]:
    return [n for n in became(how, frame, frame_rows) if isinstance(n, int)]


def versions(at: Any, person: str = "a") -> pl.DataFrame:
    """Rows of one person, numbered, with these values in the column `at`."""
    at = at if isinstance(at, pl.Series) else pl.Series(at)
    return rows({"id": [person] * len(at), "at": at, "n": range(len(at))})


# ---------------------------------------------------------------- order_by


@pytest.mark.fault("S20")
@pytest.mark.parametrize(
    ("at", "newest"),
    [
        ([1, 3, 2], 1),
        ([-1, -3], 0),
        ([2.5, float("nan"), float("inf")], 2),
        ([1.0, float("nan")], 0),
        ([Decimal("1.10"), Decimal("1.09")], 0),
        ([date(2024, 3, 10), date(2024, 3, 9)], 0),
        ([datetime(2024, 3, 10, 9, 0, 0, 1), datetime(2024, 3, 10, 9)], 0),
        ([datetime(2024, 3, 10, tzinfo=UTC), datetime(2024, 3, 11, tzinfo=UTC)], 1),
        ([True, False], 0),
        ([None, 5, None], 1),
        ([7, 7, 7], 2),  # ties: the later row
        ([None, None], 1),
        (pl.Series([None, None], dtype=pl.Null), 1),
        (pl.Series(["b", "c", "a"], dtype=pl.Categorical), 1),
        # text
        (["9", "10", "8"], 1),
        (["+3", "-4", " 12 "], 2),
        (["1.5", "1.25", "1"], 0),
        (["1700000000.000000002", "1700000000.000000001"], 0),
        (["9223372036854775818", "10000000000000000000000010", "10000000000000000000000009"], 1),
        (["-9" + "9" * 28, "-1" + "0" * 28, "-2" + "0" * 28], 1),
        (["9" * 29 + ".999999999", "9" * 29, "7"], 0),
        (["999999999", "1710061200123456789"], 1),
        ([".5", "-.25", "0.75", "0."], 2),
        (["2024-03-10", "2024-03-09"], 0),
        (["2024-03-10 09:00:00", "2024-03-10T09:00:01"], 1),
        (["2024-03-10T09:00:00Z", "2024-03-10T10:30:00+02:00"], 0),
        (["2024-03-10T09:00:00Z", "2024-03-10T09:00:00.5Z", "2024-03-10T09:00:00.25Z"], 1),
        (["2024-03-10T09:00:00.50Z", "2024-03-10T09:00:00.5Z"], 1),
        (["2024-03-10T23:59:59Z", "2024-03-10"], None),  # a date says no zone
        (["v2", "v10"], 0),  # words sort by their characters
        (["Z", "a", "É"], 2),
        (["", "  ", None, "x"], 3),
        (["x", "", None], 0),
    ],
)
def test_the_last_row_of_a_person_by_order_by_is_sent(at: Any, newest: int | None) -> None:
    frame = versions(at)
    if newest is None:
        with pytest.raises(SourceError, match="offset"):
            sent(PEOPLE, frame)
    else:
        for frame_rows in (1, 2, 1_000):
            assert became(PEOPLE, frame, frame_rows) == [n if n == newest else "skipped" for n in range(frame.height)]


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (["10/03/2024", "9/03/2024"], "it holds dates that are not ISO 8601 and cannot be sorted"),
        (["2024/03/10"], "it holds dates that are not ISO 8601 and cannot be sorted"),
        (["3 Mar 2024", "4 Apr 2024"], "it holds dates that are not ISO 8601 and cannot be sorted"),
        (["Sun, 10 März 2024"], "it holds dates that are not ISO 8601 and cannot be sorted"),
        (["2024-03-10T09:00Z", "2024-03-10T09:00"], "some of its times have an offset and some have none"),
        (["9.5e5", "1.2e6"], "it holds numbers with an exponent, with over 29 digits, or with over 9 after the point"),
        (["9.1234567891", "10.1234567891"], "it holds numbers with an exponent, with over 29 digits"),
        (["9" * 30, "1" * 31], "it holds numbers with an exponent, with over 29 digits"),
        (["9", "1e6"], "it holds numbers with an exponent, with over 29 digits"),
        (["1", "n/a"], "it holds numbers or times in some rows and other text in others"),
        (["2024-03-10", "20240310"], "it holds numbers or times in some rows and other text in others"),
        (["2024-02-30", "2024-03-01"], "it holds dates that are not ISO 8601 and cannot be sorted"),
        ([[1], [2]], "it holds lists of whole numbers, and only numbers, times and text can be sorted"),
        ([b"a", b"b"], "it holds bytes, and only numbers, times and text can be sorted"),
    ],
)
def test_a_column_that_does_not_sort_is_refused_even_when_nobody_has_two_rows(at: Any, said: str) -> None:
    frame = rows({"at": at, "n": range(len(at))})
    with pytest.raises(SourceError) as refused:
        compiled(PEOPLE, held(frame, 1))
    assert str(refused.value).startswith(f"m.yaml: order_by: column 'at': {said}")


def test_several_columns_are_an_order_together_and_a_missing_one_is_an_error() -> None:
    frame = rows({"id": ["a"] * 4, "at": [1, 2, 2, None], "no": ["9", "9", "10", "11"], "n": range(4)})
    both = mapping(attributes=attributes(n="n"), order_by=("at", "no"))
    assert sent(both, frame) == [2]
    with pytest.raises(SourceError, match="no column 'version'"):
        compiled(mapping(order_by=("version",)), held(frame))


def test_rows_that_are_nobody_s_or_left_out_or_unreadable_take_no_part() -> None:
    frame = rows(
        {
            "id": ["a", "a", "a", None, None, " ", " "],
            "at": [1, 3, 2, 1, 2, 1, 2],
            "n": range(7),
            "keep": [True, False, True, True, True, True, True],
        }
    )
    how = mapping(attributes=attributes(n="n"), order_by=("at",), when="keep")
    missing = "identifier_missing"
    assert became(how, frame) == ["skipped", "skipped", 2, missing, missing, missing, missing]
    torn = rows({"id": ["a", "a"], "at": [1, 2], "n": [0, 1]}, faults=[None, "row_ragged"])
    assert became(PEOPLE, torn) == [0, "row_ragged"]


def test_a_row_that_gives_way_is_skipped_whatever_is_wrong_and_no_older_row_takes_the_place_of_a_rejected_one() -> None:
    how = mapping(attributes=attributes(n="n", email="mail"), order_by=("at",))
    frame = rows({"id": list("aabb"), "at": [1, 2, 1, 2], "mail": ["nope", "a@b.co", "a@b.co", "nope"], "n": range(4)})
    assert became(how, frame) == ["skipped", 1, "skipped", "email_malformed"]


def test_people_are_told_apart_as_customer_io_does() -> None:
    frame = rows({"who": ["A@b.co", "a@B.co ", "c@b.co"], "at": [2, 1, 1], "n": range(3)})
    by_mail = mapping(identifiers={"email": column("who", "trim")}, attributes=attributes(n="n"), order_by=("at",))
    assert became(by_mail, frame) == [0, "skipped", 2]
    by_id = mapping(identifiers={"id": column("who", "trim")}, attributes=attributes(n="n"), order_by=("at",))
    assert became(by_id, frame) == [0, 1, 2]
    numbers = rows({"who": [7, 7, 8], "at": [2, 1, 1], "n": range(3)})
    assert became(by_id_of(Column("who")), numbers) == [0, "skipped", 2]


def by_id_of(who: Column) -> Mapping:
    return mapping(identifiers={"id": who}, attributes=attributes(n="n"), order_by=("at",))


@pytest.mark.fault("S20")
@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.integers(-2, 2)), min_size=1, max_size=30),
    st.integers(1, 7),
    st.integers(1, 4),
)
def test_the_last_wins_whatever_the_frames_and_counts_add_up(
    versions: list[tuple[str, int | None]], frame_rows: int, compare_at: int
) -> None:
    newest: dict[str, tuple[bool, int, int]] = {}
    for n, (person, at) in enumerate(versions):
        newest[person] = max(newest.get(person, (False, 0, -1)), (at is not None, at or 0, n))
    winners = {n for *_, n in newest.values()}
    people, times = [person for person, _ in versions], [time for _, time in versions]
    frame = rows({"id": people, "at": pl.Series(times, dtype=pl.Int64), "n": range(len(versions))})
    decision = repeats.LastWins(frame.height)
    for part in frame.iter_slices(compare_at):  # the same, compared a few at a time
        decision.add(part.select("_position", pl.col("id").alias("identifiers.id"), pl.col("at").alias("order.0")))
    assert became(PEOPLE, frame, frame_rows) == [n if n in winners else "skipped" for n in range(len(versions))]
    decided = decision.repeats()
    assert {n for n, code in enumerate(decided.codes) if code in (repeats.SENT, repeats.NEWEST)} == winners
    assert decided.keys == sum(people.count(person) > 1 for person in newest)


# ---------------------------------------------------------------- event_key


@pytest.mark.fault("S20")
def test_of_events_with_one_key_the_first_is_sent_the_same_again_skipped_and_another_rejected() -> None:
    data = {"key": ["a", "b", "a", "a", "b", None, "", "a"], "n": [0, 1, 0, 9, 1, 5, 6, 0]}
    frame = rows(data | {"id": ["p"] * 8})
    expected = [0, 1, "skipped", "event_key_repeated", "skipped", "event_key_missing", "event_key_missing", "skipped"]
    for frame_rows in (1, 3, 1_000):
        assert became(EVENTS, frame, frame_rows) == expected


def test_whose_event_it_is_and_when_it_was_is_part_of_what_it_says() -> None:
    frame = rows({"id": ["p", "q", "p"], "key": ["a"] * 3, "n": [0, 0, 0], "at": [5, 5, 6]})
    timed = mapping("track", attributes=attributes(n="n"), event_key=("key",), timestamp=Column("at"))
    assert became(timed, frame) == [0, "event_key_repeated", "event_key_repeated"]


def test_events_of_other_names_have_other_keys() -> None:
    frame = rows({"id": ["p"] * 4, "what": ["A ", "b", "a", "b"], "key": ["k"] * 4, "n": [0, 1, 0, 2]})
    plain = mapping("track", event=Column("what"), attributes=attributes(n="n"), event_key=("key",))
    assert became(plain, frame) == [0, 1, 0, "event_key_repeated"]
    made = mapping("track", event=column("what", "trim", "lower"), attributes=attributes(n="n"), event_key=("key",))
    assert became(made, frame) == [0, 1, "skipped", "event_key_repeated"]


def test_a_row_that_cannot_be_sent_does_not_stand_in_the_way_of_the_next() -> None:
    frame = rows({"id": [None, "p", "p"], "key": ["k"] * 3, "n": [0, 1, 1]})
    assert became(EVENTS, frame) == ["identifier_missing", 1, "skipped"]
    left_out = mapping("track", attributes=attributes(n="n"), event_key=("key",), when="n > 0")
    assert became(left_out, rows({"id": ["p"] * 2, "key": ["k"] * 2, "n": [0, 1]})) == ["skipped", 1]


def test_without_an_event_key_or_an_order_rows_are_sent_as_they_come() -> None:
    frame = rows({"id": ["a", "a"], "at": [2, 1], "n": [0, 0]})
    assert became(mapping(attributes=attributes(n="n")), frame) == [0, 0]
    assert became(mapping("track", attributes=attributes(n="n")), frame) == [0, 0]


@pytest.mark.fault("S20")
@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), min_size=1, max_size=30), st.integers(1, 7))
def test_conflicting_keys_are_rejected_and_counts_add_up(events: list[tuple[str, int]], frame_rows: int) -> None:
    first: dict[str, int] = {}
    expected: list[Any] = []
    for key, n in events:
        expected.append("skipped" if first.get(key) == n else "event_key_repeated" if key in first else n)
        first.setdefault(key, n)
    frame = rows({"key": [key for key, _ in events], "n": [n for _, n in events], "id": ["p"] * len(events)})
    assert became(EVENTS, frame, frame_rows) == expected


# ---------------------------------------------------------------- finding them


def test_keys_that_do_not_fit_into_memory_are_compared_in_parts() -> None:
    snapshot = held(rows({"id": [str(n % 50) for n in range(200)], "at": range(200), "n": range(200)}), 30)
    whole = compiled(PEOPLE, snapshot)
    in_parts = prescan.with_duplicates(PEOPLE, snapshot, replace(whole, repeats=None), in_memory=64)
    assert whole.repeats is not None and in_parts.repeats is not None
    codes = [repeats.SUPERSEDED] * 150 + [repeats.NEWEST] * 50
    assert in_parts.repeats.codes.tolist() == whole.repeats.codes.tolist() == codes


@given(st.lists(st.integers(0, 9), max_size=30), st.lists(st.integers(0, 9), max_size=10))
def test_hashes_that_occur_twice_are_found_and_known_again(numbers: list[int], asked: list[int]) -> None:
    repeated = repeats.Repeated(in_memory=64)
    spread = {n: np.uint64(n * 0x9E3779B97F4A7C15 % 2**64) for n in range(10)}
    for n in numbers:
        repeated.add(np.array([spread[n]]))
    again = {n for n in numbers if numbers.count(n) > 1}
    assert repeated.found().any == bool(again)
    assert repeated.among(np.array([spread[n] for n in asked], dtype=np.uint64)).tolist() == [n in again for n in asked]


def test_rows_that_only_share_a_hash_are_told_apart_by_their_keys() -> None:
    last, first = repeats.LastWins(3), repeats.FirstWins(3)
    last.add(pl.DataFrame({"_position": [0, 1, 2], "identifiers.id": ["a", "b", "a"], "order.0": [1, 2, 3]}))
    first.add(
        pl.DataFrame({"_position": [0, 1, 2], "digest.0": [1, 1, 1], "digest.1": [1, 2, 1]}).with_columns(
            pl.lit(5).alias("content.0"), pl.Series("content.1", [6, 6, 7])
        )
    )
    for decision, expected in (
        (last, [repeats.SUPERSEDED, repeats.SENT, repeats.NEWEST]),
        (first, [repeats.SENT, repeats.SENT, repeats.CONFLICTING]),
    ):
        decided = decision.repeats()
        assert decided.keys == 1
        assert decided.codes.tolist() == expected


def test_a_constant_name_and_several_columns_make_a_key() -> None:
    frame = rows({"id": ["p"] * 3, "key": ["ab", "a", "ab"], "l": ["c", "bc", "c"], "n": [0, 1, 2]})
    how = mapping("track", event=Constant("e"), attributes=attributes(n="n"), event_key=("key", "l"))
    assert became(how, frame) == [0, 1, "event_key_repeated"]
