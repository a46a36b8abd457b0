"""Reads the column names of a CSV file, and checks whether its first line is a header."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence

from cio_etl.errors import SourceError
from cio_etl.model import CsvSource

_NAMELESS = "give every column a name; a separator at the end of the header line makes one more column"
_SEPARATORS = {",": '","', ";": '";"', "\t": '"\\t"', "|": '"|"'}  # as YAML writes them


def column_names(place: str, header: bytes, first_row: bytes, source: CsvSource) -> tuple[str, ...]:
    """The names in the header line.

    `first_row` helps to see a wrong separator. Raises SourceError for names that are empty or used twice, for NUL
    bytes, and when another separator than the job's evidently divides the file.
    """
    if b"\0" in header:
        raise SourceError("export the file again as UTF-8 text", place=place, what="the header line holds NUL bytes")
    names = _fields(header, source.separator, source.quote, source.escape)
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


def check_same(path: str, names: tuple[str, ...], first_path: str, first_names: tuple[str, ...]) -> None:
    """Raises SourceError when two files of one source have different header lines."""
    if names == first_names:
        return
    number = next(
        (number for number, pair in enumerate(zip(names, first_names, strict=False), 1) if pair[0] != pair[1]),
        min(len(names), len(first_names)) + 1,
    )
    raise SourceError(
        "export both with the same columns in the same order, or make them two steps",
        place=path,
        what=f"its header differs from that of {first_path}: column {number} is "
        f"{_name_at(names, number)} here and {_name_at(first_names, number)} there",
    )


def _name_at(names: tuple[str, ...], number: int) -> str:
    return repr(names[number - 1]) if number <= len(names) else "absent"


def _divides(other: str, header: bytes, first_row: bytes, width: int, source: CsvSource) -> bool:
    """Whether `other` is the separator rather than the job's.

    A header that the job's separator leaves whole and the other one divides says so itself. Where the job's divides it
    too (a comma in a name), the first row must agree: as many fields as the header by the other one, not by the job's.
    """
    wider = len(_fields(header, other, source.quote))
    if wider <= width:
        return False
    if width == 1:
        return True
    row_width = len(_fields(first_row, source.separator, source.quote))
    return row_width != width and len(_fields(first_row, other, source.quote)) == wider


def _fields(record: bytes, separator: str, quote: str | None, escape: str | None = None) -> list[str]:
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
