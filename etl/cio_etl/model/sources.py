"""Where rows come from: what a step's `source:` says, and where an incremental one goes on."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import SecretStr

PARAMETER = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")  # `:name` in a query, as SQLAlchemy finds it

# Options of a database's address that are secrets, whichever driver reads them.
SECRET_OPTIONS = frozenset({"password", "passwd", "pwd", "token", "access_token", "secret", "private_key"})

MarkValue = datetime | date | int | Decimal | str


@dataclass(frozen=True, slots=True)
class Storage:
    """How an object store is reached. What is None is found as the store's own tools do: environment, profile, role.

    For az:// the two keys are the account's name and its key.
    """

    endpoint: str | None = None  # http://127.0.0.1:9000: another server that speaks S3 (or Azure's language)
    region: str | None = None
    profile: str | None = None  # of ~/.aws, S3 only
    anonymous: bool = False  # public objects: requests are not signed
    access_key_id: SecretStr | None = None
    secret_access_key: SecretStr | None = None


@dataclass(frozen=True, slots=True)
class CsvSource:
    """CSV files: text only, no inference. Paths may be globs; files are read in sorted order."""

    paths: tuple[str, ...]
    separator: str = ","
    encoding: str = "utf-8"
    quote: str | None = '"'
    null_values: tuple[str, ...] = ("",)
    hive: bool = False  # folders named key=value are text columns
    storage: Storage | None = None
    escape: str | None = None  # before a sign: it means itself; before n, t, r, 0, b, f, v, Z, N: what MySQL means
    columns: tuple[str, ...] = ()  # of files without a header line


# What real tools write, by the fields of CsvSource that differ from its own.
CSV_DIALECTS: dict[str, dict[str, Any]] = {
    "excel": {},
    "excel-semicolon": {"separator": ";"},  # Excel where the decimal sign is a comma
    "tab": {"separator": "\t"},
    "tab-unquoted": {"separator": "\t", "quote": None},  # text/tab-separated-values
    "pipe": {"separator": "|"},
    "mysql": {"separator": "\t", "quote": None, "escape": "\\", "null_values": ()},  # SELECT … INTO OUTFILE
    "postgresql": {},  # COPY … WITH (FORMAT csv, HEADER)
    "postgresql-text": {"separator": "\t", "quote": None, "escape": "\\", "null_values": ()},  # COPY … by itself
    "redshift": {"separator": "|", "quote": None, "escape": "\\"},  # UNLOAD … ESCAPE
    "hive": {"separator": "\x01", "quote": None, "null_values": ("\\N",)},  # a text table without ESCAPED BY
}


@dataclass(frozen=True, slots=True)
class NdjsonSource:
    """Files of one JSON object a line. Paths may be globs; files are read in sorted order."""

    paths: tuple[str, ...]
    encoding: str = "utf-8"
    hive: bool = False  # folders named key=value are text columns
    storage: Storage | None = None


@dataclass(frozen=True, slots=True)
class ExcelSource:
    """Sheets of Excel or OpenDocument files, all of the same columns. Paths may be globs, in sorted order."""

    paths: tuple[str, ...]
    sheet: str | None = None  # None: the only one
    storage: Storage | None = None


@dataclass(frozen=True, slots=True)
class AvroSource:
    """Avro files of the same columns. Paths may be globs; files are read in sorted order."""

    paths: tuple[str, ...]
    storage: Storage | None = None


@dataclass(frozen=True, slots=True)
class ParquetSource:
    """Parquet files. Paths may be globs; files are read in sorted order and must have the same columns."""

    paths: tuple[str, ...]
    hive: bool = False  # folders named key=value are text columns
    storage: Storage | None = None


@dataclass(frozen=True, slots=True)
class DeltaSource:
    """A Delta table, by its folder here or in an object store; its newest version when a run begins, or a named one."""

    table: str
    version: int | None = None
    storage: Storage | None = None


@dataclass(frozen=True, slots=True)
class IcebergSource:
    """An Iceberg table, by its folder or one of its metadata.json files; its current snapshot, or a named one."""

    table: str
    snapshot: int | None = None
    storage: Storage | None = None


@dataclass(frozen=True, slots=True)
class Incremental:
    """Only what is new since the last finished run: rows whose `watermark` column is at or after its mark.

    `lag` reads so much of what is before the mark again, for rows that came late: a duration for times and dates, a
    number for numbers. Rows that were read before are left out by `key` and watermark; without a key, by all columns.
    """

    watermark: str
    key: tuple[str, ...] = ()
    lag: timedelta | int | None = None
    start: MarkValue | None = None  # for the first run; None: all rows


@dataclass(frozen=True, slots=True)
class SqlSource:
    """What a database answers, staged in one read-only transaction. One of `table` and `query`."""

    url: SecretStr  # SQLAlchemy's form: dialect+driver://user:password@host:port/database?option=value
    table: tuple[str, ...] | None = None  # catalogue, schema and name, as far as they are written
    query: str | None = None  # one statement; `:name` is a parameter
    parameters: MappingOf[str, Any] = field(default_factory=dict)
    incremental: Incremental | None = None
    place: str = ""  # for messages: "table orders", or the file of the query


@dataclass(frozen=True, slots=True, eq=False)
class ReplaySource:
    """Rejected rows that are sent again, mended or not: no job file says so, `replay` makes it.

    `rows` has the columns that the mapping reads, and those that extract/replayed.py names.
    """

    rows: pl.DataFrame
    digest: str  # of what `replay` was given: a copy of other rows is not gone on with
    json: frozenset[str]
    answers: MappingOf[str, Any]  # see model.Answers
    closes: bool


FileSource = CsvSource | ParquetSource | NdjsonSource | ExcelSource | AvroSource
Source = FileSource | DeltaSource | IcebergSource | SqlSource | ReplaySource


@dataclass(frozen=True, slots=True)
class Watermark:
    """Up to where an incremental source has been read, and which rows at the boundary it had already.

    A time with a zone is in UTC; one without stays without. `seen` has 32 hexadecimal digits for each row that the next
    run may read again: the start of SHA-256 over its key and watermark.
    """

    value: MarkValue
    seen: frozenset[str] = frozenset()

    def to_text(self) -> str:
        """As it is stored: JSON of the value's type, the value, and what was seen."""
        value = self.value.isoformat() if isinstance(self.value, date) else str(self.value)
        return json.dumps([type(self.value).__name__, value, sorted(self.seen)])

    @classmethod
    def of_text(cls, text: str) -> Watermark:
        """The mark of a stored text."""
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


def watermark_value(written: str) -> MarkValue:
    """What a watermark written by a person says: a whole number, a date, a time, else text.

    >>> mark_value("2024-03-10T09:00:00Z")
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


@dataclass(frozen=True, slots=True)
class Staging:
    """How a source that cannot be read twice is copied to this machine first."""

    folder: Path  # made when needed, 0700
    columns: tuple[str, ...] | None = None  # those that are wanted; None: all
    mark: Watermark | None = None  # where the last finished run left off; None: from the source's `start` on
    since: MarkValue | None = None  # from here on instead, whatever mark and start say
    rows: int | None = None  # no more than these
    told: Callable[[int], None] = lambda rows: None  # called with the number of rows copied so far
    may_read: bool = True  # False: rows of it are sent already, so only what was copied then will do
