"""Short ways to ask what a mapping makes of some rows, for the tests of transform."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import fields
from typing import Any

import polars as pl

from cio_etl.model import FAULT, POSITION, Column, Constant, Mapping, Value
from cio_etl.transform import collect_facts, compile_mapping
from cio_etl.transform.functions import parse_call

# What became of a row: its payload, (reason, field) of its reject, or "skipped".
Outcome = dict[str, Any] | tuple[str, str | None] | str


def column(name: str, *calls: object) -> Column:
    """A column through functions, each as in YAML."""
    return Column(name, tuple(parse_call(call) for call in calls))


def mapping(operation: str = "identify", **parts: Any) -> Mapping:
    """A mapping of m.yaml: of the people named in column `id`, without attributes; or of their events named `e`."""
    events = {"event": Constant("e")} if operation in ("track", "page", "screen") else {}
    given = {"identifiers": {"id": Column("id")}} | events | parts
    settings = {field.name: given.pop(field.name) for field in fields(Mapping) if field.name in given}
    return Mapping("m.yaml", operation, targets(**given), **settings)


def targets(**parts: Any) -> dict[str, Value]:
    """The values of parts that are written as in a mapping file, by their paths."""
    return dict(value for path, part in parts.items() for value in _values(part, path))


def _values(part: Any, path: str) -> Iterator[tuple[str, Value]]:
    if isinstance(part, Value):
        yield path, part
    inner = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for name, below in inner:
        yield from _values(below, f"{path}[{name}]" if isinstance(part, list) else f"{path}.{name}")


def attributes(**values: Value | str) -> dict[str, Value]:
    """Attributes, in which a text is the name of a column."""
    return {name: Column(value) if isinstance(value, str) else value for name, value in values.items()}


def rows(data: MappingOf[str, Any], faults: Sequence[str | None] | None = None, start: int = 0) -> pl.DataFrame:
    """A frame as sources give it. Without a column `id`, every row is of somebody of their own."""
    frame = pl.DataFrame(data)
    if "id" not in frame.columns:
        frame = frame.with_columns(pl.int_range(pl.len()).cast(pl.String).alias("id"))
    return frame.with_columns(
        pl.int_range(start, start + pl.len(), dtype=pl.Int64).alias(POSITION),
        pl.Series(FAULT, [None] * frame.height if faults is None else faults, dtype=pl.String),
    )


def mapped(
    mapping: Mapping,
    *frames: pl.DataFrame,
    lanes: int = 4,
    fingerprint: str = "f" * 64,
    known: Any = None,
    api: str = "track",
) -> pl.DataFrame:
    """The items of frames that are one source, as a run would make them."""
    schema = frames[0].drop(POSITION, FAULT).schema
    known = collect_facts(mapping, schema, lambda columns: frames) if known is None else known
    compiled = compile_mapping(mapping, schema, known, fingerprint, lanes, api)
    return pl.concat([compiled.items(frame) for frame in frames])


def texts(mapping: Mapping, *frames: pl.DataFrame) -> list[str | None]:
    """Each row's item, without the comma."""
    return mapped(mapping, *frames)["item"].str.strip_suffix(",").to_list()


def outcomes(mapping: Mapping, *frames: pl.DataFrame, api: str = "track") -> list[Outcome]:
    """What became of each row."""
    listed = mapped(mapping, *frames, api=api).select("item", "reason", "field").iter_rows()
    return [outcome(item, reason, field) for item, reason, field in listed]


def outcome(item: str | None, reason: str | None, field: str | None) -> Outcome:
    assert item is None or reason is None
    if item is None:
        return "skipped" if reason is None else (reason, field)
    assert item[-1] == ","
    payload: dict[str, Any] = json.loads(item[:-1])
    return payload


def sent(mapping: Mapping, *frames: pl.DataFrame) -> list[Any]:
    """Each row's attributes; what became of it when it was not sent."""
    return [one["attributes"] if isinstance(one, dict) else one for one in outcomes(mapping, *frames)]
