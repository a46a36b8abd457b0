"""In which strptime formats does a column of text write its dates, and is the day or the month first?

Formats are tried with the code that `timestamp` reads them with. 05/04/2024 says nothing of the order; 25/04/2024 does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Literal

import polars as pl
import polars.selectors as cs

from etl.model import FAULT, Snapshot
from etl.propose.columns import cleaned, first_frames
from etl.transform.timestamps import Format, Zone, as_format, from_format

Order = Literal["day first", "month first", "either", "both", "said"]  # said: by its place beside year or month's name

_SAMPLE = 500
_ROUNDS = 8  # of looking for more formats in a frame


@dataclass(frozen=True, slots=True)
class Dates:
    """`formats` read `read` values of a column; with the order undecided, those of the day first.

    `day_first` and `month_first` count the values that only that order can read.
    """

    formats: tuple[str, ...]
    read: int
    order: Order
    day_first: int
    month_first: int
    aware: bool  # every format reads an offset
    timed: bool  # some read a time of day

    def with_month_first(self) -> tuple[str, ...]:
        return tuple(_month_first(format) for format in self.formats)


_DAYS = (
    *(f"%d{sign}%m{sign}%{year}" for sign, year in product("/.-", "Yy")),  # these could be month first, too
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d"),
    *("%d %B %Y", "%d-%B-%Y", "%d %B, %Y", "%d. %B %Y", "%d-%B-%y", "%B %d, %Y", "%B %d %Y"),
    *("%A, %d %B %Y", "%A, %B %d, %Y", "%A %B %d %Y"),
)
_CLOCKS = ("%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S %p", "%H:%M:%S %z", "%H:%M:%S GMT", "%H:%M:%S%.f")
_FORMATS = (
    *_DAYS,
    *(f"{day}{between}{clock}" for day, between, clock in product(_DAYS, (" ", "T", ", "), _CLOCKS)),
    *("%Y%m%d%H%M%S", "%Y%m%d %H%M%S", "%Y%m%dT%H%M%S", "%Y%m%dT%H%M%S%z", "%Y%m%d%H%M"),
)


@cache
def _format(text: str) -> Format:
    return as_format(text)


def _month_first(format: str) -> str:
    day, month = format[:2], format[3:5]
    return month + format[2] + day + format[5:] if (day, month) == ("%d", "%m") else format


def find_dates(snapshot: Snapshot, names: Sequence[str], rows: int, words_for_null: bool) -> Mapping[str, Dates]:
    """The formats of these columns, of text or digits, in the first `rows` rows; one without any is left out."""
    if not names:
        return {}
    found = {name: _Found() for name in names}
    for frame in first_frames(snapshot, names, rows):
        sound = frame.filter(pl.col(FAULT).is_null())
        for name, tally in found.items():
            raw = cs.by_name(name).as_expr()
            values = sound.select(cleaned(raw, snapshot.schema[name], words_for_null).cast(pl.String).alias("text"))
            tally.take(values.drop_nulls())
    return {name: tally.dates() for name, tally in found.items() if tally.counts}


class _Found:
    """The formats of one column, while its frames go by: how many values each reads that none before it did."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.only: Counter[str] = Counter()  # by order: values that only this one reads

    def take(self, rest: pl.DataFrame) -> None:
        for format, _ in self.counts.most_common():
            rest = self._without(rest, format)
        for _ in range(_ROUNDS):
            if rest.is_empty() or not (new := list(_shaped_like(rest["text"]))):
                return
            before = rest.height
            for format in new:
                rest = self._without(rest, format)
            if rest.height == before:
                return

    def _without(self, rest: pl.DataFrame, format: str) -> pl.DataFrame:
        """The values that the format does not read; those that it does are counted."""
        if rest.is_empty():
            return rest
        other = _month_first(format)
        tried = rest.with_columns(_reads(format).alias("day"), _reads(other).alias("month"))
        left = tried.filter(~(pl.col("day") | pl.col("month"))).select("text")
        if read := rest.height - left.height:
            self.counts[format] += read
        if other != format:
            self.only["day first"] += tried.filter(pl.col("day") & ~pl.col("month")).height
            self.only["month first"] += tried.filter(pl.col("month") & ~pl.col("day")).height
        return left

    def dates(self) -> Dates:
        by_day, by_month = self.only["day first"], self.only["month first"]
        formats = tuple(format for format, _ in self.counts.most_common())
        order: Order = "said"
        if any(_month_first(format) != format for format in formats):
            proven: dict[tuple[bool, bool], Order] = {
                (True, False): "day first",
                (False, True): "month first",
                (False, False): "either",
            }
            order = proven.get((by_day > 0, by_month > 0), "both")
        month_first = order == "month first" or (order == "both" and by_month > by_day)
        if month_first:
            formats = tuple(_month_first(format) for format in formats)
        lost = min(by_day, by_month)
        return Dates(
            formats=formats,
            read=self.counts.total() - lost,
            order=order,
            day_first=by_day,
            month_first=by_month,
            aware=all(_format(format).aware or format.endswith("GMT") for format in formats),
            timed=any("%M" in format for format in formats),
        )


def _reads(format: str) -> pl.Expr:
    return from_format(pl.col("text"), _format(format), Zone()).is_not_null()


def _shaped_like(texts: pl.Series) -> Iterator[str]:
    """Formats that may read some of these texts, by a sample of them."""
    sample = texts.gather_every(max(1, texts.len() // _SAMPLE))
    for format in _FORMATS:
        if sample.str.contains(_format(format).shape).any():
            yield format
