"""How subjects that a source no longer has are removed: the mapping that does it."""

from __future__ import annotations

import hashlib

from cio_etl.model import Column, Constant, Mapping, Value, WhenGone

KEY = "key."  # prefix of the columns that say who a subject is

# Where there is a choice. Of other operations, who is gone is removed by the inverse.
REMOVALS = {
    "identify": ("delete", "suppress", "identify"),
    "identify_object": ("delete_object", "identify_object"),
    "identify_object_anonymous": ("delete_object", "identify_object"),
}


def removal(mapping: Mapping, when_gone: WhenGone) -> Mapping:
    """The mapping of the subjects of `mapping` that are gone; its columns are KEY and the target."""
    wanted = ["identifiers.", "object."]
    if when_gone.operation in ("delete_device", "delete_relationships", "delete_object_relationships"):
        wanted += ["device.token", *(f"{end}." for end in mapping.relationship_ends())]
    targets: dict[str, Value] = {
        target: value if isinstance(value, Constant) else Column(f"{KEY}{target}")
        for target, value in mapping.targets.items()
        if target.startswith(tuple(wanted))
    }
    targets |= {f"attributes.{name}": Constant(value) for name, value in when_gone.attributes.items()}
    return Mapping(
        file=mapping.file,
        operation=when_gone.operation,
        targets=targets,
        digest=hashlib.sha256(f"gone {mapping.digest}".encode()).hexdigest(),
        nulls="clear",
        segment=mapping.segment,
        existing_only=when_gone.operation == "identify",
        allow_reserved=mapping.allow_reserved,
        retry_unknown=True,  # who was removed is still gone
    )
