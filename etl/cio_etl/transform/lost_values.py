"""Functions that make null of every value they get: what they look for is in no row, and nobody would see it.

`pick`, `element`, `expr`, and `map`, `lookup` and `regex_extract` with `optional`, mean a null where a row does not
have what they look for. In all rows it is probably a fault: of the key, of the table, or of the function before. The
paths of `pick` that unseen_paths.py looks for are left to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl

from cio_etl.model import FAULT, Call, Mapping, Snapshot
from cio_etl.model.records import dataclass
from cio_etl.transform.chains import chains
from cio_etl.transform.compiled import Compiled, Stage
from cio_etl.transform.functions import FUNCTIONS
from cio_etl.transform.json_columns import with_json
from cio_etl.transform.unseen_paths import calls_of_path, keys_of_nulls

_LOOKING: dict[str, Callable[[Call], bool]] = {
    **dict.fromkeys(("pick", "element", "expr"), lambda call: True),
    **dict.fromkeys(("map", "lookup", "regex_extract"), lambda call: call.arguments.get("optional") is True),
}


@dataclass(frozen=True, slots=True)
class LostValues:
    """A function of a target that makes null of all values that it gets, which are so many."""

    target: str
    function: str
    values: int


class _Looked:
    """A function that looks for something, and what has been seen of it so far."""

    def __init__(self, target: str, call: Call, stage: Stage) -> None:
        self.target, self.call, self.stage = target, call, stage
        self.values, self.found = 0, False


def lost_values(mapping: Mapping, json_columns: frozenset[str], rows: Snapshot, compiled: Compiled) -> list[LostValues]:
    """The functions of a mapping that find nothing in any row. Rows are read until each has found something once.

    `rows` and `compiled` are the source's rows as the mapping reads them, and the mapping compiled for them;
    `json_columns` are the source's columns of JSON.
    """
    mapping = with_json(mapping, json_columns)
    looked = list(_looking(mapping, compiled))
    start = 0
    while (pending := [each for each in looked if not each.found]) and start < rows.rows:
        targets = {each.target for each in pending}
        columns = {name: None for chain in chains(mapping) if chain.target in targets for name in chain.sources}
        for frame in rows.read(list(columns), start):
            start += frame.height
            _look(frame, pending, targets, compiled)
            if any(each.found for each in pending):
                break
        else:
            break
    return [LostValues(each.target, each.call.name, each.values) for each in looked if not each.found and each.values]


def _looking(mapping: Mapping, compiled: Compiled) -> Iterator[_Looked]:
    """The functions that look for something, each with its stage."""
    for chain in chains(mapping):
        if chain.several and chain.calls[0].name == "build":
            continue
        stages = (stage for stage in compiled.stages if chain.target in stage.meant)
        by_path = 0 if chain.several else calls_of_path(chain.sources[0], chain.calls)
        for place, call in enumerate(chain.calls):
            if FUNCTIONS[call.name].means_null is None or (stage := next(stages, None)) is None:
                continue
            if place >= by_path and call.name in _LOOKING and _LOOKING[call.name](call):
                yield _Looked(chain.target, call, stage)


def _look(frame: pl.DataFrame, pending: list[_Looked], targets: set[str], compiled: Compiled) -> None:
    """Counts the values that each function gets in a frame, and notes whether it finds something in one."""
    first = [each for each in compiled.first if each.meta.output_name() in targets]
    values = frame.filter(pl.col(FAULT).is_null()).select(first)
    last = max(place for place, stage in enumerate(compiled.stages) if any(each.stage is stage for each in pending))
    for stage in compiled.stages[: last + 1]:
        made = [each for each in stage.values if each.meta.output_name() in targets]
        for each in pending:
            if each.stage is stage:
                before = values.select(keys_of_nulls(pl.col(each.target), values.schema[each.target], each.call))
                expression = next(value for value in made if value.meta.output_name() == each.target)
                after = before.select(expression).to_series()
                each.values += _count(before.to_series())
                each.found = each.found or after.null_count() < len(after)
        values = values.with_columns(made)


def _count(values: pl.Series) -> int:
    """How many values there are; an empty list has nothing to be found."""
    there = values.is_not_null()
    if isinstance(values.dtype, pl.List):
        there &= (values.list.len() > 0).fill_null(False)
    return int(there.sum())
