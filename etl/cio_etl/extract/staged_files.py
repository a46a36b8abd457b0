"""Records for each row of a copy from which file and row it came, in two columns that the snapshot does not show.

For files that are decoded as a whole, and so are read once and copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import polars as pl

from cio_etl.errors import SourceError
from cio_etl.model import FAULT, POSITION, Snapshot

_FILE, _ROW = "_staged_file", "_staged_row"


def placed(frame: pl.DataFrame, path: str | pl.Series, rows: pl.Series) -> pl.DataFrame:
    """The frame with the file (one for all rows, or one per row) and the 1-based row in it of each row."""
    file = pl.lit(path) if isinstance(path, str) else path
    return frame.with_columns(file.alias(_FILE), rows.cast(pl.Int64).alias(_ROW))


def with_places(snapshot: Snapshot) -> Snapshot:
    """The snapshot of a copy whose frames were `placed`: with the source's own columns, files and rows."""
    own = [name for name in snapshot.schema if name not in (_FILE, _ROW)]

    def read(columns: Sequence[str] | None, start: int) -> Iterator[pl.DataFrame]:
        return snapshot.read(own if columns is None else columns, start)

    def locate(positions: Sequence[int]) -> list[tuple[str, int]]:
        places: dict[int, tuple[str, int]] = {}
        for position in sorted(set(positions)):
            if position not in places:
                if not 0 <= position < snapshot.rows:
                    raise IndexError(f"no row has position {position}")
                frame = next(snapshot.read([_FILE, _ROW], position)).select(POSITION, _FILE, _ROW)
                wanted = frame.filter(pl.col(POSITION).is_in(list(positions)))
                places |= {at: (path, row) for at, path, row in wanted.iter_rows()}
        return [places[position] for position in positions]

    schema = pl.Schema({name: snapshot.schema[name] for name in own})
    return replace(snapshot, schema=schema, read=read, locate=locate)


def check_own_names(place: str, names: Sequence[str]) -> None:
    """Raises SourceError when a column has a name that this program uses itself."""
    for name in names:
        if name in (_FILE, _ROW, POSITION, FAULT):
            what = f"has a column {name!r}, which is a name of this program's own"
            raise SourceError("rename the column", place=place, what=what)


def agreed(schemas: Sequence[tuple[str, pl.Schema]]) -> pl.Schema:
    """The types that all files' columns have; one of nulls takes the others', one of whole numbers may become float.

    Raises SourceError when files differ.
    """
    first_path, first = schemas[0]
    agreed = dict(first)
    for path, schema in schemas[1:]:
        for name in {**agreed, **schema}:
            here, there = schema.get(name), agreed.get(name)
            if here == there or (here == pl.Null() and there is not None):
                continue
            both = {here, there}
            if there == pl.Null() and here is not None:
                agreed[name] = here
            elif both == {pl.Int64(), pl.Float64()}:
                agreed[name] = pl.Float64()
            else:
                raise SourceError(
                    "make both the same, or make them two steps",
                    place=path,
                    what=f"column {name!r} is {here or 'absent'} here and {there or 'absent'} in {first_path}",
                )
    return pl.Schema(agreed)
