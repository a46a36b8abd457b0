"""Records for each row of a copy from which file and row it came, in columns that the snapshot does not show.

For files that are decoded as a whole, and so are read once and copied. A third column has the faults of single cells:
such a row is rejected when the column is read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import polars as pl

from cio_etl.errors import SourceError
from cio_etl.extract.text_columns import JSON_TEXT, as_json_texts
from cio_etl.model import FAULT, POSITION, Snapshot

_FILE, _ROW, _FAULTS = "_staged_file", "_staged_row", "_staged_faults"


def placed(
    frame: pl.DataFrame, path: str | pl.Series, rows: pl.Series, faults: pl.Series | None = None
) -> pl.DataFrame:
    """The frame with the file (one for all rows, or one per row) and the 1-based row in it of each row.

    `faults` are those of `faults_text`.
    """
    file = pl.lit(path) if isinstance(path, str) else path
    columns = [file.alias(_FILE), rows.cast(pl.Int64).alias(_ROW)]
    return frame.with_columns(*columns, *([] if faults is None else [faults.alias(_FAULTS)]))


def faults_text(faults: Mapping[tuple[int, str], str], names: Sequence[str], rows: pl.Series) -> pl.Series:
    """For each of `rows` the faults of its cells, by row and column name, as `,2:reason,5:reason,`; null: none."""
    numbers = {name: number for number, name in enumerate(names)}
    of_row: defaultdict[int, list[str]] = defaultdict(list)
    for (row, name), reason in sorted(faults.items()):
        of_row[row].append(f"{numbers[name]}:{reason}")
    texts = {row: f",{','.join(each)}," for row, each in of_row.items()}
    return pl.Series(_FAULTS, [texts.get(row) for row in rows] if texts else [None] * len(rows), dtype=pl.String)


def with_places(snapshot: Snapshot) -> Snapshot:
    """The snapshot of a copy whose frames were `placed`: with the source's own columns, files and rows."""
    own = [name for name in snapshot.schema if name not in (_FILE, _ROW, _FAULTS)]
    has_faults = _FAULTS in snapshot.schema

    def read(columns: Sequence[str] | None, start: int) -> Iterator[pl.DataFrame]:
        wanted = own if columns is None else list(columns)
        if not has_faults:
            yield from snapshot.read(wanted, start)
            return
        numbers = "|".join(str(number) for number, name in enumerate(own) if name in wanted)
        fault = pl.col(_FAULTS).str.extract(f",(?:{numbers}):([a-z_]+)") if numbers else pl.lit(None, pl.String)
        for frame in snapshot.read([*wanted, _FAULTS], start):
            yield frame.with_columns(fault.alias(FAULT)).drop(_FAULTS)

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
    return replace(snapshot, schema=schema, read=read, locate=locate, in_files=True)


def check_own_names(place: str, names: Sequence[str]) -> None:
    """Raises SourceError when a column has a name that this program uses itself."""
    for name in names:
        if name in (_FILE, _ROW, _FAULTS, POSITION, FAULT):
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
            elif JSON_TEXT in both and None not in both:
                agreed[name] = JSON_TEXT
            else:
                raise SourceError(
                    "make both the same, or make them two steps",
                    place=path,
                    what=f"column {name!r} is {_words(here)} here and {_words(there)} in {first_path}",
                )
    return pl.Schema(agreed)


def in_type(column: pl.Series, dtype: pl.DataType) -> pl.Series:
    """The column in the type that all files agreed on."""
    return as_json_texts(column) if dtype == JSON_TEXT else column.cast(dtype)


def _words(dtype: pl.DataType | None) -> str:
    return "absent" if dtype is None else "of several types" if dtype == JSON_TEXT else str(dtype)
