"""Every rule for a value holds for what is nested in it, for every type.

The expected outcome comes from a model in Python, which shares no code with the program.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cio_etl.errors import SourceError
from cio_etl.transform.nested import anywhere, in_words
from tests.mapped_rows import attributes, column, mapped, mapping, outcomes, rows, sent, texts

ONE = mapping(attributes=attributes(a="a"))
FAR, NOT_FINITE = ("timestamp_out_of_range", "attributes.a"), ("number_not_finite", "attributes.a")


class NoForm(Exception):
    """The model: a type that cannot be sent."""


class Refused(Exception):
    """The model: a value that rejects its row."""


@dataclass(frozen=True)
class Kind:
    """A type, the values that it is tried with, and the model of what is sent for a value that is not null."""

    dtype: pl.DataType
    values: st.SearchStrategy[Any]
    model: Callable[[Any], Any]
    has_form: bool = True


def _time(per_second: int) -> Callable[[int], int]:
    def model(count: int) -> int:
        seconds = count // per_second
        if not datetime(1900, 1, 1, tzinfo=UTC).timestamp() <= seconds <= datetime(2200, 1, 1, tzinfo=UTC).timestamp():
            raise Refused(FAR)
        return seconds

    return model


def _float(number: float) -> Decimal:
    if number != number or number in (float("inf"), float("-inf")):
        raise Refused(NOT_FINITE)
    return Decimal(repr(number))


SIXTY_FOUR = st.integers(-(2**63), 2**63 - 1)
SECONDS = st.integers(-(10**9), 5 * 10**9)
DAYS = st.integers(-(2**31), 2**31 - 1) | st.integers(-25_000, 80_000)


def _count(per_second: int, seconds: int) -> int:
    return seconds * per_second + 1


_UNITS: dict[Any, int] = {"ms": 10**3, "us": 10**6, "ns": 10**9}
LEAVES: list[Kind] = [
    Kind(pl.String(), st.text(max_size=4), str),
    Kind(pl.Int64(), SIXTY_FOUR, int),
    Kind(pl.UInt64(), st.integers(0, 2**64 - 1), int),
    Kind(pl.Int8(), st.integers(-128, 127), int),
    Kind(pl.Float64(), st.floats(), _float),
    Kind(pl.Boolean(), st.booleans(), bool),
    Kind(pl.Null(), st.none(), lambda value: value),
    Kind(pl.Decimal(38, 4), st.integers(-(10**37), 10**37).map(lambda n: Decimal(n).scaleb(-4)), lambda value: value),
    Kind(pl.Date(), DAYS, lambda day: _time(1)(day * 86_400)),
    Kind(pl.Categorical(), st.sampled_from("ab"), str),
    *(
        Kind(
            pl.Datetime(unit, zone),
            SIXTY_FOUR | SECONDS.map(partial(_count, per)),
            _time(per),
        )
        for unit, per in _UNITS.items()
        for zone in (None, "Europe/Paris")
    ),
]
WITHOUT_FORM = [
    Kind(pl.Binary(), st.binary(max_size=2), repr, has_form=False),
    Kind(pl.Duration("us"), SIXTY_FOUR, repr, has_form=False),
    Kind(pl.Time(), st.integers(0, 86_399 * 10**9), repr, has_form=False),
]


def _nullable(kind: Kind) -> st.SearchStrategy[Any]:
    return st.none() | kind.values


def _or_null(kind: Kind, value: Any) -> Any:
    return None if value is None else kind.model(value)


def _list(inner: Kind) -> Kind:
    return Kind(
        pl.List(inner.dtype),
        st.lists(_nullable(inner), max_size=3),
        lambda values: [_or_null(inner, value) for value in values],
        inner.has_form,
    )


def _array(inner: Kind) -> Kind:
    return Kind(
        pl.Array(inner.dtype, 2),
        st.lists(_nullable(inner), min_size=2, max_size=2),
        lambda values: [_or_null(inner, value) for value in values],
        inner.has_form,
    )


def _record(inners: list[Kind]) -> Kind:
    names = [f"f{place}" for place in range(len(inners))]
    return Kind(
        pl.Struct(dict(zip(names, (inner.dtype for inner in inners), strict=True))),
        st.fixed_dictionaries({name: _nullable(inner) for name, inner in zip(names, inners, strict=True)}),
        lambda record: {name: _or_null(inner, record[name]) for name, inner in zip(names, inners, strict=True)},
        all(inner.has_form for inner in inners),
    )


def _map(pair: tuple[Kind, Kind]) -> Kind:
    key, inner = pair
    return Kind(
        pl.Map(key.dtype, inner.dtype),
        st.dictionaries(key.values, _nullable(inner), max_size=3),
        lambda entries: {_key(key, name): _or_null(inner, value) for name, value in entries.items()},
        inner.has_form,
    )


def _key(kind: Kind, key: Any) -> str:
    text = json.dumps(kind.model(key)) if isinstance(key, bool | int) else str(key)
    if not isinstance(kind.dtype, pl.Date):
        return text
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=key)).date().isoformat()


KEYS = [kind for kind in LEAVES if isinstance(kind.dtype, pl.String | pl.Int64 | pl.UInt64 | pl.Boolean | pl.Date)]
# polars builds an Array of records with a Map in them as nulls, and panics at an Array of Categoricals in a record.


def _nested(inner: st.SearchStrategy[Kind]) -> st.SearchStrategy[Kind]:
    flat = inner.filter(lambda kind: "Map" not in str(kind.dtype) and "Categorical" not in str(kind.dtype))
    return (
        inner.map(_list)
        | flat.map(_array)
        | st.lists(inner, min_size=1, max_size=3).map(_record)
        | st.tuples(st.sampled_from(KEYS), inner).map(_map)
    )


KINDS = st.recursive(st.sampled_from(LEAVES), _nested, max_leaves=6)


def _canonical(value: Any) -> Any:
    """Numbers by their digits, so that 1, 1.0 and true differ where JSON has them differ."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return [_canonical(one) for one in value]
    if isinstance(value, dict):
        return {name: _canonical(one) for name, one in value.items()}
    return ("number", Decimal(value))


def _expected(kind: Kind, value: Any) -> Any:
    """What the model says of a row: its attributes, or the reason and the field of its reject."""
    try:
        return {} if value is None else {"a": _canonical(kind.model(value))}
    except Refused as refused:
        return refused.args[0]


def _outcomes(dtype: pl.DataType, values: list[Any]) -> list[Any]:
    frame = mapped(ONE, rows({"a": pl.Series(values, dtype=dtype)}))
    return [
        (reason, field)
        if item is None
        else _canonical(json.loads(item[:-1], parse_float=Decimal, parse_int=Decimal)["attributes"])
        for item, reason, field in frame.select("item", "reason", "field").iter_rows()
    ]


@given(st.data())
@settings(max_examples=250, deadline=None)
def test_any_nested_value_is_sent_or_rejected_as_the_model_says(data: st.DataObject) -> None:
    kind = data.draw(KINDS)
    values = data.draw(st.lists(_nullable(kind), min_size=1, max_size=4))
    assert _outcomes(kind.dtype, values) == [_either(kind, value) for value in values]


class _Either:
    """A value with both faults is rejected for one of them."""

    def __init__(self, outcomes: set[Any]) -> None:
        self.outcomes = outcomes

    def __eq__(self, other: object) -> bool:
        return other in self.outcomes

    def __repr__(self) -> str:
        return f"one of {self.outcomes}"

    __hash__ = None  # type: ignore[assignment]


def _either(kind: Kind, value: Any) -> Any:
    expected = _expected(kind, value)
    return _Either({FAR, NOT_FINITE}) if expected in (FAR, NOT_FINITE) and _has_both(kind, value) else expected


def _has_both(kind: Kind, value: Any) -> bool:
    return "Float" in str(kind.dtype) and ("Date" in str(kind.dtype))


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_a_type_without_a_form_is_refused_at_any_depth_before_any_row(data: st.DataObject) -> None:
    kind = data.draw(st.recursive(st.sampled_from([*WITHOUT_FORM, LEAVES[0]]), _nested, max_leaves=5))
    assume(not kind.has_form)
    with pytest.raises(SourceError) as refused:
        mapped(ONE, rows({"a": pl.Series([], dtype=kind.dtype)}))
    assert "column 'a': " in str(refused.value) and "have no JSON form; " in str(refused.value)
    assert any(words in str(refused.value) for words in ("bytes", "durations", "times of day"))


@pytest.mark.parametrize(
    ("dtype", "values", "made"),
    [
        (pl.Map(pl.Int32, pl.String), [{1: "x", 2: "y"}], '{"1":"x","2":"y"}'),
        (pl.Map(pl.Boolean, pl.Int8), [{True: 1, False: None}], '{"true":1,"false":null}'),
        (pl.Map(pl.Datetime("us"), pl.Int8), [{datetime(2024, 3, 10, 9): 1}], '{"2024-03-10T09:00:00.000000":1}'),
        (pl.Map(pl.String, pl.Datetime("us")), [{"a": datetime(2024, 1, 1)}], '{"a":1704067200}'),
        (pl.Map(pl.String, pl.Decimal(38, 2)), [{'"': Decimal("1.10")}], '{"\\"":1.10}'),
        (pl.List(pl.Decimal(38, 2)), [[Decimal("123456789012345678.10"), None]], "[123456789012345678.10,null]"),
        (
            pl.Struct({"x": pl.Decimal(5, 2), "y": pl.String}),
            [{"x": Decimal("1.10"), "y": "{}"}],
            '{"x":1.10,"y":"{}"}',
        ),
        (
            pl.Map(pl.String, pl.Map(pl.Int8, pl.Date)),
            [
                {"a": {}},
            ],
            '{"a":{}}',
        ),
    ],
    ids=str,
)
def test_maps_and_decimals_are_written_exactly(dtype: pl.DataType, values: list[Any], made: str) -> None:
    (text,) = texts(ONE, rows({"a": pl.Series(values, dtype=dtype)}))
    assert text is not None and text.endswith(f'"attributes":{{"a":{made}}}}}')


TWICE = [[("a", 1), ("b", 2)], [("a", 1), ("b", 2), ("a", 3)], [], None]
IS_TWICE = [False, True, False, False]


@pytest.mark.parametrize("calls", [(), ({"pick": "a"},)], ids=["sent", "picked"])
def test_a_map_with_a_key_twice_is_a_reject_whatever_reads_it(calls: tuple[object, ...]) -> None:
    maps = pl.Series("a", pa.array(TWICE, pa.map_(pa.string(), pa.int64())))
    made = outcomes(mapping(attributes={"a": column("a", *calls)}), rows({"a": maps}))
    assert [one == ("map_key_repeated", "attributes.a") for one in made] == IS_TWICE


@pytest.mark.parametrize("kind", ["list", "record", "map"])
def test_a_map_with_a_key_twice_is_found_inside_other_values(kind: str) -> None:
    inner = pa.map_(pa.string(), pa.int64())
    made = {
        "list": pa.array([[each] for each in TWICE], pa.list_(inner)),
        "record": pa.array([{"x": each} for each in TWICE], pa.struct([("x", inner)])),
        "map": pa.array([[("k", each)] for each in TWICE], pa.map_(pa.string(), inner)),
    }
    listed = outcomes(ONE, rows({"a": pl.Series("a", made[kind])}))
    assert [one == ("map_key_repeated", "attributes.a") for one in listed] == IS_TWICE


def test_a_map_with_keys_that_have_no_text_is_refused_with_its_place() -> None:
    dtype = pl.Struct({"prefs": pl.Map(pl.Float64, pl.String)})
    with pytest.raises(SourceError) as refused:
        mapped(ONE, rows({"a": pl.Series([], dtype=dtype)}))
    assert str(refused.value) == (
        "m.yaml: attributes.a: column 'a': it holds maps (at .prefs) whose keys are numbers, "
        "and keys in JSON are text; leave the column out or cast it in the source"
    )


@pytest.mark.parametrize(("unit", "value"), [("ms", 2**63 - 1), ("us", -(2**63)), ("ns", 2**63 - 1), ("ns", -(2**63))])
@pytest.mark.parametrize("wrap", [lambda dtype: dtype, pl.List], ids=["alone", "in a list"])
def test_a_time_that_is_taken_from_a_record_is_checked_like_any_other(unit: Any, value: int, wrap: Any) -> None:
    dtype = wrap(pl.Datetime(unit))
    inside = value if wrap is not pl.List else [value]
    how = mapping(attributes={"a": column("a", {"pick": "x"})})
    made = sent(how, rows({"a": pl.Series([{"x": inside}], dtype=pl.Struct({"x": dtype}))}))
    assert made == [FAR]


@pytest.mark.parametrize("days", [2**31 - 1, -(2**31), 2_932_897, -719_163])
@pytest.mark.parametrize("call", [{"cast": "text"}, {"template": "on {}"}, {"timestamp": {"timezone": "Europe/Paris"}}])
def test_a_date_outside_the_calendar_is_a_reject_whatever_reads_it(days: int, call: object) -> None:
    how = mapping(attributes={"a": column("a", call)})
    (made,) = outcomes(how, rows({"a": pl.Series([days], dtype=pl.Date)}))
    assert isinstance(made, tuple) or (isinstance(made, dict) and made["attributes"] == {})
    event = mapping("track", event_key=("a",))
    assert outcomes(event, rows({"a": pl.Series([days], dtype=pl.Date)})) == [("timestamp_out_of_range", "event_key")]


@pytest.mark.parametrize(
    ("dtype", "words"),
    [
        (pl.Int64(), "whole numbers"),
        (pl.Float32(), "numbers"),
        (pl.List(pl.List(pl.String)), "lists of lists of text"),
        (pl.List(pl.Null), "lists"),
        (pl.Struct({"raw_json": pl.String}), "JSON"),
        (pl.Struct(dict.fromkeys("abcd", pl.Int8)), "records (a, b, c, …)"),
        (pl.Map(pl.String, pl.Int8), "maps"),
        (pl.Null(), "no value in any row"),
        (pl.Unknown(), "values of an unknown type"),
    ],
    ids=str,
)
def test_a_type_is_named_in_plain_words(dtype: pl.DataType, words: str) -> None:
    assert in_words(dtype) == words


def test_a_type_without_nested_values_costs_one_question() -> None:
    asked: list[pl.DataType] = []
    assert anywhere(pl.col("a"), pl.String(), lambda _, dtype: asked.append(dtype)) is None
    assert asked == [pl.String()]
