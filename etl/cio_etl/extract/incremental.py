"""Selects the rows that are new since the last finished run, and finds the watermark where the next run begins.

The watermark is the highest value that was read, but never later than the clock: a row dated 2099 must not hide the
rows before it. A run reads from a little before the watermark (one step of its type, and `lag`), so rows with the same
value cannot be missed; rows that an earlier run read are recognised by their digests and dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import ceil

import polars as pl
import polars.selectors as cs

from cio_etl.errors import SourceError
from cio_etl.extract.text_columns import DECIMAL_TEXT, JSON_TEXT, as_decimals
from cio_etl.model import Incremental, Staging, Watermark, WatermarkValue
from cio_etl.transform.ids import key_digest
from cio_etl.transform.nested import in_words

DIGEST = "_digest"  # of a row's key and watermark
_DIGITS = 32  # 128 bits of SHA-256


def first_wanted(incremental: Incremental, staging: Staging) -> WatermarkValue | None:
    """The value of `:watermark` in this run; None: all rows are read."""
    if staging.since is not None:
        return staging.since
    return incremental.start if staging.watermark is None else _before(staging.watermark.value, incremental.lag)


def _before(value: WatermarkValue, lag: timedelta | int | None) -> WatermarkValue:
    """The value minus the lag and one step of its type, so that `>` finds the same rows as `>=`.

    Texts and decimals have no such step; for them the statement must use `>=`.
    """
    if isinstance(value, datetime):
        return value - _duration(lag) - timedelta(microseconds=1)
    if isinstance(value, date):
        return value - timedelta(days=ceil(_duration(lag) / timedelta(days=1)) + 1)
    if isinstance(value, str):
        return value
    number = lag if isinstance(lag, int) else 0
    return value - number - 1 if isinstance(value, int) else value - number


def has_step(value: WatermarkValue) -> bool:
    """Whether `_before` gives less than the value itself, so that `>` finds the rows of the value as well."""
    return not isinstance(value, (str, Decimal))


def _duration(lag: timedelta | int | None) -> timedelta:
    return lag if isinstance(lag, timedelta) else timedelta()


_DAY = "^[0-9]{4}-[0-9]{2}-[0-9]{2}"
_EASTMOST = timedelta(hours=14)  # where a day begins first


@dataclass(slots=True)
class NewRows:
    """Drops rows that an earlier run read, and finds the watermark of this run."""

    place: str
    incremental: Incremental
    staging: Staging
    clock: datetime = field(default_factory=lambda: datetime.now(UTC))
    dropped_rows: int = 0
    _highest: WatermarkValue | None = None
    _clock_as: WatermarkValue | None = None  # in the watermark's type, known from the first row that has one
    _dropped: list[pl.DataFrame] = field(default_factory=list)  # watermark and digest of the rows that were dropped

    def of(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame's new rows."""
        value = self._watermark(frame)
        if value.dtype == pl.Null:
            return frame
        latest = self._until_now(value)
        highest = _python(latest.max())
        if (
            self._highest is not None
            and highest is not None
            and isinstance(highest, str) != isinstance(self._highest, str)
        ):
            raise SourceError(
                "cast it to one type in the query",
                place=self.place,
                what=f"the watermark {self.incremental.watermark!r} is text in some rows and a number in others",
            )
        self._highest = _higher(self._highest, highest)
        before = self.staging.watermark
        known = before.seen if before is not None and self.staging.since is None else frozenset()
        if not known:
            return frame
        digests = self._digests(frame)
        new = ~digests[DIGEST].is_in(list(known))
        if new.all():
            return frame
        self._dropped.append(digests.filter(~new))
        self.dropped_rows += frame.height - int(new.sum())
        return frame.filter(new)

    def _until_now(self, value: pl.Series) -> pl.Series:
        """The values that are not in the future, and the clock in their type."""
        if value.dtype.is_temporal() and len(value) > value.null_count():
            self._clock_as = _python(_comparable(self.clock, value.dtype))
            return value.filter(value <= _comparable(self.clock, value.dtype))
        if value.dtype != pl.String:
            return value
        day = value.str.slice(0, 10)  # of a time in ISO 8601, as SQLite has them, in whichever zone
        is_later = (value.str.contains(_DAY) & (day > (self.clock + _EASTMOST).date().isoformat())).fill_null(False)
        if is_later.any():
            self._clock_as = self.clock.date().isoformat()
        return value.filter(~is_later)

    @property
    def columns(self) -> list[str] | None:
        """The columns that `next_watermark` needs; None: all columns."""
        return [*dict.fromkeys((*self.incremental.key, self.incremental.watermark))] if self.incremental.key else None

    def next_watermark(self, frames: Iterable[pl.DataFrame]) -> Watermark | None:
        """The watermark of the next run, once these rows are sent. `frames` are all rows that were not dropped.

        None when no row had a value and there was no watermark before.
        """
        before = self.staging.watermark
        highest = _higher(self._highest, before.value if before is not None else None)
        highest = self._clock_as if highest is None else highest  # all rows are dated in the future
        if highest is None:
            return None
        window = _before(highest, self.incremental.lag)
        seen = set(before.seen) if before is not None and self.staging.since is not None else set()
        for frame in self._dropped:
            value = self._values(frame)
            seen.update(frame.filter(value >= _comparable(window, value.dtype))[DIGEST])
        for frame in frames:
            value = self._values(frame)
            if value.dtype != pl.Null:
                seen.update(self._digests(frame.filter(value >= _comparable(window, value.dtype)))[DIGEST])
        return Watermark(highest, frozenset(seen))

    def _watermark(self, frame: pl.DataFrame) -> pl.Series:
        name = self.incremental.watermark
        if missing := [column for column in (name, *self.incremental.key) if column not in frame.columns]:
            raise SourceError(
                "let the query select it",
                place=self.place,
                what=f"the rows have no column {', '.join(map(repr, missing))}, which is the watermark or its key",
            )
        value = self._values(frame)
        if value.dtype == pl.Null:  # no row of this frame has one
            return value
        if not (
            value.dtype.is_integer() or value.dtype.is_decimal() or value.dtype in (pl.Date, pl.Datetime, pl.String)
        ):
            kind = "JSON, or numbers and text" if value.dtype == JSON_TEXT else in_words(value.dtype)
            kind = f"floating-point {kind}" if value.dtype.is_float() else kind
            raise SourceError(
                "name a column of times, dates, whole numbers or text",
                place=self.place,
                what=f"the watermark {name!r} holds {kind}, which have no exact order to continue from",
            )
        self._check_settings(value.dtype)
        return value

    def _check_settings(self, dtype: pl.DataType) -> None:
        """Raises SourceError when a value to begin from, or the lag, does not fit the type: rows would be lost."""
        watermark = f"the watermark {self.incremental.watermark!r} is {_kind(dtype)}"
        before, since, lag = self.staging.watermark, self.staging.since, self.incremental.lag
        if before is not None and since is None and not _fits(before.value, dtype):
            raise SourceError(
                "make it what it was, or read everything once more with --full-refresh --accept-drift",
                place=self.place,
                what=f"{watermark} now, and was of another kind in the last run",
            )
        begin = since if since is not None else self.incremental.start if before is None else None
        if begin is not None and not _can_begin(begin, dtype):
            word = "--watermark" if since is not None else "start"
            raise SourceError(
                f"write {word} as {_WRITTEN[_kind(dtype)]}", place=self.place, what=f"{watermark}, and {word} is not"
            )
        is_number = not dtype.is_temporal() and dtype.is_numeric()
        if lag is not None and not (dtype.is_temporal() if isinstance(lag, timedelta) else is_number):
            fitting = "write lag as a whole number, or leave it out"
            if dtype.is_temporal():
                fitting = "write lag as a duration, as 15 minutes"
            elif not is_number:
                fitting = "leave lag out, or cast the watermark to a time or a number in a query"
            raise SourceError(fitting, place=self.place, what=f"{watermark}, and lag does not fit that")

    def _values(self, frame: pl.DataFrame) -> pl.Series:
        """The watermark column in a type that can be compared."""
        value = frame[self.incremental.watermark]
        return as_decimals(value, self.place) if value.dtype == DECIMAL_TEXT else value

    def _digests(self, frame: pl.DataFrame) -> pl.DataFrame:
        name = self.incremental.watermark
        row = pl.struct(map(cs.by_name, self.columns or frame.columns)).struct.json_encode()
        return frame.select(cs.by_name(name), key_digest("seen", [row]).str.head(_DIGITS).alias(DIGEST))


_WRITTEN = {
    "a time with a zone": "2024-05-20T00:00:00Z",
    "a time without a zone": "2024-05-20T00:00:00",
    "a date": "2024-05-20",
    "a number": "a whole number",
    "text": "a text",
}


def _kind(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Datetime):
        return "a time with a zone" if dtype.time_zone is not None else "a time without a zone"
    return "a date" if dtype == pl.Date else "text" if dtype == pl.String else "a number"


def _can_begin(value: WatermarkValue, dtype: pl.DataType) -> bool:
    """Whether a value that a person wrote can begin a column of this type."""
    if isinstance(value, date):
        return dtype.is_temporal() or dtype == pl.String
    if isinstance(value, str):
        return dtype == pl.String
    return dtype.is_numeric()


def _higher(one: WatermarkValue | None, other: WatermarkValue | None) -> WatermarkValue | None:
    if one is None or other is None:
        return one if other is None else other
    if (isinstance(one, str), isinstance(one, datetime)) != (isinstance(other, str), isinstance(other, datetime)):
        return one  # the column had another kind before: the present one counts
    return max(one, other)


def _fits(value: WatermarkValue, dtype: pl.DataType) -> bool:
    """Whether a column of this type can continue from the watermark."""
    if isinstance(value, datetime):
        return isinstance(dtype, pl.Datetime) and (dtype.time_zone is None) == (value.tzinfo is None)
    if isinstance(value, date):
        return dtype == pl.Date
    if isinstance(value, str):
        return dtype == pl.String
    return dtype.is_integer() or dtype.is_decimal()


def _python(value: object) -> WatermarkValue | None:
    """A column's highest value as a watermark; a time with a zone in UTC."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    return value  # type: ignore[return-value]


def _comparable(value: WatermarkValue, dtype: pl.DataType) -> pl.Expr | WatermarkValue:
    """The value in a form that can be compared with a column of this type."""
    if isinstance(value, datetime):
        if dtype == pl.Date:
            return value.date()
        aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        zone = getattr(dtype, "time_zone", None)
        return aware if zone is not None else aware.astimezone(UTC).replace(tzinfo=None)
    return value
