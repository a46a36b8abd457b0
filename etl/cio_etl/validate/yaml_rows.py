"""Rows that are written in YAML as a snapshot, which a run could read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from cio_etl.model import FAULT, POSITION, Snapshot

DTYPES: dict[str, pl.DataType] = {
    "text": pl.String(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "boolean": pl.Boolean(),
    "decimal": pl.Decimal(38),  # with as many digits after the point as the values show
    "date": pl.Date(),
    "datetime": pl.Datetime("us"),
    "datetime_utc": pl.Datetime("us", "UTC"),
    "json": pl.String(),
}
FINGERPRINT = "0" * 64  # of all such rows: the id of an event without event_key is made of it


class UnfitRows(ValueError):
    """Rows that are no source; the message says why, and what to do."""


def snapshot_of(rows: Sequence[Mapping[str, Any]], types: Mapping[str, str]) -> Snapshot:
    """The rows as a snapshot. `types` names the types of columns whose values do not show it. Raises UnfitRows."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = [_column(name, [row.get(name) for row in rows], types.get(name)) for name in names]
    frame = pl.DataFrame(columns) if columns else pl.DataFrame({"": [None] * len(rows)}, schema={"": pl.String})
    frame = frame.with_columns(
        pl.int_range(pl.len(), dtype=pl.Int64).alias(POSITION), pl.lit(None, dtype=pl.String).alias(FAULT)
    )

    def read(wanted: Sequence[str] | None, start: int) -> Iterator[pl.DataFrame]:
        chosen = list(names) if wanted is None else wanted
        if start < frame.height:
            yield frame.slice(start).select(*dict.fromkeys(chosen), POSITION, FAULT)

    json_columns = frozenset(name for name in names if types.get(name) == "json")
    schema = frame.drop(POSITION, FAULT).schema
    return Snapshot(FINGERPRINT, (), frame.height, schema, read, _rows, json_columns)


def _rows(positions: Sequence[int]) -> list[tuple[str, int]]:
    return [("row", position + 1) for position in positions]


def _column(name: str, values: list[Any], kind: str | None) -> pl.Series:
    if kind is None:
        if all(value is None for value in values):
            return pl.Series(name, values, dtype=pl.String)
        if len(kinds := {_kind(value) for value in values if value is not None} - {"a number"}) > 1 or (
            kinds and any(_kind(value) == "a number" for value in values) and kinds != {"a whole number"}
        ):
            raise UnfitRows(f"column {name!r} has values of several types; write types: {{{name}: json}}, or quotes")
        try:
            return pl.Series(name, values, strict=False)
        except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
            raise UnfitRows(f"column {name!r} has lists or objects that no column can contain together") from None
    if kind == "json":
        return pl.Series(name, [None if value is None else _json(value) for value in values], dtype=pl.String)
    dtype = DTYPES[kind]
    try:
        if dtype.is_temporal() or dtype.is_decimal():
            texts = pl.Series(name, [None if value is None else str(value) for value in values], dtype=pl.String)
            if dtype.is_decimal():
                digits = texts.str.len_chars() - texts.str.find(r"\.", literal=False) - 1
                dtype = pl.Decimal(38, int(digits.max() or 0))  # type: ignore[arg-type]
            made = texts.to_frame().select(_read(pl.col(name), kind, dtype)).to_series()
            if made.null_count() == texts.null_count():
                return made
        else:
            return pl.Series(name, values, dtype=dtype, strict=kind != "number")
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        pass
    raise UnfitRows(f"column {name!r} has a value that is no {kind}; write {_HOW[kind]}")


_HOW = {
    "text": "it in quotes",
    "integer": "whole numbers without quotes",
    "number": "numbers without quotes",
    "decimal": "it as '12.50'",
    "boolean": "true or false without quotes",
    "date": "it as 2024-03-10",
    "datetime": "it as 2024-03-10 09:00:00",
    "datetime_utc": "it as 2024-03-10T09:00:00Z",
}


def _read(text: pl.Expr, kind: str, dtype: pl.DataType) -> pl.Expr:
    if kind == "date":
        return text.str.to_date("%Y-%m-%d", strict=False)
    if kind == "datetime":
        return text.str.replace("T", " ").str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    if kind == "datetime_utc":
        zoned = text.str.replace("Z$", "+00:00").str.replace("T", " ")
        return zoned.str.to_datetime("%Y-%m-%d %H:%M:%S%.f%:z", time_unit="us", time_zone="UTC", strict=False)
    return text.cast(dtype, strict=False)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    for kinds, words in (((int,), "a whole number"), ((float,), "a number"), ((str,), "text"), ((list,), "a list")):
        if isinstance(value, kinds):
            return words
    return "an object"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
