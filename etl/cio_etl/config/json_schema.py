"""The JSON Schema of jobs and mappings, with which editors complete, explain and check a file while it is written.

Pydantic makes it from the sections; this file adds references `${…}`, the keys of each operation and API, and the
functions of `apply`. A new key or function appears in it automatically. Everything that the schema refuses, `check`
refuses too; `check` knows more rules, for example what a text must look like.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Iterator
from typing import Any, Literal, get_args

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from cio_etl.apis import APIS, DEFAULT_API, OPERATIONS, PARTS, Api
from cio_etl.config.job_sections import JobYaml
from cio_etl.config.mapping_sections import MappingYaml
from cio_etl.config.other_columns import STAR, OtherColumnsYaml
from cio_etl.config.tests_sections import MappingTestsYaml
from cio_etl.config.value_sections import CALL_SCHEMA
from cio_etl.model.yaml_section import SHOWN_DEFAULT, Section
from cio_etl.transform.functions import FUNCTIONS, Function, Parameter

SchemaKind = Literal["job", "mapping", "tests"]
KINDS: tuple[SchemaKind, ...] = get_args(SchemaKind)

DRAFT = "https://json-schema.org/draft/2020-12/schema"
SCHEMA_FILE = ".schema.json"  # the file's name in jobs/ and in mappings/
MODELINE = f"# yaml-language-server: $schema={SCHEMA_FILE}"  # a file's first line, for editors

_REFERENCE = r"\$\{[^{}]+\}"
_REFERENCES: dict[str, JsonSchemaValue] = {
    "reference": {
        "description": "${NAME}, ${NAME:-default} or ${file:/run/secrets/key}, also inside other text",
        "type": "string",
        "pattern": _REFERENCE,
    },
    "secret": {
        "description": "a reference and nothing else: ${NAME} or ${file:/run/secrets/key}",
        "type": "string",
        "pattern": f"^{_REFERENCE}$",
    },
}
_VARIABLE: JsonSchemaValue = {
    "description": "a variable, as ${vars.name}",
    "type": "string",
    "pattern": r"^\$\{vars\.[^{}]+\}$",
}
_TEXT: JsonSchemaValue = {"type": "string", "minLength": 1}


_MODELS: dict[SchemaKind, type[Section]] = {"job": JobYaml, "mapping": MappingYaml, "tests": MappingTestsYaml}


@functools.cache
def schema_text(kind: SchemaKind) -> str:
    """The text of the schema, as it is printed and shipped."""
    return json.dumps(schema(kind), indent=2, ensure_ascii=False) + "\n"


def is_generated_schema(content: str) -> bool:
    """Whether a file was made by any version of `cio-etl schema`, so that it may be replaced."""
    return '"$comment": "Made by `cio-etl schema ' in content[:200]


def schema(kind: SchemaKind) -> dict[str, Any]:
    """The schema of a job, a mapping or a file of tests, draft 2020-12."""
    model = _MODELS[kind]
    made = model.model_json_schema(by_alias=False, schema_generator=_AsWritten)
    definitions = {_short(name): inner for name, inner in made.pop("$defs", {}).items()}
    if kind == "mapping":
        definitions |= {"call": _call(), "reference": _VARIABLE}
    elif kind == "job":
        definitions |= _REFERENCES
    whole = {
        "$schema": DRAFT,
        "$comment": f"Made by `cio-etl schema {kind}`; changes here are lost.",
        "title": f"cio-etl {kind}",
        **made,
        "$defs": dict(sorted(definitions.items())),
    }
    renamed: dict[str, Any] = _renamed(whole)
    return _or_reference(renamed) if kind in ("job", "mapping") else renamed


# ---------------------------------------------------------------- the sections


class _AsWritten(GenerateJsonSchema):
    """The schema of what is written in a file: the input of validators, not their result."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        if schema["schema"]["type"] != "list":
            return super().function_before_schema(schema)
        inner = self.generate_inner(schema["schema"])
        return {"anyOf": [inner["items"], inner]}  # one item may be written instead of a list

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        inner, default = self.generate_inner(schema["schema"]), schema.get("default")
        if isinstance(default, float) and default.is_integer():
            default = int(default)
        # None is the default of a key that may be omitted; it must not be written
        return {**inner, "default": default} if isinstance(default, str | int | float) else inner

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made, section = super().model_schema(schema), schema["cls"]
        assert issubclass(section, Section)
        made.pop("title", None)
        for inner in made["properties"].values():
            inner.pop(SHOWN_DEFAULT, None)  # for tables in the documentation only
        made |= _key_rules(section)
        if section is MappingYaml:
            made["allOf"] = [_operation_rules(name) for name in OPERATIONS]
            named = {"additionalProperties": {"not": {"type": "null"}}}  # nothing to leave out of what a base has
            made |= _unless_inherited(made.pop("required"), {"attributes": named})
            attributes = made["properties"]["attributes"]
            attributes["additionalProperties"] = {"anyOf": [attributes["additionalProperties"], {"type": "null"}]}
            made["properties"]["attributes"]["properties"] = {STAR: _other_columns()}
        if section is JobYaml:
            credentials = {"destination": {"allOf": [_api_rules(api) for api in APIS.values()]}}
            made |= _unless_inherited(made.pop("required"), credentials, "destinations")
        if section.short_form:
            short = section.short_schema or _TEXT
            return {"anyOf": [made, {**short, "description": section.short_form}]}
        return made


def _other_columns() -> JsonSchemaValue:
    """What may be written as the attribute `*`."""
    made = OtherColumnsYaml.model_json_schema(by_alias=False, schema_generator=_AsWritten)
    made.pop("$defs", None)
    return {**made, "description": inspect.cleandoc(OtherColumnsYaml.__doc__ or "")}


def _key_rules(section: type[Section]) -> JsonSchemaValue:
    """The rules about keys that exclude or need each other."""
    rules: JsonSchemaValue = {}
    if section.one_of:
        rules["oneOf"] = [_written(keys) for keys in section.one_of]
    needs = sorted(section.goes_with.items())
    if alone := {key: [*others] for key, others in needs if len(others) == 1}:
        rules["dependentRequired"] = alone
    if several := {key: others for key, others in needs if len(others) > 1}:
        rules["dependentSchemas"] = {key: _written(others) for key, others in several.items()}
    return rules


def _unless_inherited(needed: list[str], properties: JsonSchemaValue, *others: str) -> JsonSchemaValue:
    """What a file needs that extends no other one, and has none of the keys `others`."""
    elsewhere = _written(("extends", *others)) if others else _written("extends")
    return {"if": {"not": elsewhere}, "then": {"required": needed, "properties": properties}}


def _written(keys: str | tuple[str, ...]) -> JsonSchemaValue:
    """The condition that a key, or at least one of several, is written."""
    return {"required": [keys]} if isinstance(keys, str) else {"anyOf": [{"required": [key]} for key in keys]}


def _operation_rules(name: str) -> JsonSchemaValue:
    """The keys that an operation needs, those that it does not have, its kinds of identifiers and of relationships."""
    operation = OPERATIONS[name]
    parts: dict[str, Any] = {part: False for part in PARTS if not operation.allows(part)}
    for part in ("primary", "secondary"):
        if operation.allows(part):
            parts[part] = {"propertyNames": {"enum": [*operation.kinds]}}
    if operation.allows("identifiers"):
        of_kinds = {"propertyNames": {"enum": [*operation.kinds]}}
        several = "segment" not in operation.needs
        parts["identifiers"] = {"propertyNames": {"enum": [*operation.kinds, *(["first"] if several else [])]}}
        if several:
            parts["identifiers"]["properties"] = {"first": {"items": of_kinds}}
    if operation.relationships:
        parts["relationships"] = {"items": {"required": [operation.relationships[0]]}}
    condition = {
        "properties": {"operation": {"const": name}},
        "required": ["operation"],
        "not": {"required": ["extends"]},
    }
    return {"if": condition, "then": {"required": [*operation.needs], "properties": parts}}


def _api_rules(api: Api) -> JsonSchemaValue:
    """The keys that an API needs. Nothing is known of an API that is written as a reference."""
    condition: JsonSchemaValue = {"properties": {"api": {"const": api.name}}}
    if api.name != DEFAULT_API:
        condition["required"] = ["api"]
    return {"if": condition, "then": {"required": [*api.credentials]}}


def _short(name: str) -> str:
    return name.removesuffix("Yaml").lower()


def _renamed(made: Any) -> Any:
    """The schema with short names in `$ref`, and with secrets as references."""
    if isinstance(made, dict):
        if made == CALL_SCHEMA:
            return {"$ref": "#/$defs/call"}
        if made.get("writeOnly"):
            annotations = {key: made[key] for key in _ANNOTATIONS if key in made}
            return annotations | {"$ref": "#/$defs/secret"}
        if "$ref" in made:
            return made | {"$ref": f"#/$defs/{_short(made['$ref'].rpartition('/')[2])}"}
        return {key: _renamed(inner) for key, inner in made.items()}
    return [_renamed(inner) for inner in made] if isinstance(made, list) else made


def _or_reference(made: Any) -> Any:
    """The schema with a reference as one more choice at every value that does not allow any text."""
    if isinstance(made, list):
        return [_or_reference(inner) for inner in made]
    if not isinstance(made, dict):
        return made
    made = {
        key: {name: inner if name in _REFERENCES else _or_reference(inner) for name, inner in value.items()}
        if key in ("properties", "$defs")
        else _or_reference(value)
        if key in ("items", "additionalProperties")
        else [_or_reference(choice) if choice.get("type") == "object" else choice for choice in value]
        if key == "anyOf"
        else value
        for key, value in made.items()
    }
    choices = made.get("anyOf", [made])
    if any(choice.get("type") == "string" and not _BOUNDS & choice.keys() for choice in choices):
        return made  # any text is allowed, also a reference
    if not any(choice.get("type") in ("integer", "number", "boolean") or _BOUNDS & choice.keys() for choice in choices):
        return made
    annotations = {key: made[key] for key in _ANNOTATIONS if key in made}
    bare = [{key: value for key, value in choice.items() if key not in annotations} for choice in choices]
    return annotations | {"anyOf": [*bare, {"$ref": "#/$defs/reference"}]}


_ANNOTATIONS = ("description", "default")
_BOUNDS = {"enum", "const", "pattern", "maxLength"}  # a text with one of these cannot be any text


# ---------------------------------------------------------------- the functions


def _call() -> JsonSchemaValue:
    """An entry of an `apply` list: the name of a function, or a name with arguments."""
    functions = [FUNCTIONS[name] for name in sorted(FUNCTIONS)]  # their own order depends on imports
    alone = [
        {"const": function.name, "description": _description(function)}
        for function in functions
        if not any(parameter.required for parameter in function.parameters.values())
    ]
    return {
        "description": "a function: its name, or {name: argument}, or {name: {argument: value, …}}",
        "anyOf": [
            {"oneOf": alone},
            {
                "type": "object",
                "properties": {
                    "use": {"description": "a list of functions of `define`, by its name", "type": "string"},
                    **{function.name: _arguments(function) for function in functions},
                },
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": False,
            },
        ],
    }


def _arguments(function: Function) -> JsonSchemaValue:
    """The arguments that may follow a function's name."""
    parameters = function.parameters
    named = {
        "type": "object",
        "properties": {name: _argument(function, parameter) for name, parameter in parameters.items()},
        "required": [name for name, parameter in parameters.items() if parameter.required],
        "additionalProperties": False,
    }
    # named arguments first: if no choice fits, editors explain what is wrong with the first
    return {"description": _description(function), "anyOf": [named, *_bare(function)]}


def _bare(function: Function) -> Iterator[JsonSchemaValue]:
    """The argument that may be written without its name."""
    if function.shorthand is not None:
        bare = _type_of(function.parameters[function.shorthand])
        others = sorted(function.parameters.keys() - {function.shorthand})
        if bare.get("type") == "object" and others:  # {map: {p: pro}}, which must not contain other arguments too
            bare["propertyNames"] = {"not": {"enum": others}}
        yield bare
    if not any(parameter.required for parameter in function.parameters.values()):
        yield {"type": "null"}


def _argument(function: Function, parameter: Parameter) -> JsonSchemaValue:
    default = inspect.signature(function.build).parameters[parameter.name].default
    return _type_of(parameter) | ({} if parameter.required or default is None else {"default": default})


def _type_of(parameter: Parameter) -> JsonSchemaValue:
    return TypeAdapter(parameter.annotation).json_schema()


def _description(function: Function) -> str:
    """The description of a function with its first example."""
    description, _, examples = function.doc.partition(">>> ")
    example = examples.splitlines()[:1]
    return description.strip() + "".join(f"\n\nExample: `{line.strip()}`" for line in example)
