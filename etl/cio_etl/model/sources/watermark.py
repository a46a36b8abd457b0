"""The watermark of an incremental source: up to where it was read, as a value and as stored text."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from cio_etl.model.records import dataclass

WatermarkValue = datetime | date | int | Decimal | str


@dataclass(frozen=True, slots=True)
class Incremental:
    """How to read only the rows that are new since the last finished run: those whose `watermark` column is at or
    after its watermark.

    `lag`: how far before the watermark to read again, for rows that were committed late: a duration for times and
    dates, a number for numbers. Rows that an earlier run read are dropped by `key` and watermark; without a key, by all
    columns.
    """

    watermark: str
    key: tuple[str, ...] = ()
    lag: timedelta | int | None = None
    start: WatermarkValue | None = None  # for the first run; None: all rows


@dataclass(frozen=True, slots=True)
class Watermark:
    """Up to where an incremental source was read, and which rows at that boundary were read already.

    A time with a zone is in UTC; one without a zone stays without. `seen` has 32 hexadecimal digits for each row that
    the next run may read again: the start of SHA-256 over its key and watermark.
    """

    value: WatermarkValue
    seen: frozenset[str] = frozenset()

    def to_text(self) -> str:
        """The stored form: JSON of the value's type, the value and `seen`."""
        value = self.value.isoformat() if isinstance(self.value, date) else str(self.value)
        return json.dumps([type(self.value).__name__, value, sorted(self.seen)])

    @classmethod
    def of_text(cls, text: str) -> Watermark:
        """The watermark of a stored text."""
        kind, value, seen = json.loads(text)
        match kind:
            case "datetime":
                return cls(datetime.fromisoformat(value), frozenset(seen))
            case "date":
                return cls(date.fromisoformat(value), frozenset(seen))
            case "int":
                return cls(int(value), frozenset(seen))
            case "Decimal":
                return cls(Decimal(value), frozenset(seen))
        return cls(value, frozenset(seen))


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Where the next run of a step starts: the watermark of the last finished run, and the kinds of its columns.

    known_columns: the columns that a mapping with `*` takes or leaves out; others are new. None: no run had `*`.
    """

    watermark: Watermark | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""  # a digest of what the watermark belongs to
    known_columns: tuple[str, ...] | None = None


def watermark_value(written: str) -> WatermarkValue:
    """The value of a watermark that a person wrote: a whole number, a date, a time, else text.

    >>> watermark_value("2024-03-10T09:00:00Z")
    datetime.datetime(2024, 3, 10, 9, 0, tzinfo=datetime.timezone.utc)
    """
    if re.fullmatch(r"-?\d{1,18}", written, re.ASCII):
        return int(written)
    if re.match(r"\d{4}-\d\d-\d\d", written, re.ASCII):
        with contextlib.suppress(ValueError):
            return date.fromisoformat(written)
        with contextlib.suppress(ValueError):
            time = datetime.fromisoformat(written)
            return time if time.tzinfo is None else time.astimezone(UTC)
    return written
