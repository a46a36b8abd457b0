"""A plan as the commented YAML of a mapping."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from cio_etl.config import MODELINE
from cio_etl.config.yaml_writer import comment, flow, place, printable, scalar, shown, with_note
from cio_etl.model.words import counted
from cio_etl.propose.attributes import Attribute
from cio_etl.propose.plan import Plan, Proposed
from cio_etl.propose.readings import Reading


def mapping_text(proposed: Proposed, about: str, job_file: str) -> str:
    """The mapping file. `about` says of which rows and from where."""
    lines = [MODELINE, *comment(f"Proposed by `cio-etl init` from {about}.")]
    lines += ["# Read it through, change it, and try it:"]
    lines += [
        f"#   cio-etl {command} {printable(shlex.quote(job_file))}" for command in ("check", "preview", "validate")
    ]
    lines += _overview(proposed)
    lines += ["", *_plan_text(proposed.plan, proposed.verdict.evidence)]
    if proposed.other is not None:
        lines += _other_text(proposed, proposed.other)
    return "\n".join([*lines, ""])


def _overview(proposed: Proposed) -> Iterator[str]:
    """What the author should know before reading on."""
    readings = proposed.plan.readings
    groups = [
        ("To decide", [f"{place(where)}: {question}" for where, question in proposed.decisions]),
        ("Personal", [f"{shown(one.name)}: {one.personal}" for one in readings if one.personal and not one.left_out]),
        ("Left out", [f"{shown(one.name)}: {one.left_out}" for one in readings if one.left_out]),
    ]
    for title, texts in groups:
        if texts:
            yield "#"
            yield f"# {title}:"
            for line in texts:
                yield from (piece.replace("# ", "#   ", 1) for piece in comment(line))


def _plan_text(plan: Plan, evidence: tuple[str, ...]) -> Iterator[str]:
    """The keys of the mapping, each with its evidence."""
    is_event = plan.operation == "track"
    subject = "each row is an event" if is_event else "each row is a person"
    yield from with_note(f"operation: {plan.operation}", " · ".join([subject, *evidence]))
    if is_event and plan.event is not None:
        yield from with_note(f"event: {_value(plan.event)}", f"{plan.event.look.distinct or 0:,} different names")
    elif is_event:
        constant = flow({"value": plan.event_name})
        yield from with_note(f"event: {constant}", "better a name for what happened, as order_placed")
    yield from with_note(f"identifiers: {{{plan.kind}: {_value(plan.person)}}}", _note(plan.person))
    if plan.visitor is not None:
        yield from _when(plan, plan.visitor)
    if is_event:
        yield from _of_event(plan)
    yield from _attributes(plan)


def _when(plan: Plan, visitor: Reading) -> Iterator[str]:
    """Omits the rows that name a visitor only: they need a second mapping."""
    column = '"' + plan.person.look.column.replace('"', '""') + '"'
    visitors = scalar(column + " IS NULL")
    note = (
        f"{counted(plan.skipped, 'row')} of visitors only; a second mapping can send them, with "
        f"identifiers: {{anonymous_id: {_value(visitor)}}} and when: {visitors}"
    )
    if plan.person.look.member is None:
        yield from with_note(f"when: {scalar(column + ' IS NOT NULL')}", note)


def _of_event(plan: Plan) -> Iterator[str]:
    if plan.timestamp is None:
        yield from comment("no column says when it happened; without `timestamp` every event is dated now")
        yield "# timestamp: {column: …, apply: [timestamp]}"
    else:
        yield from with_note(f"timestamp: {_value(plan.timestamp)}", _note(plan.timestamp))
    if plan.event_key:
        columns = ", ".join(scalar(name) for name in plan.event_key)
        yield from with_note(f"event_key: [{columns}]", plan.event_key_evidence)
    else:
        why = "with `event_key` the same event in tomorrow's file would not count again"
        yield from comment(f"{plan.event_key_evidence}; {why}")
        yield "# event_key: […]"


def _attributes(plan: Plan) -> Iterator[str]:
    yield ""
    sent = [one for one in plan.attributes if not one.reading.left_out]
    yield "attributes:" if sent else "attributes: {}"
    for one in plan.attributes:
        yield from _attribute(one)
    if plan.unlisted:
        yield from comment(f"{plan.unlisted:,} more columns are not listed", "  ")


def _attribute(attribute: Attribute) -> list[str]:
    line = f"{scalar(attribute.name)}: {_value(attribute.reading)}"
    if not attribute.reading.left_out:
        return with_note(line, _note(attribute.reading), "  ")
    return [*comment(_note(attribute.reading), "  "), f"  # {line}"]


def _other_text(proposed: Proposed, other: Plan) -> Iterator[str]:
    """The plan that was not chosen, as a comment."""
    subject = "events" if proposed.verdict.subject == "people" else "people"
    evidence = proposed.verdict.for_events if subject == "events" else proposed.verdict.for_people
    yield ""
    yield from comment(
        f"TO DECIDE: the rows may be {subject} instead. Then remove everything from `operation:` to here, and the "
        "first `# ` of each line below."
    )
    yield "#"
    for line in _plan_text(other, evidence):
        yield f"# {line}".rstrip()


def _value(reading: Reading) -> str:
    if not reading.calls:
        return scalar(reading.look.column)
    calls = ", ".join(flow(call) for call in reading.calls)
    return f"{{column: {scalar(reading.look.column)}, apply: [{calls}]}}"


def _note(reading: Reading) -> str:
    """A column's comment: what must be decided first."""
    decide = f"TO DECIDE: {reading.decide}" if reading.decide else ""
    left_out = f"left out: {reading.left_out}" if reading.left_out else ""
    left_out = reading.left_out if decide else left_out
    personal = f"personal: {reading.personal}" if reading.personal and not reading.left_out else ""
    return " · ".join(part for part in (decide, left_out, *reading.evidence, personal) if part)
