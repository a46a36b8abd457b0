"""The rules of a mapping that concern several keys, or an operation and its keys.

They read the plain data, not the sections, so that their faults are reported together with those of single keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cio_etl.apis import (
    OPERATIONS,
    PARTS,
    SEMANTIC_EVENTS,
    Operation,
    combined,
    main_operation,
    not_combined,
)
from cio_etl.config.validation import Fault
from cio_etl.config.value_sections import KINDS
from cio_etl.config.yaml_file import Loc
from cio_etl.errors import did_you_mean
from cio_etl.model import REASONS, Constant, Mapping
from cio_etl.transform import checks


def mapping_faults(data: dict[str, Any]) -> Iterator[Fault]:
    """What is wrong with a mapping's data, apart from the value of a single key."""
    for part in _IDENTIFIERS:
        yield from _identifier_faults(data.get(part), (part,))
    names = _operations(data.get("operation"))
    if not names:  # reported at the key
        return
    if len(names) > 1 and (fault := not_combined(names)):
        yield ("operation", "map"), fault
        return
    if isinstance(data["operation"], dict):
        yield from _change_faults(data)
    operation, data = combined(names), data | {"operation": main_operation(names)}
    yield from _part_faults(data, operation)
    yield from _kind_faults(data, operation)
    yield from _relationship_faults(data, operation)
    yield from _device_faults(data)
    yield from _list_faults(data, operation)
    kinds = {kind for _, written in _written_kinds(data.get("identifiers"), ()) for kind in written}
    if "visitor_events" in data and operation.has_event and "anonymous_id" not in kinds:
        yield ("visitor_events",), "the identifiers are no visitor's; leave it out, or write anonymous_id: column"
    if "event_id" in data and "event_key" in data and operation.has_event:
        yield ("event_key",), "event_id identifies the event already; leave one of the two out"
    if _constant(data.get("event_id")) is not None:
        yield ("event_id",), "a constant would make one event of all; write the column of the event's id"
    seconds = _constant(data.get("timestamp"))
    if seconds is not None and not (isinstance(seconds, int) and not isinstance(seconds, bool)):
        yield ("timestamp",), "a constant time is a whole number of Unix seconds"
    for place, example in enumerate(examples if isinstance(examples := data.get("examples"), list) else []):
        yield from reason_faults(("examples", place), example)
    yield from _against_the_api(data)


def reason_faults(loc: Loc, example: object) -> Iterator[Fault]:
    """What is wrong with the reason for which a row is expected to be rejected."""
    reason = example.get("rejected") if isinstance(example, dict) else None
    if isinstance(reason, str) and reason and reason not in REASONS:
        yield (*loc, "rejected"), f"no such reason; {did_you_mean(reason, REASONS)}"


def _operations(raw: Any) -> list[str]:
    """The operations that are written, each once; [] where one of them is wrong."""
    map_of = raw.get("map") if isinstance(raw, dict) else {"": raw}
    written = list(map_of.values()) if isinstance(map_of, dict) else []
    if not all(isinstance(name, str) and name in OPERATIONS for name in written):
        return []
    return list(dict.fromkeys(written))


def _change_faults(data: dict[str, Any]) -> Iterator[Fault]:
    """Keys that change records do not have, though one of their operations has them."""
    if "order_by" in data:
        yield ("order_by",), "every change is sent, in the order of the source; sort the source, and leave it out"
    if "retry_unknown" in data:
        yield ("retry_unknown",), "change records are sent again in any case, in their order; leave it out"


_IDENTIFIERS = ("identifiers", "primary", "secondary")

_HOW_TO_WRITE = {
    "identifiers": "identifiers: {id: column}, with one of " + ", ".join(KINDS[:4]),
    "event": "event: {value: order_placed}, or the column that contains the event's name",
    "object": "object: {type: 1, id: column}",
    "relationships": "relationships: [{object: {type: 1, id: column}}]; of an object, [{person: {id: column}}]",
    "device": "device: {token: column, platform: column}",
    "primary": "primary: {id: column}, the person who stays",
    "secondary": "secondary: {id: column}, the person who is merged into it",
    "segment": "segment: 7, the number of a manual segment",
}


def _part_faults(data: dict[str, Any], operation: Operation) -> Iterator[Fault]:
    """Keys that this operation needs, and those that it does not have."""
    for part in PARTS:
        if part in operation.needs and part not in data:
            yield (part,), f"missing; write {_HOW_TO_WRITE[part]}"
        elif part in data and not operation.allows(part):
            others = [name for name, other in OPERATIONS.items() if other.allows(part)][:3]
            yield (
                (part,),
                f"{data['operation']} does not have this key; leave it out, or write operation: {' or '.join(others)}",
            )


def _kind_faults(data: dict[str, Any], operation: Operation) -> Iterator[Fault]:
    """Identifiers of a kind by which this operation cannot find a person."""
    for part in _IDENTIFIERS:
        for loc, kinds in _written_kinds(data.get(part), (part,)) if operation.allows(part) else ():
            for kind in kinds:
                if kind in KINDS and kind not in operation.kinds:
                    yield (*loc, kind), f"{data['operation']} needs {' or '.join(operation.kinds)}"
    if isinstance(data.get("identifiers"), dict) and "first" in data["identifiers"] and "segment" in operation.needs:
        what = "the people of a segment are named by one kind of identifier; write a mapping for each kind"
        yield ("identifiers", "first"), what


def _written_kinds(identifiers: Any, loc: Loc) -> Iterator[tuple[Loc, dict[str, Any]]]:
    """The identifiers of a section, and those of its `first`, with their places."""
    if not isinstance(identifiers, dict):
        return
    yield loc, identifiers
    alternatives = identifiers.get("first")
    for place, each in enumerate(alternatives if isinstance(alternatives, list) else ()):
        if isinstance(each, dict):
            yield (*loc, "first", place), each


def _identifier_faults(identifiers: Any, loc: Loc) -> Iterator[Fault]:
    if not isinstance(identifiers, dict):
        return
    if "first" in identifiers and loc == ("identifiers",):
        yield from _alternative_faults(identifiers, loc)
        return
    kinds = [kind for kind in identifiers if kind in KINDS]
    if not identifiers:
        yield loc, f"empty; write one of {', '.join(KINDS[:4])}"
    for kind in kinds[1:]:
        yield (*loc, kind), f"a second identifier; keep one of {', '.join(kinds)}"
    for kind in kinds:
        constant = _constant(identifiers[kind])
        is_text = isinstance(constant, (str, int)) and not isinstance(constant, bool) and str(constant).strip()
        if constant is not None and not is_text:
            yield (*loc, kind), "a constant identifier is text, and not empty"


def _alternative_faults(identifiers: dict[str, Any], loc: Loc) -> Iterator[Fault]:
    """What is wrong with `first` and its identifiers, one of each kind and each from a column."""
    for kind in (kind for kind in identifiers if kind in KINDS):
        yield (*loc, kind), "write it as an entry of first:, in its place in the order"
    seen: set[str] = set()
    for inner, written in list(_written_kinds(identifiers, loc))[1:]:
        yield from _identifier_faults(written, inner)
        for kind in (kind for kind in written if kind in KINDS):
            if kind in seen:
                what = f"a second {kind}; write one, as {kind}: {{columns: [one, other], apply: [coalesce]}}"
                yield (*inner, kind), what
            elif _constant(written[kind]) is not None:
                yield (*inner, kind), "a constant is in every row; write a column"
            seen.add(kind)


def _relationship_faults(data: dict[str, Any], operation: Operation) -> Iterator[Fault]:
    """Relationships to an end, or with attributes, that this operation does not have."""
    if not operation.relationships or not isinstance(data.get("relationships"), list):
        return
    end, *kinds = operation.relationships
    other = "person" if end == "object" else "object"
    for place, relationship in enumerate(data["relationships"]):
        if not isinstance(relationship, dict):
            continue
        loc = ("relationships", place)
        if other in relationship:
            message = f"{data['operation']} relates to {'an' if end == 'object' else 'a'} {end}; write {end}: instead"
            yield (*loc, other), message
        person = relationship.get("person") if end == "person" else None
        yield from _identifier_faults(person, (*loc, "person"))
        for kind in person if isinstance(person, dict) else ():
            if kind in KINDS and kind not in kinds:
                yield (*loc, "person", kind), f"{data['operation']} needs {' or '.join(kinds)}"
        if data["operation"].startswith("delete_") and "attributes" in relationship:
            yield (*loc, "attributes"), "a relationship that is deleted has no attributes; leave them out"


def _device_faults(data: dict[str, Any]) -> Iterator[Fault]:
    device = data.get("device")
    if not isinstance(device, dict):
        return
    attributes = device.get("attributes")
    for name, attribute in attributes.items() if isinstance(attributes, dict) else ():
        if isinstance(attribute, dict):
            yield from _device_attribute_faults(attribute, ("device", "attributes", name))
    if data["operation"] == "add_device" and "platform" not in device:
        yield ("device", "platform"), "missing; write platform: column, or {value: ios} or {value: android}"
    if data["operation"] == "delete_device":
        for name in ("platform", "last_used", "attributes"):
            if name in device:
                yield ("device", name), "a device is deleted by its token alone; leave it out"


def _device_attribute_faults(attribute: dict[str, Any], loc: Loc) -> Iterator[Fault]:
    """What a device's attribute cannot be: its values are texts, and null does not remove it."""
    if attribute.get("nulls") == "clear":
        yield (*loc, "nulls"), "the attributes of a device are not removed by null; write omit, or leave it out"
    on_error = attribute.get("on_error", "omit")
    instead = on_error.get("value", "") if isinstance(on_error, dict) else on_error
    if not isinstance(instead, str) or on_error == "null":
        yield (*loc, "on_error"), "the attributes of a device are texts; write omit, or a text as {value: unknown}"


def _list_faults(data: dict[str, Any], operation: Operation) -> Iterator[Fault]:
    """Columns that a list names twice, and names that are not reserved."""
    for key in ("event_key", "order_by"):
        for place, name in enumerate(columns := _list(data.get(key))):
            if name in columns[:place]:
                yield (key, place), "written twice; keep one"
    reserved = sorted(operation.reserved | (SEMANTIC_EVENTS if operation.has_event else set()))
    for place, name in enumerate(_list(data.get("allow_reserved"))):
        if name not in reserved:
            yield ("allow_reserved", place), f"not a reserved name; {did_you_mean(name, reserved)}"


def _against_the_api(data: dict[str, Any]) -> Iterator[Fault]:
    """What transform/checks.py refuses whatever the rows are. It needs only names, so the values are left empty."""
    attributes, event = data.get("attributes"), _constant(data.get("event"))
    names = attributes if isinstance(attributes, dict) else ()
    targets = {"event": Constant(event)} if event is not None else {}
    targets |= {f"attributes.{name}": Constant(None) for name in names}
    sketch = Mapping("", data["operation"], targets, allow_reserved=tuple(_list(data.get("allow_reserved"))))
    for path, message in checks.problems(sketch):
        yield tuple(path.split(".", 1)), message


def _constant(raw: Any) -> Any:
    return raw.get("value") if isinstance(raw, dict) else None


def _list(raw: Any) -> list[str]:
    """The texts of a list, or the one text that is written instead of a list."""
    return [item for item in (raw if isinstance(raw, list) else [raw]) if isinstance(item, str)]
