"""Evidence of how columns write dates, from one pass over all rows of the columns that may hold dates.

Counts, places and dates that stand for none; never a value that is somebody's. A column that turns out to hold nothing
like a date is dropped on the way, so the rest of the pass does not read it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import polars as pl
import polars.selectors as cs

from cio_etl.model import FAULT, POSITION, Snapshot
from cio_etl.propose import names
from cio_etl.propose.columns import cleaned
from cio_etl.propose.dates import offsets, sentinels
from cio_etl.propose.dates.formats import DATE_LIKE, FormatCounts, Formats
from cio_etl.propose.dates.offsets import Offsets
from cio_etl.propose.dates.sentinels import Sentinel
from cio_etl.transform import timestamps
from cio_etl.transform.functions.timestamp import DATE, OFFSET, UNIVERSAL, shape, timestamp_facts
from cio_etl.transform.timestamps import PER_SECOND, Unit

# The floor of a number lies between these. No two of the units' ranges meet: 1990 to 2040 is in none of another's.
_1990, _2040 = 631_152_000, 2_208_988_800
_RANGES: dict[Unit, tuple[int, int]] = {unit: (_1990 * n, _2040 * n) for unit, n in PER_SECOND.items()}
_EXCEL = (20_000, 60_000)  # days of the years 1954 to 2064
_NUMBER = r"^[+-]?[0-9]{1,19}(?:\.[0-9]+)?$"
_FRACTION = r"\.[0-9]*[1-9]"

_ENOUGH = 1_000  # values, before a column is dropped
_SMALL = 1_000  # rows of a frame that is read in one thread: each other one would first compile all expressions
_HARDLY_ANY, _HALF = 0.01, 0.5  # of them are written like dates, and numbers that could be some


@dataclass(frozen=True, slots=True)
class DateEvidence:
    """The counts of one column over `rows` readable rows."""

    name: str
    dtype: pl.DataType
    rows: int
    filled: int = 0  # neither null nor blank, nor a word for null
    padded: int = 0  # with spaces around
    blank: int = 0  # only spaces
    shapes: Mapping[int, int] = field(default_factory=dict)  # ISO 8601 texts, by their bits
    offsets: Offsets = field(default_factory=Offsets)
    numbers: int = 0
    fractions: int = 0
    units: Mapping[str, int] = field(default_factory=dict)  # numbers that are counts of 1990 to 2040
    excel: int = 0
    formats: Formats = field(default_factory=Formats)
    sentinels: tuple[Sentinel, ...] = ()

    @property
    def is_text(self) -> bool:
        return isinstance(self.dtype, pl.String | pl.Categorical | pl.Enum)

    @property
    def iso(self) -> int:
        return sum(self.shapes.values())

    @property
    def with_offset(self) -> int:
        """ISO texts that end in Z, UTC or an offset."""
        return sum(count for code, count in self.shapes.items() if code & (UNIVERSAL | OFFSET))

    @property
    def universal(self) -> int:
        return sum(count for code, count in self.shapes.items() if code & UNIVERSAL and not code & OFFSET)

    @property
    def days(self) -> int:
        """ISO texts without a time of day."""
        return self.shapes.get(DATE, 0)

    @property
    def dated(self) -> int:
        """Values that may be dates, without those that stand for no date."""
        none = sum(one.count for one in self.sentinels if one.day in (sentinels.NO_DAY, sentinels.NO_VALUE))
        return self.filled + self.blank - none


def collect_facts(
    snapshot: Snapshot, columns: Iterable[str], words_for_null: bool = False, always: frozenset[str] = frozenset()
) -> dict[str, DateEvidence]:
    """The evidence of each column that may hold dates; of those `always`, whatever they hold."""
    counts = {name: _DateCounts(name, snapshot.schema[name], name in always) for name in columns}
    wanted = [name for name, column in counts.items() if column.is_open]
    at = 0
    with ThreadPoolExecutor() as pool:
        while wanted:
            for frame in snapshot.read(wanted, at):
                at += frame.height
                sound = frame.filter(pl.col(FAULT).is_null())
                each = map if sound.height < _SMALL else pool.map
                list(each(lambda name: counts[name].take(sound, words_for_null), wanted))  # noqa: B023
                open_columns = [name for name in wanted if counts[name].is_open]
                if len(open_columns) < len(wanted):
                    break
            else:
                break
            wanted = open_columns
    return {name: counts[name].evidence() for name in wanted}


class _DateCounts:
    """One column, counted frame by frame."""

    def __init__(self, name: str, dtype: pl.DataType, always: bool) -> None:
        self.name, self.dtype = name, dtype
        self.always = always or names.says_time(name)
        self.rows = self.filled = self.padded = self.blank = self.numbers = self.fractions = self.excel = 0
        self.shapes: Counter[int] = Counter()
        self.units: Counter[Unit] = Counter()
        self.offsets, self.formats, self.sentinels = offsets.OffsetCounts(), FormatCounts(), sentinels.SentinelCounts()

    @property
    def is_text(self) -> bool:
        return isinstance(self.dtype, pl.String | pl.Categorical | pl.Enum)

    @property
    def is_time(self) -> bool:
        return isinstance(self.dtype, pl.Date | pl.Datetime)

    @property
    def is_open(self) -> bool:
        """Whether the column may still contain dates."""
        if not (self.is_text or self.is_time or (self.dtype.is_numeric() and not self.dtype.is_decimal())):
            return False
        if self.always or self.is_time or self.filled < _ENOUGH:
            return True
        written, numbers = self.shapes.total() + self.formats.counts.total(), self.units.total() + self.excel
        return written >= _HARDLY_ANY * self.filled or numbers >= _HALF * self.filled

    def take(self, frame: pl.DataFrame, words_for_null: bool) -> None:
        """Count the column's values in a frame of readable rows."""
        raw = cs.by_name(self.name).as_expr()
        value = cleaned(raw, self.dtype, words_for_null)
        all_rows = frame.select(pl.col(POSITION).alias("position"), raw.alias("raw"), value.alias("value"))
        values = all_rows.drop_nulls("value")
        self.rows, self.filled = self.rows + frame.height, self.filled + values.height
        if self.is_time:
            self.sentinels.take_times(values["value"])
        elif self.is_text:
            self.padded += int((_bytes(values["raw"]) != _bytes(values["value"])).sum())
            if all_rows["raw"].null_count() < all_rows["value"].null_count():
                self._take_blanks(all_rows.filter(pl.col("value").is_null())["raw"])
            self._take_texts(values.select("position", pl.col("value").alias("text")))
        else:
            self._take_numbers(values)

    def _take_blanks(self, texts: pl.Series) -> None:
        blank = int((texts.cast(pl.String).str.strip_chars() == "").sum())
        self.blank += blank
        self.sentinels.take_blanks(blank)

    def _take_texts(self, values: pl.DataFrame) -> None:
        self.sentinels.take(values["text"])
        is_iso = values["text"].str.contains(timestamps.ISO)
        if is_iso.any():
            self._take_iso(values["text"].filter(is_iso))
            values = values.filter(~is_iso)
        is_number = values["text"].str.contains(_NUMBER)
        if is_number.any():
            numbers = values.filter(is_number)
            self._count(numbers.select(timestamps.whole(pl.col("text"), pl.String())).to_series())
            self.fractions += int(numbers["text"].str.contains(_FRACTION).sum())
            self.formats.take(numbers.filter(_in_digits()))
            values = values.filter(~is_number)
        text = pl.col("text")
        self.formats.take(values.filter(text.str.contains(DATE_LIKE), ~text.str.starts_with("0000")))

    def _take_iso(self, texts: pl.Series) -> None:
        codes = texts.to_frame("text").select(shape(pl.col("text"))).to_series()
        counts = dict(codes.value_counts().iter_rows())
        self.shapes.update(counts)
        if any(code & OFFSET for code in counts):
            zoned = texts.filter((codes & OFFSET) > 0)
            known = timestamp_facts(counts, None, numbers=False)
            reads = timestamps.from_iso(pl.col("text"), timestamps.Zone(), known).alias("instant")
            read = zoned.to_frame("text").with_columns(reads).drop_nulls()
            self.offsets.take(read["text"], read["instant"])

    def _take_numbers(self, values: pl.DataFrame) -> None:
        whole = values.select(timestamps.whole(pl.col("value"), self.dtype)).to_series()
        self._count(whole)
        if self.dtype.is_integer():
            texts = values.select("position", pl.col("value").cast(pl.String).alias("text"))
            self.formats.take(texts.filter(_in_digits()))
        else:
            self.fractions += values.select((pl.col("value") != pl.col("value").floor()).sum()).item()

    def _count(self, whole: pl.Series) -> None:
        """Counts numbers, floored."""
        self.numbers += whole.len()
        self.sentinels.take_numbers(whole)
        for unit, (least, most) in _RANGES.items():
            self.units[unit] += int(whole.is_between(least, most).sum())
        self.excel += int(whole.is_between(*_EXCEL).sum())

    def evidence(self) -> DateEvidence:
        """The evidence so far."""
        return DateEvidence(
            name=self.name,
            dtype=self.dtype,
            rows=self.rows,
            filled=self.filled,
            padded=self.padded,
            blank=self.blank,
            shapes=dict(sorted(self.shapes.items())),
            offsets=self.offsets.offsets(),
            numbers=self.numbers,
            fractions=self.fractions,
            units={unit: count for unit, count in self.units.items() if count},
            excel=self.excel,
            formats=self.formats.formats(),
            sentinels=self.sentinels.sentinels(),
        )


def _bytes(texts: pl.Series) -> pl.Series:
    return texts.cast(pl.String).str.len_bytes()


def _in_digits() -> pl.Expr:
    return pl.col("text").str.len_bytes().is_in([8, 12, 14]) & pl.col("text").str.contains(DATE_LIKE)
