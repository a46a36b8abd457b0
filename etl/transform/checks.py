"""What must hold of a row before it is sent? Each rule is one expression; a row that breaks one is a reject.

The limits are Customer.io's, in UTF-8 bytes of what is sent (Track API v2 reference: people, events, sizes). Each of
these is a silent failure there, so it must be a loud one here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from etl.model import Column, Constant, Mapping
from etl.transform.operations import OPERATIONS, SEMANTIC_EVENTS

MAX_IDENTIFIER_BYTES = 150
MAX_NAME_BYTES = 150  # of an attribute
MAX_EVENT_NAME_BYTES = 100
MAX_ITEM_BYTES = 32_000
EARLIEST_S, LATEST_S = -2_208_988_800, 7_258_118_400  # 1900 and 2200: milliseconds and 9999-12-31 lie beyond
EMAIL_SHAPE = r"^[^@\s,;<>()\[\]]+@[^@\s,;<>()\[\].]+(\.[^@\s,;<>()\[\].]+)+$"
E164_SHAPE = r"^\+[1-9][0-9]{6,14}$"

REASONS: dict[str, str] = {
    "row_ragged": "the row has more or fewer fields than the header; mend the file",
    "row_nul": "the row holds a NUL byte; mend the file",
    "row_unreadable": "the line is not one JSON object; mend the file",
    "identifier_missing": "no identifier in this row; fill the column, or leave such rows out with `when`",
    "identifier_too_long": f"the identifier is over {MAX_IDENTIFIER_BYTES} bytes",
    "email_malformed": "not the shape of an e-mail address; mend it, or leave the attribute out",
    "phone_malformed": "not a phone number in E.164 form, as +33123456789",
    "event_name_missing": "the event has no name in this row",
    "event_name_too_long": f"the event's name is over {MAX_EVENT_NAME_BYTES} bytes",
    "event_name_reserved": "Customer.io acts on this event name; list it in allow_reserved if you mean it",
    "event_key_missing": "a column of event_key is empty, so the event could be counted twice",
    "timestamp_missing": "no time in this row, and without one the event would be dated now",
    "timestamp_out_of_range": "not seconds between the years 1900 and 2200 (an event: 1970 and 2200)",
    "value_too_long": "the value is over 1,000 bytes",
    "number_not_finite": "NaN or infinity, which JSON cannot say",
    "cast_failed": "`cast` cannot read it as that type",
    "json_unreadable": "not JSON, so that `json` or `pick` cannot read it",
    "map_unmatched": "`map` lists no such value, and has no default",
    "lookup_unmatched": "the file of `lookup` has no such key, and there is no default",
    "pattern_unmatched": "the pattern of `regex_extract` matches nothing in it",
    "phone_unreadable": "`phone` finds no valid number in it; one without + needs a region",
    "timezone_unknown": "no time zone's name, or one that means several; write it as Europe/Paris",
    "not_a_boolean": "`boolean` knows no such word; give it the language, or the word",
    "expr_failed": "the SQL of `expr` cannot be worked out for this row; where a cast may fail, write try_cast",
    "not_a_number": "not a number, or one too large to be exact",
    "slug_empty": "no letter or digit is left for a slug",
    "timestamp_unreadable": "no time in a form that `timestamp` reads, or one that its zone had twice or never",
    "item_too_large": f"the item is over {MAX_ITEM_BYTES:,} bytes",
}


@dataclass(frozen=True, slots=True)
class Check:
    """A row for which `broken` is true is rejected with `reason`; a null counts as false."""

    reason: str
    field: str | None
    broken: pl.Expr


def problems(mapping: Mapping) -> Iterator[tuple[str, str]]:
    """What is wrong with a mapping whatever the rows are: (dotted path, what and what to do)."""
    operation = OPERATIONS[mapping.operation]
    if operation.max_attributes is not None and len(mapping.attributes) > operation.max_attributes:
        yield "attributes", f"{len(mapping.attributes)} attributes; Customer.io takes {operation.max_attributes} a call"
    for name in mapping.attributes:
        path = f"attributes.{name}"
        if not name.strip():
            yield "attributes", "an attribute has an empty name"
        if len(name.encode()) > MAX_NAME_BYTES:
            yield path, f"the name is {len(name.encode())} bytes; Customer.io takes {MAX_NAME_BYTES}"
        if name in operation.reserved and name not in mapping.allow_reserved:
            yield path, f"{name!r} is reserved by Customer.io; add allow_reserved: [{name}] if you mean it"
    if isinstance(mapping.event, Constant):
        name = mapping.event.value
        if not isinstance(name, str) or not name.strip():
            yield "event", "the name of an event is text, and not empty"
        elif len(name.encode()) > MAX_EVENT_NAME_BYTES:
            yield "event", f"the name is {len(name.encode())} bytes; Customer.io takes {MAX_EVENT_NAME_BYTES}"
        elif name.strip() in SEMANTIC_EVENTS and name not in mapping.allow_reserved:
            yield "event", f"Customer.io acts on events named {name!r}; add it to allow_reserved if you mean it"


def of_identifier(kind: str, value: pl.Expr) -> Iterator[Check]:
    """Rules of the text that says who."""
    path = f"identifiers.{kind}"
    yield Check("identifier_missing", path, value.is_null() | (value.str.strip_chars() == ""))
    yield Check("identifier_too_long", path, value.str.len_bytes() > MAX_IDENTIFIER_BYTES)
    if kind == "email":
        yield Check("email_malformed", path, value.str.contains(EMAIL_SHAPE).not_())
    if kind == "phone":
        yield Check("phone_malformed", path, value.str.contains(E164_SHAPE).not_())


def of_event_name(value: pl.Expr, allowed: tuple[str, ...]) -> Iterator[Check]:
    """Rules of an event's name, where it comes from a column."""
    name = value.str.strip_chars()  # Customer.io trims it
    yield Check("event_name_missing", "event", value.is_null() | (name == ""))
    yield Check("event_name_too_long", "event", value.str.len_bytes() > MAX_EVENT_NAME_BYTES)
    yield Check("event_name_reserved", "event", name.is_in(sorted(SEMANTIC_EVENTS - set(allowed))))


def of_timestamp(value: pl.Expr) -> Iterator[Check]:
    """Rules of the item's own time."""
    yield Check("timestamp_missing", "timestamp", value.is_null())
    yield Check("timestamp_out_of_range", "timestamp", value.is_between(0, LATEST_S).not_())


def of_date_attribute(name: str, value: pl.Expr) -> Iterator[Check]:
    """Rules of an attribute that is a date in Unix seconds."""
    yield Check("timestamp_out_of_range", f"attributes.{name}", value.is_between(EARLIEST_S, LATEST_S).not_())


def of_attribute(mapping: Mapping, name: str, value: pl.Expr, dtype: pl.DataType) -> Iterator[Check]:
    """Rules of an attribute's settled value."""
    path, limit = f"attributes.{name}", OPERATIONS[mapping.operation].max_value_bytes
    if limit is not None and dtype == pl.String:
        yield Check("value_too_long", path, value.str.len_bytes() > limit)
    elif limit is not None and dtype.is_nested():
        encoded = pl.struct(value.alias("v")).struct.json_encode().str.len_bytes() - len('{"v":}')
        yield Check("value_too_long", path, encoded > limit)
    if name == "email" and mapping.operation == "identify" and dtype == pl.String:
        yield Check("email_malformed", path, value.str.contains(EMAIL_SHAPE).not_())


def of_items(item: pl.Expr) -> Iterator[Check]:
    """Rules of the finished item text, which ends in a comma that is not part of it."""
    yield Check("item_too_large", None, item.str.len_bytes() - 1 > MAX_ITEM_BYTES)


def columns_of(mapping: Mapping) -> tuple[str, ...]:
    """The source columns that a mapping reads, in its order, each once."""
    values = [*mapping.identifiers.values(), mapping.event, mapping.timestamp, *mapping.attributes.values()]
    names = [value.name for value in values if isinstance(value, Column)]
    in_when = [] if mapping.when is None else pl.sql_expr(mapping.when).meta.root_names()
    return tuple(dict.fromkeys([*names, *mapping.event_key, *in_when]))
