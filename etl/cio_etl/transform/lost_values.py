"""Functions that make null of every value they get: what they look for is in no row, and nobody would see it.

`pick`, `element`, `expr`, and `map`, `lookup` and `regex_extract` with `optional`, mean a null where a row does not
have what they look for. In all rows it is probably a fault: of the key, of the table, or of the function before. So it
is inside an object or a list, whose members have functions of their own. The paths of `pick` that unseen_paths.py
looks for are left to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import polars as pl

from cio_etl.model import FAULT, Call, Mapping, Snapshot
from cio_etl.model.records import dataclass
from cio_etl.transform.chains import chains
from cio_etl.transform.checks import AS_JSON
from cio_etl.transform.compiled import Compiled, Stage
from cio_etl.transform.functions import FUNCTIONS, apply, meant_null
from cio_etl.transform.functions.built import Member, members_of
from cio_etl.transform.functions.json_values import parts_of_path
from cio_etl.transform.json_columns import with_json
from cio_etl.transform.nested import fields, holds_value
from cio_etl.transform.unseen_paths import calls_of_path, is_open, keys_of_nulls

_LOOKING: dict[str, Callable[[Call], bool]] = {
    **dict.fromkeys(("pick", "element", "first", "last", "expr", "template"), lambda call: True),
    **dict.fromkeys(("map", "lookup", "regex_extract"), lambda call: call.arguments.get("optional") is True),
}


@dataclass(frozen=True, slots=True)
class LostValues:
    """A function that makes null of all values that it gets, which are so many; `target` is its place in an item."""

    target: str
    function: str
    values: int


class _Looked:
    """A function that looks for something, and what has been seen of it so far.

    The values that it gets are those of the target before the stage; of a member, those of its column, after the
    functions before this one.
    """

    def __init__(self, target: str, call: Call, stage: Stage, member: Member | None = None, place: int = 0) -> None:
        self.target, self.call, self.stage, self.member, self.place = target, call, stage, member, place
        self.values, self.found = 0, False

    @property
    def path(self) -> str:
        """The function's place in an item, as `attributes.address.city`."""
        return self.target if self.member is None else f"{self.target}{self.member.path}"

    def look(self, values: pl.DataFrame) -> None:
        """Is something found in one of these values, which are before the stage? Else counts those that are lost."""
        before = values.get_column(self.target)
        if self.member is not None:
            assert isinstance(before.dtype, pl.Struct)
            columns = {name: column for name, column, _ in fields(pl.col(self.target), before.dtype)}
            before = values.select(columns[self.member.column]).to_series()
            for call in self.member.calls[: self.place]:
                before = _made(before, call)
        if self.call.name == "pick" and not is_open(before.dtype, parts_of_path(self.call.arguments["path"])):
            self.found = True  # a field that a record has not is an error before
            return
        there = _selected(before, lambda value, dtype: keys_of_nulls(value, dtype, self.call))
        self.found = bool(_selected(_made(there, self.call), holds_value).any())
        if not self.found:
            meant = _selected(before, lambda value, dtype: meant_null(value, dtype, self.call))
            self.values += int((_selected(before, holds_value) & meant.fill_null(False)).sum())


def lost_values(mapping: Mapping, json_columns: frozenset[str], rows: Snapshot, compiled: Compiled) -> list[LostValues]:
    """The functions of a mapping that find nothing in any row. Rows are read until each has found something once.

    `rows` and `compiled` are the source's rows as the mapping reads them, and the mapping compiled for them;
    `json_columns` are the source's columns of JSON.
    """
    mapping = with_json(mapping, json_columns)
    looked = list(_looking(mapping, rows, compiled))
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
    return [LostValues(each.path, each.call.name, each.values) for each in looked if not each.found and each.values]


def _looking(mapping: Mapping, rows: Snapshot, compiled: Compiled) -> Iterator[_Looked]:
    """The functions that look for something, each with its stage."""
    for chain in chains(mapping):
        stages = (stage for stage in compiled.stages if chain.target in stage.meant)
        source = chain.sources[0].removesuffix(AS_JSON)
        by_path = 0 if chain.several else calls_of_path(source, chain.calls, mapping, rows)
        for place, call in enumerate(chain.calls):
            if FUNCTIONS[call.name].means_null is None or (stage := next(stages, None)) is None:
                continue
            if place >= by_path and _looks(call):
                yield _Looked(chain.target, call, stage)
            for member in members_of(call.arguments["of"]) if call.name == "build" else ():
                by_path_of_member = calls_of_path(member.column, member.calls, mapping, rows)
                for at, inner in enumerate(member.calls):
                    if at >= by_path_of_member and _looks(inner):
                        yield _Looked(chain.target, inner, stage, member, at)


def _looks(call: Call) -> bool:
    return call.name in _LOOKING and _LOOKING[call.name](call)


def _look(frame: pl.DataFrame, pending: Sequence[_Looked], targets: set[str], compiled: Compiled) -> None:
    """Lets each function look at the values that it gets in a frame."""
    first = [each for each in compiled.first if each.meta.output_name() in targets]
    values = frame.filter(pl.col(FAULT).is_null()).select(first)
    last = max(place for place, stage in enumerate(compiled.stages) if any(each.stage is stage for each in pending))
    for stage in compiled.stages[: last + 1]:
        for each in pending:
            if each.stage is stage:
                each.look(values)
        values = values.with_columns(each for each in stage.values if each.meta.output_name() in targets)


def _made(values: pl.Series, call: Call) -> pl.Series:
    """What a function that needs no facts makes of values."""
    return _selected(values, lambda value, dtype: apply(value, dtype, call))


def _selected(values: pl.Series, made: Callable[[pl.Expr, pl.DataType], pl.Expr | None]) -> pl.Series:
    """An expression of the values, computed for each."""
    expression = made(pl.col("value"), values.dtype)
    assert expression is not None
    return values.alias("value").to_frame().with_columns(expression.alias("value")).to_series()
