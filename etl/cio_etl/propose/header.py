"""Refuses a file whose first line is a row instead of a header: its values would become names in the job."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cio_etl.errors import SourceError

# Nobody names a column like an address or a date. A number is possible, but not for a third of all columns.
_VALUE = re.compile(r"[^\s@]+@[^\s@]+\.[a-z]{2,}|\d{4}-\d{2}-\d{2}\b.*|\d{1,2}[./]\d{1,2}[./]\d{4}\b.*", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?\d[\d ]*([.,]\d+)?")


def require_names(place: str, names: Sequence[str]) -> None:
    """Raises SourceError when column names are clearly values; the message shows none of them."""
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
