"""An inspection on a terminal and as JSON: names, counts, places; no value except the first and last time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from cio_etl.config.yaml_writer import flow, printable, scalar, shown
from cio_etl.propose.dates.decide import Option
from cio_etl.propose.dates.inspection import Dates, Inspection
from cio_etl.propose.dates.measure import KINDS, Measure, RowSample

StyledText = tuple[str, str]  # a text and rich's style

_WIDTH = 12  # of the names of lines
_REMEDIES = {
    "gap": "`nonexistent: shift_forward` would read them",
    "fold": "`ambiguous: earliest` or `latest` would",
}
_HARMFUL = ("unreadable", "gap", "fold", "late", "out_of_range")


def lines(inspection: Inspection, source: str, reveal: bool = False) -> Iterator[tuple[StyledText, ...]]:
    """The inspection of a source as lines of styled texts. `reveal` shows the values of the rows that are named."""
    count = len(inspection.dates)
    columns = f"{count:,} of {inspection.columns:,} columns hold{'s' if count == 1 else ''} dates"
    yield ((f"{printable(source)}: {inspection.rows:,} rows, {columns}", "bold"),)
    zones = _zones(inspection)
    for one in inspection.dates:
        yield ((f"\n{shown(one.name)}", "bold cyan"),)
        for name, text, style in _lines(one, zones, reveal):
            yield (f"  {name:<{_WIDTH}}", "dim"), (text, style)
    if inspection.unsure:
        yield (("\nnot taken for dates; --column NAME looks at one all the same:", "bold"),)
        for name, why in inspection.unsure:
            yield ((f"  {shown(name)}: {why}", ""),)
    open_ones = [one.name for one in inspection.dates if one.decision.asks]
    if open_ones:
        yield ((f"\nto decide: {', '.join(map(shown, open_ones))}", "bold yellow"),)


def yaml_of(column: str, option: Option) -> str:
    """The value of a mapping that reads a column so."""
    if not option.apply:
        return scalar(column)
    return f"{{column: {scalar(column)}, apply: [{', '.join(flow(call) for call in option.apply)}]}}"


# ---------------------------------------------------------------- on a terminal

OutputLine = tuple[str, str, str]  # name, text, style


def _zones(inspection: Inspection) -> str:
    """The zone that other columns' offsets suggest for times without an offset."""
    for one in inspection.dates:
        if zones := one.decision.facts.offsets.zones:
            return f" {zones[0]}, whose clocks the offsets of {shown(one.name)} follow"
    return ""


def _lines(one: Dates, zones: str, reveal: bool) -> Iterator[OutputLine]:
    decision, facts = one.decision, one.decision.facts
    filled = "all" if facts.filled == facts.rows else f"{facts.filled:,}"
    padded = f", {facts.padded:,} with spaces around" if facts.padded else ""
    yield "filled", f"{filled} of {facts.rows:,} rows{padded}", ""
    for name, (form, count) in zip(_once("written"), decision.forms, strict=False):
        yield name, f"{count:>12,}  {form}", ""
    if order := _order(one):
        yield "order", order, ""
    if facts.offsets.counts:
        yield "offsets", ", ".join(f"{offset} {count:,}" for offset, count in facts.offsets.counts.items()), ""
    for name, sentinel in zip(_once("no dates"), facts.sentinels, strict=False):
        texts = ", ".join(f'"{printable(text)}"' for text in sentinel.texts[:3])
        what = "" if sentinel.certain else "  perhaps"
        yield name, f"{sentinel.count:>12,}  {sentinel.day}{what}, as {texts}", ""
    for option, measure in zip(decision.options, one.measures, strict=True):
        yield from _of_option(one, option, measure, reveal)
    for _, question in decision.asks:
        yield "TO DECIDE", _with_advice(question, zones), "bold yellow"
    name = "one of" if decision.asks else "proposal"
    for option in decision.options:
        yield name, f"{yaml_of(one.name, option)}{f'  # {option.words}' if option.words else ''}", "bold green"
        name = ""
    for note in decision.notes:
        yield "note", note, "dim"


def _once(name: str) -> Iterator[str]:
    yield name
    while True:
        yield ""


_ADVICE = {
    "day first or month first?": "state it with --day-first or --month-first",
    "day and month in two orders": "fix the export; --day-first or --month-first takes one of them",
    "no offset": "state it with --timezone{}",
    "numbers of several sizes": "state it with --unit",
}


def _with_advice(question: str, zones: str = "") -> str:
    advice = next((advice for start, advice in _ADVICE.items() if question.startswith(start)), "").format(zones)
    return f"{question}{'' if question.endswith('?') else ';'} {advice}" if advice else question


def _order(one: Dates) -> str:
    by_format = one.decision.facts.formats
    proofs = [
        f"{count:,} can only be {order}, the first at {one.places[first]}"
        for order, count, first in (
            ("day first", by_format.day_first, by_format.first_day_first),
            ("month first", by_format.month_first, by_format.first_month_first),
        )
        if first is not None
    ]
    if by_format.order == "either":
        return "no proof: no number is above 12"
    return "; ".join(proofs)


def _of_option(one: Dates, option: Option, measure: Measure, reveal: bool) -> Iterator[OutputLine]:
    prefix = f"{option.words}: " if option.words else ""
    if measure.first_s is not None and measure.last_s is not None:
        yield "from, to", f"{prefix}{moment(measure.first_s)} to {moment(measure.last_s)}", ""
    for kind, words in KINDS.items():
        if rows := measure.rows[kind].count and measure.rows[kind]:
            style = "red" if kind in _HARMFUL else "yellow"
            share = f" ({rows.count / one.decision.facts.filled:.1%} of the filled)" if kind == "unreadable" else ""
            remedy = f"; {_REMEDIES[kind]}" if kind in _REMEDIES else ""
            yield "rows", f"{rows.count:>12,}  {prefix}{words}{share}, at {_places(one, rows)}{remedy}", style
            if reveal:
                examples = ", ".join(f'"{printable(one.examples[place])}"' for place in rows.first)
                yield "", f"{'':>12}  {examples}", ""


def _places(one: Dates, rows: RowSample) -> str:
    """The first rows as file:line, each file named once."""
    split = [one.places[place].rpartition(":")[::2] for place in rows.first]
    files = [f"{file}:{','.join(line for _, line in here)}" for file, here in groupby(split, key=lambda pair: pair[0])]
    return " ".join(files) + (" …" if rows.count > len(rows.first) else "")


def moment(second: int) -> str:
    """A Unix second as ISO 8601 in UTC."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")


# ---------------------------------------------------------------- as JSON


def content(inspection: Inspection, source: str, reveal: bool = False) -> dict[str, Any]:
    """The whole inspection as plain data."""
    zones = _zones(inspection)
    return {
        "source": source,
        "rows": inspection.rows,
        "exit_code": inspection.exit_code,
        "columns": [_column(one, zones, reveal) for one in inspection.dates],
        "not_taken_for_dates": [{"column": name, "why": why} for name, why in inspection.unsure],
    }


def _column(one: Dates, zones: str, reveal: bool) -> dict[str, Any]:
    decision, facts = one.decision, one.decision.facts
    by_format = facts.formats
    examples = {"examples": {one.places[place]: text for place, text in one.examples.items()}} if reveal else {}
    return {
        "column": one.name,
        "type": str(facts.dtype),
        "rows": facts.rows,
        "filled": facts.filled,
        "padded": facts.padded,
        "forms": [{"form": form, "count": count} for form, count in decision.forms],
        "order": {
            "order": by_format.order,
            "day_first": by_format.day_first,
            "month_first": by_format.month_first,
            "day_first_proof": _place(one, by_format.first_day_first),
            "month_first_proof": _place(one, by_format.first_month_first),
        },
        "offsets": dict(facts.offsets.counts),
        "zones": list(facts.offsets.zones),
        "sentinels": [
            {"day": each.day, "count": each.count, "certain": each.certain, "texts": list(each.texts)}
            for each in facts.sentinels
        ],
        "decided": not decision.asks,
        "questions": [{"about": ask, "question": _with_advice(question, zones)} for ask, question in decision.asks],
        "options": [
            _option(one, option, measure) for option, measure in zip(decision.options, one.measures, strict=True)
        ],
        "notes": list(decision.notes),
        **examples,
    }


def _place(one: Dates, position: int | None) -> str | None:
    return None if position is None else one.places.get(position)


def _option(one: Dates, option: Option, measure: Measure) -> dict[str, Any]:
    def places(rows: RowSample) -> Sequence[str]:
        return [one.places[place] for place in rows.first]

    return {
        "words": option.words,
        "apply": list(option.apply),
        "yaml": yaml_of(one.name, option),
        "read": measure.read,
        "first": None if measure.first_s is None else moment(measure.first_s),
        "last": None if measure.last_s is None else moment(measure.last_s),
        **{kind: {"count": rows.count, "first_rows": places(rows)} for kind, rows in measure.rows.items()},
    }
