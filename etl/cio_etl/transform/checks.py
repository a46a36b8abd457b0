"""The checks that a row must pass before it is sent. Each is one expression, with its reason declared beside it.

The limits are Customer.io's, in UTF-8 bytes of what is sent (Track API v2 reference: people, events, sizes). Its API
drops data over these limits without an error, so the program must report it.

To add a check: a reason, and a function or line that yields the Check.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from typing import Any

import polars as pl

from cio_etl.apis import OPERATIONS, SEMANTIC_EVENTS, Payload
from cio_etl.model import ENTRY, Constant, Mapping
from cio_etl.model.reasons import (
    CHARACTERS_UNSEEN,
    DEVICE_MISSING,
    EMAIL_MALFORMED,
    EVENT_ID_MISSING,
    EVENT_KEY_MISSING,
    EVENT_NAME_MISSING,
    EVENT_NAME_RESERVED,
    EVENT_NAME_TOO_LONG,
    IDENTIFIER_MISSING,
    IDENTIFIER_TOO_LONG,
    ITEM_TOO_LARGE,
    MERGE_OF_ONE,
    NUMBER_NOT_FINITE,
    OBJECT_MISSING,
    OBJECT_TOO_LONG,
    OBJECT_TYPE_MALFORMED,
    PHONE_MALFORMED,
    PLATFORM_UNKNOWN,
    RELATIONSHIP_MISSING,
    TIMESTAMP_MISSING,
    TIMESTAMP_OUT_OF_RANGE,
    VALUE_TOO_LONG,
)
from cio_etl.model.records import dataclass
from cio_etl.transform import encode, row_sql, timestamps
from cio_etl.transform.decimals import NUMBER
from cio_etl.transform.invisible import UNSEEN, has_unseen, is_blank
from cio_etl.transform.nested import anywhere

AS_JSON = "\0json"  # after the name of a column of JSON text: its JSON, where the name itself has the plain text
MAX_IDENTIFIER_BYTES = 150
MAX_NAME_BYTES = 150  # of an attribute
MAX_EVENT_NAME_BYTES = 100
MAX_ITEM_BYTES = 32_000
EARLIEST_S, LATEST_S = -2_208_988_800, 7_258_118_400  # 1900 and 2200: milliseconds and 9999-12-31 lie beyond
_NOT_IN_EMAIL = rf"@\s,;<>()\[\]{UNSEEN}"
EMAIL_SHAPE = rf"^[^{_NOT_IN_EMAIL}]+@[^{_NOT_IN_EMAIL}.]+(\.[^{_NOT_IN_EMAIL}.]+)+$"
E164_SHAPE = r"^\+[1-9][0-9]{6,14}$"
OBJECT_TYPE_SHAPE = r"^[1-9][0-9]{0,8}$"


@dataclass(frozen=True, slots=True)
class Check:
    """A row for which `broken` is true is rejected with `reason`; a null counts as false."""

    reason: str
    field: str | None
    broken: pl.Expr


def problems(mapping: Mapping) -> Iterator[tuple[str, str]]:
    """The faults of a mapping that do not depend on the rows: (dotted path, fault and remedy)."""
    operation, attributes = OPERATIONS[mapping.operation], mapping.part("attributes")
    if operation.max_attributes is not None and len(attributes) > operation.max_attributes:
        yield "attributes", f"{len(attributes)} attributes; Customer.io takes {operation.max_attributes} a call"
    for name in attributes:
        path = f"attributes.{name}"
        if not name.strip():
            yield "attributes", "an attribute has an empty name"
        if len(name.encode()) > MAX_NAME_BYTES:
            yield path, f"the name is {len(name.encode())} bytes; Customer.io takes {MAX_NAME_BYTES}"
        if name in operation.reserved and name not in mapping.allow_reserved:
            yield path, f"{name!r} is reserved by Customer.io; add allow_reserved: [{name}] if you mean it"
    if isinstance(event := mapping.targets.get("event"), Constant):
        name = event.value
        if not isinstance(name, str) or not name.strip():
            yield "event", "the name of an event is text, and not empty"
        elif len(name.encode()) > MAX_EVENT_NAME_BYTES:
            yield "event", f"the name is {len(name.encode())} bytes; Customer.io takes {MAX_EVENT_NAME_BYTES}"
        elif name.strip() in SEMANTIC_EVENTS and name not in mapping.allow_reserved:
            yield "event", f"Customer.io acts on events named {name!r}; add it to allow_reserved if you mean it"


def is_name(target: str) -> bool:
    """Whether a target is an identifier or a name, so that its value is text: `identifiers.id`, `event`."""
    return bool(_NAME.fullmatch(target))


_NAME = re.compile(
    r"event|event_id|device\.(token|platform)|(identifiers|primary|secondary|object|relationships\[\d+\]\.(object|person))\.\w+"
)


def row_checks(
    mapping: Mapping, types: MappingOf[str, pl.DataType], dates: set[str], payload: Payload
) -> Iterator[Check]:
    """All checks for the rows of a mapping; `types` are those of its converted values, `dates` its times."""
    if mapping.alternatives:
        nobody = pl.all_horizontal(pl.col(target).is_null() for target in mapping.alternatives)
        yield Check(IDENTIFIER_MISSING, "identifiers", nobody)
    for target in mapping.targets:
        part, _, name = target.partition(".")
        if part in ("identifiers", "primary", "secondary"):
            about = identifier_checks(name, pl.col(target).cast(pl.String), target)
            yield from (check for check in about if not (mapping.alternatives and check.reason == IDENTIFIER_MISSING))
        elif part == "object":
            yield from object_checks(name, pl.col(target).cast(pl.String), target)
    yield from _merge_checks(mapping)
    if mapping.from_columns("event"):
        yield from event_name_checks(pl.col("event"), mapping.allow_reserved)
    if "timestamp" in mapping.targets:
        yield from timestamp_checks(pl.col("timestamp"))
    if mapping.event_key:
        yield Check(EVENT_KEY_MISSING, "event_key", pl.col("_digest").is_null() & pl.col("event").is_not_null())
    if "event_id" in mapping.targets:
        yield Check(EVENT_ID_MISSING, "event_id", pl.col("event_id").is_null() | is_blank(pl.col("event_id")))
    for target, dtype in types.items():
        if (broken := encode.not_finite(pl.col(target), dtype)) is not None:
            yield Check(NUMBER_NOT_FINITE, target, broken)
    yield from _device_checks(types)
    yield from _relationship_checks(mapping, types, payload.max_relationships is not None)
    yield from attribute_checks(mapping, types, dates)
    if "device.last_used" in types:
        yield from date_checks("device.last_used", pl.col("device.last_used"))


def attribute_checks(mapping: Mapping, types: MappingOf[str, pl.DataType], dates: set[str]) -> Iterator[Check]:
    """The checks of attributes of these types, of which `dates` are times."""
    limit = OPERATIONS[mapping.operation].max_value_bytes
    for target, dtype in types.items():
        if "attributes." not in target:
            continue
        yield from value_checks(target, pl.col(target), dtype, limit)
        if target in dates and dtype.is_numeric():  # not the text that a function has made of a time
            yield from date_checks(target, pl.col(target))
        if target == "attributes.email" and mapping.operation == "identify" and dtype == pl.String:
            yield Check(EMAIL_MALFORMED, target, pl.col(target).str.contains(EMAIL_SHAPE).not_())
        if target == "attributes.phone" and mapping.operation == "identify" and dtype == pl.String:
            yield Check(CHARACTERS_UNSEEN, target, has_unseen(pl.col(target)))


def constant_faults(mapping: Mapping) -> Iterator[tuple[str, str, bool]]:
    """The constants of attributes that would be refused as the values of a column are: target, reason, and whether it
    is that of `on_error`.
    """
    for target, value in mapping.targets.items():
        if "attributes." in target and isinstance(value, Constant):
            yield from ((target, reason, False) for reason in _reasons(mapping, target, value.value))
    for target, instead in mapping.on_error.items():
        if instead is not None:
            yield from ((target, reason, True) for reason in _reasons(mapping, target, instead.value))


def _reasons(mapping: Mapping, target: str, value: Any) -> Iterator[str]:
    """Why a row would be rejected whose value of an attribute is this one."""
    limit = OPERATIONS[mapping.operation].max_value_bytes
    if isinstance(value, dict | list):
        if limit is not None and len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()) > limit:
            yield VALUE_TOO_LONG
    elif value is not None:
        frame = pl.DataFrame({target: [value]})
        dtype = frame.schema[target]
        if target == "attributes.created_at" and not dtype.is_integer():
            yield TIMESTAMP_OUT_OF_RANGE
            return
        if target == "attributes.email" and mapping.operation == "identify" and dtype != pl.String:
            yield EMAIL_MALFORMED
        rules = list(attribute_checks(mapping, {target: dtype}, {target} & {"attributes.created_at"}))
        broken = frame.select(rule.broken.alias(str(place)) for place, rule in enumerate(rules))
        yield from (rule.reason for rule, column in zip(rules, broken, strict=True) if column.any())


def identifier_checks(kind: str, value: pl.Expr, path: str) -> Iterator[Check]:
    """Checks of a person's identifier."""
    yield Check(IDENTIFIER_MISSING, path, value.is_null() | is_blank(value))
    yield Check(IDENTIFIER_TOO_LONG, path, value.str.len_bytes() > MAX_IDENTIFIER_BYTES)
    if kind not in ("email", "phone"):  # they have a shape
        yield Check(CHARACTERS_UNSEEN, path, has_unseen(value))
    if kind == "email":
        yield Check(EMAIL_MALFORMED, path, value.str.contains(EMAIL_SHAPE).not_())
    if kind == "phone":
        yield Check(PHONE_MALFORMED, path, value.str.contains(E164_SHAPE).not_())


def object_checks(name: str, value: pl.Expr, path: str) -> Iterator[Check]:
    """Checks of an object's id or type."""
    yield Check(OBJECT_MISSING, path, value.is_null() | is_blank(value))
    yield Check(OBJECT_TOO_LONG, path, value.str.len_bytes() > MAX_IDENTIFIER_BYTES)
    yield Check(CHARACTERS_UNSEEN, path, has_unseen(value))
    if name == "type":
        yield Check(OBJECT_TYPE_MALFORMED, path, value.str.contains(OBJECT_TYPE_SHAPE).not_())


def _merge_checks(mapping: Mapping) -> Iterator[Check]:
    for kind in mapping.part("primary").keys() & mapping.part("secondary").keys():
        primary, secondary = (pl.col(f"{part}.{kind}").cast(pl.String) for part in ("primary", "secondary"))
        if kind == "email":
            primary, secondary = primary.str.to_lowercase(), secondary.str.to_lowercase()
        yield Check(MERGE_OF_ONE, f"secondary.{kind}", primary == secondary)


def _device_checks(types: MappingOf[str, pl.DataType]) -> Iterator[Check]:
    if "device.token" in types:
        token = pl.col("device.token")
        yield Check(DEVICE_MISSING, "device.token", token.is_null() | is_blank(token))
        yield Check(CHARACTERS_UNSEEN, "device.token", has_unseen(token))
    if "device.platform" in types:
        platform = pl.col("device.platform")
        yield Check(PLATFORM_UNKNOWN, "device.platform", platform.is_null() | platform.is_in(["ios", "android"]).not_())


def _relationship_checks(mapping: Mapping, types: MappingOf[str, pl.DataType], all_needed: bool) -> Iterator[Check]:
    """A relationship whose other end is null in a row is left out; an operation on relationships needs one of them."""
    ends = [[f"{end}.{name}" for name in mapping.part(end)] for end in mapping.relationship_ends()]
    for target in (target for end in ends for target in end if target in types):
        text = pl.col(target).cast(pl.String)
        name = target.rpartition(".")[2]
        about = object_checks(name, text, target) if ".object." in target else identifier_checks(name, text, target)
        yield Check(RELATIONSHIP_MISSING, target, is_blank(text))
        yield from (check for check in about if not check.reason.endswith("_missing"))
    needed = all_needed or "relationships" in OPERATIONS[mapping.operation].needs
    missing = [pl.any_horizontal([pl.col(t).is_null() for t in end if t in types] or [pl.lit(False)]) for end in ends]
    if missing and needed:
        yield Check(RELATIONSHIP_MISSING, "relationships", pl.all_horizontal(missing))


def event_name_checks(value: pl.Expr, allowed: tuple[str, ...]) -> Iterator[Check]:
    """Checks of an event's name, where it comes from a column."""
    name = value.str.strip_chars()  # Customer.io trims it
    yield Check(EVENT_NAME_MISSING, "event", value.is_null() | is_blank(value))
    yield Check(CHARACTERS_UNSEEN, "event", has_unseen(value, joiners=True))
    yield Check(EVENT_NAME_TOO_LONG, "event", value.str.len_bytes() > MAX_EVENT_NAME_BYTES)
    yield Check(EVENT_NAME_RESERVED, "event", name.is_in(sorted(SEMANTIC_EVENTS - set(allowed))))


def timestamp_checks(value: pl.Expr) -> Iterator[Check]:
    """Checks of the item's own time."""
    yield Check(TIMESTAMP_MISSING, "timestamp", value.is_null())
    yield Check(TIMESTAMP_OUT_OF_RANGE, "timestamp", value.is_between(0, LATEST_S).not_())


def date_checks(path: str, value: pl.Expr) -> Iterator[Check]:
    """Checks of a date in Unix seconds other than the item's own time."""
    yield Check(TIMESTAMP_OUT_OF_RANGE, path, value.is_between(EARLIEST_S, LATEST_S).not_())


def date_inside(value: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    """True where a date or time inside a nested value is out of range; None when its type has none.

    The value is as the source has it: once it is seconds, a time cannot be told from a number.
    """

    def out_of_range(value: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
        if not isinstance(dtype, pl.Datetime | pl.Date):
            return None
        return timestamps.seconds(value, dtype).is_between(EARLIEST_S, LATEST_S).not_().fill_null(False)

    return anywhere(value, dtype, out_of_range) if dtype.is_nested() else None


def value_checks(path: str, value: pl.Expr, dtype: pl.DataType, limit: int | None) -> Iterator[Check]:
    """Checks of an attribute's converted value."""
    if limit is not None and dtype == pl.String:
        yield Check(VALUE_TOO_LONG, path, value.str.len_bytes() > limit)
    elif limit is not None and dtype.is_nested() and dtype != NUMBER:
        yield Check(VALUE_TOO_LONG, path, encode.json_text(value, dtype).str.len_bytes() > limit)


def item_checks(item: pl.Expr) -> Iterator[Check]:
    """Checks of the finished item text, which ends in a comma that is not part of it."""
    yield Check(ITEM_TOO_LARGE, None, item.str.len_bytes() - 1 > MAX_ITEM_BYTES)


def columns_of(mapping: Mapping) -> tuple[str, ...]:
    """The source columns that a mapping reads, in its order, each once."""
    names = [name.removesuffix(AS_JSON) for value in mapping.targets.values() for name in value.sources]
    in_when = () if mapping.when is None else row_sql.columns_of(mapping.when)
    exploded = () if mapping.explode is None else (mapping.explode,)
    return tuple(dict.fromkeys([*names, *mapping.event_key, *mapping.order_by, *in_when, *exploded]))


def columns_of_source(mapping: Mapping) -> tuple[str, ...]:
    """The same without the place of an entry, which rows have only once a list is exploded."""
    return tuple(name for name in columns_of(mapping) if mapping.explode is None or name != ENTRY)
