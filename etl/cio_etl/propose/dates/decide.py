"""The decision how to read a column of dates, from evidence and options: functions of `apply`, or a question.

What the values do not say is asked and never guessed: the order of day and month where no number is above 12, the zone
of times without an offset, the unit of numbers of two sizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from cio_etl.propose import names
from cio_etl.propose.dates import formats
from cio_etl.propose.dates.evidence import DateEvidence
from cio_etl.propose.dates.formats import Formats
from cio_etl.transform.functions.timestamp import (
    DATE,
    OFFSET,
    SECONDS_SPACE,
    SECONDS_T,
    UNIT_NAMES,
    UNIVERSAL,
    timestamp_facts,
)
from cio_etl.transform.timestamps import PER_SECOND, Serial, TimestampFacts, Unit

SURE = 0.95  # of the values
MOST = 0.5
_SOME = 0.1  # of a column named like times: even in a bad export
_A_FEW = 0.01  # of the values: rarer forms are rejected and reported

Calls = tuple[Any, ...]  # an `apply` list, as YAML writes it
Ask = Literal["order", "both orders", "zone", "unit", "forms"]

ZONE = "no offset: which zone? UTC is written; or as Europe/Paris"
_UNITS: Mapping[str, str] = {
    **{unit: f"{name} since 1970" for unit, name in UNIT_NAMES.items()},
    "excel": "Excel's days since 1900",
    "excel1904": "Excel's days since 1904",
}


@dataclass(frozen=True, slots=True)
class Told:
    """What a person states about the columns, where the values do not show it."""

    order: Literal["day first", "month first"] | None = None
    timezone: str | None = None
    unit: Unit | Serial | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """One way to read the column; `words` describe it where there is a choice."""

    words: str
    apply: Calls


@dataclass(frozen=True, slots=True)
class Decision:
    """How a column is read. With nothing to ask, the one option is the proposal.

    `forms` are how values are written, with counts; `read` of them the first option reads. `phrases` are the evidence
    in words, `notes` what else a person should know.
    """

    seen: DateEvidence
    forms: tuple[tuple[str, int], ...]
    read: int
    options: tuple[Option, ...]
    asks: tuple[tuple[Ask, str], ...] = ()
    phrases: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def asks_for(self, *what: Ask) -> str:
        """The first question of these kinds; "" when there is none."""
        return next((question for ask, question in self.asks if ask in what), "")

    @property
    def known(self) -> TimestampFacts:
        """The facts that `timestamp` needs about the column; the unit of numbers is in the call."""
        return timestamp_facts(self.seen.shapes.keys(), None, numbers=self.seen.numbers > 0)


def decide(seen: DateEvidence, told: Told, forced: bool = False) -> Decision | None:
    """How the column is read; None when values and name show no dates. `forced`: it holds dates in any case."""
    if isinstance(seen.dtype, pl.Date | pl.Datetime):
        return _typed(seen, told)
    if not seen.dated:
        return None
    named = forced or names.says_time(seen.name)
    label = not forced and is_label(seen.name) and seen.numbers >= SURE * seen.filled
    written = seen.iso + seen.formats.read
    units = sorted((unit for unit in PER_SECOND if unit in seen.units), key=lambda unit: -seen.units[unit])
    if label:
        return None
    if told.unit is not None and named and seen.numbers >= MOST * seen.dated:
        return _counts(seen, told, told.unit)
    if written >= MOST * seen.dated or (named and written >= max(_SOME * seen.dated, _dated(seen) - written)):
        return _texts(seen, told)
    if units and sum(seen.units.values()) >= SURE * seen.dated and (named or units[0] != "s"):
        return _counts(seen, told, *(unit for unit in units if seen.units[unit] >= _A_FEW * seen.dated))
    if named and seen.excel >= SURE * seen.dated:
        return _counts(seen, told, "excel")
    return _several(seen) if (named and _dated(seen) >= MOST * seen.dated) or forced else None


def could_be(seen: DateEvidence) -> str:
    """What the numbers of a column that was not decided could be, though its name does not say so; "" when nothing."""
    if not seen.dated or is_label(seen.name):
        return ""
    if names.says_time(seen.name):
        return "named like times, but nothing in it is written like one"
    counts: dict[str, int] = {**seen.units, "excel": seen.excel}
    return next((_UNITS[unit] for unit, count in counts.items() if count >= SURE * seen.dated), "")


def is_label(name: str) -> bool:
    """Whether digits under this name are a key or label rather than a date."""
    return names.key_rank(name) is not None or names.says_label(name)


def _dated(seen: DateEvidence) -> int:
    return seen.iso + seen.formats.read + sum(seen.units.values()) + seen.excel


# ---------------------------------------------------------------- texts


def _texts(seen: DateEvidence, told: Told) -> Decision:
    """Of texts in ISO 8601, perhaps with numbers between them, or in formats."""
    few = max(1, _A_FEW * seen.dated) if seen.iso >= SURE * seen.dated else 1
    if seen.formats.read >= few:
        return _in_formats(seen, told)
    return _iso(seen, told)


def _iso(seen: DateEvidence, told: Told) -> Decision:
    naive = seen.iso - seen.with_offset
    clocks = naive - seen.days  # show a time, and no offset
    numbers = max(PER_SECOND, key=lambda unit: seen.units.get(unit, 0))
    unit = (told.unit or (numbers if seen.units.get(numbers) else None)) if seen.numbers else None
    # Numbers that say no unit would have `timestamp` ask for one; its formats read no numbers.
    iso = sorted(set(_iso_formats(seen.shapes))) if seen.numbers and unit is None else None
    read = seen.iso + (seen.units.get(unit, 0) if unit else 0)
    phrases = [f"ISO 8601: {of(seen.iso, seen.filled)}"]
    if not naive:
        phrases.append("with offset or Z")
    elif naive == seen.days == seen.iso:
        phrases.append(f"days, sent as their midnight in {told.timezone or 'UTC'}")
    elif naive < seen.iso:
        phrases.append(f"{naive:,} without an offset")
    asks = _zone_asked(clocks, told)
    timezone = told.timezone if naive and told.timezone else "UTC" if clocks else None
    notes = [f"{count:,} are in {format!r}, and would be rejected" for format, count in seen.formats.counts]
    return Decision(
        seen=seen,
        forms=(*_iso_forms(seen), *_number_forms(seen, unit)),
        read=read,
        options=(Option("", _apply(seen, unit=unit, format=iso, timezone=timezone)),),
        asks=asks,
        phrases=tuple(phrases),
        notes=(*notes, *_notes(seen)),
    )


def _in_formats(seen: DateEvidence, told: Told) -> Decision:
    """Of texts in formats; those in ISO 8601 between them get formats, too."""
    found, read = _ordered(seen.formats, told), seen.iso + seen.formats.read
    clocks = any(formats.is_timed(name) and not formats.is_aware(name) for name in found.names)
    clocks = clocks or seen.iso - seen.with_offset - seen.days > 0
    naive = any(not formats.is_aware(name) for name in found.names) or seen.iso > seen.with_offset
    timezone = (told.timezone or "UTC") if naive else None
    orders = [("", found)]
    asks: list[tuple[Ask, str]] = []
    phrases = [f"dates: {of(read, seen.filled)}"]
    match found.order:
        case "day first" if told.order != "day first":
            phrases.append(f"day first: {found.day_first:,} have a first number above 12, none a second")
        case "month first" if told.order != "month first":
            phrases.append(f"month first: {found.month_first:,} have a second number above 12, none a first")
        case "both":
            phrases.append(f"{found.day_first:,} can only be day first, {found.month_first:,} only month first")
            asks.append(("both orders", "day and month in two orders"))
            orders = [("day first", _as(seen.formats, "day first")), ("month first", _as(seen.formats, "month first"))]
        case "either":
            phrases.append("no proof of the order: no number is above 12")
            asks.append(("order", "day first or month first?"))
            orders = [("day first", found), ("month first", found.with_month_first())]
    iso = list(_iso_formats(seen.shapes))
    named = {words: sorted({*one.names, *iso}, key=[*one.names, *iso].index) for words, one in orders}
    return Decision(
        seen=seen,
        forms=(*((f'"{name}"', count) for name, count in found.counts), *_iso_forms(seen), *_number_forms(seen, None)),
        read=read,
        options=tuple(
            Option(words, _apply(seen, format=several if len(several) > 1 else several[0], timezone=timezone))
            for words, several in named.items()
        ),
        asks=(*asks, *_zone_asked(clocks, told)),
        phrases=tuple(phrases),
        notes=(*_of_years(found), *_notes(seen)),
    )


def _ordered(found: Formats, told: Told) -> Formats:
    """The formats in the order that was told, where there is one to tell."""
    return found if told.order is None or found.order == "said" else _as(found, told.order)


def _as(found: Formats, order: Literal["day first", "month first"]) -> Formats:
    counts = []
    for name, count in found.counts:
        turned = formats.day_first(name) if order == "day first" else formats.month_first(name)
        counts.append((turned, count))
    return Formats(
        tuple(counts), order, found.day_first, found.month_first, found.first_day_first, found.first_month_first
    )


def _iso_formats(shapes: Mapping[int, int]) -> Iterator[str]:
    """Formats that read ISO texts of these shapes, the most frequent first."""
    for code, _ in sorted(shapes.items(), key=lambda shape: -shape[1]):
        offset = "%z" if code & (UNIVERSAL | OFFSET) else ""
        if code & DATE:
            yield "%Y-%m-%d"
        elif code & SECONDS_T:
            yield f"%Y-%m-%dT%H:%M:%S%.f{offset}"
        elif code & SECONDS_SPACE:
            yield f"%Y-%m-%d %H:%M:%S%.f{offset}"
        else:
            yield from (f"%Y-%m-%dT%H:%M{offset}", f"%Y-%m-%d %H:%M{offset}")


def _iso_forms(seen: DateEvidence) -> Iterator[tuple[str, int]]:
    offset = seen.with_offset - seen.universal
    for words, count in (
        ("ISO 8601 with Z", seen.universal),
        ("ISO 8601 with an offset", offset),
        ("ISO 8601 without an offset", seen.iso - seen.with_offset - seen.days),
        ("ISO 8601, days", seen.days),
    ):
        if count:
            yield words, count


def _of_years(found: Formats) -> Iterator[str]:
    if any("%y" in name for name in found.names):
        yield "years of two digits: 70 to 99 are read as 1970 to 1999, 00 to 69 as 2000 to 2069"


# ---------------------------------------------------------------- numbers


def _counts(seen: DateEvidence, told: Told, *units: Unit | Serial) -> Decision:
    """Of numbers in one of these units."""
    asks: list[tuple[Ask, str]] = []
    if len(units) > 1:
        sizes = " and ".join(f"{seen.units.get(unit, 0):,} {_UNITS[unit]}" for unit in units)
        asks.append(("unit", f"numbers of several sizes: {sizes}; which unit?"))
    serial = units[0] in ("excel", "excel1904")
    count = seen.excel if serial else seen.units.get(units[0], 0)
    clocks = seen.fractions if serial else seen.iso - seen.with_offset - seen.days
    naive = serial or seen.iso > seen.with_offset
    timezone = told.timezone if naive else None
    if serial and clocks and timezone is None:
        timezone = "UTC"
    notes = ["days since 1904, of old Macs, would be 4 years and a day later: `unit: excel1904`"] if serial else []
    phrases = [f"{_UNITS[units[0]]}, by their size: {of(count, seen.filled)}"]
    phrases += [] if names.says_time(seen.name) else ["the name says no time"]
    phrases += [] if count == seen.filled else ["others may be out of range, and their rows rejected"]
    return Decision(
        seen=seen,
        forms=(*_number_forms(seen, units[0]), *_iso_forms(seen)),
        read=count + seen.iso,
        options=tuple(
            Option(_UNITS[unit] if len(units) > 1 else "", _apply(seen, unit=unit, timezone=timezone)) for unit in units
        ),
        asks=(*asks, *_zone_asked(clocks, told)),
        phrases=tuple(phrases),
        notes=(*notes, *_notes(seen)),
    )


def _number_forms(seen: DateEvidence, taken_for: str | None) -> Iterator[tuple[str, int]]:
    """Numbers by what they could be."""
    yield from ((_UNITS[unit], count) for unit, count in seen.units.items())
    if seen.excel and (taken_for in ("excel", "excel1904") or not seen.units):
        yield _UNITS[taken_for if taken_for == "excel1904" else "excel"], seen.excel


# ---------------------------------------------------------------- the rest


def _typed(seen: DateEvidence, told: Told) -> Decision:
    """Of dates and times with a type."""
    zoned = isinstance(seen.dtype, pl.Datetime) and bool(seen.dtype.time_zone)
    if isinstance(seen.dtype, pl.Date):
        what, words = "dates", f"dates, sent as Unix seconds of their midnight in {told.timezone or 'UTC'}"
        timezone = told.timezone
    elif zoned:
        what, words, timezone = "times with a zone", "times with a zone, sent as Unix seconds", None
    else:
        what = words = "times without a zone"
        timezone = told.timezone or "UTC"
    apply = _apply(seen, timezone=timezone)
    return Decision(
        seen=seen,
        forms=((what, seen.filled),) if seen.filled else (),
        read=seen.filled,
        options=(Option("", () if apply == ("timestamp",) else apply),),
        asks=_zone_asked(what == "times without a zone", told),
        phrases=(words,),
        notes=tuple(_notes(seen)),
    )


def _several(seen: DateEvidence) -> Decision:
    found = ((f'"{name}"', count) for name, count in seen.formats.counts)
    forms = (*found, *_iso_forms(seen), *_number_forms(seen, None))
    several = "dates in several forms, which no one call reads: fix the export, or give each its own column"
    none = "nothing in it is in a form that is known; say it with `format:`"
    return Decision(seen, forms, 0, (), (("forms", several if len(forms) > 1 else none),))


def _zone_asked(clocks: object, told: Told) -> tuple[tuple[Ask, str], ...]:
    return (("zone", ZONE),) if clocks and told.timezone is None else ()


def _notes(seen: DateEvidence) -> Iterator[str]:
    for one in seen.sentinels:
        if not one.certain:
            shown = ", ".join(f'"{text}"' for text in one.texts[:3])
            remedy = f"put {{null_if: [{shown}]}} before `timestamp`"
            yield f"{one.count:,} times {one.day}, which may stand for no date: if it does, {remedy}"
    if seen.offsets.zones:
        yield f"the offsets change as the clocks of {' or '.join(seen.offsets.zones)}"


def _apply(seen: DateEvidence, **arguments: object) -> Calls:
    """The functions that read the column: trimmed, without what stands for none, as Unix seconds."""
    given = {name: argument for name, argument in arguments.items() if argument is not None}
    nothing: list[str | int] = [text for one in seen.sentinels if one.certain for text in one.texts]
    if not seen.is_text and seen.dtype.is_numeric():
        nothing = [int(text) for text in nothing]
    return (
        *(("trim",) if seen.padded or seen.blank else ()),
        *(({"null_if": nothing if len(nothing) > 1 else nothing[0]},) if nothing else ()),
        {"timestamp": given} if given else "timestamp",
    )


def of(count: int, total: int) -> str:
    """`4,980 of 5,000`, or `all 5,000`."""
    return f"all {total:,}" if count == total else f"{count:,} of {total:,}"
