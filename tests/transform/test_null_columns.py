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
    raw: Any = {"template": {"template": {"template": "{n}{m}"}}, "expr": {"expr": "n || m"}}.get(name)
    call = completed(parse_call(raw or shortest_call(FUNCTIONS[name])))
    columns = Columns(("n", "m"), (call,)) if name in OF_SEVERAL or raw else Column("n", (call,))
    for nulls in ("omit", "clear"):
        how = mapping(attributes={"a": columns}, nulls=nulls)
        assert _outcomes(how, pl.Null) == _outcomes(how, _type_for(name))


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
