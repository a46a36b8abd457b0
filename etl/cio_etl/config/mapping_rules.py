"""The rules of a mapping that concern several keys, or an operation and its keys.

They read the plain data, not the sections, so that their faults are reported together with those of single keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cio_etl.config.validation import Fault
from cio_etl.config.value_sections import KINDS
from cio_etl.config.yaml_file import Loc
from cio_etl.model import Constant, Mapping
from cio_etl.model.yaml_section import did_you_mean
from cio_etl.transform import REASONS, checks
from cio_etl.transform.operations import OPERATIONS, PARTS, SEMANTIC_EVENTS, Operation


def mapping_faults(data: dict[str, Any]) -> Iterator[Fault]:
    """What is wrong with a mapping's data, apart from the value of a single key."""
    yield from _across(data)
    yield from _against_the_api(data)


def _across(data: dict[str, Any]) -> Iterator[Fault]:
    for part in ("identifiers", "primary", "secondary"):
        yield from _of_identifiers(data.get(part), (part,))
    operation = OPERATIONS.get(str(data.get("operation")))
    if operation is None:
        return
    for part in PARTS:
        if part in operation.needs and part not in data:
            yield (part,), f"missing; write {_EXAMPLES[part]}"
        elif part in data and not operation.allows(part):
            has = [name for name, other in OPERATIONS.items() if other.allows(part)]
            yield (
                (part,),
                f"{data['operation']} has no such part; leave it out, or write operation: {' or '.join(has[:3])}",
            )
    yield from _of_kinds(data, operation)
    for key in ("event_key", "order_by"):
        for place, name in enumerate(columns := _list(data.get(key))):
            if name in columns[:place]:
                yield (key, place), "written twice; keep one"
    seconds = _constant(data.get("timestamp"))
    if seconds is not None and not (isinstance(seconds, int) and not isinstance(seconds, bool)):
        yield ("timestamp",), "a constant time is a whole number of Unix seconds"
    for place, example in enumerate(examples if isinstance(examples := data.get("examples"), list) else []):
        reason = example.get("rejected") if isinstance(example, dict) else None
        if isinstance(reason, str) and reason and reason not in REASONS:
            yield ("examples", place, "rejected"), f"no such reason; {did_you_mean(reason, REASONS)}"
    known = sorted(operation.reserved | (SEMANTIC_EVENTS if operation.has_event else set()))
    for place, name in enumerate(_list(data.get("allow_reserved"))):
        if name not in known:
            yield ("allow_reserved", place), f"not a reserved name; {did_you_mean(name, known)}"


_EXAMPLES = {
    "identifiers": "identifiers: {id: column}, with one of " + ", ".join(KINDS[:4]),
    "event": "event: {value: order_placed}, or the column that holds the event's name",
    "object": "object: {type: 1, id: column}",
    "relationships": "relationships: [{object: {type: 1, id: column}}]; of an object, [{person: {id: column}}]",
    "device": "device: {token: column, platform: column}",
    "primary": "primary: {id: column}, the person who stays",
    "secondary": "secondary: {id: column}, the person who goes",
    "segment": "segment: 7, the number of a manual segment",
}


def _of_kinds(data: dict[str, Any], operation: Operation) -> Iterator[Fault]:
    """Identifiers, ties and devices that this operation cannot have."""
    for part in ("identifiers", "primary", "secondary"):
        for kind in data[part] if isinstance(data.get(part), dict) and operation.allows(part) else ():
            if kind in KINDS and kind not in operation.kinds:
                yield (part, kind), f"{data['operation']} goes by {' or '.join(operation.kinds)}"
    end, *kinds = operation.ties or ("",)
    ties = data.get("relationships")
    for place, tie in enumerate(ties if isinstance(ties, list) and operation.ties else ()):
        for other in {"object", "person"} - {end}:
            if isinstance(tie, dict) and other in tie:
                yield ("relationships", place, other), f"{data['operation']} has ties to {end}: write {end}: instead"
        person = tie.get("person") if isinstance(tie, dict) and end == "person" else None
        yield from _of_identifiers(person, ("relationships", place, "person"))
        for kind in person if isinstance(person, dict) else ():
            if kind in KINDS and kind not in kinds:
                yield ("relationships", place, "person", kind), f"{data['operation']} goes by {' or '.join(kinds)}"
        if data["operation"].startswith("delete_") and isinstance(tie, dict) and "attributes" in tie:
            yield ("relationships", place, "attributes"), "a tie that is cut has none; leave them out"
    device = data.get("device")
    if data["operation"] == "add_device" and isinstance(device, dict) and "platform" not in device:
        yield ("device", "platform"), "missing; write platform: column, or {value: ios} or {value: android}"
    if data["operation"] == "delete_device" and isinstance(device, dict):
        for name in ("platform", "last_used", "attributes"):
            if name in device:
                yield ("device", name), "a device that is deleted goes by its token; leave it out"


def _of_identifiers(identifiers: Any, loc: Loc) -> Iterator[Fault]:
    if not isinstance(identifiers, dict):
        return
    kinds = [kind for kind in identifiers if kind in KINDS]
    if not identifiers:
        yield loc, f"empty; write one of {', '.join(KINDS[:4])}"
    for kind in kinds[1:]:
        yield (*loc, kind), f"a second identifier; keep one of {', '.join(kinds)}"
    for kind in kinds:
        who = _constant(identifiers[kind])
        if who is not None and not (isinstance(who, (str, int)) and not isinstance(who, bool) and str(who).strip()):
            yield (*loc, kind), "a constant identifier is text, and not empty"


def _against_the_api(data: dict[str, Any]) -> Iterator[Fault]:
    """What transform/checks.py finds wrong whatever the rows are; it looks at names, so only they are filled in."""
    operation, attributes, event = str(data.get("operation")), data.get("attributes"), _constant(data.get("event"))
    if operation not in OPERATIONS:
        return
    sketch = Mapping(
        file="",
        operation=operation,
        identifiers={},
        attributes=dict.fromkeys(attributes, Constant(None)) if isinstance(attributes, dict) else {},
        digest="",
        event=Constant(event) if event is not None else None,
        allow_reserved=tuple(_list(data.get("allow_reserved"))),
    )
    for path, message in checks.problems(sketch):
        yield tuple(path.split(".", 1)), message


def _constant(raw: Any) -> Any:
    return raw.get("value") if isinstance(raw, dict) else None


def _list(raw: Any) -> list[str]:
    """The texts of a list, or of one text that stands for a list."""
    return [one for one in (raw if isinstance(raw, list) else [raw]) if isinstance(one, str)]
