"""Adds to functions of `apply` what they need from outside the mapping: the file of a lookup, a secret.

The file of a lookup is read with the mapping and is a part of it. The reference of a secret is looked up only when a
job is loaded for a run; the secret is stored nowhere and is not a part of the mapping's canonical text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from collections.abc import Mapping as MappingOf
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from cio_etl.apis import is_loopback
from cio_etl.config.plain_form import read_document
from cio_etl.config.references import read_file, resolve_secret
from cio_etl.config.yaml_file import Loc, place_of
from cio_etl.errors import ConfigError, Problem, did_you_mean
from cio_etl.model import Call, Constant, Job, Mapping, Value
from cio_etl.model.words import counted
from cio_etl.transform.functions import FUNCTIONS
from cio_etl.transform.functions.lookup import Table

MAX_LOOKUP_BYTES = 10_000_000


def completed(call: Call) -> Call:
    """The call with the table of its file; of the reference of a secret, only the form is checked.

    Raises ValueError with the remedy.
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
    """The mapping with the secrets that its references mean, and what is wrong with the references."""
    problems: list[Problem] = []

    def resolved(call: Call, loc: Loc) -> Call:
        if "secret" not in FUNCTIONS[call.name].supplied:
            return call
        try:
            return Call(
                call.name, {**call.arguments, "secret": SecretStr(resolve_secret(call.arguments["key"], environ))}
            )
        except ValueError as error:
            problems.append(read_document(Path(mapping.file)).problem(loc, f"{call.name}: {error}"))
            return call

    return _with_calls(mapping, resolved), problems


def stand_ins(mapping: Mapping) -> list[str]:
    """The references of secrets that were not looked up: their own text is used as the key."""
    references: list[str] = []

    def note(call: Call, loc: Loc) -> Call:
        if "secret" in FUNCTIONS[call.name].supplied and "secret" not in call.arguments:
            references.append(call.arguments["key"])
        return call

    _with_calls(mapping, note)
    return list(dict.fromkeys(references))


def require_secrets(job: Job) -> None:
    """Raises ConfigError if values that were made without their secret would be sent to Customer.io itself."""
    if is_loopback(job.destination.base_url):
        return  # a sandbox on this machine
    problems = [
        Problem(step.mapping.file, None, "", f"hmac: {reference} was not looked up; load the job with its secrets")
        for step in job.steps
        for reference in stand_ins(step.mapping)
    ]
    if problems:
        raise ConfigError(dict.fromkeys(problems))


def canonical_call(call: Call) -> list[Any]:
    """A call in the canonical text of its mapping: with a file's digest instead of its name, and without secrets."""
    arguments = {name: value for name, value in call.arguments.items() if name != "secret"}
    if isinstance(table := arguments.pop("table", None), Table):
        arguments |= {"file": table.digest}
    return [call.name, arguments]


def _with_calls(mapping: Mapping, change: Callable[[Call, Loc], Call]) -> Mapping:
    """The mapping with `change` applied to every call in it, which it gets with its place in the mapping file."""
    targets = {target: _value_with_calls(value, target, change) for target, value in mapping.targets.items()}
    return replace(mapping, targets=targets)


def _value_with_calls(value: Value, target: str, change: Callable[[Call, Loc], Call]) -> Value:
    if isinstance(value, Constant):
        return value
    loc = place_of(target)
    return replace(value, apply=tuple(change(call, (*loc, "apply", n)) for n, call in enumerate(value.apply)))


# ---------------------------------------------------------------- the file of a lookup


def _table(*, file: str, key: str, value: str, separator: str = ",", **_: object) -> Table:
    entries: dict[str, str] = {}
    lines: dict[str, int] = {}
    for line, key_text, value_text in _entries(file, key, value, separator):
        if key_text in lines:
            raise ValueError(f"{file}:{line}: the key of line {lines[key_text]} again; keep one of the two")
        entries[key_text], lines[key_text] = value_text, line
    if not entries:
        raise ValueError(f"the file {file!r} has no line below its header")
    return Table(entries)


def _entries(file: str, key: str, value: str, separator: str) -> Iterator[tuple[int, str, str]]:
    """Line number, key and value of each line. Raises ValueError with place and remedy, without the content."""
    if "\0" in file or "://" in file:
        raise ValueError("'file' must be the path of a CSV file on this machine")
    reader = csv.reader(
        io.StringIO(read_file(Path(file), MAX_LOOKUP_BYTES), newline=""), delimiter=separator, strict=True
    )
    try:
        names = next(reader, [])
        if not names:
            raise ValueError(f"the file {file!r} has no header line")
        for name in (key, value):
            if names.count(name) != 1:
                what = "two columns" if name in names else "no column"
                remedy = "name them differently" if name in names else did_you_mean(name, names)
                raise ValueError(f"the file {file!r} has {what} {name!r}; {remedy}")
        key_place, value_place = names.index(key), names.index(value)
        for row in reader:
            if not row:  # an empty line
                continue
            if len(row) != len(names):
                fields = f"{counted(len(row), 'field')}, and {counted(len(names), 'name')} in the header"
                raise ValueError(f"{file}:{reader.line_num}: {fields}; fix the line")
            if not row[key_place].strip() or not row[value_place]:
                what = "value" if row[key_place].strip() else "key"
                raise ValueError(f"{file}:{reader.line_num}: the {what} is empty; fill it in, or remove the line")
            yield reader.line_num, row[key_place], row[value_place]
    except csv.Error:
        raise ValueError(f"{file}:{reader.line_num}: not CSV: a quote is misplaced or not closed") from None
