"""How does a mapping file become a Mapping?"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema, model_validator

from cio_etl.config.canonical import digest
from cio_etl.config.function_arguments import completed
from cio_etl.config.job_sections import JobYaml
from cio_etl.config.validation import in_order, is_rather, unless_told, validated
from cio_etl.config.yaml_file import Document, Loc, read_yaml
from cio_etl.errors import ConfigError, Problem
from cio_etl.model import (
    Api,
    Call,
    Column,
    Columns,
    Constant,
    Device,
    Example,
    IdentifierKind,
    Mapping,
    Relationship,
    Value,
)
from cio_etl.model.yaml_section import SHOWN_DEFAULT, Section, Text, did_you_mean, omitted, wrong
from cio_etl.transform import checks, unsayable
from cio_etl.transform.functions import parse_call
from cio_etl.transform.operations import OPERATIONS, PARTS, SEMANTIC_EVENTS, Operation
from cio_etl.transform.row_sql import check_condition, columns_of

KINDS: tuple[IdentifierKind, ...] = ("id", "email", "phone", "cio_id", "anonymous_id")


def load_mapping(path: Path) -> Mapping:
    """The mapping of a YAML file. Raises ConfigError with all that is wrong in it."""
    mapping, problems = read_mapping(path)
    if mapping is None or problems:
        raise ConfigError(problems)
    return mapping


def read_mapping(path: Path, api: Api | None = None) -> tuple[Mapping | None, list[Problem]]:
    """The mapping of a YAML file, and all that is wrong in it, also what the API has no place for, if it is known.

    Both, where the mapping can be tried: nothing but examples is wrong with it, or that it does not fit the API.
    """
    document = read_yaml(path)
    if document.data is None:
        return None, in_order(document.problems)
    if is_rather(document.data, JobYaml, than=MappingYaml):
        told = "a job, and a mapping is wanted here: it has operation: and identifiers:"
        return None, [document.problem((), told)]
    parsed, faults = validated(MappingYaml, document.data)
    faults += [*_across(document.data), *_against_the_api(document.data)]
    faults = unless_told(faults, document.refused)
    problems = in_order([*document.problems, *(document.problem(loc, message) for loc, message in faults)])
    if problems:
        parsed = _without_broken_examples(document.data, problems)
    if parsed is None:
        return None, problems
    mapping = parsed.to_mapping(document)
    unfit = [] if api is None else [document.problem(_loc(path), text) for path, text in unsayable(mapping, api)]
    return replace(mapping, digest=digest(mapping)), in_order([*problems, *unfit])


def _without_broken_examples(data: dict[str, Any], problems: Iterable[Problem]) -> MappingYaml | None:
    """The mapping with an empty example in place of each that is wrong; None where anything else is wrong, too."""
    broken = [found and int(found[1]) for found in (_OF_EXAMPLE.match(problem.path) for problem in problems)]
    if not all(found is not None for found in broken):
        return None
    empty = {"row": {}, "skipped": True}
    examples = [empty if place in broken else example for place, example in enumerate(data["examples"])]
    return validated(MappingYaml, data | {"examples": examples})[0]


_OF_EXAMPLE = re.compile(r"examples\[(\d+)\]")


def _loc(path: str) -> Loc:
    """The place that a dotted path means: `relationships[0].person`."""
    return tuple(int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", path))


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


def _payload(raw: object) -> object:
    if isinstance(raw, (dict, str)):
        return raw
    raise wrong("must be keys with values, as `key: value`; of a segment, an identifier as text")


def _topic(name: str) -> str:
    if name.isascii() and name.isdigit():
        return name
    raise wrong("a topic goes by its number in the subscription centre, as 3")


def _segment(raw: object) -> int:
    if isinstance(raw, int) and not isinstance(raw, bool) and raw > 0:
        return raw
    raise wrong("the number of a manual segment, as 7")


Names = Annotated[list[Text], BeforeValidator(_as_list)]
Attributes = dict[str, "ValueYaml"]


CALL_SCHEMA = {"$comment": "a call"}  # stands for a reference to the definition of all functions
FunctionCall = Annotated[Call, PlainValidator(_call), WithJsonSchema(CALL_SCHEMA)]

_MAKE_ONE = "columns: needs apply: with what makes one value of them, as coalesce or {concat: ' '}"


class ValueYaml(Section):
    """A column, alone or through functions; several columns, through a function that makes one value of them; SQL over
    the row's columns; or a constant."""

    one_of = ("column", "columns", "expr", "value")
    goes_with: ClassVar = {"apply": ("column", "columns", "expr"), "columns": ("apply",)}
    not_offered: ClassVar = {
        "default": "a default is a function; write apply: [{default: free}]",
        "const": "a constant is written value:",
        "field": "a column is written column:",
    }
    short_form = "a column's name"

    column: Text = omitted("the name of a column of the source")
    columns: Annotated[list[Text], Field(min_length=1)] = omitted(
        'several columns; the first function of `apply` makes one value of them, as `{concat: " "}`'
    )
    expr: Text = omitted("an SQL expression over the columns of the row, as `gross - tax`; `apply` may follow")
    apply: Annotated[list[FunctionCall], BeforeValidator(_as_list)] = Field(
        default=[],
        description="the functions that change the value, from left to right: a name, `{name: argument}`, or a list of "
        "them",
    )
    value: Annotated[Any, PlainValidator(_json)] = Field(
        None,
        description="a constant: text, a number, true, a list, an object; `{value: null}` removes the attribute",
    )

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, raw: object) -> object:
        if isinstance(raw, dict):
            return raw
        if isinstance(raw, str):
            return {"column": raw}
        raise wrong("a value is a column's name, {column: name, apply: [function]} or, for a constant, {value: 7}")

    @classmethod
    def of_keys(cls, written: AbstractSet[str]) -> Iterator[str]:
        if len(written & {*cls.one_of}) != 1:
            yield "write one of column:, columns:, expr: and value:"
        elif {"value", "apply"} <= written:
            yield "apply: goes with a column; write the constant as it is to be sent"
        elif "columns" in written and "apply" not in written:
            yield _MAKE_ONE

    @model_validator(mode="after")
    def _fits_together(self) -> ValueYaml:
        if self.expr:
            _call({"expr": self.expr})
        if self.columns and "apply" in self.model_fields_set and not self.apply:
            raise wrong(_MAKE_ONE)
        if self.columns and len(set(self.columns)) < len(self.columns):
            raise wrong("columns: has one twice; keep one")
        return self

    def to_value(self) -> Value:
        if self.expr:
            return Columns(columns_of(self.expr), (_call({"expr": self.expr}), *self.apply))
        if self.columns:
            return Columns(tuple(self.columns), tuple(self.apply))
        return Column(self.column, tuple(self.apply)) if self.column else Constant(self.value)


class IdentifiersYaml(Section):
    """Who: the kind is written, never guessed."""

    one_of = KINDS

    id: ValueYaml = omitted("the person's id in your systems; sent as text, so `00042` stays `00042`")
    email: ValueYaml = omitted("the person's e-mail address")
    phone: ValueYaml = omitted("the person's telephone number in E.164 form, as `+33123456789`")
    cio_id: ValueYaml = omitted("Customer.io's own identifier of the person")
    anonymous_id: ValueYaml = omitted("of events: the id of a visitor who is not known yet")

    def to_values(self) -> dict[IdentifierKind, Value]:
        who = {kind: getattr(self, kind) for kind in KINDS}
        return {kind: value.to_value() for kind, value in who.items() if value is not None}


def _object_type(raw: object) -> object:
    """The number of an object's type, which may be written as it is."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        return {"value": str(raw)}
    return raw


class ObjectYaml(Section):
    """Which object: by its type and id, or by the id that Customer.io gave it."""

    one_of = ("id", "cio_object_id")
    goes_with: ClassVar = {"type": ("id",), "id": ("type",)}

    type: Annotated[ValueYaml, BeforeValidator(_object_type, json_schema_input_type=ValueYaml | int)] = omitted(
        "the number of the object's type in Customer.io, as `1`, or a column that contains it"
    )
    id: ValueYaml = omitted("the object's id in your systems")
    cio_object_id: ValueYaml = omitted("Customer.io's own identifier of the object")

    @classmethod
    def of_keys(cls, written: AbstractSet[str]) -> Iterator[str]:
        if written not in ({"type", "id"}, {"cio_object_id"}):
            yield "write type: and id:, or cio_object_id: alone"

    def to_values(self) -> dict[str, Value]:
        parts = {name: getattr(self, name) for name in ("type", "id", "cio_object_id")}
        return {name: value.to_value() for name, value in parts.items() if value is not None}


class RelationshipYaml(Section):
    """What a person or an object is tied to, and attributes of the tie."""

    one_of = ("object", "person")

    object: ObjectYaml = omitted("the object to which the person is related")
    person: IdentifiersYaml = omitted("the person to whom the object is related")
    attributes: Attributes = Field(default={}, description="the attributes of the relationship: names and values")

    @classmethod
    def of_keys(cls, written: AbstractSet[str]) -> Iterator[str]:
        if len(written & {*cls.one_of}) != 1:
            yield "write object: for a person's tie, person: for an object's, one of the two"

    def to_relationship(self) -> Relationship:
        attributes = {name: value.to_value() for name, value in self.attributes.items()}
        if self.person:
            return Relationship(
                "person", {str(kind): value for kind, value in self.person.to_values().items()}, attributes
            )
        return Relationship("object", self.object.to_values(), attributes)


class DeviceYaml(Section):
    """A person's device."""

    token: ValueYaml = Field(description="the token of the device, to which messages are sent")
    platform: ValueYaml = omitted("`ios` or `android`: a column, or `{value: ios}`")
    last_used: ValueYaml = omitted("when the device was last used, in Unix seconds")
    attributes: Attributes = Field(default={}, description="the attributes of the device: names and values, texts")

    def to_device(self) -> Device:
        return Device(
            token=self.token.to_value(),
            platform=self.platform.to_value() if self.platform else None,
            last_used=self.last_used.to_value() if self.last_used else None,
            attributes={name: value.to_value() for name, value in self.attributes.items()},
        )


class ExampleYaml(Section):
    """A row, and what becomes of it."""

    one_of = (("payload", "pipelines"), "rejected", "skipped")

    row: dict[str, Any] = Field(
        description="a row of the source: every column that the mapping uses, with its value or null"
    )
    payload: Annotated[dict[str, Any] | str, PlainValidator(_payload, json_schema_input_type=dict[str, Any] | str)] = (
        omitted("what is sent for the row with `api: track`; of a segment, the identifier")
    )
    pipelines: dict[str, Any] = omitted("what is sent for the row with `api: pipelines`")
    rejected: Annotated[Text, WithJsonSchema({"enum": [*checks.REASONS]})] = omitted(
        "the row is rejected, for this reason"
    )
    skipped: Annotated[bool, PlainValidator(_true, json_schema_input_type=Literal[True])] = omitted(
        "`true`: the row is skipped by `when`"
    )

    @classmethod
    def of_keys(cls, written: AbstractSet[str]) -> Iterator[str]:
        sent, others = written & {"payload", "pipelines"}, written & {"rejected", "skipped"}
        if (len(others) != 1) if not sent else others:
            yield "an example has one outcome: payload: {…}, rejected: reason, or skipped: true"


_OPERATIONS_SCHEMA = {"oneOf": [{"const": name, "description": row.does} for name, row in OPERATIONS.items()]}


class MappingYaml(Section):
    """A mapping file."""

    not_offered: ClassVar = {
        **dict.fromkeys(("traits", "properties"), "written attributes:, whatever the API calls them"),
        **dict.fromkeys(("type", "action"), "both are said by operation:, as identify or track"),
        **dict.fromkeys(("user_id", "userId", "anonymousId"), "who it is stands under identifiers:, as {id: column}"),
        "filter": "rows are left out by when:",
    }

    operation: Annotated[str, PlainValidator(_operation), WithJsonSchema(_OPERATIONS_SCHEMA)] = Field(
        description="what Customer.io does with each row; the operations are listed below"
    )
    identifiers: IdentifiersYaml = omitted(
        "the person: exactly one of `id`, `email`, `phone`, `cio_id`; for an event also `anonymous_id`. The kind is "
        "written, never guessed from the value. It is sent as text, unless the last function is `{cast: integer}`"
    )
    event: ValueYaml = omitted(
        "the name of the event: `{value: order_placed}`, or a column; of a page or screen view, its name"
    )
    timestamp: ValueYaml = omitted(
        'when it happened, in Unix seconds. Without this key, the time of an event is "now". With `identify`, '
        "Customer.io silently ignores a change that is older than the last one"
    )
    event_key: Names = Field(
        default=[],
        description="of events: the columns that identify an event, as `[order_id]`; its id is made from them",
        json_schema_extra={SHOWN_DEFAULT: "file content and row number"},
    )
    order_by: Names = Field(
        default=[],
        description="of `identify` and `identify_object`: the columns that show which of a person's rows is newest, "
        "as `updated_at` or `[updated_at, version]`. See Rows of one key.",
        json_schema_extra={SHOWN_DEFAULT: "every row is sent"},
    )
    attributes: Attributes = Field(default={}, description="names and values")
    existing_only: bool = Field(False, description="`true`: only people who exist in Customer.io are changed")
    topics: dict[Annotated[str, AfterValidator(_topic)], ValueYaml] = Field(
        default={},
        description="the topics of the subscription centre, by number: `{1: newsletter}`, a column of true and false. "
        "Other topics do not change",
    )
    object: ObjectYaml = omitted("the object: `{type: 1, id: company_id}`, or `{cio_object_id: column}`")
    relationships: Annotated[list[RelationshipYaml], Field(min_length=1)] = Field(
        default=[],
        description="a list of relationships: `{object: {type: 1, id: company_id}}` of a person, "
        "`{person: {id: user_id}}` of an object, each with optional `attributes`. A relationship whose other end is "
        "null is not sent",
    )
    device: DeviceYaml = omitted("`token`, `platform` (ios or android), `last_used`, `attributes` (texts)")
    primary: IdentifiersYaml = omitted("of a merge: the person who stays, by `id`, `email` or `cio_id`")
    secondary: IdentifiersYaml = omitted("of a merge: the person who is merged into `primary` and deleted")
    segment: Annotated[int, PlainValidator(_segment, json_schema_input_type=Annotated[int, Field(ge=1)])] = omitted(
        "the number of a manual segment, as `7`"
    )
    retry_unknown: bool = Field(False, description="`true`: a merge or deletion is sent again when its answer was lost")
    nulls: Literal["omit", "clear"] = Field(
        "omit",
        description="what happens with a null: `omit` does not change the attribute, `clear` sends null, which removes "
        "the attribute",
    )
    when: Annotated[str, AfterValidator(_condition)] = omitted(
        "a condition in SQL; rows for which it is not true are skipped", "every row"
    )
    allow_reserved: Names = Field(default=[], description="reserved names that this mapping uses on purpose")
    examples: list[ExampleYaml] = Field(
        default=[],
        description="rows with their expected result: `payload`, `rejected: reason` or `skipped: true`. "
        "`cio-etl check` tests them",
    )

    def to_mapping(self, document: Document) -> Mapping:
        return Mapping(
            file=document.file,
            operation=self.operation,
            identifiers=self.identifiers.to_values() if self.identifiers else {},
            attributes={name: value.to_value() for name, value in self.attributes.items()},
            digest="",
            event=self.event.to_value() if self.event else None,
            timestamp=self.timestamp.to_value() if self.timestamp else None,
            event_key=tuple(self.event_key),
            order_by=tuple(self.order_by),
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
                    example.pipelines,
                )
                for n, example in enumerate(self.examples)
            ),
            object=self.object.to_values() if self.object else {},
            relationships=tuple(tie.to_relationship() for tie in self.relationships),
            device=self.device.to_device() if self.device else None,
            topics={topic: value.to_value() for topic, value in self.topics.items()},
            primary=self.primary.to_values() if self.primary else {},
            secondary=self.secondary.to_values() if self.secondary else {},
            segment=self.segment,
            existing_only=self.existing_only,
            retry_unknown=self.retry_unknown,
        )


# ---------------------------------------------------------------- rules across keys: on the plain data, so that they
# are told together with the faults of single keys


def _across(data: dict[str, Any]) -> Iterator[tuple[Loc, str]]:
    for part in ("identifiers", "primary", "secondary"):
        yield from _of_identifiers(data.get(part), (part,))
    operation = OPERATIONS.get(str(data.get("operation")))
    if operation is None:
        return
    for part in PARTS:
        if part in operation.needs and part not in data:
            yield (part,), f"missing; write {_EXAMPLES[part]}"
        elif part in data and not operation.allows(part):
            has = [name for name, other in OPERATIONS.items() if other.allows(part)]
            yield (
                (part,),
                f"{data['operation']} has no such part; leave it out, or write operation: {' or '.join(has[:3])}",
            )
    yield from _of_kinds(data, operation)
    for key in ("event_key", "order_by"):
        for place, name in enumerate(columns := _list(data.get(key))):
            if name in columns[:place]:
                yield (key, place), "written twice; keep one"
    seconds = _constant(data.get("timestamp"))
    if seconds is not None and not (isinstance(seconds, int) and not isinstance(seconds, bool)):
        yield ("timestamp",), "a constant time is a whole number of Unix seconds"
    for place, example in enumerate(examples if isinstance(examples := data.get("examples"), list) else []):
        reason = example.get("rejected") if isinstance(example, dict) else None
        if isinstance(reason, str) and reason and reason not in checks.REASONS:
            yield ("examples", place, "rejected"), f"no such reason; {did_you_mean(reason, checks.REASONS)}"
    known = sorted(operation.reserved | (SEMANTIC_EVENTS if operation.has_event else set()))
    for place, name in enumerate(_list(data.get("allow_reserved"))):
        if name not in known:
            yield ("allow_reserved", place), f"not a reserved name; {did_you_mean(name, known)}"


_EXAMPLES = {
    "identifiers": "identifiers: {id: column}, with one of " + ", ".join(KINDS[:4]),
    "event": "event: {value: order_placed}, or the column that holds the event's name",
    "object": "object: {type: 1, id: column}",
    "relationships": "relationships: [{object: {type: 1, id: column}}]; of an object, [{person: {id: column}}]",
    "device": "device: {token: column, platform: column}",
    "primary": "primary: {id: column}, the person who stays",
    "secondary": "secondary: {id: column}, the person who goes",
    "segment": "segment: 7, the number of a manual segment",
}


def _of_kinds(data: dict[str, Any], operation: Operation) -> Iterator[tuple[Loc, str]]:
    """Identifiers, ties and devices that this operation cannot have."""
    for part in ("identifiers", "primary", "secondary"):
        for kind in data[part] if isinstance(data.get(part), dict) and operation.allows(part) else ():
            if kind in KINDS and kind not in operation.kinds:
                yield (part, kind), f"{data['operation']} goes by {' or '.join(operation.kinds)}"
    end, *kinds = operation.ties or ("",)
    ties = data.get("relationships")
    for place, tie in enumerate(ties if isinstance(ties, list) and operation.ties else ()):
        for other in {"object", "person"} - {end}:
            if isinstance(tie, dict) and other in tie:
                yield ("relationships", place, other), f"{data['operation']} has ties to {end}: write {end}: instead"
        person = tie.get("person") if isinstance(tie, dict) and end == "person" else None
        yield from _of_identifiers(person, ("relationships", place, "person"))
        for kind in person if isinstance(person, dict) else ():
            if kind in KINDS and kind not in kinds:
                yield ("relationships", place, "person", kind), f"{data['operation']} goes by {' or '.join(kinds)}"
        if data["operation"].startswith("delete_") and isinstance(tie, dict) and "attributes" in tie:
            yield ("relationships", place, "attributes"), "a tie that is cut has none; leave them out"
    device = data.get("device")
    if data["operation"] == "add_device" and isinstance(device, dict) and "platform" not in device:
        yield ("device", "platform"), "missing; write platform: column, or {value: ios} or {value: android}"
    if data["operation"] == "delete_device" and isinstance(device, dict):
        for name in ("platform", "last_used", "attributes"):
            if name in device:
                yield ("device", name), "a device that is deleted goes by its token; leave it out"


def _of_identifiers(identifiers: Any, loc: Loc) -> Iterator[tuple[Loc, str]]:
    if not isinstance(identifiers, dict):
        return
    kinds = [kind for kind in identifiers if kind in KINDS]
    if not identifiers:
        yield loc, f"empty; write one of {', '.join(KINDS[:4])}"
    for kind in kinds[1:]:
        yield (*loc, kind), f"a second identifier; keep one of {', '.join(kinds)}"
    for kind in kinds:
        who = _constant(identifiers[kind])
        if who is not None and not (isinstance(who, (str, int)) and not isinstance(who, bool) and str(who).strip()):
            yield (*loc, kind), "a constant identifier is text, and not empty"


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
