"""Writes the differences from the last run in words, for the page and the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cio_etl.model import Comparison, Difference, StepComparison
from cio_etl.model.words import counted, percent, size

SHOWN = 3  # differences of a step on the terminal

_LABELS = {
    "rows_read": "rows read",
    "bytes_sent": "data sent",
    "new": "new in the ledger",
    "changed": "changed in the ledger",
    "gone": "gone from the source",
}


def label(difference: Difference) -> str:
    """The figure in words: `rows read`, `order_placed`."""
    match difference.figure:
        case "rejects":
            return f"{difference.name} in {difference.field}" if difference.field else str(difference.name)
        case "events":
            return "other names" if difference.name is None else difference.name
        case figure:
            return _LABELS.get(figure, figure)


def amount(difference: Difference, value: int) -> str:
    """A figure's value: `12,345`, or `1.2 MB`."""
    return size(value) if difference.figure == "bytes_sent" else f"{value:,}"


def change(difference: Difference) -> str:
    """The difference: `−1,204 (−10 %)`, `new`, `none any more`, `the same`."""
    if not difference.change:
        return "the same"
    if not difference.before:
        return "new"
    if not difference.now:
        return "none any more"
    sign = "+" if difference.change > 0 else "\N{MINUS SIGN}"
    return f"{sign}{amount(difference, abs(difference.change))} ({_share(difference)})"


def _share(difference: Difference) -> str:
    sign = "+" if difference.change > 0 else "\N{MINUS SIGN}"
    if difference.now >= 10 * difference.before:
        return f"{difference.now / difference.before:,.0f}\N{NO-BREAK SPACE}×"
    return sign + percent(abs(difference.change), difference.before)


def rows_of_table(step: StepComparison) -> Iterator[tuple[str, Sequence[Difference]]]:
    """The parts of a step's table, each with its heading: the counts, then reasons and events that differ."""
    counts = [each for each in step.differences if each.figure not in ("rejects", "events")]
    yield "", [each for each in counts if each.now or each.before]
    for figure, heading in (("rejects", "rejected, by reason"), ("events", "events, by name")):
        if differing := [each for each in step.differences if each.figure == figure and each.change]:
            yield heading, differing


def large_differences(comparison: Comparison) -> Iterator[tuple[str, str]]:
    """Each step with large differences, and those in a line, without those that follow from others."""
    for step in comparison.steps:
        told = [_in_line(each) for each in step.large if not _follows(each, step)]
        more = [counted(len(told) - SHOWN, "more difference")] if len(told) > SHOWN else []
        if told:
            yield step.name, ", ".join([*told[:SHOWN], *more])


def _follows(difference: Difference, step: StepComparison) -> bool:
    """Whether a reader can tell the difference from another one: as in proportion to the rows that were read."""
    large = {each.figure for each in step.large}
    has_ledger = any(each.figure == "new" for each in step.differences)
    match difference.figure:
        case "rows_read":
            return False
        case "rejected" if "rejects" in large:
            return True
        case "accepted" | "skipped" | "bytes_sent" if has_ledger:
            return True
        case "bytes_sent" if "accepted" in large:
            return True
    rows = next(each for each in step.differences if each.figure == "rows_read")
    expected = difference.before * rows.now / rows.before if rows.before else 0
    return rows.is_large and abs(difference.now - expected) < expected / 2


def _in_line(difference: Difference) -> str:
    if difference.figure == "rejects" and not difference.before:
        return f"newly rejected: {counted(difference.now, 'row')} with {label(difference)}"
    kind = {"rejects": "rejected with ", "events": "events "}.get(difference.figure, "")
    before, now = amount(difference, difference.before), amount(difference, difference.now)
    share = f" ({_share(difference)})" if difference.before and difference.now else ""
    return f"{kind}{label(difference)} {before} \N{RIGHTWARDS ARROW} {now}{share}"
