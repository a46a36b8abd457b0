"""Checks data against a section's model, and words every fault with its place and its remedy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from cio_etl.config.keys import sections_in
from cio_etl.config.yaml_file import Loc
from cio_etl.errors import Problem, did_you_mean, similar
from cio_etl.model.yaml_section import Section

Fault = tuple[Loc, str]  # where something is wrong, and the message

S = TypeVar("S", bound=Section)

# The message of each of pydantic's error types. Braces are filled from the schema, never from the input.
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


def validated(section: type[S], data: dict[str, Any]) -> tuple[S | None, list[Fault]]:
    """The section that the data make, or None and everything that is wrong with the data."""
    parsed, faults = None, []
    try:
        parsed = section.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        misspelt = set(_misspelt(section, details))
        for detail in details:
            if not (detail["type"] == "missing" and detail["loc"] in misspelt):
                faults += [(detail["loc"], line) for line in _message(section, detail).split("\n")]
    for loc, inner, keys in _sections_written(section, data, ()):
        faults += [(loc, message) for message in _key_faults(inner, keys)]
    return (None if faults else parsed), faults


def not_consequences(faults: Iterable[Fault], reported: AbstractSet[Loc]) -> list[Fault]:
    """The faults except those that only follow from a value that is missing because its own fault is reported."""
    return [(loc, text) for loc, text in faults if not any(loc[:end] in reported for end in range(len(loc) + 1))]


def looks_like(this: type[Section], data: dict[str, Any], *, rather_than: type[Section]) -> bool:
    """Whether a file has more keys of one kind of file than of the other."""
    return len(data.keys() & this.model_fields.keys()) > len(data.keys() & rather_than.model_fields.keys())


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """The problems of a file, and of those that it extends, by file and line, each once."""
    each = dict.fromkeys(problems)
    files = list(dict.fromkeys(problem.file for problem in each))
    return sorted(each, key=lambda problem: (files.index(problem.file), problem.line or 0))


# ---------------------------------------------------------------- messages


def _message(section: type[Section], detail: ErrorDetails) -> str:
    if detail["type"] == "extra_forbidden":
        inner, key = _section_at(section, detail["loc"][:-1]), str(detail["loc"][-1])
        return inner.not_offered.get(key) or f"unknown key; {_remedy(key, inner, section)}"
    return WORDING.get(detail["type"], "not understood").format(**detail.get("ctx", {}))


def _remedy(key: str, here: type[Section], root: type[Section]) -> str:
    """What an unknown key may mean: a key with a similar name, or the same key in another section of the file."""
    suggestion = did_you_mean(key, here.model_fields)
    if suggestion.startswith("did"):
        return suggestion
    if " " in key:  # as of {query: select id, name from people}
        return "inside { } a comma ends a value: write a value that has one in quotes"
    # The first place of each kind of section. Values are left out: they are everywhere, which helps nobody.
    homes: dict[type[Section], str] = {}
    for place, section in _tree(root, ""):
        is_inside = any(issubclass(home, section) for home in homes)  # as identifiers.first in identifiers
        if (
            key in section.model_fields
            and section is not here
            and section.is_home
            and not section.short_form
            and not is_inside
        ):
            homes.setdefault(section, place)
    if not homes:
        return suggestion
    return "it goes " + " or ".join(
        f"under {place}:" if place else "to the top of the file" for place in homes.values()
    )


def _tree(section: type[Section], place: str) -> Iterator[tuple[str, type[Section]]]:
    """Every section of a file, with the dotted path of keys that leads to it."""
    yield place, section
    for name, field in section.model_fields.items():
        for inner in sections_in(field.annotation):
            yield from _tree(inner, f"{place}.{name}" if place else name)


def _misspelt(section: type[Section], details: Iterable[ErrorDetails]) -> Iterator[Loc]:
    """The places of the keys that unknown keys were probably meant to be."""
    for detail in details:
        if detail["type"] == "extra_forbidden":
            around, key = detail["loc"][:-1], str(detail["loc"][-1])
            near = similar(key, _section_at(section, around).model_fields)
            if near is not None:
                yield (*around, near)


# ---------------------------------------------------------------- rules across keys


def _key_faults(section: type[Section], keys: Iterable[str]) -> Iterator[str]:
    """What is wrong with the set of keys, whatever its unknown keys mean.

    A misspelt key counts as the key that it is similar to. Any other unknown key may be any key of the section: only
    faults that remain with each of them are reported.
    """
    meanings = {key: similar(key, section.model_fields) for key in keys}
    known = {name for name in meanings.values() if name is not None}
    candidates = [known] if None not in meanings.values() else [known | {name} for name in section.model_fields]
    first, *others = (list(section.key_faults(candidate)) for candidate in candidates)
    return (message for message in first if all(message in other for other in others))


def _sections_written(annotation: Any, data: Any, loc: Loc) -> Iterator[tuple[Loc, type[Section], dict[str, Any]]]:
    """Every section in the data: its place, its model, its keys with their values."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        if isinstance(data, dict):
            yield loc, annotation, data
            for key, value in data.items():
                if key in annotation.model_fields:
                    yield from _sections_written(annotation.model_fields[key].annotation, value, (*loc, key))
    elif origin is dict:
        for key, value in data.items() if isinstance(data, dict) else ():
            yield from _sections_written(inner[1], value, (*loc, key))
    elif origin is list:
        for place, value in enumerate(data) if isinstance(data, list) else ():
            yield from _sections_written(inner[0], value, (*loc, place))
    else:
        for choice in inner:
            yield from _sections_written(choice, data, loc)


def _section_at(section: type[Section], loc: Loc) -> type[Section]:
    """The section to which a place belongs. Names of attributes and places in lists are passed over."""
    for part in loc:
        if isinstance(part, str) and part in section.model_fields:
            section = next(sections_in(section.model_fields[part].annotation), section)
    return section
