"""The handlers of Pipelines requests: their effects and their answers, strict or permissive."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Final

from cio_etl.sandbox import pipelines
from cio_etl.sandbox.answers import ACCEPTED, UNAUTHORIZED, meta_errors
from cio_etl.sandbox.calls import seconds_of
from cio_etl.sandbox.faults import Answer
from cio_etl.sandbox.handlers import Sent, apply_item, collector_paused
from cio_etl.sandbox.request_body import Item, Malformed, read_entity, read_envelope
from cio_etl.sandbox.rules import violations, visitor_violations
from cio_etl.sandbox.workspace import Workspace


def handle_calls(workspace: Workspace, sent: Sent, kind: str | None) -> Answer:
    """Apply the calls of a batch (`kind` is None), or the one call of an endpoint.

    In strict mode a request with any fault is refused as a whole. Without it every answer is 200, and an invalid call
    is dropped: only the activity log shows it.
    """
    with collector_paused():
        if not workspace.may_pipe(sent.authorization, is_revoked=sent.is_key_revoked):
            return _drop_request(workspace, sent, 401, "the write key is wrong")
        try:
            body = _decompressed(sent)
            if max(sent.size, len(body)) > sent.limit:
                raise Malformed(f"the request cannot be larger than {sent.limit} bytes")
            calls, shared = read_envelope(body) if kind is None else ([read_entity(body)], {})
        except Malformed as malformed:
            return _drop_request(workspace, sent, 400, str(malformed))
        return _apply_calls(workspace, sent, kind, calls, shared)


def _decompressed(sent: Sent) -> bytes:
    """The body without its `Content-Encoding: gzip`, at most one byte more than the limit. Raises Malformed."""
    if not sent.encoding or sent.size > sent.limit:
        return sent.body
    if sent.encoding.strip().lower() != "gzip":
        raise Malformed("the content encoding must be gzip")
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        body = unpacker.decompress(sent.body, sent.limit + 1)
    except zlib.error:
        raise Malformed("the body is not gzip") from None
    if len(body) <= sent.limit and (not unpacker.eof or unpacker.unused_data):
        raise Malformed("the body is not one whole gzip file")
    return body


def _apply_calls(
    workspace: Workspace, sent: Sent, kind: str | None, calls: Sequence[Item], shared: dict[str, Any]
) -> Answer:
    now = workspace.now()
    defaults = {name: value for name in _SHARED if isinstance(value := shared.get(name), dict)}
    valid: list[dict[str, Any]] = []
    errors: list[str] = []
    for index, (value, size) in enumerate(calls):
        call = defaults | pipelines.without_nulls(value) if isinstance(value, dict) else value
        if problems := pipelines.complaints(call, kind, size):
            workspace.traffic.invalid_items += 1
            place = "" if kind else f"batch[{index}]."
            errors += [place + each for each in problems]
            if not sent.is_strict:
                workspace.people.activity.drop(
                    "calls_dropped", "dropped_call", _name_of(call, kind), "; ".join(problems), now
                )
        else:
            valid.append(call)
    workspace.traffic.items += len(calls)
    if errors and sent.is_strict:
        return meta_errors(400, errors)
    for call in valid:
        _apply_call(workspace, call, kind or str(call["type"]), now)
    return ACCEPTED


_SHARED: Final = ("context", "integrations")  # of a batch, for each of its calls


def _apply_call(workspace: Workspace, call: dict[str, Any], kind: str, now: float) -> None:
    people, about = workspace.people, _name_of(call, kind)
    event_id = _count_message(workspace, call)
    if event_id == _REPEAT:
        return
    item = pipelines.item_of(call, kind)
    if item is None:
        reason = "no workspace takes it; it is for other destinations"
        people.activity.drop("calls_forwarded", "forwarded_call", about, reason, now)
        return
    if call.get("timestamp") is not None and seconds_of(call["timestamp"]) is None:
        reason = "the timestamp is not in ISO 8601, and became now"
        people.activity.drop("timestamps_replaced", "timestamp_replaced", about, reason, now)
    if item["type"] == "delivery":  # its rules are those of Pipelines, and complaints() has checked them
        people.apply(item, now)
        return
    is_event, is_anonymous = "name" in item, item["type"] == "anonymous"
    failure = "failed_event" if is_event else "failed_attribute_change"
    if problems := visitor_violations(item) if is_anonymous else violations(item, 0):
        reason = "; ".join(f"{each.field}: {each.message}" for each in problems)
        people.activity.drop("calls_failed", failure, about, reason, now)
    elif is_anonymous:
        people.record_anonymous(item, now, event_id)
    elif workspace.faults.refused and workspace.faults.refuses(item):
        workspace.traffic.refused_items += 1
        people.activity.drop("calls_failed", failure, about, "refused on demand", now)
    elif is_event:
        people.record(item, now, event_id)
    else:
        apply_item(workspace, item, now)


_REPEAT: Final = ""


def _count_message(workspace: Workspace, call: dict[str, Any]) -> str | None:
    """Count the call's messageId, and return it as the id of the call's event.

    None when the call has no messageId; _REPEAT when it came before and repeats are ignored.
    """
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


def _drop_request(workspace: Workspace, sent: Sent, status: int, reason: str) -> Answer:
    """The answer to a request that is not applied: strict mode reports it, permissive mode does not."""
    if sent.is_strict:
        return UNAUTHORIZED if status == 401 else meta_errors(status, [reason])
    workspace.people.activity.drop(
        "requests_dropped", "dropped_request", "a request to Pipelines", reason, workspace.now()
    )
    return ACCEPTED
