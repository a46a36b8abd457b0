"""Rows become items, rejects or skipped rows as their mapping says, each row once and in its position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cio_etl.errors import SourceError
from cio_etl.model import FAULT, POSITION, Column, Columns, Constant, Mapping
from cio_etl.transform import ITEMS_SCHEMA, collect_facts, compile_mapping
from cio_etl.transform.functions import parse_call
from cio_etl.transform.nested import in_words
from tests.mapped_rows import Outcome, attributes, column, mapped, mapping, outcomes, rows, sent


def refusal(mapping: Mapping, frame: pl.DataFrame) -> str:
    """What the mapping's author is told before the first row."""
    with pytest.raises(SourceError) as refused:
        mapped(mapping, frame)
    assert refused.value.exit_code == 65
    return str(refused.value)


# ---------------------------------------------------------------- shape


def test_an_identify_has_type_action_identifiers_and_attributes() -> None:
    how = mapping(attributes={"plan": column("p", "trim", "lower"), "source": Constant("shop"), "n": Column("n")})
    assert outcomes(how, rows({"id": ["7"], "p": [" PRO "], "n": [3]})) == [
        {
            "type": "person",
            "action": "identify",
            "identifiers": {"id": "7"},
            "attributes": {"plan": "pro", "source": "shop", "n": 3},
        }
    ]


def test_an_identify_may_say_when_it_was() -> None:
    (made,) = outcomes(mapping(timestamp=Column("at")), rows({"at": [1_710_061_200]}))
    assert isinstance(made, dict)
    assert made["timestamp"] == 1_710_061_200 and "id" not in made and "name" not in made


def test_an_event_has_a_name_an_id_and_its_time() -> None:
    how = mapping("track", event=Column("what"), timestamp=column("at", "timestamp"), event_key=("k",))
    (made,) = outcomes(how, rows({"id": ["7"], "what": ["seen"], "at": ["2024-03-10T09:00:00Z"], "k": [1]}))
    assert isinstance(made, dict)
    assert len(made.pop("id")) == 26
    assert made == {
        "type": "person",
        "action": "event",
        "identifiers": {"id": "7"},
        "name": "seen",
        "timestamp": 1_710_061_200,
        "attributes": {},
    }


def test_who_what_and_when_may_be_the_same_for_every_row() -> None:
    how = mapping("track", identifiers={"id": Constant(7)}, event=Constant("x"), timestamp=Constant(5), attributes={})
    for made in outcomes(how, rows({"a": [1, 2]})):
        assert isinstance(made, dict)
        assert (made["identifiers"], made["name"], made["timestamp"]) == ({"id": "7"}, "x", 5)


def test_a_column_may_go_to_several_places() -> None:
    how = mapping(identifiers={"email": Column("m")}, attributes={"email": Column("m"), "M": column("m", "upper")})
    assert sent(how, rows({"m": ["a@b.co"]})) == [{"email": "a@b.co", "M": "A@B.CO"}]


OWN_NAMES = ["event", "timestamp", "item", "lane", "position", "reason", "field", "_digest", "_ulid", "_key.0", "made"]
ODD_NAMES = [
    "a.b",
    "a b",
    "^x$",
    "^.*$",
    "*",
    "",
    '"',
    "'",
    "\\",
    "{}",
    "é",
    "identifiers.id",
    "attributes.x",
    "0",
    "\n",
]


@pytest.mark.parametrize("name", [*OWN_NAMES, *ODD_NAMES])
def test_any_column_may_have_any_name_anywhere_in_a_mapping(name: str) -> None:
    data = {"x": ["X", "Y"], name: ["v", "w"], "n": ["1710061200", "0"]}
    assert sent(mapping(attributes={name: Column(name), "again": column(name, "upper")}), rows(data)) == [
        {name: "v", "again": "V"},
        {name: "w", "again": "W"},
    ]
    times = {"x": ["X", "Y"], name: ["1710061200123", "0"]}
    how = mapping("track", identifiers={"id": Column(name)}, event=Column(name), timestamp=column(name, "timestamp"))
    for made, text, second in zip(outcomes(how, rows(times)), times[name], [1_710_061_200, 0], strict=True):
        assert isinstance(made, dict)
        assert (made["identifiers"], made["name"], made["timestamp"]) == ({"id": text}, text, second)
    by_key = mapped(mapping("track", event_key=(name,)), rows(data))["item"].str.extract('"id":"([A-Z0-9]{26})"')
    plain = mapped(mapping("track", event_key=("k",)), rows({"k": ["v", "w"]}))["item"].str.extract(
        '"id":"([A-Z0-9]{26})"'
    )
    assert by_key.to_list() == plain.to_list()


@pytest.mark.parametrize("name", [name for name in (*OWN_NAMES, *ODD_NAMES) if name not in ("^x$", "^.*$", "*")])
def test_a_condition_may_name_any_column_in_quotes(name: str) -> None:
    condition = "\"{}\" = 'v'".format(name.replace('"', '""'))
    assert sent(mapping(when=condition), rows({"x": ["v", "v"], name: ["v", "w"]})) == [{}, "skipped"]


def test_only_the_columns_that_a_mapping_names_are_read() -> None:
    how = mapping(
        "track",
        event=Column("e"),
        timestamp=Column("t"),
        event_key=("k", "a"),
        attributes=attributes(x="a", y="b", z=Constant(1)),
        when="w > 1 and b is not null",
    )
    schema = pl.Schema(
        {"id": pl.String, "e": pl.String, "t": pl.Int64, "a": pl.Int64, "b": pl.Int64, "k": pl.Int64, "w": pl.Int64}
    )
    assert compile_mapping(how, schema, {}, "f", 4).columns == ("id", "e", "t", "a", "b", "k", "w")


# ---------------------------------------------------------------- every row once, in its place


@given(
    st.lists(
        st.tuples(st.sampled_from(["in", "out", None]), st.sampled_from(["7", "x", None]), st.booleans()), max_size=12
    ),
    st.integers(1, 5),
)
@settings(max_examples=100, deadline=None)
def test_every_row_is_sent_rejected_or_skipped_in_its_place_however_the_frames_are_cut(
    drawn: list[tuple[str | None, str | None, bool]], frame_rows: int
) -> None:
    how = mapping(attributes={"n": column("n", {"cast": "integer"})}, when="w = 'in'")
    frame = rows(
        {
            "id": pl.Series([str(place) for place in range(len(drawn))], dtype=pl.String),
            "w": pl.Series([w for w, _, _ in drawn], dtype=pl.String),
            "n": pl.Series([n for _, n, _ in drawn], dtype=pl.String),
        },
        faults=["row_ragged" if bad else None for _, _, bad in drawn],
    )
    cut = [frame[start : start + frame_rows] for start in range(0, max(len(drawn), 1), frame_rows)]
    made = mapped(how, *cut)
    assert made.schema == ITEMS_SCHEMA
    assert made["position"].to_list() == list(range(len(drawn)))
    assert made.equals(mapped(how, frame))

    def expected(w: str | None, n: str | None, bad: bool) -> Outcome:
        if bad:
            return ("row_ragged", None)
        if w != "in":
            return "skipped"
        return ("cast_failed", "attributes.n") if n == "x" else {} if n is None else {"n": 7}

    assert sent(how, *cut) == [expected(*row) for row in drawn]


@pytest.mark.parametrize("kept", [[1], [2], [0, 2], [1, 2]], ids=repr)
def test_rows_are_mapped_when_a_filter_has_left_none_of_some_row_groups(kept: list[int]) -> None:
    groups = pl.concat([rows({"a": [f"{group}.0", f"{group}.1"]}) for group in range(3)], rechunk=False)
    frame = groups.with_columns(pl.Series(POSITION, range(6), dtype=pl.Int64))  # as sources number their rows
    here = pl.Series([row // 2 in kept for row in range(6)])
    assert frame.filter(here)["a"].n_chunks() == 3
    made = [{"a": f"{group}.{row}"} for group in kept for row in range(2)]
    assert sent(mapping(attributes=attributes(a="a")), frame.filter(here)) == made


@pytest.mark.parametrize("operation", ["identify", "track"])
def test_no_rows_make_no_items(operation: str) -> None:
    frame = rows({"id": pl.Series([], dtype=pl.String), "a": pl.Series([], dtype=pl.Int64)})
    for when in (None, "a > 1"):
        made = mapped(mapping(operation, attributes=attributes(a="a"), when=when), frame)
        assert made.schema == ITEMS_SCHEMA and made.is_empty()


# ---------------------------------------------------------------- when


def test_a_row_for_which_the_condition_is_not_true_is_skipped_whatever_else_is_wrong_with_it() -> None:
    data = {"id": ["1", None, "3", None], "keep": [True, False, None, True]}
    assert sent(mapping(when="keep"), rows(data)) == [
        {},
        "skipped",
        "skipped",
        ("identifier_missing", "identifiers.id"),
    ]


@pytest.mark.fault("S5", "S7")
def test_a_row_with_a_fault_is_rejected_though_the_condition_would_skip_it() -> None:
    data = {"id": [None, None, "3", "4"], "keep": [None, False, False, True]}
    made = sent(mapping(when="keep"), rows(data, faults=["row_ragged", "row_nul", None, None]))
    assert made == [("row_ragged", None), ("row_nul", None), "skipped", {}]


@pytest.mark.parametrize("condition", ["true", "1 = 1", "id is not null or id is null", "length(id) < 9"])
def test_a_condition_may_hold_for_every_row(condition: str) -> None:
    assert sent(mapping(when=condition), rows({"id": ["1", "2"]})) == [{}, {}]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (
            "n > 5",
            "it does not fit the types of 'n' (text); make a number or a date of text: try_cast(quantity as int) > 5, "
            "date(placed_at, '%Y-%m-%d')",
        ),
        (
            "day > '2024-03-10'",
            "it does not fit the types of 'day' (dates); cast a column to the type it needs",
        ),
        ("n", "it makes text, and must be true or false"),
        ("length(n)", "it makes whole numbers, and must be true or false"),
    ],
)
def test_a_condition_that_does_not_fit_the_columns_is_refused_before_any_row(condition: str, message: str) -> None:
    frame = rows({"n": ["1"], "day": [date(2024, 3, 10)]})
    assert refusal(mapping(when=condition), frame) == f"m.yaml: when: {message}"


def test_a_condition_that_fails_for_a_row_stops_without_telling_its_value() -> None:
    frame = rows({"n": ["7", "secret", None]})
    assert refusal(mapping(when="cast(n as int) > 5"), frame) == (
        "m.yaml: when: it cannot be computed for some row; write try_cast for cast, and such a row is skipped"
    )
    assert sent(mapping(when="try_cast(n as int) > 5"), frame) == [{}, "skipped", "skipped"]


# ---------------------------------------------------------------- conversions


@pytest.mark.parametrize(
    ("calls", "value", "reason"),
    [
        ([{"cast": "integer"}], "x", "cast_failed"),
        (["trim", {"divide": 100}], "x", "not_a_number"),
        ([{"map": {"p": "pro"}}], "x", "map_unmatched"),
        (["trim", "timestamp"], "10/03/2024", "timestamp_unreadable"),
        (["json"], "{", "json_unreadable"),
        (["slug"], "!", "slug_empty"),
    ],
)
def test_a_conversion_that_would_lose_a_value_rejects_the_row_with_its_reason(
    calls: list[object], value: str, reason: str
) -> None:
    how = mapping(attributes={"a": column("c", *calls)})
    assert sent(how, rows({"c": pl.Series([value, None], dtype=pl.String)})) == [(reason, "attributes.a"), {}]


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"identifiers": {"id": column("c", {"cast": "integer"})}}, "identifiers.id"),
        ({"event": column("c", {"map": {"7": "seen"}})}, "event"),
        ({"timestamp": column("c", {"timestamp": {"unit": "s"}})}, "timestamp"),
        ({"attributes": {"a.b": column("c", {"cast": "integer"})}}, "attributes.a.b"),
    ],
)
def test_the_field_of_a_failed_conversion_is_its_target(parts: dict[str, Any], field: str) -> None:
    first, second = outcomes(mapping("track", **parts), rows({"c": ["x", "7"]}))
    assert isinstance(second, dict)
    assert first[1] == field  # type: ignore[index]


def test_the_first_thing_that_is_wrong_with_a_row_is_its_reason() -> None:
    how = mapping(
        "track",
        event=Column("e"),
        timestamp=column("t", "timestamp"),
        event_key=("k",),
        attributes={
            "n": column("n", "trim", {"cast": "integer"}),
            "m": column("m", {"cast": "integer"}),
            "f": Column("f"),
        },
    )
    nan = float("nan")
    data = {
        "id": [None, None, None, None, None, "1", "1", "1"],
        "e": [None] * 6 + ["e", "e"],
        "t": ["x", "x", "2024-03-10", None, "2024-03-10", "2024-03-10", None, "1969-01-01"],
        "k": [None] * 7 + ["k"],
        "n": ["x", "x", "x", "1", "1", "1", "1", "1"],
        "m": ["x", "x", "1", "x", "1", "1", "1", "1"],
        "f": [nan] * 8,
    }
    made = sent(how, rows(data, faults=["row_nul", *[None] * 7]))
    assert made == [
        ("row_nul", None),
        ("timestamp_unreadable", "timestamp"),  # the first functions of every value come before the second ones
        ("cast_failed", "attributes.n"),
        ("cast_failed", "attributes.m"),
        ("identifier_missing", "identifiers.id"),
        ("event_name_missing", "event"),
        ("timestamp_missing", "timestamp"),
        ("timestamp_out_of_range", "timestamp"),
    ]


def test_a_null_that_a_default_fills_is_no_failed_conversion() -> None:
    how = mapping(attributes={"n": column("n", {"default": "0"}, {"cast": "integer"})})
    assert sent(how, rows({"n": [None, "x", "7"]})) == [{"n": 0}, ("cast_failed", "attributes.n"), {"n": 7}]


def test_a_null_that_was_asked_for_rejects_no_row_and_another_one_does() -> None:
    how = mapping(attributes={"t": column("t", {"null_if": ["0000-00-00", "9999-12-31"]}, "timestamp")})
    texts = ["0000-00-00", "9999-12-31", "2024-03-10", "0000-00-01", None]
    seen = [{}, {}, {"t": 1710028800}, ("timestamp_unreadable", "attributes.t"), {}]
    assert sent(how, rows({"t": texts})) == seen


# ---------------------------------------------------------------- refused before the first row


@pytest.mark.fault("S18")
def test_missing_columns_are_all_named_before_anything_else() -> None:
    how = mapping(
        "track",
        attributes=attributes(a="plan", b="other"),
        event_key=("k",),
        when="w = 1",
        timestamp=column("t", "timestamp"),
    )
    frame = rows({"id": ["1"], "t": [1], "*": [1]})
    message = "m.yaml: the source has no column 'plan', 'other', 'k', 'w'; it has 'id', 't', '*'"
    assert refusal(how, frame) == message
    with pytest.raises(SourceError) as refused:
        compile_mapping(how, frame.drop(POSITION, FAULT).schema, {}, "f", 4)
    assert str(refused.value) == message
    assert refused.value.remedy == "fix the mapping, or the source"


def test_a_missing_column_of_a_condition_may_be_a_text_without_single_quotes() -> None:
    frame = rows({"id": ["1"], "plan": ["pro"]})
    with pytest.raises(SourceError) as refused:
        compile_mapping(mapping(when='plan = "pro"'), frame.drop(POSITION, FAULT).schema, {}, "f", 4)
    assert str(refused.value) == "m.yaml: the source has no column 'pro'; it has 'id', 'plan'"
    assert refused.value.remedy.endswith("; a text in `when` has single quotes, as plan = 'pro'")


NOT_SECONDS = "it must be Unix seconds: put `apply: [timestamp]`"


@pytest.mark.fault("S18")
@pytest.mark.parametrize("target", ["timestamp", "attributes.created_at"])
@pytest.mark.parametrize(
    "values", [["1710061200"], [1710061200.0], [Decimal("1710061200.5")], [Decimal("1.5e30")], [True], [[1]]], ids=repr
)
def test_a_time_that_is_not_whole_seconds_or_a_date_is_refused(target: str, values: list[Any]) -> None:
    how = mapping(timestamp=Column("c")) if target == "timestamp" else mapping(attributes=attributes(created_at="c"))
    assert refusal(how, rows({"c": values})) == f"m.yaml: {target}: column 'c': {NOT_SECONDS}"


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ([1710061200], 1710061200),
        (pl.Series([1710061200], dtype=pl.UInt32), 1710061200),
        ([date(2024, 3, 10)], 1710028800),
        ([datetime(2024, 3, 10, 9, 0, 0, 999_999)], 1710061200),
        ([datetime(2024, 3, 10, 9, 0, tzinfo=UTC)], 1710061200),
    ],
)
def test_whole_numbers_dates_and_times_are_times_without_a_function(values: Any, seconds: int) -> None:
    (made,) = outcomes(
        mapping("track", timestamp=Column("c"), attributes=attributes(created_at="c")), rows({"c": values})
    )
    assert isinstance(made, dict)
    assert made["timestamp"] == seconds and made["attributes"] == {"created_at": seconds}


@pytest.mark.parametrize("operation", ["identify", "track"])
@pytest.mark.parametrize(
    ("calls", "made"),
    [
        ([{"divide": 86_400}], [19791, -1]),
        ([{"multiply": 1000}], [1709942400000, -86400000]),
        ([{"cast": "text"}], ["1709942400", "-86400"]),
        ([{"cast": "number"}, {"cast": "text"}, {"substring": {"length": 3}}], ["170", "-86"]),
        ([{"template": "at {}"}], ["at 1709942400", "at -86400"]),
        ([{"map": {"values": {1709942400: "then"}, "default": "else"}}], ["then", "else"]),
    ],
    ids=repr,
)
def test_what_a_function_makes_of_a_time_is_no_time_and_not_bound_to_its_years(
    operation: str, calls: list[Any], made: list[Any]
) -> None:
    days = rows({"c": ["2024-03-09", "1969-12-31"]})
    assert sent(mapping(operation, attributes=attributes(a=column("c", "timestamp", *calls))), days) == [
        {"a": one} for one in made
    ]


@pytest.mark.parametrize("calls", [[{"default": 0}], [{"null_if": 7}], ["round"], [{"cast": "integer"}]], ids=repr)
def test_a_time_remains_one_after_a_function_that_leaves_it_what_it_is(calls: list[Any]) -> None:
    days = rows({"c": ["1899-12-31"]})
    assert sent(mapping(attributes=attributes(a=column("c", "timestamp", *calls))), days) == [
        ("timestamp_out_of_range", "attributes.a")
    ]


@pytest.mark.fault("S13", "S18")
@pytest.mark.parametrize(
    ("values", "holds", "advice"),
    [
        ([1.0], "numbers", ": put `apply: [{cast: text}]`"),
        ([Decimal("7")], "decimal numbers", ": put `apply: [{cast: text}]`"),
        ([True], "true or false", ": put `apply: [{cast: text}]`"),
        ([[1]], "lists of whole numbers", ""),
        ([date(2024, 3, 10)], "dates", ": put `apply: [{cast: text}]`"),
        ([b"a"], "bytes", ": put `apply: [decode]`"),
    ],
)
@pytest.mark.parametrize("target", ["identifiers.id", "event"])
def test_who_and_what_must_be_text_or_whole_numbers(target: str, values: list[Any], holds: str, advice: str) -> None:
    how = mapping("track", **({"event": Column("c")} if target == "event" else {"identifiers": {"id": Column("c")}}))
    assert (
        refusal(how, rows({"c": values}))
        == f"m.yaml: {target}: column 'c': it holds {holds}, and must be text or whole numbers{advice}"
    )


@pytest.mark.fault("S13")
@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([2**53 + 1, -5, 0], [str(2**53 + 1), "-5", "0"]),
        (["00042", "1e3", "7"], ["00042", "1e3", "7"]),
        (pl.Series([2**64 - 1, 1, 2], dtype=pl.UInt64), [str(2**64 - 1), "1", "2"]),
        (pl.Series(["a", "b", "c"], dtype=pl.Categorical), ["a", "b", "c"]),
    ],
)
def test_whole_numbers_and_categories_become_the_text_of_an_identifier(values: Any, texts: list[str]) -> None:
    made = outcomes(mapping(identifiers={"id": Column("c")}), rows({"c": values}))
    assert [one["identifiers"]["id"] for one in made if isinstance(one, dict)] == texts


def test_a_function_that_cannot_read_a_column_is_refused_with_the_place() -> None:
    how = mapping(attributes={"plan": column("n", "trim")})
    assert refusal(how, rows({"n": [1]})) == (
        "m.yaml: attributes.plan: column 'n': trim needs text; the column holds whole numbers: "
        "put `cast: text` before it"
    )


@pytest.mark.parametrize("values", [[[1]], [{"a": 1}], [b"x"]], ids=repr)
def test_an_event_key_that_has_no_text_of_its_own_is_refused(values: list[Any]) -> None:
    holds = in_words(pl.Series(values).dtype)
    assert refusal(mapping("track", event_key=("id", "k")), rows({"k": values})) == (
        f"m.yaml: event_key: column 'k': it holds {holds}, and a key is text, numbers or dates"
    )


# ---------------------------------------------------------------- what must be known of the whole column


def test_evidence_is_gathered_over_every_frame_and_not_one_by_one() -> None:
    how = mapping(attributes={"at": column("t", "timestamp")})
    small, large = rows({"t": ["0", None]}), rows({"t": ["1710061200123"]}, start=2)
    assert sent(how, small, large) == [{"at": 0}, {}, {"at": 1_710_061_200}]
    only_seconds = rows({"t": ["1710061200"]}, start=2)
    assert refusal(how, pl.concat([large, only_seconds])) == (
        "m.yaml: attributes.at: column 't': timestamp: some numbers look like seconds and milliseconds; "
        "put `unit:` (s, ms, us, ns)"
    )


def test_a_doubt_that_only_two_frames_together_raise_is_refused() -> None:
    how = mapping("track", timestamp=column("t", "timestamp"))
    frames = [rows({"t": [1_710_061_200]}), rows({"t": [1_710_061_200_123]}, start=1)]
    with pytest.raises(
        SourceError, match=r"^m\.yaml: timestamp: column 't': timestamp: some numbers look like seconds and mill"
    ):
        collect_facts(how, frames[0].drop(POSITION, FAULT).schema, lambda columns: frames)
    for frame in frames:
        (made,) = outcomes(how, frame)
        assert isinstance(made, dict) and made["timestamp"] == 1_710_061_200


def test_evidence_is_of_the_value_as_the_functions_before_left_it() -> None:
    how = mapping(attributes={"at": column("t", "trim", {"replace": {"old": "_", "new": ""}}, "timestamp")})
    assert sent(how, rows({"t": [" 1710_061_200_123 ", "\t0", "x"]})) == [
        {"at": 1_710_061_200},
        {"at": 0},
        ("timestamp_unreadable", "attributes.at"),
    ]


def test_each_value_has_evidence_of_its_own_though_the_column_is_the_same() -> None:
    how = mapping(
        "track",
        timestamp=column("t", {"timestamp": {"unit": "ms"}}),
        attributes={"t": column("t", {"timestamp": {"unit": "s"}})},
    )
    (made,) = outcomes(how, rows({"t": ["1710061200"]}))
    assert isinstance(made, dict)
    assert made["timestamp"] == 1_710_061 and made["attributes"] == {"t": 1_710_061_200}


def test_two_functions_of_one_chain_may_each_ask_the_second_about_what_the_first_made() -> None:
    how = mapping(attributes={"at": column("t", "timestamp", {"multiply": 1000}, "timestamp")})
    asked: list[list[str]] = []
    frame = rows({"t": ["2024-03-10T09:00:00Z", "2024-03-10T10:00:00Z"]})

    def read(columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        asked.append([*columns])
        yield frame

    known = collect_facts(how, frame.drop(POSITION, FAULT).schema, read)
    assert asked == [["t"], ["t"]]
    assert [known["attributes.at", place].unit for place in (0, 2)] == ["s", "ms"]
    assert sent(how, frame) == [{"at": 1_710_061_200}, {"at": 1_710_064_800}]


def test_a_missing_column_is_reported_with_its_line_and_the_column_that_may_be_meant() -> None:
    how = replace(mapping(attributes={"plan": column("plan")}), places={"attributes.plan": "m.yaml:7"})
    with pytest.raises(SourceError) as caught:
        collect_facts(how, pl.Schema({"id": pl.String, "Plan": pl.String, "ann@x.org": pl.String}), lambda columns: [])
    assert str(caught.value) == (
        "m.yaml:7: the source has no column 'plan'; did you mean 'Plan'? It has 'id', 'Plan', '…@…'"
    )


def test_the_source_is_not_read_when_nothing_must_be_known() -> None:
    def read(columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        raise AssertionError("it was read")

    how = mapping(attributes={"a": column("a", "trim"), "d": column("d", "timestamp")}, when="a = 'x'")
    known = collect_facts(how, pl.Schema({"id": pl.String, "a": pl.String, "d": pl.Date}), read)
    assert [*known] == [("attributes.d", 0)]


def test_a_column_that_is_missing_is_told_before_the_source_is_read() -> None:
    how = mapping(attributes={"a": column("gone", "timestamp")})
    with pytest.raises(SourceError, match=r"^m\.yaml: the source has no column 'gone'; it has 'id'$"):
        collect_facts(how, pl.Schema({"id": pl.String}), lambda columns: [])


# ---------------------------------------------------------------- nulls that are meant


def test_a_null_that_is_meant_rejects_nothing_and_one_that_is_not_does() -> None:
    document = column("doc", {"pick": "plan"})
    values = ['{"plan": "pro"}', '{"plan": null}', "{}", "plan=pro", None]
    assert sent(mapping(attributes=attributes(plan=document)), rows({"doc": values})) == [
        {"plan": "pro"},
        {},
        {},
        ("json_unreadable", "attributes.plan"),
        {},
    ]


def test_a_meant_null_goes_on_as_a_null_and_a_default_fills_it() -> None:
    known = column("plan", {"null_if": ["N/A", "-"]}, "upper", {"default": "FREE"})
    assert sent(mapping(attributes=attributes(plan=known)), rows({"plan": ["pro", "N/A", "-", None]})) == [
        {"plan": plan} for plan in ("PRO", "FREE", "FREE", "FREE")
    ]


def test_a_meant_null_is_told_by_the_value_as_the_functions_before_left_it() -> None:
    """The second function of a chain asks of what the first one made, not of the column."""
    chain = column("doc", "trim", {"pick": "a"}, {"pick": "b"})
    values = [' {"a": {"b": 1}} ', ' {"a": {}}', ' {"a": "x"}', " {}"]
    assert sent(mapping(attributes=attributes(v=chain)), rows({"doc": values})) == [
        {"v": 1},
        {},
        ("json_unreadable", "attributes.v"),
        {},
    ]


def test_an_identifier_that_is_meant_to_be_null_is_missing_all_the_same() -> None:
    who = {"id": column("id", {"null_if": "0"})}
    assert outcomes(mapping(identifiers=who), rows({"id": ["0"]})) == [("identifier_missing", "identifiers.id")]


@pytest.mark.parametrize(
    ("calls", "made"),
    [
        (["coalesce"], ["a", "b", None, "A"]),
        ([{"concat": "-"}, "upper"], ["A", "B", None, "A-B"]),
        ([{"template": "{*}{^x$}"}], [None, None, None, "Ab"]),
        ([{"template": {"template": "{*}{^x$}", "null_text": "?"}}], ["a?", "?b", "??", "Ab"]),
        (["coalesce", {"default": "none"}], ["a", "b", "none", "A"]),
    ],
)
def test_several_columns_make_one_value_whatever_they_are_called(calls: list[Any], made: list[str | None]) -> None:
    value = Columns(("*", "^x$"), tuple(parse_call(call) for call in calls))
    frame = rows({"*": ["a", None, None, "A"], "^x$": [None, "b", None, "b"]})
    expected = [{} if text is None else {"v": text} for text in made]
    assert sent(mapping(attributes=attributes(v=value)), frame) == expected


def test_sql_makes_a_value_a_null_or_a_reject_of_a_row() -> None:
    value = Columns(("n", "t"), (parse_call({"expr": "coalesce(t, 'no') || cast(n as int)"}),))
    frame = rows({"n": ["1", "x", None, "4"], "t": ["a", "b", None, None]})
    assert sent(mapping(attributes=attributes(v=value)), frame) == [
        {"v": "a1"},
        ("expr_failed", "attributes.v"),
        {},
        {"v": "no4"},
    ]


def test_sql_of_a_row_without_values_is_worked_out_too() -> None:
    value = Columns(("t",), (parse_call({"expr": "coalesce(t, 'none')"}),))
    assert sent(mapping(attributes=attributes(v=value)), rows({"t": ["a", None]})) == [{"v": "a"}, {"v": "none"}]


def test_a_struct_column_of_the_source_is_several_columns() -> None:
    name = column("name", {"concat": " "})
    names = [{"first": "Ada", "last": "L"}, {"first": None, "last": None}, None]
    assert sent(mapping(attributes=attributes(name=name)), rows({"name": names})) == [{"name": "Ada L"}, {}, {}]


@pytest.mark.parametrize("name", ["email", "phone"])
@pytest.mark.parametrize(
    "values", [[["a@b.co"]], [{"x": 1}], [True], [1.5]], ids=["list", "record", "boolean", "float"]
)
def test_the_email_and_phone_of_a_person_are_refused_unless_they_are_text(name: str, values: list[Any]) -> None:
    with pytest.raises(SourceError, match=f"attributes.{name}: column 'a': it holds .*, and must be text"):
        outcomes(mapping(attributes={name: column("a")}), rows({"a": values}))
    assert isinstance(outcomes(mapping("track", attributes={name: column("a")}), rows({"a": values}))[0], dict)
