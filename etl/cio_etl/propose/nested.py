"""Makes columns of the members of objects, such as `properties.time` of an exported event.

Only objects that hold a row's own data are taken apart: properties, traits and the like. Other objects are sent as they
are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl
import polars.selectors as cs

from cio_etl.model import FAULT, POSITION, Call, Snapshot
from cio_etl.transform.functions import apply, plain_text

_OBJECTS = re.compile(r"(?:event_?)?(?:properties|props|traits|attributes|params|parameters)", re.IGNORECASE)
_SAMPLE = 2_000  # objects whose members are listed
MAX_MEMBERS = 100  # of an object: with more, its keys are data
_PLAIN_KEY = re.compile(r"[^.\[\]\"'\\]+")


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the objects in a column, and the path by which `pick` reads it."""

    column: str
    key: str
    path: str


def with_members(snapshot: Snapshot) -> tuple[Snapshot, dict[str, Member]]:
    """The snapshot with the members of its objects as further columns, in the object's place; and what these are."""
    members = {column: tuple(_members(snapshot, column)) for column in snapshot.schema if _OBJECTS.fullmatch(column)}
    members = {column: parts for column, parts in members.items() if 0 < len(parts) <= MAX_MEMBERS}
    by_name: dict[str, Member] = {}
    schema: dict[str, pl.DataType] = {}
    for column, dtype in snapshot.schema.items():
        names = {f"{column}.{part.key}": part for part in members.get(column, ())}
        if not names or names.keys() & snapshot.schema.keys():
            schema[column] = dtype
            continue
        by_name |= names
        schema |= {name: _dtype(dtype, part) for name, part in names.items()}
    if not by_name:
        return snapshot, {}

    def read(names: Sequence[str] | None, start: int) -> Iterator[pl.DataFrame]:
        wanted = list(schema if names is None else names)
        columns = list(dict.fromkeys(by_name[name].column if name in by_name else name for name in wanted))
        for frame in snapshot.read(columns, start):
            values = [
                _picked(by_name[name], snapshot.schema[by_name[name].column]).alias(name)
                if name in by_name
                else cs.by_name(name).as_expr()
                for name in wanted
            ]
            yield frame.select(*values, POSITION, FAULT)

    return replace(snapshot, schema=pl.Schema(schema), read=read), by_name


def _picked(member: Member, dtype: pl.DataType) -> pl.Expr:
    value = apply(cs.by_name(member.column).as_expr(), dtype, Call("pick", {"path": member.path}))
    return plain_text(value) if isinstance(dtype, pl.String) else value


def _dtype(dtype: pl.DataType, member: Member) -> pl.DataType:
    empty = pl.DataFrame(schema={member.column: dtype})
    return empty.select(_picked(member, dtype).alias("value")).schema["value"]


def _members(snapshot: Snapshot, column: str) -> Iterator[Member]:
    """The members that some object of the column has, in the order in which they first appear."""
    for key in _keys(snapshot, column):
        if _PLAIN_KEY.fullmatch(key) and key != "$":
            yield Member(column, key, key)
        elif not re.search(r"[\"\\\0]", key):
            yield Member(column, key, f'["{key}"]')


def _keys(snapshot: Snapshot, column: str) -> list[str]:
    dtype = snapshot.schema[column]
    if isinstance(dtype, pl.Struct):
        return [field.name for field in dtype.fields]
    if not isinstance(dtype, pl.String):
        return []
    keys: dict[str, None] = {}
    for frame in snapshot.read([column], 0):
        texts = frame.get_column(column).drop_nulls().str.strip_chars()
        texts = texts.filter(texts != "")
        for text in texts.head(_SAMPLE):
            document = _document(text)
            if document is None:
                return []
            keys |= dict.fromkeys(document)
        if len(texts):
            break
    return list(keys)


def _document(text: str) -> Mapping[str, Any] | None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
