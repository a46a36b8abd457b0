"""The examples of a mapping, tried offline: each row must become what its example says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from cio_etl.config.yaml_file import dotted
from cio_etl.errors import ConfigError, EtlError, Problem
from cio_etl.model import FAULT, POSITION, Api, Example, Mapping
from cio_etl.transform import collect_facts, columns_of, compile_mapping, outcome, unsayable


def check_examples(mapping: Mapping) -> Iterator[Problem]:
    """The examples of a mapping that do not come out as they say."""
    for number, example in enumerate(mapping.examples):
        row_told = _fault_of_row(mapping, example)
        told = [row_told] if row_told else [("", text) for text in _differences(mapping, example)]
        for where, message in told:
            yield Problem(mapping.file, example.line, f"examples[{number}]{where}", message)


def _fault_of_row(mapping: Mapping, example: Example) -> tuple[str, str] | None:
    """Where in an example's row what is wrong; None when the mapping can be tried on it."""
    if missing := [name for name in columns_of(mapping) if name not in example.row]:
        names = ", ".join(repr(name) for name in missing)
        return ".row", f"has no {names}, which the mapping reads; add what is missing, null where there is no value"
    for name, value in example.row.items():
        try:
            pl.DataFrame([{name: value}], strict=False)
        except (TypeError, ValueError, pl.exceptions.PolarsError):
            return f".{dotted(('row', name))}", "a list of values of several kinds, which no column can hold"
    return None


def _differences(mapping: Mapping, example: Example) -> Iterator[str]:
    for api, expected in _expected(example).items():
        try:
            difference = _difference(example, expected, _try(mapping, example, api))
        except EtlError as error:
            said = str(error).removeprefix(f"{mapping.file}: ")
            difference = f"{said}; {error.remedy}" if error.remedy else said
        if difference:
            yield difference


def _expected(example: Example) -> dict[Api, Any]:
    """What each API is expected to be sent; None where the row is expected not to be."""
    expected: dict[Api, Any] = {"pipelines": example.pipelines} if example.pipelines is not None else {}
    if example.payload is not None or not expected:
        expected["track"] = example.payload
    return expected


def _try(mapping: Mapping, example: Example, api: Api) -> dict[str, Any]:
    for path, message in unsayable(mapping, api):
        raise ConfigError([Problem(mapping.file, None, path, message)])
    row = pl.DataFrame([dict(example.row)], strict=False) if example.row else pl.DataFrame({"": [None]})
    row = row.with_columns(pl.col(pl.Null).cast(pl.String))
    frame = row.with_columns(pl.lit(0, dtype=pl.Int64).alias(POSITION), pl.lit(None, dtype=pl.String).alias(FAULT))
    known = collect_facts(mapping, row.schema, lambda columns: [frame])
    compiled = compile_mapping(mapping, row.schema, known, "example", 1, api)
    _, _, item, reason, field = compiled.items(frame).row(0)
    return outcome(item, reason, field)


def _difference(example: Example, expected: Any, came: dict[str, Any]) -> str | None:
    if expected is not None:
        if "payload" not in came:
            return f"a payload was expected, but the row is {_said(came)}"
        payload = came["payload"]
        if isinstance(payload, dict) and isinstance(expected, dict):  # ids are made from keys; nobody writes them down
            payload = {name: value for name, value in payload.items() if name in expected or name not in _MADE}
        paths = list(_differing(expected, payload, "payload"))
        return f"the payload differs at {', '.join(paths)}" if paths else None
    outcome = f"rejected: {example.rejected}" if example.rejected else "skipped"
    return None if _said(came) == outcome else f"{outcome} was expected, but the row is {_said(came)}"


_MADE = ("id", "messageId")


def _said(came: dict[str, Any]) -> str:
    return "skipped" if "skipped" in came else "sent" if "payload" in came else f"rejected: {came['rejected']}"


def _differing(expected: Any, came: Any, path: str) -> Iterator[str]:
    """Where two JSON values differ, as dotted paths. 1 and 1.0 are the same number; 1 and true are not the same."""
    if isinstance(expected, dict) and isinstance(came, dict):
        for key in dict.fromkeys([*expected, *came]):
            if key in expected and key in came:
                yield from _differing(expected[key], came[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(expected, list) and isinstance(came, list) and len(expected) == len(came):
        for place, (left, right) in enumerate(zip(expected, came, strict=True)):
            yield from _differing(left, right, f"{path}[{place}]")
    elif expected != came or isinstance(expected, bool) != isinstance(came, bool):
        yield path
