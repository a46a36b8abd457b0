"""Formats counts, shares, sizes and times for people."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cio_etl.model.report import DeltaCounts
    from cio_etl.model.verification import Verification

_UNITS = ("bytes", "kB", "MB", "GB")


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 step`, `2,000 steps`; `plural` is for a noun that does not take an s, or for a whole phrase."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def number(value: float) -> str:
    """12,345 or 0.5."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,g}"


def delta_words(counts: DeltaCounts) -> str:
    """What a ledger says of a snapshot's subjects: `12 new, 3 changed, 9,985 the same`."""
    words = [f"{counts.new:,} new", f"{counts.changed:,} changed", f"{counts.same:,} the same"]
    words += [f"{counts.refused_before:,} refused before"] if counts.refused_before else []
    words += [f"{counts.gone:,} gone"] if counts.gone else []
    return ", ".join(words)


NAMED = 5  # attributes


def verification_words(result: Verification) -> list[str]:
    """What a verification has found, in sentences without values: how many, what differs, and how many may differ."""
    if result.fault is not None:
        return [f"nothing could be read back: {result.fault}"]
    about = "" if result.people_exact else "about "
    words = [f"{counted(result.checked, 'person', 'people')} of {about}{result.people:,} read back"]
    if not result.checked:
        return [*words, *_not_compared(result)]
    if not result.different:
        words.append("all are as they were sent")
    if result.missing:
        known = "" if result.never_sent else ", though Customer.io accepted them"
        words.append(f"{counted(result.missing, 'person', 'people')} not there{known}")
    if result.differing:
        names = [f"{each.attribute} of {each.people:,}" for each in result.attributes[:NAMED]]
        more = len(result.attributes) - len(names)
        names += [f"and {more} more"] if more else []
        words.append(f"{counted(result.differing, 'person', 'people')} with other values: {', '.join(names)}")
    if result.most_differ is not None:
        words.append(_bound_words(result, result.most_differ))
    words += [f"step {name}: no run in this state has sent its rows" for name in result.never_sent]
    return words + _not_compared(result)


def _bound_words(result: Verification, share: float) -> str:
    if result.is_whole:
        return "all people were compared"
    return f"at most {upper_percent(share)} of the people differ, with {result.confidence:.0%} confidence"


def _not_compared(result: Verification) -> list[str]:
    return [
        f"{counted(people, 'person', 'people')} not compared: {reason}"
        for reason, people in result.not_compared.items()
    ]


def upper_percent(share: float) -> str:
    """An upper bound in per cent, with two digits, never rounded down."""
    if share <= 0:
        return "0\u00a0%"
    digits = 1 - math.floor(math.log10(100 * share))
    rounded = math.ceil(100 * share * 10**digits - 1e-9) / 10**digits
    return f"{rounded:.{max(0, 1 - math.floor(math.log10(rounded)))}f}\u00a0%"


def whole_units(time: timedelta) -> str:
    """A duration in its largest unit that fits twice: `30 days`, `36 hours`."""
    seconds = int(time.total_seconds())
    for name, unit in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * unit:
            return f"{seconds // unit} {name}"
    return counted(seconds, "second")


def moment(at: datetime | str) -> str:
    """A time to the minute, in UTC: `2026-11-12 03:00`. Texts are ISO 8601."""
    when = datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M}"


def percent(part: float, whole: float) -> str:
    """A share that is never shown as 0 % of something, nor as 100 % of less than all."""
    if not part or not whole:
        return "0\u00a0%"
    share = 100 * part / whole
    if part < whole and share > 99.9:
        return "> 99.9\u00a0%"
    return "< 0.1\u00a0%" if share < 0.1 else f"{share:.1f}".removesuffix(".0") + "\u00a0%"


def size(count: float) -> str:
    """Bytes in a unit that gives a readable number."""
    if count < 1000:
        return f"{count:,.0f} bytes"
    power = min(int(math.log10(count)) // 3, 3)
    shown = count / 1000**power
    return f"{shown:,.0f} {_UNITS[power]}" if shown >= 100 else f"{shown:,.1f} {_UNITS[power]}"


def duration(seconds: float) -> str:
    """A time in a unit that gives a readable number."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, hours = seconds / 60, seconds / 3600
    return f"{minutes:.0f} min" if minutes < 90 else f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"
