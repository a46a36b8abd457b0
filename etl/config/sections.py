"""How is a section of YAML checked, and how do we say what is wrong with it?"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from etl.config.yaml_file import Loc
from etl.errors import Problem


class Section(BaseModel):
    """A part of a job or a mapping. `not_offered`: keys that a reader of the manual may try, and what to do instead."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    not_offered: ClassVar[dict[str, str]] = {}


S = TypeVar("S", bound=Section)

OMITTED: Any = None  # the default of a key that may be left out but, written, may not be empty

# pydantic's error types, in our words; the braces are filled from what the schema says, never from the input
WORDING = {
    "missing": "missing; add this key",
    "string_type": "must be text; put it in quotes",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "finite_number": "must be a number",
    "literal_error": "must be {expected}",
    "list_type": "must be a list",
    "dict_type": "must be keys with values, as `key: value`",
    "model_type": "must be keys with values, as `key: value`",
    "wrong": "{message}",
}


def wrong(message: str) -> PydanticCustomError:
    """The error of a validator of ours, which says what to do."""
    return PydanticCustomError("wrong", "{message}", {"message": message})


def validated(section: type[S], data: dict[str, Any]) -> tuple[S | None, list[tuple[Loc, str]]]:
    """The section that the data make, or where and what is wrong with them."""
    try:
        return section.model_validate(data), []
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        return None, [(fault["loc"], _say(section, fault)) for fault in faults]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`did you mean 'lower'?`, or all there are when none is near."""
    names = list(known)
    near = difflib.get_close_matches(name[:100].lower(), names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """A file's problems from its top to its end, each once."""
    return sorted(dict.fromkeys(problems), key=lambda problem: problem.line or 0)


def _say(section: type[Section], fault: ErrorDetails) -> str:
    if fault["type"] == "extra_forbidden":
        inner, key = _section_at(section, fault["loc"][:-1]), str(fault["loc"][-1])
        return inner.not_offered.get(key) or f"unknown key; {did_you_mean(key, inner.model_fields)}"
    return WORDING.get(fault["type"], "not understood").format(**fault.get("ctx", {}))


def _section_at(section: type[Section], loc: Loc) -> type[Section]:
    """The section that a place belongs to; names of attributes and places in lists lead nowhere and are passed over."""
    for part in loc:
        if isinstance(part, str) and part in section.model_fields:
            section = next(_sections_in(section.model_fields[part].annotation), section)
    return section


def _sections_in(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections_in(inner)
