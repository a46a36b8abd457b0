"""What does a function of `apply` need from outside the mapping: a lookup's file, a secret?

A lookup's file is read with the mapping, and is part of it. A secret's reference is looked up when a job is loaded for
a run, and only then; the key itself is kept nowhere, and is no part of what a mapping means.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from cio_etl.config.address import is_loopback
from cio_etl.config.references import read_text, resolve_secret
from cio_etl.config.yaml_file import Loc, read_yaml
from cio_etl.errors import ConfigError, Problem
from cio_etl.model import Call, Job, Mapping
from cio_etl.model.yaml_section import did_you_mean
from cio_etl.transform.functions import FUNCTIONS
from cio_etl.transform.functions.lookup import Table

MAX_LOOKUP_BYTES = 10_000_000


def completed(call: Call) -> Call:
    """The call, with the table of its file; a secret's reference is looked at only.

    Raises ValueError with what to do.
    """
    supplied = FUNCTIONS[call.name].supplied
    try:
        if "table" in supplied:
            return Call(call.name, {**call.arguments, "table": _table(**call.arguments)})
        if "secret" in supplied:
            resolve_secret(call.arguments["key"], None)
    except ValueError as error:
        raise ValueError(f"{call.name}: {error}") from None
    return call


def with_secrets(mapping: Mapping, environ: MappingOf[str, str]) -> tuple[Mapping, list[Problem]]:
    """The mapping with the keys that its references stand for, and what is wrong with the references."""
    problems: list[Problem] = []

    def resolved(call: Call, loc: Loc) -> Call:
        if "secret" not in FUNCTIONS[call.name].supplied:
            return call
        try:
            return Call(
                call.name, {**call.arguments, "secret": SecretStr(resolve_secret(call.arguments["key"], environ))}
            )
        except ValueError as error:
            problems.append(read_yaml(Path(mapping.file)).problem(loc, f"{call.name}: {error}"))
            return call

    return _with_calls(mapping, (), resolved), problems


def stand_ins(mapping: Mapping) -> list[str]:
    """The references of secrets that were not looked up, so that their own text stands for the key."""
    found: list[str] = []

    def note(call: Call, loc: Loc) -> Call:
        if "secret" in FUNCTIONS[call.name].supplied and "secret" not in call.arguments:
            found.append(call.arguments["key"])
        return call

    _with_calls(mapping, (), note)
    return list(dict.fromkeys(found))


def require_secrets(job: Job) -> None:
    """Raises ConfigError when values made with a reference's own text for a key would go to Customer.io itself."""
    if is_loopback(job.destination.base_url):
        return  # a rehearsal
    told = "was not looked up; load the job with its secrets"
    problems = [
        Problem(step.mapping.file, None, "", f"hmac: {reference} {told}")
        for step in job.steps
        for reference in stand_ins(step.mapping)
    ]
    if problems:
        raise ConfigError(dict.fromkeys(problems))


def meaning_of(call: Call) -> list[Any]:
    """A call as its mapping's meaning has it: the content of a file instead of its name, a reference, never a key."""
    said = {name: value for name, value in call.arguments.items() if name != "secret"}
    if isinstance(table := said.pop("table", None), Table):
        said |= {"file": table.digest}
    return [call.name, said]


def _with_calls(thing: Any, loc: Loc, change: Any) -> Any:
    """The mapping, or a part of it, with every call changed, wherever it stands."""
    if isinstance(thing, Call):
        return change(thing, loc)
    if is_dataclass(thing) and not isinstance(thing, type):
        parts = {field.name: getattr(thing, field.name) for field in fields(thing) if field.init}
        made = {name: _with_calls(part, (*loc, name), change) for name, part in parts.items()}
        changed = {name: part for name, part in made.items() if part is not parts[name]}
        return replace(thing, **changed) if changed else thing
    if isinstance(thing, dict):
        entries = {key: _with_calls(part, (*loc, key), change) for key, part in thing.items()}
        return entries if any(entries[key] is not thing[key] for key in thing) else thing
    if isinstance(thing, tuple):
        items = tuple(_with_calls(part, (*loc, place), change) for place, part in enumerate(thing))
        return items if any(one is not part for one, part in zip(items, thing, strict=True)) else thing
    return thing


# ---------------------------------------------------------------- the file of a lookup


def _table(*, file: str, key: str, value: str, separator: str = ",", **_: object) -> Table:
    entries: dict[str, str] = {}
    lines: dict[str, int] = {}
    for line, looked_up, found in _entries(file, key, value, separator):
        if looked_up in lines:
            raise ValueError(f"{file}:{line}: the key of line {lines[looked_up]} again; keep one of the two")
        entries[looked_up], lines[looked_up] = found, line
    if not entries:
        raise ValueError(f"the file {file!r} has no line under its names")
    return Table(entries)


def _entries(file: str, key: str, value: str, separator: str) -> Iterator[tuple[int, str, str]]:
    """Line, key and value of each line. Raises ValueError, saying where and what to do, without their content."""
    if "\0" in file or "://" in file:
        raise ValueError("'file' must be the path of a CSV file on this machine")
    reader = csv.reader(
        io.StringIO(read_text(Path(file), MAX_LOOKUP_BYTES), newline=""), delimiter=separator, strict=True
    )
    try:
        names = next(reader, [])
        if not names:
            raise ValueError(f"the file {file!r} has no line of names at its top")
        for name in (key, value):
            if names.count(name) != 1:
                what = "two columns" if name in names else "no column"
                told = "name them differently" if name in names else did_you_mean(name, names)
                raise ValueError(f"the file {file!r} has {what} {name!r}; {told}")
        key_place, value_place = names.index(key), names.index(value)
        for row in reader:
            if not row:  # a line with nothing on it
                continue
            if len(row) != len(names):
                raise ValueError(f"{file}:{reader.line_num}: {len(row)} fields, and {len(names)} names; mend the file")
            if not row[key_place].strip() or not row[value_place]:
                what = "value" if row[key_place].strip() else "key"
                raise ValueError(f"{file}:{reader.line_num}: the {what} is empty; fill it, or take the line out")
            yield reader.line_num, row[key_place], row[value_place]
    except csv.Error:
        raise ValueError(f"{file}:{reader.line_num}: not CSV: a quote is out of place, or never closed") from None
