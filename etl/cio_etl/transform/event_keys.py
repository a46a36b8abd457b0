"""An event_key that stays the same when its row changes: Customer.io ignores an event whose id it knows."""

from __future__ import annotations

import re

from cio_etl.apis import OPERATIONS
from cio_etl.model import Column, Columns, Mapping, Step

REMEDY = (
    "add the watermark column to event_key, or take a watermark that a row keeps; what changes belongs to attributes"
)

_OF_CHANGES = re.compile(r"updat|modif|chang|edit|touch|last_|mtime|synced", re.IGNORECASE)


def event_key_of_changes(step: Step) -> str | None:
    """How rows that change are read again with an event_key that stays the same, in words; None: they are not.

    Whether the watermark column is one of changes is read from its name, as `updated_at`.
    """
    incremental, mapping = step.source.incremental, step.mapping
    if incremental is None or not (OPERATIONS[mapping.operation].has_event and mapping.event_key):
        return None
    watermark = incremental.watermark
    if not _OF_CHANGES.search(watermark) or watermark in mapping.event_key or watermark in _of_timestamp(mapping):
        return None
    return (
        f"a row that changes is read again by its watermark {watermark!r}, but its event_key stays: Customer.io "
        "ignores the event, which counts as accepted"
    )


def _of_timestamp(mapping: Mapping) -> tuple[str, ...]:
    """The columns of the event's time, which is part of its id."""
    match mapping.targets.get("timestamp"):
        case Column(name):
            return (name,)
        case Columns(names):
            return names
    return ()
