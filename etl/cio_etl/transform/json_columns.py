"""Columns of JSON text: which values of a mapping are sent as the JSON that they are, and which are read as text.

A reader gives a column as JSON text where its values are objects and lists, or of several kinds: 5, "5", true. An
attribute without functions sends each value as it is. Wherever a text is read from such a column, as an identifier or
by a function, a JSON string is that text without its quotes and escapes; other values are their JSON. Which of them
are no identifier and no name is said by odd_values.py, which reads the JSON beside the text.

A day or time among other kinds is ISO 8601 text without quotes, which no JSON is: functions read that text, and sent as
JSON it is its Unix seconds, as in a column of times.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

import polars as pl

from cio_etl.model import Call, Column, Columns, Constant, Mapping, Snapshot, Value
from cio_etl.transform import checks, timestamps
from cio_etl.transform.chains import column_of
from cio_etl.transform.checks import AS_JSON
from cio_etl.transform.functions import text_of_json
from cio_etl.transform.functions.built import members_of

_DAY = "^[0-9]{4}-"  # how a day or time begins, and no JSON
_MEASURE = ("length", "contains")  # functions of a text or a list
_TIMES = ("attributes.created_at",)  # must be Unix seconds, so it is never sent unread


def with_json(mapping: Mapping, columns: frozenset[str]) -> Mapping:
    """The mapping, with `json` applied to attributes whose columns are JSON text; `columns` are the source's.

    An attribute with a function other than `default` reads the text instead. Frames must be those of `plain_rows`.
    """
    if not columns:
        return mapping
    targets = dict(mapping.targets)
    for target, value in mapping.targets.items():
        if isinstance(value, Column) and value.name in columns and _reads_json(target, value):
            calls = value.apply if _is_json_first(value) else (Call("json"), *value.apply)
            targets[target] = Column(value.name + AS_JSON, calls)
        elif isinstance(value, Columns) and value.apply[0].name == "build":
            unread = [member.column for member in members_of(value.apply[0].arguments["of"]) if not member.calls]
            as_json = [name + AS_JSON for name in unread if name in columns]
            targets[target] = replace(value, names=(*value.names, *dict.fromkeys(as_json)))
    return replace(mapping, targets=targets)


def with_json_columns(schema: pl.Schema, columns: Iterable[str]) -> pl.Schema:
    """The schema of the frames of `plain_rows`, of a source whose `columns` are JSON text."""
    return pl.Schema({**schema, **{name + AS_JSON: pl.String() for name in columns if name in schema}})


def plain_rows(mapping: Mapping, snapshot: Snapshot, also: Collection[str] = ()) -> Snapshot:
    """The snapshot whose frames have, under the name of each JSON column that the mapping reads as text, that text.

    So have they for the columns `also`.

    The JSON of each JSON column that the mapping reads is one column more. Frames of all columns (None) are as the
    source has them.
    """
    names = [name for name in checks.columns_of(mapping) if name in snapshot.json]
    texts = {name: None for name in names if name in _read_as_text(mapping)}
    texts |= dict.fromkeys(name for name in also if name in snapshot.json)
    if not names and not texts:
        return snapshot

    def read(columns: Sequence[str] | None, start: int) -> Iterator[pl.DataFrame]:
        if columns is None:
            yield from snapshot.read(None, start)
            return
        own = list(dict.fromkeys(name.removesuffix(AS_JSON) for name in columns))
        as_json = [name for name in names if name in own]
        plain = [text_of_json(column_of(name)).alias(name) for name in texts if name in own]
        for frame in snapshot.read(own, start):
            json = [_with_seconds(frame[name]).alias(name + AS_JSON) for name in as_json]
            yield frame.with_columns(*json, *plain)

    return replace(snapshot, schema=with_json_columns(snapshot.schema, names), read=read)


def as_texts(snapshot: Snapshot) -> Snapshot:
    """The snapshot whose JSON columns are their plain text, for those who look at a source without a mapping."""

    def read(columns: Sequence[str] | None, start: int) -> Iterator[pl.DataFrame]:
        for frame in snapshot.read(columns, start):
            names = [name for name in frame.columns if name in snapshot.json]
            yield frame.with_columns(text_of_json(column_of(name)).alias(name) for name in names)

    return replace(snapshot, read=read) if snapshot.json else snapshot


def _read_as_text(mapping: Mapping) -> set[str]:
    """The columns that the mapping reads as text somewhere, if they are JSON columns."""
    as_json = {target: Constant(None) for target, value in mapping.targets.items() if _reads_json(target, value)}
    return {*checks.columns_of(replace(mapping, targets={**mapping.targets, **as_json}))}


def _reads_json(target: str, value: Value) -> bool:
    """Whether the value is read as JSON, if its column is a JSON column."""
    if not isinstance(value, Column):
        return False
    if value.apply and (_is_json_first(value) or value.apply[0].name in _MEASURE):
        return True  # such a function must tell a list or an object from a text
    is_attribute = target.startswith("attributes.") and target not in _TIMES
    return is_attribute and {call.name for call in value.apply} <= {"default"}


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


def _is_json_first(value: Column) -> bool:
    return value.apply[:1] == (Call("json"),)
