"""Is the first line of a file its header, or its first row? Names that are values would carry people into a job."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cio_etl.errors import SourceError

# What nobody calls a column, an address or a date; and what some do, a number, though not a third of all columns.
_VALUE = re.compile(r"[^\s@]+@[^\s@]+\.[a-z]{2,}|\d{4}-\d{2}-\d{2}\b.*|\d{1,2}[./]\d{1,2}[./]\d{4}\b.*", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?\d[\d ]*([.,]\d+)?")


def require_names(place: str, names: Sequence[str]) -> None:
    """Raises SourceError when columns are named by what must be values; it shows none of them."""
    values = [number for number, name in enumerate(names, 1) if _VALUE.fullmatch(name.strip())]
    numeric = [number for number, name in enumerate(names, 1) if _NUMBER.fullmatch(name.strip())]
    odd = sorted(values + numeric)
    if values or 3 * len(odd) >= max(len(names), 2):
        numbers = ", ".join(map(str, odd[:5])) + (" …" if len(odd) > 5 else "")
        raise SourceError(
            "add a header line to the file; or write a job by hand, with `columns:` for the names of its columns",
            place=place,
            what=f"the first line seems to be a row, not the header: what names column {numbers} is a value",
        )
