"""The handlers of requests that send data: their effects and their answers.

Each function takes a workspace and what was sent, applies what is good, and gives the right answer. Nothing here knows
of connections and their faults; ingest.py does.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from cio_etl.sandbox import pipelines, v1
from cio_etl.sandbox.faults import Answer, name_of
from cio_etl.sandbox.identities import IdentifierKind
from cio_etl.sandbox.request_body import Item, Malformed, read_batch, read_entity, read_envelope
from cio_etl.sandbox.rules import MAX_ITEM_BYTES, Violation, violations, visitor_violations
from cio_etl.sandbox.workspace import Workspace

ACCEPTED: Final = Answer(200, b"{}\n")


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that has been received: its body as far as the limit allows, and the size that the body had."""

    authorization: str
    body: bytes
    size: int
    limit: int
    is_strict: bool = False  # the header `X-Strict-Mode: 1`, which only Pipelines knows


# ---------------------------------------------------------------- Track v2


def handle_batch(workspace: Workspace, sent: Sent) -> Answer:
    """Apply a batch's good items."""
    if refusal := _track_refusal(workspace, sent, _too_large):
        return refusal
    faults = workspace.faults
    with _collector_paused():
        try:
            items = read_batch(sent.body)
        except Malformed as malformed:
            return _refusal(400, Violation("invalid", "", str(malformed)))
        errors = _take(workspace, items, all_or_nothing=faults.strict)
    if not errors:
        return ACCEPTED
    if faults.strict:
        return _refusal(400, Violation("invalid", "batch", "the batch holds an invalid item"))
    return _error_answer(faults.item_error_status, errors)


def handle_entity(workspace: Workspace, sent: Sent) -> Answer:
    """Apply one item."""
    if refusal := _track_refusal(workspace, sent, _too_large):
        return refusal
    try:
        item = read_entity(sent.body)
    except Malformed as malformed:
        return _refusal(400, Violation("invalid", "", str(malformed)))
    errors = _take(workspace, [item], all_or_nothing=True)
    for error in errors:
        del error["batch_index"]
    return _error_answer(400, errors) if errors else ACCEPTED


def max_entity_bytes(workspace: Workspace) -> int:
    """The limit of a request with one item."""
    return min(MAX_ITEM_BYTES, workspace.faults.max_body_bytes)


def _take(workspace: Workspace, items: list[Item], *, all_or_nothing: bool) -> list[dict[str, Any]]:
    now, traffic, faults = workspace.now(), workspace.traffic, workspace.faults
    good, errors = [], []
    for index, (value, size) in enumerate(items):
        found = violations(value, size)
        if found:
            traffic.invalid_items += 1
        elif faults.refused and faults.refuses(value):
            traffic.refused_items += 1
            workspace.refused.add(name_of(value))
            found = [Violation("invalid", "identifiers", "refused on demand")]
        if found:
            errors += [{"batch_index": index} | _as_json(each) for each in found]
        else:
            good.append(value)
    traffic.items += len(items)
    if not (errors and all_or_nothing):
        for value in good:
            workspace.people.apply(value, now)
    return errors


# ---------------------------------------------------------------- Track v1


def handle_v1(
    workspace: Workspace, sent: Sent, identifier: str, items_of: Callable[[str, Any], list[dict[str, Any]]]
) -> Answer:
    """Apply what the body and the path's identifier say, or nothing of it."""

    def taken(body: Any) -> None:
        now = workspace.now()
        for item in items_of(identifier, body):
            workspace.traffic.items += 1
            if item["type"] == "anonymous":
                workspace.people.record_anonymous(item, now)
            else:
                workspace.people.apply(item, now)

    return _take_v1(workspace, sent, taken)


def handle_segment(workspace: Workspace, sent: Sent, segment_id: int, id_type: str, *, add: bool) -> Answer:
    """Put people into a manual segment, or out of it."""

    def taken(body: Any) -> None:
        if id_type not in v1.SEGMENT_ID_TYPES:
            raise v1.Refused("id_type: must be id, email or cio_id")
        ids = v1.segment_ids(body)
        workspace.traffic.items += len(ids)
        kind: IdentifierKind = id_type  # type: ignore[assignment]  # looked up just now
        change = workspace.people.add_to_segment if add else workspace.people.remove_from_segment
        change(segment_id, kind, ids, workspace.now())

    return _take_v1(workspace, sent, taken)


def _take_v1(workspace: Workspace, sent: Sent, taken: Callable[[Any], None]) -> Answer:
    if refusal := _track_refusal(workspace, sent, _too_large_v1):
        return refusal
    try:
        taken(read_entity(sent.body).value if sent.body else None)
    except Malformed as malformed:
        return _meta_errors(400, [str(malformed)])
    except v1.Refused as refused:
        workspace.traffic.invalid_items += 1
        return _meta_errors(400, refused.errors)
    return ACCEPTED


# ---------------------------------------------------------------- Pipelines


def handle_calls(workspace: Workspace, sent: Sent, kind: str | None) -> Answer:
    """Apply a batch's calls (`kind` None), or the one call of an endpoint.

    In strict mode a request with anything wrong is refused whole. Without it every answer is 200, and what is wrong is
    left out; the activity log tells.
    """
    with _collector_paused():
        if not workspace.may_pipe(sent.authorization):
            return _wrong(workspace, sent, 401, "the write key is wrong")
        if sent.size > sent.limit:
            return _wrong(workspace, sent, 400, f"the request cannot be larger than {sent.limit} bytes")
        try:
            calls, shared = read_envelope(sent.body) if kind is None else ([read_entity(sent.body)], {})
        except Malformed as malformed:
            return _wrong(workspace, sent, 400, str(malformed))
        return _take_calls(workspace, sent, kind, calls, shared)


def _take_calls(
    workspace: Workspace, sent: Sent, kind: str | None, calls: Sequence[Item], shared: dict[str, Any]
) -> Answer:
    now, context = workspace.now(), shared.get("context")
    good: list[dict[str, Any]] = []
    errors: list[str] = []
    for index, (given, size) in enumerate(calls):
        call = {"context": context} | given if isinstance(given, dict) and isinstance(context, dict) else given
        if found := pipelines.complaints(call, kind, size):
            workspace.traffic.invalid_items += 1
            place = "" if kind else f"batch[{index}]."
            errors += [place + each for each in found]
            if not sent.is_strict:
                workspace.people.activity.drop(
                    "calls_dropped", "dropped_call", _name_of(call, kind), "; ".join(found), now
                )
        else:
            good.append(call)
    workspace.traffic.items += len(calls)
    if errors and sent.is_strict:
        return _meta_errors(400, errors)
    for call in good:
        _apply_call(workspace, call, kind or str(call["type"]), now)
    return ACCEPTED


def _apply_call(workspace: Workspace, call: dict[str, Any], kind: str, now: float) -> None:
    people, about = workspace.people, _name_of(call, kind)
    event_id = _message(workspace, call)
    if event_id == _REPEAT:
        return
    item = pipelines.item_of(call, kind)
    if item is None:
        people.activity.drop(
            "calls_forwarded", "forwarded_call", about, "no workspace keeps it; for other destinations", now
        )
        return
    if call.get("timestamp") is not None and pipelines.seconds_of(call["timestamp"]) is None:
        reason = "the timestamp is not in ISO 8601, and became now"
        people.activity.drop("timestamps_replaced", "timestamp_replaced", about, reason, now)
    is_event, is_anonymous = "name" in item, item["type"] == "anonymous"
    if found := visitor_violations(item) if is_anonymous else violations(item, 0):
        failure = "failed_event" if is_event else "failed_attribute_change"
        reason = "; ".join(f"{each.field}: {each.message}" for each in found)
        people.activity.drop("calls_failed", failure, about, reason, now)
    elif is_anonymous:
        people.record_anonymous(item, now, event_id)
    elif is_event:
        people.record(item, now, event_id)
    else:
        people.apply(item, now)


_REPEAT: Final = ""


def _message(workspace: Workspace, call: dict[str, Any]) -> str | None:
    """What the call's event is kept by: its messageId. _REPEAT, when that came before and repeats are ignored."""
    message: str | None = call.get("messageId")
    if not message:
        return None
    workspace.messages[message] += 1
    times = workspace.messages[message]
    if times == 1:
        return message
    workspace.people.counts["repeated_messages"] += 1
    if not workspace.faults.pipelines_dedupes:
        return f"{message} ({times})"
    if event := workspace.people.events.get(message):
        event.received += 1
    return _REPEAT


def _name_of(call: Any, kind: str | None) -> str:
    message = call.get("messageId") if isinstance(call, dict) else None
    if isinstance(message, str) and message:
        return f"message {message}"
    return f"{kind} call" if kind else "a call of a batch"


def _wrong(workspace: Workspace, sent: Sent, status: int, reason: str) -> Answer:
    """A request that is taken by nobody: strict mode says so, permissive mode does not."""
    if sent.is_strict:
        return _unauthorized() if status == 401 else _meta_errors(status, [reason])
    workspace.people.activity.drop(
        "requests_dropped", "dropped_request", "a request to Pipelines", reason, workspace.now()
    )
    return ACCEPTED


# ---------------------------------------------------------------- refusals


def _track_refusal(workspace: Workspace, sent: Sent, too_large: Callable[[int, int], Answer]) -> Answer | None:
    if not workspace.may_track(sent.authorization):
        return _unauthorized()
    if sent.size > sent.limit:
        return too_large(workspace.faults.too_large_status, sent.limit)
    return None


def _too_large(status: int, limit: int) -> Answer:
    return _refusal(status, Violation("invalid", "", f"the request cannot be larger than {limit} bytes"))


def _too_large_v1(status: int, limit: int) -> Answer:
    return _meta_errors(status, [f"the request cannot be larger than {limit} bytes"])


def _unauthorized() -> Answer:
    return Answer(401, b'{"meta": {"error": "Unauthorized request"}}')


def _as_json(violation: Violation) -> dict[str, Any]:
    return {"reason": violation.reason, "field": violation.field, "message": violation.message}


def _refusal(status: int, violation: Violation) -> Answer:
    """The answer to a request of which nothing is taken."""
    return _error_answer(status, [_as_json(violation)])


def _error_answer(status: int, errors: list[dict[str, Any]]) -> Answer:
    return Answer(status, json.dumps({"errors": errors}).encode() + b"\n")


def _meta_errors(status: int, errors: Sequence[str]) -> Answer:
    """The shape of errors of Track v1 and of Pipelines."""
    return Answer(status, json.dumps({"meta": {"errors": list(errors)}}).encode() + b"\n")


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Let the garbage collector wait for the length of one batch.

    Nearly all that a batch allocates is kept and has no cycles; searching it while it grows took a third of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
