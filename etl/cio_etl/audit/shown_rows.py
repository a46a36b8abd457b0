"""The first rows of each problem, read once more to show their cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from cio_etl.audit.mask import shown
from cio_etl.audit.profile import texts
from cio_etl.model import FAULT, POSITION, Finding, ReasonCount, ShownRow, Snapshot
from cio_etl.model import Mapping as StepMapping

WHO = ("identifiers.", "primary.", "secondary.", "object.")
MAX_ROWS = 60  # that are read again for a step: those of the most frequent problems
Cells = Mapping[str, str | None]


def shown_rows(
    problems: Sequence[ReasonCount | Finding],
    position_of: Mapping[str, int],
    mapping: StepMapping,
    snapshot: Snapshot,
    reveal: bool,
) -> Iterator[ShownRow]:
    """The first rows of the problems, with the identifiers of the row and the columns that the problem is in.

    `position_of` maps a place (`file:line`) to its position. Values are masked unless `reveal`.
    """
    requests = [
        (problem.code if isinstance(problem, Finding) else problem.reason, problem.field, place, position_of[place])
        for problem in problems
        for place in problem.first_rows
    ][:MAX_ROWS]
    columns = {field: columns_of_field(mapping, field, snapshot.schema) for _, field, _, _ in requests}
    wanted = list(dict.fromkeys(name for names in columns.values() for name in names))
    cells_by_position = read_rows(snapshot, sorted({position for _, _, _, position in requests}), wanted)
    for code, field, place, position in requests:
        cells = (
            (name, cells_by_position[position][name]) for name in columns[field] if name in cells_by_position[position]
        )
        masked = tuple((name, None if value is None else shown(value, reveal)) for name, value in cells)
        yield ShownRow(code, field, place, masked)


def columns_of_field(mapping: StepMapping, field: str | None, schema: pl.Schema) -> tuple[str, ...]:
    """The columns of the row's identifiers, and those that this target of the mapping is made of."""
    who = [name for target, value in mapping.targets.items() if target.startswith(WHO) for name in value.sources]
    of_field = [name for target, value in mapping.targets.items() if target == field for name in value.sources]
    if field == "event_key":
        of_field = list(mapping.event_key)
    elif field is not None and not of_field and field in schema:
        of_field = [field]
    return tuple(dict.fromkeys([*who, *of_field]))


def read_rows(snapshot: Snapshot, positions: Sequence[int], columns: Sequence[str]) -> dict[int, Cells]:
    """These columns of the rows at `positions` (ascending): one frame of the source is read for rows close together.

    A row that the reader could not parse has no cells.
    """
    cells: dict[int, Cells] = {}
    for position in positions:
        if position not in cells:
            frame = next(snapshot.read(columns, position))
            here = frame.filter(pl.col(POSITION).is_in(positions))
            values = {name: texts(here.get_column(name)) for name in columns}
            for row, (at, fault) in enumerate(here.select(POSITION, FAULT).iter_rows()):
                cells[at] = {} if fault is not None else {name: column[row] for name, column in values.items()}
    return cells
