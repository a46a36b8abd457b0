"""Rewrites a schema of Avro such that polars decodes the same bytes, and says what its columns become.

polars panics at some types, and knows no maps. But a map is written as a list of records of key and value is, a record
that is named elsewhere as if it stood here, and a decimal of 50 digits as the bytes that it is. What is written as
nothing, such as null, is left out: a list of a billion of it has five bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

import polars as pl

from cio_etl.extract.avro.container import without_rows
from cio_etl.model.records import dataclass

_PRIMITIVE = ("boolean", "int", "long", "float", "double", "bytes", "string")
_DIGITS = 38
_UUID_BYTES = 16
_DEPTH = 60


class Undecodable(ValueError):
    """A type that no decoder of columns has, in words. Rows are read whole, so the whole file cannot be read."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a file: its name, its schema for polars (None: it has no bytes), and what its values become.

    dtype: None where it is what polars makes of it.
    bytes_of: what its bytes mean, in words, where they have no JSON form.
    """

    name: str
    schema: Any | None
    dtype: pl.DataType | None
    is_uuid: bool
    bytes_of: str


def columns_of(fields: list[Any]) -> Iterator[Column]:
    """The columns of a file's rows. Raises Undecodable, with the column's number and name; KeyError, TypeError."""
    names: dict[str, Any] = {}
    numbers = count()
    for number, field in enumerate(fields, 1):
        name = field["name"]
        try:
            yield _column(name, field["type"], _Schemas(names, numbers))
        except Undecodable as error:
            raise Undecodable(f"column {number}, {name!r}, holds {error}") from None


def _column(name: str, kind: Any, schemas: _Schemas) -> Column:
    schema = schemas.decodable(kind, 0)
    plain = schemas.resolved(_not_null(kind))
    logical = plain.get("logicalType") if isinstance(plain, Mapping) else None
    is_uuid = logical == "uuid" and plain.get("type") == "fixed" and plain.get("size") == _UUID_BYTES
    bytes_of = {"decimal": f"decimals of more than {_DIGITS} digits", "duration": "durations"}.get(
        str(logical), "bytes"
    )
    return Column(name, schema, None if schema is None else schemas.dtype(kind), is_uuid, bytes_of)


def _type_name(kind: Any) -> str:
    if isinstance(kind, Mapping):
        return str(kind.get("logicalType") or kind.get("name") or _type_name(kind.get("type")))
    return str(kind)


def _not_null(kind: Any) -> Any:
    if isinstance(kind, list):
        others = [each for each in kind if each != "null"]
        return others[0] if len(others) == 1 else kind
    return kind


class _Schemas:
    """Rewrites types. `names`: the named types of the file so far; `numbers`: for the names of rewritten types."""

    def __init__(self, names: dict[str, Any], numbers: Iterator[int]) -> None:
        self._names, self._numbers = names, numbers
        self._open: list[str] = []  # the records around the present type

    def resolved(self, kind: Any) -> Any:
        """The type itself, where a name stands for it."""
        if isinstance(kind, str) and kind not in _PRIMITIVE:
            return self._names.get(kind, self._names.get(kind.rpartition(".")[2], kind))
        if isinstance(kind, Mapping) and isinstance(kind.get("type"), Mapping | list):
            return self.resolved(kind["type"])
        return kind

    def decodable(self, kind: Any, depth: int) -> Any | None:
        """The type as polars decodes it; None: it is written as nothing. Raises Undecodable."""
        kind = self.resolved(kind)
        if depth > _DEPTH:
            raise Undecodable(f"values nested more than {_DEPTH} levels deep")
        match kind:
            case "null":
                return None
            case str() if kind in _PRIMITIVE:
                return kind
            case str():
                raise Undecodable("a type that the schema does not define")
            case [*kinds]:
                return self._union(kinds, depth)
            case {"type": "map", "values": values}:
                value = self.decodable(values, depth + 1)
                if value is None:
                    raise Undecodable("maps of nothing")
                return self._list_of_entries(value)
            case {"type": "array", "items": items}:
                item = self.decodable(items, depth + 1)
                if item is None:
                    raise Undecodable("lists of nothing")
                return {"type": "array", "items": item}
            case {"type": "record" | "error", "fields": [*fields]}:
                return self._record(kind, fields, depth)
            case {"type": "enum" | "fixed" as sort}:
                return self._named(kind, sort)
            case {"type": str() as sort, "logicalType": str() as logical} if sort in _PRIMITIVE:
                return kind if _is_known(sort, logical, kind) else sort
            case {"type": inner}:
                return self.decodable(inner, depth + 1)
        raise Undecodable("values of an unknown type")

    def _union(self, kinds: list[Any], depth: int) -> Any:
        others = [each for each in kinds if each != "null"]
        if len(kinds) == 1:  # a second type changes no byte: values begin with the number of theirs
            return ["null", "boolean"] if not others else self._union([*kinds, "null"], depth)
        inner = self.decodable(others[0], depth) if len(kinds) == 2 and len(others) == 1 else None
        if inner is None:
            raise Undecodable(f"values of several types: {', '.join(map(_type_name, kinds))}")
        return ["null", inner] if kinds[0] == "null" else [inner, "null"]

    def _record(self, kind: Mapping[str, Any], fields: list[Any], depth: int) -> Any | None:
        name = self._remember(kind)
        if name in self._open:
            raise Undecodable(f"values of the type {name!r}, which contains itself")
        self._open.append(name)
        parts = [(field["name"], self.decodable(field["type"], depth + 1)) for field in fields]
        self._open.pop()
        written = [{"name": part, "type": schema} for part, schema in parts if schema is not None]
        return {"type": "record", "name": self._new_name(), "fields": written} if written else None

    def _named(self, kind: Mapping[str, Any], sort: str) -> Any | None:
        self._remember(kind)
        if sort == "enum":
            return {"type": "enum", "name": self._new_name(), "symbols": kind["symbols"]}
        if not kind["size"]:
            return None
        named = {"type": "fixed", "name": self._new_name(), "size": kind["size"]}
        if _is_known("fixed", str(kind.get("logicalType")), kind):
            named |= {key: kind[key] for key in ("logicalType", "precision", "scale") if key in kind}
        return named

    def _list_of_entries(self, value: Any) -> Any:
        fields = [{"name": "key", "type": "string"}, {"name": "value", "type": value}]
        return {"type": "array", "items": {"type": "record", "name": self._new_name(), "fields": fields}}

    def _remember(self, kind: Mapping[str, Any]) -> str:
        name = str(kind["name"])
        self._names[name] = kind
        self._names[name.rpartition(".")[2]] = kind
        return name

    def _new_name(self) -> str:
        """A name that no other type has: polars decodes a type where it stands."""
        return f"type{next(self._numbers)}"

    # ---- what the values become

    def dtype(self, kind: Any) -> pl.DataType | None:
        """The type of the column, where polars has another one for what it decodes."""
        kind = self.resolved(_not_null(self.resolved(kind)))
        match kind:
            case {"type": "map", "values": values}:
                return pl.Map(pl.String(), self._or_decoded(values))
            case {"type": "array", "items": items} if (inner := self.dtype(items)) is not None:
                return pl.List(inner)
            case {"type": "record" | "error", "fields": [*fields]}:
                parts = {field["name"]: field["type"] for field in fields if not self._is_nothing(field["type"])}
                if any(self.dtype(each) is not None for each in parts.values()):
                    return pl.Struct({name: self._or_decoded(each) for name, each in parts.items()})
            case {"type": "long", "logicalType": "timestamp-nanos"}:
                return pl.Datetime("ns", "UTC")
            case {"type": "long", "logicalType": "local-timestamp-nanos"}:
                return pl.Datetime("ns")
            case {"type": dict() | list() as inner}:
                return self.dtype(inner)
        return None

    def _again(self) -> _Schemas:
        return _Schemas(dict(self._names), self._numbers)

    def _is_nothing(self, kind: Any) -> bool:
        return self._again().decodable(kind, 0) is None

    def _or_decoded(self, kind: Any) -> pl.DataType:
        """The type of a part, also where polars decodes it as it is."""
        return self.dtype(kind) or _decoded(self._again().decodable(kind, 0))


def _decoded(schema: Any) -> pl.DataType:
    """What polars makes of a schema."""
    return pl.read_avro(without_rows([{"name": "c", "type": schema}])).schema["c"]


def _is_known(sort: str, logical: str, kind: Mapping[str, Any]) -> bool:
    """Whether polars knows what a type of this sort means by its logical type; else only its bytes count."""
    if logical == "decimal":
        return sort in ("bytes", "fixed") and 0 < int(kind.get("precision", 0)) <= _DIGITS
    known = {
        "int": ("date", "time-millis"),
        "long": (
            "time-micros",
            "timestamp-millis",
            "timestamp-micros",
            "local-timestamp-millis",
            "local-timestamp-micros",
        ),
        "string": ("uuid",),
    }
    return logical in known.get(sort, ())
