"""Functions that build an object or a list of several columns, as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from cio_etl.errors import did_you_mean
from cio_etl.model import Call
from cio_etl.model.reasons import PART_UNREADABLE
from cio_etl.model.records import dataclass
from cio_etl.transform import checks, encode, timestamps
from cio_etl.transform.functions.calls import apply, meant_null, parse_call
from cio_etl.transform.functions.define import FUNCTIONS, RAW_JSON, function, raw_json
from cio_etl.transform.nested import fields

GROUP = "Several columns"


Shape = dict[str, Any]  # {"column": name, "apply": [calls]}, {"value": constant}, {"object": {…}} or {"list": […]}


@dataclass(frozen=True, slots=True)
class Member:
    """A column that a shape reads, its functions, and its place in the shape: `.city`, `.lines[0]`."""

    path: str
    column: str
    calls: tuple[Call, ...]


def members_of(shape: Shape, path: str = "") -> Iterator[Member]:
    """The columns that a checked shape reads, in their order, at every depth."""
    if "column" in shape:
        yield Member(path, shape["column"], tuple(parse_call(raw) for raw in shape.get("apply", ())))
    for name, part in shape.get("object", {}).items():
        yield from members_of(part, f"{path}.{name}")
    for place, part in enumerate(shape.get("list", ())):
        yield from members_of(part, f"{path}[{place}]")


def shape_faults(shape: Any, path: str = "") -> Iterator[str]:
    """What is wrong with a shape, each with its place and its remedy."""
    at = f"{path}: " if path else ""
    if not isinstance(shape, dict) or len(shape.keys() & {"column", "value", "object", "list"}) != 1:
        yield f"{at}write a column, {{column: name, apply: [function]}}, {{value: 7}}, {{object: …}} or {{list: …}}"
    elif unknown := sorted(map(str, shape.keys() - {"column", "value", "object", "list", "apply"})):
        yield f"{at}unknown key {unknown[0]!r}; there are column, apply, value, object and list"
    elif "apply" in shape and "column" not in shape:
        yield f"{at}apply: needs a column"
    elif "object" in shape:
        members = shape["object"]
        if not isinstance(members, dict) or not members:
            yield f"{at}object: must be names with values, as {{street: street}}"
        for name, part in members.items() if isinstance(members, dict) else ():
            yield from shape_faults(part, f"{path}.{name}" if path else str(name))
    elif "list" in shape:
        if not isinstance(shape["list"], list) or not shape["list"]:
            yield f"{at}list: must be a list of values, as [street, city]"
        for place, part in enumerate(shape["list"] if isinstance(shape["list"], list) else ()):
            yield from shape_faults(part, f"{path}[{place}]")
    elif "column" in shape:
        yield from _column_faults(shape, at)


def _column_faults(shape: Shape, at: str) -> Iterator[str]:
    if not isinstance(shape["column"], str) or not shape["column"]:
        yield f"{at}column: must be a column's name"
    for raw in shape.get("apply", ()):
        try:
            call = parse_call(raw)
        except ValueError as error:
            yield from (f"{at}{line}" for line in str(error).splitlines())
            continue
        known = FUNCTIONS[call.name]
        if known.supplied or ("several columns" in known.takes and known.takes[0] == "several columns"):
            yield f"{at}{call.name} cannot be used inside an object or list; write a value of its own"


def _check(*, of: Shape) -> None:
    if faults := list(shape_faults(of)):
        raise ValueError("\n".join(faults))


def _nothing_failed(value: pl.Expr, dtype: pl.DataType, *, of: Shape) -> pl.Expr:
    return _made(value, dtype, of)[1].not_()


@function(takes=("several columns",), reason=PART_UNREADABLE, shorthand="of", check=_check, means_null=_nothing_failed)
def build(value: pl.Expr, dtype: pl.DataType, *, of: Shape) -> pl.Expr:
    """An object or a list of several columns, which `object:` and `list:` of a value write shorter.

    A member or an entry that is null is left out; without any, the value is null. Each value keeps its kind.

    >>> {"a": "Nice", "b": 6} | {build: {object: {city: {column: a}, n: {column: b}}}} -> {"city": "Nice", "n": 6}
    >>> {"a": null, "b": 6} | {build: {list: [{column: a}, {column: b}, {value: x}]}} -> [6, "x"]
    >>> {"a": "n/a", "b": 6} | {build: {object: {n: {column: a, apply: [number]}}}} -> rejected
    """
    text, failed, is_there = _made(value, dtype, of)
    return raw_json(pl.when(is_there & ~failed).then(text))


def _made(value: pl.Expr, dtype: pl.DataType, shape: Shape) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """The JSON text of a shape, whether a part of it failed, and whether any column of it has a value."""
    assert isinstance(dtype, pl.Struct)
    inside = {name: (part, kind) for name, part, kind in fields(value, dtype)}
    return _part(inside, shape)


def _part(inside: dict[str, tuple[pl.Expr, pl.DataType]], shape: Shape) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    if "value" in shape:
        return pl.lit(encode.literal(shape["value"])), pl.lit(False), pl.lit(False)
    if "column" in shape:
        return _column(inside, shape)
    if "object" in shape:
        parts = [(f",{encode.literal(name)}:", *_part(inside, part)) for name, part in shape["object"].items()]
    else:
        parts = [(",", *_part(inside, part)) for part in shape["list"]]
    opening, closing = ("{", "}") if "object" in shape else ("[", "]")
    pieces = [pl.concat_str(pl.lit(begin), text) for begin, text, _, _ in parts]  # null where the value is null
    joined = pl.concat_str(pieces, ignore_nulls=True).str.strip_prefix(",")
    failed = pl.any_horizontal(failed for _, _, failed, _ in parts)
    is_there = pl.any_horizontal(there for _, _, _, there in parts)
    constant = all("value" in part for part in (shape.get("object", {}).values() or shape.get("list", ())))
    text = pl.concat_str(pl.lit(opening), joined, pl.lit(closing))
    return (text if constant else pl.when(is_there).then(text)), failed, is_there


def _column(inside: dict[str, tuple[pl.Expr, pl.DataType]], shape: Shape) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    (member,) = members_of(shape)
    name, calls = member.column, member.calls
    as_json = name + checks.AS_JSON
    if as_json in inside and not calls:
        text = inside[as_json][0]
        return text, pl.lit(False), text.is_not_null()
    if name not in inside:
        raise ValueError(f"no column {name!r}; {did_you_mean(name, inside)}")
    made, kind = inside[name]
    failed = pl.lit(False)
    for call in calls:
        before, before_kind = made, kind
        is_open = call.arguments.get("unit", "auto") == "auto" and "format" not in call.arguments
        if FUNCTIONS[call.name].facts is not None and is_open and not isinstance(kind, pl.Date | pl.Datetime):
            what = "inside an object or list, write its unit or format, as {timestamp: {unit: ms}}"
            raise ValueError(f"{call.name}: {what}")
        made = apply(before, before_kind, call)
        frame = pl.LazyFrame(schema={"made": before_kind})
        kind = frame.select(apply(pl.col("made"), before_kind, call).alias("out")).collect_schema()["out"]
        lost = made.is_null() & before.is_not_null()
        meant = meant_null(before, before_kind, call)
        failed |= lost if meant is None else lost & meant.fill_null(False).not_()
    if kind == RAW_JSON:
        text = made.struct.field("raw_json")
        return text, failed, text.is_not_null()
    if (broken := encode.not_finite(made, kind)) is not None:
        failed |= broken.fill_null(False)
    if isinstance(kind, pl.Date | pl.Datetime):
        seconds = timestamps.seconds(made, kind)
        failed |= seconds.is_between(checks.EARLIEST_S, checks.LATEST_S).not_().fill_null(made.is_not_null())
    if (far := checks.date_inside(made, kind)) is not None:
        failed |= far.fill_null(False)
    settled = encode.settle(made, kind)
    settled_kind = pl.LazyFrame(schema={"made": kind}).select(encode.settle(pl.col("made"), kind).alias("out"))
    text = encode.json_text(settled, settled_kind.collect_schema()["out"])
    return pl.when(made.is_not_null()).then(text), failed, made.is_not_null()
