"""Tests the examples of a mapping offline: each row must have the result that its example states."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from decimal import Decimal
from typing import Any

import polars as pl

from cio_etl.apis import DEFAULT_API, unsupported
from cio_etl.config.other_columns import rows_of, source_columns, with_columns
from cio_etl.config.yaml_file import dotted
from cio_etl.errors import ConfigError, EtlError, Problem, SourceError
from cio_etl.model import FAULT, POSITION, Example, Mapping, Snapshot
from cio_etl.transform import (
    Compiled,
    KnownFacts,
    collect_facts,
    columns_of,
    columns_of_source,
    compile_mapping,
    outcome,
    path_of,
    plain_rows,
    with_json,
)


def check_examples(mapping: Mapping) -> Iterator[Problem]:
    """The examples of a mapping whose result differs from the stated one."""
    compiled = _Compilation()
    for number, example in enumerate(mapping.examples):
        row_fault = _row_fault(mapping, example)
        faults = [row_fault] if row_fault else [("", text) for text in _differences(mapping, example, compiled)]
        for where, message in faults:
            yield Problem(mapping.file, example.line, f"examples[{number}]{where}", message)


def _row_fault(mapping: Mapping, example: Example) -> tuple[str, str] | None:
    """The place and the message of what is wrong in an example's row; None if the mapping can be tested with it."""
    known = example.row.keys()
    if missing := [name for name in columns_of_source(mapping) if name not in known and path_of(name, known) is None]:
        names = ", ".join(repr(name) for name in missing)
        return ".row", f"has no {names}, which the mapping uses; add the missing columns, with null for no value"
    if _is_row(example.row):
        return None
    name = next(name for name, value in example.row.items() if not _is_row({name: value}))
    return f".{dotted(('row', name))}", "a list with values of several types, which no column can contain"


def _is_row(row: MappingOf[str, Any]) -> bool:
    try:
        pl.DataFrame([dict(row)], strict=False)
    except (TypeError, ValueError, pl.exceptions.PolarsError):
        return False
    return True


class _Compilation:
    """Compiles a mapping, once for all examples whose columns and facts are the same."""

    def __init__(self) -> None:
        self._made: list[tuple[object, Compiled]] = []  # few; what they are made of has no hash

    def __call__(self, mapping: Mapping, schema: pl.Schema, known: KnownFacts, api: str) -> Compiled:
        of = mapping, schema, known, api
        for earlier, made in self._made:
            if earlier == of:
                return made
        self._made.append((of, compile_mapping(mapping, schema, known, "example", 1, api)))
        return self._made[-1][1]


def _differences(mapping: Mapping, example: Example, compiled: _Compilation) -> Iterator[str]:
    for api, expected in (example.payloads or {DEFAULT_API: None}).items():
        try:
            difference = _difference(example, expected, _result(mapping, example, api, compiled))
        except EtlError as error:
            fault = str(error).removeprefix(f"{mapping.file}: ")
            difference = f"{fault}; {error.remedy}" if error.remedy else fault
        if difference:
            yield difference


def _result(mapping: Mapping, example: Example, api: str, compiled: _Compilation) -> dict[str, Any]:
    for path, message in unsupported(mapping, api):
        raise ConfigError([Problem(mapping.file, None, path, message)])
    row = pl.DataFrame([dict(example.row)], strict=False) if example.row else pl.DataFrame({"": [None]})
    row = row.with_columns(pl.col(pl.Null).cast(pl.String))
    frame = row.with_columns(pl.lit(0, dtype=pl.Int64).alias(POSITION), pl.lit(None, dtype=pl.String).alias(FAULT))
    source = Snapshot("example", (), 1, row.schema, lambda columns, start: iter([frame]), lambda positions: [])
    snapshot = rows_of(source, mapping)
    if (rule := mapping.other_columns) is not None:
        columns = list(example.row) if rule.of is None else snapshot.members
        mapping = with_columns(mapping, source_columns(mapping, columns, None).taken)
    if snapshot.rows > 1:
        what = "the list has several entries, and an example has one result; write a test with rows: and results:"
        raise SourceError(place=mapping.file, what=what)
    mapping, snapshot = with_json(mapping, snapshot.json), plain_rows(mapping, snapshot)
    (frame,) = snapshot.read(columns_of(mapping), 0)
    known = collect_facts(mapping, snapshot.schema, lambda columns: [frame])
    items = compiled(mapping, snapshot.schema, known, api).items(frame)
    return outcome(*items.select("item", "reason", "field").row(0))


def _difference(example: Example, expected: Any, actual: dict[str, Any]) -> str | None:
    if expected is not None:
        if "payload" not in actual:
            return f"a payload was expected, but the row is {outcome_text(actual)}"
        paths = list(payload_differences(expected, actual["payload"]))
        return f"the payload differs at {', '.join(paths)}" if paths else None
    outcome = f"rejected: {example.rejected}" if example.rejected else "skipped"
    return None if outcome_text(actual) == outcome else f"{outcome} was expected, but the row is {outcome_text(actual)}"


def payload_differences(expected: Any, payload: Any) -> Iterator[str]:
    """The dotted paths at which a payload differs from the expected one."""
    yield from differing(expected, compared(expected, payload), "payload")


def compared(expected: Any, payload: Any) -> Any:
    """The payload without the ids that are made from keys, unless they are expected: no example states them."""
    if isinstance(payload, dict) and isinstance(expected, dict):
        return {name: value for name, value in payload.items() if name in expected or name not in GENERATED}
    return payload


GENERATED = ("id", "messageId")


def outcome_text(actual: MappingOf[str, Any]) -> str:
    """What became of a row, in words, from its `transform.outcome`."""
    return "skipped" if "skipped" in actual else "sent" if "payload" in actual else f"rejected: {actual['rejected']}"


def differing(expected: Any, actual: Any, path: str) -> Iterator[str]:
    """The dotted paths at which two JSON values differ. 1 and 1.0 are equal; 1 and true are not."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key in dict.fromkeys([*expected, *actual]):
            if key in expected and key in actual:
                yield from differing(expected[key], actual[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for place, (left, right) in enumerate(zip(expected, actual, strict=True)):
            yield from differing(left, right, f"{path}[{place}]")
    elif isinstance(actual, Decimal):
        if expected != actual and expected != float(actual):  # YAML reads its numbers as floats
            yield path
    elif expected != actual or isinstance(expected, bool) != isinstance(actual, bool):
        yield path
