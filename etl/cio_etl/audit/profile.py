"""The profile of a step's rows: columns, sizes of items and dates, counted frame by frame.

Memory does not grow with the rows: for every column it keeps a few counts and the few thousand smallest hashes of its
values, from which the number of distinct values is estimated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import polars.selectors as cs

from cio_etl.audit.few_values import FewValues
from cio_etl.audit.mask import payload_shown, shown
from cio_etl.model import Bar, ColumnProfile, Profile, Sample, ShownRow
from cio_etl.model import Mapping as StepMapping
from cio_etl.transform import Mapped, columns_of, encode, timestamps
from cio_etl.transform.chains import Chain, chains, makes_time
from cio_etl.transform.checks import MAX_ITEM_BYTES
from cio_etl.transform.decimals import NUMBER, as_double
from cio_etl.transform.nested import in_words
from cio_etl.transform.row_sql import columns_of as columns_of_sql

SAMPLES = 3
HASHES = 4_096  # per column: two estimates of three are then within 1.6 %
BARS = 48  # of a chart, at most
DAY_S = 86_400
FIRST_DAY, LAST_DAY = -25_567, 84_006  # 1900 and 2200: dates beyond are rejected
DATED = ("timestamp", "attributes.created_at")  # the targets a time line is drawn of: the first that the mapping has
_ALL = 2**64 - 1

Numbers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class FrameProfile:
    """The counts of one frame."""

    rows: int
    facts: Mapping[str, Any]  # by column number and name: 3.nulls
    ranges: Mapping[int, tuple[Any, Any]]  # of the mapped values, by column number
    hashes: Mapping[int, Hashes]
    values: Mapping[int, dict[str, int]]  # rows by value, of the columns that may have few
    examples: Mapping[int, str]
    sizes: Numbers  # rows by size of their item in bytes
    days: Numbers  # rows by days since FIRST_DAY
    items: tuple[tuple[int, str], ...]  # the first ones: position and text


@dataclass(slots=True)
class ColumnCounts:
    """The counts of one column over all frames so far."""

    name: str
    dtype: pl.DataType
    nulls: int = 0
    shortest: int | None = None
    longest: int | None = None
    low: Any = None
    high: Any = None
    example: str | None = None
    hashes: list[Hashes] = field(default_factory=list)  # of values: the smallest ones, then those added since
    below: int = _ALL  # larger hashes are ignored
    full: bool = False  # there are more than HASHES values

    def add(self, facts: Mapping[str, Any], made: tuple[Any, Any] | None) -> None:
        self.nulls += facts["nulls"]
        self.shortest = _least(self.shortest, facts.get("shortest"))
        self.longest = _most(self.longest, facts.get("longest"))
        low, high = made or (facts.get("low"), facts.get("high"))
        self.low, self.high = _least(self.low, low), _most(self.high, high)

    def add_hashes(self, hashes: Hashes) -> None:
        """Keep the smallest hashes: with a uniform hash they estimate the number of distinct values."""
        self.hashes.append(hashes)
        if sum(map(len, self.hashes)) > 2 * HASHES:  # not each time: sorting is the expensive part
            self.merge()

    def merge(self) -> None:
        """Merge the hashes added since; null has a hash too, which is dropped."""
        merged = np.unique(np.concatenate(self.hashes)) if self.hashes else np.empty(0, dtype=np.uint64)
        merged = merged[merged != pl.Series([None], dtype=self.dtype).hash()[0]]
        if len(merged) > HASHES:
            merged, self.full = merged[:HASHES], True
            self.below = int(merged[-1])
        self.hashes = [merged]

    def distinct(self) -> int:
        """The number of distinct values, estimated when there are more than HASHES."""
        self.merge()
        return round((HASHES - 1) / (self.below / 2**64)) if self.full else len(self.hashes[0])


class Profiler:
    """Profiles every frame of a step and adds up the counts.

    `count` may run in several threads at once; its results are then added one after the other, with `add`.
    """

    def __init__(self, mapping: StepMapping, schema: pl.Schema, reveal: bool = False) -> None:
        self._schema, self._reveal = schema, reveal
        self._targets = _targets(mapping)
        self._columns_read = {n: ColumnCounts(name, schema[name]) for n, name in enumerate(columns_of(mapping))}
        self._facts = [query for n, column in self._columns_read.items() for query in _facts(n, column)]
        self._hashed = {n: column for n, column in self._columns_read.items() if _can_be_hashed(column.dtype)}
        self._made = dict(_made(self._columns_read, chains(mapping)))
        self._times = {n for n, chain in self._made.items() if _is_time(chain, schema[chain.sources[0]])}
        self._few = {
            n: FewValues(self._targets[column.name]) for n, column in self._hashed.items() if not self._is_time(n)
        }
        known = {chain.target for chain in chains(mapping)}
        self._dated = next((target for target in DATED if target in known), None)
        self._sizes = np.zeros(MAX_ITEM_BYTES + 1, dtype=np.int64)
        self._days = np.zeros(LAST_DAY - FIRST_DAY + 1, dtype=np.int64)
        self._items: list[tuple[int, str]] = []

    def count(self, mapped: Mapped) -> FrameProfile:
        """The counts of a frame; the profiler itself does not change."""
        facts = mapped.rows.select_seq(self._facts).row(0, named=True) if self._facts else {}
        counts = {
            n: counted
            for n, few in self._few.items()
            if (counted := few.counted(mapped.rows.get_column(self._hashed[n].name))) is not None
        }
        hashes = {
            n: _smallest(counts[n]["value"] if n in counts else mapped.rows.get_column(column.name), column)
            for n, column in self._hashed.items()
        }
        sent = mapped.items.filter(pl.col("item").is_not_null())
        sizes = np.minimum(sent["item"].str.len_bytes().to_numpy(), MAX_ITEM_BYTES + 1)
        missing = max(SAMPLES - len(self._items), 0)
        return FrameProfile(
            mapped.rows.height,
            facts,
            {n: _range(mapped.values, chain.target) for n, chain in self._made.items()},
            hashes,
            {n: few.of(counts.get(n), texts) for n, few in self._few.items()},
            dict(self._first_values(mapped.rows, facts)),
            np.bincount(sizes)[1:],  # the comma behind an item is not part of it
            self._days_of(mapped.values, sent),
            tuple(sent.head(missing).select("position", "item").iter_rows()),
        )

    def add(self, part: FrameProfile) -> None:
        """Add the counts of a frame; frames come in order of position."""
        for n, column in self._columns_read.items():
            facts = {name: part.facts[f"{n}.{name}"] for name in FACTS if f"{n}.{name}" in part.facts}
            column.add(facts, part.ranges.get(n))
            if n in part.hashes:
                column.add_hashes(part.hashes[n])
            if n in self._few:
                self._few[n].add(part.values.get(n, {}), part.rows - facts["nulls"])
            if column.example is None:
                column.example = part.examples.get(n)
        self._sizes[: len(part.sizes)] += part.sizes
        self._days[: len(part.days)] += part.days
        self._items += part.items[: SAMPLES - len(self._items)]

    def profile(self, places: Callable[[Sequence[int]], Mapping[int, str]], rows: Sequence[ShownRow] = ()) -> Profile:
        """The profile, once all frames have been added; `rows` are those of the problems."""
        place_of = places([position for position, _ in self._items])
        samples = (Sample(place_of[position], payload_shown(item[:-1], self._reveal)) for position, item in self._items)
        return Profile(
            columns=tuple(self._columns()),
            sizes=tuple(_size_bars(self._sizes)),
            dates=tuple(_date_bars(self._days)),
            dated=self._dated,
            rows=tuple(rows),
            samples=tuple(samples),
            revealed=self._reveal,
        )

    def _is_time(self, n: int) -> bool:
        """Whether the report has a range of times for the column."""
        return n in self._times or isinstance(self._hashed[n].dtype, pl.Date | pl.Datetime)

    def _first_values(self, rows: pl.DataFrame, facts: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
        for n, column in self._columns_read.items():
            if column.example is None and facts[f"{n}.nulls"] < rows.height:
                (first,) = texts(rows.get_column(column.name).alias("v").drop_nulls().head(1))
                yield n, shown(first or "", self._reveal)

    def _days_of(self, values: pl.DataFrame, sent: pl.DataFrame) -> Numbers:
        if self._dated is None:
            return np.empty(0, dtype=np.int64)
        if sent.height < values.height:
            values = values.join(sent, left_on=values.columns[0], right_on="position", how="semi")
        days = values[self._dated].drop_nulls().to_numpy() // DAY_S
        return np.bincount(np.clip(days, FIRST_DAY, LAST_DAY) - FIRST_DAY)

    def _columns(self) -> Iterator[ColumnProfile]:
        """The columns that the mapping reads, in its order, then the others."""
        for n, column in self._columns_read.items():
            low, high = (self._as_text(n, value) for value in (column.low, column.high))
            yield ColumnProfile(
                name=column.name,
                type=type_name(column.dtype),
                targets=tuple(self._targets[column.name]),
                nulls=column.nulls,
                distinct=column.distinct() if n in self._hashed else None,
                distinct_is_exact=not column.full,
                shortest=column.shortest,
                longest=column.longest,
                low=low,
                high=high,
                example=column.example,
                values=self._few[n].most_frequent(lambda text: shown(text, self._reveal)) if n in self._few else (),
            )
        read = {column.name for column in self._columns_read.values()}
        yield from (ColumnProfile(name, type_name(dtype)) for name, dtype in self._schema.items() if name not in read)

    def _as_text(self, n: int, value: Any) -> str | None:
        if value is not None and n in self._times:
            value = datetime.fromtimestamp(0, UTC) + timedelta(seconds=min(max(value, FIRST_DAY * DAY_S), _LATEST_S))
        return None if value is None else value_text(value, self._reveal)


FACTS = ("nulls", "shortest", "longest", "low", "high")
_LATEST_S = 253_402_300_799  # the end of the year 9999


def _facts(n: int, column: ColumnCounts) -> Iterator[pl.Expr]:
    value, dtype = _column(column.name), column.dtype
    yield value.null_count().alias(f"{n}.nulls")
    if dtype == pl.String:
        yield value.str.len_bytes().min().alias(f"{n}.shortest")
        yield value.str.len_bytes().max().alias(f"{n}.longest")
    elif dtype.is_numeric() or isinstance(dtype, pl.Date | pl.Datetime):
        if not dtype.is_numeric():
            value = timestamps.in_calendar(value, dtype)  # Python has no others
        yield value.min().alias(f"{n}.low")
        yield value.max().alias(f"{n}.high")


def _smallest(values: pl.Series, column: ColumnCounts) -> Hashes:
    """The hashes of a frame's values that may be among the smallest."""
    hashes = values.hash()
    array = hashes.to_numpy()
    return array[array <= np.uint64(column.below)] if column.full else hashes.unique().to_numpy()


def _column(name: str) -> pl.Expr:
    """The column of exactly this name; pl.col treats `*` and `^…$` as patterns."""
    return cs.by_name(name).as_expr()


def _can_be_hashed(dtype: pl.DataType) -> bool:
    return not (dtype.is_nested() or dtype in (pl.Null, pl.Object))


def _made(columns: Mapping[int, ColumnCounts], made: Sequence[Chain]) -> Iterator[tuple[int, Chain]]:
    """The target whose range is reported for a column: its time, if any; for a text column, any target."""
    for n, column in columns.items():
        candidates = [chain for chain in made if chain.sources == (column.name,)]
        times = [chain for chain in candidates if _is_time(chain, column.dtype)]
        if targets := times or (candidates if column.dtype == pl.String else []):
            yield n, targets[0]


def _is_time(chain: Chain, dtype: pl.DataType) -> bool:
    """Whether the chain's value is Unix seconds: by its function, its type, or its name."""
    typed = isinstance(dtype, pl.Date | pl.Datetime) and not chain.calls
    return typed or chain.target in DATED or makes_time(chain)


def _range(values: pl.DataFrame, target: str) -> tuple[Any, Any]:
    column = values.get_column(target)
    if column.dtype == NUMBER:
        column = values.select(as_double(pl.col(target)).alias(target)).to_series()
    return (column.min(), column.max()) if column.dtype.is_numeric() else (None, None)


def _targets(mapping: StepMapping) -> Mapping[str, list[str]]:
    targets: defaultdict[str, list[str]] = defaultdict(list)
    for target, value in mapping.targets.items():
        for name in value.sources:
            targets[name].append(target)
    for name in mapping.event_key:
        targets[name].append("event_key")
    for name in mapping.order_by:
        targets[name].append("order_by")
    for name in columns_of_sql(mapping.when) if mapping.when is not None else ():
        targets[name].append("when")
    return targets


def _least(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else min(one, other)


def _most(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else max(one, other)


# ---------------------------------------------------------------- values as text


def texts(values: pl.Series) -> list[str | None]:
    """Values as text for reports."""
    values = values.alias("v")  # polars treats names such as ^x.*$ as patterns
    dtype = values.dtype
    if dtype.is_nested():
        try:
            text = encode.json_text(encode.settle(pl.col("v"), dtype), _settled_type(values))
        except ValueError:  # it has no JSON form, and is not sent
            text = pl.lit(f"({in_words(dtype)})")
        values = values.to_frame().select(pl.when(pl.col("v").is_not_null()).then(text).alias("v"))["v"]
    elif isinstance(dtype, pl.Date | pl.Datetime):
        count = pl.col("v").to_physical().cast(pl.String)  # of days or of a part of a second
        text = pl.coalesce(timestamps.in_calendar(pl.col("v"), dtype).cast(pl.String), count)
        values = values.to_frame().select(text.alias("v"))["v"]
    elif values.dtype == pl.Binary:
        values = values.bin.encode("hex")
    elif values.dtype == pl.Object:
        return ["" for _ in values]
    return values.cast(pl.String).to_list()


def _settled_type(values: pl.Series) -> pl.DataType:
    return values.clear().to_frame().select(encode.settle(pl.col("v"), values.dtype).alias("v")).schema["v"]


def value_text(value: Any, reveal: bool) -> str:
    """A number to two digits, or a time to its month; with `reveal`, exactly."""
    if isinstance(value, date):  # a datetime is a date too
        return (
            value.isoformat(*([" ", "seconds"] if isinstance(value, datetime) else [])) if reveal else f"{value:%Y-%m}"
        )
    if isinstance(value, int | Decimal) and reveal:
        return f"{value:,}"
    if reveal:
        return f"{float(value):,}"
    rounded = float(f"{float(value):.2g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 10 and rounded.is_integer() else f"{rounded:,g}"


def type_name(dtype: pl.DataType) -> str:
    """A column's type in a word or two, for reports."""
    if isinstance(dtype, pl.Datetime):
        return "time" if dtype.time_zone is None else f"time, {dtype.time_zone}"
    if dtype.is_integer():
        return "whole number"
    if dtype.is_float():
        return "number"
    named = {"String": "text", "Categorical": "text", "Enum": "text", "Boolean": "true or false", "Struct": "record"}
    named |= {"Binary": "bytes", "Null": "no value"}
    name = str(dtype.base_type())
    return named.get(name, name.lower())


# ---------------------------------------------------------------- charts


def _size_bars(rows: Numbers) -> Iterator[Bar]:
    """Rows by the bytes of their items, in some twenty equal steps between the smallest and the largest."""
    used = np.flatnonzero(rows)
    if not len(used):
        return
    first, last = int(used[0]), int(used[-1])
    step = next(
        step
        for power in range(6)
        for step in (10**power, 2 * 10**power, 5 * 10**power)
        if (last - first) / step < BARS / 2
    )
    for low in range(first // step * step, last + 1, step):
        label = f"{low:,}" if step == 1 else f"{low:,}–{low + step - 1:,}"
        yield Bar(label, int(rows[low : low + step].sum()))


def _date_bars(rows: Numbers) -> Iterator[Bar]:
    """Rows by day, week, month or year, whichever gives a readable number of bars; gaps are empty bars."""
    used = np.flatnonzero(rows)
    if not len(used):
        return
    first, last = (date(1970, 1, 1) + timedelta(days=int(used[end]) + FIRST_DAY) for end in (0, -1))
    begins = _beginnings(first, last)
    edges = [(day - date(1970, 1, 1)).days - FIRST_DAY for day, _ in begins] + [len(rows)]
    for (_, label), (low, high) in zip(begins, pairwise(edges), strict=True):
        yield Bar(label, int(rows[max(low, 0) : high].sum()))


def _beginnings(first: date, last: date) -> list[tuple[date, str]]:
    """The first day of each bar from the one of `first` to the one of `last`, with its label."""
    days, months = (last - first).days + 1, (last.year - first.year) * 12 + last.month - first.month + 1
    if days <= BARS:
        return [(day, day.isoformat()) for day in (first + timedelta(days=n) for n in range(days))]
    if days <= (BARS - 1) * 7:
        monday = first - timedelta(days=first.weekday())
        weeks = (monday + timedelta(days=7 * n) for n in range((last - monday).days // 7 + 1))
        return [(day, f"week of {day.isoformat()}") for day in weeks]
    if months <= BARS:
        firsts = (divmod(first.year * 12 + first.month - 1 + n, 12) for n in range(months))
        return [(date(year, month + 1, 1), f"{year}-{month + 1:02d}") for year, month in firsts]
    step = next(step for step in (1, 2, 5, 10) if (last.year - first.year) / step < BARS)
    years = range(first.year // step * step, last.year + 1, step)
    return [(date(year, 1, 1), str(year) if step == 1 else f"{year}–{year + step - 1}") for year in years]
