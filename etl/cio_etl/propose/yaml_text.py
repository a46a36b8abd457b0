"""A plan as YAML text, with its reasons as comments; any column name is written safely.

Names come from the data's owner, or from whoever made the file: in YAML they are plain words or JSON strings, in
comments nothing of them can end the line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any

from cio_etl.config import MODELINE
from cio_etl.propose.plan import Attribute, Plan
from cio_etl.propose.readings import Reading

WIDTH = 118
_SHOWN_SIGNS = 60  # of a name in a comment

# Plain words that every reader of YAML takes for text; 1.1's `yes` and `on` are not among them.
_PLAIN = re.compile(r"[^\W\d]\w*(?:[-./]\w+)*")
_NOT_TEXT = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


def scalar(value: object) -> str:
    """A text, number, true, false or null as YAML."""
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and value.isprintable() and value.lower() not in _NOT_TEXT:
        return value
    return '"' + printable(value.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def printable(text: str) -> str:
    """The text with escapes, as YAML has them, for whatever would not be seen, or end a line."""
    return "".join(sign if sign.isprintable() else _escape(sign) for sign in text)


def _escape(sign: str) -> str:
    point = ord(sign)
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def shown(name: str) -> str:
    """A column's name in a comment or on a terminal: on one line, and cut."""
    cut = name if len(name) <= _SHOWN_SIGNS else name[:_SHOWN_SIGNS] + "…"
    return cut if _PLAIN.fullmatch(cut) and cut.isprintable() else scalar(cut)


def flow(value: Any) -> str:
    """Any plain data on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(flow(inner) for inner in value) + "]"
    return scalar(value)


def comment(text: str, indent: str = "") -> list[str]:
    """The text as lines of comment."""
    lines = wrap(printable(text), WIDTH - len(indent) - 2, break_on_hyphens=False) or [""]
    return [f"{indent}# {line}".rstrip() for line in lines]


def _noted(line: str, note: str, indent: str = "") -> list[str]:
    """A line with its comment: behind it where there is room, else above."""
    if not note:
        return [indent + line]
    behind = f"{indent}{line}  # {printable(note)}"
    return [behind] if len(behind) <= WIDTH else [*comment(note, indent), indent + line]


# ---------------------------------------------------------------- the mapping


def mapping_text(plan: Plan, about: str, job_file: str) -> str:
    """The mapping file. `about` says of which rows and from where."""
    lines = [MODELINE, *comment(f"Proposed by `cio-etl init` from {about}.")]
    lines += ["# Read it through, change it, and try it:"]
    lines += [f"#   cio-etl {command} {printable(job_file)}" for command in ("check", "preview", "validate")]
    lines += _overview(plan)
    if plan.operation == "track":
        lines += ["", *_noted("operation: track", "each row is an event")]
        lines += _noted(f"event: {flow({'value': plan.event})}", "better a name for what happened, as order_placed")
    else:
        lines += ["", *_noted("operation: identify", "each row is a person")]
    lines += [*_noted(f"identifiers: {{{plan.kind}: {_value(plan.who)}}}", _note(plan.who))]
    lines += _of_event(plan) if plan.operation == "track" else []
    return "\n".join([*lines, *_attributes(plan), ""])


def _overview(plan: Plan) -> Iterator[str]:
    """What the author should know before reading on."""
    groups = [
        ("To decide", [f"{_place(place)}: {question}" for place, question in plan.decisions]),
        (
            "Personal",
            [f"{shown(one.name)}: {one.personal}" for one in plan.readings if one.personal and not one.left_out],
        ),
        ("Left out", [f"{shown(one.name)}: {one.left_out}" for one in plan.readings if one.left_out]),
    ]
    for title, said in groups:
        if said:
            yield "#"
            yield f"# {title}:"
            for line in said:
                yield from (piece.replace("# ", "#   ", 1) for piece in comment(line))


def _place(place: str) -> str:
    head, dot, name = place.partition(".")
    return head + dot + (shown(name) if dot else "")


def _of_event(plan: Plan) -> Iterator[str]:
    if plan.timestamp is None:
        yield from comment("no column says when it happened; without `timestamp` every event is dated now")
        yield "# timestamp: {column: …, apply: [timestamp]}"
    else:
        yield from _noted(f"timestamp: {_value(plan.timestamp)}", _note(plan.timestamp))
    if plan.event_key is None:
        yield from comment(
            "no column tells the rows apart; with `event_key` the same event in tomorrow's file would not count again"
        )
        yield "# event_key: […]"
    else:
        note = f"{_how_unique(plan.event_key)}; the event's id is made from it"
        yield from _noted(f"event_key: [{scalar(plan.event_key.name)}]", note)


def _how_unique(key: Reading) -> str:
    look = key.look
    if look.is_key:
        return f"filled and different in all {look.rows:,} rows"
    empty = f", {look.rows - look.filled:,} empty, which would be rejected" if look.filled < look.rows else ""
    return f"{look.distinct or 0:,} different in {look.filled:,} rows{empty}"


def _attributes(plan: Plan) -> Iterator[str]:
    yield ""
    kept = [one for one in plan.attributes if not one.reading.left_out]
    yield "attributes:" if kept else "attributes: {}"
    for one in plan.attributes:
        yield from _attribute(one)
    if plan.unlisted:
        yield from comment(f"{plan.unlisted:,} more columns are not listed", "  ")


def _attribute(attribute: Attribute) -> list[str]:
    line = f"{scalar(attribute.name)}: {_value(attribute.reading)}"
    if not attribute.reading.left_out:
        return _noted(line, _note(attribute.reading), "  ")
    return [*comment(_note(attribute.reading), "  "), f"  # {line}"]


def _value(reading: Reading) -> str:
    if not reading.apply:
        return scalar(reading.name)
    return f"{{column: {scalar(reading.name)}, apply: [{', '.join(flow(call) for call in reading.apply)}]}}"


def _note(reading: Reading) -> str:
    """A column's comment: what must be decided first."""
    decide = f"TO DECIDE: {reading.decide}" if reading.decide else ""
    left_out = f"left out: {reading.left_out}" if reading.left_out else ""
    left_out = reading.left_out if decide else left_out
    personal = f"personal: {reading.personal}" if reading.personal and not reading.left_out else ""
    return " · ".join(part for part in (decide, left_out, *reading.evidence, personal) if part)


# ---------------------------------------------------------------- the job


def job_text(source: Mapping[str, Any], step: str, mapping_file: str, notes: Sequence[str]) -> str:
    """The job file: one step from the source through the mapping."""
    lines = [
        MODELINE,
        "# Proposed by `cio-etl init`. Nothing is sent before `cio-etl run`.",
        "destination:",
        "  region: us                        # or eu, or auto, which asks where the credentials belong",
        "  site_id: ${CUSTOMERIO_SITE_ID}    # keys never stand in a file",
        "  api_key: ${CUSTOMERIO_API_KEY}",
        "",
        "steps:",
        f"  - name: {scalar(step)}",
        *_section(source, "    "),
        f"    mapping: {scalar(mapping_file)}",
        "",
    ]
    for note in notes:
        lines += comment(note)
    lines += _noted("max_rejects: 1%", "of the rows, or a number of rows; past it a run stops and can go on later")
    return "\n".join([*lines, ""])


def _section(source: Mapping[str, Any], indent: str) -> Iterable[str]:
    short = f"{indent}source: {flow(source)}"
    if len(short) <= WIDTH:
        return [short]
    return [f"{indent}source:", *(f"{indent}  {scalar(key)}: {flow(value)}" for key, value in source.items())]
