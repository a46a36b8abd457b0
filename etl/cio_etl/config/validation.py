"""How is a section of YAML checked, and how do we say what is wrong with it?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from cio_etl.config.describe import sections_in
from cio_etl.config.yaml_file import Loc
from cio_etl.errors import Problem
from cio_etl.model.yaml_section import Section, did_you_mean, similar

Fault = tuple[Loc, str]  # where something is wrong, and the message

S = TypeVar("S", bound=Section)

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


def validated(section: type[S], data: dict[str, Any]) -> tuple[S | None, list[Fault]]:
    """The section that the data make, or where and what is wrong with them: each line of a validator's words is one."""
    parsed, faults = None, []
    try:
        parsed = section.model_validate(data)
    except ValidationError as error:
        told = error.errors(include_url=False, include_input=False)
        mistaken = set(_misspelt(section, told))
        for fault in told:
            if not (fault["type"] == "missing" and fault["loc"] in mistaken):
                faults += [(fault["loc"], line) for line in _say(section, fault).split("\n")]
    for loc, inner, written in _written(section, data, ()):
        faults += [(loc, message) for message in _of_keys(inner, written)]
    return (None if faults else parsed), faults


def unless_told(faults: Iterable[Fault], told: AbstractSet[Loc]) -> list[Fault]:
    """Faults that are not only the echo of a value that is missing, for which a fault is told already."""
    return [(loc, text) for loc, text in faults if not any(loc[:end] in told for end in range(len(loc) + 1))]


def is_rather(data: dict[str, Any], this: type[Section], than: type[Section]) -> bool:
    """Whether a file's keys are more of one kind of file than of the other."""
    return len(data.keys() & this.model_fields.keys()) > len(data.keys() & than.model_fields.keys())


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """A file's problems from its top to its end, each once."""
    return sorted(dict.fromkeys(problems), key=lambda problem: problem.line or 0)


def _say(section: type[Section], fault: ErrorDetails) -> str:
    if fault["type"] == "extra_forbidden":
        inner, key = _section_at(section, fault["loc"][:-1]), str(fault["loc"][-1])
        return inner.not_offered.get(key) or f"unknown key; {_place_of(key, inner, section)}"
    return WORDING.get(fault["type"], "not understood").format(**fault.get("ctx", {}))


def _place_of(key: str, here: type[Section], root: type[Section]) -> str:
    """Where an unknown key may belong: under a name like it, or where the file has a key of just this name."""
    said = did_you_mean(key, here.model_fields)
    if said.startswith("did"):
        return said
    homes: dict[type[Section], str] = {}  # the first place of each kind; a value is everywhere, which is of no help
    for place, of in _tree(root, ""):
        if key in of.model_fields and of is not here and not of.short_form:
            homes.setdefault(of, place)
    if not homes:
        return said
    return "it goes " + " or ".join(
        f"under {place}:" if place else "to the top of the file" for place in homes.values()
    )


def _tree(section: type[Section], place: str) -> Iterator[tuple[str, type[Section]]]:
    """Every section of a file, by the keys that lead to it."""
    yield place, section
    for name, field in section.model_fields.items():
        for inner in sections_in(field.annotation):
            yield from _tree(inner, f"{place}.{name}" if place else name)


def _misspelt(section: type[Section], faults: Iterable[ErrorDetails]) -> Iterator[Loc]:
    """The places of the keys that unknown ones were probably meant to be."""
    for fault in faults:
        if fault["type"] == "extra_forbidden":
            around, key = fault["loc"][:-1], str(fault["loc"][-1])
            yield from ((*around, near) for near in similar(key, _section_at(section, around).model_fields))


def _of_keys(section: type[Section], written: Iterable[str]) -> Iterator[str]:
    """What is wrong with the keys together, whatever unknown ones were meant to be: near misses, what they are like."""
    near = {key: [key] if key in section.model_fields else similar(key, section.model_fields) for key in written}
    known = {like[0] for like in near.values() if like}
    meant = [known] if all(near.values()) else [known | {name} for name in section.model_fields]
    first, *others = (list(section.of_keys(keys)) for keys in meant)
    return (message for message in first if all(message in other for other in others))


def _written(annotation: Any, data: Any, loc: Loc) -> Iterator[tuple[Loc, type[Section], dict[str, Any]]]:
    """Every section that the data hold, as they are written: its place, what it is, its keys with values."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        if isinstance(data, dict):
            yield loc, annotation, data
            for key, value in data.items():
                if key in annotation.model_fields:
                    yield from _written(annotation.model_fields[key].annotation, value, (*loc, key))
    elif origin is dict:
        for key, value in data.items() if isinstance(data, dict) else ():
            yield from _written(inner[1], value, (*loc, key))
    elif origin is list:
        for place, value in enumerate(data) if isinstance(data, list) else ():
            yield from _written(inner[0], value, (*loc, place))
    else:
        for choice in inner:
            yield from _written(choice, data, loc)


def _section_at(section: type[Section], loc: Loc) -> type[Section]:
    """The section that a place belongs to; names of attributes and places in lists lead nowhere and are passed over."""
    for part in loc:
        if isinstance(part, str) and part in section.model_fields:
            section = next(sections_in(section.model_fields[part].annotation), section)
    return section
