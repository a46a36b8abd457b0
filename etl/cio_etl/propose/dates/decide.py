"""The decision how to read a column of dates, from evidence and options: functions of `apply`, or a question.

What the values do not say is asked and never guessed: the order of day and month where no number is above 12, the zone
of times without an offset, the unit of numbers of two sizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
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

ZONE = "no offset, read as UTC; for local times write a zone such as Europe/Paris"
_UNITS: Mapping[str, str] = {
    **{unit: f"{name} since 1970" for unit, name in UNIT_NAMES.items()},
    "excel": "Excel's days since 1900",
    "excel1904": "Excel's days since 1904",
}


@dataclass(frozen=True, slots=True)
class Statements:
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

    facts: DateEvidence
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
        return timestamp_facts(self.facts.shapes.keys(), None, numbers=self.facts.numbers > 0)


def decide(facts: DateEvidence, stated: Statements, forced: bool = False) -> Decision | None:
    """How the column is read; None when values and name show no dates. `forced`: it holds dates in any case."""
    if isinstance(facts.dtype, pl.Date | pl.Datetime):
        return _typed(facts, stated)
    if not facts.dated:
        return None
    named = forced or names.says_time(facts.name)
    label = not forced and is_label(facts.name) and facts.numbers >= SURE * facts.filled
    written = facts.iso + facts.formats.read
    units = sorted((unit for unit in PER_SECOND if unit in facts.units), key=lambda unit: -facts.units[unit])
    if label:
        return None
    if stated.unit is not None and named and facts.numbers >= MOST * facts.dated:
        return _counts(facts, stated, stated.unit)
    if written >= MOST * facts.dated or (named and written >= max(_SOME * facts.dated, _dated(facts) - written)):
        return _texts(facts, stated)
    if units and sum(facts.units.values()) >= SURE * facts.dated and (named or units[0] != "s"):
        return _counts(facts, stated, *(unit for unit in units if facts.units[unit] >= _A_FEW * facts.dated))
    if named and facts.excel >= SURE * facts.dated:
        return _counts(facts, stated, "excel")
    return _several(facts) if (named and _dated(facts) >= MOST * facts.dated) or forced else None


def could_be(facts: DateEvidence) -> str:
    """What the numbers of a column that was not decided could be, though its name does not say so; "" when nothing."""
    if not facts.dated or is_label(facts.name):
        return ""
    if names.says_time(facts.name):
        return "named like times, but nothing in it is written like one"
    counts: dict[str, int] = {**facts.units, "excel": facts.excel}
    return next((_UNITS[unit] for unit, count in counts.items() if count >= SURE * facts.dated), "")


def is_label(name: str) -> bool:
    """Whether digits under this name are a key or label rather than a date."""
    return names.key_rank(name) is not None or names.says_label(name)


def _dated(facts: DateEvidence) -> int:
    return facts.iso + facts.formats.read + sum(facts.units.values()) + facts.excel


# ---------------------------------------------------------------- texts


def _texts(facts: DateEvidence, stated: Statements) -> Decision:
    """Of texts in ISO 8601, perhaps with numbers between them, or in formats."""
    few = max(1, _A_FEW * facts.dated) if facts.iso >= SURE * facts.dated else 1
    if facts.formats.read >= few:
        return _in_formats(facts, stated)
    return _iso(facts, stated)


def _iso(facts: DateEvidence, stated: Statements) -> Decision:
    naive = facts.iso - facts.with_offset
    clocks = naive - facts.days  # show a time, and no offset
    numbers = max(PER_SECOND, key=lambda unit: facts.units.get(unit, 0))
    unit = (stated.unit or (numbers if facts.units.get(numbers) else None)) if facts.numbers else None
    # Numbers that say no unit would have `timestamp` ask for one; its formats read no numbers.
    iso = sorted(set(_iso_formats(facts.shapes))) if facts.numbers and unit is None else None
    read = facts.iso + (facts.units.get(unit, 0) if unit else 0)
    phrases = [f"ISO 8601: {of(facts.iso, facts.filled)}"]
    if not naive:
        phrases.append("with offset or Z")
    elif naive == facts.days == facts.iso:
        phrases.append(f"days, sent as their midnight in {stated.timezone or 'UTC'}")
    elif naive < facts.iso:
        phrases.append(f"{naive:,} without an offset")
    asks = _zone_asked(clocks, stated)
    timezone = stated.timezone if naive and stated.timezone else "UTC" if clocks else None
    notes = [f"{count:,} are in {format!r}, and would be rejected" for format, count in facts.formats.counts]
    return Decision(
        facts=facts,
        forms=(*_iso_forms(facts), *_number_forms(facts, unit)),
        read=read,
        options=(Option("", _apply(facts, unit=unit, format=iso, timezone=timezone)),),
        asks=asks,
        phrases=tuple(phrases),
        notes=(*notes, *_notes(facts)),
    )


def _in_formats(facts: DateEvidence, stated: Statements) -> Decision:
    """Of texts in formats; those in ISO 8601 between them get formats, too."""
    by_format, read = _ordered(facts.formats, stated), facts.iso + facts.formats.read
    clocks = any(formats.is_timed(name) and not formats.is_aware(name) for name in by_format.names)
    clocks = clocks or facts.iso - facts.with_offset - facts.days > 0
    naive = any(not formats.is_aware(name) for name in by_format.names) or facts.iso > facts.with_offset
    timezone = (stated.timezone or "UTC") if naive else None
    orders = [("", by_format)]
    asks: list[tuple[Ask, str]] = []
    phrases = [f"dates: {of(read, facts.filled)}"]
    match by_format.order:
        case "day first" if stated.order != "day first":
            phrases.append(f"day first: {by_format.day_first:,} have a first number above 12, none a second")
        case "month first" if stated.order != "month first":
            phrases.append(f"month first: {by_format.month_first:,} have a second number above 12, none a first")
        case "both":
            phrases.append(f"{by_format.day_first:,} can only be day first, {by_format.month_first:,} only month first")
            asks.append(("both orders", "day and month in two orders"))
            orders = [(order, _as(facts.formats, order)) for order in ("day first", "month first")]
        case "either":
            phrases.append("no proof of the order: no number is above 12")
            asks.append(("order", "day first or month first?"))
            orders = [("day first", by_format), ("month first", by_format.with_month_first())]
    iso = list(_iso_formats(facts.shapes))
    named = {words: sorted({*one.names, *iso}, key=[*one.names, *iso].index) for words, one in orders}
    return Decision(
        facts=facts,
        forms=(
            *((f'"{name}"', count) for name, count in by_format.counts),
            *_iso_forms(facts),
            *_number_forms(facts, None),
        ),
        read=read,
        options=tuple(
            Option(words, _apply(facts, format=several if len(several) > 1 else several[0], timezone=timezone))
            for words, several in named.items()
        ),
        asks=(*asks, *_zone_asked(clocks, stated)),
        phrases=tuple(phrases),
        notes=(*_of_years(by_format), *_notes(facts)),
    )


def _ordered(by_format: Formats, stated: Statements) -> Formats:
    """The formats in the order that a person stated, where the formats themselves leave it open."""
    return by_format if stated.order is None or by_format.order == "said" else _as(by_format, stated.order)


def _as(by_format: Formats, order: Literal["day first", "month first"]) -> Formats:
    counts = []
    for name, count in by_format.counts:
        turned = formats.day_first(name) if order == "day first" else formats.month_first(name)
        counts.append((turned, count))
    return replace(by_format, counts=tuple(counts), order=order)


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


def _iso_forms(facts: DateEvidence) -> Iterator[tuple[str, int]]:
    offset = facts.with_offset - facts.universal
    for words, count in (
        ("ISO 8601 with Z", facts.universal),
        ("ISO 8601 with an offset", offset),
        ("ISO 8601 without an offset", facts.iso - facts.with_offset - facts.days),
        ("ISO 8601, days", facts.days),
    ):
        if count:
            yield words, count


def _of_years(by_format: Formats) -> Iterator[str]:
    if any("%y" in name for name in by_format.names):
        yield "years of two digits: 70 to 99 are read as 1970 to 1999, 00 to 69 as 2000 to 2069"


# ---------------------------------------------------------------- numbers


def _counts(facts: DateEvidence, stated: Statements, *units: Unit | Serial) -> Decision:
    """Of numbers in one of these units."""
    asks: list[tuple[Ask, str]] = []
    if len(units) > 1:
        sizes = " and ".join(f"{facts.units.get(unit, 0):,} {_UNITS[unit]}" for unit in units)
        asks.append(("unit", f"numbers of several sizes: {sizes}; which unit?"))
    serial = units[0] in ("excel", "excel1904")
    count = facts.excel if serial else facts.units.get(units[0], 0)
    clocks = facts.fractions if serial else facts.iso - facts.with_offset - facts.days
    naive = serial or facts.iso > facts.with_offset
    timezone = stated.timezone if naive else None
    if serial and clocks and timezone is None:
        timezone = "UTC"
    notes = ["days since 1904, of old Macs, would be 4 years and a day later: `unit: excel1904`"] if serial else []
    phrases = [f"{_UNITS[units[0]]}, by their size: {of(count, facts.filled)}"]
    phrases += [] if names.says_time(facts.name) else ["the name says no time"]
    phrases += [] if count == facts.filled else ["others may be out of range, and their rows rejected"]
    return Decision(
        facts=facts,
        forms=(*_number_forms(facts, units[0]), *_iso_forms(facts)),
        read=count + facts.iso,
        options=tuple(
            Option(_UNITS[unit] if len(units) > 1 else "", _apply(facts, unit=unit, timezone=timezone))
            for unit in units
        ),
        asks=(*asks, *_zone_asked(clocks, stated)),
        phrases=tuple(phrases),
        notes=(*notes, *_notes(facts)),
    )


def _number_forms(facts: DateEvidence, taken_for: str | None) -> Iterator[tuple[str, int]]:
    """Numbers by what they could be."""
    yield from ((_UNITS[unit], count) for unit, count in facts.units.items())
    if facts.excel and (taken_for in ("excel", "excel1904") or not facts.units):
        yield _UNITS[taken_for if taken_for == "excel1904" else "excel"], facts.excel


# ---------------------------------------------------------------- the rest


def _typed(facts: DateEvidence, stated: Statements) -> Decision:
    """Of dates and times with a type."""
    zoned = isinstance(facts.dtype, pl.Datetime) and bool(facts.dtype.time_zone)
    if isinstance(facts.dtype, pl.Date):
        what, words = "dates", f"dates, sent as Unix seconds of their midnight in {stated.timezone or 'UTC'}"
        timezone = stated.timezone
    elif zoned:
        what, words, timezone = "times with a zone", "times with a zone, sent as Unix seconds", None
    else:
        what = words = "times without a zone"
        timezone = stated.timezone or "UTC"
    apply = _apply(facts, timezone=timezone)
    return Decision(
        facts=facts,
        forms=((what, facts.filled),) if facts.filled else (),
        read=facts.filled,
        options=(Option("", () if apply == ("timestamp",) else apply),),
        asks=_zone_asked(what == "times without a zone", stated),
        phrases=(words,),
        notes=tuple(_notes(facts)),
    )


def _several(facts: DateEvidence) -> Decision:
    written = ((f'"{name}"', count) for name, count in facts.formats.counts)
    forms = (*written, *_iso_forms(facts), *_number_forms(facts, None))
    several = "dates in several forms, which no one call reads: fix the export, or give each its own column"
    none = "nothing in it is in a form that is known; say it with `format:`"
    return Decision(facts, forms, 0, (), (("forms", several if len(forms) > 1 else none),))


def _zone_asked(clocks: object, stated: Statements) -> tuple[tuple[Ask, str], ...]:
    return (("zone", ZONE),) if clocks and stated.timezone is None else ()


def _notes(facts: DateEvidence) -> Iterator[str]:
    for one in facts.sentinels:
        if not one.certain:
            shown = ", ".join(f'"{text}"' for text in one.texts[:3])
            remedy = f"put {{null_if: [{shown}]}} before `timestamp`"
            yield f"{one.count:,} times {one.day}, which may stand for no date: if it does, {remedy}"
    if facts.offsets.zones:
        yield f"the offsets change as the clocks of {' or '.join(facts.offsets.zones)}"


def _apply(facts: DateEvidence, **arguments: object) -> Calls:
    """The functions that read the column: trimmed, without what stands for none, as Unix seconds."""
    given = {name: argument for name, argument in arguments.items() if argument is not None}
    nothing: list[str | int] = [text for one in facts.sentinels if one.certain for text in one.texts]
    if not facts.is_text and facts.dtype.is_numeric():
        nothing = [int(text) for text in nothing]
    return (
        *(("trim",) if facts.padded or facts.blank else ()),
        *(({"null_if": nothing if len(nothing) > 1 else nothing[0]},) if nothing else ()),
        {"timestamp": given} if given else "timestamp",
    )


def of(count: int, total: int) -> str:
    """`4,980 of 5,000`, or `all 5,000`."""
    return f"all {total:,}" if count == total else f"{count:,} of {total:,}"
