"""Columns of JSON text: which values of a mapping are sent as the JSON that they are, and which are read as text.

A reader gives a column as JSON text where its values are objects and lists, or of several kinds: 5, "5", true. An
attribute without functions sends each value as it is. Wherever a text is read from such a column, as an identifier or
by a function, a JSON string is that text without its quotes and escapes; other values are their JSON.

A day or time among other kinds is ISO 8601 text without quotes, which no JSON is: functions read that text, and sent as
JSON it is its Unix seconds, as in a column of times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import polars as pl

from cio_etl.model import Call, Column, Constant, Mapping, Snapshot
from cio_etl.transform import row_sql, timestamps
from cio_etl.transform.chains import column_of

_DAY = "^[0-9]{4}-"  # how a day or time begins, and no JSON
_AS_JSON = "\0json"  # after a column's name: its JSON text, where the name itself has the plain text
_READ_JSON = ("json", "pick")  # functions that read JSON text
_MEASURE = ("length", "contains")  # functions of a text or a list
_TIMES = ("attributes.created_at",)  # must be Unix seconds, so it is never sent unread


def with_json(mapping: Mapping, columns: frozenset[str]) -> Mapping:
    """The mapping, with `json` applied to attributes whose columns are JSON text; `columns` are the source's.

    An attribute with a function other than `default` reads the text instead. Frames must be those of `plain_rows`.
    """
    if not columns:
        return mapping
    both = _read_as_text(mapping, columns)
    targets = {
        target: Column(_json_name(value.name, both), (Call("json"), *value.apply))
        if isinstance(value, Column) and value.name in columns and _needs_json(target, value)
        else value
        for target, value in mapping.targets.items()
    }
    return replace(mapping, targets=targets)


def plain_rows(mapping: Mapping, snapshot: Snapshot) -> Snapshot:
    """The snapshot whose frames have, under the name of each JSON column that the mapping reads as text, that text.

    Where an attribute sends the same column as JSON, its JSON is one column more. Frames of all columns (None) are as
    the source has them.
    """
    if not snapshot.json:
        return snapshot
    texts = _read_as_text(mapping, snapshot.json)
    both = [name for name in texts if _json_name(name, texts) in _names(with_json(mapping, snapshot.json))]

    def read(columns: Sequence[str] | None, start: int) -> Iterator[pl.DataFrame]:
        if columns is None:
            yield from snapshot.read(None, start)
            return
        own = list(dict.fromkeys(name.removesuffix(_AS_JSON) for name in columns))
        as_json = [name for name in own if name in snapshot.json and (name not in texts or name in both)]
        plain = [_plain_text(column_of(name)).alias(name) for name in texts if name in own]
        for frame in snapshot.read(own, start):
            json = [_with_seconds(frame[name]).alias(_json_name(name, texts)) for name in as_json]
            yield frame.with_columns(*json, *plain)

    schema = pl.Schema({**snapshot.schema, **{name + _AS_JSON: pl.String() for name in both}})
    return replace(snapshot, schema=schema, read=read)


def as_texts(snapshot: Snapshot) -> Snapshot:
    """The snapshot whose JSON columns are their plain text, for those who look at a source without a mapping."""

    def read(columns: Sequence[str] | None, start: int) -> Iterator[pl.DataFrame]:
        for frame in snapshot.read(columns, start):
            names = [name for name in frame.columns if name in snapshot.json]
            yield frame.with_columns(_plain_text(column_of(name)).alias(name) for name in names)

    return replace(snapshot, read=read) if snapshot.json else snapshot


def _json_name(name: str, texts: Sequence[str]) -> str:
    return name + _AS_JSON if name in texts else name


def _names(mapping: Mapping) -> set[str]:
    return {value.name for value in mapping.targets.values() if isinstance(value, Column)}


def _plain_text(json: pl.Expr) -> pl.Expr:
    return pl.when(json.str.starts_with('"')).then(json.str.json_path_match("$")).otherwise(json)


def _with_seconds(json: pl.Series) -> pl.Series:
    """The JSON with Unix seconds in place of days and times; one beyond the calendar stays, and is no JSON."""
    if not json.str.contains(_DAY).any():
        return json
    seconds = timestamps.from_iso(pl.first(), timestamps.Zone(), timestamps.TimestampFacts()).cast(pl.String)
    return (
        json.to_frame()
        .select(pl.coalesce(pl.when(pl.first().str.contains(_DAY)).then(seconds), pl.first()))
        .to_series()
    )


def _read_as_text(mapping: Mapping, columns: frozenset[str]) -> list[str]:
    """The JSON columns that the mapping reads as text somewhere."""
    names = [*mapping.event_key, *mapping.order_by, *(row_sql.columns_of(mapping.when) if mapping.when else ())]
    for target, value in mapping.targets.items():
        if isinstance(value, Column):
            reads_json = value.apply and value.apply[0].name in _READ_JSON
            names += [] if reads_json or _needs_json(target, value) else [value.name]
        elif not isinstance(value, Constant):
            names += value.names
    return [name for name in dict.fromkeys(names) if name in columns]


def _needs_json(target: str, value: Column) -> bool:
    """Whether the value is sent as JSON, or its first function must tell a list or an object from a text."""
    return _is_sent_as_json(target, value) or bool(value.apply and value.apply[0].name in _MEASURE)


def _is_sent_as_json(target: str, value: Column) -> bool:
    named = target.startswith("attributes.") and target not in _TIMES
    return named and {call.name for call in value.apply} <= {"default"}
