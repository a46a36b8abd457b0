"""The sections inside a mapping: values, identifiers, objects, relationships and devices."""

import math
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    PlainValidator,
    PrivateAttr,
    WithJsonSchema,
    model_validator,
)

from cio_etl.apis import OPERATIONS
from cio_etl.config.function_arguments import completed
from cio_etl.errors import did_you_mean
from cio_etl.model import (
    Call,
    Column,
    Columns,
    Constant,
    IdentifierKind,
    Nulls,
    Value,
)
from cio_etl.model.yaml_section import Section, Text, omitted, wrong
from cio_etl.transform.functions import parse_call
from cio_etl.transform.functions.built import members_of
from cio_etl.transform.row_sql import columns_of

KINDS: tuple[IdentifierKind, ...] = ("id", "email", "phone", "cio_id", "anonymous_id")


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
    """A constant that JSON can represent."""
    if isinstance(raw, float) and not math.isfinite(raw):
        raise wrong("NaN or infinity, which JSON cannot represent; leave it out")
    for inner in raw.values() if isinstance(raw, dict) else raw if isinstance(raw, list) else ():
        _json(inner)
    return raw


Names = Annotated[list[Text], BeforeValidator(_as_list)]
CALL_SCHEMA = {"$comment": "a call"}  # json_schema.py replaces it by a reference to the definition of all functions
FunctionCall = Annotated[Call, PlainValidator(_call), WithJsonSchema(CALL_SCHEMA)]

_MAKE_ONE = "columns: needs apply: with a function that makes one value of them, as coalesce or {concat: ' '}"


class ValueYaml(Section):
    """A value: a column, several columns that a function combines, an SQL expression, or a constant."""

    one_of: ClassVar[tuple[str | tuple[str, ...], ...]] = ("column", "columns", "expr", "value", "use")
    goes_with: ClassVar = {"apply": ("column", "columns", "expr", "use"), "columns": ("apply",)}
    not_offered: ClassVar = {
        "default": "a default is a function; write apply: [{default: free}]",
        "const": "write a constant as value:",
        "field": "write a column as column:",
        "on_error": "only attributes have on_error:, since no row is sent without this value; leave it out",
        "nulls": "only attributes have nulls:; leave it out",
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

    use: Text = omitted("the name of a value under `define`; `apply` may follow")  # not in the plain form

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, raw: object) -> object:
        if isinstance(raw, dict):
            return raw
        if isinstance(raw, str):
            return {"column": raw}
        raise wrong("a value is a column's name, {column: name, apply: [function]} or, for a constant, {value: 7}")

    @classmethod
    def key_faults(cls, written: AbstractSet[str]) -> Iterator[str]:
        if len(written & {*cls.one_of}) != 1:
            yield "write one of column:, columns:, expr: and value:"
        elif {"value", "apply"} <= written:
            yield "apply: needs a column; write the constant as it should be sent"
        elif "columns" in written and "apply" not in written:
            yield _MAKE_ONE

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.expr:
            _call({"expr": self.expr})
        if self.columns and "apply" in self.model_fields_set and not self.apply:
            raise wrong(_MAKE_ONE)
        if "*" in (self.column, *(self.columns or ())):
            raise wrong('* is no column; name each column, or write "*": {} under attributes, for all other columns')
        if self.columns and len(set(self.columns)) < len(self.columns):
            raise wrong("columns: contains a column twice; keep one")
        return self

    def to_value(self) -> Value:
        if self.expr:
            return Columns(columns_of(self.expr), (_call({"expr": self.expr}), *self.apply))
        if self.columns:
            return Columns(tuple(self.columns), tuple(self.apply))
        return Column(self.column, tuple(self.apply)) if self.column else Constant(self.value)


_OPERATIONS_SCHEMA = {"oneOf": [{"const": name, "description": row.does} for name, row in OPERATIONS.items()]}


def _known_operation(raw: object) -> str:
    if isinstance(raw, str) and raw in OPERATIONS:
        return raw
    raise wrong(f"no such operation; {did_you_mean(str(raw), OPERATIONS)}")


def _texts(raw: object) -> object:
    """Keys as texts: `true` and 1 are keys in YAML, too."""
    if not isinstance(raw, dict):
        return raw
    return {str(key).lower() if isinstance(key, bool) else str(key): value for key, value in raw.items()}


_OperationName = Annotated[str, PlainValidator(_known_operation), WithJsonSchema(_OPERATIONS_SCHEMA)]


class OperationYaml(Section):
    """An operation, or the column that says which one is meant in each row."""

    goes_with: ClassVar = {"column": ("map",), "map": ("column",), "apply": ("column",)}
    not_offered: ClassVar = {
        "value": "an operation of every row is written alone, as operation: identify",
        "default": "a row whose operation is not in the map is rejected; write such values in the map",
    }
    short_form = "an operation"
    short_schema: ClassVar = _OPERATIONS_SCHEMA

    column: Text = omitted("the name of the column that says what is to be done")
    apply: Annotated[list[FunctionCall], BeforeValidator(_as_list)] = Field(
        default=[], description="functions of the column, as `lower`, before it is looked up in `map`"
    )
    map: Annotated[dict[str, _OperationName], BeforeValidator(_texts), Field(min_length=1)] = omitted(
        "the operation for each value of the column; a row with another value is rejected"
    )
    _name: str = PrivateAttr("")

    @model_validator(mode="wrap")
    @classmethod
    def _short_form(cls, raw: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(raw, dict):
            return handler(raw)
        made = cls.model_construct()
        made._name = _known_operation(raw)
        return made

    @classmethod
    def key_faults(cls, written: AbstractSet[str]) -> Iterator[str]:
        if not {"column", "map"} <= written:
            yield "write column: and map:, as {column: op, map: {I: identify, D: delete}}"

    @property
    def operations(self) -> tuple[str, ...]:
        """The operations of the map, each once; () where an operation is written."""
        return tuple(dict.fromkeys((self.map or {}).values()))

    @property
    def names(self) -> tuple[str, ...]:
        """All operations, one or several."""
        return self.operations or (self._name,)

    def to_value(self) -> Value:
        """The operation of each row."""
        return Column(self.column, (*self.apply, _call({"map": {"values": dict(self.map)}})))


def _on_error(raw: object) -> Constant | str:
    if raw is None or raw == "null":  # YAML reads both as null, unless it is quoted
        return Constant(None)
    if raw == "reject" or raw == "omit":
        return str(raw)
    if isinstance(raw, dict) and set(raw) == {"value"}:
        return Constant(_json(raw["value"]))
    raise wrong("must be reject, omit, null, or a constant in place of the value, as {value: unknown}")


_ON_ERROR_SCHEMA = {
    "anyOf": [
        {"enum": ["reject", "omit", None]},
        {"type": "object", "properties": {"value": {}}, "required": ["value"], "additionalProperties": False},
    ]
}
OnError = Annotated[Any, PlainValidator(_on_error), WithJsonSchema(_ON_ERROR_SCHEMA)]  # Constant, or reject, omit


def _shape(raw: Any) -> Any:
    """A part of an object or list in its long form: a text is a column."""
    if isinstance(raw, str):
        return {"column": raw}
    if not isinstance(raw, dict):
        return raw
    shape = dict(raw)
    if isinstance(shape.get("object"), dict):
        shape["object"] = {str(name): _shape(part) for name, part in shape["object"].items()}
    if isinstance(shape.get("list"), list):
        shape["list"] = [_shape(part) for part in shape["list"]]
    if "apply" in shape:
        shape["apply"] = _as_list(shape["apply"])
    return shape


def _built(key: str, raw: object) -> dict[str, Any]:
    shape: dict[str, Any] = _shape({key: raw})
    _call({"build": {"of": shape}})
    if not list(members_of(shape)):
        raise wrong("names no column; write a constant as value:")
    return shape


_MEMBERS = {"type": "object", "minProperties": 1}
_ENTRIES = {"type": "array", "minItems": 1}
_Members = Annotated[Any, PlainValidator(lambda raw: _built("object", raw)), WithJsonSchema(_MEMBERS)]
_Entries = Annotated[Any, PlainValidator(lambda raw: _built("list", raw)), WithJsonSchema(_ENTRIES)]


class AttributeYaml(ValueYaml):
    """The value of an attribute, and what happens when it cannot be sent."""

    one_of = (*ValueYaml.one_of, "object", "list")
    goes_with: ClassVar = {
        **ValueYaml.goes_with,
        **dict.fromkeys(("on_error", "nulls"), ("column", "columns", "expr", "use", "object", "list")),
    }

    object: _Members = omitted(
        "an object of several columns, as `{street: street, city: {column: town, apply: [title]}}`; a member that is "
        "null is left out"
    )
    list: _Entries = omitted(
        "a list of several columns, as `[first_tag, second_tag]`; an entry that is null is left out"
    )
    on_error: OnError = omitted(
        "what happens when the value cannot be converted or sent: `reject` rejects the row, `omit` sends the row "
        "without the attribute, `null` sends null, which removes the attribute, `{value: unknown}` sends a constant. "
        "See Values that cannot be sent.",
        "the mapping's",
    )
    nulls: Nulls = omitted("what happens with a null in this attribute: `omit` or `clear`", "the mapping's")

    @classmethod
    def key_faults(cls, written: AbstractSet[str]) -> Iterator[str]:
        yield from super().key_faults(written)
        if {"object", "list"} & written and "apply" in written:
            yield "apply: needs a column; write the functions of a member beside its column"
        if "value" in written:
            for key in sorted({"on_error", "nulls"} & written):
                yield f"{key}: needs a column; a constant is always sent as it is written"

    def to_value(self) -> Value:
        if shape := self.object or self.list:
            columns = dict.fromkeys(member.column for member in members_of(shape))
            return Columns(tuple(columns), (_call({"build": {"of": shape}}),))
        return super().to_value()


Attributes = dict[str, AttributeYaml]


class IdentifiersYaml(Section):
    """The identifiers of a person. Their kind is written, never guessed."""

    one_of: ClassVar[tuple[str | tuple[str, ...], ...]] = KINDS

    id: ValueYaml = omitted("the person's id in your systems; sent as text, so `00042` stays `00042`")
    email: ValueYaml = omitted("the person's e-mail address")
    phone: ValueYaml = omitted("the person's telephone number in E.164 form, as `+33123456789`")
    cio_id: ValueYaml = omitted("Customer.io's own identifier of the person")
    anonymous_id: ValueYaml = omitted("of events: the id of a visitor who is not known yet")


class PersonYaml(IdentifiersYaml):
    """The person whom a row is about: by one identifier, or by the first of several that the row has."""

    one_of = ("first", *KINDS)

    first: Annotated[list[IdentifiersYaml], Field(min_length=2)] = omitted(
        "several identifiers: a row is about the first that is not empty, as `[{id: user_id}, {email: mail}]`. See "
        "The first identifier that a row has."
    )

    def values(self) -> dict[str, tuple[str, ValueYaml]]:
        """By target, as `identifiers.id`: its place in the file, and its value, in their order."""
        written = values_in(self.first or self, "identifiers.first" if self.first else "identifiers")
        return {f"identifiers.{path.rpartition('.')[2]}": (path, value) for path, value in written}


def _object_type(raw: object) -> object:
    """The number of an object's type as a constant: it may be written without `value:`."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        return {"value": str(raw)}
    return raw


class ObjectYaml(Section):
    """An object: by its type and id, or by Customer.io's own id."""

    one_of = ("id", "cio_object_id")
    goes_with: ClassVar = {"type": ("id",), "id": ("type",)}

    type: Annotated[ValueYaml, BeforeValidator(_object_type, json_schema_input_type=ValueYaml | int)] = omitted(
        "the number of the object's type in Customer.io, as `1`, or a column that contains it"
    )
    id: ValueYaml = omitted("the object's id in your systems")
    cio_object_id: ValueYaml = omitted("Customer.io's own identifier of the object")

    @classmethod
    def key_faults(cls, written: AbstractSet[str]) -> Iterator[str]:
        if written not in ({"type", "id"}, {"cio_object_id"}):
            yield "write type: and id:, or cio_object_id: alone"


class RelationshipYaml(Section):
    """A relationship of a person or an object, with its attributes."""

    one_of = ("object", "person")

    object: ObjectYaml = omitted("the object to which the person is related")
    person: IdentifiersYaml = omitted("the person to whom the object is related")
    attributes: Attributes = Field(default={}, description="the attributes of the relationship: names and values")

    @classmethod
    def key_faults(cls, written: AbstractSet[str]) -> Iterator[str]:
        if len(written & {*cls.one_of}) != 1:
            yield "write either object:, for a relationship of a person, or person:, for one of an object"


class DeviceYaml(Section):
    """A person's device."""

    token: ValueYaml = Field(description="the token of the device, to which messages are sent")
    platform: ValueYaml = omitted("`ios` or `android`: a column, or `{value: ios}`")
    last_used: ValueYaml = omitted("when the device was last used, in Unix seconds")
    attributes: Attributes = Field(default={}, description="the attributes of the device: names and values, texts")


def values_in(section: object, path: str) -> Iterator[tuple[str, ValueYaml]]:
    """Every value of a section, or of what it contains, by its path: `device.token`, `relationships[0].object.id`."""
    if isinstance(section, ValueYaml):
        yield path, section
    elif isinstance(section, Section | dict):
        for name, inner in dict(section).items():
            yield from values_in(inner, f"{path}.{name}")
    elif isinstance(section, list):
        for place, inner in enumerate(section):
            yield from values_in(inner, f"{path}[{place}]")
