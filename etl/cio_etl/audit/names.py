"""Names of attributes, and keys inside them, that Customer.io treats as two, or as its own."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import polars as pl

from cio_etl.apis import OPERATIONS
from cio_etl.audit.findings import FIRST, PositionedFinding, StepContext, finding_kind, sent
from cio_etl.model import Mapping, Step
from cio_etl.model.words import counted
from cio_etl.transform import Compiled, Mapped, columns_of, encode
from cio_etl.transform.nested import as_dtype

NAMES_COLLIDE = finding_kind("names_collide", "warning", "give them one name")
KEYS_COLLIDE = finding_kind("keys_collide", "notice", "give them one name, where the values are made")
COLUMNS_COLLIDE = finding_kind("columns_collide", "notice", "check whether the mapping reads the column that is meant")
NAME_IS_CUSTOMER_IO_S = finding_kind(
    "name_is_customer_io_s", "notice", "give the attribute another name, unless you mean Customer.io's"
)
ATTRIBUTES_TOO_MANY = finding_kind(
    "attributes_too_many", "warning", "leave some out; attributes over the limit are refused"
)


MAX_ATTRIBUTES = 300  # of a person or an object, over all calls (Track API reference)
JSON_VALUES_READ = 1_000  # of each attribute that is JSON text: each value is parsed


class Names:
    """Compares the step's names with those of the job's other steps, and observes the keys of nested values."""

    def __init__(self, step: Step, compiled: Compiled, context: StepContext) -> None:
        self._mapping, self._context = step.mapping, context
        self._parsed = {target: 0 for target in encode.verbatim(compiled.tree)}  # JSON text
        self._keys: dict[str, tuple[int, tuple[int, ...]]] = {}  # of a nested attribute: rows, and the first of them
        self._typed: dict[str, int] = {}  # of a struct, whose names are those of all rows: rows

    def observe(self, mapped: Mapped) -> None:
        for target, dtype in mapped.values.schema.items():
            if target.startswith("attributes.") and _type_collides(dtype):
                self._typed[target] = self._typed.get(target, 0) + sent(mapped, [target])[target].drop_nulls().len()
        for target, parsed in self._parsed.items():
            if parsed < JSON_VALUES_READ:
                rows = sent(mapped, [target]).drop_nulls().head(JSON_VALUES_READ - parsed)
                self._parsed[target] += rows.height
                for position, text in rows.iter_rows():
                    if _collides(json.loads(text)):
                        count, first = self._keys.get(target, (0, ()))
                        self._keys[target] = count + 1, (*first, position)[:FIRST]

    def findings(self) -> Iterable[PositionedFinding]:
        yield from self._of_the_job()
        yield from self._of_the_source()
        words = "keys that differ by capitals or white space only; they differ in segments"
        one, several = f"value has {words}", f"values have {words}"
        for target, rows in self._typed.items():
            yield KEYS_COLLIDE.finding(target, rows, counted(rows, one, several))
        for target, (rows, first) in self._keys.items():
            of_first = f"of the first {self._parsed[target]:,}, {counted(rows, one, several)}"
            yield KEYS_COLLIDE.finding(target, rows, of_first, first)

    def _of_the_job(self) -> Iterator[PositionedFinding]:
        mapping, operation = self._mapping, OPERATIONS[self._mapping.operation]
        own_names = mapping.part("attributes")
        if operation.has_event:  # each event has names of its own
            yield from _collisions(own_names, own_names)
            return
        steps = [step.mapping for step in self._context.steps]
        alike = [other for other in steps if _are_alike(other, mapping)] or [mapping]
        names = {name: None for other in alike for name in other.part("attributes")}
        yield from _collisions(own_names, names)
        reserved = [name for name in own_names if name.startswith("cio_") and name not in operation.reserved]
        for name in reserved:
            words = "names that begin with cio_ are Customer.io's own; it may set this attribute itself"
            yield NAME_IS_CUSTOMER_IO_S.finding(f"attributes.{name}", 0, words)
        if len(names) > MAX_ATTRIBUTES and mapping is alike[0]:
            words = f"the job's steps set {len(names)} attributes, and Customer.io keeps {MAX_ATTRIBUTES} of each"
            yield ATTRIBUTES_TOO_MANY.finding(None, 0, f"{words} {'object' if mapping.part('object') else 'person'}")

    def _of_the_source(self) -> Iterator[PositionedFinding]:
        read = columns_of(self._mapping)
        for names in _alike(self._context.columns):
            if read_names := [name for name in names if name in read]:
                words = f"the source has {_listed(names)}, and the mapping reads {_listed(read_names)}"
                yield COLUMNS_COLLIDE.finding(None, 0, words)


def _are_alike(one: Mapping, other: Mapping) -> bool:
    """Whether two mappings set attributes of the same kind of thing."""
    return one.operation == other.operation and one.targets.get("object.type") == other.targets.get("object.type")


def _collisions(names_of_mapping: Iterable[str], among: Iterable[str]) -> Iterator[PositionedFinding]:
    for names in _alike(among):
        if set(names) & set(names_of_mapping):
            words = f"{_listed(names)} differ by capitals or white space only; to Customer.io they are different"
            yield NAMES_COLLIDE.finding(f"attributes.{next(n for n in names if n in set(names_of_mapping))}", 0, words)


def _alike(names: Iterable[str]) -> Iterator[Sequence[str]]:
    """Groups of names that are equal without capitals and white space."""
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
