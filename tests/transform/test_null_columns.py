"""A column without a type, null in every row, acts as a column of typed nulls wherever it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cio_etl.config.function_arguments import completed
from cio_etl.model import Column, Columns, Constant, Mapping
from cio_etl.transform import order
from cio_etl.transform.functions import FUNCTIONS, parse_call
from tests.mapped_rows import Outcome, column, mapping, outcomes, rows
from tests.transform.test_functions import COUNTRIES, OF_SEVERAL, shortest_call

N, ONE = Column("n"), Constant("1")
USES: dict[str, tuple[Mapping, Any]] = {
    "an id": (mapping(identifiers={"id": N}), pl.String),
    "an id that is a number": (mapping(identifiers={"id": column("n", {"cast": "integer"})}), pl.Int64),
    "an e-mail address": (mapping(identifiers={"email": N}), pl.String),
    "an event": (mapping("track", event=N), pl.String),
    "a timestamp": (mapping("track", timestamp=N), pl.Int64),
    "a timestamp of text": (mapping("track", timestamp=column("n", "timestamp")), pl.String),
    "a key": (mapping("track", event_key=("id", "n")), pl.Decimal(5, 2)),
    "created_at": (mapping(attributes={"created_at": N, "x": Constant(1)}), pl.Datetime("us")),
    "a token": (mapping("add_device", device={"token": N, "platform": Constant("ios")}), pl.String),
    "a platform": (mapping("add_device", device={"token": Column("id"), "platform": N}), pl.String),
    "a device's last use": (
        mapping("add_device", device={"token": Column("id"), "platform": Constant("ios"), "last_used": N}),
        pl.Int64,
    ),
    "a device's attribute": (
        mapping("add_device", device={"token": ONE, "platform": Constant("ios"), "attributes": {"x": N}}),
        pl.Float64,
    ),
    "an object": (mapping("identify_object", identifiers={}, object={"type": ONE, "id": N}), pl.Int64),
    "an object's type": (mapping("identify_object", identifiers={}, object={"type": N, "id": Column("id")}), pl.String),
    "a relationship": (mapping(relationships=[{"object": {"type": ONE, "id": N}, "attributes": {"r": N}}]), pl.String),
    "a merge": (mapping("merge", identifiers={}, primary={"id": N}, secondary={"email": N}), pl.String),
    "a topic": (mapping(topics={"1": N}), pl.Boolean),
    "a condition": (mapping(when="n"), pl.Boolean),
    "a comparison": (mapping(when="n > 5 or n is null"), pl.Int64),
    "a comparison of text": (mapping(when="n = 'a'"), pl.String),
    "a pattern": (mapping(when="n is null or n like 'a%'"), pl.String),
    "a condition on a text's length": (mapping(when="coalesce(length(n), 0) < 5"), pl.String),
    "a condition on a time": (mapping(when="coalesce(year(n), 0) < 5"), pl.Datetime("us")),
    "a condition on a negative number": (mapping(when="coalesce(abs(n), 0) - 1 < 5"), pl.Int64),
    "an attribute": (mapping(attributes={"a": N}), pl.List(pl.String)),
    "an attribute that is cleared": (mapping(attributes={"email": N}, nulls="clear"), pl.String),
    "a segment's person": (mapping("add_to_segment", segment=1, identifiers={"id": N}), pl.String),
}


def _outcomes(how: Mapping, dtype: Any) -> list[Outcome]:
    nulls = pl.Series([None, None], dtype=dtype)
    return outcomes(how, rows({"id": ["1", "2"], "n": nulls, "m": nulls}))


@pytest.mark.fault("S18")
@pytest.mark.parametrize("use", USES)
def test_a_column_of_nulls_acts_as_one_of_typed_nulls(use: str) -> None:
    how, dtype = USES[use]
    assert _outcomes(how, pl.Null) == _outcomes(how, dtype)


def _type_for(name: str) -> Any:
    """A type that the function takes."""
    if name == "default":  # its example is a number
        return pl.Int64
    takes = FUNCTIONS[name].takes
    if not takes or "text" in takes or name in OF_SEVERAL:
        return pl.String
    return {
        "bytes": pl.Binary,
        "a number": pl.Int64,
        "a date": pl.Date,
        "a list of text": pl.List(pl.String),
        "a list": pl.List(pl.Int64),
    }[takes[0]]


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_treats_a_column_of_nulls_as_one_of_typed_nulls(name: str) -> None:
    Path("countries.csv").write_text(COUNTRIES, encoding="utf-8")
    raw: Any = {
        "template": {"template": {"template": "{n}{m}"}},
        "expr": {"expr": "n || m"},
        "build": {"build": {"object": {"first": {"column": "n"}, "second": {"column": "m"}}}},
    }.get(name)
    call = completed(parse_call(raw or shortest_call(FUNCTIONS[name])))
    columns = Columns(("n", "m"), (call,)) if name in OF_SEVERAL or raw else Column("n", (call,))
    for nulls in ("omit", "clear"):
        how = mapping(attributes={"a": columns}, nulls=nulls)
        assert _outcomes(how, pl.Null) == _outcomes(how, _type_for(name))


EXPRESSIONS: dict[str, Any] = {
    "n * 2": pl.Int64,
    "n + m": pl.Int64,
    "coalesce(n, 0)": pl.Int64,
    "abs(n)": pl.Int64,
    "round(n, 2)": pl.Float64,
    "n / 2 - 1": pl.Int64,
    "greatest(n, 5)": pl.Int64,
    "n between 1 and 5": pl.Int64,
    "n in (1, 2)": pl.Int64,
    "cast(n as double)": pl.String,
    "upper(n) || 'x'": pl.String,
    "coalesce(upper(n), 'none')": pl.String,
    "n like 'x%'": pl.String,
    "date(n, '%Y-%m-%d')": pl.String,
    "case when n then 1 else 2 end": pl.Boolean,
    "if(n, 1, 2)": pl.Boolean,
    "not n": pl.Boolean,
    "extract(year from n)": pl.Datetime("us"),
    "strftime(n, '%Y')": pl.Date,
    "n > date '2024-01-01'": pl.Date,
    "array_length(n)": pl.List(pl.String),
}


@pytest.mark.parametrize("sql", EXPRESSIONS)
def test_an_expression_of_a_column_of_nulls_is_that_of_the_type_it_needs(sql: str) -> None:
    columns = Columns(("id", "n", "m"), (parse_call({"expr": sql}),))
    how = mapping(attributes={"a": columns}, nulls="clear")
    assert _outcomes(how, pl.Null) == _outcomes(how, EXPRESSIONS[sql])


def test_columns_of_nulls_in_one_expression_have_a_type_each() -> None:
    sql = "coalesce(abs(n), 1) || upper(m) || id"
    how = mapping(attributes={"a": Columns(("id", "n", "m"), (parse_call({"expr": sql}),))}, nulls="clear")
    assert [one["attributes"] for one in _outcomes(how, pl.Null) if isinstance(one, dict)] == [{"a": None}] * 2


@pytest.mark.parametrize(
    ("raw", "made"),
    [
        ("join", ["", ""]),
        ({"contains": 5}, [False, False]),
        ({"contains": "x"}, [False, False]),
        ({"pick": "[0].name"}, [None, None]),
        ({"pick": "[*].name"}, [[], [None]]),
    ],
    ids=str,
)
def test_lists_without_a_value_act_as_typed_lists(raw: object, made: list[Any]) -> None:
    how = mapping(attributes={"a": column("n", raw)}, nulls="clear")
    frame = rows({"id": ["1", "2"], "n": pl.Series([[], [None]], dtype=pl.List(pl.Null))})
    assert [one["attributes"]["a"] for one in outcomes(how, frame) if isinstance(one, dict)] == made


def test_a_record_without_a_value_has_no_part() -> None:
    how = mapping(attributes={"a": column("n", {"pick": "address.city"})}, nulls="clear")
    frame = rows({"id": ["1"], "n": pl.Series([{"address": None}], dtype=pl.Struct({"address": pl.Null}))})
    assert [one["attributes"] for one in outcomes(how, frame) if isinstance(one, dict)] == [{"a": None}]


@pytest.mark.parametrize(
    ("calls", "dtype", "made"),
    [
        (["first", {"default": 0}], pl.List(pl.Int64), 0),
        ([{"null_if": -1}, {"default": 0}], pl.Int64, 0),
        ([{"null_if": "9999-12-31"}, "timestamp", {"default": 0}], pl.Date, 0),
        ([{"element": 1}, {"default": 0.5}], pl.List(pl.Float64), 0.5),
        (["json", {"default": "x"}], pl.String, "x"),
        ([{"default": ["a"]}], pl.List(pl.String), ["a"]),
        (["trim", {"default": "x"}, "upper"], pl.String, "X"),
        ([{"cast": "boolean"}, {"default": False}], pl.String, False),
    ],
    ids=str,
)
def test_a_default_of_any_kind_fits_a_column_of_nulls(calls: list[Any], dtype: Any, made: object) -> None:
    how = mapping(attributes={"a": column("n", *calls)})
    expected = _outcomes(how, dtype)
    assert [one["attributes"] for one in expected if isinstance(one, dict)] == [{"a": made}] * 2
    assert _outcomes(how, pl.Null) == expected


def test_a_column_of_nulls_has_an_order() -> None:
    how = mapping(order_by=("n",))
    schema = pl.Schema({"n": pl.Null})
    assert order.queries(how, schema) == {}
    frame = pl.DataFrame({"n": [None, None]})
    assert frame.select(order.keys(order.readings(how, schema, []), schema)).null_count().row(0) == (2,)
