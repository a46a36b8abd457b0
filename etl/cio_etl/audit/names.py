"""Which names would Customer.io take for two, or for its own? Those of attributes, and of the keys in them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import polars as pl

from cio_etl.audit.found import FIRST, Found, StepContext, sent
from cio_etl.model import Mapping, Step
from cio_etl.transform import Compiled, Mapped, columns_of, encode
from cio_etl.transform.operations import OPERATIONS
from cio_etl.transform.structs import as_dtype

MAX_ATTRIBUTES = 300  # of a person or an object, over all calls (Track API reference)
JSON_LOOKED_AT = 1_000  # values of each attribute that is JSON text: each is parsed


class Names:
    """Looks at the step's names beside those of the job's other steps, and at the keys of nested values."""

    def __init__(self, step: Step, compiled: Compiled, beside: StepContext) -> None:
        self._mapping, self._beside = step.mapping, beside
        self._looked = {target: 0 for target in encode.verbatim(compiled.tree)}  # JSON text
        self._keys: dict[str, tuple[int, tuple[int, ...]]] = {}  # of a nested attribute: rows, and the first of them
        self._typed: dict[str, int] = {}  # of a struct, whose names are those of all rows: rows

    def observe(self, mapped: Mapped) -> None:
        for target, dtype in mapped.values.schema.items():
            if target.startswith("attributes.") and _type_collides(dtype):
                self._typed[target] = self._typed.get(target, 0) + sent(mapped, [target])[target].drop_nulls().len()
        for target, looked in self._looked.items():
            if looked < JSON_LOOKED_AT:
                rows = sent(mapped, [target]).drop_nulls().head(JSON_LOOKED_AT - looked)
                self._looked[target] += rows.height
                for position, text in rows.iter_rows():
                    if _collides(json.loads(text)):
                        count, first = self._keys.get(target, (0, ()))
                        self._keys[target] = count + 1, (*first, position)[:FIRST]

    def findings(self) -> Iterable[Found]:
        yield from self._of_the_job()
        yield from self._of_the_source()
        said = "values have keys that differ by capitals or white space only; in segments they are two"
        for target, rows in self._typed.items():
            yield Found("keys_collide", "notice", target, rows, f"{rows:,} {said}")
        for target, (rows, first) in self._keys.items():
            looked = f"of the first {self._looked[target]:,}, {rows:,} {said}"
            yield Found("keys_collide", "notice", target, rows, looked, first)

    def _of_the_job(self) -> Iterator[Found]:
        mine, operation = self._mapping, OPERATIONS[self._mapping.operation]
        if operation.has_event:  # each event has names of its own
            yield from _collisions(mine.attributes, mine.attributes)
            return
        steps = [step.mapping for step in self._beside.steps]
        alike = [mapping for mapping in steps if _are_alike(mapping, mine)] or [mine]
        names = {name: None for mapping in alike for name in mapping.attributes}
        yield from _collisions(mine.attributes, names)
        own = [name for name in mine.attributes if name.startswith("cio_") and name not in operation.reserved]
        for name in own:
            words = "names that begin with cio_ are Customer.io's own; it may set this attribute itself"
            yield Found("name_is_customer_io_s", "notice", f"attributes.{name}", 0, words)
        if len(names) > MAX_ATTRIBUTES and mine is alike[0]:
            words = f"the job's steps set {len(names)} attributes, and Customer.io keeps {MAX_ATTRIBUTES} of each"
            yield Found("attributes_too_many", "warning", None, 0, f"{words} {'object' if mine.object else 'person'}")

    def _of_the_source(self) -> Iterator[Found]:
        read = columns_of(self._mapping)
        for names in _alike(self._beside.columns):
            if mine := [name for name in names if name in read]:
                words = f"the source has {_listed(names)}, and the mapping reads {_listed(mine)}"
                yield Found("columns_collide", "notice", None, 0, words)


def _are_alike(one: Mapping, other: Mapping) -> bool:
    """Whether two mappings set attributes of the same kind of thing."""
    return one.operation == other.operation and one.object.get("type") == other.object.get("type")


def _collisions(of: Iterable[str], among: Iterable[str]) -> Iterator[Found]:
    for names in _alike(among):
        if set(names) & set(of):
            words = f"{_listed(names)} differ by capitals or white space only; to Customer.io they are two"
            yield Found("names_collide", "warning", f"attributes.{next(n for n in names if n in set(of))}", 0, words)


def _alike(names: Iterable[str]) -> Iterator[Sequence[str]]:
    """Those of the names that are the same without capitals and white space, together."""
    folded = defaultdict(list)
    for name in dict.fromkeys(names):
        folded["".join(name.split()).casefold()].append(name)
    yield from (alike for alike in folded.values() if len(alike) > 1)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(repr(name) for name in names)


def _collides(value: Any) -> bool:
    """Whether keys of an object, anywhere in a JSON value, differ by capitals or white space only."""
    if isinstance(value, dict):
        return any(_alike(value)) or any(map(_collides, value.values()))
    return isinstance(value, list) and any(map(_collides, value))


def _type_collides(dtype: pl.DataType) -> bool:
    if isinstance(dtype, pl.Struct):
        inner = any(_type_collides(as_dtype(field.dtype)) for field in dtype.fields)
        return inner or any(_alike(field.name for field in dtype.fields))
    return isinstance(dtype, pl.List | pl.Array) and _type_collides(as_dtype(dtype.inner))
