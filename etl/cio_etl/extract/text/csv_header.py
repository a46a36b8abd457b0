"""Reads the column names of a CSV file, and checks whether its first line is a header."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence

from cio_etl.errors import SourceError, similar
from cio_etl.model import CsvSource

_NAMELESS = (
    "give every column a name; a separator at the end of the header line makes one more column. `skip_lines:` leaves "
    "titles out"
)
_SEPARATORS = {",": '","', ";": '";"', "\t": '"\\t"', "|": '"|"'}  # as YAML writes them


def column_names(place: str, header: bytes, first_row: bytes, source: CsvSource) -> tuple[str, ...]:
    """The names in the header line.

    `first_row` helps to see a wrong separator. Raises SourceError for names that are empty or used twice, for NUL
    bytes, and when another separator than the job's evidently divides the file.
    """
    if b"\0" in header:
        raise SourceError("export the file again as UTF-8 text", place=place, what="the header line holds NUL bytes")
    names = fields_of(header, source.separator, source.quote, source.escape)
    if not names:
        raise SourceError("is this a CSV file?", place=place, what="the header line cannot be read")
    for other, written in _SEPARATORS.items():
        if other != source.separator and _divides(other, header, first_row, len(names), source):
            raise SourceError(
                f"write `separator: {written}` into the job",
                place=place,
                what=f"the header line has {len(names)} column{'s'[: len(names) != 1]}; "
                f"its separator seems to be {written}, not {_SEPARATORS.get(source.separator, repr(source.separator))}",
            )
    check_unique(place, names)
    return tuple(names)


def check_declared(place: str, names: tuple[str, ...], fields: int) -> tuple[str, ...]:
    """The names that the job gives to the columns of a file without a header line, if its first row has as many."""
    if fields != len(names):
        raise SourceError(
            "name each column of the file, in its order; leave `columns:` out if the file has a header line",
            place=place,
            what=f"the row has {fields} fields, and the job's `columns:` names {len(names)}",
        )
    check_unique(place, names)
    return names


def common_columns(
    names_of: Sequence[tuple[str, tuple[str, ...]]], wanted: Sequence[str] | None = None
) -> tuple[str, ...]:
    """The columns that all files have, in the order of the first; `names_of` has the path and names of each.

    Raises SourceError when there are none, and for a file without a wanted column that another file has.
    """
    first_path, first = names_of[0]
    common = tuple(name for name in first if all(name in names for _, names in names_of))
    for path, names in names_of:
        for name in wanted or ():
            other = next((each for each, theirs in names_of if name in theirs), None)
            if name not in names and other is not None:
                near = similar(name, names)
                suggestion = "" if near is None else f"; did you mean {near!r}?"
                raise SourceError(
                    "export both with the columns that the mapping reads, or make them two steps",
                    place=path,
                    what=f"has no column {name!r}, which {other} has{suggestion}",
                )
        if not common and not set(names) & set(first):
            raise SourceError(
                "export both with the same columns, or make them two steps",
                place=path,
                what=f"its header has no column in common with that of {first_path}",
            )
    if not common:
        raise SourceError("make them several steps", place=first_path, what="no column is in all of the source's files")
    return common


def _divides(other: str, header: bytes, first_row: bytes, width: int, source: CsvSource) -> bool:
    """Whether `other` is the separator rather than the job's.

    A header that the job's separator leaves whole and the other one divides says so itself. Where the job's divides it
    too (a comma in a name), the first row must agree: as many fields as the header by the other one, not by the job's.
    """
    wider = len(fields_of(header, other, source.quote))
    if wider <= width:
        return False
    if width == 1:
        return True
    row_width = len(fields_of(first_row, source.separator, source.quote))
    return row_width != width and len(fields_of(first_row, other, source.quote)) == wider


def fields_of(record: bytes, separator: str, quote: str | None, escape: str | None = None) -> list[str]:
    """The fields of one record; none when it cannot be read."""
    text = record.decode().rstrip("\r\n")
    try:
        # One element with its line ends inside: the reader must not take them apart.
        return next(
            csv.reader(
                [text],
                delimiter=separator,
                quotechar=quote,
                escapechar=escape,
                quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
            ),
            [],
        )
    except csv.Error:
        return []


def check_unique(place: str, names: Sequence[str], remedy: str = _NAMELESS) -> None:
    """Raises SourceError for names that are empty or used twice."""
    columns: defaultdict[str, list[str]] = defaultdict(list)
    for number, name in enumerate(names, 1):
        columns[name if name.strip() else ""].append(str(number))
    nameless = columns.pop("", [])
    if nameless:
        raise SourceError(
            remedy,
            place=place,
            what=f"the header has no name for column {' and '.join(nameless)}",
        )
    repeated = [f"columns {' and '.join(where)} are all named {name!r}" for name, where in columns.items() if where[1:]]
    if repeated:
        raise SourceError("give every column its own name", place=place, what="; ".join(repeated))
