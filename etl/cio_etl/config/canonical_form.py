"""The canonical text of a mapping, its digest, and a description of what changed between two texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cio_etl.config.function_arguments import canonical_call
from cio_etl.config.plain_form import read_document
from cio_etl.config.yaml_file import Loc, dotted
from cio_etl.model import Column, Columns, Mapping, OtherColumns, Value


def canonical(mapping: Mapping) -> str:
    """What a mapping does as JSON text: two mappings with equal texts produce the same items from every row.

    Comments, spaces, the order of keys, short and long forms and examples make no difference. The text is stored with
    a run, so its form is part of the state's format: it must stay the same, byte by byte.
    """

    def at(target: str) -> dict[str, Any] | None:
        value = _value(mapping.targets.get(target))
        if value is not None and target in mapping.on_error:
            value["on_error"] = _value(mapping.on_error[target]) or "omit"
        if value is not None and target in mapping.nulls_of:
            value["nulls"] = mapping.nulls_of[target]
        return value

    attributes = {name: at(f"attributes.{name}") for name in mapping.part("attributes")}
    if (rule := mapping.other_columns) is not None:
        attributes["*"] = _rule(rule, mapping)
    meaning = {
        "operation": mapping.operation,
        "identifiers": {kind: _value(value) for kind, value in mapping.part("identifiers").items()},
        "event": _value(mapping.targets.get("event")),
        "timestamp": _value(mapping.targets.get("timestamp")),
        "event_key": list(mapping.event_key),
        "attributes": attributes,
        "nulls": mapping.nulls,
        "when": mapping.when,
        "allow_reserved": sorted(set(mapping.allow_reserved)),
    }
    # keys added later appear only when they are used, so that the texts of older mappings do not change
    others = {target for target in mapping.targets if target.partition(".")[0] not in meaning}
    if others:
        meaning["more"] = {target: at(target) for target in others}
    if mapping.operations:
        meaning["changes"] = _value(mapping.targets["operation"])
    if mapping.alternatives:
        meaning["first"] = [target.partition(".")[2] for target in mapping.alternatives]
    meaning |= {name: setting for name in _SETTINGS if (setting := getattr(mapping, name))}
    return _text(meaning)


_SETTINGS = ("order_by", "explode", "segment", "existing_only", "visitors_in_batches", "retry_unknown")


def digest(mapping: Mapping) -> str:
    """SHA-256, in hex, of the canonical text."""
    return hashlib.sha256(canonical(mapping).encode()).hexdigest()


def describe_change(old: str, new: str) -> str:
    """The differences between two canonical texts, by path and without values; "" if there are none.

    Example: "attributes.plan added; timestamp.apply changed".
    """
    return "; ".join(words for _, words in _changes(_targets(json.loads(old)), _targets(json.loads(new))))


def changes_by_file(old: str, new: str, file: Path) -> dict[str, str]:
    """The differences between two canonical texts of the mapping in `file`, by the file in which they are written.

    What is no more may have been in any of the files from which the mapping inherits: then all of them are named.
    """
    document = read_document(file)
    names = dict.fromkeys([str(file), *(origin.file for origin, _ in document.origins.values())])
    found: dict[str, list[str]] = {}
    for loc, words in _changes(_targets(json.loads(old)), _targets(json.loads(new))):
        written = " or ".join(names) if words.endswith(" removed") else document.origin(loc)[0].file
        found.setdefault(written, []).append(words)
    return {written: "; ".join(words) for written, words in found.items()}


# Each place with its parts as JSON text, because 1, 1.0 and true are equal in Python, but not in JSON.
Targets = dict[Loc, dict[str, str]]


def _changes(before: Targets, after: Targets) -> Iterator[tuple[Loc, str]]:
    for loc in sorted(before.keys() | after.keys(), key=dotted):
        if loc not in before or loc not in after:
            yield loc, f"{dotted(loc)} {'added' if loc in after else 'removed'}"
        elif before[loc].keys() - _OPTIONAL != after[loc].keys() - _OPTIONAL:  # a column became a constant, or so
            yield loc, f"{dotted(loc)} changed"
        else:
            for part in dict.fromkeys([*before[loc], *after[loc]]):
                if before[loc].get(part) != after[loc].get(part):
                    yield (*loc, *part.split(".")[1:]), f"{dotted(loc)}{part} changed"


_OPTIONAL = {".on_error", ".nulls"}  # parts that a value may lack


def _targets(meaning: dict[str, Any]) -> Targets:
    """The content of a canonical text, by place, without empty parts."""
    values: dict[Loc, Any] = {(name,): meaning.pop(name) for name in ("event", "timestamp")}
    for section in ("identifiers", "attributes"):
        values |= {(section, name): value for name, value in meaning.pop(section).items()}
    values |= {(target,): value for target, value in meaning.pop("more", {}).items()}
    targets = {
        loc: {f".{part}": _text(inner) for part, inner in value.items()} for loc, value in values.items() if value
    }
    return targets | {(name,): {"": _text(inner)} for name, inner in meaning.items() if inner}


def _rule(rule: OtherColumns, mapping: Mapping) -> dict[str, Any]:
    """The settings of the other columns; as with attributes, those that are the mapping's are left out."""
    settings: dict[str, Any] = {
        "except": sorted(set(rule.leave_out)),
        "rename": rule.rename,
        "prefix": rule.prefix,
        "new_columns": rule.new_columns,
    }
    if rule.of is not None:
        settings["of"] = rule.of
    if rule.on_error != "reject":
        settings["on_error"] = rule.on_error if isinstance(rule.on_error, str) else _value(rule.on_error)
    if rule.nulls != mapping.nulls:
        settings["nulls"] = rule.nulls
    return settings


def _value(value: Value | None) -> dict[str, Any] | None:
    if value is None:
        return None
    if isinstance(value, Column):
        return {"column": value.name, "apply": [canonical_call(call) for call in value.apply]}
    if isinstance(value, Columns):
        return {"columns": list(value.names), "apply": [canonical_call(call) for call in value.apply]}
    return {"value": value.value}


def _text(meaning: Any) -> str:
    return json.dumps(meaning, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
