"""A column through one function of `apply`, as a mapping would take it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import polars as pl

from cio_etl.config.function_arguments import completed
from cio_etl.transform.decimals import NUMBER
from cio_etl.transform.functions import FUNCTIONS, apply, meant_null, parse_call

Dtype = pl.DataType | type[pl.DataType] | None


def mapped(values: Sequence[object], raw: object, dtype: Dtype = None) -> list[Any]:
    """A column through one function, with the facts that it asks for."""
    return made_of(values, raw, dtype)[0]


def made_of(values: Sequence[object], raw: object, dtype: Dtype = None) -> tuple[list[Any], list[bool]]:
    """A column through one function, and which of its rows are rejected."""
    call, frame = completed(parse_call(raw)), pl.DataFrame({"v": pl.Series(values, dtype=dtype, strict=False)})
    column, kind, facts = pl.col("v"), frame.schema["v"], None
    if gathering := FUNCTIONS[call.name].facts:
        queries = gathering.queries(column, kind, call)
        facts = gathering.combine([frame.select(**queries).row(0, named=True)] if queries else [], kind, call)
    made, meant = apply(column, kind, call, facts), meant_null(column, kind, call)
    frame = frame.with_columns(made=made, meant=pl.lit(False) if meant is None else meant)
    assert frame.lazy().select(made=made).collect_schema()["made"] == frame.schema["made"]  # as compile_mapping asks
    lost = pl.col("made").is_null() & column.is_not_null() & ~pl.col("meant").fill_null(False)
    values = frame["made"].to_list()
    if frame.schema["made"] == NUMBER:
        values = [None if value is None else exact(value["\0number"]) for value in values]
    return values, frame.select(lost).to_series().to_list()


def exact(text: str) -> Any:
    """The number in a JSON text: a float if that is the same number, else a Decimal."""
    number = json.loads(text)
    return number if Decimal(repr(number)) == Decimal(text) else Decimal(text)


def of_json(value: Any) -> Any:
    """What RAW_JSON, or a list of it, says; any other value itself."""
    if isinstance(value, list):
        return [of_json(one) for one in value]
    return json.loads(value["raw_json"]) if isinstance(value, dict) and list(value) == ["raw_json"] else value
