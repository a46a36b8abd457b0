"""Values, identifiers and schedules as other tools write them, and as a mapping and a job have them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cio_etl.errors import ConfigError
from cio_etl.importers.definitions import Node
from cio_etl.importers.lost import Lost

Value = Any  # a column's name, or {column: …}, {columns: …, apply: …}, {value: …}

# Liquid, as Hightouch and Census write it: {{ row.name }}, {{ row['First name'] | upcase }}
_TAG = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_NAMED = re.compile(r"(?:row\.|record\.)?([A-Za-z_]\w*)|(?:row|record)\[\s*(?:'([^']+)'|\"([^\"]+)\")\s*\]")
_FILTERS = {"upcase": "upper", "downcase": "lower", "strip": "trim"}
_DEFAULT = re.compile(r"default:\s*(?:'([^']*)'|\"([^\"]*)\")")


def column_of_liquid(name: str) -> str | None:
    """The column that {{ name }} means in Liquid: name, row.name or row['name']."""
    found = _NAMED.fullmatch(name)
    return None if found is None else found[1] or found[2] or found[3]


def template_value(template: str, column_of: Callable[[str], str | None] = column_of_liquid) -> Value | None:
    """The value of a template with names of columns in {{ }}; None if it uses more of Liquid than is known here."""
    if "{%" in template:
        return None
    tags = [_tag(found, column_of) for found in _TAG.findall(template)]
    if any(tag is None for tag in tags):
        return None
    named = [tag for tag in tags if tag is not None]
    if not named:
        return {"value": template}
    literal = _TAG.split(template)[0::2]
    if len(named) == 1 and not "".join(literal).strip():
        column, calls = named[0]
        return {"column": column, "apply": calls} if calls else column
    if any(calls for _, calls in named) or any(sign in "".join(literal) for sign in "{}"):
        return None
    columns = [column for column, _ in named]
    text = literal[0] + "".join(f"{{{column}}}{after}" for column, after in zip(columns, literal[1:], strict=True))
    return {"columns": [*dict.fromkeys(columns)], "apply": [{"template": {"template": text, "null_text": ""}}]}


def _tag(inside: str, column_of: Callable[[str], str | None]) -> tuple[str, list[Any]] | None:
    """The column and the functions of what is inside {{ }}."""
    name, *filters = (part.strip() for part in inside.split("|"))
    column = column_of(name)
    if column is None:
        return None
    calls: list[Any] = []
    for each in filters:
        if each in _FILTERS:
            calls.append(_FILTERS[each])
        elif default := _DEFAULT.fullmatch(each):
            calls.append({"default": default[1] or default[2] or ""})
        else:
            return None
    return column, calls


def squeezed(name: str) -> str:
    """A name without case, blanks and signs: `Event Name`, event_name and eventName are one."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def is_customer_io(name: str, stated: Collection[str]) -> bool:
    """Whether a destination is Customer.io: by its name, which its owner chose, or since a person says so."""
    return "customerio" in squeezed(name) or name in stated


def not_customer_io(others: Sequence[tuple[Node, str]], *, nothing_else: bool) -> list[Lost]:
    """The syncs to other destinations, each with its name for `--destination`.

    Raises ConfigError where there is nothing else: then the name of Customer.io is probably one of them.
    """
    if others and nothing_else:
        raise ConfigError(
            node.problem(f"{node.value!r} is not named as Customer.io; if it is, add --destination {name}")
            for node, name in others
        )
    why = "only syncs to Customer.io are imported"
    return [
        node.lost(f"the sync to {node.value!r}", why, f"--destination {name}, if it is Customer.io")
        for node, name in others
    ]


def step_name(text: str, taken: Collection[str]) -> str:
    """A name for a step and its mapping file, which no other step has."""
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_").lower()[:60] or "step"
    name, number = plain, 2
    while name in taken:
        name, number = f"{plain}_{number}", number + 1
    return name


@dataclass(frozen=True, slots=True)
class Field:
    """A value for a field of Customer.io, and where the tool says so."""

    to: str
    value: Value
    node: Node


# The fields by which these tools find a person in Customer.io, by their squeezed names.
IDENTIFIERS = {
    **dict.fromkeys(("id", "userid", "customerid", "personid", "externalid"), "id"),
    **dict.fromkeys(("email", "emailaddress"), "email"),
    "cioid": "cio_id",
}
_EVENT_NAMES = ("name", "eventname", "event")
_TIMES = ("timestamp", "eventtimestamp", "eventtime")
_EVENT_IDS = ("eventid",)


def timestamp_of(value: Value) -> Value:
    """The value as Unix seconds, whatever form it has in the source; a constant stays as it is."""
    if isinstance(value, str):
        return {"column": value, "apply": ["timestamp"]}
    return value if "value" in value else {**value, "apply": [*value.get("apply", []), "timestamp"]}


def attributes_of(fields: Sequence[Field]) -> tuple[dict[str, Value], list[Lost]]:
    """The attributes, and the fields that cannot be one."""
    attributes: dict[str, Value] = {}
    lost: list[Lost] = []
    for each in fields:
        if not each.to.strip() or each.to == "*":
            lost.append(each.node.lost(repr(each.to), "it cannot be the name of an attribute", "give it another name"))
            continue
        if each.to in attributes:
            lost.append(each.node.lost(each.to, "two values of one attribute, the first is kept", "choose one of them"))
            continue
        attributes[each.to] = timestamp_of(each.value) if each.to == "created_at" else each.value
        if "." in each.to:
            why = "it is sent as an attribute of this name, not as a member of an object"
            lost.append(Lost(each.node.place, each.to, why, "rename it, if the object is what you have there"))
    return attributes, lost


def people_mapping(fields: Sequence[Field], identifier: tuple[str, Value]) -> tuple[dict[str, Any], list[Lost]]:
    """The mapping of people, and the fields that are lost."""
    kind, value = identifier
    attributes, lost = attributes_of([each for each in fields if (each.to, each.value) != (kind, value)])
    return {"operation": "identify", "identifiers": {kind: value}, "attributes": attributes}, lost


def event_mapping(
    fields: Sequence[Field], identifier: tuple[str, Value], name: str, key: str | None, place: str
) -> tuple[dict[str, Any], list[Lost]]:
    """The mapping of events: fields with the names of an event's parts are these parts, the others attributes."""
    parts: dict[str, Field] = {}
    others: list[Field] = []
    for each in fields:
        squeezed_name = squeezed(each.to)
        for part, names in (("event", _EVENT_NAMES), ("timestamp", _TIMES), ("event_id", _EVENT_IDS)):
            if squeezed_name in names and part not in parts and (part == "event" or not is_constant(each.value)):
                parts[part] = each
                break
        else:
            if IDENTIFIERS.get(squeezed_name) != identifier[0] or each.value != identifier[1]:
                others.append(each)
    lost: list[Lost] = []
    if "event" not in parts:
        why = "the definition does not say it in a form that is known here"
        lost.append(Lost(place, "the name of the event", why, f"replace {name!r} under `event`"))
    if "timestamp" not in parts:
        why = "no field is called timestamp, so each event is dated when it is sent"
        lost.append(Lost(place, "the time of the event", why, "write timestamp: {column: …, apply: [timestamp]}"))
    attributes, more = attributes_of(others)
    mapping: dict[str, Any] = {
        "operation": "track",
        "identifiers": {identifier[0]: identifier[1]},
        "event": parts["event"].value if "event" in parts else {"value": name},
    }
    if "timestamp" in parts:
        mapping["timestamp"] = timestamp_of(parts["timestamp"].value)
    if "event_id" in parts:
        mapping["event_id"] = parts["event_id"].value
    elif key is not None:
        mapping["event_key"] = [key]
    return {**mapping, "attributes": attributes}, [*lost, *more]


def first_identifier(fields: Sequence[Field]) -> Field | None:
    """The field that identifies a person: an id before a cio_id before an address."""
    for kind in ("id", "cio_id", "email"):
        for each in fields:
            if IDENTIFIERS.get(squeezed(each.to)) == kind and not is_constant(each.value):
                return Field(kind, each.value, each.node)
    return None


def is_constant(value: Value) -> bool:
    """Whether a value is the same in every row."""
    return isinstance(value, dict) and "value" in value


def cron_of(quantity: int, unit: str) -> str | None:
    """A cron line for every so many minutes, hours, days or weeks; None where cron has no line for it."""
    unit = unit.lower().rstrip("s")
    if unit == "minute" and 0 < quantity < 60 and 60 % quantity == 0:
        return f"*/{quantity} * * * *" if quantity > 1 else "* * * * *"
    if unit == "minute" and quantity > 0 and quantity % 60 == 0:
        return cron_of(quantity // 60, "hour")
    if unit == "hour" and 0 < quantity < 24 and 24 % quantity == 0:
        return f"0 */{quantity} * * *" if quantity > 1 else "0 * * * *"
    if (unit, quantity) in (("day", 1), ("hour", 24)):
        return "0 0 * * *"
    return "0 0 * * 0" if (unit, quantity) in (("week", 1), ("day", 7)) else None


_CRON_FIELD = re.compile(r"(?:[\d*/,\-#]|[A-Za-z]{3}(?![A-Za-z]))+")


def is_cron(line: str) -> bool:
    """Whether a text has the form of a cron line; `check` says whether it ever comes."""
    fields = line.split()
    return len(fields) == 5 and all(_CRON_FIELD.fullmatch(each) for each in fields)


def first_run(tool: str, steps: Sequence[str], place: str) -> Iterator[Lost]:
    """What is lost with a tool that sends changes: it knows what it has sent, and this state stays with it."""
    if steps:
        yield Lost(
            place,
            f"what {tool} has sent already",
            f"its state is not in the files, so the first run sends every row, events too: {', '.join(steps)}",
            "look at `cio-etl plan`, stop campaigns that events start, or leave old events out by `when`",
        )
