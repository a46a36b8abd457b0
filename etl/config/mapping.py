"""How does a mapping file become a Mapping?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, model_validator

from etl.config.calls import completed
from etl.config.meaning import digest
from etl.config.sections import OMITTED, Section, did_you_mean, in_order, validated, wrong
from etl.config.yaml_file import Document, Loc, read_yaml
from etl.errors import ConfigError, Problem
from etl.model import Call, Column, Constant, Example, IdentifierKind, Mapping, Value
from etl.transform import checks
from etl.transform.functions import parse_call
from etl.transform.operations import OPERATIONS, SEMANTIC_EVENTS
from etl.transform.row_sql import check_condition

KINDS: tuple[IdentifierKind, ...] = ("id", "email", "phone", "cio_id")


def load_mapping(path: Path) -> Mapping:
    """The mapping of a YAML file. Raises ConfigError with all that is wrong in it."""
    mapping, problems = read_mapping(path)
    if mapping is None:
        raise ConfigError(problems)
    return mapping


def read_mapping(path: Path) -> tuple[Mapping | None, list[Problem]]:
    """The mapping of a YAML file, or all that is wrong in it."""
    document = read_yaml(path)
    if document.data is None:
        return None, in_order(document.problems)
    parsed, faults = validated(MappingYaml, document.data)
    faults += [*_across(document.data), *_against_the_api(document.data)]
    problems = in_order([*document.problems, *(document.problem(loc, message) for loc, message in faults)])
    if parsed is None or problems:
        return None, problems
    mapping = parsed.to_mapping(document)
    return replace(mapping, digest=digest(mapping)), []


# ---------------------------------------------------------------- the sections


def _call(raw: object) -> Call:
    try:
        return completed(parse_call(raw))
    except ValueError as error:
        raise wrong(str(error)) from None


def _as_list(raw: object) -> object:
    if isinstance(raw, list):
        return raw
    if isinstance(raw, (str, dict)):
        return [raw]
    raise wrong("must be a name, or a list of them")


def _json(raw: Any) -> Any:
    """A constant, which JSON must be able to say."""
    if isinstance(raw, float) and not math.isfinite(raw):
        raise wrong("NaN or infinity, which JSON cannot say; leave it out")
    for inner in raw.values() if isinstance(raw, dict) else raw if isinstance(raw, list) else ():
        _json(inner)
    return raw


def _condition(sql: str) -> str:
    try:
        check_condition(sql)
    except ValueError as error:
        raise wrong(str(error)) from None
    return sql.strip()


def _operation(raw: object) -> str:
    if isinstance(raw, str) and raw in OPERATIONS:
        return raw
    raise wrong(f"no such operation; {did_you_mean(str(raw), OPERATIONS)}")


def _true(raw: object) -> bool:
    if raw is True:
        return True
    raise wrong("must be true, or left out")


Name = Annotated[str, Field(min_length=1)]
Names = Annotated[list[Name], BeforeValidator(_as_list)]


class ValueYaml(Section):
    """A column, alone or through functions, or a constant."""

    column: Name = OMITTED
    apply: Annotated[list[Annotated[Call, PlainValidator(_call)]], BeforeValidator(_as_list)] = Field(default=[])
    value: Annotated[Any, PlainValidator(_json)] = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, raw: object) -> object:
        if isinstance(raw, dict):
            return raw
        if isinstance(raw, str):
            return {"column": raw}
        raise wrong("a value is a column's name, {column: name, apply: [function]} or, for a constant, {value: 7}")

    @model_validator(mode="after")
    def _one_kind(self) -> ValueYaml:
        written = self.model_fields_set
        if len(written & {"column", "value"}) != 1:
            raise wrong("write either column: or value:, one of the two")
        if {"value", "apply"} <= written:
            raise wrong("apply: goes with a column; write the constant as it is to be sent")
        return self

    def to_value(self) -> Value:
        return Column(self.column, tuple(self.apply)) if self.column else Constant(self.value)


class IdentifiersYaml(Section):
    """Who: the kind is written, never guessed."""

    id: ValueYaml = OMITTED
    email: ValueYaml = OMITTED
    phone: ValueYaml = OMITTED
    cio_id: ValueYaml = OMITTED


class ExampleYaml(Section):
    """A row, and what becomes of it."""

    row: dict[str, Any]
    payload: dict[str, Any] = OMITTED
    rejected: Name = OMITTED
    skipped: Annotated[bool, PlainValidator(_true)] = OMITTED

    @model_validator(mode="after")
    def _one_outcome(self) -> ExampleYaml:
        if len(self.model_fields_set & {"payload", "rejected", "skipped"}) != 1:
            raise wrong("an example has one outcome: payload: {…}, rejected: reason, or skipped: true")
        return self


class MappingYaml(Section):
    """A mapping file."""

    operation: Annotated[str, PlainValidator(_operation)]
    identifiers: IdentifiersYaml
    event: ValueYaml = OMITTED
    timestamp: ValueYaml = OMITTED
    event_key: Names = Field(default=[])
    attributes: dict[str, ValueYaml] = Field(default={})
    nulls: Literal["omit", "clear"] = "omit"
    when: Annotated[str, AfterValidator(_condition)] = OMITTED
    allow_reserved: Names = Field(default=[])
    examples: list[ExampleYaml] = Field(default=[])

    def to_mapping(self, document: Document) -> Mapping:
        who = {kind: getattr(self.identifiers, kind) for kind in KINDS}
        return Mapping(
            file=document.file,
            operation=self.operation,
            identifiers={kind: value.to_value() for kind, value in who.items() if value is not None},
            attributes={name: value.to_value() for name, value in self.attributes.items()},
            digest="",
            event=self.event.to_value() if self.event else None,
            timestamp=self.timestamp.to_value() if self.timestamp else None,
            event_key=tuple(self.event_key),
            nulls=self.nulls,
            when=self.when,
            allow_reserved=tuple(self.allow_reserved),
            examples=tuple(
                Example(
                    example.row,
                    example.payload,
                    example.rejected,
                    bool(example.skipped),
                    document.line(("examples", n)),
                )
                for n, example in enumerate(self.examples)
            ),
        )


# ---------------------------------------------------------------- rules across keys: on the plain data, so that they
# are told together with the faults of single keys


def _across(data: dict[str, Any]) -> Iterator[tuple[Loc, str]]:
    yield from _of_identifiers(data.get("identifiers"))
    operation = OPERATIONS.get(str(data.get("operation")))
    if operation is None:
        return
    if operation.has_event and "event" not in data:
        yield ("event",), "missing; write event: {value: order_placed}, or the column that holds the event's name"
    for of_events in () if operation.has_event else ("event", "event_key"):
        if of_events in data:
            yield (of_events,), f"only an event has it; leave it out of {data['operation']}, or write operation: track"
    for place, name in enumerate(columns := _list(data.get("event_key"))):
        if name in columns[:place]:
            yield ("event_key", place), "written twice; keep one"
    seconds = _constant(data.get("timestamp"))
    if seconds is not None and not (isinstance(seconds, int) and not isinstance(seconds, bool)):
        yield ("timestamp",), "a constant time is a whole number of Unix seconds"
    known = sorted(operation.reserved | (SEMANTIC_EVENTS if operation.has_event else set()))
    for place, name in enumerate(_list(data.get("allow_reserved"))):
        if name not in known:
            yield ("allow_reserved", place), f"not a reserved name; {did_you_mean(name, known)}"


def _of_identifiers(identifiers: Any) -> Iterator[tuple[Loc, str]]:
    if not isinstance(identifiers, dict):
        return
    kinds = [kind for kind in identifiers if kind in KINDS]
    if not identifiers:
        yield ("identifiers",), f"empty; write one of {', '.join(KINDS)}"
    for kind in kinds[1:]:
        yield ("identifiers", kind), f"a second identifier; keep one of {', '.join(kinds)}"
    for kind in kinds:
        who = _constant(identifiers[kind])
        if who is not None and not (isinstance(who, (str, int)) and not isinstance(who, bool) and str(who).strip()):
            yield ("identifiers", kind), "a constant identifier is text, and not empty"


def _against_the_api(data: dict[str, Any]) -> Iterator[tuple[Loc, str]]:
    """What transform/checks.py finds wrong whatever the rows are; it looks at names, so only they are filled in."""
    operation, attributes, event = str(data.get("operation")), data.get("attributes"), _constant(data.get("event"))
    if operation not in OPERATIONS:
        return
    sketch = Mapping(
        file="",
        operation=operation,
        identifiers={},
        attributes=dict.fromkeys(attributes, Constant(None)) if isinstance(attributes, dict) else {},
        digest="",
        event=Constant(event) if event is not None else None,
        allow_reserved=tuple(_list(data.get("allow_reserved"))),
    )
    for path, message in checks.problems(sketch):
        yield tuple(path.split(".", 1)), message


def _constant(raw: Any) -> Any:
    return raw.get("value") if isinstance(raw, dict) else None


def _list(raw: Any) -> list[str]:
    """The texts of a list, or of one text that stands for a list."""
    return [one for one in (raw if isinstance(raw, list) else [raw]) if isinstance(one, str)]
