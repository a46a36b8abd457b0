"""What stands in the first rows of each problem? Those few rows, read once more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from cio_etl.audit.mask import shown
from cio_etl.audit.profile import texts
from cio_etl.model import FAULT, POSITION, Finding, RejectCount, ShownRow, Snapshot
from cio_etl.model import Mapping as StepMapping
from cio_etl.transform.chains import chains

WHO = ("identifiers.", "primary.", "secondary.", "object.")
MOST = 60  # rows that are read again for a step: those of the most frequent problems
Cells = Mapping[str, str | None]


def shown_rows(
    problems: Sequence[RejectCount | Finding],
    position_of: Mapping[str, int],
    mapping: StepMapping,
    snapshot: Snapshot,
    reveal: bool,
) -> Iterator[ShownRow]:
    """The first rows of the problems, with who they are of and the columns that the problem is in.

    `position_of` a place, as `file:line`. Values are masked unless they are to be revealed.
    """
    asked = [
        (problem.code if isinstance(problem, Finding) else problem.reason, problem.field, place, position_of[place])
        for problem in problems
        for place in problem.first_rows
    ][:MOST]
    columns = {field: columns_of_field(mapping, field, snapshot.schema) for _, field, _, _ in asked}
    wanted = list(dict.fromkeys(name for names in columns.values() for name in names))
    found = read_rows(snapshot, sorted({position for _, _, _, position in asked}), wanted)
    for code, field, place, position in asked:
        cells = ((name, found[position][name]) for name in columns[field] if name in found[position])
        kept = tuple((name, None if value is None else shown(value, reveal)) for name, value in cells)
        yield ShownRow(code, field, place, kept)


def columns_of_field(mapping: StepMapping, field: str | None, schema: pl.Schema) -> tuple[str, ...]:
    """The columns of who the row is of, and those that a target of the mapping is made of."""
    made = chains(mapping)
    who = [name for chain in made if chain.target.startswith(WHO) for name in chain.sources]
    of_field = [name for chain in made if chain.target == field for name in chain.sources]
    if field == "event_key":
        of_field = list(mapping.event_key)
    elif field is not None and not of_field and field in schema:
        of_field = [field]
    return tuple(dict.fromkeys([*who, *of_field]))


def read_rows(snapshot: Snapshot, positions: Sequence[int], columns: Sequence[str]) -> dict[int, Cells]:
    """These columns of the rows at `positions`, which ascend: a frame of the source is read for each neighbourhood.

    A row that could not be read as a row has no cells.
    """
    found: dict[int, Cells] = {}
    for position in positions:
        if position not in found:
            frame = next(snapshot.read(columns, position))
            here = frame.filter(pl.col(POSITION).is_in(positions))
            values = {name: texts(here.get_column(name)) for name in columns}
            for row, (at, fault) in enumerate(here.select(POSITION, FAULT).iter_rows()):
                found[at] = {} if fault is not None else {name: of[row] for name, of in values.items()}
    return found
