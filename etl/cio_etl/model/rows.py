"""Rows as rooms pass them on: snapshots, the names of our own columns, items, rejects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Mapping as MappingOf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cio_etl.model.records import dataclass
from cio_etl.model.sources import Watermark

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

POSITION = "_position"  # Int64: the row's 0-based place in the snapshot; gapless

# Int64: of rows that are entries of lists, the 0-based place in the list; null in a row that has no entry, and no fault
ENTRY = "_entry"

FAULT = "_fault"  # String: a reason of REASONS when the row itself could not be read, else null

# Of rejected rows that are stored beside a run: the file, and the line in it.
PLACE_FILE, PLACE_LINE = "_cio_etl_file", "_cio_etl_line"

# Frames of rows that are sent again tell besides what each was at first, which is what an event's id may be made of,
# and whether it is settled since.
ORIGIN_FINGERPRINT = "_cio_etl_fingerprint"  # String: of the snapshot in which it was rejected

ORIGIN_POSITION = "_cio_etl_position"  # Int64: its place there

CLOSED = "_cio_etl_closed"  # Boolean: accepted by a replay before this one

# The results of functions' queries over whole columns, one of each frame, as JSON types; by a digest of the queries.
ColumnFacts = MappingOf[str, Sequence[MappingOf[str, Any]]]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a snapshot, by what tells whether it is still the same."""

    path: str
    bytes: int
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """What is known of rows that are sent again: the rejects that they are, and the facts about all rows."""

    reject_ids: npt.NDArray[np.int64]  # by position, as the state numbers them
    column_facts: ColumnFacts
    closes: bool = True  # False: a sandbox run, after which the rejects are as they were


Read = Callable[[Sequence[str] | None, int], "Iterator[pl.DataFrame]"]


@dataclass(frozen=True, slots=True)
class KeyReader:
    """Reads values inside the objects of a source together with its columns.

    `read(keys)` answers a `Snapshot.read` that also takes the names in `keys`: the value at these keys, the first of
    which is a column, as JSON text. No value may be inside another.
    """

    beside: Read  # of a snapshot with another `read`: no use
    read: Callable[[MappingOf[str, tuple[str, ...]]], Read]
    columns: frozenset[str]  # that hold objects


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An unchanging, row-numbered set of rows.

    `read(columns, start)` yields frames of at most some 25,000 rows, from position `start` on, in order of position:
    the wanted columns (None: all) plus POSITION and FAULT. Raises SourceError, also when a file changes underneath.
    `locate(positions)` answers, for each, the file and the 1-based line (CSV) or row (Parquet) in it; of a
    database, the table or the query, and the row in the order in which it was read.
    """

    fingerprint: str  # SHA-256 over the files' contents in order and the settings they are read with
    files: tuple[SourceFile, ...]
    rows: int
    schema: pl.Schema  # of the source's own columns
    read: Read
    locate: Callable[[Sequence[int]], list[tuple[str, int]]]
    json: frozenset[str] = frozenset()  # text columns that the source says are JSON
    paths: frozenset[str] = frozenset()  # columns that are parts of others, as address.city: the source has them not
    members: tuple[str, ...] = ()  # the paths to all members of the objects of which a mapping takes each
    unique_keys: bool = False  # no object in its JSON has a key twice
    keys: KeyReader | None = None
    loose: bool = False  # the values decide a column's type, so it may be another one tomorrow
    copy: Path | None = None  # the folder in the stage that holds the rows, when they had to be copied
    watermark: Watermark | None = None  # of an incremental source: where the next run begins, once these rows are sent
    replayed: Replayed | None = None  # its rows are rejects that are sent again
    is_part: bool = False  # only the first rows of a source that has more; there is no fingerprint of those
    in_files: bool = True  # False: the rows of a table or a query, which have no line of a file
    entries: Callable[[Sequence[int]], list[str]] | None = None  # of rows that are entries of lists, as `items[2]`

    def places(self, positions: Sequence[int]) -> dict[int, str]:
        """Each position's `file:line`, or `table orders, row 44`, with ` items[2]` of an entry; to look up."""
        located = zip(positions, self.locate(positions), strict=True)
        before = ":" if self.in_files else ", row "
        places = {position: f"{file}{before}{line}" for position, (file, line) in located}
        if self.entries is None:
            return places
        entries = zip(positions, self.entries(positions), strict=True)
        return {position: f"{places[position]} {entry}" if entry else places[position] for position, entry in entries}


ALSO = "also "  # begins the message of a reject that has further reasons


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was not accepted: by our checks before sending, or by Customer.io.

    `message` has Customer.io's words, or the further reasons of our checks, after ALSO; "": there is only `reason`.
    `subject` and `content` are what a later run finds the reject by, see transform/reject_keys.py. `earlier` is the
    oldest open reject of an earlier run in whose place it is open.
    """

    position: int
    reason: str
    field: str | None = None
    message: str = ""
    subject: int | None = None
    content: int | None = None
    earlier: int | None = None
