"""Dates that stand for no date: days that programs write into empty fields, in any format."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import polars as pl

from cio_etl.propose.columns import NULL_WORDS

# Year, month, day -> whether it can also be a real date, such as a birthday.
_DAYS: dict[tuple[str, str, str], bool] = {
    ("0000", "00", "00"): False,  # MySQL
    ("0001", "01", "01"): False,  # .NET's DateTime.MinValue
    ("9999", "12", "31"): False,  # no end
    ("1753", "01", "01"): True,  # SQL Server's first
    ("1899", "12", "30"): True,  # day 0 of OLE, and of Excel as most programs read it
    ("1900", "01", "01"): True,
    ("1970", "01", "01"): True,  # second 0
    ("2038", "01", "19"): True,  # the last second of 32 bits
    ("2099", "12", "31"): True,
    ("2999", "12", "31"): True,
}
NO_DAY = "0000-00-00"
NO_VALUE = "no value"  # blank, or a word such as NULL
CERTAIN = (NO_VALUE, *("-".join(day) for day, may_be_meant in _DAYS.items() if not may_be_meant))

_SIGN = "[-/. ]"
_TIME = (  # midnight, or the last moment of the day, or of 32 bits
    r"(?:[T ,]+(?:0?0:00(?::00)?|23:59(?::59)?|03:14:0[78]|12:00(?::00)? ?AM)(?:[.,][0-9]+)?"
    r"(?: ?(?:Z|UTC|[+-][0-9]{2}(?::?[0-9]{2})?))?)?"
)

# Counts since 1970 that stand for no date; in other units they only have more zeros.
_NUMBERS = {"0": "1970-01-01", "2147483647": "2038-01-19", "253402300799": "9999-12-31", "253402214400": "9999-12-31"}

MAX_TEXTS = 20


@dataclass(frozen=True, slots=True)
class Sentinel:
    """A day that stands for no date, and its texts: these are not personal data."""

    day: str
    count: int
    texts: tuple[str, ...]

    @property
    def certain(self) -> bool:
        return self.day in CERTAIN


def _written(year: str, month: str, day: str) -> str:
    """A pattern of the texts of a day."""

    def short(number: str) -> str:
        return f"0?{number[1]}" if number.startswith("0") and number != "00" else number

    day_month = {f"{short(day)}{_SIGN}{short(month)}", f"{short(month)}{_SIGN}{short(day)}"}
    return "|".join((f"{year}{_SIGN}?{month}{_SIGN}?{day}", *(f"{both}{_SIGN}{year}" for both in sorted(day_month))))


_WRITTEN = {"-".join(day): _written(*day) for day in _DAYS}
_PATTERNS = {day: f"^(?:{written}){_TIME}$" for day, written in _WRITTEN.items()}
ANY = f"^(?:{'|'.join(_WRITTEN.values())}){_TIME}$"


class SentinelCounts:
    """The sentinels of one column, counted frame by frame."""

    def __init__(self) -> None:
        self.texts: Counter[str] = Counter()

    def take(self, texts: pl.Series) -> None:
        """Count sentinels in a series of text."""
        matching = texts.filter(texts.str.contains(ANY) | texts.is_in(NULL_WORDS))
        if matching.len():
            for text, count in matching.value_counts().iter_rows():
                if len(self.texts) < MAX_TEXTS or text in self.texts:
                    self.texts[text] += count

    def take_blanks(self, count: int) -> None:
        """Count texts that contain only spaces."""
        self.texts.update({"": count} if count else {})

    def take_numbers(self, numbers: pl.Series) -> None:
        """Count sentinels among whole numbers."""
        matching = numbers.filter(numbers.is_in([int(number) for number in _NUMBERS]))
        self.texts.update({str(number): count for number, count in matching.value_counts().iter_rows()})

    def take_times(self, times: pl.Series) -> None:
        """Count sentinels in typed dates and times."""
        days = times.dt.date().cast(pl.String)
        matching = days.filter(days.is_in(list(_PATTERNS)))
        self.texts.update({day: count for day, count in matching.value_counts().iter_rows()})

    def sentinels(self) -> tuple[Sentinel, ...]:
        """By day, the most frequent first."""
        counts: Counter[str] = Counter()
        texts: dict[str, list[str]] = {}
        for text, count in sorted(self.texts.items(), key=lambda each: (-each[1], each[0])):
            day = NO_VALUE if text == "" or text in NULL_WORDS else _NUMBERS.get(text) or _day_of(text)
            counts[day] += count
            texts.setdefault(day, []).append(text)
        return tuple(Sentinel(day, count, tuple(texts[day])) for day, count in counts.most_common())


def _day_of(text: str) -> str:
    matches = pl.select(pl.lit(text).str.contains(pattern).alias(day) for day, pattern in _PATTERNS.items())
    return next(day for day, matched in matches.row(0, named=True).items() if matched)
