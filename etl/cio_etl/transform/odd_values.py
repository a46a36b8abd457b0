"""Values that reject their row, whichever functions read them: each is another kind of value than it would seem.

They are looked for in the source's columns, before any function: the text of a list, or of an infinity, is as good a
text as any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from cio_etl.model import MAP_KEY_REPEATED, Call, Mapping
from cio_etl.model.reasons import NOT_A_TEXT, NUMBER_NOT_FINITE, TIMESTAMP_OUT_OF_RANGE
from cio_etl.transform import encode, timestamps
from cio_etl.transform.chains import Chain, chains, column_of
from cio_etl.transform.checks import AS_JSON, Check, is_name
from cio_etl.transform.nested import anywhere

_READ_BOOLEANS = ("boolean", "cast", "concat", "expr", "map", "template")  # functions that say what becomes of them
_TEXTS = ("attributes.email", "attributes.phone")


def takes_text_only(mapping: Mapping, target: str) -> bool:
    """Whether Customer.io takes nothing but text there, so that a JSON string is sent as the text that it is."""
    is_of_person = mapping.operation == "identify" and target in _TEXTS
    return is_name(target) or target.startswith("device.attributes.") or is_of_person


def no_text(json: pl.Expr, target: str, calls: Sequence[Call]) -> pl.Expr:
    """True where a JSON text is not one of a text or a number; true and false count unless a function reads them."""
    nested = json.str.contains(r"^[ \t\r\n]*[\[{]")
    if target.startswith("device.attributes.") or any(call.name in _READ_BOOLEANS for call in calls):
        return nested
    return nested | json.str.contains("^[ \t\r\n]*[tf]")


def odd_values(mapping: Mapping, schema: pl.Schema) -> Iterator[Check]:
    """The checks of the source's columns; those of `event_key` have it as their field."""
    for chain in chains(mapping):
        for name in chain.sources:
            yield from _odd_kinds(chain.target, name, schema, _no_text_in(mapping, chain, name, schema))
            if (repeated := anywhere(column_of(name), schema[name], _repeats_a_key)) is not None:
                yield Check(MAP_KEY_REPEATED, chain.target, repeated)
    for name in mapping.event_key:
        yield from key_checks(name, schema)


def key_checks(name: str, schema: pl.Schema) -> Iterator[Check]:
    """The checks of a column of `event_key`. True and false are parts of a key, as in a column of their own."""
    json = _json_of(name, schema)
    nested = None if json is None else json.str.contains(r"^[ \t\r\n]*[\[{]")
    yield from _odd_kinds("event_key", name, schema, nested)
    if (broken := encode.not_finite(column_of(name), schema[name])) is not None:
        yield Check(NUMBER_NOT_FINITE, "event_key", broken)
    if isinstance(dtype := schema[name], pl.Date | pl.Datetime):
        value = column_of(name)
        far = value.is_not_null() & timestamps.in_calendar(value, dtype).is_null()
        yield Check(TIMESTAMP_OUT_OF_RANGE, "event_key", far)


def _odd_kinds(field: str, name: str, schema: pl.Schema, no_text: pl.Expr | None) -> Iterator[Check]:
    if (json := _json_of(name, schema)) is not None:
        yield Check(NUMBER_NOT_FINITE, field, json.is_in(["Infinity", "-Infinity", "NaN"]))
    if no_text is not None:
        yield Check(NOT_A_TEXT, field, no_text)


def _no_text_in(mapping: Mapping, chain: Chain, name: str, schema: pl.Schema) -> pl.Expr | None:
    """Where the column has no text and needs one; None where it may be anything, or a function takes a part of it."""
    json = _json_of(name, schema)
    takes_a_part = chain.calls and chain.calls[0].name in ("json", "pick")
    if json is None or takes_a_part or not takes_text_only(mapping, chain.target):
        return None
    return no_text(json, chain.target, chain.calls)


def _json_of(name: str, schema: pl.Schema) -> pl.Expr | None:
    """The JSON of a column of JSON text; None for any other column."""
    as_json = name.removesuffix(AS_JSON) + AS_JSON
    return column_of(as_json) if as_json in schema else None


def _repeats_a_key(value: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    if not isinstance(dtype, pl.Map):
        return None
    keys = value.map.entries().list.eval(pl.element().struct.field("key"))
    return keys.list.n_unique() < keys.list.len()
