"""The handlers of Track requests: their effects and their answers.

Each function takes a workspace and a request, applies what is valid, and returns the correct answer. Nothing here knows
of connections and their faults; ingest.py does. The handlers of Pipelines are in pipelines_handlers.py.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cio_etl.sandbox import answers, v1
from cio_etl.sandbox.answers import ACCEPTED, UNAUTHORIZED
from cio_etl.sandbox.faults import Answer, name_of
from cio_etl.sandbox.limits import MAX_ITEM_BYTES, Violation
from cio_etl.sandbox.person import IdentifierKind
from cio_etl.sandbox.request_body import Item, Malformed, read_batch, read_entity
from cio_etl.sandbox.rules import violations
from cio_etl.sandbox.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Sent:
    """A received request: the part of its body that the limit allows, and the size of the whole body."""

    authorization: str
    body: bytes
    size: int
    limit: int
    is_strict: bool = False  # the header `X-Strict-Mode: 1`, which only Pipelines knows
    content_type: str = ""
    encoding: str = ""  # the header Content-Encoding, which only Pipelines knows
    is_key_revoked: bool = False  # had as many requests arrived before it as the keys were valid for?


# ---------------------------------------------------------------- Track v2


def handle_batch(workspace: Workspace, sent: Sent) -> Answer:
    """Apply the valid items of a batch."""
    if refusal := _track_refusal(workspace, sent, _too_large):
        return refusal
    faults = workspace.faults
    with collector_paused():
        try:
            items = read_batch(sent.body)
        except Malformed as malformed:
            return answers.refusal(400, Violation("invalid", "", str(malformed)))
        errors = _apply_valid(workspace, items, all_or_nothing=faults.strict)
    if not errors:
        return ACCEPTED
    if faults.strict:
        return answers.refusal(400, Violation("invalid", "batch", "the batch holds an invalid item"))
    return answers.errors(faults.item_error_status, errors)


def handle_entity(workspace: Workspace, sent: Sent) -> Answer:
    """Apply one item."""
    if refusal := _track_refusal(workspace, sent, _too_large):
        return refusal
    try:
        item = read_entity(sent.body)
    except Malformed as malformed:
        return answers.refusal(400, Violation("invalid", "", str(malformed)))
    errors = _apply_valid(workspace, [item], all_or_nothing=True)
    for error in errors:
        del error["batch_index"]
    return answers.errors(400, errors) if errors else ACCEPTED


def max_entity_bytes(workspace: Workspace) -> int:
    """The limit of a request with one item."""
    return min(MAX_ITEM_BYTES, workspace.faults.max_body_bytes)


def _apply_valid(workspace: Workspace, items: list[Item], *, all_or_nothing: bool) -> list[dict[str, Any]]:
    """Applies the valid items, and returns the errors of the others."""
    now, traffic, faults = workspace.now(), workspace.traffic, workspace.faults
    valid, errors = [], []
    for index, (value, size) in enumerate(items):
        problems = violations(value, size)
        if problems:
            traffic.invalid_items += 1
        elif faults.refused and faults.refuses(value):
            traffic.refused_items += 1
            workspace.refused.add(name_of(value))
            problems = [Violation("invalid", "identifiers", "refused on demand")]
        if problems:
            errors += [{"batch_index": index} | answers.as_json(each) for each in problems]
        else:
            valid.append(value)
    traffic.items += len(items)
    if not (errors and all_or_nothing):
        for value in valid:
            apply_item(workspace, value, now)
    return errors


def apply_item(workspace: Workspace, item: dict[str, Any], now: float) -> None:
    """Apply a valid item, or drop it where the faults say so: only the activity log shows that."""
    if workspace.faults.dropped and workspace.faults.drops(item):
        kind = "failed_event" if "name" in item else "failed_attribute_change"
        workspace.people.activity.drop("items_dropped", kind, name_of(item), "dropped on demand", now)
    else:
        workspace.people.apply(item, now)


# ---------------------------------------------------------------- Track v1


@dataclass(frozen=True, slots=True)
class V1Call:
    """How requests of a path of Track v1 become items, and how they are answered."""

    items_of: Callable[[str, Any], list[dict[str, Any]]]  # of the path's identifier and the body; raises v1.Refused
    accepted: Answer = ACCEPTED
    refused: Callable[[int, Sequence[str]], Answer] = answers.meta_error
    needs_key: bool = True
    needs_json_type: bool = False


def handle_v1(workspace: Workspace, sent: Sent, identifier: str, call: V1Call) -> Answer:
    """Apply all items of a request of Track v1, or none."""

    def apply(body: Any) -> None:
        now = workspace.now()
        for item in call.items_of(identifier, body):
            workspace.traffic.items += 1
            if item["type"] == "anonymous":
                workspace.people.record_anonymous(item, now)
            else:
                workspace.people.apply(item, now)

    return _apply_v1(workspace, sent, call, apply)


def handle_segment(workspace: Workspace, sent: Sent, segment_id: int, id_type: str, *, add: bool) -> Answer:
    """Add people to a manual segment, or remove them from it."""

    def apply(body: Any) -> None:
        if id_type not in v1.SEGMENT_ID_TYPES:
            raise v1.Refused("id_type: must be id, email or cio_id")
        ids = v1.segment_ids(body)
        if segment_id not in workspace.people.segments:
            # That it must exist is documented; the answer is not. 400 is the only refusal that the operation declares.
            raise v1.Refused(f"there is no manual segment {segment_id}; create it by POST /v1/segments")
        workspace.traffic.items += len(ids)
        kind: IdentifierKind = id_type  # type: ignore[assignment]  # it is one of SEGMENT_ID_TYPES
        change = workspace.people.add_to_segment if add else workspace.people.remove_from_segment
        change(segment_id, kind, ids, workspace.now())

    return _apply_v1(workspace, sent, V1Call(lambda identifier, body: []), apply)


def _apply_v1(workspace: Workspace, sent: Sent, call: V1Call, apply: Callable[[Any], None]) -> Answer:
    def too_large(status: int, limit: int) -> Answer:
        return call.refused(status, [f"the request cannot be larger than {limit} bytes"])

    if refusal := _track_refusal(workspace, sent, too_large, needs_key=call.needs_key):
        return refusal
    try:
        if call.needs_json_type and sent.content_type.partition(";")[0].strip().lower() != "application/json":
            raise v1.Refused("the content type must be application/json")
        apply(read_entity(sent.body).value if sent.body else None)
    except Malformed as malformed:
        return call.refused(400, [str(malformed)])
    except v1.Refused as refused:
        workspace.traffic.invalid_items += 1
        return call.refused(400, refused.errors)
    return call.accepted


# ---------------------------------------------------------------- refusals


def _track_refusal(
    workspace: Workspace, sent: Sent, too_large: Callable[[int, int], Answer], *, needs_key: bool = True
) -> Answer | None:
    if needs_key and not workspace.may_track(sent.authorization, is_revoked=sent.is_key_revoked):
        return UNAUTHORIZED
    if sent.size > sent.limit:
        return too_large(workspace.faults.too_large_status, sent.limit)
    return None


def _too_large(status: int, limit: int) -> Answer:
    return answers.refusal(status, Violation("invalid", "", f"the request cannot be larger than {limit} bytes"))


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the garbage collector for one batch.

    Nearly all that a batch allocates stays in memory and has no cycles; searching it while it grows took a third of the
    time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
