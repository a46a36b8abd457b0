"""Expressions that convert text, numbers, dates and times to Unix seconds (Int64).

Each is null for what it cannot read, never a guess, and floors: a fraction of a second is dropped toward the past,
before 1970 too. "Wall" seconds are local time, counted as if it were UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

import polars as pl

from cio_etl.model.records import dataclass
from cio_etl.transform import decimals

Unit = Literal["s", "ms", "us", "ns"]
PER_SECOND: dict[Unit, int] = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}

Serial = Literal["excel", "excel1904"]  # days as spreadsheets count them: from 1900, or on old Macs from 1904

# ISO 8601 as programs write it: a date; or a date, 'T' or a space, hours and minutes, then seconds and their fraction,
# then 'Z', 'UTC' or an offset. Ranges are checked here, days of the month by the calendar. ":60" is read as POSIX
# reads it, as the first second of the next minute.
ISO = (
    r"^[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    r"(?:[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::(?:[0-5][0-9]|60)(?:[.,][0-9]+)?)?"
    r"(?: ?(?:Z|UTC|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?))?)?$"
)
_OFFSET = r"([+-][0-9:]{2,5})$"  # of an ISO text from its 17th character on
_EPOCH = r"^([+-]?[0-9]{1,19})(?:\.[0-9]+)?$"
_BELOW_ZERO_BY_FRACTION = r"^-[0-9]+\.[0-9]*[1-9]"
_SCIENTIFIC = r"^[+-]?[0-9]+(?:\.[0-9]+)?[eE][+-]?[0-9]+$"  # as programs write large numbers: 1.7100612e9
_DAYS = r"^[0-9]{1,7}(?:\.[0-9]+)?$"

_YEAR_1, _YEAR_10000 = -62_135_596_800, 253_402_300_800
_YEAR_2100 = 4_102_444_800  # polars has no daylight-saving changes from 2100 on

# By system: the first day, the day of 1970-01-01, and that of 9999-12-31.
_SERIALS: dict[Serial, tuple[int, int, int]] = {"excel": (1, 25_569, 2_958_465), "excel1904": (0, 24_107, 2_957_003)}
_NONEXISTENT_DAY = 60  # Excel's 1900-02-29, inherited from Lotus 1-2-3; the days before it count one less


@dataclass(frozen=True, slots=True)
class Zone:
    """The time zone of times without an offset, and how to read times at a change of the clocks."""

    name: str | None = None  # IANA name; None: UTC
    ambiguous: Literal["earliest", "latest", "reject"] = "reject"
    nonexistent: Literal["reject", "shift_forward"] = "reject"


@dataclass(frozen=True, slots=True)
class TimestampFacts:
    """Facts about a whole column. Except for `unit` they only choose a faster way to the same result."""

    unit: Unit | Serial | None = None  # of the column's numbers; None: no numbers, or no unit that fits them
    numbers: bool = True  # some texts may be numbers
    stem: str | None = None  # a strptime format that reads the first 10 or 19 characters of every ISO text
    aware: bool = True  # some ISO texts may have an offset, or Z
    offsets: bool = True  # some may have an offset in digits
    others: bool = True  # some texts may be no ISO texts


def let(make: Callable[..., pl.Expr], **values: pl.Expr) -> pl.Expr:
    """`make` of the values, each computed once even if `make` uses it twice; an eager select would repeat it."""
    made = make(*(pl.field(name) for name in values)).alias("made")
    given = pl.struct([value.alias(name) for name, value in values.items()])
    return given.struct.with_fields(made).struct.field("made")


# ---------------------------------------------------------------- instants


def is_zone(name: str) -> bool:
    """Whether polars knows the zone, in the database with which it will read times."""
    try:
        pl.select(_localize(pl.lit(0), Zone(name), "earliest"))
    except pl.exceptions.PolarsError:
        return False
    return name != ""  # polars treats it as no zone


def from_wall(wall: pl.Expr, zone: Zone) -> pl.Expr:
    """Unix seconds of the local time `wall` in the zone.

    Null where that time occurs twice or never, unless the zone says what to do. `shift_forward` moves a skipped time by
    as much as the clocks moved: 02:30 becomes 03:30, as in Java, JavaScript and Python's fold=0.
    """
    return wall if zone.name in (None, "UTC") else let(lambda known: _from_wall(known, zone), known=_known(wall))


def _known(wall: pl.Expr) -> pl.Expr:
    return let(lambda wall: pl.when(wall.is_between(_YEAR_1, _YEAR_2100 - 1)).then(wall), wall=wall)


def _from_wall(wall: pl.Expr, zone: Zone) -> pl.Expr:
    instant = _localize(wall, zone, "null" if zone.ambiguous == "reject" else zone.ambiguous)
    if zone.nonexistent == "reject":
        return instant
    # The offset of the day before applied until the clocks moved forward.
    skipped = wall.is_not_null() & _localize(wall, zone, "earliest").is_null()
    return pl.when(skipped).then(_localize(wall - 86_400, zone, "earliest") + 86_400).otherwise(instant)


def _localize(wall: pl.Expr, zone: Zone, ambiguous: Literal["earliest", "latest", "null"]) -> pl.Expr:
    clock = (wall * 1_000).cast(pl.Datetime("ms"))
    return clock.dt.replace_time_zone(zone.name, ambiguous=ambiguous, non_existent="null").dt.epoch("s")


# ---------------------------------------------------------------- dates, times and numbers


def seconds(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Unix seconds of a date or time, of every unit; floored, before 1970 too. No value exceeds 64 bits."""
    if isinstance(dtype, pl.Datetime):
        return value.to_physical().floordiv(PER_SECOND[dtype.time_unit])
    return value.to_physical().cast(pl.Int64) * 86_400


def in_calendar(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A date or time of the years 1 to 9999; null for any other, which polars cannot write or compare with a day."""
    return pl.when(seconds(value, dtype).is_between(_YEAR_1, _YEAR_10000 - 1)).then(value)


def text_of(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A date or time in ISO 8601; null for what `in_calendar` leaves out."""
    within = in_calendar(value, dtype)
    return within.dt.to_string("iso:strict") if isinstance(dtype, pl.Datetime) else within.cast(pl.String)


def from_typed(value: pl.Expr, dtype: pl.DataType, zone: Zone) -> pl.Expr:
    """Seconds of a Date (its midnight) or Datetime column; one with a time zone keeps its own."""
    own_zone = isinstance(dtype, pl.Datetime) and dtype.time_zone
    return seconds(value, dtype) if own_zone else from_wall(seconds(value, dtype), zone)


def whole(number: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A number column, or text of digits, as Int64, floored; null where it is not a number or exceeds 64 bits."""
    if isinstance(dtype, pl.String):
        digits = number.str.extract(_EPOCH).cast(pl.Int64, strict=False)
        digits = pl.when(digits > -(2**63)).then(digits)  # one less has no place in 64 bits
        scientific = pl.when(number.str.contains(_SCIENTIFIC)).then(number).cast(pl.Float64, strict=False)
        return pl.coalesce(
            digits - number.str.contains(_BELOW_ZERO_BY_FRACTION).cast(pl.Int64),
            scientific.floor().cast(pl.Int64, strict=False),
        )
    if dtype.is_decimal():
        return decimals.floored(number)
    return (number if dtype.is_integer() else number.floor()).cast(pl.Int64, strict=False)


def from_number(number: pl.Expr, dtype: pl.DataType, unit: Unit | Serial | None, zone: Zone) -> pl.Expr:
    """Seconds of numbers, or of texts of numbers: counts since 1970, or a spreadsheet's days in the zone's local time.

    Years 1 to 9999 only: larger numbers are milliseconds declared as seconds. All null if the unit is unknown.
    """
    if unit is None:
        return pl.lit(None, pl.Int64)
    if unit == "excel" or unit == "excel1904":
        return from_wall(_wall_of_days(number, dtype, unit), zone)
    seconds = whole(number, dtype).floordiv(PER_SECOND[unit])
    return let(lambda seconds: pl.when(seconds.is_between(_YEAR_1, _YEAR_10000 - 1)).then(seconds), seconds=seconds)


def _wall_of_days(number: pl.Expr, dtype: pl.DataType, system: Serial) -> pl.Expr:
    """Wall seconds of a spreadsheet's days. A fraction is the time of day, to the millisecond, as in Excel."""
    if isinstance(dtype, pl.String):
        number = pl.when(number.str.contains(_DAYS)).then(number)
    first, of_1970, last = _SERIALS[system]

    def wall(days: pl.Expr) -> pl.Expr:
        seconds = (days * 86_400_000).round().cast(pl.Int64, strict=False).floordiv(1_000) - of_1970 * 86_400
        is_day = days.is_between(first, last + 1, closed="left")
        if system == "excel1904":
            return pl.when(is_day).then(seconds)
        early = days < _NONEXISTENT_DAY
        is_day &= early | (days >= _NONEXISTENT_DAY + 1)
        return pl.when(is_day).then(seconds + early.cast(pl.Int64) * 86_400)

    return let(wall, days=number.cast(pl.Float64, strict=False))


# ---------------------------------------------------------------- text


def from_iso(text: pl.Expr, zone: Zone, facts: TimestampFacts) -> pl.Expr:
    """Seconds of ISO 8601 text. A time without an offset is the zone's, a date its midnight there."""
    wall, offset = _wall(text, facts.stem), _offset(text.str.slice(16), facts)
    if zone.name in (None, "UTC"):
        seconds = wall - offset.fill_null(0) if facts.offsets else wall
    elif not facts.aware:
        seconds = from_wall(wall, zone)
    else:
        seconds = let(
            lambda wall, offset: pl.coalesce(wall - offset, from_wall(wall, zone)),
            wall=wall,
            offset=offset,
        )
    return pl.when(text.str.contains(ISO)).then(seconds) if facts.others else seconds


def _wall(text: pl.Expr, stem: str | None) -> pl.Expr:
    """Wall seconds of an ISO text; the fraction is ignored, which floors."""
    if stem == "%Y-%m-%d":
        return _parsed(text, stem)
    if stem is not None:
        return _parsed(text.str.slice(0, 19), stem)
    day = _parsed(text.str.slice(0, 10), "%Y-%m-%d")
    hour, minute, second = (text.str.slice(at, 2).cast(pl.Int64, strict=False) for at in (11, 14, 17))
    second = pl.when(text.str.slice(16, 1) == ":").then(second)  # not the hours of an offset
    return day + hour.fill_null(0) * 3_600 + minute.fill_null(0) * 60 + second.fill_null(0)


def _parsed(text: pl.Expr, format: str) -> pl.Expr:
    # Without polars' cache of equal texts, which costs more than it saves where most texts differ.
    return text.str.to_datetime(format, strict=False, time_unit="ms", cache=False).dt.epoch("s")


def _offset(tail: pl.Expr, facts: TimestampFacts) -> pl.Expr:
    """The offset of an ISO text from UTC in seconds, from its 17th character on; null when it has none."""
    universal = pl.when(tail.str.ends_with("Z") | tail.str.ends_with("UTC")).then(pl.lit(0, pl.Int64))
    if not facts.offsets:
        return universal
    digits = tail.str.extract(_OFFSET).str.replace(":", "", literal=True).str.pad_end(5, "0")  # +02, +0200, +02:00
    clock = digits.cast(pl.Int64, strict=False)  # -230 for -02:30
    seconds = let(lambda clock: (clock - clock.sign() * clock.abs().floordiv(100) * 40) * 60, clock=clock)
    return pl.coalesce(universal, seconds)


# ---------------------------------------------------------------- text in a custom format

_NEEDS = "it needs a year, a month and a day, %M beside %H, %p beside %I"

_WHOLE = {"%F": "%Y-%m-%d", "%T": "%H:%M:%S", "%R": "%H:%M", "%D": "%m/%d/%y"}
# How Java, Excel and SQL write what strptime writes as directives; longer ones first.
_LETTERS = {"YYYY": "%Y", "yyyy": "%Y", "YY": "%y", "yy": "%y", "MM": "%m", "DD": "%d", "dd": "%d"} | {
    "HH": "%H",
    "hh": "%I",
    "mm": "%M",
    "ss": "%S",
    "SS": "%S",
}
_WIDTH = {"Y": 4, "G": 4, "j": 3} | dict.fromkeys("mdHMSyIVCegklUWu", 2)


@dataclass(frozen=True, slots=True)
class Format:
    """A strptime format, and the pattern of the texts that it may read."""

    strptime: str
    shape: str
    aware: bool  # it includes an offset


def as_format(text: str) -> Format:
    """A format from the YAML, checked; raises ValueError with the fault and what to do."""
    for directive, advice in (
        ("%s", "numbers need no format; put `unit:`"),
        ("%Z", "the name of a zone is not an offset; put `timezone:` and leave it out"),
        ("%f", "write %.f for the fraction of a second"),
    ):
        if directive in text.replace("%%", "").replace(".%f", ""):
            raise ValueError(f"'format' {text!r} has {directive}: {advice}")
    if "%" not in text:
        raise ValueError(f"'format' {text!r} has no directive such as %d; {_in_directives(text)}")
    write = re.sub("%[:#]z", "%z", text).replace(".%f", "%.f")  # .%f is Python's notation for a fraction
    strptime = write.replace("%z", "%#z")  # reads Z, +02, +0200 and +02:00
    probe = pl.datetime(2001, 2, 3, 16, 5, 6, time_zone="UTC")
    try:
        written = pl.select(probe.dt.strftime(write)).to_series()
        read = written.str.to_datetime(strptime, strict=False, time_unit="ms")
    except pl.exceptions.PolarsError:
        raise ValueError(f"'format' {text!r} cannot be read: {_NEEDS}") from None
    if read.dt.date().to_list() != pl.select(probe.dt.date()).to_series().to_list():
        raise ValueError(f"'format' {text!r} does not give the day: {_NEEDS}")
    return Format(strptime, _shape(strptime), aware="%#z" in strptime or "%+" in strptime)


def _in_directives(text: str) -> str:
    """Advice for a format in the letters of other programs: `did you mean '%d.%m.%Y'?` for DD.MM.YYYY."""
    meant = re.sub("|".join(_LETTERS), lambda letters: _LETTERS[letters[0]], text)
    meant = re.sub(r"(%[HI].?)%m", r"\1%M", meant)  # HH:MM are hours and minutes
    with suppress(ValueError):
        return f"did you mean {as_format(meant).strptime!r}?" if meant != text else _NEEDS
    return _NEEDS


def _shape(format: str) -> str:
    """A pattern that requires the width of numbers, where strptime would read a year of 2 digits as the year 24.

    Days, months and hours may have one digit, unless another number is next to them.
    """
    for short, long in _WHOLE.items():
        format = format.replace(short, long)
    pieces = re.findall(r"%[-_0]?[.0-9]*[:#]?.|[^%]+", format, re.DOTALL)
    widths = [_WIDTH.get(piece[-1]) if piece.startswith("%") else None for piece in pieces]
    pattern = ""
    for piece, width, before, after in zip(pieces, widths, [None, *widths], [*widths[1:], None], strict=False):
        if width is None:
            pattern += ".*" if piece.startswith("%") else _escaped(piece)
        elif width > 2 or piece[-1] == "y" or before or after:
            pattern += f"[0-9]{{{width}}}"
        else:
            pattern += " ?[0-9]{1,2}" if piece[-1] in "ekl" else "[0-9]{1,2}"  # %e is a day with a space before it
    return f"(?s)^{pattern}$"


def _escaped(text: str) -> str:
    return re.sub(r"\s+", r"\\s+", re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text))


def from_format(text: pl.Expr, format: Format, zone: Zone) -> pl.Expr:
    """Seconds of text in a format; a format with an offset needs no zone."""
    read = text.str.to_datetime(format.strptime, strict=False, time_unit="us", cache=False).dt.epoch("s")
    seconds = read if format.aware else from_wall(read, zone)
    return pl.when(text.str.contains(format.shape)).then(seconds)
