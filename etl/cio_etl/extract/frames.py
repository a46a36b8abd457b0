"""Chooses the columns of a snapshot's frames, and adds position and fault to each row."""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

from cio_etl.errors import SourceError
from cio_etl.model import FAULT, POSITION


def check_names(place: str, names: Sequence[str]) -> None:
    """Raises SourceError when a column has a name that this program uses itself."""
    for number, name in enumerate(names, 1):
        if name in (POSITION, FAULT):
            raise SourceError(
                "rename the column",
                place=place,
                what=f"column {number} is named {name!r}, which is a name of this program's own",
            )


def in_query(name: str, quote: str = '"') -> str:
    """A column's name as a remedy writes it in SQL: in quotes, unless it needs none."""
    plain = re.fullmatch("[a-z_][a-z0-9_]*", name) is not None
    return name if plain else f"{quote}{name.replace(quote, quote * 2)}{quote}"


def chosen_columns(place: str, schema: pl.Schema, columns: Sequence[str] | None) -> list[str]:
    """The wanted columns, each once (None: all). Raises SourceError for one that the source doesn't have."""
    chosen = list(schema) if columns is None else list(dict.fromkeys(columns))
    missing = [name for name in chosen if name not in schema]
    if missing:
        raise SourceError(
            f"its columns are {', '.join(schema)}",
            place=place,
            what=f"has no column {', '.join(repr(name) for name in missing)}",
        )
    return chosen


def numbered(frame: pl.DataFrame, position: int, rows: int, fault: pl.Series | None = None) -> pl.DataFrame:
    """The frame of `rows` rows with POSITION, counted from `position`, and FAULT (None: every row is sound)."""
    fault = pl.Series(FAULT, [None], dtype=pl.String).new_from_index(0, rows) if fault is None else fault
    positions = pl.int_range(position, position + rows, dtype=pl.Int64, eager=True).alias(POSITION)
    return pl.DataFrame([*frame.get_columns(), positions, fault])
