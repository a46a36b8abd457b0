"""Lists the keys of a YAML section with description, default and bounds, for tables in the documentation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

from pydantic.fields import FieldInfo

from cio_etl.model.records import dataclass
from cio_etl.model.yaml_section import SHOWN_DEFAULT, Section


@dataclass(frozen=True, slots=True)
class Key:
    """A YAML key as a table shows it.

    description: Markdown. Where more is explained elsewhere, it ends with `See <heading>.`
    default: Markdown, `` `us` `` or words; "" for a required key.
    minimum, maximum: the bounds of a number, or None.
    section: the model of the keys below this one, or None.
    """

    name: str
    description: str
    default: str
    required: bool
    minimum: float | None = None
    maximum: float | None = None
    section: type[Section] | None = None


def describe(section: type[Section]) -> list[Key]:
    """The keys of a section, in the order of its model. `JobYaml` and `MappingYaml` are the whole files."""
    return [
        Key(
            name,
            field.description or "",
            _default(field),
            field.is_required(),
            _bound(field, "ge"),
            _bound(field, "le"),
            next(sections_in(field.annotation), None),
        )
        for name, field in section.model_fields.items()
    ]


def sections_in(annotation: Any) -> Iterator[type[Section]]:
    """The sections that a type of a field mentions, in their order."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for inner in get_args(annotation):
        yield from sections_in(inner)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    if isinstance(field.json_schema_extra, dict) and SHOWN_DEFAULT in field.json_schema_extra:
        return str(field.json_schema_extra[SHOWN_DEFAULT])
    default = field.get_default()
    if default in (None, [], {}):
        return "none"
    if isinstance(default, float):
        return f"`{default:g}`"
    return f"`{default}`" if isinstance(default, str) else f"`{json.dumps(default)}`"


def _bound(field: FieldInfo, name: str) -> float | None:
    return next((bound for part in field.metadata if (bound := getattr(part, name, None)) is not None), None)
