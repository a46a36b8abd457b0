"""The strptime formats of the dates in a text column, and whether the day or the month is first.

Formats are tried by the code of the function `timestamp`. 05/04/2024 does not show the order; 25/04/2024 does.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Literal

import polars as pl

from cio_etl.transform.timestamps import Format, Zone, as_format, from_format

Order = Literal["day first", "month first", "either", "both", "said"]  # said: by its place beside year or month's name

MONTHS = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"

# What may be a date, roughly: the formats decide.
DATE_LIKE = (
    r"^[0-9]{4}[-/.]?[0-9]{1,2}[-/.]?[0-9]{1,2}(?:[ T].*)?$|^[0-9]{1,2}[-/.][0-9]{1,2}[-/.](?:[0-9]{2}){1,2}\b"
    r"|^(?:19|20)[0-9]{10}(?:[0-9]{2})?$"
    rf"|^(?i)(?:[a-z]{{3,9}},? )?[0-9]{{0,2}}\.?[ -]?{MONTHS}[a-z]*[ -]"
)

_SAMPLE = 500
_ROUNDS = 8  # of looking for more formats in a frame


@dataclass(frozen=True, slots=True)
class Formats:
    """`counts` values are read by each format, of those that none before it read; where it is open, the day is first.

    `day_first` and `month_first` count the values that only that order can read, and the positions are the first rows.
    """

    counts: tuple[tuple[str, int], ...] = ()
    order: Order = "said"
    day_first: int = 0
    month_first: int = 0
    first_day_first: int | None = None
    first_month_first: int | None = None

    @property
    def read(self) -> int:
        """Values that one order reads."""
        return sum(count for _, count in self.counts) - min(self.day_first, self.month_first)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(format for format, _ in self.counts)

    def with_month_first(self) -> Formats:
        """The same dates, read the other way."""
        counts = tuple((month_first(format), count) for format, count in self.counts)
        return Formats(
            counts, "month first", self.day_first, self.month_first, self.first_day_first, self.first_month_first
        )


DAYS = (
    *(f"%d{sign}%m{sign}%{year}" for sign, year in product("/.-", "Yy")),  # these could be month first, too
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d"),
    *("%d %B %Y", "%d-%B-%Y", "%d %B, %Y", "%d. %B %Y", "%d-%B-%y", "%B %d, %Y", "%B %d %Y"),
    *("%A, %d %B %Y", "%A, %B %d, %Y", "%A %B %d %Y"),
)
_CLOCKS = ("%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S %p", "%H:%M:%S %z", "%H:%M:%S GMT", "%H:%M:%S%.f")
_FORMATS = {  # with the day that each begins with; None: another number follows it at once
    **{day: day for day in DAYS},
    **{f"{day}{between}{clock}": day for day, between, clock in product(DAYS, (" ", "T", ", "), _CLOCKS)},
    **dict.fromkeys(("%Y%m%d%H%M%S", "%Y%m%d %H%M%S", "%Y%m%dT%H%M%S", "%Y%m%dT%H%M%S%z", "%Y%m%d%H%M")),
}


@cache
def _format(text: str) -> Format:
    return as_format(text)


def is_aware(format: str) -> bool:
    """Whether texts in this format have an offset from UTC."""
    return _format(format).aware or format.endswith("GMT")


def is_timed(format: str) -> bool:
    """Whether texts in this format have a time of day."""
    return "%M" in format


def month_first(format: str) -> str:
    """The format with day and month exchanged, where both are numbers and nothing else tells them apart."""
    day, month = format[:2], format[3:5]
    return month + format[2] + day + format[5:] if (day, month) == ("%d", "%m") else format


def day_first(format: str) -> str:
    """The other way round."""
    month, day = format[:2], format[3:5]
    return day + format[2] + month + format[5:] if (month, day) == ("%m", "%d") else format


class FormatCounts:
    """The formats of one column, counted frame by frame: how many values each reads that none before it did."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.only: Counter[str] = Counter()  # by order: values that only this one reads
        self.first: dict[str, int] = {}  # by order: position of the first of them

    def take(self, rest: pl.DataFrame) -> pl.DataFrame:
        """Reads what it can of a frame of `position` and `text`; returns what is left."""
        for format, _ in self.counts.most_common():
            rest = self._without(rest, format)
        for _ in range(_ROUNDS):
            if rest.is_empty() or not (new := _shaped_like(rest["text"])):
                break
            before = rest.height
            for format in new:
                rest = self._without(rest, format)
            if rest.height == before:
                break
        return rest

    def _without(self, rest: pl.DataFrame, format: str) -> pl.DataFrame:
        """The values that the format does not read; those that it does are counted."""
        if rest.is_empty():
            return rest
        with_seconds = rest.with_columns(from_format(pl.col("text"), _format(format), Zone()).alias("seconds"))
        unread = with_seconds.filter(pl.col("seconds").is_null()).drop("seconds")
        if (other := month_first(format)) != format:
            self._note("day first", with_seconds.filter(_past_12(format)))
            by_month = from_format(pl.col("text"), _format(other), Zone()).is_not_null()
            only_by_month = unread.filter(by_month)
            self._note("month first", only_by_month)
            if only_by_month.height:
                unread = unread.filter(~by_month)
        if read := rest.height - unread.height:
            self.counts[format] += read
        return unread

    def _note(self, order: str, rows: pl.DataFrame) -> None:
        if rows.height:
            self.only[order] += rows.height
            self.first.setdefault(order, rows["position"][0])

    def formats(self) -> Formats:
        """The formats and their counts."""
        by_day, by_month = self.only["day first"], self.only["month first"]
        order: Order = "said"
        if any(month_first(format) != format for format in self.counts):
            proven: dict[tuple[bool, bool], Order] = {
                (True, False): "day first",
                (False, True): "month first",
                (False, False): "either",
            }
            order = proven.get((by_day > 0, by_month > 0), "both")
        counts = tuple(sorted(self.counts.items(), key=lambda one: (-one[1], one[0])))
        if order == "month first" or (order == "both" and by_month > by_day):
            counts = tuple((month_first(format), count) for format, count in counts)
        return Formats(counts, order, by_day, by_month, self.first.get("day first"), self.first.get("month first"))


def _past_12(format: str) -> pl.Expr:
    """Whether a date read with the day first could not be read with the month first."""
    if is_aware(format):  # the seconds are UTC's, and may be of the next day
        number = pl.col("text").str.extract("^([0-9]+)").cast(pl.Int64, strict=False)
    else:
        number = (pl.col("seconds").floordiv(86_400)).cast(pl.Int32).cast(pl.Date).dt.day()
    return pl.col("seconds").is_not_null() & (number > 12)


def _shaped_like(texts: pl.Series) -> list[str]:
    """Formats that may read some of these texts, by a sample of them. A few days are looked for before many formats."""
    sample = texts.gather_every(max(1, texts.len() // _SAMPLE))
    days = _found(sample, {day: _format(day).shape.removesuffix("$") + r"(?:$|[\sT,])" for day in DAYS})
    return _found(
        sample, {format: _format(format).shape for format, day in _FORMATS.items() if day is None or day in days}
    )


def _found(texts: pl.Series, patterns: dict[str, str]) -> list[str]:
    """The names of the patterns that some of the texts have."""
    has = texts.to_frame("text").select(
        pl.col("text").str.contains(pattern).any().alias(name) for name, pattern in patterns.items()
    )
    return [name for name, found in has.row(0, named=True).items() if found]
