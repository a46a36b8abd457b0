"""Each expectation over rows of each type: which rows break it, what is said, and what cannot be tested."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pytest

from cio_etl.audit import Expectations, PositionedFinding, with_places
from cio_etl.config.mapping import read_mapping
from cio_etl.errors import SourceError
from cio_etl.model import Expectation, Snapshot
from tests.mapped_rows import rows
from tests.snapshots import held

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
PLANS = pl.Series(["pro", "free", "gold", None])


def expected(yaml: str) -> tuple[Expectation, ...]:
    """What the entries of `expect` mean, written as in a mapping."""
    Path("m.yaml").write_text(f"operation: identify\nidentifiers: {{id: id}}\nexpect:\n  - {yaml}\n", encoding="utf-8")
    mapping, problems = read_mapping(Path("m.yaml"))
    assert mapping is not None and not problems, problems
    return mapping.expect


def problems(yaml: str) -> list[str]:
    Path("m.yaml").write_text(f"operation: identify\nidentifiers: {{id: id}}\nexpect:\n  - {yaml}\n", encoding="utf-8")
    return [str(problem) for problem in read_mapping(Path("m.yaml"))[1]]


def found_by(yaml: str, snapshot: Snapshot, **more: Any) -> list[Any]:
    expectations = Expectations(expected(yaml), snapshot, NOW.timestamp(), **more)
    for frame in snapshot.read(expectations.columns, 0):
        expectations.add(expectations.look(frame))
    return list(expectations.findings())


@pytest.mark.parametrize(
    ("yaml", "column", "first", "words"),
    [
        ("not_null: a", PLANS, [3], "not_null: 1 of 4 rows have no value"),
        ("{not_null: a, allow: 25%}", PLANS, [], ""),
        ("{not_null: a, allow: 24%}", PLANS, [3], "not_null: 1 of 4 rows have no value; 24 % allowed"),
        ("{not_null: a, where: \"a <> 'pro'\"}", PLANS, [], ""),
        ("{accepted_values: {column: a, values: [free, pro]}, severity: warn}", PLANS, [2], "accepted_values: 1 of 4"),
        ("accepted_values: {column: a, values: [1, 2.0]}", pl.Series([1, 2, 3, None]), [2], "1 of 4 rows have a value"),
        ("accepted_values: {column: a, values: [1]}", pl.Series(["1", "01", "2"]), [1, 2], "2 of 3 rows"),
        ("accepted_values: {column: a, values: [true]}", pl.Series([True, False, None]), [1], "1 of 3 rows"),
        ("accepted_values: {column: a, values: [x]}", pl.Series(["x", "y"], dtype=pl.Categorical), [1], "1 of 2 rows"),
        ("range: {column: a, min: 0, max: 9.5}", pl.Series([0, 9, 10, -1, None]), [2, 3], "2 of 5 rows have a value"),
        ("range: {column: a, min: 0}", pl.Series(["5", "n/a", "-1", None]), [1, 2], "have a value outside at least 0"),
        ("range: {column: a, min: 0}", pl.Series(["5", "inf", "Infinity", "1e999"]), [1, 2, 3], "outside at least 0"),
        ("accepted_values: {column: a, values: [9007199254740993]}", pl.Series([2**53, 2**53 + 1]), [0], "1 of 2 rows"),
        ("range: {column: a, max: 1000}", pl.Series([1.5, float("nan"), 2e9]), [1, 2], "outside at most 1,000"),
        (
            "range: {column: a, min: 2024-01-31}",
            pl.Series([date(2024, 1, 30), date(2024, 1, 31)]),
            [0],
            "at least 2024",
        ),
        ("range: {column: a, max: '2024-01-31 10:00'}", pl.Series([datetime(2024, 1, 31, 11)]), [0], "at most 2024-01"),
        (
            "range: {column: a, min: 2024-01-31}",
            pl.Series(["2024-01-31", "soon", "2024-01-30T23:59Z"]),
            [1, 2],
            "at le",
        ),
        ("range: {column: a, min: B, max: D}", pl.Series(["A", "B", "C", "E"]), [0, 3], "outside B to D"),
        (
            "regex: {column: a, pattern: '[a-z]+|X'}",
            pl.Series(["ab", "a1", "X", "X\n", None]),
            [1, 3],
            "2 of 5 rows do",
        ),
        ("regex: {column: a, pattern: '[0-9]{2}'}", pl.Series([12, 123]), [1], "1 of 2 rows do not match the pattern"),
        (
            "unique: a",
            pl.Series([1, 2, 1, None, None, 1, 2]),
            [2, 5, 6],
            "unique: 3 of 7 rows repeat the key of another",
        ),
        ("{unique: a, allow: 3}", pl.Series([1, 2, 1, None, None, 1, 2]), [], ""),
        ("unique: [a, id]", pl.Series([1, 1, 1]), [], ""),
        ("{unique: a, where: id <> '0'}", pl.Series(["x", "x", "y", "x"]), [3], "unique: 1 of 3 rows"),
        ("unique: a", pl.Series(["x", "y", "x"], dtype=pl.Categorical), [2], "unique: 1 of 3 rows"),
        ("row_count: {min: 5}", PLANS, [], "row_count: 4 rows; at least 5 expected"),
        ("row_count: {min: 4, max: 4}", PLANS, [], ""),
        ("{row_count: {max: 1}, where: \"a in ('pro', 'free')\"}", PLANS, [], "2 rows; at most 1 expected (where a in"),
    ],
)
def test_the_rows_that_break_an_expectation_are_counted_and_named(
    yaml: str, column: pl.Series, first: list[int], words: str
) -> None:
    for frame_rows in (1_000, 2):
        found = found_by(yaml, held(rows({"a": column}), frame_rows))
        assert [list(each.first) for each in found] == ([first] if words else [])
        assert not words or words in found[0].words
    assert not words or found[0].severity == ("warning" if "warn" in yaml else "error")


@pytest.mark.parametrize(
    ("column", "more", "words"),
    [
        (pl.Series([NOW.replace(tzinfo=None) - timedelta(hours=23)]), "", ""),
        (pl.Series([str(int(NOW.timestamp()) - 3_600), "n/a", None]), "", ""),
        (pl.Series([f"{int(NOW.timestamp()) - 3_600}.25"]), "", ""),
        (pl.Series([f"{int(NOW.timestamp()) - 3_600}000"]), "", ""),
        (pl.Series(["20261127"]), "", "freshness: no row has a time that can be read and is not in the future"),
        (
            pl.Series([str(int(NOW.timestamp()) - 26 * 3_600)]),
            "",
            "freshness: the newest time is 2026-11-26T10:00:00Z, 26 hours ago; at",
        ),
        (
            pl.Series([NOW - timedelta(hours=26)]),
            "",
            "freshness: the newest time is 2026-11-26T10:00:00Z, 26 hours ago; at",
        ),
        (pl.Series([date(2026, 11, 20), date(2026, 11, 26)]), "", ""),  # a date lasts until its end
        (
            pl.Series([date(2026, 11, 23), None]),
            "",
            "the newest time is 2026-11-23T23:59:59Z, 3 days ago; at most 1 day exp",
        ),
        (pl.Series(["2026-11-26", "soon", None]), "", ""),
        (pl.Series(["2026-11-27T09:00:00+01:00", "2020-01-01"]), "", ""),
        (pl.Series(["26/11/2026 11:00"]), ", format: '%d/%m/%Y %H:%M'", "time is 2026-11-26T11:00:00Z, 25 hours ago"),
        (pl.Series(["26/11/2026 11:00"]), ", format: '%d/%m/%Y %H:%M', timezone: America/New_York", ""),
        (pl.Series([1_795_780_800]), "", ""),
        (pl.Series([1_795_600_800_000]), "", "the newest time is 2026-11-25T10:00:00Z, 2 days ago"),
        (pl.Series(["9999-12-31", "2026-11-20"]), "", "the newest time is 2026-11-20T23:59:59Z, 6 days ago"),
        (pl.Series(["soon", "9999-12-31"]), "", "no row has a time that can be read and is not in the future"),
        (pl.Series(["soon", None]), "", "no row has a time that can be read"),
    ],
)
def test_the_newest_time_may_be_so_old(column: pl.Series, more: str, words: str) -> None:
    found = found_by(f"freshness: {{column: a, within: 24 hours{more}}}", held(rows({"a": column})))
    assert len(found) == bool(words) and (not words or words in found[0].words)


def test_rows_that_could_not_be_read_do_not_count() -> None:
    frame = rows({"a": pl.Series([None, None, "x"])}, faults=["row_ragged", None, None])
    assert [(each.rows, list(each.first)) for each in found_by("not_null: a", held(frame))] == [(1, [1])]


def test_of_many_keys_a_part_is_kept_and_counts_are_estimated() -> None:
    keys = pl.concat([pl.Series(range(4_000)), pl.Series(range(1_000))])
    snapshot = held(rows({"a": keys}), 100)
    (exact,) = found_by("unique: a", snapshot)
    (found,) = found_by("unique: a", snapshot, most=500)
    assert (exact.rows, exact.first) == (1_000, (4_000, 4_001, 4_002))
    assert "about" in found.words and 600 < found.rows < 1_400 and len(found.first) == 3


@pytest.mark.parametrize(
    ("yaml", "data", "fault"),
    [
        (
            "not_null: plan",
            {"plann": ["x"]},
            "m.yaml:4: expect[0]: the source has no column 'plan'; did you mean 'plann'?",
        ),
        ("{not_null: a, where: b > 1}", {"a": ["x"]}, "the source has no column 'b'"),
        ("{not_null: a, where: a > 1}", {"a": ["x"]}, "m.yaml:4: expect[0].where: "),
        (
            "{not_null: a, where: cast(a as int) > 1}",
            {"a": ["secret"]},
            "m.yaml:4: expect[0]: where: cannot be computed",
        ),
        ("unique: a", {"a": [["x"]]}, "expect[0]: column 'a' holds lists of text, which cannot be compared"),
        (
            "range: {column: a, min: 1}",
            {"a": [date(2024, 1, 1)]},
            "holds dates; write the bounds as dates, as '2020",
        ),
        ("range: {column: a, min: '5'}", {"a": [10]}, "column 'a' holds whole numbers; write the bounds as numbers"),
        ("range: {column: a, min: x}", {"a": [date(2024, 1, 1)]}, "column 'a' holds dates; write the bounds as dates"),
    ],
)
def test_an_expectation_that_does_not_fit_the_columns_names_its_place(
    yaml: str, data: Mapping[str, Any], fault: str
) -> None:
    with pytest.raises(SourceError, match=re.escape(fault)) as error:
        found_by(yaml, held(rows(data)))
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("yaml", "fault"),
    [
        (
            "{severity: warn}",
            "an expectation has one of not_null:, unique:, accepted_values:, range:, regex:, row_count:",
        ),
        ("{not_null: a, unique: a}", "an expectation has one of"),
        ("not_nul: a", "expect[0].not_nul: unknown key; did you mean 'not_null'?"),
        ("range: {column: a}", "expect[0].range: write min:, max: or both"),
        ("range: {column: a, min: 9, max: 1}", "expect[0].range: min: is greater than max:"),
        ("range: {column: a, min: 2024-02-01, max: 2024-01-01}", "expect[0].range: min: is later than max:"),
        ("range: {column: a, min: 1, max: '9'}", "expect[0].range: one bound is a number and the other is text"),
        ("row_count: {min: 5, max: 1}", "expect[0].row_count: min: is greater than max:"),
        ("{row_count: {min: 1}, allow: 1%}", "row_count and freshness are about all rows together; leave allow out"),
        ("regex: {column: a, pattern: '('}", "expect[0].regex.pattern: "),
        (
            "freshness: {column: a, within: soon}",
            "expect[0].freshness.within: must be a duration, as 15 minutes, 2h or",
        ),
        ("freshness: {column: a, within: 1 day, timezone: Mars}", "expect[0].freshness.timezone: no such time zone"),
        ("freshness: {column: a, within: 1 day, format: '%s'}", "expect[0].freshness.format: "),
        ("accepted_values: {column: a, values: [null]}", "null is always accepted, see not_null"),
        ("{not_null: a, where: 'count(*) > 1'}", "expect[0].where: "),
        ("{not_null: a, allow: some}", "expect[0].allow: must be a share, as 1%, or a whole number"),
        ("{not_null: a, severity: notice}", "expect[0].severity: must be 'error' or 'warn'"),
    ],
)
def test_a_malformed_expectation_is_reported_at_its_line(yaml: str, fault: str) -> None:
    found = problems(yaml)
    assert found and all(problem.startswith("m.yaml:4: expect[0]") for problem in found)
    assert any(fault in problem for problem in found), found


def test_findings_of_severity_error_come_first() -> None:
    kinds: tuple[Literal["notice", "error", "warning"], ...] = ("notice", "error", "warning")
    found = with_places([PositionedFinding("c", kind, None, 1, "") for kind in kinds], lambda rows: {})
    assert [each.severity for each in found] == ["error", "warning", "notice"]
